// SPDX-License-Identifier: MIT
/* Threads that start programs with posix_spawn at the same time. */
#include "behave.h"
#include <pthread.h>
#include <spawn.h>

extern char **environ;

static void *work(void *arg)
{
	char code[20], *args[] = {"sh", "-c", code, NULL};
	long sum = 0;
	int status;
	pid_t pid;

	for (int i = 0; i < 3; i++) {
		snprintf(code, sizeof(code), "exit %d", i + (int)(long)arg);
		if (!posix_spawn(&pid, "/bin/sh", NULL, NULL, args, environ) && waitpid(pid, &status, 0) == pid)
			sum = sum * 1000 + WEXITSTATUS(status);
	}
	return (void *)sum;
}

int main(void)
{
	pthread_t t[3];
	void *ret;

	for (long i = 0; i < 3; i++)
		OK(pthread_create(&t[i], NULL, work, (void *)(i * 10)));
	for (int i = 0; i < 3; i++) {
		OK(pthread_join(t[i], &ret));
		mix_number((long)ret);
	}
	return end();
}
