// SPDX-License-Identifier: MIT
/* Connections that are made later, refused ones, accept with nobody there. */
#include "behave.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>

int main(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int n, l = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));

	OK(bind(l, (void *)&sin, len));
	OK(listen(l, 5));
	OK(getsockname(l, (void *)&sin, &len));
	TRY(accept(l, NULL, NULL));
	for (int i = 0; i < 8; i++) {
		int c = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
		struct pollfd pfd = {.fd = c, .events = POLLOUT};

		if (i == 4)
			close(l);
		TRY(connect(c, (void *)&sin, len));
		OK(poll(&pfd, 1, 1000));
		GOT(pfd);
		len = sizeof(n);
		OK(getsockopt(c, SOL_SOCKET, SO_ERROR, &n, &len));
		GOT(n);
		len = sizeof(sin);
		if (i < 4)
			close(OK(accept4(l, NULL, NULL, SOCK_NONBLOCK)));
		close(c);
	}
	return end();
}
