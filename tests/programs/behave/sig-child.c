// SPDX-License-Identifier: MIT
/* SIGCHLD tells of children; ignored, they leave nothing behind. */
#include "behave.h"
#include <signal.h>

static volatile int deaths;

static void on(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	deaths += info->si_status;
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on, .sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP};
	int status;

	OK(sigaction(SIGCHLD, &sa, NULL));
	for (int i = 1; i < 5; i++) {
		pid_t pid = OK(fork());

		if (!pid)
			_exit(i);
		OK(waitpid(pid, &status, 0));
		mix_number(status);
	}
	while (deaths != 10)
		usleep(1000);
	signal(SIGCHLD, SIG_IGN);
	pid_t pid = OK(fork());
	if (!pid)
		_exit(1);
	TRY(waitpid(pid, &status, 0));
	return end();
}
