// SPDX-License-Identifier: MIT
/* Faults of computing: division, bad instructions, traps, single steps of the handler's return. */
#include "behave.h"
#include <setjmp.h>
#include <signal.h>

static sigjmp_buf again;

static void on(int sig, siginfo_t *info, void *context)
{
	(void)context;
	mix_number(sig), mix_number(info->si_code);
	siglongjmp(again, 1);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on, .sa_flags = SA_SIGINFO};
	volatile int zero = 0, i;

	OK(sigaction(SIGFPE, &sa, NULL));
	OK(sigaction(SIGILL, &sa, NULL));
	OK(sigaction(SIGTRAP, &sa, NULL));
	OK(sigaction(SIGSEGV, &sa, NULL));
	for (i = 0; i < 30; i++)
		if (!sigsetjmp(again, 1))
			switch (i % 4) {
			case 0: mix_number(5 / zero); break;
			case 1: __asm__ volatile("ud2"); break;
			case 2: __asm__ volatile("hlt"); break;
			case 3:
				__asm__ volatile("int3");
				mix_number(i);
				break;
			}
	return end();
}
