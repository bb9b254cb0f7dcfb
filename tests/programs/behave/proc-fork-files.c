// SPDX-License-Identifier: MIT
/* A file offset shared by parent and child, which read from it in turn. */
#include "behave.h"

int main(void)
{
	int p[2], q[2], status, fd = OK(open("/bin/sh", O_RDONLY));
	char buf[500], c = 0;

	OK(pipe(p));
	OK(pipe(q));
	pid_t pid = OK(fork());
	for (int i = 0; i < 30; i++) {
		OK(pid ? read(q[0], &c, !!i) : read(p[0], &c, 1));
		FILL(buf);
		OK(read(fd, buf, sizeof(buf)));
		GOT(buf);
		OK(write(pid ? p[1] : q[1], &c, 1));
	}
	if (!pid)
		_exit(end());
	OK(waitpid(pid, &status, 0));
	return end() | status;
}
