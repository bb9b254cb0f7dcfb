/* SPDX-License-Identifier: MIT
 * A data race that crashes: two threads look whether there is room and then push, without a lock. If both have looked
 * before one of them pushes, the other one writes behind the array, over a pointer that is used later. cflags: -O0 */
#include <pthread.h>
#include <unistd.h>

#define ROOM 4

struct owner {
	long uses;
};
static struct owner someone;
static struct {
	long slots[ROOM];
	struct owner *owner;
	long depth;
} pool = {.owner = &someone};

static void dawdle(void)
{
	for (volatile int i = 0; i < 5000; i++)
		;
}

static void push(long value)
{
	if (pool.depth < ROOM) {
		dawdle();
		pool.slots[pool.depth++] = value; /* guilty: there may be no room any more */
	}
	dawdle();
}

static void pop(void)
{
	if (pool.depth > 0)
		pool.depth--;
	dawdle();
}

static void *work(void *arg)
{
	for (long i = 1;; i++) {
		push((long)arg + i % 8);
		if (i % 3 == 0)
			for (int k = 0; k < 3; k++)
				pop();
	}
	return NULL;
}

int main(void)
{
	pthread_t thread[2];

	for (long i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, work, (void *)(16 + 16 * i));
	for (;;) {
		usleep(2000);
		pool.owner->uses++;
	}
}
