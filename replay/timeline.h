/* SPDX-License-Identifier: MIT
 * A timeline: one stretch of a recording that can be gone along in both directions, to breakpoints, watchpoints,
 * signals, system calls, by single instructions, or to any moment. The base of debuggers.
 *
 * It shows one process, and never changes: what is written to memory or registers is written to a diversion. All calls
 * must come from the thread that made it. */
#ifndef CT_TIMELINE_H
#define CT_TIMELINE_H

#include "replay/session.h"

/* A moment: `next` is the event that is executed next. If `tid` is not 0 this thread has run on since the event before,
 * to where it has these registers and its memory is as the fingerprint says; else it is right between the two events.
 */
struct ct_moment {
	ct_u64 next;
	ct_u32 tid;
	struct ct_regs regs;
	struct ct_fingerprint fp;
};

struct ct_timeline_opts {
	ct_u32 from;   /* the snapshot that the stretch begins with, 0: the first that can be replayed */
	ct_u32 pid;    /* the process to look at, 0: the first of that snapshot */
	ct_u64 memory; /* bytes for checkpoints, 0: an eighth of what is available */
};

enum ct_arrival {
	CT_ARRIVED_BEGIN, /* of the timeline */
	CT_ARRIVED_END,   /* of it, or of the process */
	CT_ARRIVED_STEP,
	CT_ARRIVED_BREAK,   /* `stop` says where */
	CT_ARRIVED_WATCH,   /* ... and what was written; going backwards: is written next */
	CT_ARRIVED_SIGNAL,  /* `number` is delivered next */
	CT_ARRIVED_SYSCALL, /* `number` has returned */
	CT_ARRIVED_EXEC,    /* the process has a new image */
	CT_ARRIVED_INTERRUPT
};
struct ct_stopped {
	enum ct_arrival why;
	ct_u32 tid;
	struct ct_stop stop;
	int number;
};

struct ct_timeline;
/* It stands at the beginning then. */
struct ct_timeline *ct_timeline_create(struct ct_recording *rec, const struct ct_timeline_opts *opts,
				       struct ct_error *err);
void ct_timeline_destroy(struct ct_timeline *tl);
/* To look at the present moment (inspect.c's calls); not to run. */
struct ct_session *ct_timeline_session(struct ct_timeline *tl);
struct ct_recording *ct_timeline_recording(struct ct_timeline *tl);
ct_u32 ct_timeline_pid(const struct ct_timeline *tl);
/* What the log says of kept files: ct_kept_in_log without another pass. */
struct ct_kept_files;
const struct ct_kept_files *ct_timeline_kept(const struct ct_timeline *tl);
/* First event, and the one before which the timeline, or the process, ends. */
void ct_timeline_range(const struct ct_timeline *tl, ct_u64 *begin, ct_u64 *end);
/* The snapshot that says most about the process as it is now: the first, or the one after its last execve. */
ct_u32 ct_timeline_snapshot(const struct ct_timeline *tl);

/* Where to stop; what is set replaces what was. */
int ct_timeline_set_stops(struct ct_timeline *tl, const struct ct_stop *list, size_t n, struct ct_error *err);
void ct_timeline_catch(struct ct_timeline *tl, ct_u64 signals /* bit N-1: signal N */, bool syscalls, bool execs);
/* Asked at each breakpoint that is come to: whether to stop there. */
void ct_timeline_set_condition(struct ct_timeline *tl, bool (*met)(void *ctx, const struct ct_stop *stop, ct_u32 tid),
			       void *ctx);
/* As long as the key is the same one, and not 0, so is the answer at each moment: what has been found on the way back
 * to a stop is then used for the next one. */
void ct_timeline_condition_is(struct ct_timeline *tl, ct_u64 key);
/* Which of the stops it is, backwards: `note` is asked at each of them, in any order and with the session there, what
 * to remember of it; `choose` of one after the other back in time, with the session elsewhere, whether to stop there.
 * Going back by numbers of hits takes one way like that. With `choose` NULL it is the last one. */
