// SPDX-License-Identifier: MIT
/* Timers interrupt a loop that is passed again and again with the same registers, stack and memory around: only a
 * counter far from them tells one pass from another, and what the handler tells of it shows only after the signal. */
#include "behave.h"
#include <signal.h>
#include <sys/time.h>

#define SIGNALS 6

static struct counter {
	struct counter *next;
	char far[20000];
	unsigned long passes;
} counters[3] = {{counters + 1, "", 0}, {counters + 2, "", 0}, {NULL, "", 0}};
static volatile sig_atomic_t signals;
static int tell;

static void on(int sig)
{
	(void)sig;
	if (write(tell, &counters[2].passes, sizeof(counters[2].passes)) < 0)
		_exit(1);
	signals++;
}

/* The same every time; the code that counts is not near. */
__attribute__((noinline, aligned(4096))) static void turn(void)
{
	unsigned long left = 1500000;

	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(left) : : "cc");
}

__attribute__((noinline, aligned(4096))) static void count(void)
{
	counters[0].next->next->passes++;
}

int main(void)
{
	struct itimerval it = {{0, 4000}, {0, 4000}}, off = {0};
	void (*volatile const then)(void) = count;

	OK(tell = open("/dev/null", O_WRONLY));
	signal(SIGALRM, on);
	OK(setitimer(ITIMER_REAL, &it, NULL));
	while (signals < SIGNALS) {
		turn();
		then();
	}
	OK(setitimer(ITIMER_REAL, &off, NULL));
	mix_number(signals);
	return end();
}
