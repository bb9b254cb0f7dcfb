// SPDX-License-Identifier: MIT
/* The same over IPv6, with names of both kinds. */
#include "behave.h"
#include <arpa/inet.h>
#include <netinet/in.h>

int main(void)
{
	struct sockaddr_in6 sin = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}, peer;
	socklen_t len = sizeof(sin);
	char buf[100], text[INET6_ADDRSTRLEN];
	int l = socket(AF_INET6, SOCK_STREAM, 0), c;

	TRY(l);
	if (l < 0 || bind(l, (void *)&sin, len))
		return end();
	OK(listen(l, 5));
	OK(getsockname(l, (void *)&sin, &len));
	for (int i = 0; i < 5; i++) {
		c = OK(socket(AF_INET6, SOCK_STREAM, 0));
		OK(connect(c, (void *)&sin, sizeof(sin)));
		FILL(peer);
		len = sizeof(peer);
		int a = OK(accept(l, (void *)&peer, &len));
		GOT(peer), GOT(len);
		MUST_BE(inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof(text)));
		mix_text(text);
		OK(write(c, "over six", 8));
		FILL(buf);
		OK(read(a, buf, sizeof(buf)));
		GOT(buf);
		close(a);
		close(c);
	}
	return end();
}
