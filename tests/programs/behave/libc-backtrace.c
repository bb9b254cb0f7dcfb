// SPDX-License-Identifier: MIT
/* Backtraces and unwinding through frames. */
#include "behave.h"
#include <execinfo.h>

static __attribute__((noinline)) int deeper(int n)
{
	void *at[50];

	if (n) {
		int r = deeper(n - 1) + 1;

		__asm__ volatile("");
		return r;
	}
	int depth = backtrace(at, 50);

	mix(at, depth * sizeof(*at));
	char **names = backtrace_symbols(at, depth);

	MUST_BE(names);
	mix_text(names[0]);
	free(names);
	return depth;
}

int main(void)
{
	for (int i = 0; i < 20; i++)
		mix_number(deeper(i));
	return end();
}
