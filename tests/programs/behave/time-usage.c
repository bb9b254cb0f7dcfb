// SPDX-License-Identifier: MIT
/* times, getrusage, clock, CPU clocks of processes. */
#include "behave.h"
#include <sys/resource.h>
#include <sys/times.h>
#include <time.h>

int main(void)
{
	struct timespec ts;
	struct rusage ru;
	struct tms t;
	clockid_t clock;
	volatile long x = 0;

	OK(clock_getcpuclockid(0, &clock));
	for (int i = 0; i < 30; i++) {
		for (int k = 0; k < 20000; k++)
			x += k;
		FILL(t);
		mix_number(times(&t));
		GOT(t);
		FILL(ru);
		OK(getrusage(i & 1 ? RUSAGE_SELF : RUSAGE_THREAD, &ru));
		GOT(ru);
		OK(clock_gettime(clock, &ts));
		GOT(ts);
		mix_number(times(NULL));
	}
	mix_number(x);
	return end();
}
