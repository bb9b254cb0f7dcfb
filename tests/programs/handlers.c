/* SPDX-License-Identifier: MIT
 * A target that does with signals what is hard to do again: one thing per mode, until SIGTERM or ROUNDS of it are done.
 *
 * usage: handlers MODE [ROUNDS]
 *   nested   handlers interrupted by handlers, SA_NODEFER, on an alternate stack   jump     siglongjmp out of a handler
 *   faults   SEGV that makes the page writable and retries, BUS, FPE, ILL, TRAP    context  handlers that change
 * registers restart  calls interrupted, restarted, resumed by restart_syscall              queue    queued real-time
 * signals spin     a loop of one instruction, left by changing rip                       count    loops that count in
 * memory only vectors  x87 and widest vector registers across signals                        vdso     time calls in a
 * tight loop mask     sigsuspend, ppoll and pselect with masks, sigprocmask in handlers     step     the trap flag
 *   dense    places right behind short instructions, jumped to in each round
 * What
 * handlers see (registers, stack, order) is added up in memory, so that a replay that differs ends with another sum;
 * `rounds N sum X` is printed at the end. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile uint64_t sum, signals;
static volatile sig_atomic_t stop;
static long rounds = -1, done;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}
static int go_on(void)
{
	return !stop && done++ != rounds;
}

/* All that a handler can see of where it came. */
static void add_context(const void *context)
{
	const ucontext_t *u = context;

	for (int i = 0; i < REG_CSGSFS; i++)
		sum = sum * 31 + (uint64_t)u->uc_mcontext.gregs[i];
	sum = sum * 31 + *(const uint64_t *)&u->uc_sigmask;
	signals++;
}
static void add(int sig, siginfo_t *info, void *context)
{
	sum = sum * 31 + (uint64_t)sig * 64 + (uint64_t)info->si_code;
	add_context(context);
}
static void handle(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa = {.sa_sigaction = fn, .sa_flags = SA_SIGINFO | flags};

	if (sigaction(sig, &sa, NULL))
		exit(3);
}
static void every(int which, long us)
{
	struct itimerval t = {{0, us}, {0, us}};

	setitimer(which, &t, NULL);
}
static timer_t timer_for(int sig, clockid_t clock, long us)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = sig};
	struct itimerspec t = {{0, us * 1000}, {0, us * 1000}};
	timer_t id;

	if (timer_create(clock, &ev, &id) || timer_settime(id, 0, &t, NULL))
		exit(3);
	return id;
}
static uint64_t work(uint64_t n)
{
	uint64_t x = n | 1;

	for (int i = 0; i < 200; i++)
		x = x * 6364136223846793005u + 1442695040888963407u, x ^= x >> 29;
	return x;
}

/* ---- nested ------------------------------------------------------------------------------------------------ */

static volatile int depth;

static void on_nested(int sig, siginfo_t *info, void *context)
{
	volatile char here[64];

	add(sig, info, context);
	here[0] = (char)++depth;
	if (depth < 6)
		for (volatile int i = 0; i < 3000; i++)
			sum += (uint64_t)i;
	if (depth == 2)
		raise(SIGUSR1);
	sum = sum * 31 + (uint64_t)depth + (uintptr_t)here + (uint64_t)here[0];
	depth--;
}
static void nested(void)
{
	static char alt[64 << 10];
	stack_t st = {.ss_sp = alt, .ss_size = sizeof(alt)};

	sigaltstack(&st, NULL);
	handle(SIGPROF, on_nested, SA_NODEFER | SA_RESTART);
	handle(SIGALRM, on_nested, SA_ONSTACK | SA_RESTART);
	handle(SIGVTALRM, on_nested, SA_ONSTACK | SA_NODEFER);
	handle(SIGUSR1, on_nested, SA_ONSTACK);
	every(ITIMER_PROF, 400);
	every(ITIMER_REAL, 700);
	every(ITIMER_VIRTUAL, 500);
	while (go_on()) {
		sum += work((uint64_t)done);
	}
}

/* ---- jump --------------------------------------------------------------------------------------------------- */

static sigjmp_buf back;
static volatile sig_atomic_t may_jump;

