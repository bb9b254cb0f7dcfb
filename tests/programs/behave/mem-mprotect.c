// SPDX-License-Identifier: MIT
/* Protections change; what is forbidden ends in a handler that allows it. */
#include "behave.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

static char *page;

static void allow(int sig, siginfo_t *info, void *context)
{
	(void)context;
	mix_number(sig), mix_number((long)info->si_addr), mix_number(info->si_code);
	if (mprotect(page, 4096, PROT_READ | PROT_WRITE))
		_exit(2);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = allow, .sa_flags = SA_SIGINFO};

	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST_BE(page != MAP_FAILED);
	OK(sigaction(SIGSEGV, &sa, NULL));
	for (int i = 0; i < 50; i++) {
		OK(mprotect(page, 4096, i & 1 ? PROT_READ : PROT_NONE));
		((volatile char *)page)[i]++;
		mix(page, 100);
	}
	TRY(mprotect(page + 1, 4096, PROT_READ));
	OK(mprotect(page, 8192, PROT_NONE));
	OK(mprotect(page + 4096, 4096, PROT_READ));
	mix(page + 4096, 10);
	return end();
}
