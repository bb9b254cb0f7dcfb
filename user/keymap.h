/* SPDX-License-Identifier: MIT
 * Pairs of numbers to numbers 0, 1, 2 ... in the order in which they were asked for first: a hash table.
 *
 * For sums by some key: the number is an index into an array beside it. */
#ifndef CT_KEYMAP_H
#define CT_KEYMAP_H

#include <stddef.h>

#include "../formats/event.h"

struct ct_keymap {
	struct ct_key {
		ct_u64 a, b;
		size_t index; /* and 1; 0: free */
	} * slot;
	size_t count, room; /* room is a power of two, or 0 */
};
/* The number of this pair; a new one is map->count - 1 after the call. SIZE_MAX without memory. */
size_t ct_keymap_at(struct ct_keymap *map, ct_u64 a, ct_u64 b);
/* The number of this pair, SIZE_MAX if it is not there. */
size_t ct_keymap_find(const struct ct_keymap *map, ct_u64 a, ct_u64 b);
void ct_keymap_free(struct ct_keymap *map);

/* Grows the array at *list, of elements of `size` bytes, so that `index` is in it; new ones are zeroes. -1 without
 * memory. *room is how many there is room for. */
int ct_array_reach(void *list, size_t *room, size_t index, size_t size);

#endif
