// SPDX-License-Identifier: MIT
/* Three interval timers and a POSIX timer interrupt tight loops: in registers only, through memory, in libc's string
 * functions, in floating point. Handlers change what the loops work on. Runs until it is killed. */
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t alarms, profs, virts, posix;
static volatile uint64_t mixed;
static volatile unsigned memory_counter;

static void on_signal(int sig)
{
	if (sig == SIGALRM)
		alarms++;
	else if (sig == SIGPROF)
		profs++;
	else if (sig == SIGVTALRM)
		virts++;
	else
		posix++;
	mixed = mixed * 6364136223846793005ull + (uint64_t)sig;
}

static uint64_t in_registers(uint64_t x)
{
	for (int i = 0; i < 200000; i++)
		x = x * 6364136223846793005ull + 1442695040888963407ull;
	return x;
}

static void in_memory(void)
{
	for (int i = 0; i < 100000; i++)
		memory_counter++;
}

static uint64_t in_strings(uint64_t x)
{
	static char a[8192], b[8192];

	for (int i = 0; i < 40; i++) {
		memset(a, (int)(x + (uint64_t)i) & 0x7f, sizeof(a) - 1);
		memcpy(b, a, sizeof(b));
		x += strlen(b) + (uint64_t)memcmp(a, b, sizeof(a));
	}
	return x;
}

static double in_floats(double d)
{
	for (int i = 1; i < 20000; i++)
		d = d * 0.999 + 1.0 / i;
	return d;
}

int main(void)
{
	const struct itimerval real = {{0, 3100}, {0, 3100}}, prof = {{0, 5300}, {0, 5300}},
			       virt = {{0, 7700}, {0, 7700}};
	const int signals[] = {SIGALRM, SIGPROF, SIGVTALRM, SIGUSR1};
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	const struct itimerspec every = {{0, 1900000}, {0, 1900000}};
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	uint64_t x = 1;
	double d = 0;
	timer_t timer;

	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &sa, NULL);
	if (timer_create(CLOCK_MONOTONIC, &ev, &timer) || timer_settime(timer, 0, &every, NULL) ||
	    setitimer(ITIMER_REAL, &real, NULL) || setitimer(ITIMER_PROF, &prof, NULL) ||
	    setitimer(ITIMER_VIRTUAL, &virt, NULL))
		return 1;
	for (unsigned n = 0;; n++) {
		x = in_registers(x + mixed);
		in_memory();
		x = in_strings(x);
		d = in_floats(d);
		if (n == 3)
			puts("ready");
		if (n % 64 == 3) {
			printf("%u %llx %g\n", n, (unsigned long long)x, d);
			fflush(stdout);
		}
	}
}
