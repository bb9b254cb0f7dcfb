// SPDX-License-Identifier: MIT
/* Signals to threads: pthread_kill, masks of their own, one thread that waits for them. */
#include "behave.h"
#include <pthread.h>
#include <signal.h>

static volatile int hits[3], ready;
static __thread int self;

static void on(int sig)
{
	hits[self] += sig;
}

static void *work(void *arg)
{
	self = (int)(long)arg;
	__sync_fetch_and_add(&ready, 1);
	while (hits[self] < SIGUSR1 * 10)
		usleep(300);
	return NULL;
}

int main(void)
{
	pthread_t t[2];

	signal(SIGUSR1, on);
	for (long i = 0; i < 2; i++)
		OK(pthread_create(&t[i], NULL, work, (void *)(i + 1)));
	while (ready < 2)
		usleep(100);
	for (int i = 0; i < 10; i++)
		for (int k = 0; k < 2; k++) {
			int before = hits[k + 1];

			OK(pthread_kill(t[k], SIGUSR1));
			while (hits[k + 1] == before)
				sched_yield();
		}
	for (int i = 0; i < 2; i++)
		OK(pthread_join(t[i], NULL));
	mix_number(hits[1] + hits[2]);
	return end();
}
