// SPDX-License-Identifier: MIT
/* A thread dies holding robust mutexes: who waits for one takes the CPU from it before its thread id is cleared. */
#include "behave.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>

#define MUTEXES 300

static pthread_mutex_t mutex[MUTEXES];
static volatile int word, locked;

static void *work(void *arg)
{
	for (int i = 0; i < MUTEXES; i++)
		pthread_mutex_lock(&mutex[i]);
	word = 1;
	syscall(SYS_set_tid_address, &word);
	locked = 1;
	while (!(*(volatile int *)&((pthread_mutex_t *)arg)->__data.__lock & (int)FUTEX_WAITERS))
		usleep(100);
	return arg;
}

int main(void)
{
	const struct sched_param first = {.sched_priority = 50};
	pthread_mutexattr_t robust;
	pthread_attr_t detached;

	mix_number(sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first));
	pthread_mutexattr_init(&robust);
	pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	for (int round = 0; round < 30; round++) {
		pthread_mutex_t *wanted = &mutex[round * 7 % MUTEXES];
		long waits = 0;
		pthread_t t;

		for (int i = 0; i < MUTEXES; i++)
			pthread_mutex_init(&mutex[i], &robust);
		locked = 0;
		OK(pthread_create(&t, &detached, work, wanted));
		while (!locked)
			usleep(100);
		mix_number(pthread_mutex_lock(wanted));
		mix_number(word);
		while (word) {
			waits++;
			usleep(50);
		}
		mix_number(waits);
	}
	return end();
}
