// SPDX-License-Identifier: MIT
/* Writes code and runs it, changes it and runs it again. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	unsigned char code[] = {0xb8, 0, 0, 0, 0, 0xc3}; /* mov $n,%eax; ret */
	unsigned char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST_BE(p != MAP_FAILED);
	for (int i = 0; i < 100; i++) {
		memcpy(code + 1, &i, 4);
		memcpy(p + i * 10, code, sizeof(code));
		mix_number(((int (*)(void))(p + i * 10))());
		if (i % 10 == 0) {
			OK(mprotect(p, 4096, PROT_READ | PROT_EXEC));
			mix_number(((int (*)(void))p)());
			OK(mprotect(p, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
		}
	}
	return end();
}
