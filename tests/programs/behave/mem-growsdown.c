// SPDX-License-Identifier: MIT
/* A mapping that grows down when it is touched below, and a stack that gets deep. */
#include "behave.h"
#include <sys/mman.h>

static int deep(int n)
{
	volatile char frame[1000];

	frame[n % 1000] = n;
	return n ? deep(n - 1) + frame[n % 1000] : 0;
}

int main(void)
{
	char *p = mmap(NULL, 600 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q;

	MUST_BE(p != MAP_FAILED);
	OK(munmap(p, 600 * 4096));
	q = mmap(p + 590 * 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED,
		 -1, 0);
	MUST_BE(q == p + 590 * 4096);
	for (int i = 0; i < 40; i++)
		q[-i * 4000] = i;
	mix(q - 39 * 4000, 39 * 4000);
	mix_number(deep(2000));
	return end();
}
