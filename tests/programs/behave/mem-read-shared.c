// SPDX-License-Identifier: MIT
/* A file mapped shared but read only, which nobody changes. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	struct stat st;
	int fd = OK(open("/bin/sh", O_RDONLY));

	OK(fstat(fd, &st));
	char *p = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);

	MUST_BE(p != MAP_FAILED);
	mix(p, st.st_size);
	char *q = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4096);
	MUST_BE(q != MAP_FAILED);
	mix(q, 4096);
	return end();
}
