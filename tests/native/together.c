/* SPDX-License-Identifier: MIT
 * Threads and a fork that call the same function; with an argument it goes on for a minute. For
 * tests/e2e/519-native-steps.sh, which compiles it. */
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int work(int n, int k)
{
	int sum = 0;
	for (int i = 0; i < n; i++)
		sum += i * k;
	return sum;
}
static void *body(void *arg)
{
	long k = (long)arg, total = 0;
	for (int i = 0; i < 20; i++) {
		total += work(5, (int)k);
		usleep(1000);
	}
	return (void *)total;
}
static int serve(void)
{
	int got = 0;
	for (int round = 0; round < 3000; round++) {
		got += work(3, round);
		usleep(20000);
	}
	return got;
}
int main(int argc, char **argv)
{
	pthread_t t[3];
	int status;
	(void)argv;
	if (argc > 1)
		return serve() & 1;
	for (long i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, body, (void *)(i + 1));
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	if (!fork())
		_exit(work(4, 2));
	wait(&status);
	printf("%d\n", WEXITSTATUS(status));
	return 0;
}
