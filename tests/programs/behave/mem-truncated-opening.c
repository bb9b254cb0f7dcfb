// SPDX-License-Identifier: MIT
/* not replayable: wrote to, or resized, a file that is mapped */
/* A file that is mapped, and that nobody can write to, is emptied by opening it. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	char page[4096];
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600));

	memset(page, 'x', sizeof(page));
	OK(write(fd, page, sizeof(page)));
	OK(close(fd));
	fd = OK(open("f", O_RDONLY));
	char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	MUST_BE(p != MAP_FAILED);
	mix(p, 4096);
	OK(close(fd));
	fd = OK(open("f", O_WRONLY | O_TRUNC));
	OK(write(fd, "other", 5));
	mix(p, 4096);
	return end();
}
