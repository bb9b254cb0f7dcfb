// SPDX-License-Identifier: MIT
/* Asks the kernel for interfaces and addresses over netlink. */
#include "behave.h"
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

int main(void)
{
	static char buf[32768];
	struct {
		struct nlmsghdr h;
		struct rtgenmsg g;
	} ask = {{.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtgenmsg)), .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}, {0}};
	const int what[] = {RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH};
	int s = OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
	struct sockaddr_nl nl = {.nl_family = AF_NETLINK};
	socklen_t len = sizeof(nl);

	OK(bind(s, (void *)&nl, len));
	OK(getsockname(s, (void *)&nl, &len));
	GOT(nl);
	for (int i = 0; i < 4; i++) {
		int done = 0;

		ask.h.nlmsg_type = what[i];
		ask.h.nlmsg_seq = i;
		OK(send(s, &ask, ask.h.nlmsg_len, 0));
		while (!done) {
			struct iovec iov = {buf, sizeof(buf)};
			struct msghdr m = {
				.msg_name = &nl, .msg_namelen = sizeof(nl), .msg_iov = &iov, .msg_iovlen = 1};

			FILL(nl);
			int n = OK(recvmsg(s, &m, 0));
			mix(buf, n);
			GOT(nl);
			for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, (unsigned)n); h = NLMSG_NEXT(h, n))
				done |= h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR;
		}
	}
	return end();
}
