/* SPDX-License-Identifier: MIT
 * A target whose threads count in restartable sequences of their own (rseq(2)), in the area that the C library
 * registered.
 *
 * usage: sequences [THREADS]: each adds one to the counter of its CPU, again and again, without atomic instructions;
 * while no sequence can be had (cpu_id below 0), under a lock. Every 100 ms a line `tick N count C`, until SIGTERM;
 * then it checks that no addition was lost: status 0. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/rseq.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t counter[1024][8]; /* a cache line each */
static volatile uint64_t locked, aborted;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int stop;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

/* One addition; 0 if it was aborted before the store. */
static int add_here(struct rseq *rs, volatile uint64_t *c, uint32_t cpu)
{
	__asm__ goto("leaq 3f(%%rip), %%rax\n\t"
		     "movq %%rax, %[cs]\n"
		     "1:\n\t"
		     "cmpl %[cpu], %[id]\n\t"
		     "jnz 4f\n\t"
		     "movq %[c], %%rax\n\t"
		     ".rept 40\n\tnop\n\t.endr\n\t" /* room to be interrupted in */
		     "addq $1, %%rax\n\t"
		     "movq %%rax, %[c]\n"
		     "2:\n\t"
		     ".pushsection __rseq_cs, \"aw\"\n\t"
		     ".balign 32\n"
		     "3:\n\t"
		     ".long 0, 0\n\t"
		     ".quad 1b, (2b - 1b), 4f\n\t"
		     ".popsection\n\t"
		     ".pushsection .text.unlikely, \"ax\"\n\t"
		     ".byte 0x0f, 0xb9, 0x3d\n\t" /* ud1, and the signature */
		     ".long 0x53053053\n"
		     "4:\n\t"
		     "jmp %l[failed]\n\t"
		     ".popsection"
		     :
		     : [cs] "m"(rs->rseq_cs), [cpu] "r"(cpu), [id] "m"(rs->cpu_id), [c] "m"(*c)
		     : "rax", "memory", "cc"
		     : failed);
	return 1;
failed:
	return 0;
}

static void *thread(void *arg)
{
	struct rseq *rs = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
	const volatile int *id = (void *)&rs->cpu_id;
	uint64_t n = 0;

	(void)arg;
	for (; !stop; n++) {
		int cpu = *id;

		while (cpu >= 0 && !add_here(rs, &counter[cpu & 1023][0], (uint32_t)cpu)) {
			aborted++;
			cpu = *id;
		}
		if (cpu >= 0)
			continue;
		pthread_mutex_lock(&lock);
		locked++;
		pthread_mutex_unlock(&lock);
	}
	return (void *)(uintptr_t)n;
}

static uint64_t total(void)
{
	uint64_t sum = locked;

	for (int i = 0; i < 1024; i++)
		sum += counter[i][0];
	return sum;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 2;
	pthread_t id[64];
	uint64_t sum = 0;

	if (threads < 1 || threads > 64)
		return 2;
	signal(SIGTERM, on_term);
	for (int i = 0; i < threads; i++)
		if (pthread_create(&id[i], NULL, thread, NULL))
			return 3;
	for (int n = 1; !stop; n++) {
		nanosleep(&(struct timespec){0, 100000000}, NULL);
		printf("tick %d count %llu\n", n, (unsigned long long)total());
		fflush(stdout);
	}
	for (int i = 0; i < threads; i++) {
		void *ret;

		pthread_join(id[i], &ret);
		sum += (uintptr_t)ret;
	}
	printf("end counted %llu of %llu, %llu under the lock\n", (unsigned long long)total(), (unsigned long long)sum,
	       (unsigned long long)locked);
	return total() == sum ? 0 : 1;
}
