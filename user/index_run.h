/* SPDX-License-Identifier: MIT
 * A recording replayed with agents, as `ctbpf index` asks for: all of it or a part, anew or where it was interrupted.
 */
#ifndef CT_INDEX_RUN_H
#define CT_INDEX_RUN_H

#include <stdio.h>

#include "formats/recording.h"
#include "replay/steps/steps.h"

struct index_options {
	bool print; /* no database */
	struct ct_step_filter filter;
	const char *from, *to; /* positions, NULL: all of it */
	struct ct_step_limits limits;
};
extern const struct ct_step_limits index_limits; /* unless others are asked for */

/* An exit status, or -1 with *err. */
int ct_index_run(struct ct_recording *rec, const struct index_options *o, FILE *out, struct ct_error *err);

#endif
