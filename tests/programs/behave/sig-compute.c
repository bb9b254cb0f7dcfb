// SPDX-License-Identifier: MIT
/* Timers interrupt a computation at any place. */
#include "behave.h"
#include <signal.h>
#include <sys/time.h>

static volatile unsigned long x = 1, at;

static void on(int sig)
{
	(void)sig;
	at = at * 31 + x;
}

int main(void)
{
	struct itimerval it = {{0, 5000}, {0, 5000}}, off = {0};

	signal(SIGALRM, on);
	OK(setitimer(ITIMER_REAL, &it, NULL));
	for (int i = 0; i < 20000000; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	OK(setitimer(ITIMER_REAL, &off, NULL));
	mix_number(at);
	return end();
}
