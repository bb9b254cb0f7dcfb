// SPDX-License-Identifier: MIT
/* Reads the clock in a tight loop until some time has gone by. */
#include "behave.h"
#include <time.h>

int main(void)
{
	struct timespec a, b;
	long n = 0;

	OK(clock_gettime(CLOCK_MONOTONIC, &a));
	do {
		clock_gettime(CLOCK_MONOTONIC, &b);
		GOT(b);
		n++;
	} while ((b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec < 20000000);
	mix_number(n);
	return end();
}
