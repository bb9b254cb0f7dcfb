// SPDX-License-Identifier: MIT
/* Mappings of /dev/zero, private ones. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	int fd = OK(open("/dev/zero", O_RDWR));

	for (int i = 1; i < 10; i++) {
		char *p = mmap(NULL, i * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

		MUST_BE(p != MAP_FAILED);
		p[i] = i;
		mix(p, i * 4096);
	}
	return end();
}
