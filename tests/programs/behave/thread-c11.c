// SPDX-License-Identifier: MIT
/* C11 threads. */
#include "behave.h"
#include <threads.h>

static mtx_t lock;
static cnd_t turn;
static int now;
static long sum;

static int work(void *arg)
{
	int self = (int)(long)arg;

	for (int i = 0; i < 50; i++) {
		mtx_lock(&lock);
		while (now % 3 != self)
			cnd_wait(&turn, &lock);
		sum = sum * 7 + self;
		now++;
		cnd_broadcast(&turn);
		mtx_unlock(&lock);
	}
	return self;
}

int main(void)
{
	thrd_t t[3];
	int ret;

	mtx_init(&lock, mtx_plain);
	cnd_init(&turn);
	for (long i = 0; i < 3; i++)
		OK(thrd_create(&t[i], work, (void *)i));
	for (int i = 0; i < 3; i++) {
		OK(thrd_join(t[i], &ret));
		mix_number(ret);
	}
	mix_number(sum);
	return end();
}
