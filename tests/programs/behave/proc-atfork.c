// SPDX-License-Identifier: MIT
/* fork with handlers registered, exit handlers in the right order. */
#include "behave.h"
#include <pthread.h>

static void before(void)
{
	mix_number(1);
}
static void parent(void)
{
	mix_number(2);
}
static void child(void)
{
	mix_number(3);
}
static void bye(void)
{
	end();
}

int main(void)
{
	int status;

	pthread_atfork(before, parent, child);
	atexit(bye);
	pid_t pid = OK(fork());
	if (!pid)
		exit(4);
	OK(waitpid(pid, &status, 0));
	mix_number(status);
	return 0;
}
