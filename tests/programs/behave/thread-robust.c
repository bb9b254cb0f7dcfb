// SPDX-License-Identifier: MIT
/* A robust mutex whose owner dies; the kernel marks its word. */
#include "behave.h"
#include <pthread.h>

static pthread_mutex_t lock;

static void *die(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&lock);
	return NULL;
}

int main(void)
{
	pthread_mutexattr_t a;
	pthread_t t;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&lock, &a);
	for (int i = 0; i < 10; i++) {
		OK(pthread_create(&t, NULL, die, NULL));
		OK(pthread_join(t, NULL));
		mix(&lock, sizeof(int));
		TRY(pthread_mutex_lock(&lock));
		OK(pthread_mutex_consistent(&lock));
		OK(pthread_mutex_unlock(&lock));
	}
	return end();
}
