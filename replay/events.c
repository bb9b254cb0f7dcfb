// SPDX-License-Identifier: MIT
/* One event of the log, executed: the thread it is of runs natively to where the event happened, what it has there is
 * checked against the log, and what the kernel did then is done. */
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "replay/clock.h"
#include "replay/inproc.h"
#include "replay/session_priv.h"

#define SW_BYTES     464 /* of an XSAVE image in a frame: what the kernel says of it (struct _fpx_sw_bytes) */
#define XSAVE_HEADER 512

#define TRAP_FLAG 0x100ull

int ct_apply_restart(struct ct_rthread *t)
{
	struct ct_regs r;

	if (!t->restart)
		return 0;
	if (ct_get_regs(t->real, &r))
		return -1;
	r.r[CT_RIP] -= 2;
	r.r[CT_RAX] = t->restart == -516 ? SYS_restart_syscall : (ct_u64)t->nr;
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	t->restart = 0;
	return ct_set_regs(t->real, &r);
}

int ct_resume(struct ct_rthread *t, int *status)
{
	return ct_resume_by(t, PTRACE_SYSEMU, status);
}

int ct_run_to_syscall(struct ct_session *s, struct ct_rthread *t, struct ct_error *err)
{
	struct ct_regs r;
	int status;

	if (t->at_entry)
		return 0;
	if (ct_apply_restart(t) || ct_resume(t, &status))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	if (WSTOPSIG(status) != (SIGTRAP | 0x80))
		return ct_diverged(s, t, err, "signal %d instead of a system call", WSTOPSIG(status));
	if (ct_get_regs(t->real, &r))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	t->at_entry = true;
	t->nr = (ct_s32)r.r[CT_ORIG_RAX];
	return 0;
}

/* ---- one event ---------------------------------------------------------------------------------------------- */

/* Whether the call itself wrote there: input is recorded when a call returns, so that is what was written. */
static bool overwritten(const struct ct_event *ev, const struct ct_buf *in)
{
	struct ct_buf_iter it = ct_buf_iter(ev);

	while (ct_buf_next(&it))
		if (it.buf->kind != CT_BUF_IN && it.buf->addr < in->addr + in->len &&
		    in->addr < it.buf->addr + it.buf->want)
			return true;
	return false;
}

/* What the program passes must be what it passed then: names, and the beginning of what it writes. */
bool ct_checked_input(const struct ct_event *ev, const struct ct_buf *buf)
{
	return buf->kind == CT_BUF_IN && buf->len && buf->len <= CT_CHECKED_INPUT && !overwritten(ev, buf);
}

static int check_input(struct ct_session *s, struct ct_rthread *t, struct ct_error *err)
{
	struct ct_buf_iter it = ct_buf_iter(s->ev);
	unsigned char have[CT_CHECKED_INPUT];

	while (ct_buf_next(&it)) {
		if (!ct_checked_input(s->ev, it.buf))
			continue;
		if (!ct_replica_read(t->proc, it.buf->addr, have, it.buf->len) || memcmp(have, it.data, it.buf->len))
			return ct_diverged(s, t, err, "passes other data at %#llx (argument %d) than was recorded",
					   (unsigned long long)it.buf->addr, it.buf->arg);
	}
	return 0;
}

