// SPDX-License-Identifier: MIT
/* Protection keys, where the CPU has them. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int key = pkey_alloc(0, 0);

	MUST_BE(p != MAP_FAILED);
	TRY(key);
	if (key >= 0) {
		OK(pkey_mprotect(p, 4096, PROT_READ | PROT_WRITE, key));
		OK(pkey_set(key, PKEY_DISABLE_WRITE));
		mix_number(p[0]);
		OK(pkey_set(key, 0));
		p[0] = 1;
		OK(pkey_free(key));
	} else {
		TRY(pkey_mprotect(p, 4096, PROT_READ, -1));
	}
	mix(p, 8192);
	return end();
}
