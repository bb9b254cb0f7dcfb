// SPDX-License-Identifier: MIT
/* Touches a mapping beyond its file's end: SIGBUS. */
#include "behave.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

static sigjmp_buf again;

static void jump(int sig, siginfo_t *info, void *context)
{
	(void)context;
	mix_number((long)info->si_addr), mix_number(info->si_code);
	siglongjmp(again, sig);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = jump, .sa_flags = SA_SIGINFO};
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
	volatile int i;

	OK(write(fd, "0123456789", 10));
	OK(sigaction(SIGBUS, &sa, NULL));
	volatile char *p = mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	MUST_BE((void *)p != MAP_FAILED);
	for (i = 0; i < 10; i++)
		if (!sigsetjmp(again, 1))
			mix_number(p[i * 2000]);
	return end();
}
