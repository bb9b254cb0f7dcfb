// SPDX-License-Identifier: MIT
/* Socket options: got, set, lengths too small and too large. */
#include "behave.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

int main(void)
{
	char buf[300];
	socklen_t len;
	int n, s = OK(socket(AF_INET, SOCK_STREAM, 0)), u = OK(socket(AF_INET6, SOCK_DGRAM, 0));

	for (int opt = 1; opt < 80; opt++)
		for (int size = 0; size < 24; size += 7) {
			len = size;
			FILL(buf);
			TRY(getsockopt(opt & 1 ? s : u, SOL_SOCKET, opt, buf, &len));
			GOT(buf), GOT(len);
		}
	for (int opt = 1; opt < 40; opt++) {
		len = sizeof(buf);
		FILL(buf);
		TRY(getsockopt(s, IPPROTO_TCP, opt, buf, &len));
		GOT(len);
		mix(buf, len < sizeof(buf) ? len : sizeof(buf));
		len = 4;
		TRY(getsockopt(s, IPPROTO_IP, opt, buf, &len));
		GOT(buf);
		len = 20;
		TRY(getsockopt(u, IPPROTO_IPV6, opt, buf, &len));
		GOT(buf);
	}
	n = 70000;
	OK(setsockopt(s, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n)));
	n = 1;
	OK(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &n, sizeof(n)));
	struct linger l = {1, 2};
	OK(setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(l)));
	TRY(setsockopt(s, SOL_SOCKET, 9999, &l, sizeof(l)));
	return end();
}
