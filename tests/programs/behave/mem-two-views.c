// SPDX-License-Identifier: MIT
/* One memfd mapped twice, shared: what is written through one view is read through the other. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	int fd = OK(memfd_create("views", MFD_CLOEXEC));

	OK(ftruncate(fd, 8192));
	char *a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *b = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4096);

	MUST_BE(a != MAP_FAILED && b != MAP_FAILED);
	for (int i = 0; i < 50; i++) {
		a[4096 + i * 3] = i;
		mix(b, 200);
	}
	return end();
}
