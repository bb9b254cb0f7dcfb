// SPDX-License-Identifier: MIT
/* Held processes that the main thread does not answer, because it waits itself for a lock of another recorded process
 * (a look at /proc/PID/stat waits for exec_update_lock, ptrace for cred_guard_mutex: both are held all through an
 * execve), and that one for the CPU which the held one occupies. A thread of its own stops the held one then, and hands
 * it over later. */
#include <errno.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "user/recorder_priv.h"

#define OVERDUE_NS 40000000ull  /* a main thread that is not stuck answers in less, but on the busiest machines */
#define SPIN_NS    100000000ull /* for so long the CPU is kept from a process that is handed over */

enum {
	HAND_NONE,   /* the main thread's, as usual */
	HAND_ASKED,  /* to be seized by the other thread, */
	HAND_HAS,    /* which has done so, */
	HAND_WANTED, /* and is to let go of it */
	HAND_LEFT,   /* let go of, but not on the CPU yet */
	HAND_TAKEN,  /* seized by the main thread */
	HAND_LATE,   /* it got the CPU before that */
	HAND_GONE,   /* it ended, or was not to be seized */
};

/* Only for the moment of a handover: real-time threads that stay so would starve what shares their CPU. */
static bool be_first(bool on)
{
	struct sched_param param = {.sched_priority = on ? sched_get_priority_max(SCHED_FIFO) : 0};

	return !sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &param);
}

/* Two threads cannot trace the same process, and between the one's PTRACE_DETACH and the other's PTRACE_SEIZE it would
 * run. It does not on a CPU that a thread of higher priority has: it is pinned to that. */
static void hand_over(struct ct_recorder *r, struct ct_held *h)
{
	const pid_t tid = (pid_t)h->hold.tid;
	int state = HAND_LEFT, ret;
	cpu_set_t there;
	ct_u64 until;

	for (int tries = 0; (ret = ct_wait_interrupted_fairly(tid, 1000)) == -ETIMEDOUT && tries < 10; tries++)
		;
	if (ret) {
		atomic_store(&h->hand, HAND_GONE);
		return;
	}
	CPU_ZERO(&there);
	CPU_SET(r->pin.cpu, &there);
	if (sched_setaffinity(0, sizeof(there), &there) || !be_first(true))
		state = HAND_LATE;
	ptrace(PTRACE_DETACH, tid, 0, 0);
	atomic_store(&h->hand, state);
	until = ct_now_ns() + SPIN_NS;
	while (atomic_load(&h->hand) == HAND_LEFT && ct_now_ns() < until)
		;
	state = HAND_LEFT;
	atomic_compare_exchange_strong(&h->hand, &state, HAND_LATE);
	be_first(false);
	sched_setaffinity(0, sizeof(r->others), &r->others);
}

static void *hand_main(void *arg)
{
	struct ct_recorder *r = arg;

	pthread_setname_np(pthread_self(), "ctbpf-hand");
	setpriority(PRIO_PROCESS, gettid(), -10);
	pthread_mutex_lock(&r->heard_lock);
	r->hand_can = be_first(true) && be_first(false); /* not if a group scheduler allows no real time */
	for (;;) {
		struct ct_held *h = r->hand_next;

		if (!h) {
			if (r->hand_quit)
				break;
			pthread_cond_wait(&r->hand_wake, &r->heard_lock);
			continue;
		}
		r->hand_next = h->hand_next;
		pthread_mutex_unlock(&r->heard_lock);
		if (atomic_load(&h->hand) == HAND_WANTED) {
			hand_over(r, h);
		} else if (ct_seize((pid_t)h->hold.tid, PTRACE_O_TRACESYSGOOD)) {
			atomic_store(&h->hand, HAND_GONE);
		} else {
			ptrace(PTRACE_INTERRUPT, (pid_t)h->hold.tid, 0, 0);
			h->told_ns = ct_now_ns();
			ct_recorder_release_held(r, &h->hold);
			atomic_store(&h->hand, HAND_HAS);
		}
		pthread_mutex_lock(&r->heard_lock);
	}
	pthread_mutex_unlock(&r->heard_lock);
	return NULL;
}

/* With heard_lock held. */
static void ask(struct ct_recorder *r, struct ct_held *h, int what)
{
	atomic_store(&h->hand, what);
	h->hand_next = r->hand_next;
	r->hand_next = h;
	pthread_cond_signal(&r->hand_wake);
}

int ct_recorder_hand_start(struct ct_recorder *r, struct ct_error *err)
{
	pthread_cond_init(&r->hand_wake, NULL);
	if (pthread_create(&r->hand, NULL, hand_main, r))
		return ct_fail(err, CT_EXIT_FAILED, "cannot start a thread");
	r->hand_on = true;
	return 0;
}

void ct_recorder_hand_stop(struct ct_recorder *r)
{
	if (!r->hand_on)
		return;
	pthread_mutex_lock(&r->heard_lock);
	r->hand_quit = true;
	pthread_cond_signal(&r->hand_wake);
	pthread_mutex_unlock(&r->heard_lock);
	pthread_join(r->hand, NULL);
	r->hand_on = false;
}

void ct_recorder_hand_look(struct ct_recorder *r)
{
	pthread_mutex_lock(&r->heard_lock);
	for (struct ct_held *h = r->heard; h && r->hand_can; h = h->next)
		if (h->to_stop && atomic_load(&h->hand) == HAND_NONE && ct_now_ns() - h->heard_ns > OVERDUE_NS)
			ask(r, h, HAND_ASKED);
	pthread_mutex_unlock(&r->heard_lock);
}

bool ct_recorder_hand_has(const struct ct_held *h)
{
	return atomic_load(&h->hand) != HAND_NONE;
}

int ct_recorder_hand_regain(struct ct_recorder *r, struct ct_held *h)
{
	const struct timespec pause = {.tv_nsec = 20000};
	int state = atomic_load(&h->hand);

	for (; state == HAND_ASKED; state = atomic_load(&h->hand))
		nanosleep(&pause, NULL);
	if (state == HAND_HAS) {
		pthread_mutex_lock(&r->heard_lock);
		ask(r, h, HAND_WANTED);
		pthread_mutex_unlock(&r->heard_lock);
		/* It comes to its stop, and the other thread to that CPU, when nobody else is held there. */
		r->regaining = true;
		for (state = HAND_WANTED; state == HAND_WANTED; state = atomic_load(&h->hand)) {
			ct_recorder_answer(r);
			nanosleep(&pause, NULL);
		}
		r->regaining = false;
	}
	if (state == HAND_GONE)
		return 0;
	h->stopped = !ct_seize((pid_t)h->hold.tid, PTRACE_O_TRACESYSGOOD) &&
		     !ptrace(PTRACE_INTERRUPT, (pid_t)h->hold.tid, 0, 0);
	if (!atomic_compare_exchange_strong(&h->hand, &state, HAND_TAKEN) || state == HAND_LATE)
		ct_recorder_note(r, CT_EV_UNSOUND, CT_UNSOUND_EXEC_NOT_HELD, h->hold.pid, 0,
				 "process %u, which was held, ran before it was stopped", h->hold.pid);
	return 1;
}
