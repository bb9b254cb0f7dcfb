// SPDX-License-Identifier: MIT
/* Reads and writes where nothing is, and leaves the handler by a jump. */
#include "behave.h"
#include <setjmp.h>
#include <signal.h>

static sigjmp_buf again;

static void jump(int sig, siginfo_t *info, void *context)
{
	(void)context;
	mix_number((long)info->si_addr);
	siglongjmp(again, sig);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = jump, .sa_flags = SA_SIGINFO};
	volatile int i;

	OK(sigaction(SIGSEGV, &sa, NULL));
	OK(sigaction(SIGBUS, &sa, NULL));
	for (i = 0; i < 40; i++)
		if (!sigsetjmp(again, 1)) {
			if (i & 1)
				*(volatile int *)((char *)nowhere() + i) = 5;
			else
				mix_number(*(volatile int *)((char *)nowhere() + i));
		}
	return end();
}
