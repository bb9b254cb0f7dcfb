// SPDX-License-Identifier: MIT
/* What a handler is told: sigqueue, kill, tgkill, and the stack it runs on. */
#include "behave.h"
#include <signal.h>

static void on(int sig, siginfo_t *info, void *context)
{
	mix_number(sig);
	mix(info, 48);
	mix(context, 100);
	mix_number((long)&info);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on, .sa_flags = SA_SIGINFO};

	for (int sig = SIGRTMIN; sig < SIGRTMIN + 5; sig++) {
		OK(sigaction(sig, &sa, NULL));
		OK(sigqueue(getpid(), sig, (union sigval){.sival_int = sig * 3}));
		OK(kill(getpid(), sig));
		OK(syscall(SYS_tgkill, getpid(), gettid(), sig));
		OK(syscall(SYS_tkill, gettid(), sig));
	}
	return end();
}
