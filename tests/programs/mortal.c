/* SPDX-License-Identifier: MIT
 * A threaded target that dies, or becomes another program, when it is told to.
 *
 * usage: mortal [THREADS]       each byte on standard input is an order:
 *   e exit with status 7   c null pointer   r run itself anew   l the first thread ends alone, the others go on
 *   E, C, R: the same, done by another thread than the first
 * Its threads make calls all the time. A line `up N` is printed whenever the program starts (N: how often it was run
 * anew), then `tick N` every 20 ms by a thread of its own. SIGTERM ends it with status 0. */
#include <ctype.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int orders[2];
static char runs[16] = "0";

static void on_term(int sig)
{
	(void)sig;
	_exit(0);
}

static void obey(char order)
{
	switch (tolower(order)) {
	case 'e': exit(7);
	case 'c': *(volatile int *)0 = 1; break;
	case 'r':
		execl("/proc/self/exe", "mortal", "3", runs, (char *)NULL);
		printf("WRONG: execve\n");
		exit(9);
	case 'l': pthread_exit(NULL);
	}
}

/* Takes the orders that the first thread does not carry out itself. */
static void *second(void *arg)
{
	char order;

	while (read(orders[0], &order, 1) == 1)
		obey(order);
	return arg;
}

static void *caller(void *arg)
{
	struct timespec pause = {0, 200000};

	for (;;) {
		for (int i = 0; i < 50; i++)
			syscall(SYS_getppid);
		nanosleep(&pause, NULL);
	}
	return arg;
}

static void *ticker(void *arg)
{
	struct timespec pause = {0, 20000000};

	for (unsigned n = 0;; n++) {
		printf("tick %u\n", n);
		nanosleep(&pause, NULL);
	}
	return arg;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 3;
	pthread_t t;
	char order;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGTERM, on_term);
	snprintf(runs, sizeof(runs), "%d", argc > 2 ? atoi(argv[2]) + 1 : 1);
	printf("up %s\n", argc > 2 ? argv[2] : "0");
	if (pipe(orders))
		return 9;
	pthread_create(&t, NULL, second, NULL);
	pthread_create(&t, NULL, ticker, NULL);
	for (int i = 0; i < threads; i++)
		pthread_create(&t, NULL, caller, NULL);
	while (read(STDIN_FILENO, &order, 1) == 1) {
		if (isupper(order) && write(orders[1], &order, 1) == 1)
			continue;
		obey(order);
	}
	for (;;)
		pause();
}
