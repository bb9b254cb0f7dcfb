// SPDX-License-Identifier: MIT
/* Runs of answers: the longest stretch of the log in which one thread only makes calls that patched sites can answer is
 * laid out in the table; the thread then needs the tracer again at its end. See inproc.h. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay/clock.h"
#include "replay/inproc.h"
#include "replay/session_priv.h"

#define TABLE_SIZE (CT_INPROC_END - CT_INPROC_TABLE)
#define MOST       8192 /* answers in a run */
#define STOP       (CT_INPROC_CODE + (ct_u64)(ct_inproc_stop - ct_inproc_code))
#define CODE_END   (CT_INPROC_CODE + (ct_u64)(ct_inproc_code_end - ct_inproc_code))

struct ct_run {
	const struct ct_event *ev[MOST];
	ct_u32 offset[MOST + 1]; /* of its answer */
	ct_u64 brk[MOST];        /* behind it */
	size_t n;
	bool real; /* some of the calls are really made */
};

/* ---- stops of the common code --------------------------------------------------------------------------------- */

static int poke(pid_t tid, size_t offset, ct_u64 value)
{
	return ptrace(PTRACE_POKEUSER, tid, offset, value) ? -1 : 0;
}

/* A call that the table had no answer for is made to look as any other that stops at its entry. */
static int as_entry(struct ct_rthread *t, const struct ct_inproc *in, struct ct_regs *r)
{
	const volatile struct ct_inproc_ctl *ctl = in->ctl;
	const ct_u32 site = ctl->site;

	if (site >= CT_INPROC_SITES)
		return -1;
	r->r[CT_RIP] = r->r[CT_RCX] = ctl->sites[site].ip;
	r->r[CT_RFLAGS] = r->r[CT_R11] = ctl->rflags;
	r->r[CT_RSP] = ctl->rsp;
	r->r[CT_RBX] = ctl->rbx;
	r->r[CT_RDX] = ctl->rdx;
	r->r[CT_RSI] = ctl->rsi;
	r->r[CT_RDI] = ctl->rdi;
	r->r[CT_ORIG_RAX] = ctl->rax;
	r->r[CT_RAX] = (ct_u64)-ENOSYS;
	return ct_set_regs(t->real, r);
}

int ct_resume_by(struct ct_rthread *t, int request, int *status)
{
	const struct ct_mm *mm = t->proc->mm;
	struct ct_regs r;
	ct_u64 ip;

	t->trapped = false;
	if (t->clock->counts)
		return t->clock->resume(t, request, status);
	ct_agents_run(t);
	for (;;) {
		int ours, ret = ct_stops_before(t, request, status);

		if (ret)
			return ret < 0 ? -1 : 0;
		if (mm &&
		    (ip = ct_mm_moved(mm, (ct_u64)ptrace(PTRACE_PEEKUSER, t->real,
							 offsetof(struct user_regs_struct, rip), 0))) &&
		    poke(t->real, offsetof(struct user_regs_struct, rip), ip))
			return -1;
		if (ptrace(request, t->real, 0, 0) || ct_replica_wait(t->real, status) || !WIFSTOPPED(*status))
			return -1;
		ret = ct_stops_after(t, *status);
		if (ret == 1)
			return 0;
		if (ret)
			continue;
		ours = ct_agents_stopped(t, *status);
		if (ours < 0)
			return -1;
		if (ours)
			continue;
		if (!mm)
			return 0;
		if ((*status >> 16) || WSTOPSIG(*status) == (SIGTRAP | 0x80)) {
			t->proc->inproc->ctl->why = 0; /* by a site that is not patched */
			return 0;
		}
		errno = 0;
		ip = (ct_u64)ptrace(PTRACE_PEEKUSER, t->real, offsetof(struct user_regs_struct, rip), 0);
		if (WSTOPSIG(*status) == SIGTRAP && (ip = ct_mm_trapped(mm, ip))) {
			/* jumped to behind a system call, where the jump to a springboard is now */
			if (poke(t->real, offsetof(struct user_regs_struct, rip), ip))
				return -1;
			continue;
		}
		break;
	}
	if (ct_get_regs(t->real, &r))
		return -1;
	ip = r.r[CT_RIP];
	if (ip < CT_INPROC_CODE || ip > CODE_END)
		return 0;
	if (WSTOPSIG(*status) == SIGTRAP && ip == STOP && t->proc->inproc->ctl->why != CT_WHY_MISS)
		return 0; /* the run looks into it */
	/* A miss, or a fault: memory of the program that the tracer can write, but the program cannot. */
	if (as_entry(t, t->proc->inproc, &r))
		return -1;
	*status = (SIGTRAP | 0x80) << 8 | 0x7f;
	return 0;
}

