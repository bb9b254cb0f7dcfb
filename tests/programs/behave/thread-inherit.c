// SPDX-License-Identifier: MIT
/* Mutexes with priority inheritance, recursive ones, checked ones. */
#include "behave.h"
#include <pthread.h>
#include <time.h>

static pthread_mutex_t lock;
static long total;

static void *work(void *arg)
{
	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&lock);
		total = total * 3 + (long)arg;
		if (i % 20 == 0)
			sched_yield();
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

int main(void)
{
	const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK};
	pthread_mutexattr_t a;
	pthread_t t[3];

	for (int k = 0; k < 6; k++) {
		pthread_mutexattr_init(&a);
		pthread_mutexattr_settype(&a, types[k % 3]);
		pthread_mutexattr_setprotocol(&a, k < 3 ? PTHREAD_PRIO_INHERIT : PTHREAD_PRIO_NONE);
		OK(pthread_mutex_init(&lock, &a));
		for (long i = 0; i < 3; i++)
			OK(pthread_create(&t[i], NULL, work, (void *)i));
		for (int i = 0; i < 3; i++)
			OK(pthread_join(t[i], NULL));
		mix_number(total);
		OK(pthread_mutex_trylock(&lock));
		TRY(pthread_mutex_trylock(&lock));
		TRY(pthread_mutex_unlock(&lock));
	}
	return end();
}
