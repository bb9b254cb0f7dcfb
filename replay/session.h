/* SPDX-License-Identifier: MIT
 * A replay session: one stretch of a recording, executed again event by event from a snapshot.
 *
 * Any mismatch of a system call, its arguments or registers ends it with a report; it never goes on past one. */
#ifndef CT_SESSION_H
#define CT_SESSION_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "formats/recording.h"
#include "formats/snapshot.h"

struct ct_session;
struct ct_agents;
struct ct_clock; /* clock.h */

struct ct_session_opts {
	int cpu; /* to replay on, -1: the one it was recorded on, or if that may not be used here, the first that may */
	const struct ct_clock *clock; /* that finds positions, NULL: fingerprint; ct_clock_choose */
};

struct ct_session_stats {
	ct_u64 events, syscalls, answered /* inside the replica */, executed, signals, switches, positions,
		position_hits;
	double seconds;     /* that went by ... */
	double cpu_seconds; /* ... and for which replicas and tracer had the CPU */
	int cpu;            /* it is replayed on */
};

/* Restores snapshot `id`, which must be one of all recorded processes (attach, loss, periodic). opts may be NULL. All
 * calls for a session must come from the thread that created it, which is bound to one CPU from then on. */
struct ct_session *ct_session_create(struct ct_recording *rec, ct_u32 id, const struct ct_session_opts *opts,
				     struct ct_error *err);
void ct_session_destroy(struct ct_session *s);
/* From here on interpreters are watched by agents, which outlive the session. */
int ct_session_watch(struct ct_session *s, struct ct_agents *agents, struct ct_error *err);
/* Executes up to the event `seq` (exclusive). 0; 1: a hook or a stop (below) stopped it; -1: a divergence (status
 * CT_EXIT_DIVERGED) or failure, after which the session can only be looked at and destroyed. */
int ct_session_run(struct ct_session *s, ct_u64 seq, struct ct_error *err);
void ct_session_stats(const struct ct_session *s, struct ct_session_stats *stats);
/* The event that is executed next, valid until then. 1; 0: the log ends here; -1. */
int ct_session_next(struct ct_session *s, const struct ct_event **ev, struct ct_error *err);
/* Time of the event that was executed last; 0: none yet. */
ct_u64 ct_session_last_ns(const struct ct_session *s);

/* Being called when certain events have just been executed, all threads standing still. */
struct ct_session_hook {
	/* Whether to call `event` for it: asked once for each event, cheap. */
	bool (*wants)(void *ctx, const struct ct_event *ev);
	/* Not 0: ct_session_run returns 1 with this event executed. */
	int (*event)(void *ctx, struct ct_session *s, const struct ct_event *ev);
	void *ctx;
};
void ct_session_set_hook(struct ct_session *s, const struct ct_session_hook *hook);

/* ---- the stopped moment (inspect.c) ---- */

struct ct_session_thread {
	ct_u32 tid, pid; /* as recorded */
	ct_s32 nr;       /* the system call it is in, -1: user code */
	bool current;    /* the one that runs next */
	char comm[16];   /* its name, 0-terminated; as of now, but for one that another thread has given it */
};
/* Live threads, in no particular order; *list is malloc'ed. */
int ct_session_threads(struct ct_session *s, struct ct_session_thread **list, size_t *count, struct ct_error *err);
int ct_session_regs(struct ct_session *s, ct_u32 tid, struct ct_regs *regs, struct ct_error *err);
/* What is written changes the replay: it will diverge if the program comes to depend on it. */
int ct_session_set_regs(struct ct_session *s, ct_u32 tid, const struct ct_regs *regs, struct ct_error *err);
/* The XSAVE image, at most CT_XSAVE_MAX bytes (tracee.h): its length, or -1. */
ssize_t ct_session_xsave(struct ct_session *s, ct_u32 tid, void *buf, struct ct_error *err);
int ct_session_set_xsave(struct ct_session *s, ct_u32 tid, const void *buf, size_t len, struct ct_error *err);
/* Conditional branches it has executed; fails if the session's clock does not count or cannot know. */
int ct_session_ticks(struct ct_session *s, ct_u32 tid, ct_u64 *ticks, struct ct_error *err);
int ct_session_read(struct ct_session *s, ct_u32 pid, ct_u64 addr, void *buf, size_t len, struct ct_error *err);
int ct_session_write(struct ct_session *s, ct_u32 pid, ct_u64 addr, const void *buf, size_t len, struct ct_error *err);
/* The program's mappings, without those of the replay (tracee.h); the caller's to deinit. */
struct ct_maps;
int ct_session_maps(struct ct_session *s, ct_u32 pid, struct ct_maps *maps, struct ct_error *err);
/* Executes one instruction of the current thread, or the next event where that is what comes next here. */
int ct_session_step(struct ct_session *s, struct ct_error *err);
/* Runs the current thread until its registers are these, which must be before its next event. */
int ct_session_run_to(struct ct_session *s, const struct ct_regs *regs, struct ct_error *err);

