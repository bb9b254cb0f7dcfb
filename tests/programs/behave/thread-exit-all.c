// SPDX-License-Identifier: MIT
/* exit while threads wait, compute and hold locks. */
#include "behave.h"
#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile long x;

static void *work(void *arg)
{
	switch ((long)arg) {
	case 0: pause(); break;
	case 1: pthread_mutex_lock(&lock); break;
	default:
		for (;;)
			x++;
	}
	return NULL;
}

int main(void)
{
	pthread_t t;

	pthread_mutex_lock(&lock);
	for (long i = 0; i < 3; i++)
		OK(pthread_create(&t, NULL, work, (void *)i));
	usleep(5000);
	return end();
}
