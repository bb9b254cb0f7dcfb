// SPDX-License-Identifier: MIT
/* Reads what it has just written, again and again: the file of a reference changes while it is recorded. */
#include "behave.h"

int main(void)
{
	char buf[300];
	int fd = OK(open("file", O_RDWR | O_CREAT | O_TRUNC, 0600));

	for (int i = 0; i < 200; i++) {
		memset(buf, i, sizeof(buf));
		OK(pwrite(fd, buf, 1 + i, i * 7));
		FILL(buf);
		OK(pread(fd, buf, sizeof(buf), i * 5));
		GOT(buf);
		if (i % 50 == 49)
			OK(ftruncate(fd, 100));
	}
	return end();
}
