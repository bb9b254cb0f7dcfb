/* SPDX-License-Identifier: MIT
 * A small interpreter that tells of itself by ctbpf.h: functions of its own language, their lines, arguments, results
 * and exceptions, which it leaves by longjmp(3); and C functions around it. What it does is known.
 *
 * usage: sdk THREADS   each thread runs round 0, 1, ... until SIGTERM. cflags: -I. */
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctbpf.h"
#include "threads.h"

#define DEPTH_MAX 64

/* The language has three functions; a program of it is a function's code. */
enum { F_ROUND, F_ADD, F_FAIL, F_LOOP, FUNCTIONS };
static const struct ctbpf_function functions[FUNCTIONS] = {
	{"round", "/src/größe.toy", "toy", 1},
	{"math.add", "/src/math.toy", "toy", 10},
	{"fail", "/src/größe.toy", "toy", 20},
	{"loop", "/src/math.toy", "toy", 30},
};

struct vm {
	uint64_t depth;
	jmp_buf handler;
};

static long call(struct vm *vm, int f, long a, long b);

/* One C frame for all of the functions it runs. */
static long run(struct vm *vm, int f, long a, long b)
{
	const struct ctbpf_function *here = &functions[f];
	uint64_t depth = vm->depth;
	volatile long result = 0;

	switch (f) {
	case F_ADD:
		ctbpf_line(here, depth, 11);
		result = a + b;
		break;
	case F_FAIL: ctbpf_line(here, depth, 21); longjmp(vm->handler, 1);
	case F_LOOP:
		for (long i = 0; i < a; i++) {
			ctbpf_line(here, depth, 31);
			result += i;
			ctbpf_line(here, depth, 32);
			ctbpf_number(here, depth, CTBPF_VARIABLE, "sum", "Int", CTBPF_INT, (uint64_t)result);
		}
		ctbpf_line(here, depth, 33);
		break;
	case F_ROUND:
		ctbpf_line(here, depth, 2);
		result = call(vm, F_ADD, a, -1);
		ctbpf_line(here, depth, 3);
		if (!setjmp(vm->handler))
			call(vm, F_FAIL, a, 0);
		vm->depth = depth; /* the handler's */
		ctbpf_line(here, depth, 5);
		result += call(vm, F_LOOP, a % 40, 0);
		break;
	}
	return result;
}

static long call(struct vm *vm, int f, long a, long b)
{
	const struct ctbpf_function *here = &functions[f];
	uint64_t depth = ++vm->depth;
	long result;

	ctbpf_entry(here, depth);
	ctbpf_number(here, depth, CTBPF_ARGUMENT, "a", "Int", CTBPF_INT, (uint64_t)a);
	ctbpf_number(here, depth, CTBPF_ARGUMENT, "b", "Int", CTBPF_INT, (uint64_t)b);
	result = run(vm, f, a, b);
	ctbpf_number(here, depth, CTBPF_RESULT, "", "Int", CTBPF_INT, (uint64_t)result);
	ctbpf_exit(here, depth, 0);
	vm->depth--;
	return result;
}

static __attribute__((noinline)) long native_round(struct vm *vm, long n)
{
	CTBPF_FUNCTION();
	char text[32];
	int len = snprintf(text, sizeof(text), "round %ld", n);

	ctbpf_data(CTBPF_HERE, CTBPF_ARGUMENT, "text", "char[]", CTBPF_STRING, text, (size_t)len);
	ctbpf_message("progress", CTBPF_OUT, text, (size_t)len);
	return call(vm, F_ROUND, n, 0);
}

static void *rounds(void *arg)
{
	struct vm vm = {0};

	(void)arg;
	for (long n = 0; !stop; n++) {
		long want = n - 1 + (n % 40) * (n % 40 - 1) / 2, got = native_round(&vm, n);

		if (got != want || vm.depth) {
			printf("WRONG %ld %ld %lu\n", got, want, (unsigned long)vm.depth);
			exit(1);
		}
		if (n % 10 == 9)
			usleep(1000);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	return run_threads(argc, argv, rounds);
}
