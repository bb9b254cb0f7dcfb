// SPDX-License-Identifier: MIT
/* Finding the moment at which a thread was interrupted, without a hardware counter: a trampoline at its rip that looks
 * at the registers of each pass (a hardware breakpoint where there can be none), then the memory of its fingerprint. */
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "replay/session_priv.h"
#include "replay/trampoline.h"

/* Flags that user code computes: CF PF AF ZF SF DF OF. RF and TF are the tracer's. */
#define FLAGS 0xcd5ull

bool ct_same_position(const struct ct_regs *a, const struct ct_regs *b)
{
	for (int i = 0; i < CT_ORIG_RAX; i++)
		if (a->r[i] != b->r[i])
			return false;
	return a->r[CT_RIP] == b->r[CT_RIP] && a->r[CT_RSP] == b->r[CT_RSP] &&
	       !((a->r[CT_RFLAGS] ^ b->r[CT_RFLAGS]) & FLAGS);
}

static bool same_memory(int memfd, const struct ct_regs *regs, const struct ct_fingerprint *fp)
{
	unsigned char buf[CT_FP_STACK];

	if (!fp || (fp->flags & CT_FPF_LATE))
		return true;
	for (ct_u32 i = 0; i < fp->noperands && i < CT_FP_HARVEST; i++)
		if (!ct_mem_read(memfd, fp->operand[i].addr, buf, 16) || memcmp(buf, fp->operand[i].data, 16))
			return false;
	if ((fp->mask & 1) &&
	    (!ct_mem_read(memfd, regs->r[CT_RSP] - 128, buf, CT_FP_STACK) || memcmp(buf, fp->stack, CT_FP_STACK)))
		return false;
	for (int k = 0; k < CT_FP_GPRS; k++) {
		ct_u64 addr = regs->r[k < 10 ? k : k + 1] & ~7ull;

		if ((fp->mask >> (k + 1) & 1) &&
		    (!ct_mem_read(memfd, addr, buf, CT_FP_GPR) || memcmp(buf, fp->gpr[k], CT_FP_GPR)))
			return false;
	}
	return true;
}

/* Execution breakpoints in the debug registers: at most four. */
static int set_breakpoints(pid_t tid, const ct_u64 *addr, unsigned n)
{
	unsigned long dr7 = 0;

	if (ptrace(PTRACE_POKEUSER, tid, offsetof(struct user, u_debugreg[7]), 0))
		return -1;
	for (unsigned i = 0; i < n; i++) {
		if (ptrace(PTRACE_POKEUSER, tid, offsetof(struct user, u_debugreg[i]), addr[i]))
			return -1;
		dr7 |= 1ul << (2 * i);
	}
	return n && ptrace(PTRACE_POKEUSER, tid, offsetof(struct user, u_debugreg[7]), dr7) ? -1 : 0;
}

/* Why a running thread stopped: 0: at a trap of ours; -1: *err is set, the position will not be reached. */
static int next_trap(struct ct_session *s, struct ct_rthread *t, ct_u64 ip, struct ct_regs *r, struct ct_error *err)
{
	int status;

	if (ct_resume(t, &status) || ct_get_regs(t->real, r))
		return ct_diverged(s, t, err, "the replica died");
	if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
		t->at_entry = true;
		t->nr = (ct_s32)r->r[CT_ORIG_RAX];
		return ct_diverged(s, t, err, "system call %d before position %#llx was reached", t->nr,
				   (unsigned long long)ip);
	}
	if (WSTOPSIG(status) != SIGTRAP)
		return ct_diverged(s, t, err, "signal %d before position %#llx was reached", WSTOPSIG(status),
				   (unsigned long long)ip);
	s->stats.position_hits++;
	return 0;
}

static int single_step(struct ct_rthread *t, struct ct_regs *r)
{
	int status;

	return ptrace(PTRACE_SINGLESTEP, t->real, 0, 0) || ct_wait_stop(t->real, &status, 10000) ||
			       !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP || ct_get_regs(t->real, r)
		       ? -1
		       : 0;
}

/* Out of the bytes that the jump will replace. */
static int leave_covered(struct ct_rthread *t, const struct ct_trampoline *tr, struct ct_regs *r)
{
	while (r->r[CT_RIP] > tr->ip && r->r[CT_RIP] < tr->ip + tr->covered)
		if (single_step(t, r))
			return -1;
	return 0;
}

