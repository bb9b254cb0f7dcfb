// SPDX-License-Identifier: MIT
/* A program that single-steps itself: the trap flag set by popf, and by a handler in what it returns to. */
#include "behave.h"
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>

#define TRAP_FLAG 0x100

static volatile uint64_t traps, seen, alarms;

static void on_step(int sig, siginfo_t *info, void *context)
{
	const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

	for (int i = 0; i < REG_CSGSFS; i++)
		seen = seen * 31 + (uint64_t)g[i];
	seen = seen * 31 + (uint64_t)sig + (uint64_t)info->si_code;
	traps++;
}

static void on_alarm(int sig)
{
	alarms += (unsigned)sig;
}

/* By a handler: what it returns to is stepped, or not any more. */
static void on_turn(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] ^= TRAP_FLAG;
}

static void handle(int sig, void (*fn)(int, siginfo_t *, void *))
{
	const struct sigaction sa = {.sa_sigaction = fn, .sa_flags = SA_SIGINFO};

	OK(sigaction(sig, &sa, NULL));
}

static void *step(void *sum)
{
	for (int i = 0; i < 30; i++) {
		uint64_t n = 20, flags;

		__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n"
				 "1: dec %0\n\tjnz 1b\n\tpushfq\n\tpop %1\n"
				 "\tpushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp"
				 : "+r"(n), "=r"(flags)
				 :
				 : "cc", "memory");
		*(uint64_t *)sum = *(uint64_t *)sum * 31 + flags;
	}
	return NULL;
}

int main(void)
{
	const struct itimerval often = {{0, 700}, {0, 700}}, never = {0};
	uint64_t sums[4] = {0};
	pthread_t t[3];

	handle(SIGTRAP, on_step);
	handle(SIGUSR1, on_turn);
	signal(SIGALRM, on_alarm);
	OK(setitimer(ITIMER_REAL, &often, NULL));
	step(&sums[3]);
	for (int i = 0; i < 5; i++) {
		raise(SIGUSR1);
		mix_number(getpid()); /* steps through libc, and over system calls */
		mix_number(getppid());
		raise(SIGUSR1);
	}
	for (int i = 0; i < 3; i++) /* they take the CPU from each other */
		OK(pthread_create(&t[i], NULL, step, &sums[i]));
	for (int i = 0; i < 3; i++)
		OK(pthread_join(t[i], NULL));
	OK(setitimer(ITIMER_REAL, &never, NULL));
	MUST_BE(traps > 1000);
	mix(sums, sizeof(sums));
	mix_number((long)(traps * 31 + seen));
	mix_number((long)alarms);
	return end();
}
