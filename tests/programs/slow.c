// SPDX-License-Identifier: MIT
/* A server of a kind: two threads call handle_request() all the time, which is quick, and slow once a line has come on
 * standard input. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static unsigned long sum;

__attribute__((noinline)) static unsigned long handle_request(unsigned long n, int slow)
{
	unsigned long h = n;

	for (int i = 0; i < 100; i++)
		h = h * 6364136223846793005u + 1442695040888963407u;
	if (slow)
		nanosleep(&(struct timespec){.tv_nsec = 150000000}, NULL);
	if (h & 1)
		return h ^ (unsigned long)getppid();
	return h;
}

static void *serve(void *arg)
{
	for (unsigned long n = 0;; n++) {
		__atomic_fetch_add(&sum, handle_request(n, 0), __ATOMIC_RELAXED);
		if (n % 50 == 0)
			usleep(2000);
	}
	return arg;
}

int main(void)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	pthread_t thread;
	char line[64];

	pthread_create(&thread, NULL, serve, NULL);
	for (unsigned long n = 0;; n++) {
		int slow = poll(&in, 1, 10) > 0;

		if (slow && read(STDIN_FILENO, line, sizeof(line)) <= 0)
			return 0;
		sum += handle_request(n, slow);
		printf("turn %lu %lu%s\n", n, sum & 15, slow ? " slow" : "");
		fflush(stdout);
	}
}
