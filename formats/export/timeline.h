/* SPDX-License-Identifier: MIT
 * Private to the exporters: what happened in one thread, in its order: calls entered and left, lines.
 *
 * The database has rows of calls and of lines; here they become a stack again, as exact as the rows say. */
#ifndef CT_EXPORT_TIMELINE_H
#define CT_EXPORT_TIMELINE_H

#include "output.h"

enum ex_leave {
	EX_RETURNED,
	EX_RAISED,
	EX_SUSPENDED, /* a generator or coroutine: it may be entered again */
	EX_OPEN,      /* the database ends within the call */
};
/* A call while it is on the stack. */
struct ex_frame {
	ct_u64 call;
	ct_u64 row[CT_CALL_NCOLS];
	ct_u64 location; /* of its line; 0: none yet */
	bool resumed;    /* it has been on the stack before */
	ct_u64 user[2];  /* the sink's */
	void *data;      /* the sink's */
};
/* Where a suspended call was. */
struct ex_asleep {
	ct_u64 call, location;
	struct ex_asleep *next;
};
#define EX_ASLEEP 4096
struct ex_timeline;
/* Times never go back. Each returns 0 to go on. */
struct ex_sink {
	void *arg;
	/* The frame is on the stack, as the last one. */
	int (*enter)(void *arg, struct ex_timeline *t, struct ex_frame *f, ct_u64 ns, struct ct_error *err);
	/* It still is. */
	int (*leave)(void *arg, struct ex_timeline *t, struct ex_frame *f, enum ex_leave how, ct_u64 ns,
		     struct ct_error *err);
	/* A line of the last frame begins; f->location is its location. May be NULL. */
	int (*step)(void *arg, struct ex_timeline *t, struct ex_frame *f, ct_u64 step, ct_u64 event, ct_u64 ns,
		    struct ct_error *err);
};
struct ex_timeline {
	const struct ct_export_source *src;
	const struct ct_export_options *opts;
	const struct ex_sink *sink;
	ct_u32 thread; /* id */
	struct ex_frame *stack;
	size_t depth, cap;
	ct_u64 last_step, now;
	/* What comes next of each kind; the ids are 0 at the end. */
	struct ct_scan *steps, *calls, *resumes;
	ct_u64 step_id, step[CT_STEP_NCOLS];
	ct_u64 call_id, call[CT_CALL_NCOLS];
	ct_u64 resume_id; /* a row of values */
	ct_u64 resume_call, resume_by, resume_step;
	unsigned work;
	struct ex_asleep *asleep[EX_ASLEEP]; /* suspended calls, by their ids */
};
/* Runs through thread `thread`; calls that do not end are left at end_ns or later. */
int ex_timeline(const struct ct_export_source *src, const struct ct_export_options *opts, ct_u32 thread, ct_u64 end_ns,
		const struct ex_sink *sink, struct ct_error *err);

#endif
