// SPDX-License-Identifier: MIT OR GPL-2.0
/* The shared maps and globals of the recording programs, and what more than one of them does: thread continuity,
 * switch records, waiting for the recorder. */
#include "target.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

const volatile ct_u32 use_read_dynptr = 0;
const volatile ct_u32 use_ticks = CT_TICKS_NONE;
const volatile ct_u32 fpu_offset = 0;

volatile ct_u32 mode = CT_MODE_OFF;
volatile ct_u32 pinned_cpu = 0;
volatile ct_u32 paused = 0;
volatile ct_u32 can_hold = 0;
volatile ct_u64 hold_released[CT_HOLDS] = {};
volatile ct_u64 recorder_beat = 0;
volatile ct_u32 nthreads = 0;
volatile ct_u32 follow = 1;
volatile ct_u32 nprocs = 0;
volatile ct_u32 max_procs = ~0u;
volatile ct_u32 in_max = 32;
struct ct_counters counters = {};
struct ct_current_state cur = {};
volatile struct ct_step_count steps = {};
ct_u64 filter[1024] = {};

struct ring_map ring SEC(".maps");
struct urgent_map urgent SEC(".maps");
struct procs_map procs SEC(".maps");
struct threads_map threads SEC(".maps");
struct fingerprints_map fingerprints SEC(".maps");
struct scratch_map scratch SEC(".maps");
struct ticks_map ticks SEC(".maps");

/* Raw FPU image on its way from the kernel's fpstate to a record. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ct_fpu);
} fpu_scratch SEC(".maps");

__noinline int say_unsound(u32 tgid, u32 tid, u32 reason, u64 value)
{
	struct ct_proc *proc = bpf_map_lookup_elem(&procs, &tgid);
	struct {
		struct ct_event h;
		struct ct_ev_text t;
	} * e;

	/* Once per process, reason and snapshot: the recorder clears the bits when it takes the next one. */
	if (proc) {
		if ((proc->how & CT_PROC_EVENTS_ONLY) || proc->said >> (reason & 31) & 1)
			return 0;
		proc->said |= 1u << (reason & 31);
	}
	if (!EVENT_RESERVE(e, CT_EV_UNSOUND, tgid, tid))
		return 0;
	e->t.reason = reason;
	e->t.text_len = 0;
	e->t.value = value;
	EVENT_SUBMIT(e);
	return 0;
}

__noinline int log_switch(u32 to_pid, u32 to, u32 flags, u64 fpstate)
{
	struct scratch *x = scratch_get(SCRATCH_EVENTS);
	struct ct_thread_state *next;
	struct ct_fingerprint *fp = NULL;
	struct ct_fpu *fpu = NULL;
	struct bpf_dynptr d;
	u32 zero = 0, size = sizeof(x->sw), off;

	if (!x)
		return 0;
	if (cur.t.flags & TS_INSYS)
		flags |= CT_SWF_INSYS;
	if (cur.t.flags & TS_EXITING)
		flags |= CT_SWF_EXITING;
	if (cur.t.flags & TS_TID_CLEARED)
		flags |= CT_SWF_TID_CLEARED;
	if (cur.t.flags & TS_ROBUST)
		flags |= CT_SWF_ROBUST;
	else if (cur.t.flags & TS_ROBUST_AT)
		flags |= CT_SWF_ROBUST_AT;
	if ((cur.t.flags & TS_USER) && (cur.t.flags & TS_FP)) {
		fp = bpf_map_lookup_elem(&fingerprints, &cur.tid);
		if (fp) {
			flags |= CT_SWF_USER;
			size += sizeof(*fp);
		}
	}
	next = bpf_map_lookup_elem(&threads, &to);
	if (next && (next->flags & TS_USER) && fpstate) {
		/* Live FPU registers are only in memory once a thread has been switched out: the image found when
		 * it comes back is that of the position it was interrupted at. */
		fpu = bpf_map_lookup_elem(&fpu_scratch, &zero);
		if (fpu && !bpf_probe_read_kernel(fpu, sizeof(*fpu), (void *)fpstate)) {
			flags |= CT_SWF_FPU;
			size += sizeof(*fpu);
		} else {
			fpu = NULL;
		}
	}
	x->sw.s.to = to;
	x->sw.s.to_pid = to_pid;
	x->sw.s.flags = flags;
	x->sw.s.nr = cur.t.nr;
	x->sw.s.regs = cur.t.regs;
	event_init(&x->sw.h, size, CT_EV_SWITCH, cur.tgid, cur.tid);
	if (bpf_ringbuf_reserve_dynptr(&ring, size, 0, &d)) {
		bpf_ringbuf_discard_dynptr(&d, 0);
		lost_one();
	} else {
		bpf_dynptr_write(&d, 0, &x->sw, sizeof(x->sw), 0);
		off = sizeof(x->sw);
		if (fp) {
			bpf_dynptr_write(&d, off, fp, sizeof(*fp), 0);
			off += sizeof(*fp);
		}
		if (fpu)
			bpf_dynptr_write(&d, off, fpu, sizeof(*fpu), 0);
		bpf_ringbuf_submit_dynptr(&d, BPF_RB_NO_WAKEUP);
	}

	ticks_start();
	cur.tid = to;
	cur.tgid = to_pid;
	if (next) {
		cur.t = *next;
		cur.t.flags = (cur.t.flags & ~(TS_USER | TS_FP)) | TS_SWITCHED;
	} else {
		__builtin_memset(&cur.t, 0, sizeof(cur.t));
		cur.t.tgid = to_pid;
		cur.t.nr = -1;
		cur.t.restart_nr = -1;
		cur.t.flags = TS_SWITCHED;
	}
	return 0;
}

