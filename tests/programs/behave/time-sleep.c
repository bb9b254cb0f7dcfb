// SPDX-License-Identifier: MIT
/* nanosleep, clock_nanosleep of both kinds, usleep, select. */
#include "behave.h"
#include <sys/select.h>
#include <time.h>

int main(void)
{
	struct timespec ts = {0, 500000}, left;
	struct timeval tv;

	for (int i = 0; i < 10; i++) {
		FILL(left);
		OK(nanosleep(&ts, &left));
		GOT(left);
		OK(clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &left));
		GOT(left);
		OK(clock_gettime(CLOCK_BOOTTIME, &left));
		left.tv_nsec += 300000;
		TRY(clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &left, NULL));
		OK(usleep(100));
		tv = (struct timeval){0, 200};
		OK(select(0, NULL, NULL, NULL, &tv));
		GOT(tv);
	}
	TRY(nanosleep(&(struct timespec){-1, 0}, NULL));
	return end();
}
