/* SPDX-License-Identifier: MIT
 * What is known about a divergence: the event, what was expected there and what came, the code, what led to it.
 *
 * Gathered here as data; user/report_text.c words it. */
#ifndef CT_REPORT_H
#define CT_REPORT_H

#include "replay/session.h"

#define CT_REPORT_EVENTS  8  /* last events of each thread */
#define CT_REPORT_THREADS 16 /* threads shown, those that did something last */
#define CT_REPORT_INSNS   12
#define CT_REPORT_ADVICE  8

struct ct_report_insn {
	ct_u64 ip;
	ct_u8 bytes[15], len;
	bool here; /* the thread stands before it */
	char text[96];
};
struct ct_report_thread {
	ct_u32 tid;
	size_t count;
	struct ct_event *event[CT_REPORT_EVENTS]; /* owned, oldest first */
};
struct ct_report {
	char what[400];      /* what differs */
	struct ct_event *ev; /* owned; the event that could not be replayed, NULL: behind the last */
	ct_u32 tid, pid;     /* the thread that is not where it should be, 0: none */
	char call[512];      /* the system call it stands at, if any: as it would have been made */
	bool has_got;
	struct ct_regs got, want;
	ct_u32 known;         /* bit r: want.r[r] is what was recorded */
	ct_u32 different;     /* bit r: known, and got.r[r] is not that */
	char place[512];      /* file, symbol and offset, source line of rip */
	char want_place[512]; /* the same of the recorded rip, if that is another */
	struct ct_report_insn insn[CT_REPORT_INSNS];
	size_t ninsns;
	struct ct_report_thread thread[CT_REPORT_THREADS];
	size_t nthreads;
	char advice[CT_REPORT_ADVICE][256];
	size_t nadvice;
};

/* After ct_session_run or _compare has failed with CT_EXIT_DIVERGED, before the session is destroyed. NULL: no memory.
 */
struct ct_report *ct_session_report(struct ct_session *s);
void ct_report_free(struct ct_report *r);

#endif
