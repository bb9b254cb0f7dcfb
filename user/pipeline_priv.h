/* SPDX-License-Identifier: MIT
 * What the parts of the pipeline share: slots, the queue between the threads, test hooks.
 *
 * pipeline_create.c makes and ends it, pipeline.c owns the consumer and the public calls, pipeline_writer.c the zstd
 * workers and the writer. */
#ifndef CT_PIPELINE_PRIV_H
#define CT_PIPELINE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "../formats/segment.h"
#include "pipeline.h"
#include "ring.h"

#define PIPE_SLOTS       16
#define PIPE_BLOCK       (512u << 10) /* raw bytes after which a block is closed: from 256 KiB to 1 MiB, equally fast */
#define PIPE_RAW_CAP     CT_EVENT_MAX /* a larger record has a block of its own; untouched pages cost nothing */
#define PIPE_AGE_NS      (200 * 1000000ull) /* a block is closed when its first record has waited this long */
#define PIPE_WORKERS_MAX 16
#define PIPE_THREADS_MAX (PIPE_WORKERS_MAX + 2)

/* A block's way: FREE -> OPEN (being filled) -> READY (to compress) -> BUSY -> DONE -> WRITING -> FREE. Job j always
 * uses slot j % PIPE_SLOTS, which is what keeps the blocks in order and the memory bounded. */
enum slot_state { SLOT_FREE, SLOT_OPEN, SLOT_READY, SLOT_BUSY, SLOT_DONE, SLOT_WRITING };
#define SLOT_END   0x1 /* the segment ends after this block (which may be empty) */
#define SLOT_FINAL 0x2 /* so does the recording */

struct slot {
	enum slot_state state; /* guarded by ct_pipeline.qlock, like the job counters; the rest by the state's owner */
	unsigned flags;
	ct_u64 job;
	unsigned char *raw, *out;
	size_t used; /* raw bytes */
	ct_u32 events;
	ct_u64 broken_from; /* first number lost right before a LOST record in this block, or 0 */
	ct_u64 opened_ns;
	size_t stored, written;
	struct ct_index_entry entry;
	bool bad; /* could not be encoded: err */
	struct ct_error err;
};

struct pipe_thread {
	struct ct_pipeline *p;
	pthread_t id;
	bool started;
	atomic_ullong cpu_ns; /* set when it ends */
};

/* For tests. */
struct pipe_hooks {
	struct ct_source *source; /* instead of ring_fd; taken over in every case */
	bool no_uring;
	ct_u64 stuck_ns;    /* instead of PIPE_STUCK_NS */
	ct_u64 loss_end_ns; /* instead of PIPE_LOSS_END_NS */
};

struct ct_pipeline {
	struct ct_pipeline_opts opts;
	struct pipe_hooks hooks;
	struct ct_source *src;
	int nworkers;
	ct_u64 poll_ns;

	/* The log's end: whoever holds `lock` may add records. The consumer holds it for a batch at a time. */
	pthread_mutex_t lock;
	atomic_uint appenders; /* waiting for it */
	struct slot *cur;      /* OPEN, or NULL */
	ct_u64 seq;            /* last number given to a record of the recording */
	ct_u64 now, first_ns, last_ns, events, raw_bytes;
	ct_u64 lost;
	ct_u64 fill_max;
	ct_u64 last_end;    /* number of the job behind the one that last ended a segment, 0: none did */
	bool empty;         /* nothing came since */
	ct_u64 loss_end_at; /* when loss last ended a segment */
	bool loss_end_due;
	atomic_bool in_tap;

	struct ct_order order; /* the consumer's, under `lock` */

	/* Between the threads. */
	pthread_mutex_t qlock;
	pthread_cond_t c_ready, c_done, c_free, c_sync;
	struct slot slot[PIPE_SLOTS];
	ct_u64 jobs, claimed, written; /* numbers of the next job to queue, to encode, to write */
	ct_u64 synced;                 /* segments ended by jobs before this one are on disk */
	bool closing;
	struct ct_error error; /* valid if failed */
	atomic_bool failed;
	atomic_uint kick; /* futex the idle consumer sleeps on */
	atomic_bool stopping;
	ct_u64 stop_seq; /* written before stopping */

	pthread_mutex_t dlock;
	pthread_cond_t c_drain;
	atomic_uint drainers;
	atomic_ullong done_seq; /* next - 1 */

	/* Statistics: each written by one thread (or under one lock), read by any. */
	atomic_ullong s_events, s_raw, s_lost, s_reordered, s_fill_max, s_first_ns, s_last_ns, s_last_seq;
	atomic_ullong s_stored, s_segments, s_dropped;        /* writer */
	atomic_ullong d_events, d_raw, d_last_ns, d_last_seq; /* writer: what is in finished segments */

	struct pipe_thread consumer, writer, worker[PIPE_WORKERS_MAX];
	struct ct_encoder *encoder[PIPE_WORKERS_MAX];
	struct writer *w;
};

struct ct_pipeline *ct_pipeline_create_hooked(const struct ct_pipeline_opts *opts, const struct pipe_hooks *hooks,
					      struct ct_error *err);

/* pipeline_writer.c */
struct writer *pipe_writer_create(struct ct_pipeline *p, struct ct_error *err);
void pipe_writer_destroy(struct writer *w);
void *pipe_writer_main(void *arg);
void *pipe_worker_main(void *arg);
size_t pipe_out_fixed(void); /* bytes of a slot's output that every block but an oversized one fits in */
size_t pipe_out_cap(void);

/* pipeline.c */
void pipe_fail(struct ct_pipeline *p, const struct ct_error *err); /* the first one counts */
int pipe_order_init(struct ct_pipeline *p);
void pipe_end_log(struct ct_pipeline *p); /* no record will follow */
void pipe_kick(struct ct_pipeline *p);    /* wakes an idle consumer */
void *pipe_consumer_main(void *arg);

/* pipeline_create.c */
void pipe_thread_ends(struct pipe_thread *t);
ct_u64 pipe_threads_cpu(struct ct_pipeline *p); /* of all of them, ended or not */

#endif
