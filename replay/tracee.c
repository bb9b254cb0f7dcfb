// SPDX-License-Identifier: MIT
/* Another process under ptrace: stopping threads, registers, FPU state, signal masks, memory.
 * See tracee.h; attach and replay both stand on it. */
#include "replay/tracee.h"

#include <assert.h>
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FAIR_NS 120000000000ull

static_assert(sizeof(struct user_regs_struct) == 27 * 8, "ct_regs follows user_regs_struct");

int ct_seize(pid_t tid, unsigned long options)
{
	return ptrace(PTRACE_SEIZE, tid, 0, options) ? -errno : 0;
}

static ct_u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static __thread ct_wait_hook *wait_hook;
static __thread void *wait_ctx;

void ct_wait_set_hook(ct_wait_hook *hook, void *ctx)
{
	wait_hook = hook;
	wait_ctx = ctx;
}

void ct_wait_meanwhile(void)
{
	if (wait_hook)
		wait_hook(wait_ctx);
}

static _Atomic pid_t child;
static _Atomic int child_status = -1;

void ct_wait_child(pid_t pid)
{
	child_status = -1;
	child = pid;
}

pid_t ct_wait(pid_t tid, int *status, int flags)
{
	pid_t got = waitpid(tid, status, flags | __WALL);

	if (got > 0 && got == child && !WIFSTOPPED(*status))
		child_status = *status;
	return got;
}

bool ct_wait_child_ended(int *status)
{
	siginfo_t si = {0};

	/* For a tracee, stops are told even to who asks for WEXITED alone (wait_task_stopped() in kernel/exit.c). */
	if (child_status < 0 && child > 0 && !waitid(P_PID, (id_t)child, &si, WEXITED | WNOHANG | WNOWAIT) &&
	    (si.si_code == CLD_EXITED || si.si_code == CLD_KILLED || si.si_code == CLD_DUMPED))
		ct_wait(child, status, WNOHANG);
	if (child_status < 0)
		return false;
	*status = child_status;
	return true;
}

int ct_wait_stop(pid_t tid, int *status, unsigned timeout_ms)
{
	ct_u64 start = now_ns(), spin = start + 2000000;
	bool ended = false;

	for (unsigned n = 1;; n++) {
		pid_t got = ct_wait(tid, status, WNOHANG);

		if (got == tid)
			return 0;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (ended)
			return -ESRCH;
		if (now_ns() >= spin && n % 32 == 0)
			ended = ct_proc_stat(tid, tid, 3) == 'Z';
		ct_wait_meanwhile();
		/* Stops take some 10 us: look often at first, the target is standing still meanwhile. */
		if (now_ns() < spin)
			sched_yield();
		else if (now_ns() > start + timeout_ms * 1000000ull)
			return -ETIMEDOUT;
		else
			usleep(100);
	}
}

int ct_wait_stop_fairly(pid_t tid, int *status, unsigned timeout_ms)
{
	const ct_u64 most = now_ns() + FAIR_NS;
	int ret;

	do
		ret = ct_wait_stop(tid, status, timeout_ms);
	while (ret == -ETIMEDOUT && ct_proc_stat(tid, tid, 3) == 'R' && now_ns() < most);
	return ret == -ETIMEDOUT ? ct_wait_stop(tid, status, 0) : ret; /* it may have stopped between the two looks */
}

int ct_wait_interrupted_fairly(pid_t tid, unsigned timeout_ms)
{
	int status, ret;

	for (;;) {
		ret = ct_wait_stop_fairly(tid, &status, timeout_ms);
		if (ret)
			return ret;
		if (!WIFSTOPPED(status))
			return -ESRCH;
		if (status >> 16 == PTRACE_EVENT_STOP)
			return 0;
		/* A signal on its way to the thread: it goes there. Stopping for it has taken the interruption back
		 * (ptrace_stop() in kernel/signal.c: "any trap clears pending STOP trap"). */
		ptrace(PTRACE_INTERRUPT, tid, 0, 0);
		if (ptrace(PTRACE_CONT, tid, 0, status >> 16 ? 0 : WSTOPSIG(status)))
			return -errno;
	}
}

