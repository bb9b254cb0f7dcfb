// SPDX-License-Identifier: MIT
/* Has 2 GB of address space that its children do not get, as V8 has, of which it uses some pages: a recorder that reads
 * all of it stops this program for seconds. Computes in them for ever. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define AREA  (1ul << 30)
#define EVERY (AREA / 16)

static volatile unsigned long *area(int advice)
{
	char *p = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED || madvise(p, AREA, advice)) {
		perror("sparse");
		exit(1);
	}
	return (volatile unsigned long *)p;
}

int main(void)
{
	volatile unsigned long *hidden = area(MADV_DONTFORK), *wiped = area(MADV_WIPEONFORK);
	unsigned long n = 1;

	puts("ready");
	fflush(stdout);
	for (unsigned long i = 0;; i = (i + EVERY) % AREA) {
		hidden[i / sizeof(*hidden)] += n;
		wiped[i / sizeof(*wiped)] ^= n;
		n = n * 6364136223846793005ul + 1;
		if (n % 4096 == 0 && puts("on"))
			fflush(stdout);
	}
}