static void on_jump(int sig, siginfo_t *info, void *context)
{
	add(sig, info, context);
	if (may_jump) {
		may_jump = 0;
		siglongjmp(back, 1);
	}
}
static void jump(void)
{
	handle(SIGPROF, on_jump, SA_ONSTACK);
	every(ITIMER_PROF, 300);
	while (go_on()) {
		if (!sigsetjmp(back, 1)) {
			may_jump = 1;
			for (;;)
				sum += work(sum);
		}
	}
}

/* ---- faults -------------------------------------------------------------------------------------------------- */

static volatile char *page;
static volatile int kind;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	greg_t *g = u->uc_mcontext.gregs;

	add(sig, info, context);
	sum += (uintptr_t)info->si_addr;
	switch (kind) {
	case 0: mprotect((void *)page, 4096, PROT_READ | PROT_WRITE); break; /* again */
	case 1:
		mmap((void *)g[REG_RBX], 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;                                       /* again */
	case 2: g[REG_RCX] = 7; break;                       /* again, with another divisor */
	case 3: g[REG_RIP] += 2; break;                      /* over the ud2 */
	case 4: break;                                       /* int3: behind it already */
	case 5: g[REG_RAX] = (greg_t)(uintptr_t)page; break; /* from a non-canonical address */
	case 6: g[REG_RIP] += 1; break;                      /* over the hlt */
	}
}
static void faults(void)
{
	int fd = memfd_create("faults", 0);
	char *beyond = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	static const int sigs[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

	page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < sizeof(sigs) / sizeof(*sigs); i++)
		handle(sigs[i], on_fault, i & 1 ? SA_NODEFER : 0);
	handle(SIGPROF, add, SA_RESTART);
	every(ITIMER_PROF, 500);
	while (go_on()) {
		uint64_t quotient = 100, rest = 0, divisor = 0, value = 1ull << 60;

		kind = 0;
		mprotect((void *)page, 4096, done & 1 ? PROT_READ : PROT_NONE);
		page[done & 4095] += 3;
		kind = 1;
		mmap(beyond, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
		__asm__ volatile("movq $5, (%0)" : : "b"(beyond) : "memory");
		kind = 2;
		__asm__ volatile("divq %2" : "+a"(quotient), "+d"(rest), "+c"(divisor));
		kind = 3;
		__asm__ volatile("ud2");
		kind = 4;
		__asm__ volatile("int3");
		kind = 5;
		__asm__ volatile("movq (%0), %0" : "+a"(value));
		kind = 6;
		__asm__ volatile("hlt");
		sum += quotient + value;
	}
}

/* ---- traps: most of the time the signal of an int3 is on its way --------------------------------------------------
 */

static void traps(void)
{
	handle(SIGTRAP, add, 0);
	while (go_on())
		for (int i = 0; i < 100; i++)
			__asm__ volatile("int3");
}

/* ---- context -------------------------------------------------------------------------------------------------- */

static void on_context(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	greg_t *g = u->uc_mcontext.gregs;

	add(sig, info, context);
	g[REG_R12] ^= (greg_t)signals;
	g[REG_EFL] ^= 1;
	u->uc_mcontext.fpregs->_xmm[15].element[1] += 3;
	u->uc_mcontext.fpregs->mxcsr ^= 0x8000; /* flush to zero */
}
static void context(void)
{
	handle(SIGPROF, on_context, 0);
	every(ITIMER_PROF, 300);
	while (go_on()) {
		uint64_t x = 0, n = 20000, low;

		__asm__ volatile("pxor %%xmm15, %%xmm15\n\txor %%r12, %%r12\n"
				 "1: adc $0, %0\n\tlea (%0,%%r12), %0\n\tdec %1\n\tjnz 1b\n\tmovq %%xmm15, %2"
				 : "+r"(x), "+r"(n), "=r"(low)
				 :
				 : "r12", "xmm15", "cc");
		sum = sum * 31 + x + low;
	}
}

/* ---- restart --------------------------------------------------------------------------------------------------- */

static void on_restart(int sig, siginfo_t *info, void *context)
{
	struct timespec t = {0, 50000};

	add(sig, info, context);
	if (signals % 3 == 0)
		nanosleep(&t, NULL); /* restart_syscall belongs to this one from now on */
}
static void restart(void)
{
	int fds[2], word = 0;
	char c;

	if (pipe2(fds, O_NONBLOCK) || fcntl(fds[0], F_SETFL, 0))
		exit(3);
	handle(SIGALRM, on_restart, SA_RESTART);
	handle(SIGUSR1, on_restart, 0);
	timer_for(SIGALRM, CLOCK_MONOTONIC, 900);
	timer_for(SIGUSR1, CLOCK_MONOTONIC, 1300);
	while (go_on()) {
		struct timespec t = {0, 3000000}, left = {0};
		struct pollfd p = {.fd = fds[0], .events = POLLIN};
		int ret;

		sum = sum * 31 + (uint64_t)nanosleep(&t, &left) + (uint64_t)left.tv_nsec;
		sum = sum * 31 + (uint64_t)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &left) + (uint64_t)left.tv_nsec;
		sum = sum * 31 + (uint64_t)poll(&p, 1, 3);
		ret = (int)syscall(SYS_futex, &word, FUTEX_WAIT, 0, &t, NULL, 0);
		sum = sum * 31 + (uint64_t)(ret + errno);
		ret = (int)syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 1);
		sum = sum * 31 + (uint64_t)(ret + errno);
		ret = (int)read(fds[0], &c, 1); /* until SIGUSR1 */
		sum = sum * 31 + (uint64_t)(ret + errno);
		if (write(fds[1], "x", 1) == 1)
			sum += (uint64_t)read(fds[0], &c, 1);
	}
}

