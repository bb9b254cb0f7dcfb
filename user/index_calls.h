/* SPDX-License-Identifier: MIT
 * `ctbpf index` of a recording that cannot be replayed: the step database's calls from CALL and RETURN records. */
#ifndef CT_INDEX_CALLS_H
#define CT_INDEX_CALLS_H

#include "formats/recording.h"
#include "replay/steps/steps.h"

struct ct_index_calls {
	struct ct_recording *rec;
	const struct ct_step_filter *filter;
	bool values;     /* arguments and results, too */
	ct_u64 from, to; /* events: the first one, and the one behind the last */
	const struct ct_step_sink *sink;
	ct_u64 records; /* out: CALL records there were */
};
int ct_index_calls(struct ct_index_calls *ic, struct ct_error *err);

#endif
