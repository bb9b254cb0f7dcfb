/* SPDX-License-Identifier: MIT
 * A target that dies of a SIGSEGV some calls deep, with a second thread waiting and floating-point numbers in
 * registers.
 *
 * usage: crasher [MILLISECONDS]    before it does (0), or at SIGUSR1 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct node {
	int value;
	struct node *next;
};

static volatile int ready;
static volatile double scale = 2.5;

static void wake(int sig)
{
	(void)sig;
}

static void *idle(void *arg)
{
	const int *go_on = arg;

	ready = 1;
	while (*go_on)
		usleep(1000);
	return NULL;
}

__attribute__((noinline)) static double deep(const struct node *list, int depth, double product)
{
	char text[32];

	snprintf(text, sizeof(text), "depth %d", depth);
	if (!list)
		return *(volatile int *)(long)(16 + depth) + product + text[0];
	return deep(list->next, depth + 1, product * scale) + list->value;
}

int main(int argc, char **argv)
{
	struct node *list = NULL;
	int go_on = 1;
	pthread_t t;

	signal(SIGUSR1, wake);
	if (pthread_create(&t, NULL, idle, &go_on))
		return 2;
	while (!ready)
		usleep(100);
	usleep(argc > 1 ? (unsigned)atoi(argv[1]) * 1000 : 0);
	for (int i = 0; i < 3; i++) {
		struct node *n = malloc(sizeof(*n));

		if (!n)
			return 2;
		n->value = i;
		n->next = list;
		list = n;
	}
	return deep(list, 0, 1.5) > 0;
}
