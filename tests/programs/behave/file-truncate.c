// SPDX-License-Identifier: MIT
/* truncate and ftruncate, and what is read from files so changed. */
#include "behave.h"

int main(void)
{
	char buf[10000];
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	OK(write(fd, "hello", 5));
	for (int i = 0; i < 30; i++) {
		OK(i & 1 ? ftruncate(fd, i * 300) : truncate("f", 9000 - i * 290));
		FILL(buf);
		OK(pread(fd, buf, sizeof(buf), 0));
		GOT(buf);
		OK(pwrite(fd, "xyz", 3, i * 100));
	}
	TRY(truncate("none", 5));
	TRY(ftruncate(fd, -1));
	return end();
}