static int check_call(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_syscall *sc, struct ct_error *err)
{
	struct ct_regs r;
	ct_u64 args[6];

	if (ct_get_regs(t->real, &r))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	args[0] = r.r[CT_RDI], args[1] = r.r[CT_RSI], args[2] = r.r[CT_RDX];
	args[3] = r.r[CT_R10], args[4] = r.r[CT_R8], args[5] = r.r[CT_R9];
	if (t->nr != sc->nr)
		return ct_diverged(s, t, err, "system call %d, recorded was %d", t->nr, sc->nr);
	for (int i = 0; i < 6; i++)
		if (args[i] != sc->args[i])
			return ct_diverged(s, t, err, "call %d: argument %d is %#llx, recorded was %#llx", sc->nr, i,
					   (unsigned long long)args[i], (unsigned long long)sc->args[i]);
	if (r.r[CT_RIP] != sc->ip || r.r[CT_RSP] != sc->sp)
		return ct_diverged(s, t, err, "call %d: made at %#llx with stack %#llx, recorded were %#llx and %#llx",
				   sc->nr, (unsigned long long)r.r[CT_RIP], (unsigned long long)r.r[CT_RSP],
				   (unsigned long long)sc->ip, (unsigned long long)sc->sp);
	if (CT_SAVED_HASH(r.r[CT_RBX], r.r[CT_RBP], r.r[CT_R12], r.r[CT_R13], r.r[CT_R14], r.r[CT_R15]) != sc->saved)
		return ct_diverged(s, t, err, "call %d: callee-saved registers differ", sc->nr);
	return (sc->flags & CT_SYSF_SWITCHED) || t->input_checked ? 0 : check_input(s, t, err);
}

static bool is_exec_return(const struct ct_event *ev)
{
	const struct ct_ev_syscall *sc = ct_event_payload(ev);

	return ev->type == CT_EV_SYSCALL && (sc->nr == SYS_execve || sc->nr == SYS_execveat) && sc->ret == 0;
}

static int on_syscall(struct ct_session *s, struct ct_rthread *t, struct ct_error *err)
{
	const struct ct_ev_syscall *sc;
	struct ct_regs r;
	int ret = ct_inproc_run(s, t, err);

	if (ret)
		return ret < 0 ? -1 : 0;
	sc = ct_event_payload(s->ev);
	s->stats.syscalls++;
	if (sc->nr < 0) { /* rt_sigreturn was executed at its ENTER record */
		struct ct_buf_iter it = ct_buf_iter(s->ev);
		struct ct_regs want;

		if (!ct_buf_next(&it) || it.buf->kind != CT_BUF_REGS || ct_get_regs(t->real, &r))
			return ct_diverged(s, t, err, "no registers");
		memcpy(&want, it.data, sizeof(want));
		ct_agents_expected(t->proc, &want);
		return ct_same_position(&r, &want) ? 0
						   : ct_diverged(s, t, err, "rt_sigreturn restored other registers");
	}
	/* The first return of a new thread: it was made with these registers. */
	if (sc->ret == 0 && t->nr == CT_NR_NEW) {
		t->nr = -1;
		if (ct_get_regs(t->real, &r) || r.r[CT_RIP] != sc->ip || r.r[CT_RSP] != sc->sp)
			return ct_diverged(s, t, err, "a new thread begins elsewhere");
		return ct_apply_bufs(s, t, err);
	}
	if (is_exec_return(s->ev)) {
		t->nr = CT_NR_EXEC; /* the EXEC snapshot brings the new image */
		return 0;
	}
	if (ct_run_to_syscall(s, t, err) || check_call(s, t, sc, err))
		return -1;
	t->input_checked = false;
	if (ct_emulate(s, t, sc, err))
		return -1;
	ct_mm_saw_call(t, sc->ip, sc->nr);
	return 0;
}

/* Does to the registers what the kernel's rt_sigreturn does (arch/x86/kernel/signal_64.c, fpu/signal.c), from the frame
 * above rsp; two stops less than making the call. False: nothing has been done, for the frame is not the usual kind. */
