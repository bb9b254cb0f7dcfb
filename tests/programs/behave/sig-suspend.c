// SPDX-License-Identifier: MIT
/* sigsuspend and pause, woken by a timer. */
#include "behave.h"
#include <signal.h>
#include <sys/time.h>

static volatile int calls;

static void on(int sig)
{
	(void)sig;
	calls++;
}

int main(void)
{
	struct itimerval it = {{0, 3000}, {0, 3000}};
	sigset_t block, none;

	signal(SIGALRM, on);
	sigemptyset(&block);
	sigemptyset(&none);
	sigaddset(&block, SIGALRM);
	OK(sigprocmask(SIG_BLOCK, &block, NULL));
	OK(setitimer(ITIMER_REAL, &it, NULL));
	for (int i = 0; i < 8; i++) {
		TRY(sigsuspend(&none));
		mix_number(calls);
	}
	OK(sigprocmask(SIG_UNBLOCK, &block, NULL));
	for (int i = 0; i < 4; i++)
		TRY(pause());
	mix_number(calls);
	return end();
}
