// SPDX-License-Identifier: MIT
/* not replayable: it uses memory at 0x10000, where */
#include "behave.h"
/* A program that takes all of the lowest memory for itself gets it, and may write to it. */
#include <sys/mman.h>

int main(void)
{
	volatile unsigned char *p =
		mmap((void *)0x10000, 0x1f0000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	MUST_BE(p == (void *)0x10000);
	for (size_t i = 0; i < 0x1f0000; i += 4096)
		MUST_BE(!p[i]);
	for (size_t i = 0; i < 0x1f0000; i++)
		p[i] = 1;
	getpid();
	for (size_t i = 0; i < 0x1f0000; i++)
		MUST_BE(p[i] == 1);
	return end();
}
