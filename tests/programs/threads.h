/* SPDX-License-Identifier: MIT
 * For test programs that do the same in several threads until SIGTERM. */
#ifndef CT_TEST_THREADS_H
#define CT_TEST_THREADS_H

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

/* Says "ready", then f(0), f(1) ... in as many threads as the first argument says; f returns once `stop` is set. */
static int run_threads(int argc, char **argv, void *(*f)(void *))
{
	int n = argc > 1 ? atoi(argv[1]) : 1;
	pthread_t t[16];

	signal(SIGTERM, on_term);
	puts("ready");
	fflush(stdout);
	for (int i = 1; i < n && i < 16; i++)
		pthread_create(&t[i], NULL, f, (void *)(intptr_t)i);
	f((void *)0);
	for (int i = 1; i < n && i < 16; i++)
		pthread_join(t[i], NULL);
	return 0;
}

#endif
