/* SPDX-License-Identifier: MIT
 * Reading a BPF ring buffer through its memory map, without a system call or a copy per record; and in order.
 *
 * Unlike libbpf's reader it hands out batches, tells how full the ring is, and lets the caller decide when the
 * space is given back, so that records may stay in the ring until earlier ones have turned up. */
#ifndef CT_RING_H
#define CT_RING_H

#include <stdbool.h>
#include <stddef.h>

#include "../formats/error.h"
#include "../formats/event.h"

struct ct_ring_rec {
	const struct ct_event *ev; /* readable for `len` bytes rounded up to 8, until released */
	ct_u64 pos;                /* where in the stream it begins */
	ct_u32 len;
};

/* Where records come from: the ring, or a test. One thread reads. */
struct ct_source {
	size_t size; /* bytes it can hold: no more than size / 32 records are unreleased at any time */
	ct_u64 pos;  /* how far it has been read */
	/* The next finished records, at most `max`; moves pos behind them. */
	size_t (*read)(struct ct_source *src, struct ct_ring_rec *recs, size_t max);
	/* How far the producers have come; never behind pos. */
	ct_u64 (*produced)(struct ct_source *src);
	/* Gives back everything before `pos` (which must not go backwards). */
	void (*release)(struct ct_source *src, ct_u64 pos);
	void (*destroy)(struct ct_source *src);
};

/* Maps the BPF_MAP_TYPE_RINGBUF open as map_fd, which stays the caller's. NULL with *err on failure. */
struct ct_source *ct_ring_open(int map_fd, struct ct_error *err);

/* ---- The records in the order of the kernel side's numbers ----
 *
 * A program takes a number, then reserves space in the ring, and if that fails counts a loss. So with several CPUs
 * records may be in the ring in another order than their numbers, and a number that is missing may be lost or may still
 * come. Records behind a missing number stay in the ring, where the space they take is the bound, and are listed in
 * `held`, sorted. */

#define CT_ORDER_BATCH 256

struct ct_held {
	ct_u64 seq;
	const struct ct_event *ev; /* NULL: unusable, counts as lost */
	ct_u64 pos;                /* of it, or after settling, the smallest of it and those behind it */
};

struct ct_order {
	/* Set by the owner. */
	struct ct_source *src;
	const volatile ct_u64 *kernel_seq, *kernel_lost; /* as in struct ct_pipeline_opts */
	ct_u64 stuck_ns; /* a number that has neither come nor been counted for this long never will */
	void (*record)(void *ctx, const struct ct_event *ev); /* the next one, of a valid size */
	void (*lost)(void *ctx, ct_u64 count, enum ct_lost_reason reason);
	void *ctx;

	ct_u64 next;      /* number expected next: all before were passed to record() or lost() */
	ct_u64 released;  /* how much of the ring has been given back */
	ct_u64 reordered; /* records that came after one with a larger number */

	/* Private. */
	ct_u64 max_seen;
	ct_u64 settled;   /* missing numbers up to this one are lost */
	ct_u64 accounted; /* how many of *kernel_lost have been declared */
	struct ct_held *held;
	size_t held_at, held_n, held_cap;
	bool snap;              /* an attempt to settle is under way ... */
	ct_u64 snap_seq;        /* ... for the numbers up to this one, */
	ct_s64 snap_open;       /* of which so many are neither here nor counted as lost; */
	ct_u64 snap_mark;       /* given up when the ring has been read to here */
	ct_u64 old_seq, old_at; /* a missing number and when it had been given out for certain */
};

/* -1 with errno set: no memory. */
int ct_order_init(struct ct_order *o);
void ct_order_free(struct ct_order *o);
/* Takes up to CT_ORDER_BATCH records from the ring; returns how many those were. `now`: CLOCK_MONOTONIC. */
size_t ct_order_batch(struct ct_order *o, ct_u64 now);
/* Declares lost what is missing up to `seq`, whether the kernel side has counted it or not. */
void ct_order_give_up(struct ct_order *o, ct_u64 seq);

#endif
