// SPDX-License-Identifier: MIT
/* Agents' records on their way to the builders: a ring of parts, read by a thread. */
#include "replay/agents/feed.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "replay/agents/python_shared.h"

/* Small, so that what is read is still in the cache; large beside CT_PYA_ROOM, which may remain free in each. */
#define PARTS    8
#define PART_LEN (CT_PYA_BUFFER_LEN / PARTS)

struct ct_feed {
	ct_feed_reader *read;
	void *ctx;
	int memfd;
	struct ct_pya_buffer *buffer;
	cpu_set_t cpus;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t changed;
	size_t end[PARTS];    /* of what is in a part */
	ct_u64 filled, taken; /* parts, ever */
	bool quit, failed;
	struct ct_error err;
	pthread_mutex_t reading;
	atomic_uint wanted; /* by so many who wait for `reading` */
};

static size_t begin_of(ct_u64 part)
{
	return part % PARTS ? part % PARTS * PART_LEN : sizeof(struct ct_pya_buffer);
}

static void begin_part(struct ct_feed *f)
{
	f->buffer->pos = begin_of(f->filled);
	f->buffer->end = (f->filled % PARTS + 1) * PART_LEN;
}

struct ct_feed *ct_feed_create(ct_feed_reader *read, void *ctx, struct ct_error *err)
{
	struct ct_feed *f = calloc(1, sizeof(*f));

	if (!f) {
		ct_fail_memory(err);
		return NULL;
	}
	f->read = read;
	f->ctx = ctx;
	pthread_mutex_init(&f->lock, NULL);
	pthread_mutex_init(&f->reading, NULL);
	pthread_cond_init(&f->changed, NULL);
	f->buffer = MAP_FAILED;
	f->memfd = memfd_create("ctbpf-steps", MFD_CLOEXEC);
	if (f->memfd >= 0 && !ftruncate(f->memfd, CT_PYA_BUFFER_LEN))
		f->buffer = mmap(NULL, CT_PYA_BUFFER_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, f->memfd, 0);
	if (f->buffer == MAP_FAILED || sched_getaffinity(0, sizeof(f->cpus), &f->cpus)) {
		ct_fail_errno(err, CT_EXIT_FAILED, "no memory for the agents' buffer");
		ct_feed_destroy(f);
		return NULL;
	}
	begin_part(f);
	return f;
}

void ct_feed_destroy(struct ct_feed *f)
{
	if (!f)
		return;
	if (f->started) {
		pthread_mutex_lock(&f->lock);
		f->quit = true;
		pthread_cond_broadcast(&f->changed);
		pthread_mutex_unlock(&f->lock);
		pthread_join(f->thread, NULL);
	}
	if (f->buffer != MAP_FAILED)
		munmap(f->buffer, CT_PYA_BUFFER_LEN);
	if (f->memfd >= 0)
		close(f->memfd);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->reading);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

int ct_feed_memfd(const struct ct_feed *f)
{
	return f->memfd;
}

struct ct_pya_buffer *ct_feed_buffer(struct ct_feed *f)
{
	return f->buffer;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static void *read_parts(void *arg)
{
	struct ct_feed *f = arg;

	pthread_mutex_lock(&f->lock);
	for (;;) {
		const size_t at = begin_of(f->taken), end = f->end[f->taken % PARTS];
		const bool failed = f->failed;
		struct ct_error err;
		int ret = 0;

		if (f->taken == f->filled) {
			if (f->quit)
				break;
			pthread_cond_wait(&f->changed, &f->lock);
			continue;
		}
		pthread_mutex_unlock(&f->lock);
		if (!failed) {
			pthread_mutex_lock(&f->reading);
			ret = f->read(f->ctx, (const ct_u64 *)((const char *)f->buffer + at), (end - at) / 8, &err);
			pthread_mutex_unlock(&f->reading);
		}
		if (ret)
			ct_feed_fail(f, &err);
		pthread_mutex_lock(&f->lock);
		f->taken++;
		pthread_cond_broadcast(&f->changed);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* Signals are for the thread that replays. */
static int start(struct ct_feed *f)
{
	struct ct_error err;
	sigset_t all, before;
	pthread_attr_t attr;
	int rc;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(f->cpus), &f->cpus); /* a replay has one for itself */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&f->thread, &attr, read_parts, f);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	f->started = !rc;
	if (!rc)
		return 0;
	ct_fail(&err, CT_EXIT_FAILED, "no thread for what the agents tell: %s", strerror(rc));
	return ct_feed_fail(f, &err);
}

void ct_feed_pause(struct ct_feed *f)
{
	if (!atomic_load(&f->wanted))
		return;
	pthread_mutex_unlock(&f->reading);
	while (atomic_load(&f->wanted)) /* a mutex goes to who asks first, and that would be this thread */
		sched_yield();
	pthread_mutex_lock(&f->reading);
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

int ct_feed_flush(struct ct_feed *f)
{
	int ret;

	if (f->buffer->pos == begin_of(f->filled))
		return ct_feed_error(f) ? -1 : 0;
	if (!f->started && start(f)) {
		begin_part(f); /* what was told is lost */
		return -1;
	}
	pthread_mutex_lock(&f->lock);
	f->end[f->filled % PARTS] = f->buffer->pos;
	f->filled++;
	pthread_cond_broadcast(&f->changed);
	while (f->filled - f->taken == PARTS)
		pthread_cond_wait(&f->changed, &f->lock);
	begin_part(f);
	ret = f->failed ? -1 : 0;
	pthread_mutex_unlock(&f->lock);
	return ret;
}

int ct_feed_settle(struct ct_feed *f)
{
	int ret = ct_feed_flush(f);

	pthread_mutex_lock(&f->lock);
	while (f->started && f->filled != f->taken)
		pthread_cond_wait(&f->changed, &f->lock);
	ret = f->failed ? -1 : ret;
	pthread_mutex_unlock(&f->lock);
	return ret;
}

void ct_feed_hold(struct ct_feed *f)
{
	atomic_fetch_add(&f->wanted, 1);
	pthread_mutex_lock(&f->reading);
	atomic_fetch_sub(&f->wanted, 1);
}

void ct_feed_release(struct ct_feed *f)
{
	pthread_mutex_unlock(&f->reading);
}

/* ---- failures ----------------------------------------------------------------------------------------------- */

const struct ct_error *ct_feed_error(struct ct_feed *f)
{
	bool failed;

	pthread_mutex_lock(&f->lock);
	failed = f->failed;
	pthread_mutex_unlock(&f->lock);
	return failed ? &f->err : NULL; /* does not change any more */
}

int ct_feed_fail(struct ct_feed *f, const struct ct_error *err)
{
	pthread_mutex_lock(&f->lock);
	if (!f->failed)
		f->err = *err;
	f->failed = true;
	pthread_mutex_unlock(&f->lock);
	return -1;
}
