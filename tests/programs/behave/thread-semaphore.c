// SPDX-License-Identifier: MIT
/* Semaphores, named and not. */
#include "behave.h"
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

static sem_t ping, pong;
static long seen;

static void *work(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++) {
		sem_wait(&ping);
		seen = seen * 3 + i;
		sem_post(&pong);
	}
	return NULL;
}

int main(void)
{
	struct timespec ts;
	pthread_t t;
	char name[30];
	sem_t *named;
	int value;

	sem_init(&ping, 0, 0);
	sem_init(&pong, 0, 0);
	OK(pthread_create(&t, NULL, work, NULL));
	for (int i = 0; i < 200; i++) {
		sem_post(&ping);
		sem_wait(&pong);
		mix_number(seen);
	}
	OK(pthread_join(t, NULL));
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec = (ts.tv_nsec + 2000000) % 1000000000;
	TRY(sem_timedwait(&ping, &ts));
	TRY(sem_trywait(&pong));
	snprintf(name, sizeof(name), "/behave-%d", getpid());
	named = sem_open(name, O_CREAT, 0600, 3);
	MUST_BE(named != SEM_FAILED);
	sem_unlink(name);
	OK(sem_wait(named));
	OK(sem_getvalue(named, &value));
	mix_number(value);
	return end();
}
