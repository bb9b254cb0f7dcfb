/* SPDX-License-Identifier: MIT
 * A hash table of things whose first member is a ct_u64, their key, which is never 0. */
#ifndef CT_STEPS_KEYED_H
#define CT_STEPS_KEYED_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/event.h"

struct ct_keyed { /* begins as {.size = of a thing} */
	size_t size, count, room;
	char *at;
};

/* NULL: there is none. */
void *ct_keyed_find(const struct ct_keyed *t, ct_u64 key);
/* A copy; one that has the key already is replaced. false: out of memory. */
bool ct_keyed_put(struct ct_keyed *t, const void *thing);
/* If there is one, it is copied to *thing and no more in the table. */
bool ct_keyed_take(struct ct_keyed *t, ct_u64 key, void *thing);
/* The first one behind `thing` (NULL: of all), in no order; NULL: it was the last. */
const void *ct_keyed_next(const struct ct_keyed *t, const void *thing);
void ct_keyed_free(struct ct_keyed *t);

#endif
