// SPDX-License-Identifier: MIT
/* Handlers and alternate stacks in memory that is mapped anew each time. */
#include "behave.h"
#include <signal.h>
#include <sys/mman.h>

static void on(int sig)
{
	volatile char local[100];

	local[0] = sig;
	mix_number((long)&local);
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on, .sa_flags = SA_ONSTACK};

	OK(sigaction(SIGUSR1, &sa, NULL));
	for (int i = 0; i < 20; i++) {
		char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
		stack_t ss = {.ss_sp = p, .ss_size = 65536};

		MUST_BE(p != MAP_FAILED);
		OK(sigaltstack(&ss, NULL));
		OK(raise(SIGUSR1));
		mix(p + 60000, 5536);
		ss.ss_flags = SS_DISABLE;
		OK(sigaltstack(&ss, NULL));
		OK(munmap(p, 65536));
	}
	return end();
}
