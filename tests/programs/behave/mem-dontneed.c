// SPDX-License-Identifier: MIT
/* madvise that throws pages away, and advice that only advises. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	int fd = OK(open("/bin/sh", O_RDONLY));
	char *p = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *f = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	MUST_BE(p != MAP_FAILED && f != MAP_FAILED);
	for (int i = 0; i < 30; i++) {
		memset(p, i + 1, 16 * 4096);
		memset(f, i + 1, 8 * 4096);
		OK(madvise(p + i % 16 * 4096, (16 - i % 16) * 2048 / 4096 * 4096, MADV_DONTNEED));
		OK(madvise(f + 4096, 4096, MADV_DONTNEED));
		mix(p, 16 * 4096);
		mix(f, 8 * 4096);
	}
	TRY(madvise(p, 4096, MADV_WILLNEED));
	TRY(madvise(p, 4096, MADV_SEQUENTIAL));
	TRY(madvise(p, 16 * 4096, MADV_HUGEPAGE));
	TRY(madvise(p, 4096, MADV_DONTDUMP));
	TRY(madvise(p, 4096, MADV_COLD));
	TRY(madvise(p, 4096, MADV_PAGEOUT));
	TRY(madvise(p, 4096, 22));
	TRY(madvise(p, 4096, 23));
	TRY(madvise(p, 4096, 9999));
	mix(p, 16 * 4096);
	return end();
}
