// SPDX-License-Identifier: MIT
/* A private mapping of a file that is written at the same time through its descriptor. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	char buf[4096];
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	memset(buf, 'a', sizeof(buf));
	for (int i = 0; i < 4; i++)
		OK(write(fd, buf, sizeof(buf)));
	char *p = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	MUST_BE(p != MAP_FAILED);
	p[4096] = 'b';
	mix(p, 4 * 4096);
	close(fd);
	OK(unlink("f"));
	mix(p, 4 * 4096);
	OK(msync(p, 4 * 4096, MS_ASYNC));
	OK(madvise(p, 8192, MADV_DONTNEED));
	mix(p, 4 * 4096);
	return end();
}
