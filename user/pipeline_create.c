/* SPDX-License-Identifier: MIT
 * The pipeline's beginning and end: its memory and its threads.
 *
 * What the threads do is in pipeline.c and pipeline_writer.c. */
#include "pipeline_priv.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PIPE_POLL_US     500
/* A number that has neither come nor been counted for this long never will. */
#define PIPE_STUCK_NS    (2000 * 1000000ull)
/* Loss ends a segment at most this often: under sustained overload every record may be followed by a gap. */
#define PIPE_LOSS_END_NS (1000 * 1000000ull)

/* ---- Threads ---- */

static ct_u64 thread_cpu(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		return 0;
	return (ct_u64)ts.tv_sec * 1000000000ull + (ct_u64)ts.tv_nsec;
}

void pipe_thread_ends(struct pipe_thread *t)
{
	ct_u64 used = thread_cpu(CLOCK_THREAD_CPUTIME_ID);

	atomic_store(&t->cpu_ns, used ? used : 1);
}

static int start_thread(struct ct_pipeline *p, struct pipe_thread *t, void *(*fn)(void *), struct ct_error *err)
{
	pthread_attr_t attr;
	int rc;

	t->p = p;
	pthread_attr_init(&attr);
	rc = p->opts.cpus ? pthread_attr_setaffinity_np(&attr, p->opts.cpus_len, p->opts.cpus) : 0;
	if (!rc)
		rc = pthread_create(&t->id, &attr, fn, t);
	pthread_attr_destroy(&attr);
	if (rc) {
		errno = rc;
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot start a thread of the recorder");
	}
	t->started = true;
	return 0;
}

static void join_thread(struct pipe_thread *t)
{
	if (t->started)
		pthread_join(t->id, NULL);
	t->started = false;
}

ct_u64 pipe_threads_cpu(struct ct_pipeline *p)
{
	struct pipe_thread *threads[PIPE_THREADS_MAX] = {&p->consumer, &p->writer};
	ct_u64 sum = 0;

	for (int i = 0; i < p->nworkers; i++)
		threads[2 + i] = &p->worker[i];
	for (int i = 0; i < 2 + p->nworkers; i++) {
		ct_u64 ended = atomic_load(&threads[i]->cpu_ns);
		clockid_t clock;

		if (!ended && threads[i]->started && !pthread_getcpuclockid(threads[i]->id, &clock))
			ended = thread_cpu(clock);
		if (!ended) /* it ended just now */
			ended = atomic_load(&threads[i]->cpu_ns);
		sum += ended;
	}
	return sum;
}

/* ---- Creation ---- */

static int choose_workers(const struct ct_pipeline_opts *opts)
{
	long n = opts->workers;

	if (n <= 0) {
		n = opts->cpus ? CPU_COUNT_S(opts->cpus_len, (const cpu_set_t *)opts->cpus)
			       : sysconf(_SC_NPROCESSORS_ONLN);
		n = n > 2 ? 2 : n - 1;
	}
	return n < 1 ? 1 : n > PIPE_WORKERS_MAX ? PIPE_WORKERS_MAX : (int)n;
}

static void *lazy_memory(size_t bytes)
{
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static void destroy(struct ct_pipeline *p)
{
	for (int i = 0; i < PIPE_SLOTS; i++) {
		if (p->slot[i].raw)
			munmap(p->slot[i].raw, PIPE_RAW_CAP);
		if (p->slot[i].out)
			munmap(p->slot[i].out, pipe_out_cap());
	}
	for (int i = 0; i < p->nworkers; i++)
		ct_encoder_destroy(p->encoder[i]);
	ct_order_free(&p->order);
	pipe_writer_destroy(p->w);
	if (p->src)
		p->src->destroy(p->src);
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->qlock);
	pthread_mutex_destroy(&p->dlock);
	pthread_cond_destroy(&p->c_ready);
	pthread_cond_destroy(&p->c_done);
	pthread_cond_destroy(&p->c_free);
	pthread_cond_destroy(&p->c_sync);
	pthread_cond_destroy(&p->c_drain);
	free(p);
}

