// SPDX-License-Identifier: MIT
/* The heap: many sizes, changed, freed in another order, given back. */
#include "behave.h"
#include <malloc.h>

int main(void)
{
	static char *p[500];
	unsigned x = 1;

	for (int i = 0; i < 20000; i++) {
		unsigned k = (x = x * 1103515245 + 12345) >> 16;
		char **slot = &p[k % 500];

		if (k & 1024) {
			free(*slot);
			*slot = NULL;
		} else {
			size_t size = k % 7 ? k % 300 + 1 : k * 8 % 300000 + 1;

			*slot = realloc(*slot, size);
			MUST_BE(*slot);
			(*slot)[size - 1] = i;
			mix_number((long)*slot);
		}
	}
	malloc_trim(0);
	for (int i = 0; i < 500; i++)
		free(p[i]);
	void *a = memalign(65536, 100000);

	mix_number((long)a);
	free(a);
	mix_number(mallinfo2().arena);
	return end();
}
