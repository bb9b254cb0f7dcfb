// SPDX-License-Identifier: MIT
/* Threads of targets executed instruction by instruction while they are recorded; see stepper.h.
 * Who counts is the kernel side (bpf/steps.bpf.c), told before each step whether it is a conditional branch. */
#include "user/stepper.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay/clock.h"
#include "user/recorder_priv.h"
#include "formats/sysrule.h"
#include "record.skel.h" /* after the headers with its types */

#define TRAP_FLAG 0x100ull
#define TURN      300 /* instructions before the next thread has its turn */
#define PATIENCE  50  /* looks at a call before another thread has its turn */
#define OPTIONS   (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK)

struct stepped {
	pid_t tid, pid;
	bool runs;   /* inside the kernel, or on its way to its first stop: a stop of it is still to come */
	bool inside; /* it has stopped in the middle of a call */
	int signal;  /* delivered when it goes on */
};

struct ct_stepper {
	struct stepped *list;
	size_t n, room, turn;
	bool beside; /* this thread is on the targets' CPU: a stop costs a tenth there */
};

struct ct_stepper *ct_stepper_create(struct ct_error *err)
{
	struct ct_stepper *st = calloc(1, sizeof(*st));

	if (!st)
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
	return st;
}

void ct_stepper_destroy(struct ct_stepper *st)
{
	if (st)
		free(st->list);
	free(st);
}

static volatile struct ct_step_count *count_of(struct ct_recorder *r)
{
	return (volatile struct ct_step_count *)&r->probes.skel->bss->steps;
}

static struct stepped *find(const struct ct_stepper *st, pid_t tid)
{
	for (size_t i = 0; i < st->n; i++)
		if (st->list[i].tid == tid)
			return &st->list[i];
	return NULL;
}

bool ct_stepper_has(const struct ct_recorder *r, pid_t tid)
{
	return r->stepper && find(r->stepper, tid);
}

static struct stepped *add(struct ct_stepper *st, pid_t tid, pid_t pid)
{
	struct stepped *more = find(st, tid);

	if (more)
		return more;
	if (st->n == st->room) {
		more = realloc(st->list, (st->room * 2 + 16) * sizeof(*more));
		if (!more)
			return NULL;
		st->list = more;
		st->room = st->room * 2 + 16;
	}
	st->list[st->n] = (struct stepped){.tid = tid, .pid = pid};
	return &st->list[st->n++];
}

static void drop(struct ct_stepper *st, struct stepped *s)
{
	*s = st->list[--st->n];
}

/* Which CPU this thread is on. A process that waits in a BPF program for an answer leaves its own to nobody. */
static void be_beside(struct ct_recorder *r, bool beside)
{
	cpu_set_t set = r->others;

	if (r->stepper->beside == beside)
		return;
	r->stepper->beside = beside;
	if (beside) {
		CPU_ZERO(&set);
		CPU_SET(r->pin.cpu, &set);
	}
	sched_setaffinity(0, sizeof(set), &set);
}

/* ---- what a thread reports -------------------------------------------------------------------------------------- */

/* The trap flag that a system call has stored in r11, or `pushf` on the stack, is not the program's. */
static void hide_trap_flag(const struct stepped *s, const struct user_regs_struct *u)
{
	if ((long long)u->orig_rax >= 0 && (u->r11 & TRAP_FLAG))
		ptrace(PTRACE_POKEUSER, s->tid, offsetof(struct user_regs_struct, r11), u->r11 & ~TRAP_FLAG);
}

static void hide_pushed(const struct stepped *s)
{
	const ct_u64 sp = (ct_u64)ptrace(PTRACE_PEEKUSER, s->tid, offsetof(struct user_regs_struct, rsp), 0);
	unsigned char flags;
	struct iovec here = {&flags, 1}, there = {(void *)(sp + 1), 1};

	if (process_vm_readv(s->pid, &here, 1, &there, 1, 0) == 1 && (flags & TRAP_FLAG >> 8)) {
		flags &= (unsigned char)~(TRAP_FLAG >> 8);
		process_vm_writev(s->pid, &here, 1, &there, 1, 0);
	}
}

/* An interruption is reported before the trap of a step that ended with a system call, which then still waits to be
 * delivered. */
static void take_trap(pid_t tid)
{
	const ct_u64 waiting = ct_proc_status(tid, "SigPnd:", 16);
	int status;

	if ((waiting >> (SIGTRAP - 1) & 1) && !ptrace(PTRACE_CONT, tid, 0, 0))
		ct_wait_stop(tid, &status, 3000);
}

/* It has stopped because an instruction has been executed, not because a handler begins. */
static bool executed(pid_t tid)
{
	siginfo_t si;

	return !ptrace(PTRACE_GETSIGINFO, tid, 0, &si) && si.si_signo == SIGTRAP && si.si_code == TRAP_TRACE;
}

/* A trap that the program would not have had without us: of a step, of the kernel setting up a handler's frame while
 * stepping (si_code is the signal then), of a probe's instruction executed out of line. */