__noinline int make_current(u32 tgid, u32 tid)
{
	struct scratch *x = scratch_get(SCRATCH_EVENTS);

	if (cur.tid == tid || !x)
		return 0;
	/* The leaving thread's registers are where it left them, at the top of its kernel stack; memory it was
	 * interrupted over may have changed or be another process's, so its fingerprint has none. */
	if (cur.t.frame && !bpf_probe_read_kernel(&x->frame, sizeof(x->frame), (void *)cur.t.frame)) {
		copy_regs(&cur.t.regs, &x->frame);
		if (!(cur.t.flags & TS_INSYS) && (s64)x->frame.orig_ax < 0) {
			settle(LEFT_LONG_AGO, cur.tgid, cur.tid);
			take_fingerprint(cur.tid, &cur.t.regs, CT_FPF_LATE);
			cur.t.flags |= TS_USER | TS_FP;
		}
	}
	if (!(cur.t.flags & TS_EXITING)) /* how far it came, nobody saw */
		bpf_map_update_elem(&threads, &cur.tid, &cur.t, BPF_ANY);
	__sync_fetch_and_add(&counters.repaired, 1);
	log_switch(tgid, tid, CT_SWF_REPAIRED, 0);
	cur.t.task = bpf_get_current_task();
	return 0;
}

struct spin {
	u64 id, begin, limit;
	u32 timed_out;
};
static long spin_once(u32 i, struct spin *s)
{
	u64 now, beat = recorder_beat;

	if (hold_released[s->id % CT_HOLDS] >= s->id)
		return 1;
	if (i & 255)
		return 0;
	now = bpf_ktime_get_ns();
	if (now - s->begin > CT_HOLD_MAX_NS && (now - s->begin > s->limit || now > beat + CT_HOLD_MAX_NS)) {
		s->timed_out = 1;
		return 1;
	}
	return 0;
}

/* One bpf_loop makes at most 1 << 23 rounds, a few milliseconds. */
static long spin_round(u32 i, struct spin *s)
{
	bpf_loop(1 << 20, spin_once, s, 0);
	return s->timed_out || hold_released[s->id % CT_HOLDS] >= s->id;
}

/* Nothing that BPF may do puts a thread to sleep at a place of our choosing, and a SIGSTOP would be seen by its parent.
 * So the thread spins here, invisible to everyone, for the ~0.1 ms the recorder on another CPU needs to look. */
__noinline int hold(u32 kind, u32 tgid, u32 tid, u64 addr, const struct ct_file_ref *ref)
{
	struct spin s = {};
	struct ct_hold *h;
	u64 took;

	if (!can_hold)
		return -1;
	h = bpf_ringbuf_reserve(&urgent, sizeof(*h), 0);
	if (!h)
		return -1;
	s.id = __sync_fetch_and_add(&counters.holds, 1) + 1;
	s.begin = bpf_ktime_get_ns();
	s.limit = kind == CT_HOLD_EXEC ? CT_HOLD_EXEC_NS : CT_HOLD_FILE_NS;
	h->id = s.id;
	h->kind = kind;
	h->pid = tgid;
	h->tid = tid;
	h->pad = 0;
	h->time_ns = s.begin;
	h->addr = addr;
	__builtin_memset(&h->ref, 0, sizeof(h->ref));
	if (ref)
		h->ref = *ref;
	bpf_ringbuf_submit(h, BPF_RB_FORCE_WAKEUP);
	bpf_loop(1 << 20, spin_round, &s, 0);
	took = bpf_ktime_get_ns() - s.begin;
	if (took > counters.hold_max_ns)
		counters.hold_max_ns = took;
	if (hold_released[s.id % CT_HOLDS] >= s.id)
		return 0;
	/* Written before the last look at hold_released: of the two sides at least one knows that it was late. */
	counters.hold_late = s.id;
	if (hold_released[s.id % CT_HOLDS] >= s.id)
		return 0;
	__sync_fetch_and_add(&counters.hold_timeouts, 1);
	return 1;
}