static int run_with_trampoline(struct ct_session *s, struct ct_rthread *t, struct ct_trampoline *tr,
			       const struct ct_regs *regs, const struct ct_fingerprint *fp, struct ct_error *err)
{
	struct ct_regs r;

	if (set_breakpoints(t->real, tr->inner, tr->ninner))
		return ct_fail_errno(err, CT_EXIT_FAILED, "no hardware breakpoint to be had");
	for (;;) {
		unsigned char jump[5];

		if (next_trap(s, t, tr->ip, &r, err))
			return -1;
		if (r.r[CT_RIP] == tr->stop) { /* the sum of the registers is right */
			r.r[CT_RIP] = tr->ip;
			r.r[CT_ORIG_RAX] = (ct_u64)-1;
			if (ct_same_position(&r, regs) && same_memory(t->proc->memfd, regs, fp))
				return ct_set_regs(t->real, &r) ? ct_diverged(s, t, err, "registers cannot be set") : 0;
			r.r[CT_RIP] = tr->go_on;
			if (ct_set_regs(t->real, &r))
				return ct_diverged(s, t, err, "registers cannot be set");
			continue;
		}
		/* A jump to one of the replaced instructions: they run in place, then the jump is put back. */
		if (!ct_mem_read(t->proc->memfd, tr->ip, jump, sizeof(jump)) ||
		    !ct_mem_write(t->proc->memfd, tr->ip, tr->orig, sizeof(jump)) ||
		    set_breakpoints(t->real, NULL, 0) || leave_covered(t, tr, &r) ||
		    !ct_mem_write(t->proc->memfd, tr->ip, jump, sizeof(jump)) ||
		    set_breakpoints(t->real, tr->inner, tr->ninner))
			return ct_diverged(s, t, err, "cannot step through the code at %#llx",
					   (unsigned long long)tr->ip);
	}
}

/* Every pass is a stop: for code that no trampoline can replace. */
static int run_with_breakpoint(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *regs,
			       const struct ct_fingerprint *fp, struct ct_error *err)
{
	struct ct_regs r;

	if (set_breakpoints(t->real, &regs->r[CT_RIP], 1))
		return ct_fail_errno(err, CT_EXIT_FAILED, "no hardware breakpoint to be had");
	do {
		if (next_trap(s, t, regs->r[CT_RIP], &r, err))
			return -1;
	} while (!ct_same_position(&r, regs) || !same_memory(t->proc->memfd, regs, fp));
	return 0;
}

int ct_run_to(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *regs, const struct ct_fingerprint *fp,
	      struct ct_error *err)
{
	struct ct_trampoline tr;
	struct ct_regs r;
	int ret;

	s->stats.positions++;
	if (t->at_entry)
		return ct_diverged(s, t, err, "in a system call, recorded in user code at %#llx",
				   (unsigned long long)regs->r[CT_RIP]);
	if (ct_apply_restart(t) || ct_get_regs(t->real, &r))
		return ct_diverged(s, t, err, "the replica died");
	if (ct_same_position(&r, regs) && same_memory(t->proc->memfd, regs, fp))
		return 0;
	if (ct_trampoline_install(&tr, t, regs)) {
		ret = run_with_breakpoint(s, t, regs, fp, err);
	} else {
		/* It may stand inside of what has just been replaced, or right on it, at an earlier pass. */
		if (r.r[CT_RIP] > tr.ip && r.r[CT_RIP] < tr.ip + tr.covered) {
			unsigned char jump[5];

			if (!ct_mem_read(t->proc->memfd, tr.ip, jump, sizeof(jump)) ||
			    !ct_mem_write(t->proc->memfd, tr.ip, tr.orig, sizeof(jump)) || leave_covered(t, &tr, &r) ||
			    !ct_mem_write(t->proc->memfd, tr.ip, jump, sizeof(jump)))
				ret = ct_diverged(s, t, err, "cannot step through the code at %#llx",
						  (unsigned long long)tr.ip);
			else
				ret = run_with_trampoline(s, t, &tr, regs, fp, err);
		} else {
			ret = run_with_trampoline(s, t, &tr, regs, fp, err);
		}
		ct_trampoline_remove(&tr);
	}
	set_breakpoints(t->real, NULL, 0);
	return ret;
}

bool ct_at_position(struct ct_rthread *t, const struct ct_regs *now, const struct ct_regs *regs,
		    const struct ct_fingerprint *fp)
{
	return ct_same_position(now, regs) && same_memory(t->proc->memfd, regs, fp);
}
