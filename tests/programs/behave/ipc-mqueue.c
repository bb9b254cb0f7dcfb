// SPDX-License-Identifier: MIT
/* POSIX message queues: priorities, limits, notification. */
#include "behave.h"
#include <mqueue.h>
#include <signal.h>
#include <time.h>

static volatile int told;

static void on(int sig)
{
	told += sig;
}

int main(void)
{
	struct mq_attr attr = {.mq_maxmsg = 5, .mq_msgsize = 100}, got;
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct timespec past = {1, 0};
	char name[40], buf[100];
	unsigned prio;

	snprintf(name, sizeof(name), "/behave-%d", getpid());
	mqd_t q = mq_open(name, O_CREAT | O_RDWR, 0600, &attr);

	TRY(q);
	if (q < 0)
		return end();
	OK(mq_unlink(name));
	signal(SIGUSR1, on);
	OK(mq_notify(q, &ev));
	for (int i = 0; i < 10; i++) {
		OK(mq_send(q, "a message of some length", 10 + i, i % 4));
		OK(mq_send(q, "another", 7, 2));
		FILL(got);
		OK(mq_getattr(q, &got));
		mix(&got, 32);
		FILL(buf), FILL(prio);
		OK(mq_receive(q, buf, sizeof(buf), &prio));
		GOT(buf), GOT(prio);
		OK(mq_receive(q, buf, sizeof(buf), NULL));
		GOT(buf);
		TRY(mq_timedreceive(q, buf, sizeof(buf), &prio, &past));
		TRY(mq_receive(q, buf, 5, NULL));
	}
	attr.mq_flags = O_NONBLOCK;
	OK(mq_setattr(q, &attr, &got));
	mix(&got, 32);
	TRY(mq_receive(q, buf, sizeof(buf), NULL));
	mix_number(told);
	return end();
}
