// SPDX-License-Identifier: MIT OR GPL-2.0
/* Threads and processes come and go: children are followed from their first instruction, exits end it. */
#include "target.bpf.h"

/* Who is replayed no more, or ends: one less of those that --max-processes counts. */
static __always_inline void one_less(const struct ct_proc *proc)
{
	if (!(proc->how & CT_PROC_EVENTS_ONLY))
		__sync_fetch_and_add(&nprocs, -1);
}

/* A new process: replayed, or one too many. What is done with the memory it shares with its parent before it runs
 * another program must be replayed in any case. */
static __always_inline u32 add_child(u32 how, u32 tgid, u32 tid, u32 child, bool shares_mm)
{
	struct ct_proc *parent = bpf_map_lookup_elem(&procs, &tgid), proc = {};

	if (parent)
		proc.how = parent->how & ~CT_PROC_AT_EXEC;
	if (how == CT_MODE_REPLAY && nprocs >= max_procs)
		proc.how |= shares_mm ? CT_PROC_AT_EXEC : CT_PROC_EVENTS_ONLY;
	if (bpf_map_update_elem(&procs, &child, &proc, BPF_ANY)) {
		__sync_fetch_and_add(&counters.threads_full, 1);
		return 0;
	}
	filter_set(child);
	if (!(proc.how & CT_PROC_EVENTS_ONLY)) {
		__sync_fetch_and_add(&nprocs, 1);
		return CT_FORKF_FOLLOWED;
	}
	__sync_fetch_and_add(&counters.events_only, 1);
	if (how == CT_MODE_REPLAY && (proc.how & CT_PROC_SHARES))
		say_unsound(tgid, tid, CT_UNSOUND_SHARED, child);
	return CT_FORKF_EVENTS;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(ct_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 tgid = parent->tgid, tid = parent->pid, child_tgid = child->tgid, child_tid = child->pid;
	struct ct_thread_state t = {};
	struct {
		struct ct_event h;
		struct ct_ev_fork f;
	} * e;
	u32 flags = 0, how;

	if (!mode || !(how = recorded(tgid)))
		return 0;
	if (how == CT_MODE_REPLAY && cur.tid != tid)
		make_current(tgid, tid);
	if (child->mm == parent->mm)
		flags |= CT_FORKF_SHARES_MM;
	if (child_tgid == tgid)
		flags |= how == mode ? CT_FORKF_FOLLOWED : CT_FORKF_EVENTS;
	else if (follow)
		flags |= add_child(how, tgid, tid, child_tgid, flags & CT_FORKF_SHARES_MM);
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
static __always_inline void log_exec(u32 tgid, u32 old_tid, u32 flags)
{
	struct {
		struct ct_event h;
		struct ct_ev_exec x;
	} * e;

	if (!EVENT_RESERVE(e, CT_EV_EXEC, tgid, tgid))
		return;
	e->x.old_tid = old_tid;
	e->x.flags = flags;
	__builtin_memset(&e->x.regs, 0, sizeof(e->x.regs));
	bpf_get_current_comm(e->x.comm, sizeof(e->x.comm));
	EVENT_SUBMIT(e);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(ct_exec, struct task_struct *p, int old_pid, struct linux_binprm *bprm)
{
	u32 tgid = p->tgid, how;
	struct ct_proc *proc;

	if (!mode || !(how = recorded(tgid)))
		return 0;
	proc = bpf_map_lookup_elem(&procs, &tgid);
	if (proc)
		proc->how = (proc->how & ~CT_PROC_SHARES) | CT_PROC_NEW_IMAGE;
	if (how == CT_MODE_EVENTS) { /* nobody takes a snapshot: said at once */
		log_exec(tgid, old_pid, 0);
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
	if (proc &&
	    (proc->how & CT_PROC_AT_EXEC)) { /* as if it had ended: it is still on the CPU, and recorded no more */
		log_exec(tgid, old_pid, CT_EXECF_EVENTS);
		one_less(proc);
		proc->how = CT_PROC_EVENTS_ONLY | CT_PROC_NEW_IMAGE;
		__sync_fetch_and_add(&counters.events_only, 1);
		if (!bpf_map_delete_elem(&threads, &tgid))
			__sync_fetch_and_add(&nthreads, -1);
		bpf_map_delete_elem(&fingerprints, &tgid);
		ticks_stop();
		if (cur.since_ns)
			counters.cpu_ns += bpf_ktime_get_ns() - cur.since_ns;
		cur.since_ns = 0;
		cur.t.flags = TS_EXITING | TS_TID_CLEARED;
		cur.t.frame = cur.t.task = 0;
		cur.tgid = 0;
		return 0;
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
	struct ct_proc *proc;
	bool last, replayed;

	if (!mode || !known(tgid)) /* also while it is worked on: SIGKILL reaches a stopped one */
		return 0;
	proc = bpf_map_lookup_elem(&procs, &tgid);
	replayed = mode == CT_MODE_REPLAY && !(proc && (proc->how & CT_PROC_EVENTS_ONLY));
	last = p->signal->live.counter == 0;
	if (replayed) {
		if (cur.tid != tid)
			make_current(tgid, tid);
		cur.t.flags |= TS_EXITING;
	}
	bpf_map_delete_elem(&fingerprints, &tid);
	/* It may lose the CPU and get it again before it is gone (switches.bpf.c): only then it is one less. */
	if ((last || !replayed) && !bpf_map_delete_elem(&threads, &tid))
		__sync_fetch_and_add(&nthreads, -1);
	if (EVENT_RESERVE(e, CT_EV_EXIT, tgid, tid)) {
		e->x.code = p->exit_code;
		e->x.flags = last ? CT_EXITF_GROUP : 0;
		EVENT_SUBMIT(e);
	}
	if (last && proc) {
		one_less(proc);
		bpf_map_delete_elem(&procs, &tgid); /* `filter` keeps its bit: it may be shared */
	}
	return 0;
}
