/* SPDX-License-Identifier: MIT
 * The pipeline's first half: ring -> numbered records in blocks; and the calls of pipeline.h between create and finish.
 *
 * Nothing here waits for the disk, except that a full queue of blocks makes the consumer wait: the ring then fills, and
 * what does not fit any more is counted by the kernel side. Workers and writer are in pipeline_writer.c. */
#include "pipeline_priv.h"

#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* So many bytes in one round (or an eighth of a small ring), and the next one starts without sleep. */
#define PIPE_BUSY_ROUND (1u << 20)
/* How long finish waits for numbered records that are not in the ring yet; more than PIPE_STUCK_NS. */
#define PIPE_FINISH_NS  (5000 * 1000000ull)

#define load(x)     atomic_load_explicit(&(x), memory_order_relaxed)
#define store(x, v) atomic_store_explicit(&(x), (v), memory_order_relaxed)

static ct_u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (ct_u64)ts.tv_sec * 1000000000ull + (ct_u64)ts.tv_nsec;
}

static struct timespec to_timespec(ct_u64 ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}

void pipe_fail(struct ct_pipeline *p, const struct ct_error *err)
{
	pthread_mutex_lock(&p->qlock);
	if (!atomic_load(&p->failed)) {
		p->error = *err;
		atomic_store(&p->failed, true);
	}
	pthread_cond_broadcast(&p->c_sync);
	pthread_mutex_unlock(&p->qlock);
	pthread_mutex_lock(&p->dlock);
	pthread_cond_broadcast(&p->c_drain);
	pthread_mutex_unlock(&p->dlock);
}

/* ---- Filling blocks; all with p->lock held ---- */

static struct slot *open_slot(struct ct_pipeline *p)
{
	struct slot *s = &p->slot[p->jobs % PIPE_SLOTS]; /* only the holder of p->lock changes jobs */

	if (p->cur)
		return p->cur;
	pthread_mutex_lock(&p->qlock);
	/* After a failure the writer goes on freeing slots, so this always ends. */
	while (s->state != SLOT_FREE)
		pthread_cond_wait(&p->c_free, &p->qlock);
	s->state = SLOT_OPEN;
	pthread_mutex_unlock(&p->qlock);
	s->used = 0;
	s->events = 0;
	s->flags = 0;
	s->broken_from = 0;
	s->bad = false;
	s->opened_ns = p->now;
	p->cur = s;
	return s;
}

static void close_slot(struct ct_pipeline *p, unsigned flags)
{
	struct slot *s = p->cur;

	if (!s && !flags)
		return;
	s = open_slot(p);
	s->flags = flags;
	pthread_mutex_lock(&p->qlock);
	s->job = p->jobs++;
	s->state = SLOT_READY;
	if (flags & SLOT_FINAL) {
		p->closing = true;
		pthread_cond_broadcast(&p->c_ready);
	} else {
		pthread_cond_signal(&p->c_ready);
	}
	pthread_mutex_unlock(&p->qlock);
	p->cur = NULL;
	if (flags & SLOT_END) {
		p->last_end = s->job + 1;
		p->empty = true;
	}
}

/* Stores a checked record as the next one and returns it. The ring's memory cannot be written to, so the number goes
 * into the copy. */
static struct ct_event *emit(struct ct_pipeline *p, const struct ct_event *ev)
{
	size_t size = ev->size, stride = (size + 7) & ~(size_t)7;
	struct slot *s = p->cur;
	struct ct_event *copy;

	if (__builtin_expect(!s || s->used + stride > PIPE_BLOCK, 0)) {
		if (s && s->used)
			close_slot(p, 0);
		s = open_slot(p);
	}
	copy = (struct ct_event *)(s->raw + s->used);
	/* What the ring holds behind an odd-sized record is old data: not ours to store. */
	memset((unsigned char *)copy + stride - 8, 0, 8);
	memcpy(copy, ev, size);
	copy->seq = ++p->seq;
	s->used += stride;
	s->events++;
	p->empty = false;
	p->events++;
	p->raw_bytes += stride;
	p->last_ns = copy->time_ns;
	if (__builtin_expect(!p->first_ns, 0))
		p->first_ns = copy->time_ns;
	return copy;
}

