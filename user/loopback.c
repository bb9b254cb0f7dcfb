// SPDX-License-Identifier: MIT
/* Who is at the other end of a connection on 127.0.0.1: /proc/net/tcp names the user of every socket. So a protocol
 * that knows no password is as private as a socket in a directory of one's own. */
#include "loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd.h"

#define ESTABLISHED 1 /* in the column st; a socket that is being closed is shown as root's */

int ct_loopback_listen(unsigned port, int backlog, unsigned *got, struct ct_error *err)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, backlog) ||
	    getsockname(fd, (struct sockaddr *)&a, &len)) {
		ct_fail_errno(err, CT_EXIT_FAILED, "127.0.0.1:%u cannot be listened on", port);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*got = ntohs(a.sin_port);
	return fd;
}

/* The user of the socket with this address and port, which is connected to that one. */
static bool owner(const struct sockaddr_in *of, const struct sockaddr_in *to, unsigned long *uid)
{
	/* Addresses are as in memory, ports are numbers; an IPv6 socket may have it by a mapped address. */
	static const struct {
		const char *path, *format;
	} tables[] = {
		{"/proc/self/net/tcp", " %*u: %8x:%x %8x:%x %x %*x:%*x %*x:%*x %*x %lu"},
		{"/proc/self/net/tcp6",
		 " %*u: 0000000000000000FFFF0000%8x:%x 0000000000000000FFFF0000%8x:%x %x %*x:%*x %*x:%*x %*x %lu"},
	};
	bool found = false;

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables) && !found; i++) {
		FILE *f = fopen(tables[i].path, "re");
		char line[512];

		while (f && !found && fgets(line, sizeof(line), f)) {
			unsigned a, a_port, b, b_port, state;

			found = sscanf(line, tables[i].format, &a, &a_port, &b, &b_port, &state, uid) == 6 &&
				state == ESTABLISHED && a == of->sin_addr.s_addr && b == to->sin_addr.s_addr &&
				a_port == ntohs(of->sin_port) && b_port == ntohs(to->sin_port);
		}
		if (f)
			fclose(f);
	}
	return found;
}

static bool may_connect(unsigned long uid)
{
	const char *sudo = geteuid() ? NULL : getenv("SUDO_UID");
	unsigned long long by;

	return !uid || uid == geteuid() || (sudo && !ct_parse_u64(sudo, 0, UINT32_MAX, &by) && by == uid);
}

int ct_loopback_accept(int listener)
{
	const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
	struct sockaddr_in own, other;
	socklen_t len = sizeof(own), other_len = sizeof(other);
	unsigned long uid;

	if (fd < 0)
		return -1;
	if (getsockname(fd, (struct sockaddr *)&own, &len) || getpeername(fd, (struct sockaddr *)&other, &other_len) ||
	    !owner(&other, &own, &uid) || !may_connect(uid)) {
		close(fd);
		errno = EACCES;
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}
