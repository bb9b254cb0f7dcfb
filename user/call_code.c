/* SPDX-License-Identifier: MIT
 * Reading code instruction by instruction, and what instructions do. */
#include "user/call_code.h"

#include <stdlib.h>

bool ct_call_code_read(const struct ct_image *im, ct_u64 addr, size_t len, struct ct_call_code *c)
{
	ZydisDecoderInit(&c->dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	c->addr = addr;
	c->bytes = malloc(len);
	c->len = c->bytes ? ct_image_code(im, addr, c->bytes, len, &c->offset) : 0;
	return c->len > 0;
}

bool ct_call_code_next(const struct ct_call_code *c, ct_u64 *addr, struct ct_decoded *n)
{
	for (; *addr >= c->addr && *addr - c->addr < c->len; ++*addr)
		if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&c->dec, c->bytes + (*addr - c->addr),
							c->len - (*addr - c->addr), &n->i, n->op))) {
			n->addr = *addr;
			*addr += n->i.length;
			return true;
		}
	return false;
}

int ct_insn_register(ZydisRegister reg)
{
	return ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_GPR64 ? ZydisRegisterGetId(reg) : -1;
}

bool ct_insn_loads(const struct ct_decoded *n, unsigned base, ct_s64 disp, unsigned to)
{
	return n->i.mnemonic == ZYDIS_MNEMONIC_MOV && n->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       n->op[1].type == ZYDIS_OPERAND_TYPE_MEMORY && ct_insn_register(n->op[0].reg.value) == (int)to &&
	       ct_insn_register(n->op[1].mem.base) == (int)base && n->op[1].mem.index == ZYDIS_REGISTER_NONE &&
	       n->op[1].mem.disp.value == disp;
}

bool ct_insn_stores(const struct ct_decoded *n, unsigned from, unsigned base, ct_s64 disp)
{
	return n->i.mnemonic == ZYDIS_MNEMONIC_MOV && n->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       n->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY && ct_insn_register(n->op[1].reg.value) == (int)from &&
	       ct_insn_register(n->op[0].mem.base) == (int)base && n->op[0].mem.index == ZYDIS_REGISTER_NONE &&
	       n->op[0].mem.disp.value == disp;
}

ct_u64 ct_insn_leads_to(const struct ct_decoded *n)
{
	const bool direct = n->i.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE &&
			    n->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && n->op[0].imm.is_relative;

	return direct ? n->addr + n->i.length + n->op[0].imm.value.u : 0;
}

bool ct_insn_branches(const struct ct_decoded *n)
{
	return n->i.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || n->i.meta.category == ZYDIS_CATEGORY_RET;
}

bool ct_insn_ends(const struct ct_decoded *n)
{
	return n->i.meta.category == ZYDIS_CATEGORY_UNCOND_BR || n->i.meta.category == ZYDIS_CATEGORY_RET;
}
