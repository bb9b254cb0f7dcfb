// SPDX-License-Identifier: MIT
/* sigwait, sigwaitinfo and sigtimedwait. */
#include "behave.h"
#include <signal.h>
#include <time.h>

int main(void)
{
	struct timespec soon = {0, 1000000};
	siginfo_t info;
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	OK(sigprocmask(SIG_BLOCK, &set, NULL));
	for (int i = 0; i < 20; i++) {
		OK(raise(SIGUSR1));
		FILL(sig);
		OK(sigwait(&set, &sig));
		GOT(sig);
		OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}));
		FILL(info);
		OK(sigwaitinfo(&set, &info));
		mix(&info, 48);
		TRY(sigtimedwait(&set, &info, &soon));
	}
	return end();
}
