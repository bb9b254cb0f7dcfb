// SPDX-License-Identifier: MIT
/* Threads send each other signals while they compute. */
#include "behave.h"
#include <pthread.h>
#include <signal.h>

static pthread_t t[2];
static volatile int hits, ready;
static volatile long x[2];

static void on(int sig)
{
	hits += sig > 0;
}

static void *work(void *arg)
{
	long self = (long)arg;

	__sync_fetch_and_add(&ready, 1);
	while (ready < 2)
		sched_yield();
	for (int i = 0; i < 100; i++) {
		for (int k = 0; k < 3000; k++)
			x[self] = x[self] * 31 + k;
		pthread_kill(t[!self], SIGUSR1);
	}
	__sync_fetch_and_add(&ready, 1);
	while (ready < 4)
		sched_yield();
	return NULL;
}

int main(void)
{
	sigset_t set;

	signal(SIGUSR1, on);
	sigfillset(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (long i = 0; i < 2; i++) {
		pthread_sigmask(SIG_BLOCK, &set, NULL);
		OK(pthread_create(&t[i], NULL, work, (void *)i));
	}
	for (int i = 0; i < 2; i++)
		OK(pthread_join(t[i], NULL));
	mix_number(x[0]), mix_number(x[1]);
	return end();
}