static bool restore_frame(const struct ct_rthread *t, struct ct_regs *r)
{
	/* AC OF DF SF ZF AF PF CF: what the kernel takes over, without RF, which is the tracer's, as is TF if it steps.
	 */
	const ct_u64 flags = 0x40cd5 | (t->clock->native ? TRAP_FLAG : 0);
	struct {
		ct_u64 flags, link, stack[3];
		struct sigcontext m;
	} uc;
	unsigned char xsave[CT_XSAVE_MAX] = {0};
	struct _fpx_sw_bytes sw;
	ct_u64 features;
	size_t len;

	ct_initial_xsave(&len);
	if (!ct_mem_read(t->proc->memfd, r->r[CT_RSP], &uc, sizeof(uc)) || !uc.m.fpstate || uc.m.cs != r->r[CT_CS] ||
	    !ct_mem_read(t->proc->memfd, (ct_u64)uc.m.fpstate + SW_BYTES, &sw, sizeof(sw)) ||
	    sw.magic1 != FP_XSTATE_MAGIC1 || sw.xstate_size < XSAVE_HEADER + 64 || sw.xstate_size > len ||
	    !ct_mem_read(t->proc->memfd, (ct_u64)uc.m.fpstate, xsave, sw.xstate_size))
		return false;
	memset(xsave + SW_BYTES, 0, sizeof(sw));
	memcpy(&features, xsave + XSAVE_HEADER, 8);
	features &= sw.xstate_bv; /* the others get their initial state */
	memcpy(xsave + XSAVE_HEADER, &features, 8);
	if (ct_set_xsave(t->real, xsave, len))
		return false;
	r->r[CT_R8] = uc.m.r8, r->r[CT_R9] = uc.m.r9, r->r[CT_R10] = uc.m.r10, r->r[CT_R11] = uc.m.r11;
	r->r[CT_R12] = uc.m.r12, r->r[CT_R13] = uc.m.r13, r->r[CT_R14] = uc.m.r14, r->r[CT_R15] = uc.m.r15;
	r->r[CT_RDI] = uc.m.rdi, r->r[CT_RSI] = uc.m.rsi, r->r[CT_RBP] = uc.m.rbp, r->r[CT_RBX] = uc.m.rbx;
	r->r[CT_RDX] = uc.m.rdx, r->r[CT_RAX] = uc.m.rax, r->r[CT_RCX] = uc.m.rcx, r->r[CT_RSP] = uc.m.rsp;
	r->r[CT_RIP] = uc.m.rip;
	r->r[CT_RFLAGS] = (r->r[CT_RFLAGS] & ~flags) | (uc.m.eflags & flags);
	if (r->r[CT_RFLAGS] & TRAP_FLAG)
		ct_mm_retire(t->proc); /* steps through our code would be traps, too */
	return true;
}

static int really_sigreturn(struct ct_session *s, struct ct_rthread *t, struct ct_error *err)
{
	struct ct_regs r;
	ct_u64 ip;
	int status;

	if (ct_get_regs(t->real, &r))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	t->at_entry = false;
	if (restore_frame(t, &r)) {
		r.r[CT_ORIG_RAX] = (ct_u64)-1;
		ct_agents_expected(t->proc, &r); /* the frame has them as they were recorded */
		return ct_set_regs(t->real, &r);
	}
	ip = r.r[CT_RIP] = CT_GADGET; /* all it takes from here is the stack */
	r.r[CT_RAX] = SYS_rt_sigreturn;
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	if (ct_set_regs(t->real, &r))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	do {
		if (ptrace(PTRACE_SINGLESTEP, t->real, 0, 0) || ct_replica_wait(t->real, &status) ||
		    !WIFSTOPPED(status) || ct_get_regs(t->real, &r))
			return ct_diverged(s, t, err, "the replica died in rt_sigreturn");
	} while (r.r[CT_RIP] == ip || status >> 16 == PTRACE_EVENT_SECCOMP);
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	r.r[CT_RFLAGS] &= ~TRAP_FLAG;
	ct_agents_expected(t->proc, &r);
	return ct_set_regs(t->real, &r);
}

static int on_enter(struct ct_session *s, struct ct_rthread *t, struct ct_error *err)
{
	const struct ct_ev_enter *n = ct_event_payload(s->ev);

	if (ct_run_to_syscall(s, t, err))
		return -1;
	if (t->nr != n->nr)
		return ct_diverged(s, t, err, "enters system call %d, recorded was %d", t->nr, n->nr);
	if (n->nr == SYS_rt_sigreturn)
		return really_sigreturn(s, t, err);
	if (n->nr == SYS_exit || n->nr == SYS_exit_group)
		t->clear_tid = n->clear_child_tid, t->robust = n->robust_list;
	return 0;
}

