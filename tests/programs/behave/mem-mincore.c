// SPDX-License-Identifier: MIT
/* mincore, msync, mlock and its relatives on anonymous memory. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	unsigned char vec[40];
	char *p = mmap(NULL, 40 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST_BE(p != MAP_FAILED);
	for (int i = 0; i < 40; i += 3)
		p[i * 4096] = i;
	FILL(vec);
	OK(mincore(p, 39 * 4096, vec));
	GOT(vec);
	OK(munmap(p + 20 * 4096, 4096));
	TRY(mincore(p, 39 * 4096, vec));
	GOT(vec);
	OK(msync(p, 4096, MS_SYNC));
	TRY(msync(p, 40 * 4096, MS_ASYNC));
	OK(mlock(p, 8192));
	OK(mlock2(p + 8192, 4096, MLOCK_ONFAULT));
	TRY(mlock(p, 40 * 4096));
	OK(munlock(p, 8192));
	OK(mlockall(MCL_CURRENT | MCL_ONFAULT));
	OK(munlockall());
	return end();
}
