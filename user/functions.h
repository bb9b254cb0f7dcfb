/* SPDX-License-Identifier: MIT
 * The functions that CALL and RETURN records speak of, by their numbers: filled from FUNCTION records as they come. */
#ifndef CT_FUNCTIONS_H
#define CT_FUNCTIONS_H

#include "formats/event_access.h"

struct ct_function {
	struct ct_ev_function f;
	char *name, *file, *language; /* terminated; one piece of memory */
	ct_u32 number;                /* the owner's */
};
struct ct_functions {
	struct ct_function *v; /* by f.id, rising */
	size_t n, cap;
};

/* Remembers a FUNCTION record; a number told of again means the newer one. The entry, or NULL: no memory. It and those
 * found stay where they are until the next one is added. */
struct ct_function *ct_functions_add(struct ct_functions *fs, const struct ct_event *ev);
struct ct_function *ct_functions_find(const struct ct_functions *fs, ct_u32 id);
void ct_functions_free(struct ct_functions *fs);

#endif
