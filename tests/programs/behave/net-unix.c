// SPDX-License-Identifier: MIT
/* Unix sockets: streams with names, abstract ones, datagrams, packets. */
#include "behave.h"
#include <sys/socket.h>
#include <sys/un.h>

int main(void)
{
	const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
	struct sockaddr_un name, peer;
	struct ucred cred;
	socklen_t len;
	char buf[100];

	for (int i = 0; i < 6; i++) {
		int type = types[i % 3], l = OK(socket(AF_UNIX, type, 0)), c = OK(socket(AF_UNIX, type, 0)), a = l;

		memset(&name, 0, sizeof(name));
		name.sun_family = AF_UNIX;
		snprintf(name.sun_path + (i > 2), 90, "socket-%d-%d", i, getpid());
		len = i > 2 ? 2 + 1 + strlen(name.sun_path + 1) : sizeof(name);
		OK(bind(l, (void *)&name, len));
		if (type != SOCK_DGRAM)
			OK(listen(l, 1));
		OK(connect(c, (void *)&name, len));
		len = sizeof(peer);
		FILL(peer);
		if (type != SOCK_DGRAM)
			a = OK(accept(l, (void *)&peer, &len));
		GOT(peer), GOT(len);
		OK(send(c, "hello there", 11, 0));
		FILL(buf);
		OK(recv(a, buf, 5, 0));
		GOT(buf);
		len = sizeof(peer);
		OK(getsockname(a, (void *)&peer, &len));
		GOT(peer), GOT(len);
		len = sizeof(peer);
		OK(getpeername(c, (void *)&peer, &len));
		GOT(peer), GOT(len);
		len = sizeof(cred);
		FILL(cred);
		TRY(getsockopt(c, SOL_SOCKET, SO_PEERCRED, &cred, &len));
		GOT(cred), GOT(len);
		close(c);
		close(a);
		close(l);
	}
	return end();
}
