// SPDX-License-Identifier: MIT
/* getdents and getdents64 themselves, with small buffers. */
#include "behave.h"

int main(void)
{
	char buf[600];
	long n;

	for (int old = 0; old < 2; old++) {
		int fd = OK(open("/usr/lib", O_RDONLY | O_DIRECTORY));

		do {
			FILL(buf);
			n = OK(syscall(old ? SYS_getdents : SYS_getdents64, fd, buf, sizeof(buf)));
			GOT(buf);
		} while (n);
		TRY(syscall(SYS_getdents64, fd, buf, 3));
		close(fd);
	}
	return end();
}
