// SPDX-License-Identifier: MIT
/* A thread other than the first replaces the program. */
#include "behave.h"
#include <pthread.h>

static char **args;

static void *work(void *arg)
{
	char *list[] = {args[0], "again", NULL};

	execv("/proc/self/exe", list);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t t;

	args = argv;
	if (argc > 1)
		return end();
	OK(pthread_create(&t, NULL, work, NULL));
	pause();
	return 1;
}
