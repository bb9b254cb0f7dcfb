/* SPDX-License-Identifier: MIT
 * Parts of a session: session.c (events in order), emulate.c (what system calls do), position.c (running to a place),
 * insn.c (results from the log), compare.c (the end), report.c (what went wrong), inspect.c (the stopped moment),
 * checkpoint.c (going back). */
#ifndef CT_SESSION_PRIV_H
#define CT_SESSION_PRIV_H

#include "formats/event_access.h"
#include "formats/syscalls.h"
#include "replay/agents/agent.h"
#include "replay/replica.h"
#include "replay/session.h"

/* Kept by ct_diverged for the report. */
struct ct_divergence {
	char what[400];
	struct ct_event *ev; /* a copy */
	const struct ct_rthread *t;
	bool has_regs;
	struct ct_regs regs;
};

struct ct_session {
	struct ct_recording *rec;
	struct ct_cursor *cursor;
	struct ct_replay_files files;
	struct ct_replica **procs;
	size_t nprocs;
	struct ct_rthread **threads;
	size_t nthreads;
	const struct ct_event *ev; /* being replayed, or the last one that was */
	bool held;                 /* it has been read but not executed */
	ct_u64 first_seq;          /* where the session began */
	ct_u32 current_tid;        /* the thread that has the CPU */
	struct ct_session_hook hook;
	struct ct_divergence divergence; /* the last one */
	struct ct_session_stats stats;
	struct ct_shared_file *shared; /* shared.c */
	size_t nshared;
	struct ct_agents *agents; /* NULL: nothing is watched */
	pid_t fork_child;         /* made at a FORK record, registers to be set when its parent's call returns */
};

/* Ends and frees them all, with their lists. */
void ct_kill_replicas(struct ct_replica **procs, size_t nprocs, struct ct_rthread **threads, size_t nthreads);
struct ct_rthread *ct_session_thread(struct ct_session *s, ct_u32 tid);
struct ct_rthread *ct_session_add(struct ct_session *s, const struct ct_rthread *t);
/* Fills *err with a divergence at the present event, keeps it for the report, and returns -1. */
int ct_diverged(struct ct_session *s, const struct ct_rthread *t, struct ct_error *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Undoes the return of a restart code: user code will make the call again. */
int ct_apply_restart(struct ct_rthread *t);
/* Runs `t` to the entry of its next system call, which is not made. */
int ct_run_to_syscall(struct ct_session *s, struct ct_rthread *t, struct ct_error *err);
/* Continues `t` to its next stop of whatever kind; rdtsc traps are answered by INSN records, never here. */
int ct_resume(struct ct_rthread *t, int *status);

/* emulate.c: the effects of a returned call. */
int ct_emulate(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_syscall *sc, struct ct_error *err);
int ct_apply_bufs(struct ct_session *s, struct ct_rthread *t, struct ct_error *err);
/* The thread or process a FORK record speaks of, made from `t`, which is at the entry of its call. */
int ct_emulate_fork(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_fork *f, struct ct_error *err);

/* insn.c: runs `t` over an instruction whose result is in the log. */
int ct_replay_insn(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_insn *in, struct ct_error *err);

/* shared.c: a returned mmap of a file that is, or has been, mapped shared. 1: it is not; -1: *err says why not. */
int ct_map_shared(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_syscall *sc,
		  const struct ct_file_ref *ref, const ct_u8 hash[16], struct ct_error *err);
void ct_shared_deinit(struct ct_session *s);

/* futex.c: what the kernel does to the futexes that a dying thread holds. */
void ct_futex_death(struct ct_rthread *t);

/* position.c: runs `t` until its registers are `regs` and memory matches fp (NULL: registers only). */
int ct_run_to(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *regs, const struct ct_fingerprint *fp,
	      struct ct_error *err);
/* Execution breakpoints of a thread in its debug registers: these n (at most four) and no others. */
int ct_breakpoints(pid_t tid, const ct_u64 *addr, unsigned n);
bool ct_same_position(const struct ct_regs *a, const struct ct_regs *b);
/* Whether a thread with registers `now` stands at that place. */
bool ct_at_position(struct ct_rthread *t, const struct ct_regs *now, const struct ct_regs *regs,
		    const struct ct_fingerprint *fp);

#endif
