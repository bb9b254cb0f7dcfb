// SPDX-License-Identifier: MIT
/* MAP_POPULATE, MAP_LOCKED, MAP_STACK, MAP_NORESERVE, MAP_32BIT. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	const int flags[] = {MAP_POPULATE,  MAP_LOCKED, MAP_STACK,
			     MAP_NORESERVE, MAP_32BIT,  MAP_NONBLOCK | MAP_POPULATE};

	for (int i = 0; i < 6; i++) {
		char *p = mmap(NULL, 20000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags[i], -1, 0);

		MUST_BE(p != MAP_FAILED);
		mix_number((long)p);
		p[100] = i;
		mix(p, 20000);
	}
	return end();
}
