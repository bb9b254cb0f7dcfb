// SPDX-License-Identifier: MIT
/* The clock that counts by single-stepping: exact on every machine, some ten thousand instructions a second.
 * It also is what the other tick clock is measured against. */
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "replay/clock.h"

#ifndef PTRACE_SYSEMU_SINGLESTEP
#define PTRACE_SYSEMU_SINGLESTEP 32
#endif
#define TRAP_FLAG   0x100ull
#define RESUME      0x10000ull /* RF */
#define TRAP_STATUS (SIGTRAP << 8 | 0x7f)
#define REG(name)   offsetof(struct user_regs_struct, name)
#define DEBUG(n)    offsetof(struct user, u_debugreg[n])

enum ct_step_kind ct_step_kind(const unsigned char *code, size_t len)
{
	static const unsigned char prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
	size_t i = 0;

	while (i < len && (memchr(prefixes, code[i], sizeof(prefixes)) || (code[i] & 0xf0) == 0x40))
		i++;
	if (i >= len)
		return CT_STEP_PLAIN;
	if ((code[i] & 0xf0) == 0x70 || (code[i] & 0xfc) == 0xe0) /* jcc, loop*, jrcxz */
		return CT_STEP_BRANCH;
	switch (code[i]) {
	case 0x9c: return CT_STEP_PUSHF;
	case 0xcc:
	case 0xf1: return CT_STEP_TRAP;
	}
	if (i + 1 >= len)
		return CT_STEP_PLAIN;
	if (code[i] == 0x0f) {
		if ((code[i + 1] & 0xf0) == 0x80)
			return CT_STEP_BRANCH;
		return code[i + 1] == 0x05 || code[i + 1] == 0x34 ? CT_STEP_CALL : CT_STEP_PLAIN;
	}
	if (code[i] == 0xcd)
		return code[i + 1] == 0x80 ? CT_STEP_CALL : CT_STEP_TRAP;
	return CT_STEP_PLAIN;
}

static ct_u64 peek(const struct ct_rthread *t, size_t offset)
{
	return (ct_u64)ptrace(PTRACE_PEEKUSER, t->real, offset, 0);
}

static enum ct_step_kind kind_at(const struct ct_rthread *t, ct_u64 ip)
{
	unsigned char code[16];

	return ct_step_kind(code, ct_code_read(t->proc->memfd, ip, code, sizeof(code)) ? sizeof(code) : 0);
}

/* The kernel reports a step at once, before any instruction, to a thread that was stopped at a system call. */
static bool was_at_once(const struct ct_rthread *t)
{
	siginfo_t si;

	return !ptrace(PTRACE_GETSIGINFO, t->real, 0, &si) && si.si_code == TRAP_BRKPT;
}

/* The kernel hides the trap flag of its steps in registers, but not in what the program stores itself. */
static void hide_trap_flag(const struct ct_rthread *t)
{
	const ct_u64 sp = peek(t, REG(rsp)) + 1;
	unsigned char flags;

	if (ct_mem_read(t->proc->memfd, sp, &flags, 1) && flags & TRAP_FLAG >> 8) {
		flags &= (unsigned char)~(TRAP_FLAG >> 8);
		ct_mem_write(t->proc->memfd, sp, &flags, 1);
	}
}

/* One instruction. 1: it was executed and nothing else happened; 0: another stop; -1: the thread is gone. */
static int step(struct ct_rthread *t, int request, ct_u64 ip, enum ct_step_kind kind, int *status)
{
	for (;;) {
		if (ptrace(request, t->real, 0, 0) || ct_replica_wait(t->real, status) || !WIFSTOPPED(*status))
			return -1;
		if (t->clock == &ct_clock_pmu && *status == (SIGSTKFLT << 8 | 0x7f))
			continue; /* of an alarm that something else came before */
		if (*status != TRAP_STATUS || kind == CT_STEP_TRAP)
			return 0;
		if (peek(t, REG(rip)) != ip || !was_at_once(t))
			break;
	}
	t->ticks += kind == CT_STEP_BRANCH;
	if (kind == CT_STEP_PUSHF)
		hide_trap_flag(t);
	return 1;
}

/* The thread's breakpoints are looked after here: one that is stepped on may be reported as a step. */
static unsigned breakpoints(const struct ct_rthread *t, ct_u64 *addr, ct_u64 *dr7)
{
	unsigned n = 0;

	*dr7 = peek(t, DEBUG(7));
	for (unsigned i = 0; i < 4; i++)
		if (*dr7 >> (2 * i) & 3)
			addr[n++] = peek(t, DEBUG(i));
	return n;
}

static bool among(ct_u64 ip, const ct_u64 *addr, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (addr[i] == ip)
			return true;
	return false;
}

static int run(struct ct_rthread *t, int request, int *status, const ct_u64 *stop, unsigned nstops)
{
	ct_u64 ip = peek(t, REG(rip)), before = ~ip;
	bool passes = peek(t, REG(eflags)) & RESUME;

	for (;; before = ip, ip = peek(t, REG(rip)), passes = false) {
		enum ct_step_kind kind;
		int ret;

		/* A repeated instruction is one to a breakpoint, and many to a step. */
		if (ip != before && !passes && among(ip, stop, nstops)) {
			*status = TRAP_STATUS;
			return 0;
		}
		kind = kind_at(t, ip);
		if (kind == CT_STEP_CALL) /* not stepped into: r11 would have the trap flag */
			return ptrace(request, t->real, 0, 0) || ct_replica_wait(t->real, status) ||
					       !WIFSTOPPED(*status)
				       ? -1
				       : 0;
		ret = step(t, PTRACE_SYSEMU_SINGLESTEP, ip, kind, status);
		if (ret <= 0)
			return ret;
		if (t->tick_stop && t->ticks >= t->tick_stop)
			return 0;
	}
}

static int resume(struct ct_rthread *t, int request, int *status)
{
	ct_u64 addr[4], dr7;
	unsigned n = breakpoints(t, addr, &dr7);
	int ret;

	if (n && ptrace(PTRACE_POKEUSER, t->real, DEBUG(7), 0))
		return -1;
	ret = run(t, request, status, addr, n);
	if (n && !ret && ptrace(PTRACE_POKEUSER, t->real, DEBUG(7), dr7))
		return -1;
	return ret;
}

int ct_clock_step_by(struct ct_rthread *t, int request, int *status)
{
	const ct_u64 ip = peek(t, REG(rip));

	return step(t, request, ip, kind_at(t, ip), status) < 0 ? -1 : 0;
}

int ct_clock_step_once(struct ct_rthread *t, int *status)
{
	return ct_clock_step_by(t, PTRACE_SINGLESTEP, status);
}

static ct_u64 no_skid(void)
{
	return 0;
}

const struct ct_clock ct_clock_step = {.name = "step", .counts = true, .skid = no_skid, .resume = resume};
