// SPDX-License-Identifier: MIT
/* Handlers on a stack of their own, nested. */
#include "behave.h"
#include <signal.h>

static char stack[64 << 10];

static void on(int sig)
{
	stack_t ss;

	FILL(ss);
	OK(sigaltstack(NULL, &ss));
	GOT(ss);
	mix_number((char *)&sig >= stack && (char *)&sig < stack + sizeof(stack));
	if (sig == SIGUSR1)
		raise(SIGUSR2);
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on, .sa_flags = SA_ONSTACK};
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};

	OK(sigaction(SIGUSR1, &sa, NULL));
	sa.sa_flags = 0;
	OK(sigaction(SIGUSR2, &sa, NULL));
	for (int i = 0; i < 20; i++) {
		OK(sigaltstack(&ss, NULL));
		raise(SIGUSR1);
		raise(SIGUSR2);
		ss.ss_flags ^= SS_DISABLE;
	}
	return end();
}
