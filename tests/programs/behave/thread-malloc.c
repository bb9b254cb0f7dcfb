// SPDX-License-Identifier: MIT
/* Threads allocate and free, also what another has allocated. */
#include "behave.h"
#include <pthread.h>

static void *slot[64];

static void *work(void *arg)
{
	unsigned x = (unsigned)(long)arg;
	long sum = 0;

	for (int i = 0; i < 3000; i++) {
		x = x * 1103515245 + 12345;
		unsigned *p = malloc((x >> 16) % 2000 + 8);

		*p = x;
		sum += (long)p >> 4;
		free(__atomic_exchange_n(&slot[(x >> 8) % 64], p, __ATOMIC_SEQ_CST));
	}
	return (void *)sum;
}

int main(void)
{
	pthread_t t[3];
	void *ret;

	for (long i = 0; i < 3; i++)
		OK(pthread_create(&t[i], NULL, work, (void *)(i + 1)));
	for (int i = 0; i < 3; i++) {
		OK(pthread_join(t[i], &ret));
		mix_number((long)ret);
	}
	for (int i = 0; i < 64; i++)
		if (slot[i])
			mix(slot[i], 4);
	return end();
}