static bool is_ours(const struct stepped *s, bool probed)
{
	siginfo_t si;

	if (ptrace(PTRACE_GETSIGINFO, s->tid, 0, &si))
		return true;
	return si.si_code == TRAP_TRACE || si.si_code == TRAP_HWBKPT || si.si_code == TRAP_BRKPT ||
	       si.si_code == SIGTRAP || (probed && si.si_code == SI_USER);
}

static void adopt(struct ct_stepper *st, pid_t parent)
{
	unsigned long child = 0;
	struct stepped *s;

	/* A process's child is its own process; a thread's memory is read by its own id just as well. */
	if (!ptrace(PTRACE_GETEVENTMSG, parent, 0, &child) && child && (s = add(st, (pid_t)child, (pid_t)child)))
		s->runs = true;
}

/* *s may move. */
static void reported(struct ct_recorder *r, struct stepped *s, int status, bool probed)
{
	const pid_t tid = s->tid;
	const int event = status >> 16, sig = WSTOPSIG(status);

	if (!WIFSTOPPED(status)) {
		drop(r->stepper, s);
		return;
	}
	s->runs = false;
	if (event == PTRACE_EVENT_STOP) {
		if (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)
			s->runs = !ptrace(PTRACE_LISTEN, tid, 0, 0);
	} else if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK) {
		s->inside = true;
		adopt(r->stepper, tid);
	} else if (!event && !(sig == SIGTRAP && is_ours(s, probed))) {
		s->signal = sig;
	}
}

/* ---- one instruction ----------------------------------------------------------------------------------------------
 */

static enum ct_step_kind kind_at(const struct stepped *s, ct_u64 ip)
{
	unsigned char code[16];
	struct iovec here = {code, sizeof(code)}, there = {(void *)ip, sizeof(code)};
	ssize_t n;

	do /* at the end of a mapping */
		n = process_vm_readv(s->pid, &here, 1, &there, 1, 0);
	while (n < 0 && errno == EFAULT && (here.iov_len = there.iov_len = there.iov_len - 1));
	return ct_step_kind(code, n > 0 ? (size_t)n : 0);
}

/* The kernel emulates most instructions that are not memory accesses under one of our probes
 * (arch/x86/kernel/uprobes.c: branches, calls, nops, pushes of registers), and a step would then be of the one behind
 * it as well. Where that may be: next[0..1]; returns how many, 0 if the probe at `ip` is on nothing of that kind. */
static unsigned behind_emulated(const struct stepped *s, ct_u64 ip, ct_u64 next[2])
{
	unsigned char code[ZYDIS_MAX_INSTRUCTION_LENGTH];
	ZydisDecodedInstruction in;
	ZydisDecoder dec;
	struct ct_maps maps;
	const struct ct_map *m;
	char path[96];
	ssize_t len = -1;
	int fd = -1;

	if (ct_maps_read(s->pid, &maps, NULL))
		return 0;
	if ((m = ct_maps_find(&maps, ip))) {
		snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", s->pid, (unsigned long long)m->start,
			 (unsigned long long)m->end);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd >= 0) {
		len = pread(fd, code, sizeof(code), (off_t)(ip - m->start + m->offset));
		close(fd);
	}
	ct_maps_deinit(&maps);
	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (len <= 0 || !ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&dec, NULL, code, (size_t)len, &in)))
		return 0;
	next[0] = next[1] = ip + in.length;
	if (in.mnemonic == ZYDIS_MNEMONIC_NOP || (in.mnemonic == ZYDIS_MNEMONIC_PUSH && (in.opcode & 0xf8) == 0x50))
		return 1;
	if (!in.raw.imm[0].is_relative || (in.opcode & 0xfc) == 0xe0) /* loop, jrcxz */
		return 0;
	next[1] += (ct_u64)in.raw.imm[0].value.s;
	return 2;
}

/* Calls in which the kernel side may hold a process until this thread has answered. */
static bool may_be_held(ct_u64 nr)
{
	return nr == SYS_mmap || nr == SYS_execve || nr == SYS_execveat;
}

/* Whether it makes a system call next; one that is made again begins with its return code. */
static bool calls(const struct user_regs_struct *u, enum ct_step_kind kind)
{
	return kind == CT_STEP_CALL ||
	       ((long long)u->orig_rax >= 0 && (long long)u->rax <= -512 && (long long)u->rax >= -516);
}

/* 0: it has reported; 1: not yet, or never. */
static int await(struct ct_recorder *r, pid_t tid, bool call, bool held, int *status)
{
	pid_t got = 0;

	if (!call) {
		do
			got = ct_wait(tid, status, 0);
		while (got < 0 && errno == EINTR);
		return got != tid;
	}
	for (unsigned n = 0; held || n < PATIENCE; n++) {
		got = ct_wait(tid, status, WNOHANG);
		if (got)
			break;
		ct_recorder_answer(r);
		if (r->held) /* it is to be stopped, and served */
			break;
		sched_yield();
	}
	return got != tid;
}

