// SPDX-License-Identifier: MIT
/* mmap and munmap: anonymous, of a file, holes cut into the middle, addresses given out again. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	int fd = OK(open("/bin/sh", O_RDONLY));
	char *p, *f;

	for (int i = 1; i < 60; i++) {
		p = mmap(NULL, i * 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		f = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, i % 8 * 4096);
		MUST_BE(p != MAP_FAILED && f != MAP_FAILED);
		mix_number((long)p), mix_number((long)f);
		memset(p, i, i * 8192);
		mix(f, 3 * 4096);
		memset(f + 5000, i, 10);
		OK(munmap(p + 4096, 4096));
		mix(p, 4096);
		if (i & 1)
			OK(munmap(p, i * 8192));
	}
	TRY(munmap((void *)5, 10));
	TRY(mmap(NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED);
	TRY(mmap(NULL, 10, PROT_READ, MAP_PRIVATE, 77, 0) == MAP_FAILED);
	return end();
}
