/* SPDX-License-Identifier: MIT
 * What the recorder and its BPF programs tell each other: map keys and values, modes, counters.
 *
 * Plain fixed-size structs only; nothing here is ever written to disk. */
#ifndef CT_PROBE_H
#define CT_PROBE_H

#include "event.h"

enum ct_mode {
	CT_MODE_OFF = 0,    /* attached, silent */
	CT_MODE_REPLAY = 1, /* everything a replay needs; the target runs on one CPU */
	CT_MODE_EVENTS = 2, /* --no-replay: events only, on whatever CPU */
};

/* Threads and processes one recording can follow at the same time. */
#define CT_MAX_THREADS 4096
#define CT_MAX_PROCS   2048

/* Value of the `procs` map; the key is the thread group id. */
struct ct_proc {
	ct_u32 said; /* a bit for each reason of an UNSOUND record written since the last snapshot */
	ct_u32 how;  /* CT_PROC_* */
};
#define CT_PROC_EVENTS_ONLY 0x01 /* one more than --max-processes: not replayed */
#define CT_PROC_AT_EXEC     0x02 /* the same with its next program; till then it runs in its parent's memory */
#define CT_PROC_LET_GO      0x04 /* what it had inherited from those that are replayed is undone */
#define CT_PROC_NEW_IMAGE   0x08 /* it runs another program than the one it was forked from */
#define CT_PROC_SHARES      0x10 /* it has memory that children of it can write to, too */

/* Value of the `kept` map: a file whose content the recorder has. While ctime and size stay the same and nobody can
 * write to it, reads of it are logged by reference. */
struct ct_kept_key {
	ct_u64 dev, ino;
};
struct ct_kept {
	ct_s64 ctime_s;
	ct_u32 ctime_ns;
	ct_u32 state; /* CT_KEPT_* */
	ct_u64 size;
	ct_u64 used; /* not 0: a record has named it since the recorder last looked */
};
#define CT_KEPT_ASKED 1 /* the kernel side has offered it (a FILE buffer with want 0) */
#define CT_KEPT_KEPT  2 /* its content is in files/ */
#define CT_KEPT_SITES 3 /* the same, and it has instructions to probe: whoever maps it is held */
#define CT_KEPT_SHARED                                                                                                 \
	4 /* kept as it was when it was mapped shared: enough for mapping it again, not for reads of it */

/* Record of the `urgent` ring: the thread waits inside the kernel until the recorder stores `id` to its place of
 * `hold_released` (a held thread may lose its CPU to one that is held later),
 * for at most CT_HOLD_MAX_NS, and on while `recorder_beat` says that the recorder lives and is late: a machine with
 * more to do than it can. After an execve for CT_HOLD_EXEC_NS (a new program has nobody yet whom it keeps waiting, and
 * there is no second chance to see its first instruction), else for CT_HOLD_FILE_NS: a mapped file can still be kept
 * later if it is unchanged, and there. */
struct ct_hold {
	ct_u64 id;
	ct_u32 kind; /* enum ct_hold_kind */
	ct_u32 pid, tid;
	ct_u32 pad;
	ct_u64 time_ns;
	ct_u64 addr;            /* FILE: where it was mapped; EXEC: the thread that called execve, by its old number */
	struct ct_file_ref ref; /* FILE: what was mapped (flags, offset, len: 0) */
};
/* Below are things of a replica's, at the end a page of the recorder's: nothing of a program's may be there. */
#define CT_PLACES_BEGIN 0x200000ull
#define CT_PLACES_END   0x7fffffffe000ull

enum ct_hold_kind { CT_HOLD_EXEC = 1, CT_HOLD_FILE };
#define CT_HOLDS        64 /* places, number `id` modulo that many; a power of two */
#define CT_HOLD_MAX_NS  200000000ull
#define CT_HOLD_EXEC_NS 5000000000ull
#define CT_HOLD_FILE_NS 1000000000ull

