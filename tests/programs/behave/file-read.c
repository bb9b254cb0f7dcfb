// SPDX-License-Identifier: MIT
/* read: whole, in pieces, at the end of the file, into unaligned places. */
#include "behave.h"

int main(void)
{
	static char buf[70000];
	int fd = OK(open("/bin/sh", O_RDONLY));

	for (int i = 0; i < 20; i++) {
		FILL(buf);
		OK(read(fd, buf + i, 1 + i * 1771));
		GOT(buf);
	}
	OK(lseek(fd, -5, SEEK_END));
	FILL(buf);
	OK(read(fd, buf, sizeof(buf)));
	OK(read(fd, buf, sizeof(buf)));
	TRY(read(fd, nowhere(), 10));
	GOT(buf);
	close(fd);
	TRY(read(fd, buf, 10));
	return end();
}