/* ---- queue ------------------------------------------------------------------------------------------------------ */

static void on_queued(int sig, siginfo_t *info, void *context)
{
	add(sig, info, context);
	sum = sum * 31 + (uint64_t)(unsigned)info->si_value.sival_int;
}
static void queue(void)
{
	struct signalfd_siginfo got[8];
	sigset_t all, waited, by_fd;
	siginfo_t info;
	int fd;

	sigemptyset(&all), sigemptyset(&waited), sigemptyset(&by_fd);
	for (int s = SIGRTMIN; s <= SIGRTMAX; s++) {
		handle(s, on_queued, s & 1 ? SA_NODEFER : 0);
		sigaddset(&all, s);
	}
	sigaddset(&waited, SIGUSR1);
	sigaddset(&by_fd, SIGUSR2);
	sigprocmask(SIG_BLOCK, &waited, NULL);
	sigprocmask(SIG_BLOCK, &by_fd, NULL);
	fd = signalfd(-1, &by_fd, SFD_NONBLOCK);
	while (go_on()) {
		union sigval v = {.sival_int = (int)done};
		struct timespec none = {0, 0};

		sigprocmask(SIG_BLOCK, &all, NULL);
		for (int i = 0; i < 32; i++, v.sival_int++)
			sigqueue(getpid(), SIGRTMIN + (i * 7 + (int)done) % (SIGRTMAX - SIGRTMIN + 1), v);
		sigprocmask(SIG_UNBLOCK, &all, NULL); /* all frames at once, one on the other */
		sigqueue(getpid(), SIGUSR1, v);
		sigqueue(getpid(), SIGUSR2, v);
		if (sigwaitinfo(&waited, &info) == SIGUSR1)
			sum = sum * 31 + (uint64_t)(unsigned)info.si_value.sival_int;
		sum += (uint64_t)sigtimedwait(&waited, &info, &none);
		if (read(fd, got, sizeof(got)) == (ssize_t)sizeof(*got))
			sum = sum * 31 + (uint64_t)got[0].ssi_int;
	}
}

/* ---- spin, count --------------------------------------------------------------------------------------------------
 */

static void on_spin(int sig, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	const unsigned char *code = (const unsigned char *)g[REG_RIP];

	add(sig, info, context);
	if (code[0] == 0xeb && code[1] == 0xfe)
		g[REG_RIP] += 2;
}
static void spin(void)
{
	handle(SIGPROF, on_spin, 0);
	every(ITIMER_PROF, 300);
	while (go_on()) {
		__asm__ volatile("1: jmp 1b");
		sum += work(sum);
		__asm__ volatile("pause\n1: jmp 1b");
	}
}

