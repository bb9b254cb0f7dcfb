// SPDX-License-Identifier: MIT
/* poll and ppoll on pipes, with and without time limits, on closed and bad descriptors. */
#include "behave.h"
#include <poll.h>
#include <signal.h>
#include <time.h>

int main(void)
{
	struct timespec ts;
	struct pollfd pfd[4];
	sigset_t set;
	int p[2], q[2];
	char c;

	OK(pipe(p));
	OK(pipe(q));
	sigfillset(&set);
	for (int i = 0; i < 30; i++) {
		FILL(pfd);
		pfd[0] = (struct pollfd){.fd = p[0], .events = POLLIN};
		pfd[1] = (struct pollfd){.fd = q[1], .events = POLLOUT};
		pfd[2] = (struct pollfd){.fd = -1, .events = POLLIN, .revents = 77};
		pfd[3] = (struct pollfd){.fd = 99, .events = POLLIN};
		if (i & 1)
			OK(write(p[1], "x", 1));
		OK(poll(pfd, i % 5, i % 3));
		GOT(pfd);
		ts = (struct timespec){0, i * 10000};
		OK(ppoll(pfd, 3, &ts, &set));
		GOT(pfd);
		ts = (struct timespec){0, i * 1000};
		OK(syscall(SYS_ppoll, pfd, 1, &ts, NULL, 0));
		GOT(ts);
		if (i & 1)
			OK(read(p[0], &c, 1));
	}
	close(p[1]);
	OK(poll(pfd, 1, -1));
	GOT(pfd);
	TRY(poll(nowhere(), 3, 0));
	return end();
}
