// SPDX-License-Identifier: MIT
/* Threads race for a counter without a lock, and are preempted anywhere. */
#include "behave.h"
#include <pthread.h>

static volatile long counter;

static void *work(void *arg)
{
	for (int i = 0; i < 300000; i++)
		counter += i ^ (long)arg;
	return NULL;
}

int main(void)
{
	pthread_t t[3];

	for (long i = 0; i < 3; i++)
		OK(pthread_create(&t[i], NULL, work, (void *)i));
	for (int i = 0; i < 3; i++)
		OK(pthread_join(t[i], NULL));
	mix_number(counter);
	return end();
}
