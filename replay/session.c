// SPDX-License-Identifier: MIT
/* Executing a stretch again: the log's events in order, one thread at a time.
 * Between events threads run natively; at each event registers are checked against the log. */
#include "replay/session.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "replay/clock.h"
#include "replay/inproc.h"
#include "replay/session_priv.h"

struct ct_rthread *ct_session_thread(struct ct_session *s, ct_u32 tid)
{
	for (size_t i = 0; i < s->nthreads; i++)
		if (s->threads[i]->tid == tid && s->threads[i]->live)
			return s->threads[i];
	return NULL;
}

struct ct_rthread *ct_session_add(struct ct_session *s, const struct ct_rthread *t)
{
	struct ct_rthread **more = realloc(s->threads, (s->nthreads + 1) * sizeof(*more));
	struct ct_rthread *copy = malloc(sizeof(*copy));

	if (more)
		s->threads = more;
	if (!more || !copy) {
		free(copy);
		return NULL;
	}
	*copy = *t;
	copy->clock = s->clock;
	copy->stops = &s->stops;
	s->threads[s->nthreads++] = copy;
	return copy;
}

static int add_proc(struct ct_session *s, struct ct_replica *p)
{
	struct ct_replica **more = realloc(s->procs, (s->nprocs + 1) * sizeof(*more));

	if (!more)
		return -1;
	s->procs = more;
	s->procs[s->nprocs++] = p;
	return 0;
}

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
		return ct_diverged(s, t, err, "the replica died");
	if (WSTOPSIG(status) != (SIGTRAP | 0x80))
		return ct_diverged(s, t, err, "signal %d instead of a system call", WSTOPSIG(status));
	if (ct_get_regs(t->real, &r))
		return ct_diverged(s, t, err, "the replica died");
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
		return ct_diverged(s, t, err, "the replica died");
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

