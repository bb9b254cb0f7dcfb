/* SPDX-License-Identifier: MIT
 * The builder of Ruby's steps: from the records of the agent to calls of a sink. */
#ifndef CT_STEPS_RUBY_H
#define CT_STEPS_RUBY_H

#include "replay/agents/ruby_shared.h"
#include "replay/steps/steps.h"

struct ct_rbsteps;

/* The filter (NULL: everything is wanted) must outlive it. */
struct ct_rbsteps *ct_rbsteps_create(const struct ct_step_sink *sink, const struct ct_step_filter *filter);
void ct_rbsteps_destroy(struct ct_rbsteps *b);
/* Takes over what *c holds. Returns its number; *wanted says whether its lines are asked for. -1: out of memory. */
long ct_rbsteps_code(struct ct_rbsteps *b, struct ct_step_code *c, bool *wanted);
/* The same for a method written in C; takes over its name (NULL: not known). `hidden`: its calls are not told of. */
long ct_rbsteps_native(struct ct_rbsteps *b, char *name, bool hidden);
long ct_rbsteps_type(struct ct_rbsteps *b, const char *name);
long ct_rbsteps_text(struct ct_rbsteps *b, const char *text);
int ct_rbsteps_records(struct ct_rbsteps *b, const ct_u64 *words, size_t count, struct ct_error *err);
/* Nothing will follow: what is held back until it is known what came of it is told of. */
int ct_rbsteps_end(struct ct_rbsteps *b, struct ct_error *err);

/* One value as the agent wrote it (CT_RBV_*); children and texts live until they are freed. Returns how many words it
 * took, 0 if it is none. */
size_t ct_rbsteps_value(struct ct_rbsteps *b, const ct_u64 *words, size_t count, struct ct_value *v);
void ct_rbsteps_free_values(struct ct_rbsteps *b);

#endif
