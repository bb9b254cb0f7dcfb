// SPDX-License-Identifier: MIT
/* Guard pages: MADV_GUARD_INSTALL, touched and removed. */
#include "behave.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

static sigjmp_buf again;

static void jump(int sig)
{
	siglongjmp(again, sig);
}

int main(void)
{
	char *p = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile int i;

	MUST_BE(p != MAP_FAILED);
	signal(SIGSEGV, jump);
	memset(p, 3, 4 * 4096);
	TRY(madvise(p + 4096, 4096, 102));
	for (i = 0; i < 4; i++)
		if (!sigsetjmp(again, 1)) {
			mix(p + i * 4096, 1);
			mix_number(i);
		}
	TRY(madvise(p, 4 * 4096, 103));
	mix(p, 4 * 4096);
	return end();
}
