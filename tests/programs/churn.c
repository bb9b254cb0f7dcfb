// SPDX-License-Identifier: MIT
/* Mappings that come, change and go: anonymous ones of all sizes, moved, protected, given back in parts, and shared
 * objects loaded and unloaded. Runs until it is killed. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define PIECES 24
#define PAGE   4096ul

struct piece {
	unsigned char *at;
	size_t pages;
};

static uint64_t seed = 88172645463325252ull;

static uint64_t next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static int change(struct piece *p)
{
	size_t pages = 1 + next() % 40;

	if (!p->at) {
		p->at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		p->pages = pages;
		if (p->at == MAP_FAILED)
			return -1;
		memset(p->at, (int)(next() & 0xff), pages * PAGE / 2);
		return 0;
	}
	switch (next() % 5) {
	case 0:
		if (munmap(p->at, p->pages * PAGE))
			return -1;
		p->at = NULL;
		return 0;
	case 1:
		p->at = mremap(p->at, p->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE);
		p->pages = pages;
		return p->at == MAP_FAILED ? -1 : 0;
	case 2: return madvise(p->at, p->pages * PAGE / 2 & ~(PAGE - 1), MADV_DONTNEED);
	case 3:
		if (mprotect(p->at, PAGE, PROT_READ) || mprotect(p->at, PAGE, PROT_READ | PROT_WRITE))
			return -1;
		p->at[next() % PAGE] ^= 0x55;
		return 0;
	default:
		for (size_t i = 0; i < p->pages; i++)
			p->at[i * PAGE + next() % PAGE] += (unsigned char)next();
		return 0;
	}
}

int main(void)
{
	static const char *const objects[] = {"libz.so.1", "liblzma.so.5", "libbz2.so.1.0", "libresolv.so.2",
					      "libutil.so.1"};
	struct piece pieces[PIECES] = {0};

	for (unsigned n = 0;; n++) {
		void *lib = dlopen(objects[n % 5], n & 8 ? RTLD_NOW : RTLD_LAZY);

		for (int i = 0; i < 50; i++)
			if (change(&pieces[next() % PIECES]))
				return 1;
		if (lib && dlclose(lib))
			return 2;
		if (n % 100 == 10) {
			printf("ready %u %llx\n", n, (unsigned long long)seed);
			fflush(stdout);
		}
	}
}
