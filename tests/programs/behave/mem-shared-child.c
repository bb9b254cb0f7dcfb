// SPDX-License-Identifier: MIT
/* A file mapped shared by parent and child, which write to it in turn. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0600)), status;

	OK(ftruncate(fd, 4096));
	char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	MUST_BE(p != MAP_FAILED);
	for (int i = 0; i < 5; i++) {
		pid_t pid = OK(fork());

		if (!pid) {
			p[i]++;
			p[100 + i] = i;
			_exit(0);
		}
		OK(waitpid(pid, &status, 0));
		mix(p, 200);
	}
	return end();
}
