/* SPDX-License-Identifier: MIT
 * Ring buffer -> blocks -> zstd workers -> io_uring -> segment files.
 *
 * One consumer thread reads the BPF ring (polling; the kernel side never wakes it), checks that the kernel's sequence
 * numbers are dense, gives every record the recording's number, and fills blocks; worker threads compress them;
 * one writer submits them in order through io_uring with registered buffers and a bounded queue. */
#ifndef CT_PIPELINE_H
#define CT_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>

#include "../formats/error.h"
#include "../formats/event.h"

struct ct_pipeline;

/* Called on the consumer thread for every record from the ring (not for appended ones) in the order stored, its seq
 * already final; must be quick. It may call ct_pipeline_append, whose record then comes right after this one, but
 * neither drain, rotate nor finish. */
typedef void ct_pipeline_tap(void *ctx, const struct ct_event *ev);

struct ct_pipeline_opts {
	int dirfd; /* the recording */
	ct_u8 uuid[16];
	int ring_fd;                        /* BPF_MAP_TYPE_RINGBUF */
	const volatile ct_u64 *kernel_seq;  /* last number the kernel side gave out (mmapped BPF global), 0: none yet */
	const volatile ct_u64 *kernel_lost; /* how many of them never reached the ring; raised after kernel_seq */
	int level;                          /* zstd, 0: none */
	ct_u64 segment_size;                /* bytes after which a new segment starts */
	int workers;                        /* compression threads; 0: choose */
	const void *cpus;                   /* cpu_set_t the threads may run on, or NULL */
	size_t cpus_len;
	unsigned poll_us; /* ring polling interval when idle; 0: choose */
	/* Or NULL: called on the consumer thread for records of `rewrite_min` bytes or more; what it returns is stored,
	 * nothing if it is NULL. */
	const struct ct_event *(*rewrite)(void *ctx, const struct ct_event *ev);
	size_t rewrite_min;
	ct_pipeline_tap *tap;
	void *tap_ctx; /* of both */
};

/* Readable at any time, and monotonic but for one jump: when writing fails, events, raw_bytes, stored_bytes, segments
 * and the last_* go back to what is on disk, and everything else numbered then and later counts as lost. Always:
 * events + lost == numbers given out. */
struct ct_pipeline_stats {
	ct_u64 events, raw_bytes, stored_bytes, lost, segments, reordered;
	ct_u64 ring_bytes_max; /* fullest the ring has been seen */
	ct_u64 cpu_ns;         /* CPU time of all pipeline threads */
	ct_u64 first_ns, last_ns, last_seq;
	bool failed; /* writing failed (disk full, ...): see ct_pipeline_error */
};

struct ct_pipeline *ct_pipeline_create(const struct ct_pipeline_opts *opts, struct ct_error *err);

/* Blocks until every record the kernel had numbered when the call was made is stored in a block or counted as lost.
 * -1 if the pipeline failed or the ring did not give them up within `timeout_ms`. */
int ct_pipeline_drain(struct ct_pipeline *p, unsigned timeout_ms, struct ct_error *err);
/* Adds a record of the recorder's own at the log's current end (after a drain: at an exact place); fills in seq and,
 * if 0, time_ns (that of the record before it). Thread-safe. Returns the seq, 0 on failure. */
ct_u64 ct_pipeline_append(struct ct_pipeline *p, struct ct_event *ev);
/* The same, as the first record of a new segment. Does not wait for the disk. */
ct_u64 ct_pipeline_begin_segment(struct ct_pipeline *p, struct ct_event *ev);
/* Waits until all segments that were ended by these calls or for loss are on the disk. */
int ct_pipeline_settle(struct ct_pipeline *p, struct ct_error *err);
/* Ends the segment after the current record: flushes, fdatasyncs, starts the next one. */
int ct_pipeline_rotate(struct ct_pipeline *p, struct ct_error *err);
void ct_pipeline_stats(struct ct_pipeline *p, struct ct_pipeline_stats *stats);
/* Why writing failed; false if it did not. */
bool ct_pipeline_error(struct ct_pipeline *p, struct ct_error *err);
/* Drains what is in the ring, writes footers, joins all threads, frees. 0, or -1 with *err if anything was not written.
 */
int ct_pipeline_finish(struct ct_pipeline *p, struct ct_pipeline_stats *stats, struct ct_error *err);

#endif
