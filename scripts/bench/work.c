/* SPDX-License-Identifier: MIT
 * Benchmark target for replay: uses the CPU for SECS seconds.
 *
 *   work compute SECS   arithmetic and memory, one system call a millisecond
 *   work signals SECS   the same, interrupted by a timer's signal every millisecond
 *   work memory SECS    allocates, fills and gives back memory: madvise, mprotect, mmap and munmap
 *   work rounds N       N thousand rounds of `compute`; prints the CPU seconds they took */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t alarms;
static uint64_t table[4096];

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

static __attribute__((noinline)) void compute(uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t h = (i ^ table[i % 4096]) * 1099511628211ull;

		table[(h >> 20) % 4096] += h;
		if (h & 64)
			table[i % 4096] ^= h;
	}
}

static void memory(void)
{
	const size_t size = 64 << 10;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	for (int k = 0; k < 16; k++) {
		memset(p, k, 16 << 10);
		if (madvise(p, size, MADV_DONTNEED))
			abort();
	}
	if (mprotect(p, size, PROT_READ) || munmap(p, size))
		abort();
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval every = {{0, 1000}, {0, 1000}};
	struct timespec now, end;

	if (argc != 3) {
		fprintf(stderr, "usage: work compute|signals|memory SECS, work rounds N\n");
		return 2;
	}
	if (!strcmp(argv[1], "rounds")) {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
		compute(strtoull(argv[2], NULL, 10) * 1000);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
		printf("%.6f\n", (double)(end.tv_sec - now.tv_sec) + (double)(end.tv_nsec - now.tv_nsec) / 1e9);
		return 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += atoi(argv[2]);
	sigaction(SIGALRM, &sa, NULL);
	if (!strcmp(argv[1], "signals"))
		setitimer(ITIMER_REAL, &every, NULL);
	do {
		if (!strcmp(argv[1], "memory"))
			memory();
		else
			compute(200000);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
	return 0;
}
