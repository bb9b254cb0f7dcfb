// SPDX-License-Identifier: MIT
/* Limits of resources and their use. */
#include "behave.h"
#include <sys/resource.h>

int main(void)
{
	struct rlimit r;
	struct rusage u;

	for (int i = 0; i < 17; i++) {
		FILL(r);
		TRY(getrlimit(i, &r));
		GOT(r);
		TRY(syscall(SYS_getrlimit, i, &r));
		GOT(r);
	}
	r = (struct rlimit){100, 200};
	OK(prlimit(0, RLIMIT_NOFILE, &r, &r));
	GOT(r);
	OK(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}));
	for (int who = -1; who < 2; who++) {
		FILL(u);
		OK(getrusage(who, &u));
		GOT(u);
	}
	return end();
}
