/* SPDX-License-Identifier: MIT
 * Parts of a session: session.c (its life), events.c (one event), emulate.c (what system calls do), position.c (running
 * to a place), insn.c (results from the log), compare.c (the end), report.c (what went wrong), inspect.c (the stopped
 * moment), checkpoint.c (going back), rseq.c. */
#ifndef CT_SESSION_PRIV_H
#define CT_SESSION_PRIV_H

#include "formats/event_access.h"
#include "formats/syscalls.h"
#include "replay/agents/agent.h"
#include "replay/passes.h"
#include "replay/replica.h"
#include "replay/session.h"

/* Kept by ct_diverged for the report. */
struct ct_divergence {
	char what[400];
	struct ct_event *ev; /* a copy */
	const struct ct_rthread *t;
	bool has_regs, has_want;
	struct ct_regs regs;
	struct ct_regs want; /* what was looked for, where the event does not say it */
};

/* The copy of a file that the program has mapped shared. */
struct ct_shared_file {
	struct ct_file_ref ref; /* what the file was when it was copied */
	int fd;                 /* a memfd, which is what replicas have mapped */
};
#define CT_SHARED_NAME "ctbpf-shared" /* of the memfds */

/* Those that have been chosen. */
#define CT_PASSES 512
#define CT_RECENT 16
struct ct_passes {
	struct ct_pass list[CT_PASSES];
	unsigned count;
};

/* What a user of the session wants to be stopped at, in processes with the same program. */
struct ct_stop_set {
	ct_u32 *pid;
	size_t npids;
	struct ct_stop *list; /* by address */
	size_t n;
	unsigned watches;     /* of them: those of data */
	unsigned char *bytes; /* while a thread runs: those that int3 has taken the place of */
};
struct ct_stops {
	struct ct_stop_set *set;
	size_t nsets;
	const struct ct_stop *hit;
	ct_u32 hit_tid;
	bool stay; /* int3s, from one stop to the next */
	/* while a thread runs: whose process int3s are in, NULL: none's; debug registers */
	struct ct_rthread *by;
	unsigned used;
	const struct ct_stop *by_reg[4];
	ct_u64 was[CT_STOP_WATCHES]; /* what watched data was when last looked at */
};

struct ct_session {
	struct ct_recording *rec;
	struct ct_cursor *cursor;
	struct ct_replay_files files;
	const struct ct_clock *clock;
	struct ct_replica **procs;
	size_t nprocs;
	struct ct_rthread **threads;
	size_t nthreads;
	const struct ct_event *ev; /* being replayed, or the last one that was */
	bool held;                 /* it has been read but not executed */
	ct_u64 first_seq;          /* where the session began */
	ct_u32 current_tid;        /* the thread that has the CPU */
	struct ct_session_hook hook;
	const struct ct_regs *sought;    /* by a comparison, which runs threads to where a snapshot has them */
	struct ct_divergence divergence; /* the last one */
	struct ct_session_stats stats;
	struct ct_passes passes;
	unsigned skip;            /* in the search at hand: passes that match and still are to be skipped */
	ct_u64 recent[CT_RECENT]; /* the last events with a position */
	unsigned nrecent;
	struct ct_agents *agents;      /* NULL: nothing is watched */
	struct ct_shared_file *shared; /* shared.c */
	size_t nshared;
	struct ct_rseq_area *rseq; /* rseq.c */
	size_t nrseq;
	int recorded_cpu;
	bool sigchld_was_open; /* before the session blocked it */
	ct_u64 until;          /* the first event that is not to be replayed yet */
	ct_u64 last_ns;        /* time of the event replayed last, 0: none yet */
	struct ct_run *run;    /* the last run of answers, see inproc_run.c */
	struct ct_stops stops;
	bool inside; /* the current thread has run on since the last event */
	struct {
		ct_u8 hash[16];
		int fd; /* of a kept file, + 1 */
	} open_files[8];
	unsigned next_open;
};

