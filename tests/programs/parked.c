/* SPDX-License-Identifier: MIT
 * A target whose signal handler has interrupted clock_gettime in the patched vDSO, and stays until the file FILE is
 * there; then it returns to where it came from.
 *
 * usage: parked HOW BYTE FILE
 *   HOW   plain   reset    the handler is gone from its signal meanwhile (SA_RESETHAND)
 *         nested  another handler runs on an alternate stack on top of it
 *         alone   in a second thread; the first one has ended
 *   BYTE  0 to 2: at the thunk's mov, its syscall, its ret
 *
 * It steps through the call with the trap flag, which is not seen behind a system call: there a timer finds it. Says
 * "parked" when it is there, and ends with "back" and status 0. */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define TRAP_FLAG 0x100
#define VDSO_MAX  0x10000

static const char *how, *file;
static unsigned at;
static unsigned long vdso;
static volatile sig_atomic_t left; /* the trap flag is off again */

static void stay(void)
{
	if (write(STDOUT_FILENO, "parked\n", 7) != 7)
		_exit(3);
	while (access(file, F_OK))
		usleep(2000);
}
static void on_usr1(int sig)
{
	(void)sig;
	stay();
}
static void on_trap(int sig, siginfo_t *info, void *context);
static void handle_trap(void)
{
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

	if (!strcmp(how, "reset"))
		sa.sa_flags |= SA_RESETHAND;
	sigaction(at == 2 ? SIGALRM : SIGTRAP, &sa, NULL);
}

/* A thunk begins with mov $NR,%eax; nothing else in the vDSO is `mov; syscall; ret`. */
static bool is_there(const unsigned char *ip)
{
	static const unsigned char behind[] = {0x0f, 0x05, 0xc3};
	static const int distance[] = {5, 0};

	if (at == 2)
		return ip[0] == 0xc3 && ip[-2] == 0x0f && ip[-1] == 0x05 && ip[-7] == 0xb8;
	return !memcmp(ip + distance[at], behind, 3) && ip[distance[at] - 5] == 0xb8;
}

static void on_trap(int sig, siginfo_t *info, void *context)
{
	const struct itimerval never = {0};
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	const unsigned char *ip = (const unsigned char *)g[REG_RIP];

	(void)sig, (void)info;
	if ((unsigned long)ip - vdso < VDSO_MAX && is_there(ip)) {
		g[REG_EFL] &= ~TRAP_FLAG;
		left = 1;
		setitimer(ITIMER_REAL, &never, NULL);
		if (!strcmp(how, "nested"))
			raise(SIGUSR1);
		else
			stay();
	} else if (!strcmp(how, "reset")) {
		handle_trap();
	}
}

static void *run(void *unused)
{
	char *alt = malloc(64 << 10);
	stack_t st = {.ss_sp = alt, .ss_size = 64 << 10};
	struct sigaction sa = {.sa_handler = on_usr1, .sa_flags = SA_ONSTACK};

	const struct itimerval once = {.it_value = {0, 300}};

	(void)unused;
	if (!strcmp(how, "nested")) {
		sigaltstack(&st, NULL);
		sigaction(SIGUSR1, &sa, NULL);
	}
	puts("ready");
	fflush(stdout);
	while (!left) {
		struct timespec t;

		handle_trap();
		if (at == 2) {
			setitimer(ITIMER_REAL, &once, NULL);
			for (int i = 0; i < 1000; i++)
				clock_gettime(CLOCK_MONOTONIC, &t);
			continue;
		}
		usleep(2000);
		__asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" ::: "cc", "memory");
		clock_gettime(CLOCK_MONOTONIC, &t);
		__asm__ volatile("pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq" ::: "cc", "memory");
	}
	for (int i = 0; i < 100; i++) {
		struct timespec t;

		clock_gettime(CLOCK_MONOTONIC, &t);
	}
	puts("back");
	fflush(stdout);
	_exit(0);
}

int main(int argc, char **argv)
{
	pthread_t other;

	if (argc != 4)
		return 2;
	how = argv[1];
	at = (unsigned)atoi(argv[2]) % 3;
	file = argv[3];
	vdso = getauxval(AT_SYSINFO_EHDR);
	if (strcmp(how, "alone"))
		run(NULL);
	if (pthread_create(&other, NULL, run, NULL))
		return 3;
	while (!left)
		usleep(2000);
	pthread_exit(NULL);
}
