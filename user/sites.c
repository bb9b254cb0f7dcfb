/* SPDX-License-Identifier: MIT
 * Choosing probe sites with Zydis. What is cheap is what branch_setup_ops and push_setup_ops in the kernel's
 * arch/x86/kernel/uprobes.c take, in the versions from 6.1 on. */
#include "sites.h"

#include <Zydis/Zydis.h>
#include <string.h>

#define PREFIX_MAX 64 /* bytes from the entry in which a cheap instruction is looked for */

struct insn {
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

static bool decode(const ct_u8 *code, size_t len, size_t at, struct insn *in)
{
	ZydisDecoder dec;

	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return at < len && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code + at, len - at, &in->i, in->op));
}

/* What the kernel emulates without a prefix: a call, a jump, a nop of one byte. */
static bool is_branch(const ct_u8 *p, size_t len)
{
	return p[0] == 0x90 || p[0] == 0xe8 || p[0] == 0xe9 || p[0] == 0xeb || (p[0] & 0xf0) == 0x70 ||
	       (p[0] == 0x0f && len > 1 && (p[1] & 0xf0) == 0x80);
}

static bool is_push(const ct_u8 *p, size_t len)
{
	return (p[0] & 0xf8) == 0x50 || (p[0] == 0x41 && len > 1 && (p[1] & 0xf8) == 0x50);
}

/* Where a direct branch goes, relative to the function; false if it is none. */
static bool target(const struct insn *in, size_t at, ct_u64 *to)
{
	if (!in->i.raw.imm[0].is_relative)
		return false;
	*to = at + in->i.length + (ct_u64)in->i.raw.imm[0].value.s;
	return true;
}

static bool jumps(const struct insn *in)
{
	return in->i.meta.category == ZYDIS_CATEGORY_UNCOND_BR || in->i.meta.category == ZYDIS_CATEGORY_COND_BR;
}

/* Whether something in the function jumps to [0, at] of it; `unsure` is the answer if that cannot be told. */
static bool jumped_to(const ct_u8 *code, size_t len, size_t at, bool unsure)
{
	struct insn in;
	ct_u64 to;

	for (size_t i = 0; i < len; i += in.i.length) {
		if (!decode(code, len, i, &in))
			return unsure;
		if (!jumps(&in))
			continue;
		if (target(&in, i, &to) ? to <= at : unsure)
			return true;
	}
	return false;
}

/* Index of an argument register as a whole, -1: none. */
static int arg_index(ZydisRegister reg)
{
	static const ZydisRegister order[CT_CALL_NARGS] = {ZYDIS_REGISTER_RDI, ZYDIS_REGISTER_RSI, ZYDIS_REGISTER_RDX,
							   ZYDIS_REGISTER_RCX, ZYDIS_REGISTER_R8,  ZYDIS_REGISTER_R9};
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	for (int i = 0; i < CT_CALL_NARGS; i++)
		if (order[i] == whole)
			return i;
	return -1;
}

/* Passes an instruction on the way to the site; false: none behind it will do. */
static bool pass(const struct insn *in, struct ct_site *site)
{
	switch (in->i.meta.category) {
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSTEM: return false;
	default: break;
	}
	for (unsigned k = 0; k < in->i.operand_count; k++) {
		const ZydisDecodedOperand *op = &in->op[k];
		int arg;

		if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || !(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		if (ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, op->reg.value) == ZYDIS_REGISTER_RSP)
			return false;
		arg = arg_index(op->reg.value);
		if (arg >= 0 && (unsigned)arg < site->nargs)
			site->nargs = (unsigned)arg;
	}
	return true;
}

void ct_site_entry(const ct_u8 *code, size_t len, struct ct_site *site)
{
	struct insn in;

	*site = (struct ct_site){.cost = CT_SITE_CHEAP, .nargs = CT_CALL_NARGS};
	if (!len) {
		*site = (struct ct_site){.cost = CT_SITE_NONE, .why = "it has no code"};
		return;
	}
	if (code[0] == 0xf0) { /* is_prefix_bad() in arch/x86/kernel/uprobes.c */
		*site = (struct ct_site){.cost = CT_SITE_NONE, .why = "the kernel does not probe a locked instruction"};
		return;
	}
	for (size_t at = 0; at < len && at < PREFIX_MAX; at += in.i.length) {
		if (!decode(code, len, at, &in)) {
			if (!at)
				*site = (struct ct_site){.cost = CT_SITE_NONE, .why = "its code cannot be decoded"};
			break;
		}
		site->at = at;
		/* A loop may come back to a branch, but never to a push, which would grow the stack. */
		if (is_push(code + at, len - at) || (is_branch(code + at, len - at) && !jumped_to(code, len, at, true)))
			return;
		if (!pass(&in, site))
			break;
	}
	if (site->cost == CT_SITE_NONE)
		return;
	*site = (struct ct_site){.cost = CT_SITE_STEPPED, .nargs = CT_CALL_NARGS};
	/* Who comes back to the very first instruction cannot be told from who enters. A switch does not. */
	if (jumped_to(code, len, 0, false))
		*site = (struct ct_site){.cost = CT_SITE_NONE, .why = "it begins with a loop"};
}

int ct_site_exits(const ct_u8 *code, size_t len, struct ct_exit_site *exits, size_t max)
{
	struct insn in;
	int n = 0;

	for (size_t at = 0; at < len; at += in.i.length) {
		struct ct_exit_site e = {.at = at};

		if (!decode(code, len, at, &in))
			return -1;
		if (in.i.meta.category != ZYDIS_CATEGORY_RET) {
			/* Through a register it may be a switch's: then the end shows in what comes next. */
			if (in.i.meta.category != ZYDIS_CATEGORY_UNCOND_BR || !target(&in, at, &e.to) || e.to < len)
				continue;
			e.jump = true;
		}
		if ((size_t)n < max)
			exits[n] = e;
		n++;
	}
	return n;
}
