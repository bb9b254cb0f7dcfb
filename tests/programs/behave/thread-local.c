// SPDX-License-Identifier: MIT
/* Thread-local variables, keys with destructors, once. */
#include "behave.h"
#include <pthread.h>

static __thread int local = 5;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static long total;

static void make(void)
{
	pthread_key_create(&key, free);
	total++;
}

static void *work(void *arg)
{
	pthread_once(&once, make);
	local += (int)(long)arg;
	pthread_setspecific(key, malloc(100));
	__sync_fetch_and_add(&total, local);
	return &local;
}

int main(void)
{
	pthread_t t[8];
	void *ret;

	for (int round = 0; round < 5; round++) {
		for (long i = 0; i < 8; i++)
			OK(pthread_create(&t[i], NULL, work, (void *)i));
		for (int i = 0; i < 8; i++) {
			OK(pthread_join(t[i], &ret));
			mix_number((long)ret);
		}
	}
	mix_number(total), mix_number(local);
	return end();
}
