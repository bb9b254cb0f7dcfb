/* SPDX-License-Identifier: MIT
 * A stretch of a file's code, instruction by instruction: what finds an interpreter's calls in it builds on this. */
#ifndef CT_CALL_CODE_H
#define CT_CALL_CODE_H

#include <Zydis/Zydis.h>
#include <stdbool.h>

#include "user/attach/insn_image.h"

struct ct_call_code {
	ZydisDecoder dec;
	ct_u8 *bytes;
	size_t len;
	ct_u64 addr, offset; /* of the first byte: as linked, and in the file */
};
struct ct_decoded {
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ct_u64 addr;
};

/* Up to len bytes; false: there are none. Freed by free(c->bytes), whatever it was. */
bool ct_call_code_read(const struct ct_image *im, ct_u64 addr, size_t len, struct ct_call_code *c);
/* The instruction at *addr, which becomes the next one's. What cannot be decoded is passed over byte by byte. */
bool ct_call_code_next(const struct ct_call_code *c, ct_u64 *addr, struct ct_decoded *n);

/* Its number in machine code; -1: it is none of 64 bits. */
int ct_insn_register(ZydisRegister reg);
/* mov disp(%base),%to and mov %from,disp(%base) */
bool ct_insn_loads(const struct ct_decoded *n, unsigned base, ct_s64 disp, unsigned to);
bool ct_insn_stores(const struct ct_decoded *n, unsigned from, unsigned base, ct_s64 disp);
/* Where a direct jump or call leads; 0: it is none. */
ct_u64 ct_insn_leads_to(const struct ct_decoded *n);
bool ct_insn_branches(const struct ct_decoded *n);
/* Nothing comes behind it. */
bool ct_insn_ends(const struct ct_decoded *n);

#endif