/* Counters, in the programs' .bss, which the recorder maps. */
struct ct_counters {
	ct_u64 seq;          /* last sequence number given out */
	ct_u64 lost;         /* how many of them found the ring full */
	ct_u64 repaired;     /* switches made up because the scheduler's tracepoint was silent */
	ct_u64 faults;       /* out-buffers that could not be read */
	ct_u64 by_reference; /* bytes of file reads not copied */
	ct_u64 foreign;      /* events on another CPU than the one pinned to */
	ct_u64 holds, hold_timeouts;
	ct_u64 hold_late;   /* id of the last hold that ended unanswered */
	ct_u64 hold_max_ns; /* the longest */
	ct_u64 frames_missed;
	ct_u64 threads_full; /* threads not followed for want of room */
	ct_u64 events_only;  /* processes that are not replayed */
	ct_u64 cpu_ns;       /* for which recorded threads had the CPU */
};

/* State of a recorded thread while it does not have the CPU. */
struct ct_thread_state {
	ct_u32 tgid;
	ct_u32 flags;       /* TS_* */
	ct_s32 nr;          /* system call it is in, while TS_INSYS */
	ct_s32 restart_nr;  /* call that restart_syscall would resume, or -1 */
	ct_u64 sig_handler; /* a signal frame is being set up for this handler ... */
	ct_u64 sig_sp;      /* ... and the stack pointer before it */
	ct_u32 sig;
	ct_u32 insn; /* kind << 8 | length of the unpredictable instruction just reached */
	ct_u64 insn_ip;
	ct_u32 exec_from; /* while TS_EXEC: the thread id it had before */
	ct_u32 pad;
	ct_u64 frame;        /* address of its pt_regs: constant over a thread's life */
	ct_u64 task;         /* ... and of its task_struct, once that is known */
	ct_u64 ticks;        /* its conditional branches so far, if they are counted */
	ct_u64 robust_next;  /* while it exits: entry of its robust list at which the walk goes on; 0: the first */
	struct ct_regs regs; /* at its last switch-out */
};
#define TS_INSYS       0x01
#define TS_EXITING     0x02
#define TS_USER        0x04 /* switched out in user code; `regs` and its fingerprint are its position */
#define TS_SWITCHED    0x08 /* another recorded thread ran since it entered its system call */
#define TS_FP          0x10 /* its entry of the fingerprints map is of this switch-out */
#define TS_EXEC        0x20 /* execve is past the point of no return */
/* While TS_EXITING, at its last switch-out: the kernel had walked its robust list, had stored to clear_child_tid. */
#define TS_ROBUST      0x40
#define TS_TID_CLEARED 0x80
#define TS_ROBUST_AT   0x100 /* since the one before: as far as the futex at regs.r[CT_RDI] */

/* The recorded thread that has the pinned CPU (or had it last). */
struct ct_current_state {
	ct_u32 tid, tgid;
	ct_u64 tick_base; /* the counter when it got the CPU */
	ct_u64 since_ns;  /* the time then; 0: no recorded thread has it */
	struct ct_thread_state t;
};

/* Who counts conditional branches. */
enum ct_ticks { CT_TICKS_NONE, CT_TICKS_PMU, CT_TICKS_STEP };
/* CT_TICKS_STEP: the recorder lets one thread at a time execute one instruction at a time, and says which beforehand;
 * the kernel side counts when it has been executed. */
struct ct_step_count {
	ct_u64 branches; /* of all threads */
	ct_u32 tid;      /* stepped now */
	ct_u32 branch;   /* 1: the instruction is a conditional branch */
};

/* What the inspect iterator tells of one thread: state that /proc does not show. */
struct ct_task_state {
	ct_u32 pid, tid, ns_pid, ns_tid;
	ct_u64 clear_child_tid, robust_list, rseq;
	ct_u64 altstack_sp, altstack_size;
	ct_u32 altstack_flags, personality;
	ct_u64 pending, shared_pending, blocked;
	ct_u32 reaper; /* orphans become its children: it is init of its namespace, or a subreaper */
	ct_u32 pad;
	ct_u64 start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	ct_u64 arg_start, arg_end, env_start, env_end;
	struct {
		ct_u64 handler, flags, restorer, mask;
	} action[64]; /* of the leader's record only; zero in the others */
};

#endif
