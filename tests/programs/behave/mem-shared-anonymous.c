// SPDX-License-Identifier: MIT
/* Shared anonymous memory, written by parent and child in turn. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	volatile int *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int a[2], b[2], status;
	char c = 0;

	MUST_BE((void *)p != MAP_FAILED);
	OK(pipe(a));
	OK(pipe(b));
	pid_t pid = OK(fork());
	if (!pid) {
		for (int i = 0; i < 50; i++) {
			OK(read(a[0], &c, 1));
			p[i] = p[i] * 3 + i;
			OK(write(b[1], &c, 1));
		}
		_exit(0);
	}
	for (int i = 0; i < 50; i++) {
		p[i] = i + 1000;
		OK(write(a[1], &c, 1));
		OK(read(b[0], &c, 1));
		mix_number(p[i]);
	}
	OK(waitpid(pid, &status, 0));
	return end() | status;
}
