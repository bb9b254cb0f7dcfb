// SPDX-License-Identifier: MIT
/* Stubs: what the entries of a watched interpreter's dispatch table lead to. A stub goes on to the handler at once if
 * the instruction is on the line of the last step, else by way of the agent. No register and no flag is another one
 * then. */
#include <Zydis/Zydis.h>
#include <stddef.h>
#include <string.h>

#include "replay/agents/python.h"
#include "replay/emitter.h"

#define HEAD(field) (base + offsetof(struct ct_pya_head, field))
#define RAX         0
#define RCX         1

/* Where the jump went through a register, this holds the stub's address; it shall be the handler's. */
static void fix_registers(struct ct_emitter *e, ct_u64 base, const struct ct_python *py, unsigned k)
{
	size_t skip;

	if (py->jump_regs == 1u << RAX && !py->indirect) {
		ct_emit_memory(e, CT_OP_LOAD, RAX, HEAD(original) + 8 * k);
		ct_emit_memory(e, CT_OP_STORE, RAX, HEAD(rax));
		return;
	}
	CT_EMIT(e, 0x9f, 0x0f, 0x90, 0xc0); /* lahf; seto %al */
	if (py->jump_regs & 1u << RAX) {
		ct_emit_memory(e, CT_OP_STORE, RCX, HEAD(rcx));
		ct_emit_memory(e, CT_OP_LOAD, RCX, HEAD(rax));
		ct_emit_memory(e, CT_OP_CMP, RCX, HEAD(stub) + 8 * k);
		skip = ct_emit_jump(e, 0x75);
		ct_emit_memory(e, CT_OP_LOAD, RCX, HEAD(original) + 8 * k);
		ct_emit_memory(e, CT_OP_STORE, RCX, HEAD(rax));
		ct_emit_here(e, skip);
		ct_emit_memory(e, CT_OP_LOAD, RCX, HEAD(rcx));
	}
	for (unsigned reg = 1; reg < 16; reg++) {
		if (!(py->jump_regs & 1u << reg))
			continue;
		ct_emit_memory(e, CT_OP_CMP, reg, HEAD(stub) + 8 * k);
		skip = ct_emit_jump(e, 0x75);
		ct_emit_memory(e, CT_OP_LOAD, reg, HEAD(original) + 8 * k);
		ct_emit_here(e, skip);
	}
	CT_EMIT(e, 0x04, 0x7f, 0x9e); /* add $0x7f,%al; sahf */
}

static void to_agent(struct ct_emitter *e, ct_u64 base, unsigned k)
{
	CT_EMIT(e, 0x48, 0xc7, 0x05); /* movq $k,index(%rip) */
	ct_emit_rel(e, HEAD(index), 4);
	ct_emit(e, &(ct_u32){k}, 4);
	CT_EMIT(e, 0xe9);
	ct_emit_rel(e, base + CT_PYA_ENTRY, 0);
}

static void stub(struct ct_emitter *e, ct_u64 base, const struct ct_python *py, unsigned k, bool slow)
{
	size_t away[3] = {0};

	ct_emit_memory(e, CT_OP_STORE, RAX, HEAD(rax));
	fix_registers(e, base, py, k);
	if (!slow) {
		CT_EMIT(e, 0x9f, 0x0f, 0x90, 0xc0);
		ct_emit_memory(e, CT_OP_CMP, py->frame_reg, HEAD(cur_frame));
		away[0] = ct_emit_jump(e, 0x75); /* jne */
		ct_emit_memory(e, CT_OP_CMP, py->next_reg, HEAD(cur_start));
		away[1] = ct_emit_jump(e, 0x72); /* jb */
		ct_emit_memory(e, CT_OP_CMP, py->next_reg, HEAD(cur_end));
		away[2] = ct_emit_jump(e, 0x73); /* jae */
		ct_emit_memory(e, CT_OP_STORE, py->next_reg, HEAD(cur_start));
		CT_EMIT(e, 0x04, 0x7f, 0x9e);
		ct_emit_memory(e, CT_OP_LOAD, RAX, HEAD(rax));
		CT_EMIT(e, 0xff, 0x25); /* jmp *original[k](%rip) */
		ct_emit_rel(e, HEAD(original) + 8 * k, 0);
		for (int i = 0; i < 3; i++)
			ct_emit_here(e, away[i]);
		CT_EMIT(e, 0x04, 0x7f, 0x9e);
	}
	ct_emit_memory(e, CT_OP_LOAD, RAX, HEAD(rax));
	to_agent(e, base, k);
}

int ct_python_stubs(const struct ct_python *py, const struct ct_python_layout *layout, ct_u64 bias, ct_u64 base,
		    struct ct_pya_head *head, unsigned char *code)
{
	for (unsigned k = 0; k < 256; k++) {
		struct ct_emitter e = {.code = code + k * CT_PYA_STUB_SIZE,
				       .room = CT_PYA_STUB_SIZE,
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
		stub(&e, base, py, k, slow);
		if (e.failed)
			return -1;
	}
	to_agent(&(struct ct_emitter){.code = code + CT_PYA_SWITCH - CT_PYA_STUBS,
				      .room = CT_PYA_STUB_SIZE,
				      .at = base + CT_PYA_SWITCH},
		 base, CT_PYA_SWITCH_INDEX);
	return 0;
}

/* ---- places between the load and the jump ------------------------------------------------------------------- */

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
			if (regs->r[ct_reg_index(reg)] == head->original[k]) {
				if (about_to_jump(memfd, regs->r[CT_RIP], reg))
					regs->r[ct_reg_index(reg)] = head->stub[k];
				break;
			}
	}
}

void ct_python_regs_original(const struct ct_pya_head *head, struct ct_regs *regs)
{
	for (unsigned reg = 0; reg < 16; reg++)
		for (int k = 0; k < 256; k++)
			if (regs->r[ct_reg_index(reg)] == head->stub[k])
				regs->r[ct_reg_index(reg)] = head->original[k];
}
