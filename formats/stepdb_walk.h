/* SPDX-License-Identifier: MIT
 * A walk over the step database in the order of the run, with the stack of every thread: calls and generators come and
 * go, lines and time are counted for them.
 *
 * Reads steps and calls once, in a row; memory is that of the stacks. */
#ifndef CT_STEPDB_WALK_H
#define CT_STEPDB_WALK_H

#include "stepdb_read.h"

/* A call while it is on a stack. A generator has a new one each time it goes on. */
struct ct_walk_frame {
	ct_u64 call, from_step, last_step;
	ct_u64 enter_event, exit_event, exit_ns; /* exit_*: UINT64_MAX while the call is open */
	ct_u64 self_steps, below_steps;          /* own lines, and those of what it called, so far */
	ct_u64 self_ns, below_ns;
	ct_u32 function, exception;
	enum ct_call_state state; /* how it will end */
	bool generator;           /* its function can be suspended */
	bool attached;            /* it had begun before the recording did */
	bool recursive;           /* the function is on the stack already */
	ct_u64 user;              /* the visitor's */
};
struct ct_walk_thread {
	ct_u32 id;
	struct ct_walk_frame *frame; /* outermost first */
	size_t depth, cap;
	ct_u64 ns;        /* of what happened last */
	ct_u64 last_step; /* of this thread, so far */
	ct_u32 *active;   /* per function: how often it is on the stack */
	bool started;
};
enum ct_walk_enter {
	CT_WALK_CALL,
	CT_WALK_RESUME, /* a generator goes on */
	CT_WALK_THERE,  /* it was on the stack before the walk began */
};
enum ct_walk_leave {
	CT_WALK_ENDED,
	CT_WALK_SUSPENDED,
	CT_WALK_OPEN, /* the walk is over, the call is not */
};
struct ct_walk_step {
	ct_u64 id, event, ns, location;
};
/* What comes next while a frame is left: all values of a lower step have been given before. */
struct ct_walk_next {
	ct_u64 step, call, event; /* call: 0 if a step comes */
};

/* Each returns 0 to go on. The frame is the thread's innermost; in `enter` it is new, in `leave` it is about to go.
 * Any of them may be NULL. */
struct ct_walk_visitor {
	void *arg;
	int (*enter)(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, enum ct_walk_enter how,
		     struct ct_error *err);
	int (*step)(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, const struct ct_walk_step *step,
		    struct ct_error *err);
	int (*leave)(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, enum ct_walk_leave how,
		     const struct ct_walk_next *next, struct ct_error *err);
};
struct ct_walk_spec {
	ct_u64 first, last;   /* steps; last 0: to the end */
	const ct_u8 *threads; /* by id: only those that are not 0; NULL: all */
};
/* 0 at the end, -1 with *err, or what a visitor returned. */
int ct_stepdb_walk(struct ct_stepdb *db, const struct ct_walk_spec *spec, const struct ct_walk_visitor *visitor,
		   struct ct_error *err);

#endif
