// SPDX-License-Identifier: MIT
/* brk and sbrk, up and down; what was there is zero when it comes back. */
#include "behave.h"

int main(void)
{
	char *start = sbrk(0);

	mix_number((long)start);
	for (int i = 1; i < 60; i++) {
		char *p = sbrk(i * 1000);

		mix_number((long)p);
		mix(p, i * 1000);
		memset(p, i, i * 1000);
		if (i % 4 == 0)
			mix_number((long)sbrk(-i * 1500));
	}
	OK(brk(start + 5));
	TRY(brk((void *)1));
	TRY(syscall(SYS_brk, 0));
	return end();
}
