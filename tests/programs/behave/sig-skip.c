// SPDX-License-Identifier: MIT
/* A handler that changes the registers it returns to. */
#include "behave.h"
#include <signal.h>
#include <ucontext.h>

static void on(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)info;
	mix_number(sig);
	uc->uc_mcontext.gregs[REG_RIP] += 2;
	uc->uc_mcontext.gregs[REG_RAX] = 4711;
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on, .sa_flags = SA_SIGINFO};
	long ax;

	OK(sigaction(SIGILL, &sa, NULL));
	for (int i = 0; i < 50; i++) {
		__asm__ volatile("ud2" : "=a"(ax) : "a"(i));
		mix_number(ax);
	}
	return end();
}
