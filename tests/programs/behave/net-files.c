// SPDX-License-Identifier: MIT
/* Files over sockets: sendfile and splice into TCP and Unix sockets. */
#include "behave.h"
#include <sys/sendfile.h>
#include <sys/socket.h>

int main(void)
{
	char buf[3000];
	int s[2], p[2], in = OK(open("/bin/sh", O_RDONLY));
	off_t off = 0;

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	OK(pipe(p));
	for (int i = 0; i < 10; i++) {
		OK(sendfile(s[0], in, &off, 1500));
		FILL(buf);
		OK(recv(s[1], buf, sizeof(buf), 0));
		GOT(buf);
		OK(splice(in, NULL, p[1], NULL, 1200, 0));
		OK(splice(p[0], NULL, s[0], NULL, 1200, SPLICE_F_MORE));
		FILL(buf);
		OK(recv(s[1], buf, sizeof(buf), 0));
		GOT(buf);
	}
	mix_number(off);
	return end();
}
