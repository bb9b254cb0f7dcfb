// SPDX-License-Identifier: MIT
/* Waits of all kinds that a signal ends. */
#include "behave.h"
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>
#include <time.h>

static volatile int calls;

static void on(int sig)
{
	calls += sig;
}

int main(void)
{
	struct itimerval it = {{0, 3000}, {0, 3000}};
	struct sigaction sa = {.sa_handler = on, .sa_flags = SA_RESTART};
	int p[2], ep = OK(epoll_create1(0));
	struct epoll_event ev[2];
	struct timespec ts;
	struct timeval tv;
	fd_set in;

	OK(pipe(p));
	struct pollfd pfd[2] = {{.fd = p[0], .events = POLLIN}, {.fd = p[0], .events = POLLPRI}};

	OK(sigaction(SIGALRM, &sa, NULL));
	OK(setitimer(ITIMER_REAL, &it, NULL));
	for (int i = 0; i < 3; i++) {
		pfd[0].revents = pfd[1].revents = 0x5a;
		TRY(poll(pfd, 2, 1000));
		GOT(pfd);
		ts = (struct timespec){1, 0};
		TRY(syscall(SYS_ppoll, pfd, 2, &ts, NULL, 0));
		GOT(pfd), GOT(ts);
		FD_ZERO(&in);
		FD_SET(p[0], &in);
		tv = (struct timeval){1, 0};
		TRY(select(p[0] + 1, &in, NULL, NULL, &tv));
		GOT(in), GOT(tv);
		TRY(epoll_wait(ep, ev, 2, 1000));
		ts = (struct timespec){1, 0};
		TRY(clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts));
		GOT(ts);
	}
	mix_number(calls);
	return end();
}
