// SPDX-License-Identifier: MIT
/* Two processes send each other signals in turn. */
#include "behave.h"
#include <signal.h>

int main(void)
{
	sigset_t set;
	siginfo_t info;
	int status;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	OK(sigprocmask(SIG_BLOCK, &set, NULL));
	pid_t pid = OK(fork());
	for (int i = 0; i < 30; i++) {
		if (pid)
			OK(kill(pid, SIGUSR1));
		OK(sigwaitinfo(&set, &info));
		mix(&info, 32);
		if (!pid)
			OK(kill(getppid(), SIGUSR1));
	}
	if (!pid)
		_exit(end());
	OK(waitpid(pid, &status, 0));
	return end() | status;
}
