// SPDX-License-Identifier: MIT
/* Huge pages, asked for and explicit, where there are any. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	char *p = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST_BE(p != MAP_FAILED);
	TRY(madvise(p, 8 << 20, MADV_HUGEPAGE));
	for (int i = 0; i < 8 << 20; i += 4096)
		p[i] = i >> 12;
	for (int i = 0; i < 8 << 20; i += 4096)
		mix(p + i, 8);
	TRY(madvise(p, 4 << 20, 25)); /* MADV_COLLAPSE */
	OK(madvise(p + 4096, 4096, MADV_DONTNEED));
	mix(p, 16384);
	TRY(mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0) ==
	    MAP_FAILED);
	return end();
}
