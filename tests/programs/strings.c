/* SPDX-License-Identifier: MIT
 * A target that is interrupted inside of repeated string instructions, and remembers where.
 *
 * usage: strings [movs|stos|scas|cmps|lods|back|all [ROUNDS]]: with a timer signal every 300 us of its CPU time. The
 * handler adds the interrupted thread's rip, rcx, rsi, rdi, rax and flags up: a replay that interrupts it one round
 * earlier or later ends with other memory. Prints `rounds N sum X inside N` and ends when the rounds are done, else
 * until SIGTERM. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>

#define SIZE (4u << 20)

static unsigned char from[SIZE + 64], to[SIZE + 64];
static volatile uint64_t sum, signals, inside;
static volatile sig_atomic_t stop;

static void on_prof(int sig, siginfo_t *info, void *context)
{
	const greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	static const int which[] = {REG_RIP, REG_RCX, REG_RSI, REG_RDI, REG_RAX, REG_EFL};
	const unsigned char *code = (const unsigned char *)g[REG_RIP];

	(void)sig, (void)info;
	for (size_t i = 0; i < sizeof(which) / sizeof(*which); i++)
		sum = sum * 31 + (uint64_t)g[which[i]];
	signals++;
	if (*code == 0xf3 || *code == 0xf2)
		inside++;
}

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static void movs(size_t n)
{
	void *d = to, *s = from;
	__asm__ volatile("rep movsb" : "+c"(n), "+D"(d), "+S"(s) : : "memory");
}
static void movsq(size_t n)
{
	void *d = to + 3, *s = from + 8;
	n /= 8;
	__asm__ volatile("rep movsq" : "+c"(n), "+D"(d), "+S"(s) : : "memory");
}
/* Overlapping, one byte apart: slow on every CPU, each round reads what the one before it wrote. */
static void overlap(size_t n)
{
	void *d = to + 1, *s = to;
	__asm__ volatile("rep movsb" : "+c"(n), "+D"(d), "+S"(s) : : "memory");
}
static void back(size_t n)
{
	void *d = to + n - 1, *s = from + n - 1;
	__asm__ volatile("std\n\trep movsb\n\tcld" : "+c"(n), "+D"(d), "+S"(s) : : "memory");
}
static void stos(size_t n, int v)
{
	void *d = to;
	n /= 4;
	__asm__ volatile("rep stosl" : "+c"(n), "+D"(d) : "a"(v) : "memory");
}
static size_t scas(size_t n)
{
	void *d = from;
	__asm__ volatile("repne scasb" : "+c"(n), "+D"(d) : "a"(255) : "memory", "cc");
	return n;
}
static size_t cmps(size_t n)
{
	void *d = to, *s = from;
	__asm__ volatile("repe cmpsb" : "+c"(n), "+D"(d), "+S"(s) : : "memory", "cc");
	return n;
}
static unsigned char lods(size_t n)
{
	const void *s = from;
	unsigned char v;
	__asm__ volatile("rep lodsb" : "+c"(n), "+S"(s), "=a"(v) : : "memory");
	return v;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "all";
	long rounds = argc > 2 ? atol(argv[2]) : -1, done = 0;
	int all = !strcmp(what, "all");
	struct itimerval every = {{0, 300}, {0, 300}};
	struct sigaction sa = {.sa_sigaction = on_prof, .sa_flags = SA_SIGINFO | SA_RESTART};
	volatile uint64_t found = 0;

	signal(SIGTERM, on_term);
	sigaction(SIGPROF, &sa, NULL);
	for (size_t i = 0; i < SIZE; i++)
		from[i] = (unsigned char)(i % 251);
	setitimer(ITIMER_PROF, &every, NULL);
	for (; done != rounds && !stop; done++) {
		size_t n = SIZE - (size_t)(done % 1000);

		if (all || !strcmp(what, "movs"))
			movs(n), movsq(n), overlap(n / 8);
		if (all || !strcmp(what, "back"))
			back(n / 8);
		if (all || !strcmp(what, "stos"))
			stos(n, (int)done);
		if (all || !strcmp(what, "scas"))
			found += scas(n);
		if (all || !strcmp(what, "cmps"))
			movs(n), to[n / 2]++, found += cmps(n);
		if (all || !strcmp(what, "lods"))
			found += lods(n / 4);
	}
	setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL);
	printf("rounds %ld sum %llx inside %llu of %llu, found %llu\n", done, (unsigned long long)sum,
	       (unsigned long long)inside, (unsigned long long)signals, (unsigned long long)found);
	return 0;
}