static volatile uint64_t far_counter[4096];
static volatile uint32_t flag;

static void on_count(int sig, siginfo_t *info, void *context)
{
	add(sig, info, context);
	sum = sum * 31 + far_counter[0] + far_counter[1000] + far_counter[4095];
	flag = 1;
}
static void count(void)
{
	handle(SIGPROF, on_count, 0);
	every(ITIMER_PROF, 300);
	while (go_on()) {
		volatile uint64_t local = 0;

		flag = 0;
		switch (done & 3) {
		case 0:
			__asm__ volatile("1: incq %0\n\tcmpl $0, %1\n\tje 1b"
					 : "+m"(far_counter[0])
					 : "m"(flag)
					 : "cc");
			break;
		case 1:
			__asm__ volatile("1: lock addq $3, 0x1f40(%0)\n\tcmpl $0, %1\n\tje 1b"
					 :
					 : "r"(far_counter), "m"(flag)
					 : "cc", "memory");
			break;
		case 2:
			while (!flag)
				local++, far_counter[4095] += local;
			break;
		case 3: /* a counter in the red zone */
			__asm__ volatile("movq $0, -64(%%rsp)\n1: incq -64(%%rsp)\n\tcmpl $0, %0\n\tje 1b"
					 :
					 : "m"(flag)
					 : "cc", "memory");
			break;
		}
		sum += local;
	}
}

/* ---- dense ----------------------------------------------------------------------------------------------------------
 * Short instructions, behind which the next one is jumped to in every round; calls whose return address lies there. No
 * unused bytes are near. */

static void dense(void)
{
	static void *volatile self;
	uint64_t n, to;

	handle(SIGPROF, add, 0);
	every(ITIMER_PROF, 300);
	while (go_on()) {
		n = 200000;
		__asm__ volatile("lea 2f(%%rip), %1\n1: jmp *%1\n2: dec %0\n\tjnz 1b"
				 : "+r"(n), "=&r"(to)
				 : "r"(done)
				 : "cc");
		n = 100000;
		__asm__ volatile("lea -128(%%rsp), %%rsp\n\tlea 3f(%%rip), %1\n1: call *%1\n2: dec %0\n\tjnz 1b\n"
				 "\tjmp 4f\n3: ret\n.rept 50\n\tlea 1(%1), %1\n.endr\n4: sub $-128, %%rsp"
				 : "+r"(n), "=&r"(to)
				 : "r"(done) /* tells the rounds apart */
				 : "cc", "memory");
		for (int i = 0; i < 2000; i++) {
			n = 50;
			__asm__ volatile("lea -128(%%rsp), %%rsp\n\tlea 1f(%%rip), %1\n\tmov %1, %2\n\tcall *%2\n"
					 "\tjmp 3f\n1: dec %0\n\tjz 2f\n\tcall *%2\n2: ret\n3: sub $-128, %%rsp"
					 : "+r"(n), "=&r"(to), "+m"(self)
					 : "r"(done)
					 : "cc", "memory");
		}
	}
}

/* ---- vectors --------------------------------------------------------------------------------------------------------
 */

typedef double wide __attribute__((vector_size(64)));

static void on_vectors(int sig, siginfo_t *info, void *context)
{
	wide w = {1, 2, 3, 4, 5, 6, 7, 8};
	long double l = 1;

	add(sig, info, context);
	for (int i = 0; i < 20; i++)
		w = w * w + 1, l = l / 3 + (long double)i;
	sum += (uint64_t)w[3] + (uint64_t)(l * 1000);
}
__attribute__((target("avx512f"))) static double wide_work(const wide *from, int n)
{
	wide w = *from;

	for (int i = 0; i < n; i++)
		w = w * 1.000001 + 0.5;
	return w[0] + w[7];
}
static double narrow_work(const wide *from, int n)
{
	wide w = *from;

	for (int i = 0; i < n; i++)
		w = w * 1.000001 + 0.5;
	return w[0] + w[7];
}
static void vectors(void)
{
	long double x = 1.5L;

	handle(SIGPROF, on_vectors, 0);
	every(ITIMER_PROF, 300);
	while (go_on()) {
		wide w = {1, 2, 3, 4, 5, 6, 7, (double)done};
		double d;

		for (int i = 0; i < 2000; i++)
			x = x / 1.0001L + 1.25L;
		d = __builtin_cpu_supports("avx512f") ? wide_work(&w, 3000) : narrow_work(&w, 3000);
		sum = sum * 31 + (uint64_t)d + (uint64_t)(x * 1e6L);
	}
}

