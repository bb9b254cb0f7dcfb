/* SPDX-License-Identifier: MIT
 * Parts of a timeline: timeline_open.c (which part of the recording it is), timeline.c (checkpoints, seeking),
 * timeline_run.c (to stops, both ways), timeline_step.c (one instruction), timeline_before.c and timeline_guess.c
 * (finding the instruction before), timeline_text.c, diversion.c. */
#ifndef CT_TIMELINE_PRIV_H
#define CT_TIMELINE_PRIV_H

#include "replay/kept.h"
#include "replay/session_priv.h"
#include "replay/stretch.h"
#include "replay/timeline.h"

struct ct_mark {
	ct_u64 next;
	ct_u64 tau; /* replay time from the beginning, ns */
	struct ct_checkpoint *cp;
	ct_u64 bytes; /* when last measured */
};
struct ct_image {
	ct_u64 seq; /* of its EXEC snapshot */
	ct_u32 snapshot;
};

/* A stop on the way that was searched backwards. */
struct ct_hit {
	struct ct_moment at;
	struct ct_stopped what;
	ct_u64 note;
};

/* Checkpoints among the instructions before some event, so that those before the present one are few steps away. */
struct ct_window {
	ct_u64 next;                 /* that event, 0: there is none */
	struct ct_checkpoint *cp[2]; /* the second is behind the first; NULL: the timeline's own, at `next` */
	ct_u64 step[2];              /* where they are, counted in instructions from some place */
	ct_u64 at;                   /* ... and the present moment */
	struct ct_moment now;        /* that one */
};
#define CT_WINDOW 256 /* instructions between the two, or more */

struct ct_timeline {
	struct ct_recording *rec;
	struct ct_session *s;
	ct_u32 from, pid;
	ct_u64 begin, end, born; /* events; the last is the process's first */
	struct ct_image *images;
	size_t nimages;
	struct ct_kept_files kept; /* of the log */
	struct ct_mark *marks;     /* by `next`; the first is the beginning */
	size_t nmarks;
	ct_u64 memory, spacing; /* ns */
	ct_u64 cost;            /* of a checkpoint, ns */
	unsigned measured;      /* how many looks at what one of them has */
	ct_u64 tau;             /* of the present moment */
	ct_u64 passed;          /* `next` of the checkpoint that it counts from */
	ct_u64 began;           /* when the present run did, ns */
	bool broken;            /* the session is not at a moment any more */
	struct ct_stop *stops;
	size_t nstops;
	ct_u64 signals;
	bool syscalls, execs;
	bool (*met)(void *ctx, const struct ct_stop *stop, ct_u32 tid);
	void *met_ctx;
	ct_u64 met_key; /* of the condition, 0: it is another one each time */
	struct ct_choice choice;
	bool (*interrupt)(void *ctx);
	void *interrupt_ctx;
	/* while it runs */
	bool catching, want_mark, interrupted;
	unsigned asked;
	struct ct_stopped caught;
	bool has_caught;
	struct ct_window window;
	struct {
		ct_u64 next; /* event before which more has been executed than a few instructions */
		unsigned predicted;
		bool far; /* ... than are stepped through without need */
	} apart;
	struct {
		struct ct_hit *list; /* stops before `from`, in the order of time, up to the last one ... */
		size_t n;
		ct_u64 key; /* ... for runs that stop at the same */
		struct ct_moment from;
	} recent;
	struct ct_checkpoint *home; /* of a diversion */
	struct ct_moment home_moment;
	bool written; /* in the diversion: memory */
	struct ct_timeline_stats stats;
};

ct_u64 ct_tl_ns(void);
/* Fills in what it is about: from, pid, its events, images. */
int ct_tl_choose(struct ct_timeline *tl, const struct ct_timeline_opts *opts, struct ct_error *err);
/* The event that is executed next, `end` at the end. */
ct_u64 ct_tl_next(struct ct_timeline *tl);
struct ct_moment ct_tl_between(ct_u64 next);
/* Runs to the event, making checkpoints. 0: there; 1: a stop, a catch or an interruption; -1. */
int ct_tl_advance(struct ct_timeline *tl, ct_u64 until, struct ct_error *err);
/* It has come to a breakpoint, but the condition is not met; it may run on from there then. */
bool ct_tl_pass_unmet(struct ct_timeline *tl);
int ct_tl_arm(struct ct_timeline *tl, struct ct_error *err);
void ct_tl_disarm(struct ct_timeline *tl);
int ct_tl_restore(struct ct_timeline *tl, const struct ct_checkpoint *cp, struct ct_error *err);
int ct_tl_mark(struct ct_timeline *tl);
/* The checkpoint right before this event, NULL: there is none. The next one that is made may destroy it. */
const struct ct_checkpoint *ct_tl_marked(const struct ct_timeline *tl, ct_u64 next);
void ct_tl_stopped(struct ct_timeline *tl, struct ct_stopped *stopped);
/* It has gone one instruction back from there. */
void ct_tl_stepped_back(struct ct_timeline *tl, const struct ct_moment *from);
/* To the moment one instruction of thread `tid` before this one; `alone`: those before that are not expected to be
 * asked for. 0; 1: there is none, it stands at the beginning; -1. */
int ct_tl_back(struct ct_timeline *tl, ct_u32 tid, bool alone, struct ct_error *err);
void ct_tl_forget_window(struct ct_timeline *tl);
/* As ct_session_run_to_like, but not for long: a thread that a switch ends may spin for ever if nothing stops it. */
int ct_tl_run_to_like_soon(struct ct_session *s, const struct ct_regs *regs, ct_u32 unknown, struct ct_error *err);
/* From anywhere in the instructions before event m->next to the one before m; `quick`: if that is easy. 0; 2: not found
 * that way; -1. */
int ct_tl_predict(struct ct_timeline *tl, const struct ct_moment *m, bool quick, struct ct_error *err);
/* The calls that seem to be under way at the present moment, innermost first; known are those registers. */
#define CT_CALLERS    3
#define CT_CALL_KNOWN ((1u << CT_RSP) | (1u << CT_RIP))
unsigned ct_tl_callers(struct ct_timeline *tl, const struct ct_moment *m, struct ct_regs call[CT_CALLERS]);
/* The last event of the thread before `seq`, 0: none. */
ct_u64 ct_tl_last_of(struct ct_timeline *tl, ct_u32 tid, ct_u64 seq, struct ct_error *err);
#endif
