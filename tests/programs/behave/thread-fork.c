// SPDX-License-Identifier: MIT
/* Threads fork, and their children run other programs. */
#include "behave.h"
#include <pthread.h>
#include <signal.h>

static void *work(void *arg)
{
	long sum = 0;
	int status;

	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();

		if (!pid) {
			if (i == 2)
				execl("/bin/true", "true", NULL);
			_exit(i + (int)(long)arg);
		}
		if (waitpid(pid, &status, 0) == pid)
			sum += status;
	}
	return (void *)sum;
}

int main(void)
{
	pthread_t t[2];
	void *ret;

	for (long i = 0; i < 2; i++)
		OK(pthread_create(&t[i], NULL, work, (void *)(i * 10)));
	for (int i = 0; i < 2; i++) {
		OK(pthread_join(t[i], &ret));
		mix_number((long)ret);
	}
	return end();
}
