/* SPDX-License-Identifier: MIT
 * The builder of CPython's steps: from the records of the agent to calls of a sink. */
#ifndef CT_STEPS_PYTHON_H
#define CT_STEPS_PYTHON_H

#include "replay/agents/python_read.h"
#include "replay/steps/steps.h"

struct ct_pysteps;

/* `only`: files whose path contains it (NULL: all). */
struct ct_pysteps *ct_pysteps_create(const struct ct_step_sink *sink, const char *only);
void ct_pysteps_destroy(struct ct_pysteps *b);
/* Takes over what *c holds. Returns its number; *wanted says whether its lines are asked for. -1: out of memory. */
long ct_pysteps_code(struct ct_pysteps *b, struct ct_py_code *c, bool *wanted);
long ct_pysteps_type(struct ct_pysteps *b, const char *name);
long ct_pysteps_text(struct ct_pysteps *b, const char *text);
int ct_pysteps_records(struct ct_pysteps *b, const ct_u64 *words, size_t count, struct ct_error *err);

/* One value as the agent wrote it (CT_PYV_*); children and texts live until the next call. Returns how many words it
 * took, 0 if it is none. */
size_t ct_pysteps_value(struct ct_pysteps *b, const ct_u64 *words, size_t count, struct ct_value *v);

#endif
