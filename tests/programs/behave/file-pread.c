// SPDX-License-Identifier: MIT
/* pread64 at places all over a file, beyond its end too. */
#include "behave.h"

int main(void)
{
	static char buf[5000];
	int fd = OK(open("/bin/sh", O_RDONLY));

	for (long off = 0; off < 200000; off += 7001) {
		FILL(buf);
		OK(pread(fd, buf, sizeof(buf), off));
		GOT(buf);
	}
	TRY(pread(fd, buf, 10, -1));
	return end();
}
