// SPDX-License-Identifier: MIT
/* Descriptors and credentials passed over a Unix socket. */
#include "behave.h"
#include <sys/socket.h>
#include <sys/un.h>

int main(void)
{
	union {
		struct cmsghdr h;
		char room[200];
	} control;
	char data[20];
	struct iovec iov = {data, sizeof(data)};
	struct msghdr m;
	int s[2], on = 1, status;

	OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
	OK(setsockopt(s[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	pid_t pid = OK(fork());
	if (!pid) {
		for (int i = 1; i < 8; i++) {
			int fds[8];

			for (int k = 0; k < i; k++)
				fds[k] = k % 3;
			m = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
			m.msg_controllen = CMSG_SPACE(i * sizeof(int));
			memset(&control, 0, sizeof(control));
			control.h = (struct cmsghdr){CMSG_LEN(i * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
			memcpy(CMSG_DATA(&control.h), fds, i * sizeof(int));
			iov.iov_len = i;
			memset(data, i, sizeof(data));
			if (sendmsg(s[1], &m, 0) != i)
				_exit(1);
		}
		_exit(0);
	}
	for (int i = 1; i < 8; i++) {
		FILL(control), FILL(data);
		m = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
		m.msg_controllen = i == 7 ? 40 : sizeof(control);
		OK(recvmsg(s[0], &m, MSG_CMSG_CLOEXEC));
		GOT(control), GOT(data), GOT(m.msg_flags), GOT(m.msg_controllen);
	}
	OK(waitpid(pid, &status, 0));
	return end() | status;
}
