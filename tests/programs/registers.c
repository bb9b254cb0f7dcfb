/* SPDX-License-Identifier: MIT
 * A target whose thread registers a rseq area of its own again and again (the C library's registration is given up
 * first), looks at the CPU number the kernel puts there, and takes it back; in between a child inherits one.
 *
 * Every 100 ms a line `tick N count C sum S`, until SIGTERM. Status 1 if the area does not say what it should. */
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIG 0x12345678u

static atomic_int stop;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static long rseq(struct rseq *area, int flags, uint32_t sig)
{
	return syscall(SYS_rseq, area, 32, flags, sig);
}

static uint32_t cpu_id(const struct rseq *a)
{
	return *(const volatile uint32_t *)&a->cpu_id;
}

/* A registration may be taken away at any moment: the call that would is then an error, and the CPU is -2. */
static int one(struct rseq *a, unsigned long n, unsigned long *sum)
{
	memset(a, n & 0x7f, sizeof(*a)); /* the kernel stores something else */
	a->rseq_cs = 0;
	a->flags = 0;
	if (rseq(a, 0, SIG)) { /* the other one was given back to us */
		rseq(a, RSEQ_FLAG_UNREGISTER, SIG);
		return 0;
	}
	for (volatile int i = 0; i < 3000; i++)
		*sum += cpu_id(a);
	if (cpu_id(a) >= CPU_SETSIZE && cpu_id(a) != (uint32_t)RSEQ_CPU_ID_REGISTRATION_FAILED)
		return 1;
	if (n % 64 == 0) {
		const pid_t pid = fork();
		int status;

		if (!pid) {
			for (volatile int i = 0; i < 3000; i++)
				*sum += cpu_id(a);
			_exit((int)*sum & 63);
		}
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
			return 1;
	}
	return !rseq(a, RSEQ_FLAG_UNREGISTER, SIG) && cpu_id(a) != (uint32_t)RSEQ_CPU_ID_UNINITIALIZED;
}

int main(void)
{
	static struct rseq area __attribute__((aligned(32)));
	struct rseq *libc = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
	unsigned long count = 0, ticks = 0, sum = 0;
	struct timespec now, last;

	signal(SIGTERM, on_term);
	if (__rseq_size && rseq(libc, RSEQ_FLAG_UNREGISTER, RSEQ_SIG))
		return 2;
	clock_gettime(CLOCK_MONOTONIC, &last);
	while (!stop) {
		if (one(&area, ++count, &sum))
			return 1;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((now.tv_sec - last.tv_sec) * 1000000000l + now.tv_nsec - last.tv_nsec > 100000000) {
			last = now;
			printf("tick %lu count %lu sum %lu\n", ++ticks, count, sum);
			fflush(stdout);
		}
	}
	return 0;
}
