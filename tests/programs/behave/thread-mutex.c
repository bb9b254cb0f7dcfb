// SPDX-License-Identifier: MIT
/* Threads add under a mutex. */
#include "behave.h"
#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long total;

static void *add(void *arg)
{
	for (int i = 0; i < 3000; i++) {
		pthread_mutex_lock(&lock);
		total = total * 3 + (long)arg;
		pthread_mutex_unlock(&lock);
	}
	return (void *)total;
}

int main(void)
{
	pthread_t t[4];
	void *ret;

	for (long i = 0; i < 4; i++)
		OK(pthread_create(&t[i], NULL, add, (void *)i));
	for (int i = 0; i < 4; i++) {
		OK(pthread_join(t[i], &ret));
		mix_number((long)ret);
	}
	mix_number(total);
	return end();
}
