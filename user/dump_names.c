/* SPDX-License-Identifier: MIT
 * Names of the small numbers in event records, for `ctbpf dump`.
 *
 * All return static text; NULL or a stand-in for numbers that this version does not know. */
#include <signal.h>
#include <stdio.h>

#include "../formats/syscalls.h"
#include "dump.h"

static const char *pick(const char *const *names, size_t count, unsigned index)
{
	return index < count ? names[index] : NULL;
}
#define PICK(names, index) pick(names, sizeof(names) / sizeof(names[0]), (unsigned)(index))

const char *ct_reg_name(unsigned reg)
{
	static const char *const names[CT_NREGS] = {
		"r15", "r14", "r13", "r12",      "rbp", "rbx", "r11",    "r10", "r9", "r8",      "rax",    "rcx",
		"rdx", "rsi", "rdi", "orig_rax", "rip", "cs",  "rflags", "rsp", "ss", "fs_base", "gs_base"};
	const char *name = PICK(names, reg);
	return name ? name : "?";
}

const char *ct_si_code_name(int sig, int code)
{
	static const char *const sent[] = {"SI_USER",    "SI_QUEUE", "SI_TIMER", "SI_MESGQ",
					   "SI_ASYNCIO", "SI_SIGIO", "SI_TKILL"};
	static const char *const segv[] = {NULL,           "SEGV_MAPERR",  "SEGV_ACCERR",  "SEGV_BNDERR",
					   "SEGV_PKUERR",  "SEGV_ACCADI",  "SEGV_ADIDERR", "SEGV_ADIPERR",
					   "SEGV_MTEAERR", "SEGV_MTESERR", "SEGV_CPERR"};
	static const char *const fpe[] = {NULL,         "FPE_INTDIV", "FPE_INTOVF", "FPE_FLTDIV", "FPE_FLTOVF",
					  "FPE_FLTUND", "FPE_FLTRES", "FPE_FLTINV", "FPE_FLTSUB"};
	static const char *const ill[] = {NULL,         "ILL_ILLOPC", "ILL_ILLOPN", "ILL_ILLADR", "ILL_ILLTRP",
					  "ILL_PRVOPC", "ILL_PRVREG", "ILL_COPROC", "ILL_BADSTK"};
	static const char *const bus[] = {NULL,         "BUS_ADRALN",    "BUS_ADRERR",
					  "BUS_OBJERR", "BUS_MCEERR_AR", "BUS_MCEERR_AO"};
	static const char *const trap[] = {NULL,          "TRAP_BRKPT", "TRAP_TRACE", "TRAP_BRANCH",
					   "TRAP_HWBKPT", "TRAP_UNK",   "TRAP_PERF"};
	static const char *const cld[] = {NULL,          "CLD_EXITED",  "CLD_KILLED",   "CLD_DUMPED",
					  "CLD_TRAPPED", "CLD_STOPPED", "CLD_CONTINUED"};
	static const char *const poll[] = {NULL, "POLL_IN", "POLL_OUT", "POLL_MSG", "POLL_ERR", "POLL_PRI", "POLL_HUP"};
	static const char *const sys[] = {NULL, "SYS_SECCOMP", "SYS_USER_DISPATCH"};
	if (code <= 0)
		return code == -60 ? "SI_ASYNCNL" : PICK(sent, -code);
	if (code == SI_KERNEL)
		return "SI_KERNEL";
	switch (sig) {
	case SIGSEGV: return PICK(segv, code);
	case SIGFPE: return PICK(fpe, code);
	case SIGILL: return PICK(ill, code);
	case SIGBUS: return PICK(bus, code);
	case SIGTRAP: return PICK(trap, code);
	case SIGCHLD: return PICK(cld, code);
	case SIGIO: return PICK(poll, code);
	case SIGSYS: return PICK(sys, code);
	default: return NULL;
	}
}

const char *ct_signal_label(char buf[CT_HUMAN], int sig)
{
	const char *name = ct_signal_name(sig);
	if (!name)
		snprintf(buf, CT_HUMAN, "signal %d", sig);
	return name ? name : buf;
}

const char *ct_syscall_label(char buf[CT_HUMAN], int nr)
{
	const struct ct_syscall *call = ct_syscall(nr);
	if (call && call->name)
		return call->name;
	if (nr == -1)
		return "rt_sigreturn";
	snprintf(buf, CT_HUMAN, "syscall_%d", nr);
	return buf;
}

const char *ct_insn_name(unsigned kind)
{
	static const char *const names[] = {NULL, "rdtsc", "rdtscp", "rdrand", "rdseed", "cpuid"};
	const char *name = PICK(names, kind);
	return name ? name : "instruction";
}

const char *ct_snapshot_kind_name(unsigned kind)
{
	static const char *const names[] = {NULL, "attach", "exec", "loss", "periodic", "final"};
	const char *name = PICK(names, kind);
	return name ? name : "unknown";
}

const char *ct_lost_reason_name(unsigned reason)
{
	static const char *const names[] = {NULL, "ring_full", "too_large", "queue_full"};
	const char *name = PICK(names, reason);
	return name ? name : "unknown";
}

const char *ct_unsound_name(unsigned reason)
{
	static const char *const names[] = {NULL,   "syscall", "fault", "truncated", "foreign_cpu", "exec_not_held",
					    "file", "shared",  "frame", "insn"};
	const char *name = PICK(names, reason);
	return name ? name : "unknown";
}

const char *ct_end_reason_name(unsigned reason)
{
	static const char *const names[] = {NULL,   "duration", "signal", "target_gone",
					    "lost", "error",    "limit",  "trigger"};
	const char *name = PICK(names, reason);
	return name ? name : "unknown";
}

const char *ct_buf_kind_name(unsigned kind)
{
	static const char *const names[] = {NULL, "out", "in", "fault", "file", "regs", "path"};
	const char *name = PICK(names, kind);
	return name ? name : "unknown";
}
