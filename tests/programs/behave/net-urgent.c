// SPDX-License-Identifier: MIT
/* Urgent data, TCP information, corking, queue lengths. */
#include "behave.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>

int main(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	struct tcp_info info;
	char buf[100];
	int n, on = 1, l = OK(socket(AF_INET, SOCK_STREAM, 0)), c = OK(socket(AF_INET, SOCK_STREAM, 0)), a;

	OK(bind(l, (void *)&sin, len));
	OK(listen(l, 5));
	OK(getsockname(l, (void *)&sin, &len));
	OK(connect(c, (void *)&sin, len));
	a = OK(accept(l, NULL, NULL));
	for (int i = 0; i < 5; i++) {
		OK(setsockopt(c, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)));
		OK(send(c, "before", 6, MSG_MORE));
		OK(send(c, "!", 1, MSG_OOB));
		on = !on;
		OK(setsockopt(c, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)));
		FILL(n);
		OK(ioctl(a, FIONREAD, &n));
		GOT(n);
		OK(ioctl(a, SIOCATMARK, &n));
		GOT(n);
		OK(ioctl(c, SIOCOUTQ, &n));
		GOT(n);
		FILL(buf);
		TRY(recv(a, buf, 1, MSG_OOB | MSG_DONTWAIT));
		GOT(buf);
		OK(recv(a, buf, sizeof(buf), 0));
		GOT(buf);
		FILL(info);
		len = sizeof(info);
		OK(getsockopt(c, IPPROTO_TCP, TCP_INFO, &info, &len));
		GOT(info), GOT(len);
		OK(ioctl(a, FIONBIO, &on));
	}
	return end();
}
