// SPDX-License-Identifier: MIT
/* CPython 3.8 to 3.10: layouts, and what is found in a build's code. There each frame is evaluated by a C call of its
 * own; most instructions are dispatched by the table, the first one of a frame and some others by a switch. */
#include <Zydis/Zydis.h>
#include <stddef.h>
#include <string.h>

#include "replay/agents/python.h"

#define JUMP        5
#define LEAST_CASES 0x80 /* of the switch over all opcodes */

/* PyFrameObject, PyCodeObject, PyThreadState, PyInterpreterState and the rest as the headers of 3.8.18, 3.9.18 and
 * 3.10.13 have them. */
#define COMMON                                                                                                         \
	.f_code = 32, .f_previous = 24, .f_locals = 56, .co_linetable = 120, .co_qualname = 112, .co_filename = 104,   \
	.co_consts = 56, .co_names = 64, .co_firstlineno = 40, .co_code = 48, .co_flags = 36, .exc_type = 88,          \
	.exc_value = 96, .type_name = 24, .str_ascii = 48, .str_compact = 72, .tuple_items = 24, .bytes_data = 32,     \
	.dict_keys = 32, .dict_values = 40, .dict_used = 16, .extended_arg = 144, .ex_callable = 2, .ex_maybe = 1
#define LAYOUT                                                                                                         \
	.interp_head = 32, .interp_next = 0, .threads_head = 8, .tstate_next = 8, .tstate_frame = 24,                  \
	.tstate_tid = 176, .tid_in_pthread = 720 /* glibc's struct pthread */, .co_name = 112, .co_argcount = 16,      \
	.co_kwonly = 24, .co_varnames = 72, .co_freevars = 80, .co_cellvars = 88, .type_flags = 168,                   \
	.type_basicsize = 32, .type_itemsize = 40, .type_dictoffset = 288, .type_members = 240, .type_base = 256,      \
	.op = {[83] = CT_PYOP_RETURN,   [86] = CT_PYOP_YIELD,    [72] = CT_PYOP_YIELD_FROM,                            \
	       [48] = CT_PYOP_RERAISE,  [130] = CT_PYOP_RERAISE, [54] = CT_PYOP_ASYNC_END,                             \
	       [23] = CT_PYOP_ADD,      [55] = CT_PYOP_ADD,      [131] = CT_PYOP_CALL,                                 \
	       [141] = CT_PYOP_CALL_KW, [142] = CT_PYOP_CALL_EX, [161] = CT_PYOP_CALL_METHOD},                         \
	.skip = {[131] = 1, [141] = 1, [142] = 1, [161] = 1}

const struct ct_python_layout ct_python_old_layouts[3] = {
	{.first = 0x0308,
	 .last = 0x0308,
	 .off = {COMMON, .f_localsplus = 360, .f_lasti = 104, .lasti_bytes = 1, .line_starts = 1},
	 .function_name = 104,
	 LAYOUT},
	{.first = 0x0309,
	 .last = 0x0309,
	 .off = {COMMON, .f_localsplus = 360, .f_lasti = 104, .lasti_bytes = 1, .line_starts = 1, .handler_lines = 1},
	 .function_name = 104,
	 LAYOUT},
	{.first = 0x030a,
	 .last = 0x030a,
	 .off = {COMMON, .f_localsplus = 352, .f_lasti = 96, .lasti_bytes = 2},
	 .function_name = 40,
	 LAYOUT},
};

/* ---- what is in the code -------------------------------------------------------------------------------------- */

struct insn {
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

static bool decode(const unsigned char *code, size_t len, struct insn *n)
{
	static const ZydisDecoder dec = {.machine_mode = ZYDIS_MACHINE_MODE_LONG_64,
					 .stack_width = ZYDIS_STACK_WIDTH_64};

	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code, len, &n->i, n->op));
}

static int reg_number(ZydisRegister reg)
{
	reg = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
	return ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_GPR64 ? ZydisRegisterGetId(reg) : -1;
}

