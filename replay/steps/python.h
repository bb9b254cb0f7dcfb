/* SPDX-License-Identifier: MIT
 * The builder of CPython's steps: from the records of the agent to calls of a sink. */
#ifndef CT_STEPS_PYTHON_H
#define CT_STEPS_PYTHON_H

#include "replay/agents/python_read.h"
#include "replay/steps/steps.h"

struct ct_pysteps;

/* The filter (NULL: everything is wanted) must outlive it. */
struct ct_pysteps *ct_pysteps_create(const struct ct_step_sink *sink, const struct ct_step_filter *filter);
void ct_pysteps_destroy(struct ct_pysteps *b);
/* Takes over what *c holds. Returns its number; *wanted says whether its lines are asked for. -1: out of memory. */
long ct_pysteps_code(struct ct_pysteps *b, struct ct_step_code *c, bool *wanted);
long ct_pysteps_type(struct ct_pysteps *b, const char *name);
long ct_pysteps_text(struct ct_pysteps *b, const char *text);
/* A C function. */
long ct_pysteps_native(struct ct_pysteps *b, const char *name);
/* Is the frame of this thread in a call of a C function, as far as the records told of it? */
bool ct_pysteps_in_native(struct ct_pysteps *b, ct_u32 tid, ct_u64 frame);
/* What is on the stacks and what sleeps, to go on from in another run; words at *state are malloc'ed. */
int ct_pysteps_save(const struct ct_pysteps *b, ct_u64 **state, size_t *words, struct ct_error *err);
/* Into a new one. Functions are told to the sink again, in an order of their own. */
int ct_pysteps_load(struct ct_pysteps *b, const ct_u64 *state, size_t words, struct ct_error *err);
int ct_pysteps_records(struct ct_pysteps *b, const ct_u64 *words, size_t count, struct ct_error *err);

/* One value as the agent wrote it (CT_PYV_*); children and texts live until the next call. Returns how many words it
 * took, 0 if it is none. */
size_t ct_pysteps_value(struct ct_pysteps *b, const ct_u64 *words, size_t count, struct ct_value *v);
/* Values read before are gone. */
void ct_pysteps_free_all(struct ct_pysteps *b);

#endif
