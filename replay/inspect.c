// SPDX-License-Identifier: MIT
/* A stopped moment of a replay: its threads, their registers, their memory, and small steps forward.
 * Steps know the log: where an event comes next they execute that. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "replay/inproc.h"
#include "replay/clock.h"
#include "replay/session_priv.h"

static struct ct_rthread *find(struct ct_session *s, ct_u32 tid, struct ct_error *err)
{
	struct ct_rthread *t = ct_session_thread(s, tid);

	if (!t)
		ct_fail(err, CT_EXIT_FAILED, "there is no thread %u at this moment", tid);
	return t;
}

static struct ct_replica *find_process(struct ct_session *s, ct_u32 pid, struct ct_error *err)
{
	struct ct_replica *p = NULL;

	/* The newest of this number: one that has called execve has an older image still. */
	for (size_t i = 0; i < s->nprocs; i++)
		if (s->procs[i]->pid == pid && !s->procs[i]->gone)
			p = s->procs[i];
	if (!p)
		ct_fail(err, CT_EXIT_FAILED, "there is no process %u at this moment", pid);
	return p;
}

/* Whose instructions come next: those of the thread that the next event happens to. That is the one which was switched
 * to last, but for switches that nobody saw. */
ct_u32 ct_session_current(struct ct_session *s)
{
	const struct ct_event *ev;
	struct ct_error ignored;

	if (ct_session_next(s, &ev, &ignored) <= 0 || !ct_session_thread(s, ev->tid))
		return s->current_tid;
	switch (ev->type) {
	case CT_EV_SYSCALL:
	case CT_EV_ENTER:
	case CT_EV_SIGNAL:
	case CT_EV_SWITCH:
	case CT_EV_FORK:
	case CT_EV_INSN:
	case CT_EV_DATA: return ev->tid;
	}
	return s->current_tid;
}

int ct_session_threads(struct ct_session *s, struct ct_session_thread **list, size_t *count, struct ct_error *err)
{
	const ct_u32 current = ct_session_current(s);

	*count = 0;
	*list = calloc(s->nthreads ? s->nthreads : 1, sizeof(**list));
	if (!*list)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (size_t i = 0; i < s->nthreads; i++) {
		const struct ct_rthread *t = s->threads[i];

		if (!t->live || t->proc->gone)
			continue;
		(*list)[*count] = (struct ct_session_thread){
			.tid = t->tid,
			.pid = t->proc->pid,
			.nr = t->at_entry || t->restart ? t->nr : -1,
			.current = t->tid == current,
		};
		memcpy((*list)[(*count)++].comm, t->comm, sizeof(t->comm) - 1);
	}
	return 0;
}

int ct_session_regs(struct ct_session *s, ct_u32 tid, struct ct_regs *regs, struct ct_error *err)
{
	struct ct_rthread *t = find(s, tid, err);

	if (!t)
		return -1;
	return ct_get_regs(t->real, regs) ? ct_fail(err, CT_EXIT_FAILED, "thread %u of the replica is gone", tid) : 0;
}

int ct_session_set_regs(struct ct_session *s, ct_u32 tid, const struct ct_regs *regs, struct ct_error *err)
{
	struct ct_rthread *t = find(s, tid, err);
	struct ct_regs r = *regs;

	if (!t)
		return -1;
	r.r[CT_ORIG_RAX] = (ct_u64)-1; /* else the kernel may restart a call on the way out */
	return ct_set_regs(t->real, &r)
		       ? ct_fail_errno(err, CT_EXIT_FAILED, "registers of thread %u cannot be set to these values", tid)
		       : 0;
}

ssize_t ct_session_xsave(struct ct_session *s, ct_u32 tid, void *buf, struct ct_error *err)
{
	struct ct_rthread *t = find(s, tid, err);
	ssize_t len = t ? ct_get_xsave(t->real, buf) : -1;

	return t && len < 0 ? ct_fail(err, CT_EXIT_FAILED, "thread %u of the replica is gone", tid) : len;
}

int ct_session_set_xsave(struct ct_session *s, ct_u32 tid, const void *buf, size_t len, struct ct_error *err)
{
	struct ct_rthread *t = find(s, tid, err);

	if (!t)
		return -1;
	return ct_set_xsave(t->real, buf, len)
		       ? ct_fail(err, CT_EXIT_FAILED, "FPU registers of thread %u cannot be set to these values", tid)
		       : 0;
}

int ct_session_read(struct ct_session *s, ct_u32 pid, ct_u64 addr, void *buf, size_t len, struct ct_error *err)
{
	struct ct_replica *p = find_process(s, pid, err);

	if (!p)
		return -1;
	return ct_replica_read(p, addr, buf, len)
		       ? 0
		       : ct_fail(err, CT_EXIT_FAILED, "process %u has no memory at %#llx (%zu bytes)", pid,
				 (unsigned long long)addr, len);
}

int ct_session_maps(struct ct_session *s, ct_u32 pid, struct ct_maps *maps, struct ct_error *err)
{
	const struct ct_replica *p = find_process(s, pid, err);
	size_t n = 0;

	if (!p || ct_maps_read(p->real, maps, err))
		return -1;
	for (size_t i = 0; i < maps->count; i++)
		if (!ct_mm_is_ours(p->mm, maps->map[i].start))
			maps->map[n++] = maps->map[i];
	maps->count = n;
	return 0;
}

int ct_session_write(struct ct_session *s, ct_u32 pid, ct_u64 addr, const void *buf, size_t len, struct ct_error *err)
{
	struct ct_replica *p = find_process(s, pid, err);

	if (!p)
		return -1;
	if (ct_mm_touches(p->mm, addr, len))
		ct_mm_retire(p);
	return ct_mem_write(p->memfd, addr, buf, len)
		       ? 0
		       : ct_fail(err, CT_EXIT_FAILED, "process %u has no memory at %#llx (%zu bytes)", pid,
				 (unsigned long long)addr, len);
}

