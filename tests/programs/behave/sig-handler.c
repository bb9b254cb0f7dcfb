// SPDX-License-Identifier: MIT
/* A handler is called, often, by signals to itself. */
#include "behave.h"
#include <signal.h>

static volatile int calls;

static void on(int sig)
{
	calls += sig;
}

int main(void)
{
	OK(signal(SIGUSR1, on) == SIG_ERR);
	for (int i = 0; i < 500; i++) {
		OK(raise(SIGUSR1));
		mix_number(calls);
		OK(kill(getpid(), SIGUSR1));
		mix_number(calls);
	}
	return end();
}
