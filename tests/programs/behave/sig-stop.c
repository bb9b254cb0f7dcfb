// SPDX-License-Identifier: MIT
/* Children that are stopped and continued, and their parent that hears of it. */
#include "behave.h"
#include <signal.h>

int main(void)
{
	int status;
	pid_t pid = OK(fork());

	if (!pid) {
		volatile long x = 0;

		for (;;)
			x++;
	}
	for (int i = 0; i < 5; i++) {
		OK(kill(pid, SIGSTOP));
		OK(waitpid(pid, &status, WUNTRACED));
		mix_number(status);
		OK(kill(pid, SIGCONT));
		OK(waitpid(pid, &status, WCONTINUED));
		mix_number(status);
	}
	OK(kill(pid, SIGTERM));
	OK(waitpid(pid, &status, 0));
	mix_number(status);
	return end();
}
