// SPDX-License-Identifier: MIT
/* not replayable: it resized a file that is mapped */
/* A mapped file is truncated by its name: what was in the pages that went is gone. */
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
	OK(truncate("f", 4096));
	OK(truncate("f", 8192));
	mix(p, 8192);
	usleep(100000); /* which file that was is found out by its name */
	return end();
}
