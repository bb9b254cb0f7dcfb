// SPDX-License-Identifier: MIT
/* Threads that race: a queue with a mutex and two conditions, a spin lock, atomics, and counters without any lock.
 * What comes out depends on every single preemption. Runs until it is killed. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define SLOTS     16
#define PRODUCERS 2
#define CONSUMERS 2
#define SPINNERS  2

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static pthread_spinlock_t spin;
static uint64_t queue[SLOTS], spun, consumed;
static unsigned head, tail;
static volatile uint64_t unlocked; /* increments get lost: that is the point */
static atomic_ulong stamps;

static void *produce(void *arg)
{
	uint64_t x = (uintptr_t)arg + 1;

	for (;;) {
		for (unsigned i = (unsigned)(x & 0x3ff); i; i--) {
			unlocked++;
			x = x * 6364136223846793005ull + unlocked;
		}
		pthread_mutex_lock(&lock);
		while (head - tail == SLOTS)
			pthread_cond_wait(&not_full, &lock);
		queue[head++ % SLOTS] = x;
		pthread_cond_signal(&not_empty);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void *consume(void *arg)
{
	uint64_t sum = (uintptr_t)arg;

	for (;;) {
		pthread_mutex_lock(&lock);
		while (head == tail)
			pthread_cond_wait(&not_empty, &lock);
		sum = sum * 31 + queue[tail++ % SLOTS];
		if (++consumed % 20000 == 0) {
			printf("%llu %llx %llu\n", (unsigned long long)consumed, (unsigned long long)sum,
			       (unsigned long long)unlocked);
			fflush(stdout);
		}
		pthread_cond_signal(&not_full);
		pthread_mutex_unlock(&lock);
		free(malloc((size_t)(sum & 0xfff)));
	}
	return NULL;
}

static void *spin_on(void *arg)
{
	uint64_t mine = (uintptr_t)arg;

	for (;;) {
		pthread_spin_lock(&spin);
		for (unsigned i = 0; i < 50; i++)
			spun = spun * 3 + mine;
		pthread_spin_unlock(&spin);
		mine += atomic_fetch_add(&stamps, 1);
	}
	return NULL;
}

int main(void)
{
	void *(*const roles[])(void *) = {produce, produce, consume, consume, spin_on, spin_on};
	pthread_t t;

	_Static_assert(sizeof(roles) / sizeof(roles[0]) == PRODUCERS + CONSUMERS + SPINNERS,
		       "one role for each thread");
	pthread_spin_init(&spin, 0);
	for (uintptr_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (pthread_create(&t, NULL, roles[i], (void *)i))
			return 1;
	puts("ready");
	fflush(stdout);
	pthread_join(t, NULL);
}
