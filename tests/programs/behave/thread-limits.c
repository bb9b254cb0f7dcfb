// SPDX-License-Identifier: MIT
/* Timed locks, clocks of threads, names, affinities, stacks. */
#include "behave.h"
#include <pthread.h>
#include <sched.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *work(void *arg)
{
	struct timespec ts, cpu;
	char name[16];
	pthread_attr_t attr;
	void *stack;
	size_t size;
	cpu_set_t set;
	clockid_t clock;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 1000000;
	if (ts.tv_nsec >= 1000000000)
		ts.tv_nsec -= 1000000000, ts.tv_sec++;
	TRY(pthread_mutex_timedlock(&lock, &ts));
	clock_gettime(CLOCK_MONOTONIC, &ts);
	TRY(pthread_mutex_clocklock(&lock, CLOCK_MONOTONIC, &ts));
	OK(pthread_setname_np(pthread_self(), "renamed"));
	OK(pthread_getname_np(pthread_self(), name, sizeof(name)));
	mix_text(name);
	OK(pthread_getattr_np(pthread_self(), &attr));
	OK(pthread_attr_getstack(&attr, &stack, &size));
	mix_number((long)stack + size);
	FILL(set);
	OK(pthread_getaffinity_np(pthread_self(), sizeof(set), &set));
	GOT(set);
	OK(pthread_getcpuclockid(pthread_self(), &clock));
	OK(clock_gettime(clock, &cpu));
	GOT(cpu);
	OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu));
	GOT(cpu);
	return arg;
}

int main(void)
{
	pthread_t t;

	OK(pthread_mutex_lock(&lock));
	OK(pthread_create(&t, NULL, work, NULL));
	OK(pthread_join(t, NULL));
	return end();
}
