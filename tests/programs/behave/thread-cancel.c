// SPDX-License-Identifier: MIT
/* Threads cancelled while they wait, and while they compute; clean-up handlers run. */
#include "behave.h"
#include <pthread.h>

static long cleaned;
static volatile long spinning;

static void clean(void *arg)
{
	cleaned = cleaned * 3 + (long)arg;
}

static void *wait_for_ever(void *arg)
{
	char c;

	pthread_cleanup_push(clean, arg);
	if (read(*(int *)arg, &c, 1) < 0)
		pause();
	pthread_cleanup_pop(1);
	return NULL;
}

static void *spin(void *arg)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	pthread_cleanup_push(clean, arg);
	for (;;)
		spinning++;
	pthread_cleanup_pop(1);
}

int main(void)
{
	pthread_t t;
	void *ret;
	int p[2];

	OK(pipe(p));
	for (int i = 0; i < 6; i++) {
		OK(pthread_create(&t, NULL, wait_for_ever, &p[0]));
		if (i & 1)
			usleep(500);
		OK(pthread_cancel(t));
		OK(pthread_join(t, &ret));
		mix_number((long)ret), mix_number(cleaned);
	}
	OK(pthread_create(&t, NULL, spin, (void *)5));
	while (!spinning)
		sched_yield();
	OK(pthread_cancel(t));
	OK(pthread_join(t, &ret));
	mix_number(spinning);
	return end();
}
