// SPDX-License-Identifier: MIT
/* MADV_WIPEONFORK and MADV_DONTFORK: what a child has of its parent's memory. */
#include "behave.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

static sigjmp_buf again;

static void jump(int sig)
{
	mix_number(sig);
	siglongjmp(again, 1);
}

int main(void)
{
	char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status;

	signal(SIGSEGV, jump);

	MUST_BE(p != MAP_FAILED);
	memset(p, 'x', 3 * 4096);
	OK(madvise(p, 4096, MADV_WIPEONFORK));
	OK(madvise(p + 8192, 4096, MADV_DONTFORK));
	pid_t pid = OK(fork());
	if (!pid) {
		mix(p, 8192);
		TRY(madvise(p + 8192, 4096, MADV_DONTNEED));
		if (!sigsetjmp(again, 1))
			mix(p + 8192, 1);
		_exit(end());
	}
	OK(waitpid(pid, &status, 0));
	mix(p, 3 * 4096);
	return end() | status;
}
