// SPDX-License-Identifier: MIT
/* cachestat, mincore of a file, readahead. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	struct {
		uint64_t off, len;
	} range = {0, 0};
	uint64_t stat[5];
	unsigned char vec[64];
	struct stat st;
	int fd = OK(open("/bin/sh", O_RDONLY));
	void *p;

	OK(fstat(fd, &st));
	FILL(stat);
	TRY(syscall(451, fd, &range, stat, 0));
	GOT(stat);
	p = mmap(NULL, 64 * 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	MUST_BE(p != MAP_FAILED);
	FILL(vec);
	TRY(mincore(p, 30 * 4096 - 5, vec));
	GOT(vec);
	TRY(mincore((char *)p + 1, 4096, vec));
	return end();
}
