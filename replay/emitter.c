// SPDX-License-Identifier: MIT
/* Machine code, piece by piece. After a failure nothing more is written. */
#include "replay/emitter.h"

#include <string.h>

void ct_emit(struct ct_emitter *e, const void *bytes, size_t len)
{
	if (len > e->room - e->len)
		e->failed = true;
	if (e->failed)
		return;
	memcpy(e->code + e->len, bytes, len);
	e->len += len;
}

void ct_emit_rel(struct ct_emitter *e, ct_u64 target, unsigned more)
{
	const ct_s64 rel = (ct_s64)(target - (e->at + e->len + 4 + more));
	const ct_s32 rel32 = (ct_s32)rel;

	if (rel32 != rel)
		e->failed = true;
	ct_emit(e, &rel32, 4);
}

void ct_emit_memory(struct ct_emitter *e, unsigned char opcode, unsigned reg, ct_u64 addr)
{
	CT_EMIT(e, (unsigned char)(0x48 | (reg & 8 ? 4 : 0)), opcode, (unsigned char)(5 | (reg & 7) << 3));
	ct_emit_rel(e, addr, 0);
}

size_t ct_emit_jump(struct ct_emitter *e, unsigned char opcode)
{
	CT_EMIT(e, opcode, 0);
	return e->len;
}

void ct_emit_here(struct ct_emitter *e, size_t jump)
{
	if (!e->failed)
		e->code[jump - 1] = (unsigned char)(e->len - jump);
}