struct ct_choice {
	ct_u64 (*note)(void *ctx, const struct ct_stopped *what);
	bool (*choose)(void *ctx, const struct ct_stopped *what, ct_u64 note);
	void *ctx;
};
void ct_timeline_set_choice(struct ct_timeline *tl, const struct ct_choice *choice);
/* Asked now and then while it runs: whether to stop. */
void ct_timeline_set_interrupt(struct ct_timeline *tl, bool (*wanted)(void *ctx), void *ctx);

/* To the next stop, or back to the last one; 0 or -1. After -1 it stands where it had come to; after a divergence
 * (status CT_EXIT_DIVERGED) going to another moment is still possible. */
int ct_timeline_run(struct ct_timeline *tl, bool back, struct ct_stopped *stopped, struct ct_error *err);
/* One instruction of this thread; other threads run as they did, and may come to a stop first. */
int ct_timeline_step(struct ct_timeline *tl, ct_u32 tid, bool back, struct ct_stopped *stopped, struct ct_error *err);

/* Forwards to this moment. The condition is asked at each breakpoint on the way, and the choice's `note` at each stop
 * that it does not object to. 0; 1: interrupted; -1. */
int ct_timeline_visit(struct ct_timeline *tl, const struct ct_moment *until, struct ct_error *err);

int ct_timeline_now(struct ct_timeline *tl, struct ct_moment *m, struct ct_error *err);
int ct_timeline_seek(struct ct_timeline *tl, const struct ct_moment *m, struct ct_error *err);
bool ct_moment_same(const struct ct_moment *a, const struct ct_moment *b);
/* As people write them: what ct_pos_parse takes, or e:N@ADDRESS#K: the K-th time (#K may be left out: the first) that
 * the thread is at this address on its way to event N, or e:N@ADDRESS,rcx=0x5: the first time with this register. Seeks
 * there. */
int ct_timeline_seek_text(struct ct_timeline *tl, const char *text, struct ct_error *err);
/* The present moment in this form, so that it means the same in every other session. */
#define CT_MOMENT_TEXT 80
int ct_timeline_now_text(struct ct_timeline *tl, char text[CT_MOMENT_TEXT], struct ct_error *err);
/* Makes a checkpoint at the event before this moment, so that it is near from now on. */
int ct_timeline_mark(struct ct_timeline *tl, struct ct_error *err);

struct ct_timeline_stats {
	size_t checkpoints;
	ct_u64 bytes, spacing_us; /* memory of theirs; replay time between two */
	ct_u64 restores, steps;
};
void ct_timeline_stats(const struct ct_timeline *tl, struct ct_timeline_stats *stats);

/* ---- diversions (diversion.c) ---- */

/* From here on the session is a throw-away fork of the moment: it may be written to and run, by no log. */
int ct_timeline_divert(struct ct_timeline *tl, struct ct_error *err);
bool ct_timeline_diverted(const struct ct_timeline *tl);
/* Writes to it, which is made if there is none. */
int ct_timeline_write(struct ct_timeline *tl, ct_u64 addr, const void *data, size_t len, struct ct_error *err);
/* Whether registers, or memory, have been written to since. */
bool ct_timeline_registers_differ(struct ct_timeline *tl);
bool ct_timeline_memory_differs(struct ct_timeline *tl);
/* Back to the moment. */
int ct_timeline_undivert(struct ct_timeline *tl, struct ct_error *err);
/* Runs thread `tid` alone, or one instruction of it, to a stop, a signal (number), or its end. What it writes to
 * standard output and error goes to `output`; system calls that would reach outside fail with ENOSYS. */
int ct_timeline_run_diverted(struct ct_timeline *tl, ct_u32 tid, bool step,
			     void (*output)(void *ctx, const char *data, size_t len), void *ctx,
			     struct ct_stopped *stopped, struct ct_error *err);

#endif
