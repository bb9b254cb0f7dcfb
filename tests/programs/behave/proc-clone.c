// SPDX-License-Identifier: MIT
/* clone with shared memory and a stack of its own; clone3. */
#include "behave.h"
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>

static volatile int shared;
static char stack[65536];

static int child(void *arg)
{
	shared += *(int *)arg;
	return 5;
}

int main(void)
{
	int status, n = 7, ptid = 0, pidfd = -1;
	pid_t pid;

	for (int i = 0; i < 5; i++) {
		pid = OK(clone(child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, &n));
		OK(waitpid(pid, &status, 0));
		mix_number(status), mix_number(shared);
		pid = OK(clone(child, stack + sizeof(stack), CLONE_PARENT_SETTID | SIGCHLD, &n, &ptid));
		mix_number(ptid), mix_number(shared);
		OK(waitpid(pid, &status, 0));
	}
	struct clone_args args = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID,
				  .pidfd = (uintptr_t)&pidfd,
				  .parent_tid = (uintptr_t)&ptid,
				  .exit_signal = SIGCHLD};
	pid = OK(syscall(SYS_clone3, &args, sizeof(args)));
	if (!pid)
		_exit(9);
	mix_number(pidfd), mix_number(ptid);
	OK(waitpid(pid, &status, 0));
	mix_number(status);
	return end();
}