/* The same, with memory as the fingerprint says, and 1: a stop came first. */
int ct_session_run_to_place(struct ct_session *s, const struct ct_regs *regs, const struct ct_fingerprint *fp,
			    struct ct_error *err);
/* To the next moment with these registers but for some, bits of enum ct_reg: where it is now counts, too. */
int ct_session_run_to_like(struct ct_session *s, const struct ct_regs *regs, ct_u32 unknown, struct ct_error *err);
/* What tells the present moment of the current thread from others in which its registers are the same. */
int ct_session_fingerprint(struct ct_session *s, struct ct_fingerprint *fp, struct ct_error *err);
/* Whether the current thread has run on since the last event: the moment is between events. */
bool ct_session_inside(const struct ct_session *s);
/* The thread that runs next. */
ct_u32 ct_session_current(struct ct_session *s);

/* ---- stops (stops.c) ---- */

enum ct_stop_kind {
	CT_STOP_EXEC,    /* before the instruction at addr */
	CT_STOP_EXEC_BY, /* ... by the thread whose number is in `len`: no other one is held up */
	CT_STOP_WRITE,   /* after an instruction or a system call that wrote there: 1, 2, 4 or 8 bytes, aligned */
	CT_STOP_ACCESS   /* after an instruction that read or wrote there */
};
struct ct_stop {
	enum ct_stop_kind kind;
	ct_u64 addr;
	ct_u32 len;
};
static inline bool ct_stop_is_exec(const struct ct_stop *s)
{
	return s->kind == CT_STOP_EXEC || s->kind == CT_STOP_EXEC_BY;
}
#define CT_STOP_WATCHES 3 /* as many of data at the same time */
/* From now on runs end at these, in process `pid`; other processes keep theirs. None of them is passed over, however
 * calls are answered. */
int ct_session_set_stops(struct ct_session *s, ct_u32 pid, const struct ct_stop *list, size_t n, struct ct_error *err);
/* From now on those of process `as` hold in this process, too, which has the same program: a fork. */
int ct_session_stop_too(struct ct_session *s, ct_u32 as, ct_u32 pid, struct ct_error *err);
/* It has no stops any more; those that it shared them with keep them. */
void ct_session_stop_no_more(struct ct_session *s, ct_u32 pid);
/* Whoever stops often, at instructions only, and then does nothing but look and run on: that is faster from now on. */
void ct_session_stops_stay(struct ct_session *s);
/* The one that the last run ended at, NULL if at none. It stays that until ct_session_pass_stop, after which the
 * current thread runs on from the breakpoint it stands at. */
const struct ct_stop *ct_session_stopped(const struct ct_session *s, ct_u32 *tid);
void ct_session_pass_stop(struct ct_session *s);

/* ---- going back (checkpoint.c) ---- */

/* The session's processes forked where they stand: memory is shared copy-on-write, so one costs milliseconds. */
struct ct_checkpoint;
struct ct_checkpoint *ct_session_checkpoint(struct ct_session *s, struct ct_error *err);
/* Puts the session back to it, as often as one likes, also after a divergence. -1: the session is as it was. */
int ct_session_restore(struct ct_session *s, const struct ct_checkpoint *cp, struct ct_error *err);
/* Before the session is destroyed or after, by the thread that made it. */
void ct_checkpoint_destroy(struct ct_checkpoint *cp);
/* Memory that it alone needs; takes about a millisecond for each 20 MB of the program's. */
ct_u64 ct_checkpoint_bytes(const struct ct_checkpoint *cp);

/* ---- the proof (compare.c) ---- */

/* What one comparison looks at and what it leaves out, for people; NULL behind the last. */
extern const char *const ct_compare_masks[];

struct ct_comparison {
	ct_u64 pages;       /* compared with the snapshot's */
	ct_u64 extra_pages; /* not in the snapshot, compared with zero or the mapped file */
	ct_u64 maps, threads, processes;
	ct_u64 differences;
};
/* Brings all threads to where snapshot `id` found them and compares registers, FPU state, mappings and memory with it.
 * What differs is written to `report` (may be NULL), one line each. 0: identical; 1: differs; -1: failure. */
int ct_session_compare(struct ct_session *s, ct_u32 id, FILE *report, struct ct_comparison *result,
		       struct ct_error *err);

#endif
