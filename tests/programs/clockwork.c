// SPDX-License-Identifier: MIT
/* Asks for the time without a pause, and spends a good part of its life in a handler that has interrupted just that: attaching
 * meets it with a frame on its stack that returns into the vDSO. Runs until it is killed. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>

static volatile uint64_t spent;

static void on_alarm(int sig)
{
	for (int i = 0; i < 4000000; i++)
		spent += (uint64_t)sig;
}

int main(void)
{
	const struct itimerval every = {{0, 20000}, {0, 20000}};
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct timespec ts;
	uint64_t sum = 0;

	sigaction(SIGALRM, &sa, NULL);
	if (setitimer(ITIMER_REAL, &every, NULL))
		return 1;
	for (unsigned n = 0;; n++) {
		clock_gettime(CLOCK_MONOTONIC, &ts);
		sum = sum * 31 + (uint64_t)ts.tv_nsec;
		if (n % 1000000 == 0) {
			printf("ready %llx\n", (unsigned long long)sum);
			fflush(stdout);
		}
	}
}
