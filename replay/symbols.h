/* SPDX-License-Identifier: MIT
 * What debug information says of a timeline's present moment: functions, source lines and stacks; values.h has
 * variables. Programs and libraries are the recording's kept files; separate debug files are this machine's. */
#ifndef CT_SYMBOLS_H
#define CT_SYMBOLS_H

#include <elfutils/libdwfl.h>

#include "replay/timeline.h"

struct ct_symbols;
struct ct_symbols *ct_symbols_create(struct ct_timeline *tl, struct ct_error *err);
void ct_symbols_destroy(struct ct_symbols *sy);
struct ct_timeline *ct_symbols_timeline(struct ct_symbols *sy);
/* After the timeline has moved: what is mapped now. 1: it is not what it was; texts of places are gone then; 0; -1. */
int ct_symbols_update(struct ct_symbols *sy, struct ct_error *err);

/* Where an address is. NULL and 0: not known. Texts are good until the next update. */
struct ct_place {
	const char *module;          /* the path it had */
	const char *function;        /* the nearest symbol */
	ct_u64 begin;                /* of the function */
	const char *file;            /* as the compiler was given it, made absolute */
	int line;                    /* 0: there is no line */
	ct_u64 line_begin, line_end; /* of the code of this line around the address */
};
void ct_symbols_place(struct ct_symbols *sy, ct_u64 addr, struct ct_place *place);

/* Addresses for breakpoints at a place as people write it: FUNCTION, behind its prologue; FILE:LINE, or the next line
 * that has code; at most `most`. `file`, for a line alone, may be NULL. Returns how many there are, 0: none. */
size_t ct_symbols_find(struct ct_symbols *sy, const char *text, const char *file, ct_u64 *addr, size_t most);

/* The first instruction of a function. */
bool ct_symbols_entry(struct ct_symbols *sy, const char *function, ct_u64 *addr);

struct ct_frame {
	struct ct_regs regs; /* as far as they are known; rip is */
	ct_u32 known;        /* bits of enum ct_reg */
	bool call;           /* it is in a call: rip is the instruction behind it */
	ct_u64 cfa;          /* rsp before it was called, 0: not known */
};
/* The innermost first. Returns how many there are, 0 if the thread is gone. */
size_t ct_symbols_unwind(struct ct_symbols *sy, ct_u32 tid, struct ct_frame *frame, size_t most);
/* That which debug information is looked up by: within the call instruction. */
static inline ct_u64 ct_frame_at(const struct ct_frame *f)
{
	return f->regs.r[CT_RIP] - f->call;
}
extern const int ct_dwarf_regs[17]; /* enum ct_reg by DWARF's number; 16 is rip */

/* ---- for values.c ---- */

Dwfl_Module *ct_symbols_module(struct ct_symbols *sy, ct_u64 addr);
/* The module's unit that has the address, NULL: none; *bias is added to its addresses. */
Dwarf_Die *ct_symbols_unit(struct ct_symbols *sy, ct_u64 addr, Dwarf_Addr *bias);
Dwfl *ct_symbols_dwfl(struct ct_symbols *sy);

#endif