/* `count` records of the kernel's are lost: the number jumps, a LOST record follows and ends the segment. */
static void emit_lost(struct ct_pipeline *p, ct_u64 count, enum ct_lost_reason reason)
{
	struct {
		struct ct_event ev;
		struct ct_ev_lost lost;
	} rec = {
		.ev = {.size = sizeof(rec), .type = CT_EV_LOST, .time_ns = p->last_ns ? p->last_ns : p->now},
		.lost = {.count = count, .reason = reason},
	};
	ct_u64 first = p->seq + 1;

	p->seq += count;
	p->lost += count;
	emit(p, &rec.ev);
	if (!p->cur->broken_from)
		p->cur->broken_from = first;
	if (!p->loss_end_at || p->now - p->loss_end_at >= p->hooks.loss_end_ns) {
		close_slot(p, SLOT_END);
		p->loss_end_at = p->now;
		p->loss_end_due = false;
	} else {
		p->loss_end_due = true;
	}
}

static void end_segment(struct ct_pipeline *p)
{
	if (!p->empty)
		close_slot(p, SLOT_END);
	p->loss_end_due = false;
}

static void publish(struct ct_pipeline *p)
{
	store(p->s_events, p->events);
	store(p->s_raw, p->raw_bytes);
	store(p->s_lost, p->lost);
	store(p->s_reordered, p->order.reordered);
	store(p->s_fill_max, p->fill_max);
	store(p->s_first_ns, p->first_ns);
	store(p->s_last_ns, p->last_ns);
	store(p->s_last_seq, p->seq);
}

/* ---- What the ring gives, in the order of the kernel's numbers (ring.c); with p->lock held ---- */

static void on_record(void *ctx, const struct ct_event *ev)
{
	struct ct_pipeline *p = ctx;
	struct ct_event *copy;

	if (p->opts.rewrite && ev->size >= p->opts.rewrite_min)
		ev = p->opts.rewrite(p->opts.tap_ctx, ev);
	if (!ev)
		return;
	copy = emit(p, ev);

	if (p->opts.tap) {
		store(p->in_tap, true);
		p->opts.tap(p->opts.tap_ctx, copy);
		store(p->in_tap, false);
	}
}

static void on_lost(void *ctx, ct_u64 count, enum ct_lost_reason reason)
{
	emit_lost(ctx, count, reason);
}

int pipe_order_init(struct ct_pipeline *p)
{
	p->order = (struct ct_order){.src = p->src,
				     .kernel_seq = p->opts.kernel_seq,
				     .kernel_lost = p->opts.kernel_lost,
				     .stuck_ns = p->hooks.stuck_ns,
				     .record = on_record,
				     .lost = on_lost,
				     .ctx = p};
	return ct_order_init(&p->order);
}

void pipe_end_log(struct ct_pipeline *p)
{
	pthread_mutex_lock(&p->lock);
	close_slot(p, SLOT_END | SLOT_FINAL);
	pthread_mutex_unlock(&p->lock);
}

/* ---- The consumer thread ---- */

static void idle(struct ct_pipeline *p, unsigned kick)
{
	struct timespec ts = to_timespec(p->poll_ns);

	/* Not a plain sleep: drain and finish should not have to wait for its end. */
	syscall(SYS_futex, &p->kick, FUTEX_WAIT_PRIVATE, kick, &ts, NULL, 0);
}

