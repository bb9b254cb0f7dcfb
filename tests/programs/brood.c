/* SPDX-License-Identifier: MIT
 * A target that always has many children, or makes and joins threads on many threads at once, and checks each.
 *
 * usage: brood fork|threads AT_ONCE [COUNT]
 *   fork     AT_ONCE children live at any time; each makes some calls and exits with a status of its own
 *   threads  AT_ONCE threads, each of which makes and joins threads all the time
 * Without COUNT (children, or threads made by each thread) until SIGTERM, which ends it with status 0. Now and then a line
 * `made N` is printed, `end N` at the end. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 256

static volatile sig_atomic_t stop;
static _Atomic long made;
static long count = -1;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static void wrong(const char *what, long value)
{
	printf("WRONG: %s (%ld)\n", what, value);
	exit(1);
}

static void one_made(void)
{
	long n = ++made;

	if (n % 100 == 0)
		printf("made %ld\n", n);
}

static void children(int at_once)
{
	static pid_t child[MOST];
	int slot, status;
	long n;

	for (n = 0; !stop && n != count; n++) {
		slot = (int)(n % at_once);
		if (child[slot]) {
			if (waitpid(child[slot], &status, 0) != child[slot])
				wrong("wait", child[slot]);
			if (!WIFEXITED(status) || WEXITSTATUS(status) != slot % 128)
				wrong("status of a child", status);
		}
		child[slot] = fork();
		if (child[slot] < 0)
			wrong("fork", n);
		if (!child[slot]) {
			for (int i = 0; i < 20; i++)
				if (syscall(SYS_getpid) <= 1)
					_exit(255);
			_exit(slot % 128);
		}
		one_made();
	}
	for (slot = 0; slot < at_once; slot++)
		if (child[slot] && (waitpid(child[slot], &status, 0) != child[slot] || !WIFEXITED(status) ||
				    WEXITSTATUS(status) != slot % 128))
			wrong("a last child", status);
}

static void *twice(void *arg)
{
	return (void *)((size_t)arg * 2);
}

static void *maker(void *arg)
{
	pthread_t t[2];
	void *got;

	for (size_t n = 0; !stop && (long)n != count; n++) {
		for (size_t i = 0; i < 2; i++)
			if (pthread_create(&t[i], NULL, twice, (void *)(n + i)))
				wrong("pthread_create", (long)n);
		for (size_t i = 0; i < 2; i++)
			if (pthread_join(t[i], &got) || got != (void *)((n + i) * 2))
				wrong("pthread_join", (long)n);
		one_made();
	}
	return arg;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "fork";
	int at_once = argc > 2 ? atoi(argv[2]) : 20;
	struct sigaction sa = {.sa_handler = on_term, .sa_flags = SA_RESTART};
	pthread_t t[MOST];

	at_once = at_once < 1 ? 1 : at_once > MOST ? MOST : at_once;
	count = argc > 3 ? atol(argv[3]) : -1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &sa, NULL);
	if (!strcmp(what, "fork")) {
		children(at_once);
	} else {
		for (int i = 0; i < at_once; i++)
			if (pthread_create(&t[i], NULL, maker, NULL))
				wrong("pthread_create", i);
		for (int i = 0; i < at_once; i++)
			pthread_join(t[i], NULL);
	}
	printf("end %ld\n", made);
	return 0;
}
