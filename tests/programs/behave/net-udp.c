// SPDX-License-Identifier: MIT
/* Datagrams: sendto and recvfrom, cut off, peeked at, to nobody. */
#include "behave.h"
#include <arpa/inet.h>
#include <netinet/in.h>

int main(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
	socklen_t len = sizeof(sin);
	char buf[2000];
	int a = OK(socket(AF_INET, SOCK_DGRAM, 0)), b = OK(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));

	OK(bind(a, (void *)&sin, len));
	OK(getsockname(a, (void *)&sin, &len));
	for (int i = 0; i < 20; i++) {
		memset(buf, i, sizeof(buf));
		OK(sendto(b, buf, i * 50, 0, (void *)&sin, sizeof(sin)));
		FILL(buf), FILL(from);
		len = i * 2;
		OK(recvfrom(a, buf, 500, MSG_TRUNC | (i & 1 ? MSG_PEEK : 0), (void *)&from, &len));
		GOT(buf), GOT(from), GOT(len);
		if (i & 1)
			OK(recv(a, buf, sizeof(buf), 0));
		TRY(recv(b, buf, sizeof(buf), 0));
	}
	OK(connect(b, (void *)&sin, sizeof(sin)));
	close(a);
	TRY(send(b, "x", 1, 0));
	TRY(send(b, "x", 1, 0));
	return end();
}
