/* SPDX-License-Identifier: MIT
 * A target that runs rdtsc, rdtscp, rdrand, rdseed and cpuid, and prints what they gave, a line per second.
 *
 * usage: insn_rdtsc [COUNT [MILLISECONDS]]: COUNT lines (default: without end), that far apart (default 1000).
 * The lines depend on nothing else, so a replay that prints the same ones had all results right. */
#include <cpuid.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t run_rdtsc(void)
{
	uint32_t lo, hi;
	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

static uint64_t run_rdtscp(uint32_t *aux)
{
	uint32_t lo, hi;
	__asm__ volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(*aux));
	return (uint64_t)hi << 32 | lo;
}

/* Two sites in a row: the probe behind the first is the one at the second. */
static uint64_t run_rdtsc_twice(void)
{
	uint32_t a, b;
	__asm__ volatile("rdtsc\n\tmov %%eax, %0\n\trdtsc\n\trdtsc" : "=&r"(a), "=a"(b) : : "rdx");
	return (uint64_t)a << 32 | b;
}

/* The usual retry loop: its branch goes back to the instruction, so what follows it is not reached only by it. */
static uint64_t run_rdrand(void)
{
	uint64_t v;
	__asm__ volatile("1: rdrand %0\n\tjnc 1b" : "=r"(v) : : "cc");
	return v;
}

static uint16_t run_rdrand16(void)
{
	uint16_t v;
	__asm__ volatile("1: rdrand %0\n\tjnc 1b" : "=r"(v) : : "cc");
	return v;
}

static uint32_t run_rdseed(void)
{
	uint32_t v;
	__asm__ volatile("1: rdseed %0\n\tpause\n\tjnc 1b" : "=r"(v) : : "cc");
	return v;
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? strtol(argv[1], NULL, 10) : -1;
	long ms = argc > 2 ? strtol(argv[2], NULL, 10) : 1000;
	struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
	unsigned a, b, c, d;
	int rdrand = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_RDRND);
	int rdseed = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_RDSEED);
	int rdtscp = __get_cpuid(0x80000001, &a, &b, &c, &d) && (d & (1u << 27));

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (long i = 0; count < 0 || i < count; i++) {
		uint32_t aux = 0;
		printf("%ld rdtsc %llu", i, (unsigned long long)run_rdtsc());
		printf(" twice %llx", (unsigned long long)run_rdtsc_twice());
		if (rdtscp)
			printf(" rdtscp %llu", (unsigned long long)run_rdtscp(&aux));
		if (rdrand)
			printf(" rdrand %016llx %04x", (unsigned long long)run_rdrand(), run_rdrand16());
		if (rdseed)
			printf(" rdseed %08x", run_rdseed());
		__cpuid(0, a, b, c, d);
		printf(" cpuid %u\n", a);
		if (count < 0 || i + 1 < count)
			nanosleep(&pause, NULL);
	}
	return 0;
}
