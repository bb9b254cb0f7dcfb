// SPDX-License-Identifier: MIT
/* A queue between threads with condition variables, with and without a time limit. */
#include "behave.h"
#include <pthread.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER, room = PTHREAD_COND_INITIALIZER;
static int queue[4], in, out, closed;
static uint64_t sums[2];

static void *consume(void *arg)
{
	for (;;) {
		struct timespec ts;

		pthread_mutex_lock(&lock);
		while (in == out && !closed) {
			clock_gettime(CLOCK_REALTIME, &ts);
			ts.tv_sec++;
			pthread_cond_timedwait(&more, &lock, &ts);
		}
		if (in == out) {
			pthread_mutex_unlock(&lock);
			return NULL;
		}
		sums[(long)arg] = sums[(long)arg] * 31 + queue[out++ % 4];
		pthread_cond_signal(&room);
		pthread_mutex_unlock(&lock);
	}
}

int main(void)
{
	pthread_t t[2];

	for (long i = 0; i < 2; i++)
		OK(pthread_create(&t[i], NULL, consume, (void *)i));
	for (int i = 0; i < 500; i++) {
		pthread_mutex_lock(&lock);
		while (in - out == 4)
			pthread_cond_wait(&room, &lock);
		queue[in++ % 4] = i;
		pthread_cond_signal(&more);
		pthread_mutex_unlock(&lock);
	}
	pthread_mutex_lock(&lock);
	closed = 1;
	pthread_cond_broadcast(&more);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < 2; i++)
		OK(pthread_join(t[i], NULL));
	GOT(sums);
	return end();
}
