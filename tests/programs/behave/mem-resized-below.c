// SPDX-License-Identifier: MIT
/* not replayable: wrote to, or resized, a file that is mapped */
/* A mapped file shrinks and grows again: what was in the pages that went is gone. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	OK(ftruncate(fd, 8192));
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	MUST_BE(p != MAP_FAILED);
	for (int i = 0; i < 8192; i++)
		p[i] = i;
	OK(ftruncate(fd, 4096));
	OK(ftruncate(fd, 8192));
	mix(p, 8192);
	return end();
}
