/* SPDX-License-Identifier: MIT OR GPL-2.0
 * Who is recorded, and how records get into the ring. Shared by all recording programs.
 *
 * In replay mode every recorded thread runs on one CPU and BPF programs are not preempted, so `cur` (the recorded
 * thread that has the CPU) needs no lock. The maps and globals live in target.bpf.c. */
#ifndef CT_TARGET_BPF_H
#define CT_TARGET_BPF_H

#include "kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "formats/probe.h"
#include "formats/sysrule.h"

/* Set before loading. */
extern const volatile ct_u32 use_read_dynptr; /* bpf_probe_read_user_dynptr exists (6.16) */
extern const volatile ct_u32 use_ticks;       /* enum ct_ticks; PMU: the `ticks` array has a branch counter */
extern const volatile ct_u32 fpu_offset;      /* of struct fpu in (or right behind) task_struct */

/* Changed while running, through the mapped .data. */
extern volatile ct_u32 mode; /* enum ct_mode */
extern volatile ct_u32 pinned_cpu;
extern volatile ct_u32 paused; /* thread group whose events are ignored (being attached), ~0: all */
extern volatile ct_u32 can_hold;
extern volatile ct_u64 hold_released[CT_HOLDS];
extern volatile ct_u64 recorder_beat; /* bpf_ktime of the last sign of life of the thread that hears of holds */
extern volatile ct_u32 nthreads;      /* recorded threads alive */
extern volatile ct_u32 follow;        /* record children too */
extern volatile ct_u32 nprocs;        /* processes alive that are replayed */
extern volatile ct_u32 max_procs;     /* of children beyond it only the events are recorded */
extern volatile ct_u32 in_max;        /* bytes kept of data that a program passes to a call */
extern struct ct_counters counters;
extern struct ct_current_state cur;
extern volatile struct ct_step_count steps;
/* One bit per thread group id modulo 65536: what a process that is not recorded pays for. */
extern ct_u64 filter[1024];

struct ring_map {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20);
};
extern struct ring_map ring SEC(".maps");
struct urgent_map {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 10);
};
extern struct urgent_map urgent SEC(".maps");
struct procs_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CT_MAX_PROCS);
	__type(key, u32);
	__type(value, struct ct_proc);
};
extern struct procs_map procs SEC(".maps");
struct threads_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CT_MAX_THREADS);
	__type(key, u32);
	__type(value, struct ct_thread_state);
};
extern struct threads_map threads SEC(".maps");
struct fingerprints_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CT_MAX_THREADS);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* 3 KB each: most threads are never interrupted in user code */
	__type(key, u32);
	__type(value, struct ct_fingerprint);
};
extern struct fingerprints_map fingerprints SEC(".maps");

#define STACK_DEPTH 64 /* return addresses in the kernel */

/* Records too large for the stack, of which older kernels allow 512 bytes to a program and all it calls. The programs
 * that use an entry do not interrupt each other. */
struct syscall_record {
	struct ct_event h;
	struct ct_ev_syscall s;
};
struct scratch {
	struct pt_regs frame;
	struct syscall_record syscall;
	struct {
		struct ct_event h;
		struct ct_ev_enter n;
	} enter;
	struct {
		struct ct_event h;
		struct ct_ev_switch s;
	} sw;
	struct {
		struct ct_event h;
		struct ct_ev_signal s;
	} signal;
	struct {
		struct ct_event h;
		struct ct_ev_frame f;
		struct ct_buf b;
	} sigframe;
	u64 stack[STACK_DEPTH];
};
enum { SCRATCH_EVENTS, SCRATCH_UPROBE, SCRATCH_ENTRIES }; /* uprobe programs can be preempted: their own */
struct scratch_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_ENTRIES);
	__type(key, u32);
	__type(value, struct scratch);
};
extern struct scratch_map scratch SEC(".maps");
static __always_inline struct scratch *scratch_get(u32 entry)
{
	return bpf_map_lookup_elem(&scratch, &entry);
}

static __always_inline bool filter_test(u32 tgid)
{
	return filter[(tgid >> 6) & 1023] >> (tgid & 63) & 1;
}
static __always_inline void filter_set(u32 tgid)
{
	__sync_fetch_and_or(&filter[(tgid >> 6) & 1023], 1ull << (tgid & 63));
}

static __always_inline bool known(u32 tgid)
{
	return filter_test(tgid) && (tgid == cur.tgid || bpf_map_lookup_elem(&procs, &tgid));
}

/* How events of thread group `tgid` are to be logged: an enum ct_mode. The first test is all that others pay. */
static __always_inline u32 recorded(u32 tgid)
{
	if (!filter_test(tgid))
		return CT_MODE_OFF;
	if (tgid != cur.tgid) {
		struct ct_proc *proc = bpf_map_lookup_elem(&procs, &tgid);

		if (!proc)
			return CT_MODE_OFF;
		if (proc->how & CT_PROC_EVENTS_ONLY) /* it goes on while the others are stopped */
			return mode ? CT_MODE_EVENTS : CT_MODE_OFF;
	}
	return paused && (paused == tgid || paused == ~0u) ? CT_MODE_OFF : mode;
}

/* Next sequence number. Taken before the reservation, so that a full ring leaves a hole that can be seen. */
static __always_inline u64 next_seq(void)
{
	return __sync_fetch_and_add(&counters.seq, 1) + 1;
}

static __always_inline void lost_one(void)
{
	__sync_fetch_and_add(&counters.lost, 1);
}

