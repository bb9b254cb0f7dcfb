// SPDX-License-Identifier: MIT
/* Finding the moment at which a thread was interrupted: by its ticks if the clock counts them, else by a trampoline at
 * its rip that looks at the registers of each pass (a hardware breakpoint where there can be none); then the memory of
 * its fingerprint. */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "replay/clock.h"
#include "replay/inproc.h"
#include "replay/position.h"

#define STATUS    0x8d5ull /* flags that comparing changes */
#define DIRECTION 0x400ull
#define STEPS     0x100ull   /* TF, if the program has set it */
#define RESUME    0x10000ull /* RF: the instruction at rip goes on past a breakpoint on it */

/* This is the place by all that is known, but not the pass that is wanted: see passes.c. */
static bool passed_over(struct ct_search *q)
{
	return q->s->skip && q->s->skip--;
}

/* What the passes so far were like, as the end of a sentence. */
static const char *passes(const struct ct_search *q, char *text, size_t len)
{
	size_t n = 0;

	text[0] = 0;
	if (q->ticked)
		n = (size_t)snprintf(text, len,
				     " (recorded at tick %llu; it is at %llu; %llu passes had its registers at other "
				     "ticks, the last one at %llu)",
				     (unsigned long long)q->fp->ticks, (unsigned long long)q->t->ticks,
				     (unsigned long long)q->other_ticks, (unsigned long long)q->other);
	if (q->near && n < len)
		snprintf(text + n, len - n, " (%llu passes had its registers, but other memory, the last one at %#llx)",
			 (unsigned long long)q->near, (unsigned long long)q->differs);
	return text;
}

static int single_step(struct ct_rthread *t, struct ct_regs *r)
{
	int status;

	return ptrace(PTRACE_SINGLESTEP, t->real, 0, 0) || ct_replica_wait(t->real, &status) || !WIFSTOPPED(status) ||
			       WSTOPSIG(status) != SIGTRAP || ct_get_regs(t->real, r)
		       ? -1
		       : 0;
}

/* A watchpoint has been hit while the trampoline ran. True: by its own code, that is none; else the thread is put where
 * it would be without the trampoline. */
static bool by_trampoline(struct ct_search *q, struct ct_regs *r)
{
	struct ct_rthread *t = q->t;

	for (int steps = 0; q->tr && steps < 8 && r->r[CT_RIP] - q->tr->page < CT_PAGE; steps++) {
		if (r->r[CT_RIP] < q->tr->go_on) {
			t->stops->hit = NULL;
			return true;
		}
		for (unsigned i = 0; i < q->tr->nplaces; i++)
			if (q->tr->place[i].moved == r->r[CT_RIP]) {
				r->r[CT_RIP] = q->tr->place[i].original;
				r->r[CT_ORIG_RAX] = (ct_u64)-1;
				ct_set_regs(t->real, r);
				return false;
			}
		if (single_step(t, r))
			break;
	}
	return false;
}

/* Whether it has stopped because the program had set the trap flag. */
static bool own_step(const struct ct_rthread *t, int status)
{
	siginfo_t si;

	return t->clock->native && WSTOPSIG(status) == SIGTRAP && !ptrace(PTRACE_GETSIGINFO, t->real, 0, &si) &&
	       si.si_code == TRAP_TRACE;
}

