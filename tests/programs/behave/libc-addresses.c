// SPDX-License-Identifier: MIT
/* Addresses: of code, stack, heap, libraries, which are random at each run. */
#include "behave.h"

int main(void)
{
	int local;
	static int data;

	mix_number((long)&local), mix_number((long)&data), mix_number((long)main), mix_number((long)printf);
	for (size_t size = 1; size < 1 << 24; size *= 4) {
		void *p = malloc(size);

		mix_number((long)p);
		if (size > 1 << 18)
			free(p);
	}
	printf("%p %p\n", (void *)&local, (void *)&data);
	return end();
}
