// SPDX-License-Identifier: MIT
/* The first thread ends before the others, one of which ends the process. */
#include "behave.h"
#include <pthread.h>

static void *work(void *arg)
{
	for (int i = 0; i < 20; i++) {
		usleep(100);
		mix_number(i);
	}
	exit(end());
	return arg;
}

int main(void)
{
	pthread_t t;

	OK(pthread_create(&t, NULL, work, NULL));
	pthread_exit(NULL);
}
