// SPDX-License-Identifier: MIT
/* epoll: level and edge triggered, once only, changed, removed, nested. */
#include "behave.h"
#include <sys/epoll.h>

int main(void)
{
	struct epoll_event ev, got[8];
	int p[2], q[2], ep = OK(epoll_create1(EPOLL_CLOEXEC)), outer = OK(epoll_create(5));
	char c;

	OK(pipe(p));
	OK(pipe(q));
	ev = (struct epoll_event){EPOLLIN, {.u64 = 0x123456789abcdef}};
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev));
	ev = (struct epoll_event){EPOLLIN | EPOLLET, {.fd = q[0]}};
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, q[0], &ev));
	ev = (struct epoll_event){EPOLLIN, {.fd = ep}};
	OK(epoll_ctl(outer, EPOLL_CTL_ADD, ep, &ev));
	for (int i = 0; i < 30; i++) {
		OK(write(i % 3 ? p[1] : q[1], "x", 1));
		FILL(got);
		OK(epoll_wait(ep, got, 1 + i % 8, i % 2));
		GOT(got);
		OK(epoll_pwait(outer, got, 8, 0, NULL));
		GOT(got);
		if (i % 3)
			OK(read(p[0], &c, 1));
		ev = (struct epoll_event){EPOLLIN | (i % 5 ? 0 : EPOLLONESHOT), {.u32 = i}};
		OK(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev));
	}
	OK(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
	TRY(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
	TRY(epoll_wait(ep, got, 0, 0));
	return end();
}
