// SPDX-License-Identifier: MIT
/* Dies of a null pointer: its parent, which has the status, is the test's program itself. */
#include "behave.h"
#include <signal.h>

int main(void)
{
	int status;
	pid_t pid = OK(fork());

	if (!pid) {
		end();
		for (volatile int i = 0; i < 1000; i++)
			;
		*(volatile int *)nowhere() = 1;
	}
	OK(waitpid(pid, &status, 0));
	MUST_BE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	return end();
}
