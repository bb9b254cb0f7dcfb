/* SPDX-License-Identifier: MIT
 * Threads that do nothing but end, one after another and several at a time, for ever: whenever this process is stopped,
 * the last one on the CPU is likely to be one of them. */
#include <pthread.h>
#include <unistd.h>

static void *end(void *arg)
{
	return arg;
}

int main(void)
{
	pthread_attr_t detached;
	pthread_t t;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	for (;;) {
		for (int i = 0; i < 8; i++)
			pthread_create(&t, &detached, end, NULL);
		usleep(200);
	}
}
