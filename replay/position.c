// SPDX-License-Identifier: MIT
/* Finding the moment at which a thread was interrupted, without a hardware counter: a hardware breakpoint at its rip,
 * registers compared at each pass, then the memory its fingerprint sampled. */
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "replay/session_priv.h"

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

static int breakpoint(pid_t tid, ct_u64 addr)
{
	if (ptrace(PTRACE_POKEUSER, tid, offsetof(struct user, u_debugreg[7]), 0) ||
	    (addr && (ptrace(PTRACE_POKEUSER, tid, offsetof(struct user, u_debugreg[0]), addr) ||
		      ptrace(PTRACE_POKEUSER, tid, offsetof(struct user, u_debugreg[7]), 1))))
		return -1;
	return 0;
}

int ct_run_to(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *regs, const struct ct_fingerprint *fp,
	      struct ct_error *err)
{
	struct ct_regs r;
	int status, ret = 0;

	s->stats.positions++;
	if (t->at_entry)
		return ct_diverged(s, t, err, "in a system call, recorded in user code at %#llx",
				   (unsigned long long)regs->r[CT_RIP]);
	if (ct_apply_restart(t) || ct_get_regs(t->real, &r))
		return ct_diverged(s, t, err, "the replica died");
	if (ct_same_position(&r, regs) && same_memory(t->proc->memfd, regs, fp))
		return 0;
	if (breakpoint(t->real, regs->r[CT_RIP]))
		return ct_fail_errno(err, CT_EXIT_FAILED, "no hardware breakpoint to be had");
	for (;;) {
		if (ct_resume(t, &status) || ct_get_regs(t->real, &r)) {
			ret = ct_diverged(s, t, err, "the replica died");
			break;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			t->at_entry = true;
			t->nr = (ct_s32)r.r[CT_ORIG_RAX];
			ret = ct_diverged(s, t, err, "system call %d before position %#llx was reached", t->nr,
					  (unsigned long long)regs->r[CT_RIP]);
			break;
		}
		if (WSTOPSIG(status) != SIGTRAP) {
			ret = ct_diverged(s, t, err, "signal %d before position %#llx was reached", WSTOPSIG(status),
					  (unsigned long long)regs->r[CT_RIP]);
			break;
		}
		s->stats.position_hits++;
		if (ct_same_position(&r, regs) && same_memory(t->proc->memfd, regs, fp))
			break;
	}
	breakpoint(t->real, 0);
	return ret;
}
