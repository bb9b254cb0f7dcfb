/* SPDX-License-Identifier: MIT
 * freeze TID MS: stops one thread, and no other of its process, for so many milliseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

int main(int argc, char **argv)
{
	pid_t tid = argc == 3 ? atoi(argv[1]) : 0;
	long ms = tid ? atol(argv[2]) : 0;
	int status;

	if (!tid || ptrace(PTRACE_SEIZE, tid, 0, 0) || ptrace(PTRACE_INTERRUPT, tid, 0, 0) ||
	    waitpid(tid, &status, __WALL) != tid) {
		perror("freeze");
		return 1;
	}
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
	return ptrace(PTRACE_DETACH, tid, 0, 0) ? 1 : 0;
}
