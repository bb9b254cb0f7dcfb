/* SPDX-License-Identifier: MIT
 * Clocks: how a moment in a thread's life is told apart from all others at which it passes the same place.
 *
 * By what registers and memory hold (fingerprint), or by the number of conditional branches it has executed: its ticks,
 * which a counter of the CPU (pmu) or single-stepping (step) counts. Ticks must be of the program's own code alone, so
 * with a clock that counts nothing of ours is put among it: no patched call sites, no trampolines. */
#ifndef CT_CLOCK_H
#define CT_CLOCK_H

#include <stdbool.h>

#include "formats/recording.h"
#include "replay/replica.h"

struct ct_clock {
	const char *name;
	bool counts; /* ticks */
	bool native; /* threads run at full speed */
	/* How many branches a stop asked for by t->tick_stop may come late. */
	ct_u64 (*skid)(void);
	/* Continues `t` to its next stop as ptrace(request) does, and adds to t->ticks. Once they reach t->tick_stop
	 * (0: never) it is stopped there, as if by a breakpoint. -1: it is gone, or t->clock_error says what failed. */
	int (*resume)(struct ct_rthread *t, int request, int *status);
};
extern const struct ct_clock ct_clock_fingerprint, ct_clock_pmu, ct_clock_step;

/* The clock called `name` for this recording; NULL or "auto": the best that works. Refuses one that cannot work here or
 * with this recording. *why: the reason for the choice, for people. */
const struct ct_clock *ct_clock_choose(const struct ct_recording *rec, const char *name, char *why, size_t len,
				       struct ct_error *err);
#define CT_CLOCK_WHY 300
/* Whether there is a clock of that name, or it is "auto". */
bool ct_clock_known(const char *name);

/* Where to stop a thread that has `now` ticks on the way to `target`, if stops come up to `skid` late. 0: it is near
 * enough already. */
ct_u64 ct_clock_stop_before(ct_u64 now, ct_u64 target, ct_u64 skid);
/* One instruction of a stopped thread, counted in software if its clock counts. */
int ct_clock_step_once(struct ct_rthread *t, int *status);
int ct_clock_step_by(struct ct_rthread *t, int request, int *status); /* by PTRACE_SINGLESTEP or its SYSEMU form */

/* What an instruction is to somebody who steps over it. */
enum ct_step_kind {
	CT_STEP_PLAIN,
	CT_STEP_BRANCH, /* a conditional branch */
	CT_STEP_CALL,   /* of the kernel */
	CT_STEP_PUSHF,  /* stores the flags */
	CT_STEP_TRAP,   /* traps by itself */
};
enum ct_step_kind ct_step_kind(const unsigned char *code, size_t len);

#endif
