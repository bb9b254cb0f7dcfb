// SPDX-License-Identifier: MIT OR GPL-2.0
/* Switches between recorded threads, with the exact place at which the leaving thread was interrupted.
 *
 * A thread that exits leaves user code for good, but not the CPU: it can be interrupted between its exit record and
 * what the kernel writes for it (clear_child_tid, robust futexes), and again until it is dead.
 *
 * Switches to and from other programs do not matter to a replay and are not logged. */
#include "target.bpf.h"

/* Where the kernel keeps the saved FPU registers of `t`. They are up to date for a thread that is not running. */
static __always_inline u64 fpstate_of(struct task_struct *t)
{
	struct fpstate *fpstate = NULL;

	if (bpf_probe_read_kernel(&fpstate, sizeof(fpstate), (void *)t + fpu_offset) || !fpstate)
		return 0;
	return (u64)fpstate + bpf_core_field_offset(struct fpstate, regs);
}

/* A thread that waits for a futex with priority inheritance has changed its word (FUTEX_WAITERS) before it waits, and
 * the owner acts on that long before the call returns. */
static __always_inline void log_waiters(u32 tgid, u32 tid, const struct pt_regs *frame)
{
	u32 op = frame->si & 0x7f;
	struct {
		struct ct_event h;
		struct ct_ev_data d;
		u64 word; /* 4 bytes of it are used */
	} * e;

	if (frame->orig_ax != 202 || (op != 6 && op != 13)) /* FUTEX_LOCK_PI, FUTEX_LOCK_PI2 */
		return;
	if (!EVENT_RESERVE(e, CT_EV_DATA, tgid, tid))
		return;
	e->word = 0;
	e->d.addr = frame->di;
	e->d.len = 4;
	e->d.flags = 0;
	e->h.size = sizeof(e->h) + sizeof(e->d) + 4;
	if (bpf_probe_read_user(&e->word, 4, (void *)frame->di)) {
		e->d.len = 0;
		e->d.flags = CT_BUF_FAULT;
		e->h.size -= 4;
	}
	EVENT_SUBMIT(e);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(ct_sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	u32 prev_tid, prev_tgid, next_tid, next_tgid;
	bool dead;

	if (mode != CT_MODE_REPLAY)
		return 0;
	prev_tgid = prev->tgid;
	next_tgid = next->tgid;
	if (!filter_test(prev_tgid) && !filter_test(next_tgid))
		return 0;
	prev_tid = prev->pid;
	next_tid = next->pid;
	dead = prev->__state == TASK_DEAD;

	if (recorded(prev_tgid)) {
		struct pt_regs *frame = (struct pt_regs *)bpf_task_pt_regs(prev);

		if (cur.tid != prev_tid)
			make_current(prev_tgid, prev_tid);
		ticks_stop();
		if (cur.since_ns)
			counters.cpu_ns += bpf_ktime_get_ns() - cur.since_ns;
		cur.since_ns = 0;
		cur.t.frame = (u64)frame;
		cur.t.task = bpf_get_current_task();
		cur.t.tgid = prev_tgid;
		copy_regs(&cur.t.regs, frame);
		cur.t.flags &= ~(TS_USER | TS_FP);
		/* An interrupt pushes a negative orig_ax; after a system call has returned (TS_INSYS is off then) its
		 * number stays there until user code runs again. */
		if (!(cur.t.flags & TS_INSYS) && (s64)frame->orig_ax < 0) {
			cur.t.flags |= TS_USER;
			settle(preempt || prev->__state ? LEFT_KERNEL : LEFT_OUTWARDS, prev_tgid, prev_tid);
			if (nthreads > 1) {
				take_fingerprint(prev_tid, &cur.t.regs, 0);
				cur.t.flags |= TS_FP;
			}
		}
		if (cur.t.flags & TS_INSYS)
			log_waiters(prev_tgid, prev_tid, frame);
		if (prev->flags & PF_EXITING) {
			cur.t.flags |= TS_EXITING;
			if (!prev->clear_child_tid)
				cur.t.flags |= TS_TID_CLEARED;
			if (!prev->robust_list)
				cur.t.flags |= TS_ROBUST;
		}
		if (!dead && (!(cur.t.flags & TS_EXITING) || bpf_map_lookup_elem(&threads, &prev_tid)))
			bpf_map_update_elem(&threads, &prev_tid, &cur.t, BPF_ANY);
	}
	/* Its process may be forgotten already. */
	if (dead && filter_test(prev_tgid) && !bpf_map_delete_elem(&threads, &prev_tid))
		__sync_fetch_and_add(&nthreads, -1);
	if (!recorded(next_tgid))
		return 0;
	cur.since_ns = bpf_ktime_get_ns();
	if (next_tid != cur.tid && cur.tid) {
		log_switch(next_tgid, next_tid, 0, fpstate_of(next));
		cur.t.task = (u64)next;
	} else if (next_tid == cur.tid) {
		ticks_start();
	}
	return 0;
}
