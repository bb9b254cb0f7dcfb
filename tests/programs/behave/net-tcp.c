// SPDX-License-Identifier: MIT
/* A TCP connection within the process: names, data both ways, half closed. */
#include "behave.h"
#include <arpa/inet.h>
#include <netinet/in.h>

int main(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	char buf[5000];
	int l = OK(socket(AF_INET, SOCK_STREAM, 0)), c = OK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	OK(bind(l, (void *)&sin, len));
	OK(listen(l, 5));
	OK(getsockname(l, (void *)&sin, &len));
	GOT(sin);
	OK(connect(c, (void *)&sin, len));
	FILL(sin);
	int a = OK(accept(l, (void *)&sin, &len));
	GOT(sin), GOT(len);
	len = 5;
	FILL(sin);
	OK(getpeername(a, (void *)&sin, &len));
	GOT(sin), GOT(len);
	for (int i = 0; i < 20; i++) {
		memset(buf, i, sizeof(buf));
		OK(send(c, buf, i * 100 + 1, MSG_NOSIGNAL));
		OK(write(a, buf, 100));
		FILL(buf);
		OK(recv(a, buf, sizeof(buf), i & 1 ? MSG_PEEK : 0));
		GOT(buf);
		OK(read(c, buf, 10));
		OK(recv(c, buf, 90, MSG_WAITALL));
		GOT(buf);
	}
	OK(shutdown(c, SHUT_WR));
	while (OK(recv(a, buf, sizeof(buf), 0)))
		GOT(buf);
	TRY(send(c, "x", 1, MSG_NOSIGNAL));
	TRY(accept4(l, NULL, NULL, -1));
	OK(shutdown(a, SHUT_RDWR));
	return end();
}
