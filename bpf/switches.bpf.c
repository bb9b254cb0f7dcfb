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

#define ROBUST_LIST_LIMIT 2048 /* of the kernel's walk, too */
#define OWNER_DIED        0x40000000u
#define TID_MASK          0x3fffffffu

struct robust_walk {
	u64 head, at, marked;
	s64 offset;
};
static long robust_step(u32 i, struct robust_walk *w)
{
	u64 next;
	u32 word;

	if (w->at == w->head || bpf_probe_read_user(&word, sizeof(word), (void *)(w->at + w->offset)) ||
	    bpf_probe_read_user(&next, sizeof(next), (void *)w->at) || !(word & OWNER_DIED) || (word & TID_MASK))
		return 1;
	w->marked = w->at + w->offset;
	w->at = next & ~1ull; /* the lowest bit: a futex with priority inheritance */
	return 0;
}

/* How far the kernel has come with the futexes of a thread that dies: whoever is next on the CPU may look at them, take
 * one that was marked, and with it its entry of the list. The kernel has read where that leads before. */
static __always_inline void note_robust(u64 head)
{
	struct {
		u64 next;
		s64 offset;
	} list;
	struct robust_walk w = {.head = head};

	cur.t.flags &= ~TS_ROBUST_AT;
	if (bpf_probe_read_user(&list, sizeof(list), (void *)head))
		return;
	w.offset = list.offset;
	w.at = cur.t.robust_next ? cur.t.robust_next : list.next & ~1ull;
	bpf_loop(ROBUST_LIST_LIMIT, robust_step, &w, 0);
	if (!w.marked)
		return;
	cur.t.robust_next = w.at;
	cur.t.regs.r[CT_RDI] = w.marked;
	cur.t.flags |= TS_ROBUST_AT;
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

	if (recorded(prev_tgid) == CT_MODE_REPLAY) {
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
			else
				note_robust((u64)prev->robust_list);
		}
		if (!dead && (!(cur.t.flags & TS_EXITING) || bpf_map_lookup_elem(&threads, &prev_tid)))
			bpf_map_update_elem(&threads, &prev_tid, &cur.t, BPF_ANY);
	}
	/* Its process may be forgotten already. */
	if (dead && filter_test(prev_tgid) && !bpf_map_delete_elem(&threads, &prev_tid))
		__sync_fetch_and_add(&nthreads, -1);
	if (recorded(next_tgid) != CT_MODE_REPLAY)
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
