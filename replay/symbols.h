/* SPDX-License-Identifier: MIT
 * Debug information (dwarf.h) of what is mapped at the present moment of a timeline or a session. Programs and
 * libraries are the recording's kept files; separate debug files are this machine's. */
#ifndef CT_SYMBOLS_H
#define CT_SYMBOLS_H

#include "replay/dwarf.h"
#include "replay/timeline.h"

struct ct_symbols;
struct ct_symbols *ct_symbols_create(struct ct_timeline *tl, struct ct_error *err);
/* The same of a process of a session; `image` is a snapshot that has it, which names its files. */
struct ct_symbols *ct_symbols_create_for(struct ct_session *s, struct ct_recording *rec, ct_u32 pid, ct_u32 image,
					 struct ct_error *err);
/* From here on it speaks of this process, which has the same program: a fork. */
void ct_symbols_read_from(struct ct_symbols *sy, ct_u32 pid);
/* Whether this process has the same mapped as is known. */
bool ct_symbols_fit(const struct ct_symbols *sy, ct_u32 pid);
/* The snapshot it was made with. */
ct_u32 ct_symbols_snapshot(const struct ct_symbols *sy);
void ct_symbols_destroy(struct ct_symbols *sy);
struct ct_dwarf *ct_symbols_dwarf(struct ct_symbols *sy);
const struct ct_dwarf_memory *ct_symbols_memory(struct ct_symbols *sy);
/* After the timeline has moved: what is mapped now. 1: it is not what it was, and texts, stacks and values from before
 * are gone; 0; -1. */
int ct_symbols_update(struct ct_symbols *sy, struct ct_error *err);

/* Where an address is. NULL and 0: not known. */
struct ct_place {
	const char *module;          /* the path it had */
	const char *function;        /* the nearest symbol */
	ct_u64 begin;                /* of the function */
	const char *file;            /* absolute, as it was compiled */
	int line;                    /* 0: there is no line */
	ct_u64 line_begin, line_end; /* of the code of this line around the address */
};
void ct_symbols_place(struct ct_symbols *sy, ct_u64 addr, struct ct_place *place);

/* Addresses for breakpoints at a place as people write it: FUNCTION, behind its prologue; FILE:LINE, or the next line
 * that has code; a line alone is of `file`, which may be NULL. At most `most`; returns how many there are. */
size_t ct_symbols_find(struct ct_symbols *sy, const char *text, const char *file, ct_u64 *addr, size_t most);
/* The stack of a thread; -1 if it is gone. */
int ct_symbols_unwind(struct ct_symbols *sy, ct_u32 tid, size_t most, struct ct_dwarf_stack *stack,
		      struct ct_error *err);

#endif
