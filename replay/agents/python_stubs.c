// SPDX-License-Identifier: MIT
/* Stubs: what the entries of a watched interpreter's dispatch table lead to. A stub goes on to the handler at once if
 * the instruction is on the line of the last step, else by way of the agent. No register and no flag is another one
 * then. */
#include <Zydis/Zydis.h>
#include <stddef.h>
#include <string.h>

#include "replay/agents/python.h"

#define HEAD(field) (e->base + offsetof(struct ct_pya_head, field))
#define RAX         0
#define RCX         1

struct emitter {
	unsigned char *code;
	size_t len;
	ct_u64 base; /* the agent's */
	ct_u64 at;   /* where code[0] will lie */
};

static void emit(struct emitter *e, const void *bytes, size_t len)
{
	if (e->len + len <= CT_PYA_STUB_SIZE)
		memcpy(e->code + e->len, bytes, len);
	e->len += len;
}
#define OP(...) emit(e, (const unsigned char[]){__VA_ARGS__}, sizeof((const unsigned char[]){__VA_ARGS__}))

/* The displacement of a rip-relative operand, `more` bytes before the instruction's end. */
static void emit_rel(struct emitter *e, ct_u64 target, unsigned more)
{
	ct_s32 rel = (ct_s32)(target - (e->at + e->len + 4 + more));

	emit(e, &rel, 4);
}

/* An instruction of one register and one word of memory: mov load 0x8b, store 0x89, cmp register with memory 0x3b. */
static void memory(struct emitter *e, unsigned char opcode, unsigned reg, ct_u64 addr)
{
	OP((unsigned char)(0x48 | (reg & 8 ? 4 : 0)), opcode, (unsigned char)(5 | (reg & 7) << 3));
	emit_rel(e, addr, 0);
}

/* A short forward jump, to be closed later. */
static size_t jump(struct emitter *e, unsigned char opcode)
{
	OP(opcode, 0);
	return e->len;
}
static void here(struct emitter *e, size_t from)
{
	if (e->len <= CT_PYA_STUB_SIZE)
		e->code[from - 1] = (unsigned char)(e->len - from);
}

/* Where the jump went through a register, this holds the stub's address; it shall be the handler's. */
static void fix_registers(struct emitter *e, const struct ct_python *py, unsigned k)
{
	size_t skip;

	if (py->jump_regs == 1u << RAX && !py->indirect) {
		memory(e, 0x8b, RAX, HEAD(original) + 8 * k);
		memory(e, 0x89, RAX, HEAD(rax));
		return;
	}
	OP(0x9f, 0x0f, 0x90, 0xc0); /* lahf; seto %al */
	if (py->jump_regs & 1u << RAX) {
		memory(e, 0x89, RCX, HEAD(rcx));
		memory(e, 0x8b, RCX, HEAD(rax));
		memory(e, 0x3b, RCX, HEAD(stub) + 8 * k);
		skip = jump(e, 0x75);
		memory(e, 0x8b, RCX, HEAD(original) + 8 * k);
		memory(e, 0x89, RCX, HEAD(rax));
		here(e, skip);
		memory(e, 0x8b, RCX, HEAD(rcx));
	}
	for (unsigned reg = 1; reg < 16; reg++) {
		if (!(py->jump_regs & 1u << reg))
			continue;
		memory(e, 0x3b, reg, HEAD(stub) + 8 * k);
		skip = jump(e, 0x75);
		memory(e, 0x8b, reg, HEAD(original) + 8 * k);
		here(e, skip);
	}
	OP(0x04, 0x7f, 0x9e); /* add $0x7f,%al; sahf */
}

static void to_agent(struct emitter *e, unsigned k)
{
	OP(0x48, 0xc7, 0x05); /* movq $k,index(%rip) */
	emit_rel(e, HEAD(index), 4);
	emit(e, &(ct_u32){k}, 4);
	OP(0xe9);
	emit_rel(e, e->base + CT_PYA_ENTRY, 0);
}