/* The number of the register that a memory operand of this size is at `disp` of, and nothing else; or -1. */
static int based(const ZydisDecodedOperand *op, unsigned bits, ct_s64 disp)
{
	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || op->size != bits || op->mem.disp.value != disp ||
	    op->mem.index != ZYDIS_REGISTER_NONE)
		return -1;
	return reg_number(op->mem.base);
}

static unsigned most(const unsigned votes[16])
{
	unsigned best = 0;

	for (unsigned i = 1; i < 16; i++)
		if (votes[i] > votes[best])
			best = i;
	return best;
}

/* Whole instructions at the beginning that do not depend on where they are. */
static bool cover(struct ct_py_site *s, ct_u64 at, const unsigned char *code, size_t len)
{
	struct insn n;

	s->at = at;
	for (s->covered = 0; s->covered < JUMP; s->covered += n.i.length)
		if (!decode(code + s->covered, len - s->covered, &n) || (n.i.attributes & ZYDIS_ATTRIB_IS_RELATIVE) ||
		    s->covered + n.i.length > CT_PY_COVERED)
			return false;
	memcpy(s->code, code, s->covered);
	return true;
}

/* The switch over opcodes, by a table of distances: movslq (table,index,4),%reg; add table,%reg; jmp *%reg; or of
 * addresses: jmp *table(,index,8). */
