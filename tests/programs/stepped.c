/* SPDX-License-Identifier: MIT
 * A target small enough to be single-stepped: timers, threads that take turns, instructions that are probed.
 *
 *   stepped signals    a loop that a timer interrupts; random numbers, and conditional branches right behind them
 *   stepped threads    three threads with a mutex and data races; more come and go
 *   stepped processes  children that end, and one with another program; ends with status 5
 *
 * cflags: -static */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile unsigned long count[8];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void on_alarm(int sig)
{
	(void)sig;
	count[0]++;
}

static void signals(void)
{
	const struct itimerval every = {{0, 15000}, {0, 15000}};
	unsigned long flags, tsc_low, tsc_high;

	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &every, NULL);
	for (;;) {
		/* What stands behind rdtsc is emulated by the kernel: a branch that is taken, a push, a nop and a call.
		 */
		__asm__ volatile(
			"stc\n\trdtsc\n\tjc 1f\n\tud2\n1:\t"
			"rdtsc\n\tpush %%rax\n\tjz 2f\n2:\tpop %%rax\n\t"
			"rdtsc\n\tnop\n\tjnz 3f\n3:\t"
			"lea -128(%%rsp), %%rsp\n\trdtsc\n\tcall 4f\n\tjmp 5f\n4:\tret\n5:\tlea 128(%%rsp), %%rsp\n\t"
			"pushfq\n\tpop %2"
			: "=a"(tsc_low), "=d"(tsc_high), "=r"(flags)
			:
			: "cc", "memory");
		if (flags & 0x100)
			abort(); /* the trap flag of who steps us */
		for (volatile int i = 0; i < 20; i++)
			count[1] += tsc_low >> i & 7;
		if (tsc_low % 16 == 0)
			getppid();
	}
}

static void *turns(void *arg)
{
	const unsigned long id = (unsigned long)arg;

	for (;;) {
		for (volatile int i = 0; i < 40; i++)
			count[id] += count[id % 3 + 1];
		pthread_mutex_lock(&lock);
		count[7] += count[id];
		pthread_mutex_unlock(&lock);
		if (count[id] % 16 == 0)
			usleep(500);
	}
	return NULL;
}

static void *once(void *arg)
{
	return arg;
}

static void threads(void)
{
	pthread_t t;

	for (unsigned long i = 1; i <= 3; i++)
		pthread_create(&t, NULL, turns, (void *)i);
	for (;;) {
		pthread_create(&t, NULL, once, NULL);
		pthread_join(t, NULL);
		usleep(30000);
	}
}

static int status_of(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int processes(char *self)
{
	pid_t pid = fork();

	if (!pid) {
		for (volatile int i = 0; i < 300; i++)
			count[2] += i;
		_exit((int)count[2] & 7);
	}
	printf("%d\n", status_of(pid));
	fflush(stdout);
	pid = vfork();
	if (!pid) {
		execl(self, self, "end", NULL);
		_exit(127);
	}
	printf("%d\n", status_of(pid));
	return 5;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	if (!strcmp(argv[1], "signals"))
		signals();
	if (!strcmp(argv[1], "threads"))
		threads();
	return strcmp(argv[1], "processes") ? 3 : processes(argv[0]);
}
