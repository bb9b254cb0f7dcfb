// SPDX-License-Identifier: MIT
/* futex operations themselves: wait, wake, requeue, bitsets, wake-op, several at once. */
#include "behave.h"
#include <linux/futex.h>
#include <pthread.h>
#include <time.h>

static int a, b, c = 7;

static long futex(int *addr, int op, int val, void *timeout, int *addr2, int val3)
{
	return syscall(SYS_futex, addr, op, val, timeout, addr2, val3);
}

static void *sleeper(void *arg)
{
	futex(&a, FUTEX_WAIT_BITSET, 0, NULL, NULL, (int)(long)arg);
	return NULL;
}

int main(void)
{
	struct timespec soon = {0, 1000000};
	struct futex_waitv v[2] = {{.uaddr = (uintptr_t)&a, .flags = FUTEX_32},
				   {.uaddr = (uintptr_t)&b, .flags = FUTEX_32}};
	pthread_t t[3];

	TRY(futex(&a, FUTEX_WAIT, 5, NULL, NULL, 0));
	TRY(futex(&a, FUTEX_WAIT_PRIVATE, 0, &soon, NULL, 0));
	for (long i = 0; i < 3; i++)
		OK(pthread_create(&t[i], NULL, sleeper, (void *)(1L << i)));
	usleep(3000);
	OK(futex(&a, FUTEX_WAKE_BITSET, 10, NULL, NULL, 2));
	OK(futex(&a, FUTEX_CMP_REQUEUE, 1, (void *)10, &b, 0));
	TRY(futex(&a, FUTEX_CMP_REQUEUE, 1, (void *)10, &b, 99));
	for (int n = 0; n < 2;) {
		OK(futex(&a, FUTEX_WAKE_OP, 3, (void *)3, &c, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_GT, 0)));
		mix_number(c);
		n += futex(&b, FUTEX_WAKE, 3, NULL, NULL, 0) + 1;
	}
	for (int i = 0; i < 3; i++) {
		futex(&a, FUTEX_WAKE, 9, NULL, NULL, 0);
		futex(&b, FUTEX_WAKE, 9, NULL, NULL, 0);
		OK(pthread_join(t[i], NULL));
	}
	TRY(syscall(449, v, 2, 0, &(struct timespec){0, 1}, CLOCK_MONOTONIC));
	v[0].val = 5;
	TRY(syscall(449, v, 2, 0, NULL, CLOCK_MONOTONIC));
	c = 0;
	TRY(futex(&c, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	mix_number(c);
	TRY(futex(&c, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	TRY(futex(&c, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	mix_number(c);
	return end();
}
