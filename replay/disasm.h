/* SPDX-License-Identifier: MIT
 * One instruction: its text, and what a debugger that steps has to know of it. */
#ifndef CT_DISASM_H
#define CT_DISASM_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/event.h"

enum ct_insn_kind { CT_KIND_OTHER, CT_KIND_CALL, CT_KIND_RETURN, CT_KIND_JUMP /* always taken */ };
struct ct_disasm {
	unsigned len;
	enum ct_insn_kind kind;
	char text[96]; /* AT&T */
};
/* False: these bytes are none. */
bool ct_disassemble(const void *code, size_t len, ct_u64 at, struct ct_disasm *insn);

#endif
