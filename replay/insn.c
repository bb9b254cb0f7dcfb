// SPDX-License-Identifier: MIT
/* Instructions whose results are in the log: rdtsc and rdtscp trap in a replica (PR_SET_TSC); nothing makes rdrand and
 * rdseed trap, but every execution of theirs is in the log, so a breakpoint is set whenever one is due. */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "replay/session_priv.h"

#define RESUME 0x10000ull /* RF */
#define STATUS 0x8d5ull   /* OF SF ZF AF PF CF: rdrand sets or clears all of them */

/* Register that a rdrand or rdseed at `code` writes to, as an index of struct ct_regs; -1: it is neither. */
static int random_target(const unsigned char *code, ct_u32 len)
{
	unsigned rex = 0;

	for (ct_u32 i = 0; i + 2 < len; i++) { /* prefixes, 0f c7, ModRM: register form, /6 or /7 */
		if (code[i] == 0x0f)
			return code[i + 1] == 0xc7 && code[i + 2] >= 0xf0
				       ? (int)ct_reg_index((code[i + 2] & 7) | (rex & 1) << 3)
				       : -1;
		rex = (code[i] & 0xf0) == 0x40 ? code[i] : 0;
	}
	return -1;
}

static int run_to_breakpoint(struct ct_session *s, struct ct_rthread *t, ct_u64 ip, struct ct_regs *r,
			     struct ct_error *err)
{
	int status;

	if (ct_apply_restart(t) || ct_get_regs(t->real, r))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	if (r->r[CT_RIP] == ip && t->told == ip) /* a breakpoint of the user's has been told of here */
		return 0;
	r->r[CT_RFLAGS] &= ~RESUME; /* it may stand there already */
	if (ct_set_regs(t->real, r) || ct_breakpoints(t->real, &ip, 1))
		return ct_fail_errno(err, CT_EXIT_FAILED, "no hardware breakpoint to be had");
	if (ct_resume(t, &status) || ct_get_regs(t->real, r) || ct_breakpoints(t->real, NULL, 0))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	if (t->stops && t->stops->hit)
		return -1;
	if (WSTOPSIG(status) != SIGTRAP || r->r[CT_RIP] != ip)
		return ct_diverged(s, t, err, "stop %#x before the instruction at %#llx", status,
				   (unsigned long long)ip);
	return 0;
}

static int on_random(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_insn *in, struct ct_error *err)
{
	unsigned char code[16] = {0};
	struct ct_regs r;
	int target;

	if (run_to_breakpoint(s, t, in->ip, &r, err))
		return -1;
	target = in->len <= sizeof(code) && ct_mem_read(t->proc->memfd, in->ip, code, in->len)
			 ? random_target(code, in->len)
			 : -1;
	if (target < 0)
		return ct_diverged(s, t, err, "the code at %#llx is not the recorded rdrand or rdseed",
				   (unsigned long long)in->ip);
	for (int i = 0; i < CT_ORIG_RAX; i++)
		if (i != target && r.r[i] != in->regs.r[i])
			return ct_diverged(s, t, err,
					   "register number %d is %#llx at the instruction, recorded was %#llx", i,
					   (unsigned long long)r.r[i], (unsigned long long)in->regs.r[i]);
	r.r[target] = in->regs.r[target];
	r.r[CT_RFLAGS] = (r.r[CT_RFLAGS] & ~(STATUS | RESUME)) | (in->regs.r[CT_RFLAGS] & STATUS);
	r.r[CT_RIP] += in->len;
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	return ct_set_regs(t->real, &r) ? ct_diverged(s, t, err, "registers cannot be set") : 0;
}

static int on_tsc(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_insn *in, struct ct_error *err)
{
	struct ct_regs r;
	int status;

	if (ct_apply_restart(t) || ct_resume(t, &status))
		return ct_diverged(s, t, err, "%s", ct_replica_lost());
	if (WSTOPSIG(status) != SIGSEGV || ct_get_regs(t->real, &r) || r.r[CT_RIP] != in->ip)
		return ct_diverged(s, t, err, "stop %#x instead of rdtsc at %#llx", status, (unsigned long long)in->ip);
	r.r[CT_RAX] = in->regs.r[CT_RAX];
	r.r[CT_RDX] = in->regs.r[CT_RDX];
	if (in->kind == CT_INSN_RDTSCP)
		r.r[CT_RCX] = in->regs.r[CT_RCX];
	r.r[CT_RIP] += in->len;
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	return ct_set_regs(t->real, &r) ? ct_diverged(s, t, err, "registers cannot be set") : 0;
}

int ct_replay_insn(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_insn *in, struct ct_error *err)
{
	switch (in->kind) {
	case CT_INSN_RDTSC:
	case CT_INSN_RDTSCP: return on_tsc(s, t, in, err);
	case CT_INSN_RDRAND:
	case CT_INSN_RDSEED: return on_random(s, t, in, err);
	}
	return ct_fail(err, CT_EXIT_FAILED,
		       "event %llu: replaying instruction kind %u is not supported by this version",
		       (unsigned long long)s->ev->seq, in->kind);
}
