// SPDX-License-Identifier: MIT
/* Masks: blocked, pending, delivered in order when unblocked. */
#include "behave.h"
#include <signal.h>

static void on(int sig)
{
	mix_number(sig);
}

int main(void)
{
	sigset_t set, old;

	for (int sig = SIGRTMIN; sig < SIGRTMIN + 8; sig++)
		signal(sig, on);
	signal(SIGUSR1, on);
	for (int i = 0; i < 20; i++) {
		sigfillset(&set);
		FILL(old);
		OK(sigprocmask(SIG_BLOCK, &set, &old));
		GOT(old);
		for (int sig = SIGRTMIN + 7; sig >= SIGRTMIN; sig--)
			raise(sig);
		raise(SIGUSR1);
		raise(SIGUSR1);
		FILL(set);
		OK(sigpending(&set));
		GOT(set);
		OK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, &old, 8));
		GOT(old);
		sigemptyset(&old);
		OK(sigprocmask(SIG_SETMASK, &old, NULL));
	}
	return end();
}
