// SPDX-License-Identifier: MIT
/* Runs out of stack, and tells of it on another one. */
#include "behave.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>

static char stack[64 << 10];
static sigjmp_buf out;
static volatile int depth;

static void jump(int sig)
{
	siglongjmp(out, sig);
}

static int deeper(volatile char *above)
{
	volatile char frame[2000];

	frame[0] = *above;
	depth++;
	return depth < 1 << 30 ? deeper(frame) + frame[0] : 0;
}

int main(void)
{
	struct sigaction sa = {.sa_handler = jump, .sa_flags = SA_ONSTACK};
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
	volatile char c = 0;

	OK(setrlimit(RLIMIT_STACK, &(struct rlimit){500000, 500000}));
	OK(sigaltstack(&ss, NULL));
	OK(sigaction(SIGSEGV, &sa, NULL));
	if (!sigsetjmp(out, 1))
		deeper(&c);
	mix_number(depth);
	return end();
}
