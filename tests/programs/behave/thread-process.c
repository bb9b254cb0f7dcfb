// SPDX-License-Identifier: MIT
/* A process that shares the memory but is no thread, for as long as it lives. */
#include "behave.h"
#include <sched.h>
#include <signal.h>

static char stack[65536];
static volatile int turn, sum;

static int other(void *arg)
{
	for (int i = 0; i < 50; i++) {
		while (turn != 1)
			sched_yield();
		sum = sum * 3 + i;
		turn = 0;
	}
	return *(int *)arg;
}

int main(void)
{
	int status, code = 7;
	pid_t pid = OK(clone(other, stack + sizeof(stack), CLONE_VM | CLONE_FILES | SIGCHLD, &code));

	for (int i = 0; i < 50; i++) {
		turn = 1;
		while (turn != 0)
			sched_yield();
		mix_number(sum);
	}
	OK(waitpid(pid, &status, 0));
	mix_number(status);
	return end();
}
