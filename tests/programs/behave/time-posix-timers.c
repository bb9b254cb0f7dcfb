// SPDX-License-Identifier: MIT
/* POSIX timers: with a signal, a thread, nothing. */
#include "behave.h"
#include <pthread.h>
#include <signal.h>
#include <time.h>

static volatile int hits;

static void on(int sig, siginfo_t *info, void *context)
{
	(void)context;
	hits += info->si_value.sival_int;
	mix_number(sig), mix_number(info->si_overrun);
}

static void called(union sigval v)
{
	__sync_fetch_and_add(&hits, v.sival_int);
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on, .sa_flags = SA_SIGINFO};
	struct itimerspec its = {{0, 3000000}, {0, 3000000}}, got;
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 1};
	timer_t t;

	OK(sigaction(SIGRTMIN, &sa, NULL));
	OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
	OK(timer_settime(t, 0, &its, NULL));
	while (hits < 5)
		pause();
	FILL(got);
	OK(timer_gettime(t, &got));
	GOT(got);
	OK(timer_getoverrun(t));
	OK(timer_settime(t, 0, &(struct itimerspec){0}, &got));
	GOT(got);
	OK(timer_delete(t));
	ev.sigev_notify = SIGEV_NONE;
	OK(timer_create(CLOCK_REALTIME, &ev, &t));
	OK(timer_settime(t, 0, &its, NULL));
	usleep(2000);
	OK(timer_gettime(t, &got));
	GOT(got);
	OK(timer_delete(t));
	ev = (struct sigevent){
		.sigev_notify = SIGEV_THREAD, .sigev_notify_function = called, .sigev_value.sival_int = 100};
	OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
	its.it_interval.tv_nsec = 0;
	OK(timer_settime(t, 0, &its, NULL));
	while (hits < 100)
		usleep(500);
	OK(timer_delete(t));
	mix_number(hits);
	return end();
}