/* Whether the event at hand comes before the next instruction of the thread that runs. */
static bool event_first(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *r)
{
	const void *payload = ct_event_payload(s->ev);
	const struct ct_regs *at = NULL;
	unsigned char code[2];

	if (s->ev->tid != t->tid || t->at_entry || t->restart || t->nr == CT_NR_NEW || t->nr == CT_NR_EXEC)
		return true;
	switch (s->ev->type) {
	case CT_EV_SYSCALL:
		/* Behind rt_sigreturn its registers are only checked. */
		if (((const struct ct_ev_syscall *)payload)->nr < 0)
			return true;
		break;
	case CT_EV_ENTER:
	case CT_EV_FORK:
	case CT_EV_DATA: break;
	case CT_EV_INSN: return r->r[CT_RIP] == ((const struct ct_ev_insn *)payload)->ip;
	case CT_EV_SIGNAL: {
		const struct ct_ev_signal *sig = payload;

		if (!(sig->flags & (CT_SIGF_ASYNC | CT_SIGF_SYNC)))
			return true;
		at = &sig->regs;
		break;
	}
	case CT_EV_SWITCH: {
		const struct ct_ev_switch *sw = payload;

		if (!(sw->flags & (CT_SWF_USER | CT_SWF_INSYS)) || (sw->flags & CT_SWF_EXITING))
			return true;
		at = sw->flags & CT_SWF_USER ? &sw->regs : NULL;
		break;
	}
	default: return true;
	}
	if (at)
		return ct_at_position(s, t, r, at, ct_event_fingerprint(s->ev));
	return ct_replica_read(t->proc, r->r[CT_RIP], code, 2) && code[0] == 0x0f && code[1] == 0x05;
}

int ct_session_ticks(struct ct_session *s, ct_u32 tid, ct_u64 *ticks, struct ct_error *err)
{
	const struct ct_rthread *t = find(s, tid, err);

	if (!t)
		return -1;
	if (!t->clock->counts || !t->ticks_known)
		return ct_fail(err, CT_EXIT_FAILED, "the clock %s does not know the ticks of thread %u here",
			       t->clock->name, tid);
	*ticks = t->ticks;
	return 0;
}

int ct_session_step(struct ct_session *s, struct ct_error *err)
{
	const struct ct_event *ev;
	struct ct_rthread *t;
	struct ct_regs r;
	int status, ret = ct_session_next(s, &ev, err);

	if (ret <= 0)
		return ret < 0 ? -1 : ct_fail(err, CT_EXIT_FAILED, "the recording ends here");
	t = ct_session_thread(s, ct_session_current(s));
	if (!t || ct_get_regs(t->real, &r) || event_first(s, t, &r))
		return ct_session_run(s, ev->seq + 1, err) < 0 ? -1 : 0;
	ct_mm_bare(t->proc, r.r[CT_RIP]);
	s->inside = true;
	t->told = 0;
	if (ct_clock_step_once(t, &status))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	if (WSTOPSIG(status) == SIGTRAP)
		return 0;
	/* It faults here: that is the event at hand, or it should not have. */
	if (s->ev->type == CT_EV_SIGNAL || s->ev->type == CT_EV_INSN)
		return ct_session_run(s, ev->seq + 1, err) < 0 ? -1 : 0;
	return ct_diverged(s, t, err, "signal %d where none was recorded", WSTOPSIG(status));
}

int ct_session_run_to(struct ct_session *s, const struct ct_regs *regs, struct ct_error *err)
{
	struct ct_rthread *t = find(s, ct_session_current(s), err);
	const struct ct_event *ev;

	if (!t || ct_session_next(s, &ev, err) < 0) /* divergences name the event at hand */
		return -1;
	return ct_run_to(s, t, regs, NULL, err);
}

static int run_to(struct ct_session *s, const struct ct_regs *regs, ct_u32 unknown, const struct ct_fingerprint *fp,
		  struct ct_error *err)
{
	struct ct_rthread *t = find(s, ct_session_current(s), err);
	const struct ct_event *ev;
	int ret;

	if (!t || ct_session_next(s, &ev, err) < 0)
		return -1;
	ret = ct_run_to_like(s, t, regs, unknown, fp, err);
	s->inside = true;
	if (ret && s->stops.hit) {
		memset(err, 0, sizeof(*err));
		return 1;
	}
	return ret;
}

int ct_session_run_to_place(struct ct_session *s, const struct ct_regs *regs, const struct ct_fingerprint *fp,
			    struct ct_error *err)
{
	return run_to(s, regs, 0, fp, err);
}

int ct_session_run_to_like(struct ct_session *s, const struct ct_regs *regs, ct_u32 unknown, struct ct_error *err)
{
	return run_to(s, regs, unknown, NULL, err);
}

int ct_session_fingerprint(struct ct_session *s, struct ct_fingerprint *fp, struct ct_error *err)
{
	struct ct_rthread *t = find(s, ct_session_current(s), err);
	struct ct_regs regs;

	if (!t)
		return -1;
	if (ct_get_regs(t->real, &regs))
		return ct_fail(err, CT_EXIT_FAILED, "thread %u of the replica is gone", t->tid);
	ct_live_fingerprint(t->proc, &regs, fp);
	return 0;
}

ct_u64 ct_session_last_ns(const struct ct_session *s)
{
	return s->last_ns;
}

bool ct_session_inside(const struct ct_session *s)
{
	return s->inside;
}
