// SPDX-License-Identifier: MIT
/* MAP_FIXED over what is there, MAP_FIXED_NOREPLACE beside it, hints. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	int fd = OK(open("/bin/sh", O_RDONLY)), flags = MAP_PRIVATE | MAP_ANONYMOUS;
	char *p = mmap(NULL, 10 * 4096, PROT_READ | PROT_WRITE, flags, -1, 0);

	MUST_BE(p != MAP_FAILED);
	for (int i = 0; i < 10; i++) {
		memset(p, i + 1, 10 * 4096);
		MUST_BE(mmap(p + i * 4096, 4096, PROT_READ | PROT_WRITE, flags | MAP_FIXED, -1, 0) == p + i * 4096);
		mix(p, 10 * 4096);
		MUST_BE(mmap(p + (9 - i) * 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 4096) !=
			MAP_FAILED);
		mix(p, 10 * 4096);
		TRY(mmap(p, 4096, PROT_READ, flags | MAP_FIXED_NOREPLACE, -1, 0));
		TRY(mmap((void *)0x200000000, 4096, PROT_READ, flags | MAP_FIXED_NOREPLACE, -1, 0));
		TRY(mmap((void *)0x300001000, 4096, PROT_READ, flags, -1, 0));
	}
	return end();
}
