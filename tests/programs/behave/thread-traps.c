// SPDX-License-Identifier: MIT
/* Threads that execute int3 all the time take the CPU from each other: also before the signal of one is delivered. */
#include "behave.h"
#include <pthread.h>
#include <signal.h>

static __thread unsigned mine;

static void on_trap(int sig)
{
	mine += (unsigned)sig;
}

static void *work(void *arg)
{
	for (int i = 0; i < 3000; i++)
		__asm__ volatile("int3");
	(void)arg;
	return (void *)(uintptr_t)mine;
}

int main(void)
{
	pthread_t t[3];

	signal(SIGTRAP, on_trap);
	for (int i = 0; i < 3; i++)
		OK(pthread_create(&t[i], NULL, work, NULL));
	for (int i = 0; i < 3; i++) {
		void *told;

		OK(pthread_join(t[i], &told));
		mix_number((long)told);
	}
	return end();
}
