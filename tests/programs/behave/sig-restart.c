// SPDX-License-Identifier: MIT
/* Calls interrupted by a timer: restarted, or failing with EINTR. */
#include "behave.h"
#include <poll.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

static volatile int calls;
static int p[2];

static void on(int sig)
{
	if (++calls % 4 == 0)
		mix_number(write(p[1], &sig, 1));
}

int main(void)
{
	struct itimerval it = {{0, 4000}, {0, 4000}};
	struct sigaction sa = {.sa_handler = on, .sa_flags = SA_RESTART};
	struct timespec nap = {0, 9000000}, left;
	char c;

	OK(pipe(p));
	OK(sigaction(SIGALRM, &sa, NULL));
	OK(setitimer(ITIMER_REAL, &it, NULL));
	for (int i = 0; i < 4; i++)
		OK(read(p[0], &c, 1));
	sa.sa_flags = 0;
	OK(sigaction(SIGALRM, &sa, NULL));
	for (int i = 0; i < 4; i++) {
		struct pollfd pfd = {.fd = p[0], .events = POLLIN};

		FILL(left);
		TRY(nanosleep(&nap, &left));
		GOT(left);
		TRY(poll(&pfd, 1, 10));
		GOT(pfd);
		TRY(read(p[0], &c, 1));
	}
	mix_number(calls);
	return end();
}
