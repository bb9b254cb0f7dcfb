/* SPDX-License-Identifier: MIT
 * A threaded target with signals and timers that checks itself and prints a line every 20 ms.
 *
 * usage: answers [WORKERS]
 * A line is `tick N errors N eintr N cpu_id N`: cpu_id is what the main thread's restartable sequence area says (below
 * zero: not registered); eintr counts calls that were interrupted though no signal was sent to their thread. SIGTERM
 * ends it with status 0 if nothing was wrong. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/rseq.h>
#include <time.h>
#include <unistd.h>

static _Atomic unsigned long errors, eintr, alarms, nudges, turns;
static volatile sig_atomic_t stop;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static unsigned long guarded, check_guarded;
static int event;

static void wrong(const char *what)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "WRONG: %s\n", what);

	errors++;
	if (write(STDOUT_FILENO, line, n) < 0)
		_exit(9);
}

static void on_signal(int sig)
{
	if (sig == SIGTERM)
		stop = 1;
	else if (sig == SIGUSR1)
		nudges++;
	else
		alarms++;
}

/* Waits for events only, in a call that a stop of the process would interrupt. */
static void *waiter(void *arg)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int ep = epoll_create1(0);
	uint64_t n;

	epoll_ctl(ep, EPOLL_CTL_ADD, event, &ev);
	while (!stop) {
		int got = epoll_wait(ep, &ev, 1, -1);

		if (got < 0 && errno == EINTR)
			eintr++;
		else if (got != 1 || read(event, &n, sizeof(n)) != sizeof(n))
			wrong("epoll_wait");
	}
	return arg;
}

/* Vector registers and flags must survive whatever happens. */
static void *computer(void *arg)
{
	struct timespec pause = {0, 1000000}, now, last = {0};
	uint64_t first = 0;

	while (!stop) {
		double sum = 0;
		uint64_t h = 1469598103934665603ull;

		for (int i = 1; i <= 20000; i++) {
			sum += 1.0 / i;
			h = (h ^ i) * 1099511628211ull;
		}
		if (sum < 10.480728 || sum > 10.480729)
			wrong("floating point");
		if (!first)
			first = h;
		else if (first != h)
			wrong("integers");
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec < last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec))
			wrong("the clock went back");
		last = now;
		nanosleep(&pause, NULL);
	}
	return arg;
}

static void *worker(void *arg)
{
	struct timespec pause = {0, 500000};

	while (!stop) {
		pthread_mutex_lock(&lock);
		guarded++;
		check_guarded++;
		if (guarded != check_guarded)
			wrong("the lock does not exclude");
		turns++;
		pthread_cond_broadcast(&turned);
		pthread_mutex_unlock(&lock);
		nanosleep(&pause, NULL);
	}
	pthread_mutex_lock(&lock);
	pthread_cond_broadcast(&turned); /* main may have begun to wait before it could see `stop` */
	pthread_mutex_unlock(&lock);
	return arg;
}

int main(int argc, char **argv)
{
	int workers = argc > 1 ? atoi(argv[1]) : 3;
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct sigevent to = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
	struct itimerspec every = {{0, 5000000}, {0, 5000000}};
	const volatile struct rseq *rs = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
	pthread_t waits, computes, works[64];
	sigset_t all, old;
	timer_t timer;
	uint64_t one = 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	workers = workers < 0 ? 0 : workers > 64 ? 64 : workers;
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGRTMIN, &sa, NULL);
	event = eventfd(0, 0);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	pthread_create(&waits, NULL, waiter, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_create(&computes, NULL, computer, NULL);
	for (int i = 0; i < workers; i++)
		pthread_create(&works[i], NULL, worker, NULL);
	timer_create(CLOCK_MONOTONIC, &to, &timer);
	timer_settime(timer, 0, &every, NULL);
	for (unsigned long n = 0; !stop; n++) {
		struct timespec pause = {0, 20000000};

		if (write(event, &one, sizeof(one)) != sizeof(one))
			wrong("eventfd");
		if (workers)
			pthread_kill(works[n % workers], SIGUSR1);
		if (workers) {
			struct timespec until;

			clock_gettime(CLOCK_REALTIME, &until);
			until.tv_sec += 20;
			pthread_mutex_lock(&lock);
			if (!stop && pthread_cond_timedwait(&turned, &lock, &until))
				wrong("nobody worked for 20 s");
			pthread_mutex_unlock(&lock);
		}
		while (nanosleep(&pause, &pause) && errno == EINTR && !stop)
			;
		printf("tick %lu errors %lu eintr %lu cpu_id %d\n", n, errors, eintr,
		       __rseq_size ? (int)rs->cpu_id : -9);
	}
	if (write(event, &one, sizeof(one)) < 0)
		return 9;
	for (int i = 0; i < workers; i++)
		pthread_join(works[i], NULL);
	pthread_join(computes, NULL);
	pthread_join(waits, NULL);
	printf("end errors %lu eintr %lu alarms %lu nudges %lu\n", errors, eintr, alarms, nudges);
	return errors ? 1 : 0;
}