/* Goes on to the next trap of ours. -1: *err is set, the position will not be reached. */
static int next_trap(struct ct_search *q, struct ct_regs *r, struct ct_error *err)
{
	struct ct_rthread *t = q->t;
	char near[320];
	int status;

	do
		if (ct_resume(t, &status) || ct_get_regs(t->real, r))
			return ct_diverged(q->s, t, err, "%s", ct_replica_lost());
	while (t->stops && t->stops->hit && by_trampoline(q, r));
	if (t->stops && t->stops->hit) {
		q->here = ct_stop_is_exec(t->stops->hit) && ct_search_same_regs(q, r) && ct_search_same_memory(q) &&
			  !q->s->skip;
		return -1;
	}
	q->stepped = own_step(t, status);
	if (q->stepped && ct_search_same_regs(q, r) &&
	    ct_search_same_memory(q)) /* its signal is delivered when it goes on */
		return 0;
	if (q->stepped)
		return ct_diverged(q->s, t, err, "a step of its own at %#llx before position %#llx was reached",
				   (unsigned long long)r->r[CT_RIP], (unsigned long long)q->regs->r[CT_RIP]);
	if (q->ticked && !q->approaching && t->ticks > q->fp->ticks)
		return ct_diverged(q->s, t, err, "position %#llx was not reached%s",
				   (unsigned long long)q->regs->r[CT_RIP], passes(q, near, sizeof(near)));
	if (WSTOPSIG(status) == SIGTRAP ||
	    (q->signal && WSTOPSIG(status) == q->signal && r->r[CT_RIP] == q->regs->r[CT_RIP])) {
		q->s->stats.position_hits++;
		return 0;
	}
	if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
		t->at_entry = true;
		t->nr = (ct_s32)r->r[CT_ORIG_RAX];
		return ct_diverged(q->s, t, err, "system call %d before position %#llx was reached%s", t->nr,
				   (unsigned long long)q->regs->r[CT_RIP], passes(q, near, sizeof(near)));
	}
	return ct_diverged(q->s, t, err, "signal %d before position %#llx was reached%s", WSTOPSIG(status),
			   (unsigned long long)q->regs->r[CT_RIP], passes(q, near, sizeof(near)));
}

static int set_regs(struct ct_search *q, struct ct_regs *r, ct_u64 ip, struct ct_error *err)
{
	r->r[CT_RIP] = ip;
	r->r[CT_ORIG_RAX] = (ct_u64)-1;
	return ct_set_regs(q->t->real, r) ? ct_diverged(q->s, q->t, err, "registers cannot be set") : 0;
}

/* ---- repeated string instructions --------------------------------------------------------------------------------
 *
 * A breakpoint fires when the instruction begins, an interrupt comes between any two of its rounds. The registers after
 * n rounds follow from those before; the memory after n rounds is made by executing n of them. */

/* How many rounds after `r` the position would be, 0 if it cannot be there. */
static ct_u64 rounds_to_position(const struct ct_search *q, const struct ct_regs *r)
{
	const struct ct_rep *rep = &q->rep;
	const ct_u64 rounds = r->r[CT_RCX] - q->regs->r[CT_RCX];
	const ct_u64 step = (r->r[CT_RFLAGS] & DIRECTION ? -rounds : rounds) * rep->size;
	struct ct_regs then = *r;

	if (!rep->len || r->r[CT_RCX] <= q->regs->r[CT_RCX])
		return 0;
	then.r[CT_RIP] = q->regs->r[CT_RIP];
	then.r[CT_RCX] -= rounds;
	if (rep->rsi)
		then.r[CT_RSI] += step;
	if (rep->rdi)
		then.r[CT_RDI] += step;
	if (rep->loads)
		then.r[CT_RAX] = q->regs->r[CT_RAX];
	if (rep->compares)
		then.r[CT_RFLAGS] = (then.r[CT_RFLAGS] & ~STATUS) | (q->regs->r[CT_RFLAGS] & STATUS);
	return ct_same_position(&then, q->regs) ? rounds : 0;
}

/* `r` are the registers at the instruction, which stands at `at`; `next` is behind it. Executes so many rounds of it.
 * 1: that is the position; 0: it is not, the thread stands where it can go on; -1: *err is set. */
static int do_rounds(struct ct_search *q, struct ct_regs *r, ct_u64 rounds, ct_u64 at, ct_u64 next,
		     struct ct_error *err)
{
	const ct_u64 left = r->r[CT_RCX] - rounds;
	bool equal;

