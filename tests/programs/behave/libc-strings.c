// SPDX-License-Identifier: MIT
/* String functions on all alignments and lengths, whatever instructions they use. */
#include "behave.h"
#include <sys/mman.h>

int main(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *end_ = p + 4096;

	MUST_BE(p != MAP_FAILED);
	OK(mprotect(end_, 4096, PROT_NONE));
	for (int n = 0; n < 600; n += 7)
		for (int a = 0; a < 3; a++) {
			char *s = end_ - n - 1 - a;

			memset(s, 'a' + n % 20, n);
			s[n] = 0;
			mix_number(strlen(s));
			mix_number(strchr(s, 'z') != NULL);
			memmove(p + a, s, n + 1);
			mix_number(strcmp(p + a, s));
			mix_number(memcmp(p, s, n) > 0);
			memcpy(p + 1000, p + a, n);
			mix(p + 1000, n);
			mix_number(strnlen(s, 5) + (strstr(s, "bb") != NULL) + (memchr(s, 'x', n) != NULL));
		}
	return end();
}
