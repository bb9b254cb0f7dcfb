// SPDX-License-Identifier: MIT
/* not replayable: wrote to, or resized, a file that is mapped */
/* A file mapped shared is written through its descriptor: the mapping shows it. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	OK(ftruncate(fd, 8192));
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *q = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0);

	MUST_BE(p != MAP_FAILED && q != MAP_FAILED);
	for (int i = 0; i < 20; i++) {
		OK(pwrite(fd, "from below", 10, 5000 + i));
		mix(p, 8192), mix(q, 8192);
	}
	return end();
}
