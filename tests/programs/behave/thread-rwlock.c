// SPDX-License-Identifier: MIT
/* Readers and writers. */
#include "behave.h"
#include <pthread.h>

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static long value;

static void *work(void *arg)
{
	long sum = 0;

	for (int i = 0; i < 500; i++) {
		if ((i + (long)arg) % 5) {
			pthread_rwlock_rdlock(&lock);
			sum += value;
		} else {
			pthread_rwlock_wrlock(&lock);
			value += i;
		}
		if (i % 50 == 0)
			sched_yield();
		pthread_rwlock_unlock(&lock);
	}
	return (void *)sum;
}

int main(void)
{
	pthread_t t[4];
	void *ret;

	for (long i = 0; i < 4; i++)
		OK(pthread_create(&t[i], NULL, work, (void *)i));
	for (int i = 0; i < 4; i++) {
		OK(pthread_join(t[i], &ret));
		mix_number((long)ret);
	}
	TRY(pthread_rwlock_tryrdlock(&lock));
	TRY(pthread_rwlock_trywrlock(&lock));
	return end();
}
