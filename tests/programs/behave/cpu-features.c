// SPDX-License-Identifier: MIT
/* cpuid, extended state, and vector code chosen by them. */
#include "behave.h"
#include <cpuid.h>

__attribute__((target("avx2"))) static int with_avx2(const int *v)
{
	int sum = 0;

	for (int i = 0; i < 256; i++)
		sum += v[i] * 3 + i;
	return sum;
}

int main(void)
{
	unsigned r[4], lo, hi;
	int v[256];

	for (unsigned leaf = 0; leaf < 0x19; leaf++) {
		if (leaf == 1 || leaf == 0xb)
			continue; /* these tell which CPU it is */
		__cpuid_count(leaf, 0, r[0], r[1], r[2], r[3]);
		GOT(r);
	}
	for (int i = 0; i < 256; i++)
		v[i] = i * i;
	if (__builtin_cpu_supports("avx2"))
		mix_number(with_avx2(v));
	if (__builtin_cpu_supports("avx")) {
		__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
		mix_number(lo), mix_number(hi);
	}
	return end();
}
