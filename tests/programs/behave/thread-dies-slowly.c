// SPDX-License-Identifier: MIT
/* Threads that are interrupted while they exit, and get the CPU again when the first one is at work in user code.
 * Freeing what they have mapped takes the kernel long enough. */
#include "behave.h"
#include <pthread.h>
#include <sched.h>

static volatile long work;

static void *briefly(void *arg)
{
	char name[16];

	snprintf(name, sizeof(name), "brief %ld", (long)arg);
	pthread_setname_np(pthread_self(), name);
	sched_yield();
	return arg;
}

int main(void)
{
	for (long i = 0; i < 400; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, briefly, (void *)i))
			return 1;
		if (i % 2) {
			pthread_join(thread, NULL);
		} else {
			pthread_detach(thread);
			sched_yield();
		}
		for (int k = 0; k < 20000; k++)
			work = work * 31 + k;
	}
	mix_number(work);
	return end();
}
