// SPDX-License-Identifier: MIT OR GPL-2.0
/* Threads and processes come and go: children are followed from their first instruction, exits end it. */
#include "target.bpf.h"

SEC("tp_btf/sched_process_fork")
int BPF_PROG(ct_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 tgid = parent->tgid, tid = parent->pid, child_tgid = child->tgid, child_tid = child->pid;
	struct ct_thread_state t = {};
	struct {
		struct ct_event h;
		struct ct_ev_fork f;
	} * e;
	u32 flags = 0;

	if (!mode || !recorded(tgid))
		return 0;
	if (mode == CT_MODE_REPLAY && cur.tid != tid)
		make_current(tgid, tid);
	if (child->mm == parent->mm)
		flags |= CT_FORKF_SHARES_MM;
	if (child_tgid == tgid) {
		flags |= CT_FORKF_FOLLOWED;
	} else if (follow) {
		struct ct_proc proc = {};

		if (!bpf_map_update_elem(&procs, &child_tgid, &proc, BPF_ANY)) {
			filter_set(child_tgid);
			flags |= CT_FORKF_FOLLOWED;
		} else {
			__sync_fetch_and_add(&counters.threads_full, 1);
		}
	}
	if (flags & CT_FORKF_FOLLOWED) {
		/* Its first event is the return from the parent's call. */
		t.tgid = child_tgid;
		t.flags = TS_INSYS;
		t.nr = cur.tid == tid ? cur.t.nr : 56;
		t.restart_nr = -1;
		if (bpf_map_update_elem(&threads, &child_tid, &t, BPF_ANY))
			__sync_fetch_and_add(&counters.threads_full, 1);
		__sync_fetch_and_add(&nthreads, 1);
	}
	if (!EVENT_RESERVE(e, CT_EV_FORK, tgid, tid))
		return 0;
	e->f.child_tid = child_tid;
	e->f.child_pid = child_tgid;
	e->f.flags = flags;
	e->f.pad = 0;
	EVENT_SUBMIT(e);
	return 0;
}

/* execve from a thread that is not the leader: the kernel gives it the leader's id. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(ct_exec, struct task_struct *p, int old_pid, struct linux_binprm *bprm)
{
	u32 tgid = p->tgid;

	if (!mode || !recorded(tgid))
		return 0;
	if (mode == CT_MODE_EVENTS) { /* nobody takes a snapshot: said at once */
		struct {
			struct ct_event h;
			struct ct_ev_exec x;
		} * e;

		if (!EVENT_RESERVE(e, CT_EV_EXEC, tgid, tgid))
			return 0;
		e->x.old_tid = old_pid;
		e->x.flags = 0;
		__builtin_memset(&e->x.regs, 0, sizeof(e->x.regs));
		bpf_get_current_comm(e->x.comm, sizeof(e->x.comm));
		EVENT_SUBMIT(e);
		return 0;
	}
	/* After a missed switch another thread, maybe of another process, would be taken for the one that has a new
	 * image. */
	if (cur.tid != (u32)old_pid)
		make_current(tgid, old_pid);
	if (cur.tid == (u32)old_pid && cur.tid != tgid) {
		u32 old = old_pid;

		bpf_map_delete_elem(&threads, &old);
		cur.tid = tgid;
	}
	cur.t.flags |= TS_EXEC;
	cur.t.exec_from = old_pid;
	cur.t.sig_handler = 0;
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(ct_exit, struct task_struct *p)
{
	u32 tgid = p->tgid, tid = p->pid;
	struct {
		struct ct_event h;
		struct ct_ev_exit x;
	} * e;
	bool last;

	if (!mode || !known(tgid)) /* also while it is worked on: SIGKILL reaches a stopped one */
		return 0;
	last = p->signal->live.counter == 0;
	if (mode == CT_MODE_REPLAY) {
		if (cur.tid != tid)
			make_current(tgid, tid);
		cur.t.flags |= TS_EXITING;
	}
	bpf_map_delete_elem(&fingerprints, &tid);
	/* It may lose the CPU and get it again before it is gone (switches.bpf.c): only then it is one less. */
	if ((last || mode != CT_MODE_REPLAY) && !bpf_map_delete_elem(&threads, &tid))
		__sync_fetch_and_add(&nthreads, -1);
	if (EVENT_RESERVE(e, CT_EV_EXIT, tgid, tid)) {
		e->x.code = p->exit_code;
		e->x.flags = last ? CT_EXITF_GROUP : 0;
		EVENT_SUBMIT(e);
	}
	if (last)
		bpf_map_delete_elem(&procs, &tgid); /* `filter` keeps its bit: it may be shared */
	return 0;
}