	r->r[CT_RCX] = rounds;
	r->r[CT_RFLAGS] |= RESUME;
	if (ct_breakpoints(q->t->real, &next, 1) || set_regs(q, r, at, err))
		return -1;
	if (next_trap(q, r, err)) {
		if (q->t->stops->hit) { /* on the way there */
			r->r[CT_RCX] += left;
			set_regs(q, r, r->r[CT_RIP] == at ? q->regs->r[CT_RIP] : r->r[CT_RIP], err);
		}
		return -1;
	}
	if (r->r[CT_RIP] != next)
		return ct_diverged(q->s, q->t, err, "a repeated instruction at %#llx does not end",
				   (unsigned long long)q->regs->r[CT_RIP]);
	equal = r->r[CT_RFLAGS] & 0x40;
	if (q->rep.compares && (r->r[CT_RCX] || equal == q->rep.until_equal)) {
		r->r[CT_RCX] += left; /* it found what it looked for */
		return set_regs(q, r, next, err);
	}
	r->r[CT_RCX] = left;
	r->r[CT_RFLAGS] |= RESUME;
	if ((!q->rep.loads || r->r[CT_RAX] == q->regs->r[CT_RAX]) && ct_search_same_memory(q) && !passed_over(q)) {
		/* Whether flags are those of the last round or of before the first one is the CPU's business. */
		r->r[CT_RFLAGS] = (r->r[CT_RFLAGS] & ~CT_USER_FLAGS) | (q->regs->r[CT_RFLAGS] & CT_USER_FLAGS);
		return set_regs(q, r, q->regs->r[CT_RIP], err) ? -1 : 1;
	}
	return set_regs(q, r, at, err);
}

/* At the position's address with registers `r`, its instruction standing at `at`: 1: this is the moment; 0: not yet,
 * the thread's registers are such that it goes on; -1: *err is set. */
static int look(struct ct_search *q, struct ct_regs *r, ct_u64 at, ct_u64 next, struct ct_error *err)
{
	const ct_u64 ip = q->regs->r[CT_RIP];
	ct_u64 rounds;

	r->r[CT_RIP] = ip;
	if (ct_search_same_regs(q, r) && ct_search_same_memory(q) && !passed_over(q))
		return set_regs(q, r, ip, err) ? -1 : 1;
	if (q->tr && q->hint && !q->rep.len && ct_trampoline_hint(q->tr, q->hint, q->want))
		return ct_diverged(q->s, q->t, err, "the trampoline cannot be written");
	q->hint = 0;
	rounds = rounds_to_position(q, r);
	if (rounds)
		return do_rounds(q, r, rounds, at, next, err);
	if (at == ip)
		r->r[CT_RFLAGS] |= RESUME;
	return set_regs(q, r, at, err);
}

/* ---- the two ways to notice a pass ------------------------------------------------------------------------------- */

static int run_with_breakpoint(struct ct_search *q, struct ct_error *err)
{
	const ct_u64 ip = q->regs->r[CT_RIP];
	struct ct_regs r;
	int ret;

	do {
		if (ct_breakpoints(q->t->real, &ip, 1))
			return ct_fail_errno(err, CT_EXIT_FAILED, "no hardware breakpoint to be had");
		if (next_trap(q, &r, err))
			return -1;
		if (q->stepped)
			return 0;
		ret = look(q, &r, ip, ip + q->rep.len, err);
	} while (!ret);
	return ret < 0 ? -1 : 0;
}

/* Out of the bytes that the jump will replace. */
static int leave_covered(struct ct_search *q, struct ct_regs *r, struct ct_error *err)
{
	const struct ct_trampoline *tr = q->tr;
	struct ct_rthread *t = q->t;

	while (r->r[CT_RIP] > tr->ip && r->r[CT_RIP] < tr->ip + tr->covered) {
		unsigned char code[16];
		struct ct_rep rep;
		ct_u64 next;

		if (!ct_code_read(t->proc->memfd, r->r[CT_RIP], code, sizeof(code)))
			return -1;
		if (!ct_rep_decode(code, &rep) || !rep.len) {
			if (single_step(t, r))
				return -1;
			continue;
		}
		next = r->r[CT_RIP] + rep.len; /* a step would be one round of maybe millions */
		if (ct_breakpoints(t->real, &next, 1) || next_trap(q, r, err) || ct_breakpoints(t->real, NULL, 0))
			return -1;
	}
	return 0;
}

