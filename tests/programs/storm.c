/* SPDX-License-Identifier: MIT
 * A target that does one thing as often as it can, and checks that each went well.
 *
 * usage: storm fork|forkexec|vfork|spawn|threads|reexec|calls|reads|crash [COUNT]
 *   fork      fork, child exits, wait            vfork     vfork, child runs /bin/true, wait
 *   forkexec  fork, child runs /bin/true, wait   spawn     posix_spawn of /bin/true, wait
 *   threads   create four threads, join them     reexec    execve of itself with the count in its arguments
 *   calls     getppid                            reads     read 64 KiB of /dev/urandom
 *   crash     COUNT rounds of `calls`, then a null pointer
 * Without COUNT until SIGTERM, which ends it with status 0; `rounds N` is printed at the end and now and then. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static volatile sig_atomic_t stop;
static char *const program[] = {"/bin/true", NULL};

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static void fail(const char *what, int status)
{
	printf("WRONG: %s (%d)\n", what, status);
	exit(1);
}

static void *thread(void *arg)
{
	return (void *)((size_t)arg * 2);
}

static void wait_for(pid_t pid, int want)
{
	int status = -1;

	if (pid <= 0)
		fail("no child", pid);
	if (waitpid(pid, &status, 0) != pid)
		fail("wait", status);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != want)
		fail("status of a child", status);
}

static void round_of(const char *what, long n)
{
	static char buf[65536];
	static int fd = -1;
	pid_t pid = 0;

	if (!strcmp(what, "fork")) {
		pid = fork();
		if (!pid)
			_exit((int)(n & 127));
		wait_for(pid, (int)(n & 127));
	} else if (!strcmp(what, "forkexec")) {
		pid = fork();
		if (!pid) {
			execv(program[0], program);
			_exit(127);
		}
		wait_for(pid, 0);
	} else if (!strcmp(what, "vfork")) {
		pid = vfork();
		if (!pid) {
			execv(program[0], program);
			_exit(127);
		}
		wait_for(pid, 0);
	} else if (!strcmp(what, "spawn")) {
		if (posix_spawn(&pid, program[0], NULL, NULL, program, environ))
			fail("posix_spawn", 0);
		wait_for(pid, 0);
	} else if (!strcmp(what, "threads")) {
		pthread_t t[4];
		void *got;

		for (size_t i = 0; i < 4; i++)
			if (pthread_create(&t[i], NULL, thread, (void *)(i + n)))
				fail("pthread_create", (int)i);
		for (size_t i = 0; i < 4; i++)
			if (pthread_join(t[i], &got) || got != (void *)((i + n) * 2))
				fail("pthread_join", (int)i);
	} else if (!strcmp(what, "reads")) {
		if (fd < 0)
			fd = open("/dev/urandom", O_RDONLY);
		if (read(fd, buf, sizeof(buf)) != sizeof(buf))
			fail("read", 0);
	} else {
		for (int i = 0; i < 1000; i++)
			syscall(SYS_getppid);
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "calls";
	long count = argc > 2 ? atol(argv[2]) : -1, n;
	struct sigaction sa = {.sa_handler = on_term, .sa_flags = SA_RESTART};

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &sa, NULL);
	if (!strcmp(what, "reexec")) {
		/* The rounds to go are in the count; the process id stays. */
		char left[24];
		struct timespec pause = {0, 20000000};

		if (stop || count == 0) {
			printf("rounds done\n");
			return 0;
		}
		nanosleep(&pause, NULL);
		snprintf(left, sizeof(left), "%ld", count < 0 ? count : count - 1);
		execl("/proc/self/exe", "storm", what, left, (char *)NULL);
		fail("execve", 0);
	}
	for (n = 0; !stop && n != count; n++) {
		round_of(what, n);
		if (n % 100 == 99)
			printf("rounds %ld\n", n + 1);
	}
	if (!strcmp(what, "crash"))
		*(volatile int *)0 = 1;
	printf("rounds %ld\n", n);
	return 0;
}