static bool is_dispatch(struct ct_python *py, const unsigned char *code, size_t at, size_t len, const struct insn *n)
{
	struct insn add, jump;

	if (n->i.mnemonic == ZYDIS_MNEMONIC_JMP && n->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
	    n->op[0].mem.base == ZYDIS_REGISTER_NONE && n->op[0].mem.scale == 8 &&
	    (ct_u64)n->op[0].mem.disp.value != py->table) {
		py->dispatch_reg = (unsigned)reg_number(n->op[0].mem.index);
		py->dispatch_table = (ct_u64)n->op[0].mem.disp.value;
		return cover(&py->dispatch, py->eval + at, code + at, len - at);
	}
	if (n->i.mnemonic != ZYDIS_MNEMONIC_MOVSXD || n->op[1].type != ZYDIS_OPERAND_TYPE_MEMORY ||
	    n->op[1].mem.scale != 4 || !decode(code + at + n->i.length, len - at - n->i.length, &add) ||
	    add.i.mnemonic != ZYDIS_MNEMONIC_ADD || add.op[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    add.op[0].reg.value != n->op[0].reg.value)
		return false;
	at += n->i.length;
	if (!decode(code + at + add.i.length, len - at - add.i.length, &jump) ||
	    jump.i.mnemonic != ZYDIS_MNEMONIC_JMP || jump.op[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    jump.op[0].reg.value != add.op[0].reg.value)
		return false;
	py->dispatch_reg = (unsigned)reg_number(jump.op[0].reg.value);
	py->dispatch_table = 0;
	return cover(&py->dispatch, py->eval + at, code + at, len - at) &&
	       py->dispatch.covered == (unsigned)add.i.length + jump.i.length;
}

bool ct_python_old_find(struct ct_python *py, const unsigned char *code)
{
	const struct ct_pya_offsets *off = &ct_python_layout(py->version)->off;
	unsigned frame[16] = {0}, next[16] = {0}, stack[16] = {0}, switches = 0;
	const size_t len = py->eval_size;
	struct ct_python found = *py;
	size_t compared = 0;
	struct insn n;
	int r;

	for (size_t i = 0; i < len; i += n.i.length) {
		if (!decode(code + i, len - i, &n)) {
			n.i.length = 1;
			continue;
		}
		if (n.i.mnemonic == ZYDIS_MNEMONIC_CMP && n.op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
		    n.op[1].imm.value.u >= LEAST_CASES && n.op[1].imm.value.u < 256)
			compared = i;
		if (compared && i - compared < 48 && is_dispatch(py, code, i, len, &n)) {
			found = *py;
			switches++;
		}
		/* The instruction's index is stored in the frame, the next one loaded, values pushed and popped. */
		if (n.i.mnemonic == ZYDIS_MNEMONIC_MOV && (r = based(&n.op[0], 32, off->f_lasti)) >= 0)
			frame[r] += n.op[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
		if (n.i.mnemonic == ZYDIS_MNEMONIC_MOVZX &&
		    ((r = based(&n.op[1], 16, 0)) >= 0 || (r = based(&n.op[1], 16, -2)) >= 0))
			next[r]++;
		if (n.i.mnemonic == ZYDIS_MNEMONIC_MOV && (r = based(&n.op[1], 64, -8)) >= 0)
			stack[r]++;
	}
	*py = found;
	py->frame_reg = most(frame);
	py->next_reg = most(next);
	py->stack_reg = most(stack);
	py->begin_reg = py->version < 0x03090000 ? 7 : 6; /* 3.8: no thread state comes before the frame */
	return switches == 1 && frame[py->frame_reg] >= 80 && next[py->next_reg] >= 80 && stack[py->stack_reg] >= 80 &&
	       cover(&py->begin, py->eval, code, len);
}

/* ---- near code -------------------------------------------------------------------------------------------------- */

#define BEGIN    0x40 /* to the agent, for a frame that begins */
#define MOVED    0x80 /* what was there, and back */
#define DISPATCH 0xc0 /* what was there, then to the agent */

static size_t jump_to(unsigned char *code, ct_u64 to)
{
	memcpy(code, (const unsigned char[]){0xff, 0x25, 0, 0, 0, 0}, 6); /* jmp *0(%rip) */
	memcpy(code + 6, &to, 8);
	return 14;
}

/* Of the switch's site only what comes before its jump. */
static unsigned before_jump(const struct ct_python *py)
{
	struct insn n = {0};

	return !py->dispatch_table && decode(py->dispatch.code, py->dispatch.covered, &n) ? n.i.length : 0;
}

void ct_python_sites(const struct ct_python *py, ct_u64 bias, ct_u64 near, struct ct_pya_head *head,
		     unsigned char *code)
{
	const unsigned before = before_jump(py);

	jump_to(code + BEGIN, head->base + CT_PYA_BEGIN_ENTRY);
	memcpy(code + MOVED, py->begin.code, py->begin.covered);
	jump_to(code + MOVED + py->begin.covered, py->begin.at + bias + py->begin.covered);
	memcpy(code + DISPATCH, py->dispatch.code, before);
	jump_to(code + DISPATCH + before, head->base + CT_PYA_SWITCH);
	head->moved_begin = near + MOVED;
	head->switch_table = py->dispatch_table ? py->dispatch_table + bias : 0;
}

bool ct_python_jump(const struct ct_python *py, const struct ct_py_site *site, ct_u64 bias, ct_u64 near,
		    unsigned char jump[JUMP])
{
	const ct_s64 rel = (ct_s64)(near + (site == &py->begin ? BEGIN : DISPATCH) - (site->at + bias + JUMP));
	const ct_s32 rel32 = (ct_s32)rel;

	jump[0] = 0xe9;
	memcpy(jump + 1, &rel32, 4);
	return rel == rel32;
}

void ct_python_sites_expected(const struct ct_python *py, ct_u64 bias, ct_u64 near, struct ct_regs *regs)
{
	const ct_u64 ip = regs->r[CT_RIP] - bias;

	if (!py->begin.covered)
		return;
	if (ip > py->begin.at && ip < py->begin.at + py->begin.covered)
		regs->r[CT_RIP] = near + MOVED + (ip - py->begin.at);
	if (ip > py->dispatch.at && ip < py->dispatch.at + py->dispatch.covered)
		regs->r[CT_RIP] = near + DISPATCH + (ip - py->dispatch.at);
}

void ct_python_sites_original(const struct ct_python *py, ct_u64 bias, ct_u64 near, struct ct_regs *regs)
{
	const ct_u64 ip = regs->r[CT_RIP];

	if (!py->begin.covered)
		return;
	if (ip >= near + MOVED && ip <= near + MOVED + py->begin.covered)
		regs->r[CT_RIP] = py->begin.at + bias + (ip - near - MOVED);
	if (ip >= near + DISPATCH && ip <= near + DISPATCH + before_jump(py))
		regs->r[CT_RIP] = py->dispatch.at + bias + (ip - near - DISPATCH);
}