/* Whether a thread's general registers are others than in the checkpoint. */
bool ct_checkpoint_registers_differ(const struct ct_session *s, const struct ct_checkpoint *cp);
/* Ends and frees them all, with their lists. */
void ct_kill_replicas(struct ct_replica **procs, size_t nprocs, struct ct_rthread **threads, size_t nthreads);
struct ct_rthread *ct_session_thread(struct ct_session *s, ct_u32 tid);
struct ct_rthread *ct_session_add(struct ct_session *s, const struct ct_rthread *t);
/* Fills *err with a divergence at the present event, keeps it for the report, and returns -1. */
int ct_diverged(struct ct_session *s, const struct ct_rthread *t, struct ct_error *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* rseq.c: what the kernel writes into areas that the program has registered while it was recorded. A call of rseq(2)
 * that succeeded; a thread of a snapshot with an area; a process that has all areas of another. -1: no memory. */
int ct_rseq_called(struct ct_session *s, const struct ct_rthread *t, const struct ct_ev_syscall *sc);
int ct_rseq_has(struct ct_session *s, ct_u32 pid, ct_u64 addr);
int ct_rseq_forked(struct ct_session *s, ct_u32 pid, ct_u32 child_pid);
/* Makes alike in both what the kernel writes there when it likes, and tells whether there is such. */
bool ct_rseq_hide(const struct ct_session *s, ct_u32 pid, ct_u64 addr, ct_u8 *have, const ct_u8 *want, size_t len);

/* The processes of a snapshot; exec: one that has a new image. */
int ct_session_bring(struct ct_session *s, ct_u32 id, bool exec, struct ct_error *err);
/* Its process will not run again: others may have its call sites. */
void ct_session_leave(struct ct_rthread *t);

/* events.c: executes s->ev. */
int ct_replay_event(struct ct_session *s, struct ct_error *err);
/* Before a snapshot is looked at: no thread is in the middle of its end then, and of the last one to have had the CPU
 * no switch says how it ended. */
void ct_session_bury(struct ct_session *s);
/* Undoes the return of a restart code: user code will make the call again. */
int ct_apply_restart(struct ct_rthread *t);
/* Runs `t` to the entry of its next system call, which is not made. */
int ct_run_to_syscall(struct ct_session *s, struct ct_rthread *t, struct ct_error *err);
/* Continues `t` to its next stop of whatever kind; rdtsc traps are answered by INSN records, never here. */
int ct_resume(struct ct_rthread *t, int *status);
/* As ct_resume, by PTRACE_SYSEMU or PTRACE_CONT. */
int ct_resume_by(struct ct_rthread *t, int request, int *status);
/* Lets patched call sites of `t`, which is not in a call, answer calls from s->ev on, as many as they can. 1: s->ev is
 * replayed now; 0: it is still to be; both may be another event than before. -1: failure. */
int ct_inproc_run(struct ct_session *s, struct ct_rthread *t, struct ct_error *err);

/* stops.c. Before a thread is resumed: 0; 1: it is not to run, *status is its stop; -1. After it has stopped: 1: at one
 * of the user's stops; 2: at one, but our own code, so go on; 0: something else. */
int ct_stops_before(struct ct_rthread *t, int request, int *status);
int ct_stops_after(struct ct_rthread *t, int status);
/* Whether a breakpoint is in this range, whether a watchpoint is; how many debug registers those take. */
bool ct_stops_within(const struct ct_rthread *t, ct_u64 addr, ct_u64 len);
bool ct_stops_watch(const struct ct_rthread *t, ct_u64 addr, ct_u64 len);
unsigned ct_stops_debug_regs(const struct ct_rthread *t);
/* Whether an event has changed what is watched, since the other one was called. */
void ct_stops_look(struct ct_session *s);
void ct_stops_remember(struct ct_session *s);
/* No int3 is left. */
void ct_stops_take_out(struct ct_stops *st);
void ct_stops_free(struct ct_stops *st);
/* stops_list.c: those of the thread's process, NULL if there are none; the first one at or behind an address; the one
 * of instructions there that is for this thread. */
struct ct_stop_set *ct_stops_of(const struct ct_rthread *t);
size_t ct_stops_first_at(const struct ct_stop_set *set, ct_u64 addr);
const struct ct_stop *ct_stops_exec_at(const struct ct_rthread *t, ct_u64 ip);
bool ct_stop_is_exec_of(const struct ct_stop *stop, const struct ct_rthread *t);

/* What the program passes is compared with the log up to this length of a buffer. */
#define CT_CHECKED_INPUT 256
/* Whether this buffer of a call is. */
bool ct_checked_input(const struct ct_event *ev, const struct ct_buf *buf);

/* emulate.c: the effects of a returned call. */
/* What has to be made of an executed call that was successful: nothing, one call with other arguments (*call; *brk, the
 * end of the heap, is then what it will be), or more than that. */
enum { CT_REAL_NONE, CT_REAL_CALL, CT_REAL_OTHER };
struct ct_real_call;
int ct_real_call(const struct ct_event *ev, const struct ct_ev_syscall *sc, ct_u64 *brk, struct ct_real_call *call);
/* Reads kept content of a file. */
bool ct_file_content(struct ct_session *s, const struct ct_file_ref *ref, void *buf, size_t len);
/* Whether it has given the calling thread another name. */
bool ct_renames(const struct ct_ev_syscall *sc);
int ct_emulate(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_syscall *sc, struct ct_error *err);
int ct_apply_bufs(struct ct_session *s, struct ct_rthread *t, struct ct_error *err);
/* The thread or process a FORK record speaks of, made from `t`, which is at the entry of its call. */
int ct_emulate_fork(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_fork *f, struct ct_error *err);

/* insn.c: runs `t` over an instruction whose result is in the log. */
int ct_replay_insn(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_insn *in, struct ct_error *err);

/* shared.c: a returned mmap of a file that is, or has been, mapped shared. 1: it is not; -1: *err says why not. */
int ct_map_shared(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_syscall *sc,
		  const struct ct_file_ref *ref, const ct_u8 hash[16], struct ct_error *err);
/* Of a snapshot's mappings, as ct_replay_files.shared; ctx is the session. */
int ct_shared_view(void *ctx, const struct ct_snapshot *snap, const struct ct_snap_map *map, struct ct_error *err);
void ct_shared_free(struct ct_shared_file *list, size_t n);

/* futex.c: what the kernel does to the futexes that a dying thread holds: to all that are left, or up to the one at
 * `until`. */
void ct_futex_death(struct ct_rthread *t, ct_u64 until);

/* position.c: runs `t` until its registers are `regs` and memory matches fp (NULL: registers only). */
int ct_run_to(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *regs, const struct ct_fingerprint *fp,
	      struct ct_error *err);
/* The same, but for some registers (bits of enum ct_reg). */
int ct_run_to_like(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *regs, ct_u32 unknown,
		   const struct ct_fingerprint *fp, struct ct_error *err);
/* passes.c: to the position of the present event, or of the comparison; to a later pass if that has been chosen. */
void ct_passes_recall(struct ct_session *s, ct_u32 from); /* those an earlier proof has stored */
int ct_run_to_pass(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *regs,
		   const struct ct_fingerprint *fp, struct ct_error *err);
/* stop_fingerprint.c: of a thread of process `index` that ran last before the snapshot and was stopped in user code;
 * memfd is for its code. NULL without memory; the caller frees it. */
struct ct_fingerprint *ct_stop_fingerprint(struct ct_snapshot_reader *snap, ct_u32 index, const struct ct_regs *regs,
					   int memfd);
/* The same of a thread as it stands. */
void ct_live_fingerprint(const struct ct_replica *p, const struct ct_regs *regs, struct ct_fingerprint *fp);
/* Of the same registers: whether what both have sampled is the same. */
bool ct_same_fingerprint(const struct ct_fingerprint *a, const struct ct_fingerprint *b);
/* Runs it to an instruction that faulted when it was recorded, but need not fault here: a page beyond the end of its
 * file is there in a replica. */
int ct_run_to_fault(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *regs, int signal,
		    struct ct_error *err);
bool ct_same_position(const struct ct_regs *a, const struct ct_regs *b);
/* Whether a thread with registers `now` stands at that place. */
bool ct_at_position(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *now, const struct ct_regs *regs,
		    const struct ct_fingerprint *fp);

#endif
