// SPDX-License-Identifier: MIT
/* MADV_FREE: pages that the kernel may take, written again before it does. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	char *p = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST_BE(p != MAP_FAILED);
	for (int i = 0; i < 20; i++) {
		memset(p, i, 64 * 4096);
		OK(madvise(p, 64 * 4096, MADV_FREE));
		memset(p, i + 1, 32 * 4096);
		mix(p, 32 * 4096);
		memset(p + 32 * 4096, 0, 32 * 4096);
		mix(p, 64 * 4096);
	}
	return end();
}
