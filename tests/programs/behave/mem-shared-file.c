// SPDX-License-Identifier: MIT
/* A shared mapping of a file of its own. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	char buf[100];
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	OK(ftruncate(fd, 8192));
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	MUST_BE(p != MAP_FAILED);
	for (int i = 0; i < 20; i++) {
		p[i * 10] = i;
		OK(msync(p, 8192, MS_SYNC));
		FILL(buf);
		OK(pread(fd, buf, sizeof(buf), i * 10));
		GOT(buf);
		mix(p, 8192);
	}
	return end();
}
