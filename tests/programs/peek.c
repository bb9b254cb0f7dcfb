/* SPDX-License-Identifier: MIT
 * Prints what ptrace can tell of each thread of a process, a line per thread: its restartable sequence area.
 *
 * usage: peek PID        `thread N rseq ADDRESS size N sig N`; threads numbered in the order of /proc/PID/task. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif

struct config {
	unsigned long long addr;
	unsigned size, sig, flags, pad;
};

static int peek(int n, pid_t tid)
{
	struct user_regs_struct regs;
	struct config c = {0};
	int status;

	if (ptrace(PTRACE_SEIZE, tid, 0, 0) || ptrace(PTRACE_INTERRUPT, tid, 0, 0)) {
		perror("peek");
		return 1;
	}
	do {
		if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status))
			return 1;
		if (status >> 16 == PTRACE_EVENT_STOP)
			break;
		ptrace(PTRACE_CONT, tid, 0, WSTOPSIG(status)); /* a signal that came first */
	} while (1);
	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof(c), &c) < 0)
		perror("peek: rseq");
	printf("thread %d rseq %#llx size %u sig %#x\n", n, c.addr, c.size, c.sig);
	/* Some calls fail when their thread is stopped; the process must not notice that it was. */
	if (!ptrace(PTRACE_GETREGS, tid, 0, &regs) && (long)regs.orig_rax >= 0 && (long)regs.rax == -EINTR) {
		regs.rip -= 2;
		regs.rax = regs.orig_rax;
		ptrace(PTRACE_SETREGS, tid, 0, &regs);
	}
	return ptrace(PTRACE_DETACH, tid, 0, 0) ? 1 : 0;
}

int main(int argc, char **argv)
{
	char path[64];
	int ret = 0, n = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", argc > 1 ? atoi(argv[1]) : 0);
	dir = opendir(path);
	if (!dir) {
		perror(path);
		return 2;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			ret |= peek(n++, atoi(entry->d_name));
	closedir(dir);
	return ret;
}
