/* SPDX-License-Identifier: MIT
 * Several builders, one for each language, tell one sink: each numbers its files and functions from 0, the sink is told
 * of numbers of its own, and of the language when that is another one than before. */
#ifndef CT_STEPS_MERGE_H
#define CT_STEPS_MERGE_H

#include "replay/steps/steps.h"

struct ct_step_merge;

/* A sink for a builder of this language; *merge begins as NULL and is shared by all that tell `out`. NULL: out of
 * memory. It lives as long as *merge. */
const struct ct_step_sink *ct_step_merge_input(struct ct_step_merge **merge, const struct ct_step_sink *out,
					       const char *language);
void ct_step_merge_destroy(struct ct_step_merge *merge);

/* For sinks with numbers of their own: list[id] is one. Ids come in their order. */
int ct_step_renumber(ct_u32 **list, ct_u32 id, ct_u32 number, struct ct_error *err);

#endif
