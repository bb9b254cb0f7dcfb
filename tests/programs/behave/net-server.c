// SPDX-License-Identifier: MIT
/* A server with epoll and several children that talk to it. */
#include "behave.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>

int main(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	struct epoll_event ev = {EPOLLIN, {.fd = 0}}, got[8];
	int l = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)), ep = OK(epoll_create1(0)), closed = 0;
	char buf[100];

	OK(bind(l, (void *)&sin, len));
	OK(listen(l, 8));
	OK(getsockname(l, (void *)&sin, &len));
	for (int i = 0; i < 3; i++) {
		pid_t pid = OK(fork());

		if (!pid) {
			int c = socket(AF_INET, SOCK_STREAM, 0);

			if (connect(c, (void *)&sin, len))
				_exit(1);
			for (int k = 0; k < 5; k++) {
				dprintf(c, "client %d line %d\n", i, k);
				if (read(c, buf, sizeof(buf)) <= 0)
					_exit(2);
			}
			_exit(0);
		}
	}
	ev.data.fd = l;
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, l, &ev));
	while (closed < 3) {
		int n = OK(epoll_wait(ep, got, 8, -1));

		for (int i = 0; i < n; i++) {
			int fd = got[i].data.fd;

			if (fd == l) {
				ev.data.fd = OK(accept(l, NULL, NULL));
				OK(epoll_ctl(ep, EPOLL_CTL_ADD, ev.data.fd, &ev));
				continue;
			}
			FILL(buf);
			long size = OK(read(fd, buf, sizeof(buf)));
			GOT(buf);
			if (size > 0)
				OK(write(fd, buf, size));
			else
				closed += !close(fd);
		}
	}
	while (wait(NULL) > 0)
		;
	return end();
}