/* ---- laying out ------------------------------------------------------------------------------------------------ */

static unsigned char *put_buf(unsigned char *p, const unsigned char *end, ct_u64 addr, ct_u64 len)
{
	if ((size_t)(end - p) < 16 + ((len + 7) & ~7ull))
		return NULL;
	memcpy(p, &addr, 8);
	memcpy(p + 8, &len, 8);
	return p + 16;
}

static unsigned char *put_bufs(struct ct_session *s, const struct ct_rthread *t, struct ct_inproc_answer *a,
			       unsigned char *p, const unsigned char *end, const struct ct_event *ev, bool out)
{
	struct ct_buf_iter it = ct_buf_iter(ev);

	while (ct_buf_next(&it)) {
		const struct ct_buf *b = it.buf;
		unsigned char *data;

		if (b->kind == CT_BUF_FAULT || (b->flags & CT_BUFF_CHUNKED) || ct_stops_watch(t, b->addr, b->want))
			return NULL;
		if (!out && ct_checked_input(ev, b)) {
			if (!(data = put_buf(p, end, b->addr, b->len)))
				return NULL;
			memcpy(data, it.data, b->len);
			p = data + ((b->len + 7) & ~7u);
			a->nin++;
		} else if (b->kind == CT_BUF_OUT && out && b->len) {
			if (!(data = put_buf(p, end, b->addr, b->len)))
				return NULL;
			memcpy(data, it.data, b->len);
			p = data + ((b->len + 7) & ~7u);
			a->nout++;
		} else if (b->kind == CT_BUF_FILE && out && b->want && a->nr != SYS_mmap) {
			struct ct_file_ref ref;

			memcpy(&ref, it.data, sizeof(ref));
			if (!(data = put_buf(p, end, b->addr, b->want)) || !ct_file_content(s, &ref, data, b->want))
				return NULL;
			p = data + ((b->want + 7) & ~7u);
			a->nout++;
		}
	}
	return p;
}

/* Whether a patched site may answer this call; if a call has to be made, it is in a->call. */
static bool answerable(struct ct_rthread *t, const struct ct_event *ev, struct ct_inproc_answer *a, ct_u64 *brk)
{
	const struct ct_ev_syscall *sc = ct_event_payload(ev);
	const struct ct_syscall *row = ct_syscall(sc->nr);

	if (sc->nr < 0 || !row || sc->flags || (sc->ret <= -512 && sc->ret >= -516) || (sc->rflags & 0x100) ||
	    ct_mm_site(t->proc->mm, sc->ip) < 0)
		return false;
	a->real = 0;
	switch (row->rules.action) {
	case CT_ACT_EMULATE: return sc->nr != SYS_arch_prctl && !ct_renames(sc);
	case CT_ACT_EXECUTE: break;
	default: return false;
	}
	if (sc->ret < 0)
		return true;
	switch (ct_real_call(ev, sc, brk, &a->call)) {
	case CT_REAL_NONE: return true;
	case CT_REAL_CALL: break;
	default: return false;
	}
	if (!ct_inproc_allows(&a->call))
		return false;
	a->real = 1;
	return !ct_mm_touches(t->proc->mm, a->call.args[0], a->call.args[1]) &&
	       (a->call.nr != SYS_mremap || !ct_mm_touches(t->proc->mm, (ct_u64)sc->ret, a->call.args[2]));
}

