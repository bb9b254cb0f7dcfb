// SPDX-License-Identifier: MIT
/* Shared memory mapped twice: mremap of length zero, and a memfd's two views. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *q;

	MUST_BE(p != MAP_FAILED);
	p[5] = 1;
	q = mremap(p, 0, 8192, MREMAP_MAYMOVE);
	MUST_BE(q != MAP_FAILED);
	q[6] = 2;
	mix(p, 8192), mix(q, 8192);
	OK(madvise(p, 4096, MADV_DONTNEED));
	mix(p, 8192);
	OK(madvise(p, 4096, MADV_REMOVE));
	mix(q, 8192);
	return end();
}
