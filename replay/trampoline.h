/* SPDX-License-Identifier: MIT
 * Trampolines: native code in the replica that notices when a thread passes an address with given register values.
 *
 * A pass costs some nanoseconds; a hardware breakpoint and a look by ptrace cost ten thousand times as much. */
#ifndef CT_TRAMPOLINE_H
#define CT_TRAMPOLINE_H

#include "replay/replica.h"

#define CT_TRAMPOLINE_JUMP  5 /* bytes that are replaced */
#define CT_TRAMPOLINE_HINTS 4
#define CT_TRAMPOLINE_MAX   24 /* bytes of code that may be covered by the jump and the instructions it cuts */

/* A string instruction with a repeat prefix: a thread can be interrupted between any two of its rounds. */
struct ct_rep {
	unsigned len;  /* of the instruction; 0: it is none */
	unsigned size; /* bytes a round goes on by */
	bool rsi, rdi; /* counted up (or down) each round */
	bool loads;    /* lods: rax is another each round */
	bool compares; /* cmps, scas: ends early, and changes flags */
	bool until_equal;
};
/* What `bytes` (at least 15) begin with. False if that is a repeated instruction that cannot be handled. */
bool ct_rep_decode(const unsigned char *bytes, struct ct_rep *rep);

struct ct_trampoline {
	struct ct_rthread *t;
	ct_u64 ip;    /* where it is installed */
	ct_u64 page;  /* its code, mapped near ip */
	bool mapped;  /* only for it */
	ct_u64 stop;  /* address behind its int3: the sum of registers is the wanted one */
	ct_u64 go_on; /* where a thread stopped there continues if it was not the moment: the replaced instructions */
	unsigned covered;
	unsigned jump; /* bytes replaced at ip: 5, or 2 for a short jump to a long one in unused bytes at `slot` */
	ct_u64 slot;
	unsigned char slot_orig[CT_TRAMPOLINE_JUMP];
	unsigned char orig[CT_TRAMPOLINE_MAX];
	ct_u64 inner[3]; /* addresses of the covered instructions but the first: a jump may lead there */
	unsigned ninner;
	unsigned inner_stops;             /* how often one did */
	ct_u64 landing;                   /* of a narrow jump, in pages of its own; 0: none */
	struct ct_rep rep;                /* the first of them */
	ct_u64 hint[CT_TRAMPOLINE_HINTS]; /* where in the code the hints' addresses are, and how many are set */
	unsigned nhints;
	struct {
		ct_u64 moved, original;
	} place[6]; /* instructions of the program's own, there and here, and what comes behind them */
	unsigned nplaces;
	ct_u64 moved_next; /* where the second of them is now, or what comes behind */
};

/* Installs one at regs->rip, for which registers in `unknown` (bits of enum ct_reg) do not matter. -1 if the code there
 * does not allow it (then nothing has been changed). */
int ct_trampoline_install(struct ct_trampoline *tr, struct ct_rthread *t, const struct ct_regs *regs, ct_u32 unknown);
/* From now on it only stops when the eight bytes at `addr` are `want`, too: a pass with the right registers but other
 * memory, as of a loop that counts in memory only, costs nanoseconds again. Of more than four hints the oldest go. */
int ct_trampoline_hint(struct ct_trampoline *tr, ct_u64 addr, ct_u64 want);
/* A jump leads into the covered instructions: it was a stop. When that has become a habit, only the first instruction
 * is replaced from now on. The last bytes of its jump are then the program's own, so it leads to wherever they say. -1:
 * it cannot be written. */
int ct_trampoline_entered(struct ct_trampoline *tr);
void ct_trampoline_remove(struct ct_trampoline *tr);

/* The instructions at `at`, made to mean the same at `to`. Returns their length there, 0 if they cannot be moved. */
size_t ct_relocate(const unsigned char *bytes, size_t len, ct_u64 at, ct_u64 to, unsigned char *out, size_t room);

#endif