static void step(struct ct_recorder *r, struct stepped *s)
{
	volatile struct ct_step_count *count = count_of(r);
	const pid_t tid = s->tid;
	struct user_regs_struct u;
	enum ct_step_kind kind;
	ct_u64 next[2];
	unsigned nnext;
	bool call, held;
	int status;

	if (ptrace(PTRACE_GETREGS, tid, 0, &u)) {
		s->runs = true; /* killed: its end is still to be reported */
		return;
	}
	hide_trap_flag(s, &u);
	kind = kind_at(s, u.rip);
	call = s->inside || calls(&u, kind);
	held = call && may_be_held(kind == CT_STEP_CALL ? u.rax : u.orig_rax);
	be_beside(r, !held);
	count->tid = (ct_u32)tid;
	count->branch = kind == CT_STEP_BRANCH;
	nnext = kind == CT_STEP_TRAP && !s->signal ? behind_emulated(s, u.rip, next) : 0;
	if (nnext)
		ct_breakpoints(tid, next, nnext);
	s->runs = true;
	s->inside = false;
	if (ptrace(nnext ? PTRACE_CONT : PTRACE_SINGLESTEP, tid, 0, s->signal))
		return;
	s->signal = 0;
	if (await(r, tid, call, held, &status) || !(s = find(r->stepper, tid)))
		return;
	if (nnext)
		ct_breakpoints(tid, NULL, 0);
	if (kind == CT_STEP_PUSHF && WIFSTOPPED(status) && executed(tid))
		hide_pushed(s);
	reported(r, s, status, kind == CT_STEP_TRAP);
}

/* ---- whose turn it is -----------------------------------------------------------------------------------------------
 */

/* Looks at those that run. Whether one of them stands still now. */
static void collect(struct ct_recorder *r)
{
	struct ct_stepper *st = r->stepper;

	for (size_t i = st->n; i-- > 0;) {
		int status;
		pid_t got;

		if (!st->list[i].runs)
			continue;
		got = ct_wait(st->list[i].tid, &status, WNOHANG);
		if (got == st->list[i].tid)
			reported(r, &st->list[i], status, false);
		else if (got < 0 && errno == ECHILD) /* another thread's execve has taken its place */
			drop(st, &st->list[i]);
	}
}

static struct stepped *next(struct ct_stepper *st)
{
	for (size_t k = 0; k < st->n; k++) {
		st->turn = (st->turn + 1) % st->n;
		if (!st->list[st->turn].runs)
			return &st->list[st->turn];
	}
	return NULL;
}

bool ct_stepper_run(struct ct_recorder *r, ct_u64 ns)
{
	const ct_u64 until = ct_now_ns() + ns;
	bool any = true;

	while (any && !r->held && ct_now_ns() < until) {
		struct stepped *s;
		pid_t tid;

		collect(r);
		s = next(r->stepper);
		any = s != NULL;
		tid = s ? s->tid : 0;
		for (unsigned n = 0; n < TURN && (s = find(r->stepper, tid)) && !s->runs && !r->held; n++)
			step(r, s);
	}
	be_beside(r, false);
	return any;
}

void ct_stepper_stopped(struct ct_recorder *r, pid_t tid)
{
	find(r->stepper, tid)->runs = false;
}

/* ---- in and out
 * ------------------------------------------------------------------------------------------------------- */

void ct_stepper_take(struct ct_recorder *r, struct ct_target *t)
{
	for (size_t i = 0; i < t->nthreads; i++) {
		if (!t->threads[i].stopped || !add(r->stepper, t->threads[i].tid, t->pid))
			continue;
		ptrace(PTRACE_SETOPTIONS, t->threads[i].tid, 0, OPTIONS);
		t->threads[i].kept = true;
	}
	ct_target_release(t);
}

/* Stops those that run. One that has been given a signal takes it first: it could not be handed over. */
static void halt(struct ct_recorder *r)
{
	struct ct_stepper *st = r->stepper;
	bool all;

	do {
		all = true;
		for (size_t i = st->n; i-- > 0;) {
			struct stepped *s = &st->list[i];
			int status;

			if (s->runs && !ptrace(PTRACE_INTERRUPT, s->tid, 0, 0) && !ct_wait_stop(s->tid, &status, 3000))
				reported(r, s, status, false);
			else if (s->runs)
				drop(st, s);
			else if (s->signal)
				step(r, s);
			else
				continue;
			all = false;
		}
	} while (!all);
}

void ct_stepper_give(struct ct_recorder *r, pid_t pid)
{
	struct ct_stepper *st = r->stepper;

	if (!st)
		return;
	if (!pid)
		halt(r);
	be_beside(r, false);
	for (size_t i = st->n; i-- > 0;) {
		const struct stepped s = st->list[i];
		struct user_regs_struct u;

		if (pid && s.pid != pid)
			continue;
		drop(st, &st->list[i]);
		ptrace(PTRACE_SETOPTIONS, s.tid, 0, PTRACE_O_TRACESYSGOOD);
		take_trap(s.tid);
		if (!ptrace(PTRACE_GETREGS, s.tid, 0, &u))
			hide_trap_flag(&s, &u);
	}
}
