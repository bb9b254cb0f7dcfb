/* SPDX-License-Identifier: MIT
 * Benchmark target: a process with so many megabytes resident, every page different.
 *
 *   rss MB 4k|thp       prints "ready" when the memory is there, then sleeps */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: rss MB 4k|thp\n");
		return 2;
	}
	size_t len = (size_t)atol(argv[1]) << 20, huge = 2u << 20;
	char *mem = mmap(NULL, len + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED) {
		perror("rss: mmap");
		return 1;
	}
	mem = (char *)(((uintptr_t)mem + huge - 1) & ~(huge - 1));
	if (madvise(mem, len, strcmp(argv[2], "thp") ? MADV_NOHUGEPAGE : MADV_HUGEPAGE))
		perror("rss: madvise");
	for (size_t off = 0; off < len; off += 4096)
		for (size_t i = 0; i < 4096; i += 512)
			*(uint64_t *)(mem + off + i) = (off + i) * 0x9e3779b97f4a7c15u;
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