static int on_signal(struct ct_session *s, struct ct_rthread *t, struct ct_error *err)
{
	const struct ct_ev_signal *sig = ct_event_payload(s->ev);
	struct ct_regs r;
	int status;

	s->stats.signals++;
	if ((sig->flags & CT_SIGF_SYNC) && sig->sig == SIGBUS)
		return ct_run_to_fault(s, t, &sig->regs, SIGBUS, err);
	if (sig->flags & CT_SIGF_SYNC) {
		struct ct_regs want = sig->regs;

		ct_agents_expected(t->proc, &want);
		if (t->trapped && sig->sig == SIGTRAP && !ct_get_regs(t->real, &r) && ct_same_position(&r, &want)) {
			t->trapped = false;
			return 0;
		}
		if (ct_apply_restart(t) || ct_resume(t, &status))
			return ct_diverged(s, t, err, "%s", ct_replica_lost());
		if (WSTOPSIG(status) != sig->sig)
			return ct_diverged(s, t, err, "stop %#x instead of signal %d", status, sig->sig);
		if (ct_get_regs(t->real, &r) || r.r[CT_RIP] != want.r[CT_RIP])
			return ct_diverged(s, t, err, "signal %d at another place than %#llx", sig->sig,
					   (unsigned long long)want.r[CT_RIP]);
		if (!ct_same_position(&r, &want))
			return ct_diverged(s, t, err, "signal %d with other registers", sig->sig);
		if (sig->sig == SIGTRAP && sig->code == TRAP_TRACE)
			ct_mm_retire(t->proc);
		return 0;
	}
	if (sig->handler <= 1)
		return 0;
	if (sig->flags & CT_SIGF_ASYNC)
		return ct_run_to_pass(s, t, &sig->regs, ct_event_fingerprint(s->ev), err);
	return 0; /* on the way out of a system call; the FRAME record has the registers that follow */
}

static int on_frame(struct ct_session *s, struct ct_rthread *t, struct ct_error *err)
{
	const struct ct_ev_frame *f = ct_event_payload(s->ev);
	struct ct_regs r, now;
	size_t len;
	const void *init = ct_initial_xsave(&len);

	if (ct_apply_bufs(s, t, err))
		return -1;
	if (ct_get_regs(t->real, &now))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	r = f->regs;
	r.r[CT_FS_BASE] = now.r[CT_FS_BASE];
	r.r[CT_GS_BASE] = now.r[CT_GS_BASE];
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	r.r[CT_CS] = now.r[CT_CS];
	r.r[CT_SS] = now.r[CT_SS];
	t->restart = 0;
	if (ct_set_regs(t->real, &r) || ct_set_xsave(t->real, init, len))
		return ct_diverged(s, t, err, "registers cannot be set");
	return 0;
}

static int clear_tid(struct ct_rthread *t)
{
	const ct_u32 zero = 0;

	if (t->clear_tid && !t->tid_cleared)
		ct_mem_write(t->proc->memfd, t->clear_tid, &zero, 4);
	t->tid_cleared = true;
	return 0;
}

/* A thread that has an exit record, but whose id and futexes the kernel may still have to write: since Linux 6.16 that
 * comes after the record (the tracepoint has moved in do_exit()), and others can have the CPU in between. At the latest
 * it is done when the thread leaves the CPU for good, which is a record. */
static struct ct_rthread *exited(const struct ct_session *s, ct_u32 tid)
{
	for (size_t i = s->nthreads; i > 0; i--) {
		struct ct_rthread *t = s->threads[i - 1];

		if (t->tid == tid)
			return t->live || t->tid_cleared || t->proc->gone ? NULL : t;
	}
	return NULL;
}

void ct_session_bury(struct ct_session *s)
{
	for (size_t i = 0; i < s->nthreads; i++) {
		struct ct_rthread *t = s->threads[i];

		if (t->live || t->tid_cleared || t->proc->gone)
			continue;
		ct_futex_death(t, 0);
		clear_tid(t);
	}
}