static bool lay_out(struct ct_session *s, struct ct_rthread *t, const struct ct_event *ev, struct ct_run *run,
		    ct_u64 *brk)
{
	const struct ct_ev_syscall *sc = ct_event_payload(ev);
	unsigned char *at = s->files.inproc->table + run->offset[run->n], *p;
	const unsigned char *end = s->files.inproc->table + TABLE_SIZE;
	struct ct_inproc_answer *a = (void *)at;

	if (run->n == MOST || (size_t)(end - at) < sizeof(*a) || !answerable(t, ev, a, brk))
		return false;
	if (s->agents && !t->proc->agent && sc->nr == SYS_mprotect) /* an interpreter may be ready for one then */
		return false;
	a->nr = (ct_u32)sc->nr;
	memcpy(a->args, sc->args, sizeof(a->args));
	a->ip = sc->ip;
	a->sp = sc->sp;
	a->saved = sc->saved;
	a->ret = sc->ret;
	a->rflags = sc->rflags;
	a->nin = a->nout = 0;
	a->index = run->n;
	p = at + (a->real ? sizeof(*a) : CT_INPROC_ANSWER_MIN);
	if (!(p = put_bufs(s, t, a, p, end, ev, false)) || !(p = put_bufs(s, t, a, p, end, ev, true)) ||
	    (a->real && a->nout)) /* a fault while writing must leave nothing done */
		return false;
	a->size = (ct_u32)(p - at);
	run->real |= a->real;
	run->brk[run->n] = *brk;
	run->ev[run->n++] = ev;
	run->offset[run->n] = (ct_u32)(p - s->files.inproc->table);
	return true;
}

/* Whether the replay of `ev` begins with running its thread to the next system call. */
static bool wants_entry(const struct ct_event *ev, ct_u32 tid)
{
	if (ev->tid != tid)
		return false;
	switch (ev->type) {
	case CT_EV_SYSCALL: {
		const struct ct_ev_syscall *sc = ct_event_payload(ev);

		return sc->nr >= 0 && sc->nr != SYS_execve && sc->nr != SYS_execveat && !(sc->flags & CT_SYSF_NO_ENTER);
	}
	case CT_EV_ENTER:
	case CT_EV_DATA:
	case CT_EV_FORK: return true;
	case CT_EV_SWITCH: {
		const struct ct_ev_switch *sw = ct_event_payload(ev);

		return (sw->flags & CT_SWF_INSYS) && !(sw->flags & CT_SWF_EXITING);
	}
	}
	return false;
}

/* ---- running --------------------------------------------------------------------------------------------------- */

/* The log up to and with the answer before run->ev[k] has been replayed. */
static void account(struct ct_session *s, struct ct_rthread *t, const struct ct_run *run, size_t k)
{
	const struct ct_event *last = k < run->n ? run->ev[k] : run->ev[run->n - 1];

	for (size_t i = 0; i < k; i++)
		s->stats.executed += ((const struct ct_inproc_answer *)(s->files.inproc->table + run->offset[i]))->real;
	s->stats.syscalls += k;
	s->stats.answered += k;
	s->stats.events += last->seq - s->ev->seq;
	if (k) {
		t->proc->brk = run->brk[k - 1];
		s->last_ns = run->ev[k - 1]->time_ns;
	}
	s->ev = last;
	ct_cursor_skip(s->cursor, last);
}

static int after_last(struct ct_session *s, struct ct_rthread *t, struct ct_error *err)
{
	const struct ct_ev_syscall *sc = ct_event_payload(s->ev);
	const volatile struct ct_inproc_ctl *ctl = s->files.inproc->ctl;
	struct ct_regs r;

	if (ct_get_regs(t->real, &r))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	r.r[CT_RIP] = r.r[CT_RCX] = sc->ip;
	r.r[CT_RFLAGS] = r.r[CT_R11] = sc->rflags;
	r.r[CT_RSP] = sc->sp;
	r.r[CT_RBX] = ctl->rbx;
	r.r[CT_RDX] = ctl->rdx;
	r.r[CT_RSI] = ctl->rsi;
	r.r[CT_RDI] = ctl->rdi;
	r.r[CT_RAX] = (ct_u64)sc->ret;
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	return ct_set_regs(t->real, &r) ? ct_diverged(s, t, err, "registers cannot be set") : 1;
}

