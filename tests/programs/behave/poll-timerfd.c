// SPDX-License-Identifier: MIT
/* timerfds: relative, absolute, repeating, cancelled. */
#include "behave.h"
#include <poll.h>
#include <sys/timerfd.h>

int main(void)
{
	struct itimerspec its = {{0, 500000}, {0, 500000}}, old;
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)),
	    nb = OK(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	uint64_t n;

	OK(timerfd_settime(fd, 0, &its, NULL));
	for (int i = 0; i < 15; i++) {
		FILL(n), FILL(old);
		OK(poll(&pfd, 1, -1));
		OK(read(fd, &n, 8));
		GOT(n);
		OK(timerfd_gettime(fd, &old));
		GOT(old);
	}
	FILL(old);
	OK(timerfd_settime(fd, 0, &(struct itimerspec){0}, &old));
	GOT(old);
	its = (struct itimerspec){{0, 0}, {1, 0}};
	OK(timerfd_settime(nb, TFD_TIMER_ABSTIME, &its, &old));
	TRY(read(nb, &n, 8));
	GOT(n);
	TRY(read(nb, &n, 8));
	return end();
}