static struct ct_pipeline *allocate(const struct ct_pipeline_opts *opts, const struct pipe_hooks *hooks,
				    struct ct_error *err)
{
	struct ct_pipeline *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (!p) {
		if (hooks && hooks->source)
			hooks->source->destroy(hooks->source);
		ct_fail_errno(err, CT_EXIT_FAILED, "recorder: no memory");
		return NULL;
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->qlock, NULL);
	pthread_mutex_init(&p->dlock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->c_ready, &attr);
	pthread_cond_init(&p->c_done, &attr);
	pthread_cond_init(&p->c_free, &attr);
	pthread_cond_init(&p->c_sync, &attr);
	pthread_cond_init(&p->c_drain, &attr);
	pthread_condattr_destroy(&attr);
	p->opts = *opts;
	if (hooks)
		p->hooks = *hooks;
	if (!p->hooks.stuck_ns)
		p->hooks.stuck_ns = PIPE_STUCK_NS;
	if (!p->hooks.loss_end_ns)
		p->hooks.loss_end_ns = PIPE_LOSS_END_NS;
	p->src = p->hooks.source;
	p->empty = true;
	p->poll_ns = (opts->poll_us ? opts->poll_us : PIPE_POLL_US) * 1000ull;
	return p;
}

struct ct_pipeline *ct_pipeline_create_hooked(const struct ct_pipeline_opts *opts, const struct pipe_hooks *hooks,
					      struct ct_error *err)
{
	struct ct_pipeline *p = allocate(opts, hooks, err);
	sigset_t all, old;
	int rc = 0;

	if (!p)
		return NULL;
	if (!opts->kernel_seq || !opts->kernel_lost) {
		ct_fail(err, CT_EXIT_FAILED, "recorder: the kernel side's counters are missing");
		goto fail;
	}
	if (!p->src)
		p->src = ct_ring_open(opts->ring_fd, err);
	if (!p->src)
		goto fail;
	rc = pipe_order_init(p);
	for (int i = 0; i < PIPE_SLOTS && !rc; i++) {
		p->slot[i].raw = lazy_memory(PIPE_RAW_CAP);
		p->slot[i].out = lazy_memory(pipe_out_cap());
		if (!p->slot[i].raw || !p->slot[i].out || madvise(p->slot[i].raw, PIPE_BLOCK, MADV_WILLNEED))
			rc = -1;
	}
	if (rc) {
		ct_fail_errno(err, CT_EXIT_FAILED, "recorder: no memory for its buffers");
		goto fail;
	}
	p->nworkers = choose_workers(opts);
	for (int i = 0; i < p->nworkers; i++) {
		p->encoder[i] = ct_encoder_create(opts->level);
		if (!p->encoder[i]) {
			ct_fail(err, CT_EXIT_FAILED, "recorder: cannot compress at zstd level %d", opts->level);
			goto fail;
		}
	}
	p->w = pipe_writer_create(p, err);
	if (!p->w)
		goto fail;

	/* Signals are the command's business; a thread of ours must not take them from it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = start_thread(p, &p->writer, pipe_writer_main, err);
	for (int i = 0; i < p->nworkers && !rc; i++)
		rc = start_thread(p, &p->worker[i], pipe_worker_main, err);
	pthread_mutex_lock(&p->lock); /* the consumer starts when all this is in place */
	if (!rc)
		rc = start_thread(p, &p->consumer, pipe_consumer_main, err);
	pthread_mutex_unlock(&p->lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!rc)
		return p;
	/* The threads that did start end as after a recording without records. */
	pipe_end_log(p);
	if (!p->worker[0].started) {
		pthread_mutex_lock(&p->qlock);
		p->slot[0].state = SLOT_DONE;
		pthread_cond_broadcast(&p->c_done);
		pthread_mutex_unlock(&p->qlock);
	}
	for (int i = 0; i < p->nworkers; i++)
		join_thread(&p->worker[i]);
	join_thread(&p->writer);
fail:
	destroy(p);
	return NULL;
}

struct ct_pipeline *ct_pipeline_create(const struct ct_pipeline_opts *opts, struct ct_error *err)
{
	return ct_pipeline_create_hooked(opts, NULL, err);
}

/* ---- The end ---- */

int ct_pipeline_finish(struct ct_pipeline *p, struct ct_pipeline_stats *stats, struct ct_error *err)
{
	bool failed;

	p->stop_seq = __atomic_load_n(p->opts.kernel_seq, __ATOMIC_ACQUIRE);
	atomic_store(&p->stopping, true);
	pipe_kick(p);
	join_thread(&p->consumer);
	for (int i = 0; i < p->nworkers; i++)
		join_thread(&p->worker[i]);
	join_thread(&p->writer);
	if (stats)
		ct_pipeline_stats(p, stats);
	failed = ct_pipeline_error(p, err);
	destroy(p);
	return failed ? -1 : 0;
}
