/* SPDX-License-Identifier: MIT
 * Where in a native function probes go, chosen by disassembly.
 *
 * The kernel emulates few instructions at a probe (push, call, jumps, nops); any other is single-stepped out of line,
 * some twenty times as dear. A 5-byte nop is replaced by a call, which overwrites the red zone: it is probed only
 * where nothing can be there yet. */
#ifndef CT_SITES_H
#define CT_SITES_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/event.h"

enum ct_site_cost {
	CT_SITE_CHEAP,   /* emulated */
	CT_SITE_STEPPED, /* single-stepped */
	CT_SITE_NONE,    /* nowhere: `why` */
};
/* The entry: run exactly once a call, with the stack pointer on the return address. */
struct ct_site {
	enum ct_site_cost cost;
	size_t at;      /* from the function's first byte */
	unsigned nargs; /* argument registers that are still as they were */
	const char *why;
};
void ct_site_entry(const ct_u8 *code, size_t len, struct ct_site *site);

/* Instructions at which it is left: returns, and jumps out of it. */
struct ct_exit_site {
	size_t at;
	bool jump;
	ct_u64 to; /* of a jump, relative to the function's first byte */
};
/* How many there are, of which at most `max` are stored; -1: it cannot be decoded to its end. */
int ct_site_exits(const ct_u8 *code, size_t len, struct ct_exit_site *exits, size_t max);

#endif
