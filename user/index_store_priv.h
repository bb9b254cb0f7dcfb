/* SPDX-License-Identifier: MIT
 * Inside of the store of steps: index_store.c (steps to rows), index_resume.c (where it can be gone on from). */
#ifndef CT_INDEX_STORE_PRIV_H
#define CT_INDEX_STORE_PRIV_H

#include <time.h>

#include "formats/stepdb_node.h"
#include "formats/stepdb_read.h"
#include "replay/steps/keyed.h"
#include "user/index_store.h"

#define INDEX_NAMES 256
#define INDEX_NAME  48

struct index_run { /* of a function, that may be resumed: its call */
	ct_u64 run, call;
};

struct index_thread {
	ct_u32 tid, id;
	ct_u64 raised;  /* address of the exception told of last, on its way through frames */
	ct_u32 type;    /* of the exception told of last */
	ct_u64 seq, ns; /* told of last */
	struct index_run *stack;
	size_t depth, room;
};

struct ct_index_store {
	struct ct_stepdb_writer *w;
	struct ct_node_builder node;
	/* Values at the beginning of a line, told before it: they belong to its step. */
	struct index_pending {
		ct_u32 tid, name;
		size_t at, len; /* in `held` */
	} * pending;
	size_t npending, pending_room;
	ct_u8 *held;
	size_t nheld, held_room;
	/* Types and names that were told last, by where their texts were. */
	struct index_name {
		ct_u64 at;
		ct_u32 id;
		unsigned len;
		char text[INDEX_NAME];
	} type[INDEX_NAMES], name[INDEX_NAMES];
	ct_u32 *file, *function;
	struct index_thread *thread;
	size_t nthreads;
	struct ct_keyed sleeping; /* struct index_run */
	ct_u64 seq, ns;
	const char *language;           /* of functions told of from here on */
	const struct ct_agents *agents; /* whose state is kept with a commit; NULL: not to be gone on from */
	struct timespec committed;
	/* Of a store that goes on: variables of calls from before, as they were; the agent tells of all of them again.
	 */
	struct ct_stepdb *before;
	struct index_known {
		ct_u64 call;
		bool read, settled;
		struct index_variable {
			ct_u32 name;
			ct_u8 *node;
			size_t len;
		} * variable;
		size_t count;
	} * known;
	size_t nknown, nsettled;
};

/* What a commit keeps, malloc'ed: the event before which to go on, the agents' state, threads and runs. Longer than
 * can be kept: *len is 0. */
int ct_index_position(const struct ct_index_store *s, ct_u64 seq, void **position, size_t *len, struct ct_error *err);
/* The store as it was; *state and *words are those of the agents, within `position`. */
int ct_index_load(struct ct_index_store *s, const void *position, size_t len, ct_u64 *seq, const ct_u64 **state,
		  size_t *words, struct ct_error *err);
/* Calls that are open may have variables that are known already. */
int ct_index_know(struct ct_index_store *s, ct_u64 call, struct ct_error *err);
/* 1: the variable is known to have this value, it has not changed. */
int ct_index_unchanged(struct ct_index_store *s, ct_u64 call, ct_u32 name, const ct_u8 *node, size_t len,
		       struct ct_error *err);
/* At a line of the call all its variables have been told of: `gone` is called for known ones that have not. */
int ct_index_settle(struct ct_index_store *s, ct_u64 call, int (*gone)(void *ctx, ct_u32 name), void *ctx,
		    struct ct_error *err);
void ct_index_forget(struct ct_index_store *s);

#endif
