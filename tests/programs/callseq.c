/* SPDX-License-Identifier: MIT
 * Calls functions in a sequence that is known, round after round, for comparing with what probes saw of it.
 *
 * usage: callseq THREADS   each thread: seq_round(thread, n) { ... } for n = 0, 1 ..., with the calls below; until
 * SIGTERM. */
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "threads.h"

#ifdef __clang__ /* does not clone, and does not know the word */
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

static _Thread_local jmp_buf back;
static volatile int sink;

/* A leaf without a stack frame: nothing in it is cheap to probe. */
NOINLINE long seq_leaf(long a, long b)
{
	return a * 3 + b;
}
NOINLINE long seq_six(long a, long b, long c, long d, long e, long f)
{
	char text[64];

	snprintf(text, sizeof(text), "%ld %ld", a + b + c, d + e + f);
	return a - f + (text[0] == 0);
}
NOINLINE long seq_recursive(long depth)
{
	return depth ? seq_recursive(depth - 1) + sink + 1 : 0;
}
NOINLINE void seq_jumps(long n)
{
	sink++;
	longjmp(back, (int)n);
}
NOINLINE long seq_jumped_over(long n)
{
	seq_jumps(n + 1);
	return sink;
}
/* Ends in a jump to the other. */
NOINLINE long seq_tail(long a)
{
	return seq_leaf(a + 1, 7);
}
NOINLINE long seq_jump_first(long a)
{
	if (a & 1)
		return seq_leaf(a, 1);
	for (volatile int i = 0; i < 3; i++)
		sink = i;
	return sink;
}
NOINLINE long seq_round(long thread, long n)
{
	long sum = seq_leaf(thread, n);

	if (!setjmp(back))
		seq_jumped_over(n);
	sum += seq_six(1, 2, 3, 4, 5, n);
	sum += seq_recursive(n % 7);
	if (n % 50 == 0)
		sum += seq_recursive(100); /* more than the kernel follows returns of */
	sum += seq_tail(n);
	sum += seq_jump_first(n);
	return sum;
}

static void *run(void *arg)
{
	for (long n = 0; !stop; n++) {
		sink = (int)seq_round((long)(intptr_t)arg, n);
		if (n % 20 == 19)
			usleep(1000);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	return run_threads(argc, argv, run);
}
