// SPDX-License-Identifier: MIT
/* mseal: mappings that can no longer be changed. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST_BE(p != MAP_FAILED);
	p[5] = 1;
	TRY(syscall(462, p, 4096, 0));
	TRY(munmap(p, 4096));
	TRY(mprotect(p, 8192, PROT_READ));
	TRY(mremap(p, 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED);
	TRY(madvise(p, 4096, MADV_DONTNEED));
	return end();
}
