// SPDX-License-Identifier: MIT
/* A thread that reads the time stamp counter all the time, interrupted by others: at any moment of what the recorder's
 * probes do there. The place it was at is mixed into what it prints. */
#include "behave.h"
#include <pthread.h>
#include <x86intrin.h>

static volatile int stop;
static volatile long rounds;

static void *interrupt(void *arg)
{
	long seen = 0;

	while (!stop) {
		usleep(30 + 17 * (useconds_t)(uintptr_t)arg);
		seen = seen * 31 + rounds;
	}
	return (void *)seen;
}

int main(void)
{
	pthread_t threads[2];
	void *seen;

	for (long i = 0; i < 2; i++)
		must(-pthread_create(&threads[i], NULL, interrupt, (void *)i), "pthread_create", __LINE__);
	for (int i = 0; i < 10000; i++) {
		mix_number((long)__rdtsc());
		rounds++;
	}
	stop = 1;
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], &seen);
		mix_number((long)seen);
	}
	return end();
}
