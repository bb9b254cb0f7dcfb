// SPDX-License-Identifier: MIT
/* The three interval timers of old. */
#include "behave.h"
#include <signal.h>
#include <sys/time.h>

static volatile int hits[3];

static void on(int sig)
{
	hits[sig == SIGALRM ? 0 : sig == SIGVTALRM ? 1 : 2]++;
}

int main(void)
{
	struct itimerval it = {{0, 5000}, {0, 5000}}, old;
	volatile unsigned long x = 0;

	signal(SIGALRM, on);
	signal(SIGVTALRM, on);
	signal(SIGPROF, on);
	for (int which = 0; which < 3; which++) {
		OK(setitimer(which, &it, NULL));
		while (hits[which] < 3)
			x = x * 31 + hits[which];
		FILL(old);
		OK(getitimer(which, &old));
		GOT(old);
		OK(setitimer(which, &(struct itimerval){0}, &old));
		GOT(old);
	}
	mix_number(x);
	OK(alarm(100));
	OK(alarm(0));
	return end();
}