static void stub(struct emitter *e, const struct ct_python *py, unsigned k, bool slow)
{
	size_t away[3] = {0};

	memory(e, 0x89, RAX, HEAD(rax));
	fix_registers(e, py, k);
	if (!slow) {
		OP(0x9f, 0x0f, 0x90, 0xc0);
		memory(e, 0x3b, py->frame_reg, HEAD(cur_frame));
		away[0] = jump(e, 0x75); /* jne */
		memory(e, 0x3b, py->next_reg, HEAD(cur_start));
		away[1] = jump(e, 0x72); /* jb */
		memory(e, 0x3b, py->next_reg, HEAD(cur_end));
		away[2] = jump(e, 0x73); /* jae */
		memory(e, 0x89, py->next_reg, HEAD(cur_start));
		OP(0x04, 0x7f, 0x9e);
		memory(e, 0x8b, RAX, HEAD(rax));
		OP(0xff, 0x25); /* jmp *original[k](%rip) */
		emit_rel(e, HEAD(original) + 8 * k, 0);
		for (int i = 0; i < 3; i++)
			here(e, away[i]);
		OP(0x04, 0x7f, 0x9e);
	}
	memory(e, 0x8b, RAX, HEAD(rax));
	to_agent(e, k);
}

int ct_python_stubs(const struct ct_python *py, const struct ct_python_layout *layout, ct_u64 bias, ct_u64 base,
		    struct ct_pya_head *head, unsigned char *code)
{
	for (unsigned k = 0; k < 256; k++) {
		struct emitter e = {.code = code + k * CT_PYA_STUB_SIZE,
				    .base = base,
				    .at = base + CT_PYA_STUBS + k * CT_PYA_STUB_SIZE};
		unsigned first = 0;
		bool slow = false;

		/* One stub a handler, so that a handler's address tells which. */
		while (py->target[first] != py->target[k])
			first++;
		for (unsigned op = 0; op < 256; op++)
			slow |= py->target[op] == py->target[k] && layout->op[op] != CT_PYOP_PLAIN;
		head->original[k] = py->target[k] + bias;
		head->stub[k] = base + CT_PYA_STUBS + first * CT_PYA_STUB_SIZE;
		if (layout->tracing && py->target[k] == py->target[layout->tracing])
			head->stub[k] = head->original[k];
		stub(&e, py, k, slow);
		if (e.len > CT_PYA_STUB_SIZE)
			return -1;
	}
	to_agent(&(struct emitter){.code = code + CT_PYA_SWITCH - CT_PYA_STUBS,
				   .base = base,
				   .at = base + CT_PYA_SWITCH},
		 CT_PYA_SWITCH_INDEX);
	return 0;
}

/* ---- places between the load and the jump ------------------------------------------------------------------- */

/* By hardware number: rax rcx rdx rbx rsp rbp rsi rdi r8..r15. */
static const unsigned char index_of[16] = {CT_RAX, CT_RCX, CT_RDX, CT_RBX, CT_RSP, CT_RBP, CT_RSI, CT_RDI,
					   CT_R8,  CT_R9,  CT_R10, CT_R11, CT_R12, CT_R13, CT_R14, CT_R15};

/* Does the code at `ip` jump to where `reg` points, without anything in between that changes it or leads elsewhere? */
static bool about_to_jump(int memfd, ct_u64 ip, unsigned reg)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	unsigned char code[64];
	ZydisDecoder dec;

	if (!ct_mem_read(memfd, ip, code, sizeof(code)))
		return false;
	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (size_t i = 0, n = 0; n < 6; i += insn.length, n++) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code + i, sizeof(code) - i, &insn, ops)))
			return false;
		if (insn.mnemonic == ZYDIS_MNEMONIC_JMP)
			return ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			       ZydisRegisterGetId(ops[0].reg.value) == (ZyanI8)reg;
		if (insn.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || insn.mnemonic == ZYDIS_MNEMONIC_RET)
			return false;
		for (int k = 0; k < insn.operand_count; k++)
			if (ops[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			    (ops[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
			    ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, ops[k].reg.value) ==
				    (ZydisRegister)(ZYDIS_REGISTER_RAX + reg))
				return false;
	}
	return false;
}

void ct_python_regs_expected(const struct ct_python *py, ct_u64 bias, const struct ct_pya_head *head, int memfd,
			     struct ct_regs *regs)
{
	const ct_u64 ip = regs->r[CT_RIP] - bias;

	if (ip < py->text || ip >= py->text_end)
		return;
	for (unsigned reg = 0; reg < 16; reg++) {
		if (!(py->jump_regs & 1u << reg))
			continue;
		for (int k = 0; k < 256; k++)
			if (regs->r[index_of[reg]] == head->original[k]) {
				if (about_to_jump(memfd, regs->r[CT_RIP], reg))
					regs->r[index_of[reg]] = head->stub[k];
				break;
			}
	}
}

void ct_python_regs_original(const struct ct_pya_head *head, struct ct_regs *regs)
{
	for (unsigned reg = 0; reg < 16; reg++)
		for (int k = 0; k < 256; k++)
			if (regs->r[index_of[reg]] == head->stub[k])
				regs->r[index_of[reg]] = head->original[k];
}