static int on_switch(struct ct_session *s, struct ct_rthread *t, struct ct_error *err)
{
	const struct ct_ev_switch *sw = ct_event_payload(s->ev);
	struct ct_regs r;

	s->stats.switches++;
	s->current_tid = sw->to;
	if (sw->flags & CT_SWF_REPAIRED) /* nobody knows who executed what was counted around it */
		for (size_t i = 0; i < s->nthreads; i++)
			if (s->threads[i] == t || s->threads[i]->tid == sw->to)
				s->threads[i]->ticks_known = false;
	if (!t)
		t = exited(s, s->ev->tid);
	if (!t) /* a thread that has gone already */
		return 0;
	if (sw->flags & CT_SWF_EXITING) {
		/* Of a switch that was repaired nobody has looked at what the kernel had written. */
		const bool cleared = sw->flags & (CT_SWF_TID_CLEARED | CT_SWF_REPAIRED);

		if ((sw->flags & CT_SWF_ROBUST) || cleared)
			ct_futex_death(t, 0);
		else if (sw->flags & CT_SWF_ROBUST_AT)
			ct_futex_death(t, sw->regs.r[CT_RDI]);
		if (cleared)
			clear_tid(t);
		return 0;
	}
	if (t->nr == CT_NR_NEW || t->nr == CT_NR_EXEC) /* has not run an instruction yet */
		return 0;
	if (sw->flags & CT_SWF_INSYS) {
		if (ct_run_to_syscall(s, t, err))
			return -1;
		return t->nr == sw->nr ? 0
				       : ct_diverged(s, t, err, "in system call %d, recorded was %d", t->nr, sw->nr);
	}
	if (sw->flags & CT_SWF_USER)
		return ct_run_to_pass(s, t, &sw->regs, ct_event_fingerprint(s->ev), err);
	/* On its way out of a call that is in the log already. The kernel may or may not have rewound a restarted one.
	 */
	if (ct_get_regs(t->real, &r))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	if (r.r[CT_RIP] == sw->regs.r[CT_RIP] || (t->restart && r.r[CT_RIP] - 2 == sw->regs.r[CT_RIP]))
		return 0;
	return ct_diverged(s, t, err, "left at another place than %#llx", (unsigned long long)sw->regs.r[CT_RIP]);
}

static int on_exit_record(struct ct_session *s, struct ct_rthread *t)
{
	const struct ct_ev_exit *x = ct_event_payload(s->ev);

	if (!t)
		return 0;
	/* Of the last thread too: the futexes may be in memory shared with other processes. Else see exited(). */
	if (x->flags & CT_EXITF_GROUP)
		ct_futex_death(t, 0);
	t->live = false;
	if (x->flags & CT_EXITF_GROUP) {
		t->proc->gone = true;
		ct_session_leave(t);
	}
	return 0;
}

static int on_data(struct ct_session *s, struct ct_rthread *t, struct ct_error *err)
{
	const struct ct_ev_data *d = ct_event_payload(s->ev);

	/* Its call has not been checked yet, but will be before anything runs; the bytes belong where they say. */
	if (!t->at_entry && ct_run_to_syscall(s, t, err))
		return -1;
	if (d->len && !ct_mem_write(t->proc->memfd, d->addr, d + 1, d->len))
		return ct_diverged(s, t, err, "buffer %#llx cannot be written", (unsigned long long)d->addr);
	return 0;
}

/* The stop for a snapshot made some calls fail, and the recorder had them made again. */
static int on_snapshot(struct ct_session *s, ct_u32 id, struct ct_error *err)
{
	struct ct_snapshot_reader *reader = ct_snapshot_open(s->files.dirfd, id, err);
	const struct ct_snapshot *snap = reader ? ct_snapshot_get(reader) : NULL;
	int ret = snap ? 0 : -1;

	ct_session_bury(s);
	for (ct_u32 p = 0; snap && p < snap->nprocs; p++) {
		for (ct_u32 i = 0; i < snap->procs[p].nthreads && !ret; i++) {
			const struct ct_snap_thread *was = &snap->procs[p].threads[i];
			struct ct_rthread *t = was->flags & CT_THREADF_REISSUE ? ct_session_thread(s, was->tid) : NULL;
			struct ct_regs r;

			if (!t)
				continue;
			if (ct_get_regs(t->real, &r) || r.r[CT_RIP] != was->regs.r[CT_RIP] ||
			    r.r[CT_RAX] != was->regs.r[CT_RAX])
				ret = ct_diverged(s, t, err, "is not in the call that snapshot %u interrupted", id);
			r.r[CT_RIP] -= 2;
			r.r[CT_RAX] = was->regs.r[CT_ORIG_RAX];
			r.r[CT_ORIG_RAX] = (ct_u64)-1;
			if (!ret && ct_set_regs(t->real, &r))
				ret = ct_diverged(s, t, err, "%s", ct_replica_lost());
		}
	}
	ct_snapshot_reader_close(reader);
	return ret;
}

