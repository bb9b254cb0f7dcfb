// SPDX-License-Identifier: MIT
/* sendmsg, recvmsg, sendmmsg and recvmmsg, with control messages. */
#include "behave.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

int main(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from[4];
	char data[4][300], control[4][200];
	struct iovec iov[4][2];
	struct mmsghdr m[4];
	struct timespec ts = {0, 1000000};
	socklen_t len = sizeof(sin);
	int on = 1, a = OK(socket(AF_INET, SOCK_DGRAM, 0)), b = OK(socket(AF_INET, SOCK_DGRAM, 0));

	OK(bind(a, (void *)&sin, len));
	OK(getsockname(a, (void *)&sin, &len));
	OK(connect(b, (void *)&sin, len));
	OK(setsockopt(a, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)));
	OK(setsockopt(a, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)));
	OK(setsockopt(a, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)));
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 4; i++) {
			iov[i][0] = (struct iovec){data[i], 10 + round};
			iov[i][1] = (struct iovec){data[i] + 100, 150};
			memset(data[i], i + round, sizeof(data[i]));
			m[i].msg_hdr = (struct msghdr){.msg_iov = iov[i], .msg_iovlen = 2};
			FILL(m[i].msg_len);
		}
		OK(sendmmsg(b, m, 4, 0));
		GOT(m);
		OK(sendmsg(b, &m[0].msg_hdr, 0));
		for (int i = 0; i < 4; i++) {
			FILL(data[i]), FILL(control[i]), FILL(from[i]);
			iov[i][1].iov_len = i * 40;
			m[i].msg_hdr = (struct msghdr){.msg_iov = iov[i],
						       .msg_iovlen = 2,
						       .msg_control = control[i],
						       .msg_controllen = i * 60,
						       .msg_name = &from[i],
						       .msg_namelen = 16};
		}
		OK(recvmmsg(a, m, round % 2 + 3, MSG_WAITFORONE, round % 3 ? &ts : NULL));
		GOT(m), GOT(data), GOT(control), GOT(from), GOT(ts);
		m[3].msg_hdr.msg_controllen = 200;
		OK(recvmsg(a, &m[3].msg_hdr, 0));
		GOT(m), GOT(data), GOT(control), GOT(from);
		while (recv(a, data[0], 300, MSG_DONTWAIT) > 0)
			GOT(data[0]);
	}
	return end();
}
