// SPDX-License-Identifier: MIT
/* mremap: grown, shrunk, moved, to a fixed place, without unmapping. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q, *room;

	MUST_BE(p != MAP_FAILED);
	strcpy(p, "kept all the way");
	for (int i = 2; i < 40; i++) {
		p = mremap(p, (i - 1) * 4096, i * 4096, MREMAP_MAYMOVE);
		MUST_BE(p != MAP_FAILED);
		mix_number((long)p);
		p[i * 4096 - 1] = i;
		mix(p, i * 4096);
	}
	TRY(mremap(p, 39 * 4096, 300 * 4096, 0) == MAP_FAILED);
	p = mremap(p, 39 * 4096, 4096, 0);
	room = mmap(NULL, 8 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	q = mremap(p, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, room + 4096);
	MUST_BE(q == room + 4096);
	mix(q, 4096);
	p = (char *)syscall(SYS_mremap, q, 4096, 4096, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	MUST_BE(p != MAP_FAILED);
	mix(q, 4096);
	mix(p, 4096);
	q[0] = 7;
	mix(p, 4096);
	return end();
}
