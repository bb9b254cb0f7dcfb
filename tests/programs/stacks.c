// SPDX-License-Identifier: MIT
/* A thread that computes, most of the time in hot(), and one that waits in a call that a stop makes fail (epoll_wait):
 * it ends with a message if that returns. With an argument: only the one that waits. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static volatile long sum;

static __attribute__((noinline)) void hot(void)
{
	for (int i = 0; i < 2000000; i++)
		sum += i;
}

static __attribute__((noinline)) void cold(void)
{
	for (int i = 0; i < 100000; i++)
		sum += i;
}

static __attribute__((noinline)) void *work(void *arg)
{
	for (;;) {
		hot();
		cold();
	}
	return arg;
}

static __attribute__((noinline)) int inner(int fd)
{
	struct epoll_event e;

	puts("waiting");
	fflush(stdout);
	return epoll_wait(fd, &e, 1, -1) + (int)sum;
}

static __attribute__((noinline)) int outer(int fd)
{
	return inner(fd) + 1;
}

int main(int argc, char **argv)
{
	pthread_t t;
	int ret;

	(void)argv;
	if (argc < 2)
		pthread_create(&t, NULL, work, NULL);
	ret = outer(epoll_create1(0));
	printf("returned %d: %s\n", ret, strerror(errno));
	return 1;
}
