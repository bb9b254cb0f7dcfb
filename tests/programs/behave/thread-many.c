// SPDX-License-Identifier: MIT
/* Many threads, one after the other and at once; detached ones. */
#include "behave.h"
#include <pthread.h>

static volatile int running;

static void *work(void *arg)
{
	__sync_fetch_and_add(&running, (int)(long)arg);
	return arg;
}

int main(void)
{
	pthread_attr_t attr;
	pthread_t t[30];
	void *ret;

	for (long i = 0; i < 30; i++) {
		OK(pthread_create(&t[0], NULL, work, (void *)i));
		OK(pthread_join(t[0], &ret));
		mix_number((long)ret);
	}
	for (long i = 0; i < 30; i++)
		OK(pthread_create(&t[i], NULL, work, (void *)i));
	for (int i = 0; i < 30; i++)
		OK(pthread_join(t[i], &ret));
	mix_number(running);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 200000);
	for (long i = 0; i < 10; i++)
		OK(pthread_create(&t[i], &attr, work, (void *)1000L));
	while (running < 10000 + 870)
		sched_yield();
	mix_number(running);
	return end();
}
