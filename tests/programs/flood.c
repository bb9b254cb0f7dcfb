/* SPDX-License-Identifier: MIT
 * A target whose recording grows fast and does not compress: random bytes by small calls, which nothing interrupts.
 *
 * usage: flood [PAUSE_NS]       between two calls; until SIGTERM, which ends it with status 0. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

int main(int argc, char **argv)
{
	struct timespec pause = {0, argc > 1 ? atol(argv[1]) : 0};
	struct sigaction sa = {.sa_handler = on_term, .sa_flags = SA_RESTART};
	unsigned char buf[256];
	long n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &sa, NULL);
	for (n = 0; !stop; n++) {
		if (getrandom(buf, sizeof(buf), 0) != sizeof(buf)) {
			printf("WRONG: getrandom\n");
			return 1;
		}
		if (pause.tv_nsec)
			nanosleep(&pause, NULL);
		if (n % 1000 == 0)
			printf("calls %ld\n", n);
	}
	printf("end %ld\n", n);
	return 0;
}