/* A process that is not replayed any more: as if it had ended. */
static int let_go(struct ct_session *s, const struct ct_event *ev)
{
	for (size_t i = 0; i < s->nthreads; i++) {
		struct ct_rthread *t = s->threads[i];

		if (t->proc->pid != ev->pid || !t->live)
			continue;
		ct_session_leave(t);
		t->proc->gone = true;
	}
	return 0;
}

int ct_replay_event(struct ct_session *s, struct ct_error *err)
{
	const struct ct_event *ev = s->ev;
	struct ct_rthread *t = ct_session_thread(s, ev->tid);

	if (ev->flags & CT_EVF_EVENTS_ONLY)
		return 0;
	if (ev->type != CT_EV_SYSCALL && ev->type != CT_EV_ENTER) /* it may step, or copy the process */
		ct_stops_take_out(&s->stops);
	switch (ev->type) {
	case CT_EV_FILE:
	case CT_EV_NOTE:
	case CT_EV_FUNCTION: /* told by probes, of which the program knows nothing */
	case CT_EV_CALL:
	case CT_EV_RETURN:
	case CT_EV_END: return 0;
	case CT_EV_SWITCH: return on_switch(s, t, err);
	case CT_EV_EXIT: return on_exit_record(s, t);
	case CT_EV_SNAPSHOT: {
		const struct ct_ev_snapshot *snap = ct_event_payload(ev);

		if (snap->kind == CT_SNAP_EXEC)
			return ct_session_bring(s, snap->id, true, err);
		return snap->kind == CT_SNAP_FINAL ? 0 : on_snapshot(s, snap->id, err);
	}
	case CT_EV_EXEC:
		if (((const struct ct_ev_exec *)ct_event_payload(ev))->flags & CT_EXECF_EVENTS)
			return let_go(s, ev);
		if (s->current_tid == ((const struct ct_ev_exec *)ct_event_payload(ev))->old_tid)
			s->current_tid = ev->tid;
		return 0;
	case CT_EV_LOST:
	case CT_EV_UNSOUND:
		return ct_fail(err, CT_EXIT_DIVERGED, "event %llu: the recording is broken here (%s)",
			       (unsigned long long)ev->seq, ct_event_type_name(ev->type));
	}
	/* A thread that was not the leader is, from its execve on; the EXEC snapshot brings it. */
	if (!t && is_exec_return(ev))
		return 0;
	if (!t)
		return ct_diverged(s, NULL, err, "it is of thread %u, which the replay does not have", ev->tid);
	switch (ev->type) {
	case CT_EV_SYSCALL: return on_syscall(s, t, err);
	case CT_EV_ENTER: return on_enter(s, t, err);
	case CT_EV_SIGNAL: return on_signal(s, t, err);
	case CT_EV_FRAME: return on_frame(s, t, err);
	case CT_EV_FORK: return ct_emulate_fork(s, t, ct_event_payload(ev), err);
	case CT_EV_INSN: return ct_replay_insn(s, t, ct_event_payload(ev), err);
	case CT_EV_DATA: return on_data(s, t, err);
	}
	return ct_fail(err, CT_EXIT_FAILED, "event %llu: replaying %s records is not supported by this version",
		       (unsigned long long)ev->seq, ct_event_type_name(ev->type));
}
