// SPDX-License-Identifier: MIT
/* Signals to a process with threads: the one that does not block them gets them. */
#include "behave.h"
#include <pthread.h>
#include <signal.h>

static volatile int got[3], stop;
static __thread int self;

static void on(int sig)
{
	got[self] += sig > 0;
}

static void *work(void *arg)
{
	sigset_t set;

	self = (int)(long)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	pthread_sigmask(self == 2 ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
	while (!stop)
		usleep(200);
	return NULL;
}

int main(void)
{
	sigset_t set;
	pthread_t t[2];

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	OK(sigprocmask(SIG_BLOCK, &set, NULL));
	signal(SIGRTMIN, on);
	for (long i = 0; i < 2; i++)
		OK(pthread_create(&t[i], NULL, work, (void *)(i + 1)));
	for (int i = 0; i < 20; i++)
		OK(kill(getpid(), SIGRTMIN));
	while (got[2] < 20)
		usleep(100);
	stop = 1;
	for (int i = 0; i < 2; i++)
		OK(pthread_join(t[i], NULL));
	mix_number(got[0] * 100 + got[1] * 10 + got[2]);
	return end();
}
