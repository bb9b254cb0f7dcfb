// SPDX-License-Identifier: MIT
/* setjmp, longjmp and contexts that switch between stacks. */
#include "behave.h"
#include <setjmp.h>
#include <ucontext.h>

static ucontext_t main_context, other[2];
static char stack[2][65536];

static void run(int n)
{
	for (int i = 0; i < 50; i++) {
		mix_number(n * 100 + i);
		swapcontext(&other[n], n ? &main_context : &other[1]);
	}
}

static void jumps(void)
{
	jmp_buf here;
	volatile int times = 0;

	if (setjmp(here) < 50) {
		times++;
		longjmp(here, times);
	}
	mix_number(times);
}

int main(void)
{
	jumps();
	for (int i = 0; i < 2; i++) {
		OK(getcontext(&other[i]));
		other[i].uc_stack.ss_sp = stack[i];
		other[i].uc_stack.ss_size = sizeof(stack[i]);
		other[i].uc_link = &main_context;
		makecontext(&other[i], (void (*)(void))run, 1, i);
	}
	for (int i = 0; i < 40; i++)
		OK(swapcontext(&main_context, &other[0]));
	return end();
}
