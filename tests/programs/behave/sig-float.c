// SPDX-License-Identifier: MIT
/* Handlers use floating point and vector registers; so does what they interrupt. */
#include "behave.h"
// cflags: -lm
#include <math.h>
#include <signal.h>
#include <sys/time.h>

static volatile double seen;

static void on(int sig)
{
	seen = sqrt(seen + sig) * 1.25;
}

int main(void)
{
	struct itimerval it = {{0, 7000}, {0, 7000}}, off = {0};
	double sum = 0, v[64];

	signal(SIGALRM, on);
	OK(setitimer(ITIMER_REAL, &it, NULL));
	for (int i = 0; i < 60000; i++) {
		for (int k = 0; k < 64; k++)
			v[k] = i * 0.5 + k;
		for (int k = 0; k < 64; k++)
			sum += v[k] * v[63 - k];
	}
	OK(setitimer(ITIMER_REAL, &off, NULL));
	GOT(sum);
	double s = seen;
	GOT(s);
	return end();
}
