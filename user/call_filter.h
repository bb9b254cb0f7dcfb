/* SPDX-License-Identifier: MIT
 * Rules that say which functions are recorded live, read from a trace-filter file: TOML, as CodeTracer's recorders take
 * it. What such a file can ask for and this one cannot do is refused, not passed over. */
#ifndef CT_CALL_FILTER_H
#define CT_CALL_FILTER_H

#include <stdbool.h>

#include "formats/call_probe.h"
#include "formats/error.h"

struct ct_call_filter {
	struct ct_call_rule rule[CT_CALL_RULES];
	unsigned nrules;
	bool skip, silent; /* what no rule speaks of: not recorded; without values */
};

int ct_call_filter_read(const char *path, struct ct_call_filter *f, struct ct_error *err);
/* Whether a native function is left out; *silent: recorded without values. `source` may be NULL. */
bool ct_call_filter_skips(const struct ct_call_filter *f, const char *name, const char *file, const char *source,
			  bool *silent);

#endif