unsigned ct_reg_index(unsigned number)
{
	static const unsigned char index[16] = {CT_RAX, CT_RCX, CT_RDX, CT_RBX, CT_RSP, CT_RBP, CT_RSI, CT_RDI,
						CT_R8,  CT_R9,  CT_R10, CT_R11, CT_R12, CT_R13, CT_R14, CT_R15};

	return index[number];
}

int ct_get_regs(pid_t tid, struct ct_regs *regs)
{
	struct user_regs_struct u;
	struct iovec iov = {&u, sizeof(u)};

	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov))
		return -errno;
	memcpy(regs->r, &u, 21 * 8);
	regs->r[CT_FS_BASE] = u.fs_base;
	regs->r[CT_GS_BASE] = u.gs_base;
	return 0;
}

int ct_set_regs(pid_t tid, const struct ct_regs *regs)
{
	struct user_regs_struct u;
	struct iovec iov = {&u, sizeof(u)};

	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov)) /* keeps ds, es, fs, gs */
		return -errno;
	memcpy(&u, regs->r, 21 * 8);
	u.fs_base = regs->r[CT_FS_BASE];
	u.gs_base = regs->r[CT_GS_BASE];
	return ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &iov) ? -errno : 0;
}

ssize_t ct_get_xsave(pid_t tid, void *buf)
{
	struct iovec iov = {buf, CT_XSAVE_MAX};

	return ptrace(PTRACE_GETREGSET, tid, NT_X86_XSTATE, &iov) ? -errno : (ssize_t)iov.iov_len;
}

int ct_set_xsave(pid_t tid, const void *buf, size_t len)
{
	struct iovec iov = {(void *)buf, len};

	return ptrace(PTRACE_SETREGSET, tid, NT_X86_XSTATE, &iov) ? -errno : 0;
}

int ct_get_sigmask(pid_t tid, ct_u64 *mask)
{
	return ptrace(PTRACE_GETSIGMASK, tid, 8, mask) ? -errno : 0;
}
int ct_set_sigmask(pid_t tid, ct_u64 mask)
{
	return ptrace(PTRACE_SETSIGMASK, tid, 8, &mask) ? -errno : 0;
}

int ct_breakpoints(pid_t tid, const ct_u64 *addr, unsigned n)
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

int ct_mem_open(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	return open(path, O_RDWR | O_CLOEXEC);
}

bool ct_mem_read(int memfd, ct_u64 addr, void *buf, size_t len)
{
	return pread(memfd, buf, len, (off_t)addr) == (ssize_t)len;
}

bool ct_code_read(int memfd, ct_u64 addr, unsigned char *buf, size_t len)
{
	const unsigned char none = 0x06; /* push %es: invalid in 64-bit mode */
	const ssize_t n = pread(memfd, buf, len, (off_t)addr);

	if (n <= 0)
		return false;
	memset(buf + n, none, len - (size_t)n);
	return true;
}

bool ct_mem_write(int memfd, ct_u64 addr, const void *buf, size_t len)
{
	return pwrite(memfd, buf, len, (off_t)addr) == (ssize_t)len;
}

static int by_number(const void *a, const void *b)
{
	return *(const pid_t *)a < *(const pid_t *)b ? -1 : *(const pid_t *)a > *(const pid_t *)b;
}

int ct_list_threads(pid_t pid, pid_t **tids, size_t *count, struct ct_error *err)
{
	size_t n = 0, room = 0;
	struct dirent *entry;
	char path[64];
	DIR *dir;

	*tids = NULL;
	*count = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return ct_fail(err, CT_EXIT_NOT_ATTACHED, "process %d does not exist (any more)", pid);
	while ((entry = readdir(dir))) {
		pid_t tid = atoi(entry->d_name);

		if (tid <= 0)
			continue;
		if (n == room) {
			pid_t *more = realloc(*tids, (room = room ? room * 2 : 64) * sizeof(**tids));

			if (!more) {
				free(*tids);
				*tids = NULL;
				closedir(dir);
				return ct_fail(err, CT_EXIT_FAILED, "out of memory listing the threads of %d", pid);
			}
			*tids = more;
		}
		(*tids)[n++] = tid;
	}
	closedir(dir);
	if (n)
		qsort(*tids, n, sizeof(**tids), by_number);
	*count = n;
	return 0;
}
