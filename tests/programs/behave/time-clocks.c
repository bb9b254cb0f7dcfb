// SPDX-License-Identifier: MIT
/* All the clocks, their resolutions, gettimeofday, time, ftime's heirs. */
#include "behave.h"
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>

int main(void)
{
	struct timezone tz;
	struct timespec ts;
	struct timeval tv;
	struct timex tx;

	for (int i = 0; i < 20; i++) {
		for (int clock = -1; clock < 12; clock++) {
			FILL(ts);
			TRY(clock_gettime(clock, &ts));
			GOT(ts);
			TRY(clock_getres(clock, &ts));
			GOT(ts);
		}
		OK(gettimeofday(&tv, NULL));
		GOT(tv);
		mix_number(time(NULL));
		mix_number(clock());
	}
	FILL(tz);
	OK(syscall(SYS_gettimeofday, &tv, &tz));
	GOT(tv), GOT(tz);
	memset(&tx, 0, sizeof(tx));
	OK(adjtimex(&tx));
	GOT(tx);
	OK(clock_adjtime(CLOCK_REALTIME, &tx));
	GOT(tx);
	OK(timespec_get(&ts, TIME_UTC));
	GOT(ts);
	return end();
}
