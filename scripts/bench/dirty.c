/* SPDX-License-Identifier: MIT
 * Benchmark target: a process with so many megabytes resident that writes to so many of its pages a second.
 *
 *   dirty MB PAGES-PER-SECOND     prints "ready" when the memory is there; at SIGTERM, in microseconds, how long the
 *                                 median, the slowest, and on average a batch of 10 ms took */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BATCHES 1000000 /* remembered: almost three hours */
#define PERIOD  10000000l

static volatile sig_atomic_t over;

static void on_term(int sig)
{
	(void)sig;
	over = 1;
}

static uint32_t us_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)((now.tv_sec - t->tv_sec) * 1000000 + (now.tv_nsec - t->tv_nsec) / 1000);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static uint32_t took[BATCHES];
	size_t len, n = 0, at = 0;
	uint64_t sum = 0;
	long batch;
	char *mem;

	if (argc != 3) {
		fprintf(stderr, "usage: dirty MB PAGES-PER-SECOND\n");
		return 2;
	}
	len = (size_t)atol(argv[1]) << 20;
	batch = atol(argv[2]) / 100;
	mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED) {
		perror("dirty: mmap");
		return 1;
	}
	for (size_t off = 0; off < len; off += 512)
		*(uint64_t *)(mem + off) = off * 0x9e3779b97f4a7c15u;
	signal(SIGTERM, on_term);
	puts("ready");
	fflush(stdout);
	while (!over) {
		struct timespec t, pause = {0, PERIOD};

		clock_gettime(CLOCK_MONOTONIC, &t);
		for (long i = 0; i < batch; i++) {
			*(volatile uint64_t *)(mem + at) += 1;
			at = (at + 7 * 4096) % len;
		}
		if (batch && n < BATCHES)
			took[n++] = us_since(&t);
		nanosleep(&pause, NULL);
	}
	for (size_t i = 0; i < n; i++)
		sum += took[i];
	qsort(took, n, sizeof(*took), by_size);
	printf("%u %u %.1f\n", n ? took[n / 2] : 0, n ? took[n - 1] : 0, n ? (double)sum / n : 0.0);
	return 0;
}
