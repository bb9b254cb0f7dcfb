// SPDX-License-Identifier: MIT
/* SA_RESETHAND, SA_NODEFER, SIG_IGN, and what sigaction says about them. */
#include "behave.h"
#include <signal.h>

static volatile int depth;

static void on(int sig)
{
	mix_number(++depth);
	if (depth < 5 && sig == SIGUSR1)
		raise(sig);
	depth--;
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on, .sa_flags = SA_NODEFER}, old;

	OK(sigaction(SIGUSR1, &sa, NULL));
	for (int i = 0; i < 10; i++)
		OK(raise(SIGUSR1));
	sa.sa_flags = SA_RESETHAND;
	OK(sigaction(SIGUSR2, &sa, NULL));
	OK(raise(SIGUSR2));
	memset(&old, 0, sizeof(old));
	OK(sigaction(SIGUSR2, NULL, &old));
	mix_number((long)old.sa_handler), mix_number(old.sa_flags);
	OK(signal(SIGUSR2, SIG_IGN) == SIG_ERR);
	OK(raise(SIGUSR2));
	return end();
}
