// SPDX-License-Identifier: MIT
/* Disassembling by Zydis. */
#include "replay/disasm.h"

#include <Zydis/Zydis.h>

bool ct_disassemble(const void *code, size_t len, ct_u64 at, struct ct_disasm *insn)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction in;
	ZydisFormatter formatter;
	ZydisDecoder dec;

	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT);
	ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
	ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE, ZYDIS_PADDING_DISABLED);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code, len, &in, ops)) ||
	    !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &in, ops, in.operand_count_visible, insn->text,
							  sizeof(insn->text), at, NULL)))
		return false;
	insn->len = in.length;
	switch (in.meta.category) {
	case ZYDIS_CATEGORY_CALL: insn->kind = CT_KIND_CALL; break;
	case ZYDIS_CATEGORY_RET: insn->kind = CT_KIND_RETURN; break;
	case ZYDIS_CATEGORY_UNCOND_BR: insn->kind = CT_KIND_JUMP; break;
	default: insn->kind = CT_KIND_OTHER;
	}
	return true;
}