/* The thread is at one of the replaced instructions but the first: they run in place, then the jump is put back. */
static int step_through(struct ct_search *q, struct ct_regs *r, struct ct_error *err)
{
	struct ct_trampoline *tr = q->tr;
	unsigned char jump[CT_TRAMPOLINE_JUMP];
	const int memfd = q->t->proc->memfd;

	if (ct_trampoline_entered(tr))
		return ct_diverged(q->s, q->t, err, "the trampoline cannot be written");
	if (!tr->ninner) /* it stands on bytes of the program's now */
		return 0;
	if (!ct_mem_read(memfd, tr->ip, jump, tr->jump) || !ct_mem_write(memfd, tr->ip, tr->orig, tr->jump) ||
	    ct_breakpoints(q->t->real, NULL, 0) || leave_covered(q, r, err) ||
	    !ct_mem_write(memfd, tr->ip, jump, tr->jump))
		return err->status ? -1
				   : ct_diverged(q->s, q->t, err, "cannot step through the code at %#llx",
						 (unsigned long long)tr->ip);
	return 0;
}

static int run_with_trampoline(struct ct_search *q, struct ct_error *err)
{
	struct ct_trampoline *tr = q->tr;
	struct ct_regs r;
	int ret;

	if (ct_get_regs(q->t->real, &r))
		return ct_diverged(q->s, q->t, err, "%s", ct_replica_lost());
	if (r.r[CT_RIP] > tr->ip && r.r[CT_RIP] < tr->ip + tr->covered && step_through(q, &r, err))
		return -1;
	if (ct_breakpoints(q->t->real, tr->inner, tr->ninner))
		return ct_fail_errno(err, CT_EXIT_FAILED, "no hardware breakpoint to be had");
	for (;;) {
		if (next_trap(q, &r, err))
			return -1;
		if (q->stepped)
			return 0;
		if (r.r[CT_RIP] == tr->stop) { /* the sum of the registers is right */
			ret = look(q, &r, tr->go_on, tr->moved_next, err);
			if (ret)
				return ret < 0 ? -1 : 0;
			if (!tr->rep.len)
				continue;
		} else if (step_through(q, &r, err)) {
			return -1;
		}
		if (ct_breakpoints(q->t->real, tr->inner, tr->ninner))
			return ct_fail_errno(err, CT_EXIT_FAILED, "no hardware breakpoint to be had");
	}
}

/* ---- by ticks -----------------------------------------------------------------------------------------------------
 */

/* To where the recorded tick is so near that stopping at each pass costs little. */
static int approach(struct ct_search *q, struct ct_error *err)
{
	struct ct_rthread *t = q->t;
	const ct_u64 target = q->fp->ticks;
	struct ct_regs r;
	int ret;

	if (t->ticks > target)
		return ct_diverged(q->s, t, err,
				   "it has executed %llu conditional branches already, recorded at %#llx were %llu",
				   (unsigned long long)t->ticks, (unsigned long long)q->regs->r[CT_RIP],
				   (unsigned long long)target);
	t->tick_stop = ct_clock_stop_before(t->ticks, target, t->clock->skid());
	if (!t->tick_stop)
		return 0;
	q->approaching = true;
	ret = next_trap(q, &r, err);
	q->approaching = false;
	t->tick_stop = 0;
	if (!ret && t->ticks > target)
		return ct_fail(err, CT_EXIT_FAILED,
			       "event %llu: the branch counter stopped the thread %llu branches behind the place, more "
			       "than its skid of %llu; try again, or use --clock fingerprint",
			       (unsigned long long)q->s->ev->seq, (unsigned long long)(t->ticks - target),
			       (unsigned long long)t->clock->skid());
	return ret;
}

static int run_with_ticks(struct ct_search *q, struct ct_error *err)
{
	struct ct_rthread *t = q->t;
	struct ct_regs r;
	int ret;

	if (approach(q, err) || ct_get_regs(t->real, &r))
		return -1;
	if (ct_same_position(&r, q->regs) && ct_search_same_memory(q))
		return 0;
	t->tick_stop = q->fp->ticks + 1;
	ret = run_with_breakpoint(q, err);
	t->tick_stop = 0;
	return ret;
}

/* It stands at the place of `fp`: if its ticks were not known, they are from here on. */
static void calibrate(struct ct_rthread *t, const struct ct_fingerprint *fp)
{
	if (!t->clock->counts || t->ticks_known || !fp || (fp->flags & (CT_FPF_TICKS | CT_FPF_LATE)) != CT_FPF_TICKS)
		return;
	t->ticks = fp->ticks;
	t->ticks_known = true;
}

