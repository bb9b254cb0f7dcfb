// SPDX-License-Identifier: MIT
/* The heap is trimmed and grows again between large blocks; realloc moves by mremap. */
#include "behave.h"
#include <malloc.h>

int main(void)
{
	char *big = NULL;

	mallopt(M_TRIM_THRESHOLD, 4096);
	mallopt(M_TOP_PAD, 0);
	for (int i = 1; i < 40; i++) {
		char *small[30];

		for (int k = 0; k < 30; k++) {
			small[k] = malloc(5000);
			memset(small[k], i, 5000);
		}
		big = realloc(big, i * 150000);
		MUST_BE(big);
		big[i * 150000 - 1] = i;
		mix_number((long)big);
		for (int k = 0; k < 30; k++)
			free(small[k]);
		mix_number((long)sbrk(0));
	}
	mix(big, 100000);
	return end();
}
