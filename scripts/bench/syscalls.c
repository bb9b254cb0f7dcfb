/* SPDX-License-Identifier: MIT
 * Benchmark target: loops over one cheap system call and says what a call costs.
 *
 *   syscalls serve            for every line on stdin ("KIND MS"): runs the loop that long, prints
 *                             "KIND cpu_ns wall_ns calls": per call, thread CPU time and wall time
 *   syscalls load KIND RATE SECS   that many calls a second (0: as fast as possible), then prints the calls made
 *
 * KIND: getppid, clock (clock_gettime through the vDSO), pread (512 bytes of a file), write (64 bytes to /dev/null),
 * mix (all of them in turn); rdtsc (the instruction), program (/bin/true run to its end). */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64 }; /* calls between two looks at the clock */

static int file_fd, null_fd;
static char buf[512];

static void call_getppid(void)
{
	syscall(SYS_getppid);
}
static void call_clock(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
}
static void call_pread(void)
{
	if (pread(file_fd, buf, sizeof(buf), 0) != sizeof(buf))
		abort();
}
static void call_write(void)
{
	if (write(null_fd, buf, 64) != 64)
		abort();
}
static void call_rdtsc(void)
{
	__asm__ volatile("rdtsc" ::: "eax", "edx");
}
static void call_program(void)
{
	pid_t pid = vfork();

	if (!pid) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		abort();
}
static void call_mix(void)
{
	static unsigned n;
	static void (*const calls[])(void) = {call_getppid, call_clock, call_pread, call_write};
	calls[n++ % 4]();
}

static const struct kind {
	const char *name;
	void (*call)(void);
} kinds[] = {
	{"getppid", call_getppid}, {"clock", call_clock}, {"pread", call_pread},     {"write", call_write},
	{"mix", call_mix},         {"rdtsc", call_rdtsc}, {"program", call_program},
};

static const struct kind *find(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	fprintf(stderr, "syscalls: no such kind: %s\n", name);
	exit(2);
}

static uint64_t now(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void measure(const struct kind *k, unsigned ms)
{
	uint64_t calls = 0, batch = k->call == call_program ? 1 : BATCH, wall = now(CLOCK_MONOTONIC),
		 cpu = now(CLOCK_THREAD_CPUTIME_ID), t;

	do { /* batches grow, so that looking at the clock does not count: it is a call, too */
		for (uint64_t i = 0; i < batch; i++)
			k->call();
		calls += batch;
		t = now(CLOCK_MONOTONIC) - wall;
		if (t < ms * 10000ull * (batch > 1 ? 10 : 1) && batch < 65536)
			batch *= 2;
	} while (t < ms * 1000000ull);
	cpu = now(CLOCK_THREAD_CPUTIME_ID) - cpu;
	printf("%s %.1f %.1f %llu\n", k->name, (double)cpu / (double)calls, (double)t / (double)calls,
	       (unsigned long long)calls);
	fflush(stdout);
}

static void load(const struct kind *k, double rate, double secs)
{
	uint64_t start = now(CLOCK_MONOTONIC), end = start + (uint64_t)(secs * 1e9), calls = 0, t;

	while ((t = now(CLOCK_MONOTONIC)) < end) {
		if (rate > 0 && (double)calls > (double)(t - start) * rate / 1e9) {
			nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
			continue;
		}
		for (unsigned i = 0; i < BATCH; i++)
			k->call();
		calls += BATCH;
	}
	printf("%llu\n", (unsigned long long)calls);
}

int main(int argc, char **argv)
{
	char name[32];
	unsigned ms;

	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	file_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (null_fd < 0 || file_fd < 0) {
		perror("syscalls: open");
		return 1;
	}
	if (argc == 5 && !strcmp(argv[1], "load")) {
		load(find(argv[2]), atof(argv[3]), atof(argv[4]));
		return 0;
	}
	if (argc != 2 || strcmp(argv[1], "serve")) {
		fprintf(stderr, "usage: syscalls serve | load KIND RATE SECS\n");
		return 2;
	}
	while (scanf("%31s %u", name, &ms) == 2)
		measure(find(name), ms);
	return 0;
}
