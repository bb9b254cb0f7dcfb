// SPDX-License-Identifier: MIT
/* epoll_pwait2 with fine time limits, ioctls of epoll. */
#include "behave.h"
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <time.h>

int main(void)
{
	struct timespec ts = {0, 100000};
	struct epoll_event ev = {EPOLLIN | EPOLLOUT, {.u64 = 5}}, got[2];
	uint32_t params[2] = {0};
	int p[2], ep = OK(epoll_create1(0));

	OK(pipe(p));
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev));
	for (int i = 0; i < 10; i++) {
		FILL(got);
		OK(syscall(441, ep, got, 2, &ts, NULL, 0));
		GOT(got);
		if (i == 5)
			OK(write(p[1], "x", 1));
	}
	FILL(params);
	TRY(ioctl(ep, _IOR(0x8a, 2, uint64_t), params));
	GOT(params);
	return end();
}
