// SPDX-License-Identifier: MIT
/* Files are mapped shared, changed, unmapped, changed by calls, and mapped again: on disk and on tmpfs. */
#include "behave.h"
#include <sys/mman.h>

static void again(const char *name)
{
	int fd = OK(open(name, O_RDWR | O_CREAT, 0600));

	OK(ftruncate(fd, 4096));
	for (int i = 0; i < 12; i++) {
		char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		MUST_BE(p != MAP_FAILED);
		mix(p, 4096);
		p[i * 50] = i + 1;
		OK(munmap(p, 4096));
		if (i % 3 == 2)
			OK(pwrite(fd, "by a call", 9, 2000 + i));
		if (i % 5 == 4)
			usleep(70000);
	}
	close(fd);
	OK(unlink(name));
}

int main(void)
{
	char name[40];

	again("f");
	snprintf(name, sizeof(name), "/dev/shm/behave-%d", getpid());
	again(name);
	return end();
}