void pipe_kick(struct ct_pipeline *p)
{
	atomic_fetch_add(&p->kick, 1);
	syscall(SYS_futex, &p->kick, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void timers(struct ct_pipeline *p)
{
	if (p->cur && p->now - p->cur->opened_ns >= PIPE_AGE_NS)
		close_slot(p, 0);
	if (p->loss_end_due && p->now - p->loss_end_at >= p->hooks.loss_end_ns) {
		close_slot(p, SLOT_END);
		p->loss_end_at = p->now;
		p->loss_end_due = false;
	}
}

/* One batch; returns how many records it had. */
static size_t consume(struct ct_pipeline *p)
{
	ct_u64 fill;
	size_t n;

	p->now = now_ns();
	fill = p->src->produced(p->src) - p->order.released;
	if (fill > p->fill_max)
		p->fill_max = fill;
	n = ct_order_batch(&p->order, p->now);
	timers(p);
	publish(p);
	return n;
}

void *pipe_consumer_main(void *arg)
{
	struct pipe_thread *self = arg;
	struct ct_pipeline *p = self->p;
	const ct_u64 busy = p->src->size / 8 < PIPE_BUSY_ROUND ? p->src->size / 8 : PIPE_BUSY_ROUND;
	ct_u64 round = p->src->pos, deadline = 0;

	pthread_setname_np(pthread_self(), "ctbpf-ring");
	for (;;) {
		unsigned seen = atomic_load(&p->kick);
		bool stopping = atomic_load(&p->stopping);

		/* The lock is given to whoever asks first, and that would nearly always be this loop. */
		for (int i = 0; i < 1000 && load(p->appenders); i++)
			sched_yield();
		pthread_mutex_lock(&p->lock);
		size_t n = consume(p);
		ct_u64 now = p->now;
		pthread_mutex_unlock(&p->lock);

		atomic_store(&p->done_seq, p->order.next - 1);
		if (atomic_load(&p->drainers)) {
			pthread_mutex_lock(&p->dlock);
			pthread_cond_broadcast(&p->c_drain);
			pthread_mutex_unlock(&p->dlock);
		}
		if (stopping) {
			if (!deadline)
				deadline = now + PIPE_FINISH_NS;
			if (p->order.next > p->stop_seq || now > deadline)
				break;
		}
		if (n == CT_ORDER_BATCH)
			continue;
		/* The ring is read up: sleeping now makes the next batch worth while, unless it fills fast. */
		if (p->src->pos - round < busy)
			idle(p, seen);
		round = p->src->pos;
	}
	pthread_mutex_lock(&p->lock);
	p->now = now_ns();
	ct_order_give_up(&p->order, p->stop_seq); /* numbers whose producers never finished */
	close_slot(p, SLOT_END | SLOT_FINAL);
	publish(p);
	pthread_mutex_unlock(&p->lock);
	pipe_thread_ends(self);
	return NULL;
}

/* ---- The public calls ---- */

static bool on_consumer(struct ct_pipeline *p)
{
	return load(p->in_tap) && pthread_equal(pthread_self(), p->consumer.id);
}

bool ct_pipeline_error(struct ct_pipeline *p, struct ct_error *err)
{
	if (!atomic_load(&p->failed))
		return false;
	if (err) {
		pthread_mutex_lock(&p->qlock);
		*err = p->error;
		pthread_mutex_unlock(&p->qlock);
	}
	return true;
}

int ct_pipeline_drain(struct ct_pipeline *p, unsigned timeout_ms, struct ct_error *err)
{
	ct_u64 want = __atomic_load_n(p->opts.kernel_seq, __ATOMIC_ACQUIRE);
	struct timespec until = to_timespec(now_ns() + timeout_ms * 1000000ull);
	int rc = 0;

	if (on_consumer(p))
		return ct_fail(err, CT_EXIT_FAILED, "the log cannot be drained from within a tap");
	atomic_fetch_add(&p->drainers, 1);
	pipe_kick(p);
	pthread_mutex_lock(&p->dlock);
	while (!rc && !atomic_load(&p->failed) && atomic_load(&p->done_seq) < want)
		rc = pthread_cond_timedwait(&p->c_drain, &p->dlock, &until);
	pthread_mutex_unlock(&p->dlock);
	atomic_fetch_sub(&p->drainers, 1);
	if (ct_pipeline_error(p, err))
		return -1;
	if (atomic_load(&p->done_seq) < want)
		return ct_fail(err, CT_EXIT_FAILED,
			       "the ring buffer did not give up record %llu within %u ms (it is at %llu)",
			       (unsigned long long)want, timeout_ms, (unsigned long long)atomic_load(&p->done_seq));
	return 0;
}

static ct_u64 append(struct ct_pipeline *p, struct ct_event *ev, bool first)
{
	bool own = on_consumer(p);

	if (ev->size < sizeof(*ev) || ev->size > CT_EVENT_MAX || atomic_load(&p->failed))
		return 0;
	if (!own) {
		atomic_fetch_add(&p->appenders, 1);
		pthread_mutex_lock(&p->lock);
		atomic_fetch_sub(&p->appenders, 1);
		p->now = now_ns();
	}
	if (!ev->time_ns) /* the ring may hold records that are older than now: times do not go backwards in the log */
		ev->time_ns = p->last_ns ? p->last_ns : own ? now_ns() : p->now;
	if (first)
		end_segment(p);
	ev->seq = emit(p, ev)->seq;
	if (!own) {
		publish(p);
		pthread_mutex_unlock(&p->lock);
	}
	return ev->seq;
}

ct_u64 ct_pipeline_append(struct ct_pipeline *p, struct ct_event *ev)
{
	return append(p, ev, false);
}

ct_u64 ct_pipeline_begin_segment(struct ct_pipeline *p, struct ct_event *ev)
{
	return append(p, ev, true);
}

int ct_pipeline_settle(struct ct_pipeline *p, struct ct_error *err)
{
	ct_u64 ended;

	pthread_mutex_lock(&p->lock);
	ended = p->last_end;
	pthread_mutex_unlock(&p->lock);
	pthread_mutex_lock(&p->qlock);
	while (p->synced < ended && !atomic_load(&p->failed))
		pthread_cond_wait(&p->c_sync, &p->qlock);
	pthread_mutex_unlock(&p->qlock);
	return ct_pipeline_error(p, err) ? -1 : 0;
}

int ct_pipeline_rotate(struct ct_pipeline *p, struct ct_error *err)
{
	if (on_consumer(p))
		return ct_fail(err, CT_EXIT_FAILED, "a segment cannot be ended from within a tap");
	atomic_fetch_add(&p->appenders, 1);
	pthread_mutex_lock(&p->lock);
	atomic_fetch_sub(&p->appenders, 1);
	end_segment(p);
	pthread_mutex_unlock(&p->lock);
	return ct_pipeline_settle(p, err);
}

void ct_pipeline_stats(struct ct_pipeline *p, struct ct_pipeline_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	stats->failed = atomic_load(&p->failed);
	/* After a failure only what is on disk counts; everything numbered since is lost. */
	stats->events = stats->failed ? load(p->d_events) : load(p->s_events);
	stats->raw_bytes = stats->failed ? load(p->d_raw) : load(p->s_raw);
	stats->last_ns = stats->failed ? load(p->d_last_ns) : load(p->s_last_ns);
	stats->last_seq = stats->failed ? load(p->d_last_seq) : load(p->s_last_seq);
	stats->lost = load(p->s_lost) + load(p->s_dropped);
	stats->first_ns = load(p->s_first_ns);
	stats->stored_bytes = load(p->s_stored);
	stats->segments = load(p->s_segments);
	stats->reordered = load(p->s_reordered);
	stats->ring_bytes_max = load(p->s_fill_max);
	stats->cpu_ns = pipe_threads_cpu(p);
}