static int really_sigreturn(struct ct_session *s, struct ct_rthread *t, struct ct_error *err)
{
	struct ct_regs r;
	ct_u64 ip;
	int status;

	if (ct_get_regs(t->real, &r))
		return ct_diverged(s, t, err, "the replica died");
	ip = r.r[CT_RIP] = CT_GADGET; /* all it takes from here is the stack */
	r.r[CT_RAX] = SYS_rt_sigreturn;
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	t->at_entry = false;
	if (ct_set_regs(t->real, &r))
		return ct_diverged(s, t, err, "the replica died");
	do {
		if (ptrace(PTRACE_SINGLESTEP, t->real, 0, 0) || ct_replica_wait(t->real, &status) ||
		    !WIFSTOPPED(status) || ct_get_regs(t->real, &r))
			return ct_diverged(s, t, err, "the replica died in rt_sigreturn");
	} while (r.r[CT_RIP] == ip || status >> 16 == PTRACE_EVENT_SECCOMP);
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	r.r[CT_RFLAGS] &= ~0x100ull;
	ct_agents_expected(t->proc, &r); /* the frame has them as they were recorded */
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
		if (ct_apply_restart(t) || ct_resume(t, &status))
			return ct_diverged(s, t, err, "the replica died");
		if (WSTOPSIG(status) != sig->sig)
			return ct_diverged(s, t, err, "stop %#x instead of signal %d", status, sig->sig);
		if (ct_get_regs(t->real, &r) || r.r[CT_RIP] != sig->regs.r[CT_RIP])
			return ct_diverged(s, t, err, "signal %d at another place than %#llx", sig->sig,
					   (unsigned long long)sig->regs.r[CT_RIP]);
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
		return ct_diverged(s, t, err, "the replica died");
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
	if (!t) /* a thread that has gone already */
		return 0;
	if (sw->flags & CT_SWF_EXITING) {
		if (sw->flags & (CT_SWF_ROBUST | CT_SWF_TID_CLEARED))
			ct_futex_death(t);
		if (sw->flags & CT_SWF_TID_CLEARED)
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
		return ct_diverged(s, t, err, "the replica died");
	if (r.r[CT_RIP] == sw->regs.r[CT_RIP] || (t->restart && r.r[CT_RIP] - 2 == sw->regs.r[CT_RIP]))
		return 0;
	return ct_diverged(s, t, err, "left at another place than %#llx", (unsigned long long)sw->regs.r[CT_RIP]);
}

/* Its process will not run again: others may have its sites. */
static void leave(struct ct_rthread *t)
{
	t->live = false;
	ct_mm_release(t->proc->mm);
	t->proc->mm = NULL;
}

static int on_exit_record(struct ct_session *s, struct ct_rthread *t)
{
	const struct ct_ev_exit *x = ct_event_payload(s->ev);

	if (!t)
		return 0;
	/* Of the last thread too: the futexes may be in memory shared with other processes. */
	ct_futex_death(t);
	if (!(x->flags & CT_EXITF_GROUP))
		clear_tid(t);
	t->live = false;
	if (x->flags & CT_EXITF_GROUP) {
		t->proc->gone = true;
		leave(t);
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

static int restore_snapshot(struct ct_session *s, ct_u32 id, bool exec, struct ct_error *err)
{
	struct ct_snapshot_reader *snap = ct_snapshot_open(s->files.dirfd, id, err);
	int ret = 0;

	if (!snap)
		return -1;
	s->files.bare = s->clock->counts;
	for (ct_u32 i = 0; i < ct_snapshot_get(snap)->nprocs && !ret; i++) {
		struct ct_rthread *threads;
		size_t n;
		struct ct_replica *p = ct_replica_create(&s->files, snap, i, &threads, &n, err);

		if (!p || add_proc(s, p)) {
			ret = -1;
			break;
		}
		ret = n ? ct_agents_look(s->agents, &threads[0], exec, err) : 0;
		for (size_t k = 0; exec && k < s->nthreads; k++) /* the old image's threads are no more */
			if (s->threads[k]->proc->pid == p->pid)
				leave(s->threads[k]);
		for (size_t k = 0; k < n; k++) {
			threads[k].ticks_known = ct_snapshot_get(snap)->kind == CT_SNAP_ATTACH;
			if (!ct_session_add(s, &threads[k]))
				ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
		}
		free(threads);
	}
	ct_snapshot_reader_close(snap);
	return ret;
}

static int replay_event(struct ct_session *s, struct ct_error *err)
{
	const struct ct_event *ev = s->ev;
	struct ct_rthread *t = ct_session_thread(s, ev->tid);

	switch (ev->type) {
	case CT_EV_FILE:
	case CT_EV_NOTE:
	case CT_EV_END: return 0;
	case CT_EV_SWITCH: return on_switch(s, t, err);
	case CT_EV_EXIT: return on_exit_record(s, t);
	case CT_EV_SNAPSHOT: {
		const struct ct_ev_snapshot *snap = ct_event_payload(ev);

		return snap->kind == CT_SNAP_EXEC ? restore_snapshot(s, snap->id, true, err) : 0;
	}
	case CT_EV_EXEC:
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

/* The event at hand: not yet executed. 1, 0 at the log's end, -1. */
static int fetch(struct ct_session *s, struct ct_error *err)
{
	int ret;

	if (s->held)
		return 1;
	ret = ct_cursor_next(s->cursor, &s->ev, err);
	s->held = ret > 0;
	return ret;
}

int ct_session_run(struct ct_session *s, ct_u64 seq, struct ct_error *err)
{
	struct timespec a, b;
	int ret;

	clock_gettime(CLOCK_MONOTONIC, &a);
	s->until = seq;
	while ((ret = fetch(s, err)) > 0 && s->ev->seq < seq) {
		ct_agents_event(s->agents, s->ev);
		ret = replay_event(s, err);
		if (ct_agents_error(s->agents)) {
			*err = *ct_agents_error(s->agents);
			ret = -1;
		}
		if (ret && s->stops.hit) { /* before the event is at its end */
			s->inside = true;
			memset(err, 0, sizeof(*err));
			ret = 1;
			break;
		}
		if (ret)
			break;
		s->held = false;
		s->inside = s->stops.hit; /* between answered calls */
		s->stats.events++;
		ct_stops_look(s);
		if (s->stops.hit) {
			ret = 1;
			break;
		}
		if (s->hook.event && s->hook.wants(s->hook.ctx, s->ev) && s->hook.event(s->hook.ctx, s, s->ev)) {
			ret = 1;
			break;
		}
		ret = 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	s->stats.seconds += (b.tv_sec - a.tv_sec) + (b.tv_nsec - a.tv_nsec) / 1e9;
	return ret < 0 ? -1 : ret && (!s->held || s->stops.hit);
}

int ct_session_next(struct ct_session *s, const struct ct_event **ev, struct ct_error *err)
{
	int ret = fetch(s, err);

	*ev = ret > 0 ? s->ev : NULL;
	return ret;
}

void ct_session_set_hook(struct ct_session *s, const struct ct_session_hook *hook)
{
	s->hook = hook ? *hook : (struct ct_session_hook){0};
}

/* The CPU it was recorded on, or the one asked for: cpuid and rdpid tell programs which that is. Tracer and tracee on
 * one and the same also makes a stop ten times as cheap. */
static int choose_cpu(struct ct_session *s, const struct ct_session_opts *opts, struct ct_error *err)
{
	const json_t *options = json_object_get(ct_recording_manifest(s->rec), "options");
	int recorded = (int)json_integer_value(json_object_get(options, "cpu"));
	cpu_set_t allowed, one;
	int cpu = opts && opts->cpu >= 0 ? opts->cpu : recorded;

	CPU_ZERO(&one);
	if (cpu >= 0 && cpu < CPU_SETSIZE)
		CPU_SET(cpu, &one);
	if (!CPU_COUNT(&one) || sched_setaffinity(0, sizeof(one), &one)) {
		if (sched_getaffinity(0, sizeof(allowed), &allowed))
			return ct_fail_errno(err, CT_EXIT_FAILED, "cannot tell which CPUs may be used");
		for (cpu = 0; cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &allowed); cpu++)
			;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one))
			return ct_fail_errno(err, CT_EXIT_FAILED, "cannot run on CPU %d", cpu);
	}
	s->stats.cpu = cpu;
	return 0;
}

struct ct_session *ct_session_create(struct ct_recording *rec, ct_u32 id, const struct ct_session_opts *opts,
				     struct ct_error *err)
{
	struct ct_session *s = calloc(1, sizeof(*s));
	struct ct_snapshot_reader *snap;
	ct_u64 seq = 0;

	if (!s) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return NULL;
	}
	s->rec = rec;
	s->clock = opts && opts->clock ? opts->clock : &ct_clock_fingerprint;
	s->sigchld_was_open = ct_replica_expect_stops();
	if (choose_cpu(s, opts, err)) {
		ct_replica_expect_no_stops(s->sigchld_was_open);
		free(s);
		return NULL;
	}
	snap = ct_snapshot_open(ct_recording_dirfd(rec), id, err);
	if (snap) {
		seq = ct_snapshot_get(snap)->seq;
		s->current_tid = ct_snapshot_get(snap)->current_tid;
		ct_snapshot_reader_close(snap);
	}
	s->first_seq = seq + 1;
	ct_passes_recall(s, id);
	s->cursor = snap ? ct_cursor_create(rec, err) : NULL;
	if (!s->cursor || ct_replay_files_init(&s->files, rec, err) || !(s->files.inproc = ct_inproc_create(err)) ||
	    restore_snapshot(s, id, false, err) || ct_cursor_seek_seq(s->cursor, seq + 1, err)) {
		ct_session_destroy(s);
		return NULL;
	}
	return s;
}

int ct_session_watch(struct ct_session *s, struct ct_agents *agents, struct ct_error *err)
{
	const struct ct_event *ev;
	struct ct_regs r;

	if (s->clock->counts) /* their code would be counted as the program's */
		return ct_fail(err, CT_EXIT_FAILED, "the clock %s does not work with agents; use fingerprint",
			       s->clock->name);
	s->agents = agents;
	if (ct_session_next(s, &ev, err) < 0)
		return -1;
	if (ev)
		ct_agents_event(agents, ev); /* frames that are there are told of as of now */
	for (size_t i = 0; i < s->nthreads; i++)
		if (s->threads[i]->real == s->threads[i]->proc->real &&
		    ct_agents_look(agents, s->threads[i], false, err))
			return -1;
	for (size_t i = 0; i < s->nthreads; i++) {
		if (!s->threads[i]->proc->agent || ct_get_regs(s->threads[i]->real, &r))
			continue;
		ct_agents_expected(s->threads[i]->proc, &r);
		if (ct_set_regs(s->threads[i]->real, &r))
			return ct_fail_errno(err, CT_EXIT_FAILED, "registers of thread %u cannot be set",
					     s->threads[i]->tid);
	}
	return 0;
}

void ct_kill_replicas(struct ct_replica **procs, size_t nprocs, struct ct_rthread **threads, size_t nthreads)
{
	for (size_t i = 0; i < nthreads; i++) {
		int status;

		/* Of a traced group the leader can be waited for only when all others are gone. */
		if (threads[i]->real != threads[i]->proc->real) {
			kill(threads[i]->real, SIGKILL);
			ct_wait_stop(threads[i]->real, &status, 2000);
		}
	}
	for (size_t i = nprocs; i > 0; i--)
		ct_replica_kill(procs[i - 1]);
	for (size_t i = 0; i < nthreads; i++)
		free(threads[i]);
	free(threads);
	free(procs);
}

void ct_session_destroy(struct ct_session *s)
{
	ct_kill_replicas(s->procs, s->nprocs, s->threads, s->nthreads);
	ct_inproc_release(s->files.inproc);
	for (size_t i = 0; i < sizeof(s->open_files) / sizeof(*s->open_files); i++)
		if (s->open_files[i].fd)
			close(s->open_files[i].fd - 1);
	free(s->run);
	ct_stops_free(&s->stops);
	ct_replay_files_deinit(&s->files);
	ct_shared_free(s->shared, s->nshared);
	if (s->cursor)
		ct_cursor_destroy(s->cursor);
	ct_replica_expect_no_stops(s->sigchld_was_open);
	free(s->divergence.ev);
	free(s);
}

void ct_session_stats(const struct ct_session *s, struct ct_session_stats *stats)
{
	*stats = s->stats;
}
