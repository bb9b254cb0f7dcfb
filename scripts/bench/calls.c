/* SPDX-License-Identifier: MIT
 * Benchmark target: calls a function over and over and says what a call costs.
 *
 *   calls   for every line on stdin ("KIND MS RATE"): calls that long, RATE times a second (0: as fast as possible),
 *           prints "KIND cpu_ns calls": thread CPU time per call; with a RATE that of the waiting in between, too
 *
 * KIND: native (a plain function), sdk (one that tells of itself by ctbpf.h); loop (a turn of an empty loop), probe
 * (one with a probe of ctbpf.h), which are for what a probe costs when nobody records. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../../ctbpf.h"

enum { BATCH = 64 }; /* calls between two looks at the clock */

#ifdef __clang__ /* does not clone, and does not know the word */
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

static volatile int sink;

NOINLINE void bench_native(int n)
{
	sink = n;
	__asm__ volatile("push %%rbx; pop %%rbx" ::: "rbx"); /* so that it has a frame, as nearly all functions do */
}

NOINLINE static void bench_sdk(int n)
{
	CTBPF_FUNCTION();
	sink = n;
}

enum { TURNS = 4096 };
static void loop(int n)
{
	for (int i = 0; i < TURNS; i++) {
		sink = n;
		__asm__ volatile("" ::: "memory");
	}
}
static void probes(int n)
{
	static const struct ctbpf_function f = {"probe", __FILE__, "c", 1};

	for (int i = 0; i < TURNS; i++) {
		sink = n;
		ctbpf_line(&f, 1, (uint32_t)i);
		__asm__ volatile("" ::: "memory");
	}
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int main(void)
{
	unsigned ms, rate;
	char kind[16];

	while (scanf("%15s %u %u", kind, &ms, &rate) == 3) {
		void (*const call)(int) = !strcmp(kind, "sdk")     ? bench_sdk
					  : !strcmp(kind, "loop")  ? loop
					  : !strcmp(kind, "probe") ? probes
								   : bench_native;
		const uint64_t turns = call == loop || call == probes ? TURNS : 1;
		uint64_t calls = 0, begin = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_THREAD_CPUTIME_ID), now = begin;

		while (now - begin < ms * UINT64_C(1000000)) {
			if (!rate || calls * UINT64_C(1000000000) <= (now - begin) * rate) {
				for (int i = 0; i < BATCH; i++)
					call(i);
				calls += BATCH * turns;
			}
			now = now_ns(CLOCK_MONOTONIC);
		}
		cpu = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
		printf("%s %.3f %llu\n", kind, (double)cpu / (double)(calls ? calls : 1), (unsigned long long)calls);
		fflush(stdout);
	}
	return 0;
}
