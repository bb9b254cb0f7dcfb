/* SPDX-License-Identifier: MIT
 * Between position.c, which runs a thread to a recorded position, and position_match.c, which says whether it is there.
 */
#ifndef CT_POSITION_H
#define CT_POSITION_H

#include "replay/session_priv.h"
#include "replay/trampoline.h"

/* Flags that user code computes: CF PF AF ZF SF DF OF. RF and TF are the tracer's. */
#define CT_USER_FLAGS 0xcd5ull

/* Looking for one position of one thread. */
struct ct_search {
	struct ct_session *s;
	struct ct_rthread *t;
	const struct ct_regs *regs;     /* as they will be here ... */
	const struct ct_regs *recorded; /* ... and as they were: an agent may have put addresses of its own in some */
	const struct ct_fingerprint *fp;
	struct ct_trampoline *tr; /* NULL: none */
	int signal;               /* that the instruction there may raise; 0: none */
	struct ct_rep rep;        /* the instruction at the position */
	struct ct_maps maps;      /* read when first needed */
	bool approaching;         /* not at the place yet */
	bool ticked;              /* the fingerprint says how many ticks the thread has there */
	ct_u64 near;              /* passes with the right registers ... */
	ct_u64 differs;           /* ... the last of which had other memory here ... */
	ct_u64 other_ticks;       /* passes with the right registers at another tick ... */
	ct_u64 other;             /* ... the last of which was this one */
	ct_u32 unknown;           /* registers that do not matter, bits of enum ct_reg */
	bool stepped;             /* it has come there by a step of its own: a SIGTRAP is due */
	bool here;                /* a breakpoint of the user's is at the place, and it has been reached */
	ct_u64 hint, want;        /* ... in these eight bytes, which ought to be `want`; 0: none */
};
struct ct_search ct_search_for(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *regs,
			       const struct ct_regs *recorded, const struct ct_fingerprint *fp);
/* Those that matter. */
bool ct_search_same_regs(const struct ct_search *q, const struct ct_regs *r);
/* Only called where the registers are right: ticks and samples of memory are, too. */
bool ct_search_same_memory(struct ct_search *q);

#endif
