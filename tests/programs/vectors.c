// SPDX-License-Identifier: MIT
/* Vector code under signals: values that live in zmm and mask registers (ymm where there is no AVX-512) for a long
 * loop, interrupted by handlers that use vector registers, too. Tells if a register was not as it should be. */
#include <immintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

static volatile sig_atomic_t count;
static volatile uint64_t handled;
static sigjmp_buf out;
static volatile sig_atomic_t may_jump;

__attribute__((target("avx512f,avx512bw"))) static uint64_t loop512(uint64_t seed)
{
	__m512i a = _mm512_set1_epi64((long long)seed), b = _mm512_set1_epi32(0x01010101);
	__mmask16 m = (__mmask16)seed;
	uint64_t v[8];

	for (int i = 0; i < 100000; i++) {
		a = _mm512_mask_add_epi32(a, m, a, b);
		b = _mm512_xor_si512(b, _mm512_rol_epi64(a, 7));
		m = _mm512_cmplt_epi32_mask(a, b);
	}
	_mm512_storeu_si512(v, a);
	return v[0] ^ v[3] ^ v[7] ^ m;
}

__attribute__((target("avx2"))) static uint64_t loop256(uint64_t seed)
{
	__m256i a = _mm256_set1_epi64x((long long)seed), b = _mm256_set1_epi32(0x01010101);
	uint64_t v[4];

	for (int i = 0; i < 100000; i++) {
		a = _mm256_add_epi32(a, b);
		b = _mm256_xor_si256(b, _mm256_slli_epi64(a, 7));
	}
	_mm256_storeu_si256((__m256i *)v, a);
	return v[0] ^ v[1] ^ v[3];
}

static uint64_t loop(uint64_t seed)
{
	return __builtin_cpu_supports("avx512bw") ? loop512(seed)
	       : __builtin_cpu_supports("avx2")   ? loop256(seed)
						  : seed + 1;
}

__attribute__((target("avx2"))) static void on_alarm(int sig)
{
	const __m256i x = _mm256_set1_epi64x(count + sig);

	count++;
	handled += (uint64_t)_mm256_extract_epi64(_mm256_add_epi64(x, x), 2);
	if (may_jump && count % 7 == 0)
		siglongjmp(out, 1);
}

int main(void)
{
	const struct itimerval every = {{0, 2100}, {0, 2100}}, prof = {{0, 4300}, {0, 4300}};
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	uint64_t want[8];

	if (!__builtin_cpu_supports("avx2"))
		sa.sa_handler = SIG_IGN;
	for (uint64_t i = 0; i < 8; i++)
		want[i] = loop(i);
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGPROF, &sa, NULL);
	if (setitimer(ITIMER_REAL, &every, NULL) || setitimer(ITIMER_PROF, &prof, NULL))
		return 1;
	for (volatile unsigned n = 0;; n++) {
		if (loop(n % 8) != want[n % 8]) {
			puts("WRONG");
			return 1;
		}
		if (sigsetjmp(out, 1) == 0) {
			may_jump = 1;
			handled ^= loop(handled);
		}
		may_jump = 0;
		if (n % 100 == 0) {
			printf("ready %u %d\n", n, (int)count);
			fflush(stdout);
		}
	}
}