/* ---- vdso, mask, step
 * ------------------------------------------------------------------------------------------------ */

static void vdso(void)
{
	handle(SIGPROF, add, SA_RESTART);
	handle(SIGALRM, on_restart, SA_RESTART);
	every(ITIMER_PROF, 500);
	every(ITIMER_REAL, 900);
	while (go_on()) {
		struct timespec t;
		struct timeval v;

		clock_gettime(CLOCK_MONOTONIC, &t);
		gettimeofday(&v, NULL);
		sum = sum * 31 + (uint64_t)t.tv_nsec + (uint64_t)v.tv_usec + (uint64_t)time(NULL);
	}
}

static void on_mask(int sig, siginfo_t *info, void *context)
{
	sigset_t set;

	add(sig, info, context);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(signals & 1 ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
	if (signals % 5 == 0)
		sigaddset(&((ucontext_t *)context)->uc_sigmask, SIGUSR2);
}
static void mask(void)
{
	sigset_t blocked, none;

	sigemptyset(&blocked), sigemptyset(&none);
	sigaddset(&blocked, SIGALRM), sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	handle(SIGALRM, on_mask, SA_RESTART);
	handle(SIGUSR1, on_mask, SA_NODEFER);
	handle(SIGUSR2, on_mask, 0);
	timer_for(SIGALRM, CLOCK_MONOTONIC, 700);
	timer_for(SIGUSR1, CLOCK_MONOTONIC, 1100);
	while (go_on()) {
		struct timespec t = {0, 2000000};
		fd_set r;

		FD_ZERO(&r);
		sum = sum * 31 + (uint64_t)sigsuspend(&none);
		sum = sum * 31 + (uint64_t)ppoll(NULL, 0, &t, &none);
		sum = sum * 31 + (uint64_t)pselect(1, &r, NULL, NULL, &t, &none);
		raise(SIGUSR2);
		sigprocmask(SIG_SETMASK, &blocked, NULL);
	}
}

static void on_step(int sig, siginfo_t *info, void *context)
{
	add(sig, info, context);
}
static void step(void)
{
	handle(SIGTRAP, on_step, 0);
	handle(SIGPROF, add, 0);
	every(ITIMER_PROF, 500);
	while (go_on()) {
		uint64_t n = 10;

		__asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n"
				 "1: dec %0\n\tjnz 1b\n"
				 "pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq"
				 : "+r"(n)
				 :
				 : "cc", "memory");
		sum += work(sum);
	}
}

int main(int argc, char **argv)
{
	struct sigaction term = {.sa_handler = on_term};
	static const struct {
		const char *name;
		void (*fn)(void);
	} mode[] = {{"nested", nested},   {"jump", jump},   {"faults", faults}, {"traps", traps}, {"context", context},
		    {"restart", restart}, {"queue", queue}, {"spin", spin},     {"count", count}, {"vectors", vectors},
		    {"vdso", vdso},       {"mask", mask},   {"step", step},     {"dense", dense}};

	sigfillset(&term.sa_mask); /* else a handler on top of it may jump out of both */
	sigaction(SIGTERM, &term, NULL);
	if (argc > 2)
		rounds = atol(argv[2]);
	for (size_t i = 0; argc > 1 && i < sizeof(mode) / sizeof(*mode); i++)
		if (!strcmp(argv[1], mode[i].name)) {
			mode[i].fn();
			every(ITIMER_PROF, 0);
			printf("rounds %ld sum %llx signals %llu\n", done - 1, (unsigned long long)sum,
			       (unsigned long long)signals);
			return 0;
		}
	fprintf(stderr, "usage: handlers MODE [ROUNDS]\n");
	return 2;
}
