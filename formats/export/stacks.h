/* SPDX-License-Identifier: MIT
 * Private to the exporters: the distinct stacks of a run, with what was spent in each.
 *
 * Memory grows with distinct stacks, not with lines or calls. */
#ifndef CT_EXPORT_STACKS_H
#define CT_EXPORT_STACKS_H

#include "timeline.h"

struct st_node {
	ct_u32 parent; /* 0: a thread's root, whose key is the thread's id */
	ct_u32 key;    /* a function, or a place: see st_function */
	ct_u64 self_ns, lines, calls;
};
struct stacks {
	const struct ct_export_source *src;
	bool places;          /* keys tell lines apart */
	struct st_node *node; /* [1 ... count] */
	ct_u32 count, cap;
	ct_u32 *slots;
	ct_u64 nslots;
	ct_u64 last_ns; /* of the thread being run through */
	ct_u32 root;
};
/* `places`: a stack is told by the lines of its frames, else by their functions only. */
int stacks_build(struct stacks *s, const struct ct_export_source *src, const struct ct_export_options *opts,
		 bool places, struct ct_error *err);
void stacks_free(struct stacks *s);
/* Of a key that is a place: a location's id, or 0, and the function. Calls without a line yet have none. */
ct_u32 st_function(const struct stacks *s, ct_u32 key, ct_u32 *location);

#endif
