// SPDX-License-Identifier: MIT
/* Threads in a ring pass a token through eventfds and pipes. */
#include "behave.h"
#include <pthread.h>
#include <sys/eventfd.h>

#define N 4
static int fds[N];
static uint64_t sums[N];

static void *work(void *arg)
{
	long self = (long)arg;
	uint64_t v;

	for (int i = 0; i < 100; i++) {
		if (read(fds[self], &v, 8) != 8)
			break;
		sums[self] = sums[self] * 31 + v;
		v = v % 1000 + self + 1;
		if (write(fds[(self + 1) % N], &v, 8) != 8)
			break;
	}
	return NULL;
}

int main(void)
{
	pthread_t t[N];
	uint64_t one = 1;

	for (int i = 0; i < N; i++)
		fds[i] = OK(eventfd(0, 0));
	for (long i = 0; i < N; i++)
		OK(pthread_create(&t[i], NULL, work, (void *)i));
	OK(write(fds[0], &one, 8));
	for (int i = 0; i < N; i++)
		OK(pthread_join(t[i], NULL));
	GOT(sums);
	return end();
}