int ct_inproc_run(struct ct_session *s, struct ct_rthread *t, struct ct_error *err)
{
	struct ct_inproc *in = s->files.inproc;
	volatile struct ct_inproc_ctl *ctl;
	const struct ct_event *ev, *next = NULL;
	struct ct_run *run = s->run;
	ct_u64 brk = t->proc->brk, done;
	size_t k = 0;
	int status;

	if (t->at_entry || t->nr < -1 || !t->proc->mm)
		return 0;
	if (!run && !(run = s->run = calloc(1, sizeof(*run))))
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	ctl = in->ctl;
	run->n = 0;
	run->real = false;
	run->offset[0] = 0;
	for (ev = s->ev; ev; ev = ct_cursor_peek(s->cursor, ev)) {
		next = ev;
		if (ev->seq >= s->until)
			break;
		if ((ev->type == CT_EV_FILE || ev->type == CT_EV_NOTE) &&
		    !(s->hook.event && s->hook.wants(s->hook.ctx, ev)))
			continue;
		if (ev->tid != t->tid || ev->type != CT_EV_SYSCALL || !lay_out(s, t, ev, run, &brk))
			break;
		if (s->hook.event && s->hook.wants(s->hook.ctx, ev)) { /* then all must stand still */
			ev = NULL;
			break;
		}
	}
	if (!ev || ev->seq >= s->until || !wants_entry(ev, t->tid))
		next = NULL;
	if (!run->n || (run->n == 1 && !next))
		return 0;

	ct_mm_patched(t->proc);
	ct_agents_batch(t, run->ev, run->n, next, s->last_ns);
	ctl->cur = CT_INPROC_TABLE;
	ctl->end = CT_INPROC_TABLE + run->offset[run->n];
	ctl->sync = !next;
	ctl->why = 0;
	if (ct_apply_restart(t) || ct_resume_by(t, run->real ? PTRACE_CONT : PTRACE_SYSEMU, &status))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	done = ctl->cur - CT_INPROC_TABLE;
	ctl->cur = ctl->end = CT_INPROC_TABLE; /* empty: from here on every call is a miss */
	while (k <= run->n && run->offset[k] != done)
		k++;
	if (k > run->n)
		return ct_diverged(s, t, err, "the control area of the replica is damaged");
	account(s, t, run, k);
	if (s->stops.hit)
		return k == run->n && next ? 1 : -1;
	if (WSTOPSIG(status) == SIGTRAP && !(status >> 16) && ctl->why == CT_WHY_SYNC && k == run->n && !next)
		return after_last(s, t, err);
	if (WSTOPSIG(status) == SIGTRAP && !(status >> 16) && ctl->why == CT_WHY_FAILED && k < run->n) {
		const struct ct_inproc_answer *a = (const void *)(in->table + run->offset[k]);
		struct ct_regs r = {0};

		ct_get_regs(t->real, &r);
		return ct_diverged(s, NULL, err, "call %llu really made gives %lld, recorded was %lld",
				   (unsigned long long)a->call.nr, (long long)r.r[CT_RAX], (long long)a->call.ret);
	}
	if (status >> 16 == PTRACE_EVENT_SECCOMP || WSTOPSIG(status) == (SIGTRAP | 0x80)) {
		const size_t orig_rax = offsetof(struct user_regs_struct, orig_rax);

		if (status >> 16 && (ct_u64)ptrace(PTRACE_PEEKUSER, t->real, offsetof(struct user_regs_struct, rip),
						   0) == CT_INPROC_CODE + (ct_u64)(ct_inproc_syscall - ct_inproc_code))
			return ct_diverged(s, t, err, "the replica may not make this call itself");
		t->at_entry = true;
		t->nr = (ct_s32)ptrace(PTRACE_PEEKUSER, t->real, orig_rax, 0);
		/* Without a number it will not be made, whichever way the thread goes on. */
		if (status >> 16 && poke(t->real, orig_rax, (ct_u64)-1))
			return ct_diverged(s, t, err, "%s", ct_replica_lost());
		t->input_checked = k < run->n && ctl->why == CT_WHY_CHECKED;
		if (k == run->n && !next)
			return ct_diverged(s, t, err, "system call %d behind the last answer", t->nr);
		return k == run->n ? 1 : 0;
	}
	if (k == run->n && next)
		s->ev = next;
	return ct_diverged(s, t, err, "signal %d instead of a system call", WSTOPSIG(status));
}
