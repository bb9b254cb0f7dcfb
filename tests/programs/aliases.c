/* SPDX-License-Identifier: MIT
 * One memory seen through several mappings that are there before anyone looks: a memfd, a file that one view may not
 * write. What is written through one view is read through another. Runs until killed. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile unsigned char *view(int fd, size_t len, int prot, off_t offset)
{
	void *p = mmap(NULL, len, prot, MAP_SHARED, fd, offset);

	if (p == MAP_FAILED)
		abort();
	return p;
}

int main(void)
{
	char path[] = "aliases-XXXXXX";
	int mem = memfd_create("views", 0), file = mkstemp(path);
	volatile unsigned char *a, *b, *c, *d;
	unsigned long sum = 0;

	if (mem < 0 || file < 0 || ftruncate(mem, 8192) || ftruncate(file, 12288))
		return 1;
	unlink(path);
	a = view(mem, 8192, PROT_READ | PROT_WRITE, 0);
	b = view(mem, 4096, PROT_READ, 4096);
	c = view(file, 8192, PROT_READ | PROT_WRITE, 0);
	d = view(file, 12288, PROT_READ, 0);
	for (unsigned i = 0;; i++) {
		a[4096 + i % 100] = (unsigned char)i;
		sum = sum * 31 + b[(i + 50) % 100];
		c[i % 5000] = (unsigned char)sum;
		sum = sum * 31 + d[i * 7 % 5000];
		if (access("/", (int)sum & 7) && sum % 16 == 0) /* the sum is passed, and so checked */
			getppid();
		usleep(200);
	}
}