/* Int3 and a step are traps: who is interrupted before their signal is delivered stands behind the instruction. */
static void note_trapped(struct ct_rthread *t)
{
	struct ct_regs r;
	siginfo_t si;
	ct_u8 byte;

	t->trapped = !ptrace(PTRACE_GETSIGINFO, t->real, 0, &si) && si.si_signo == SIGTRAP && si.si_code == SI_KERNEL &&
		     !ct_get_regs(t->real, &r) && ct_replica_read(t->proc, r.r[CT_RIP] - 1, &byte, 1) && byte == 0xcc;
}

int ct_run_to(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *regs, const struct ct_fingerprint *fp,
	      struct ct_error *err)
{
	return ct_run_to_like(s, t, regs, 0, fp, err);
}

int ct_run_to_like(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *regs, ct_u32 unknown,
		   const struct ct_fingerprint *fp, struct ct_error *err)
{
	struct ct_regs want = *regs;
	struct ct_search q = ct_search_for(s, t, &want, regs, fp);
	unsigned char code[16] = {0};
	struct ct_trampoline tr;
	struct ct_regs r;
	int ret;

	q.unknown = unknown;
	s->stats.positions++;
	ct_agents_expected(t->proc, &want);
	if (t->at_entry)
		return ct_diverged(s, t, err, "in a system call, recorded in user code at %#llx",
				   (unsigned long long)regs->r[CT_RIP]);
	if (ct_apply_restart(t) || ct_get_regs(t->real, &r))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	if (ct_search_same_regs(&q, &r) && ct_search_same_memory(&q) && !passed_over(&q)) {
		ct_maps_deinit(&q.maps);
		calibrate(t, fp);
		return 0;
	}
	r.r[CT_RFLAGS] &= ~RESUME; /* it may stand on the place already, at an earlier pass */
	if (ct_set_regs(t->real, &r))
		return ct_diverged(s, t, err, "registers cannot be set");
	ct_mm_bare(t->proc, want.r[CT_RIP]);
	if (ct_code_read(t->proc->memfd, want.r[CT_RIP], code, sizeof(code)) && !ct_rep_decode(code, &q.rep))
		memset(&q.rep, 0, sizeof(q.rep));
	if ((r.r[CT_RFLAGS] & STEPS) && t->clock->native) {
		ret = next_trap(&q, &r, err); /* each instruction ends with a trap */
		if (!ret && !q.stepped)
			ret = ct_diverged(s, t, err, "it does not step itself to position %#llx",
					  (unsigned long long)want.r[CT_RIP]);
	} else if (q.ticked) {
		ret = run_with_ticks(&q, err);
	} else if (!t->clock->native || ct_stops_within(t, want.r[CT_RIP] + 1, CT_TRAMPOLINE_MAX) ||
		   ct_trampoline_install(&tr, t, &want, unknown)) {
		ret = run_with_breakpoint(&q, err);
	} else if (tr.ninner + ct_stops_debug_regs(t) > 4) {
		ct_trampoline_remove(&tr);
		ret = run_with_breakpoint(&q, err);
	} else {
		q.tr = &tr;
		t->ticks_known = false; /* its own branches are counted, too */
		ret = run_with_trampoline(&q, err);
		ct_trampoline_remove(&tr);
	}
	ct_breakpoints(t->real, NULL, 0);
	ct_maps_deinit(&q.maps);
	if (ret && q.here) { /* the breakpoint there is told of when the thread goes on */
		t->stops->hit = NULL;
		t->told = 0;
		ret = 0;
	}
	if (!ret) {
		calibrate(t, fp);
		if (q.stepped)
			t->trapped = true;
		else
			note_trapped(t);
	}
	return ret;
}

int ct_run_to_fault(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *regs, int signal,
		    struct ct_error *err)
{
	struct ct_search q = {.s = s, .t = t, .regs = regs, .recorded = regs, .signal = signal};
	struct ct_regs r;
	int ret;

	if (ct_apply_restart(t) || ct_get_regs(t->real, &r))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	r.r[CT_RFLAGS] &= ~RESUME;
	if (ct_set_regs(t->real, &r))
		return ct_diverged(s, t, err, "registers cannot be set");
	ret = run_with_breakpoint(&q, err);
	ct_breakpoints(t->real, NULL, 0);
	return ret;
}