static __always_inline void event_init(struct ct_event *e, u32 size, u16 type, u32 tgid, u32 tid)
{
	e->size = size;
	e->type = type;
	e->flags = 0;
	e->seq = next_seq();
	e->time_ns = bpf_ktime_get_ns();
	e->tid = tid;
	e->pid = tgid;
	if (mode != CT_MODE_REPLAY)
		return;
	if (tgid != cur.tgid) { /* who is replayed is current when something is logged of him */
		e->flags = CT_EVF_EVENTS_ONLY;
	} else if (bpf_get_smp_processor_id() != pinned_cpu) {
		e->flags = CT_EVF_FOREIGN_CPU;
		__sync_fetch_and_add(&counters.foreign, 1);
	}
}

/* Reserves a record of constant size with its header filled in; NULL (and counted) when the ring is full. */
#define EVENT_RESERVE(ptr, ev_type, tgid, tid)                                                                         \
	({                                                                                                             \
		struct ct_event h_;                                                                                    \
		event_init(&h_, sizeof(*(ptr)), ev_type, tgid, tid);                                                   \
		(ptr) = bpf_ringbuf_reserve(&ring, sizeof(*(ptr)), 0);                                                 \
		if (ptr)                                                                                               \
			(ptr)->h = h_;                                                                                 \
		else                                                                                                   \
			lost_one();                                                                                    \
		(ptr) != NULL;                                                                                         \
	})
/* Nobody is woken: the consumer polls (a wake-up per record costs six times as much, and preempts the target). */
#define EVENT_SUBMIT(ptr) bpf_ringbuf_submit(ptr, BPF_RB_NO_WAKEUP)

static __always_inline void copy_regs(struct ct_regs *out, const struct pt_regs *p)
{
	out->r[CT_R15] = p->r15;
	out->r[CT_R14] = p->r14;
	out->r[CT_R13] = p->r13;
	out->r[CT_R12] = p->r12;
	out->r[CT_RBP] = p->bp;
	out->r[CT_RBX] = p->bx;
	out->r[CT_R11] = p->r11;
	out->r[CT_R10] = p->r10;
	out->r[CT_R9] = p->r9;
	out->r[CT_R8] = p->r8;
	out->r[CT_RAX] = p->ax;
	out->r[CT_RCX] = p->cx;
	out->r[CT_RDX] = p->dx;
	out->r[CT_RSI] = p->si;
	out->r[CT_RDI] = p->di;
	out->r[CT_ORIG_RAX] = p->orig_ax;
	out->r[CT_RIP] = p->ip;
	out->r[CT_CS] = p->cs & 0xffff; /* above are FRED's event bits on kernels that have it */
	out->r[CT_RFLAGS] = p->flags;
	out->r[CT_RSP] = p->sp;
	out->r[CT_SS] = p->ss & 0xffff;
}

/* Retired conditional branches in user mode of the pinned CPU: by its counter, or by that of steps. */
struct ticks_map {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 1024);
	__uint(key_size, 4);
	__uint(value_size, 4);
};
extern struct ticks_map ticks SEC(".maps");
static __always_inline u64 read_ticks(void)
{
	struct bpf_perf_event_value v = {};

	if (use_ticks == CT_TICKS_STEP)
		return steps.branches;
	if (!use_ticks || bpf_perf_event_read_value(&ticks, BPF_F_CURRENT_CPU, &v, sizeof(v)))
		return 0;
	return v.counter;
}
/* The current thread's time on the CPU ends, or begins: what others execute is not counted. */
static __always_inline void ticks_stop(void)
{
	u64 now = read_ticks();

	cur.t.ticks += now - cur.tick_base;
	cur.tick_base = now;
}
static __always_inline void ticks_start(void)
{
	cur.tick_base = read_ticks();
}
static __always_inline u64 ticks_of(u32 tid)
{
	return tid == cur.tid ? cur.t.ticks + (read_ticks() - cur.tick_base) : 0;
}

/* Defined in target.bpf.c and its siblings; global so that each is verified once (3.4 s -> 0.3 s of loading). */
int say_unsound(u32 tgid, u32 tid, u32 reason, u64 value);
/* Makes `tid` the current thread. If the log believes that another one runs, that switch was missed: it is logged now,
 * marked as repaired. Replay mode only. */
int make_current(u32 tgid, u32 tid);
/* Logs the switch from the thread in `cur` to (to, to_pid) and loads the latter's state. */
int log_switch(u32 to_pid, u32 to, u32 flags, u64 fpstate);
/* Fills the fingerprints entry of `tid` from its registers and the current address space. */
int take_fingerprint(u32 tid, const struct ct_regs *regs, u32 flags);
/* Makes cur.t.regs, read from the current thread's frame in user code, those it would have without our probes, and logs
 * the result of an instruction that has run but is not logged yet. */
enum left {
	LEFT_CLEAN,    /* the kernel is done with our probes there: a signal's delivery */
	LEFT_OUTWARDS, /* it is leaving the CPU on its way back to user code, */
	LEFT_KERNEL,   /* or somewhere in the kernel; either way it is the task that runs this program */
	LEFT_LONG_AGO, /* another one does */
};
int settle(u32 left, u32 tgid, u32 tid);
/* Tells the recorder and waits until it answers: 0; or does not: 1; or cannot be told: -1. ref may be NULL. */
int hold(u32 kind, u32 tgid, u32 tid, u64 addr, const struct ct_file_ref *ref);

#endif
