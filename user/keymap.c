/* SPDX-License-Identifier: MIT
 * Pairs of numbers to numbers in a row: open addressing, never more than two thirds full.
 *
 * Nothing is ever taken out. */
#include "keymap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static struct ct_key *slot_of(const struct ct_keymap *map, ct_u64 a, ct_u64 b)
{
	ct_u64 hash = (a * 0x9e3779b97f4a7c15ull ^ b) * 0xff51afd7ed558ccdull;
	size_t i = (hash ^ hash >> 32) & (map->room - 1);

	while (map->slot[i].index && (map->slot[i].a != a || map->slot[i].b != b))
		i = (i + 1) & (map->room - 1);
	return &map->slot[i];
}

static int grow(struct ct_keymap *map)
{
	struct ct_keymap more = {.count = map->count, .room = map->room ? 2 * map->room : 64};

	more.slot = calloc(more.room, sizeof(*more.slot));
	if (!more.slot)
		return -1;
	for (size_t i = 0; i < map->room; i++)
		if (map->slot[i].index)
			*slot_of(&more, map->slot[i].a, map->slot[i].b) = map->slot[i];
	free(map->slot);
	*map = more;
	return 0;
}

size_t ct_keymap_at(struct ct_keymap *map, ct_u64 a, ct_u64 b)
{
	struct ct_key *key;

	if (3 * (map->count + 1) > 2 * map->room && grow(map) < 0)
		return SIZE_MAX;
	key = slot_of(map, a, b);
	if (!key->index)
		*key = (struct ct_key){a, b, ++map->count};
	return key->index - 1;
}

size_t ct_keymap_find(const struct ct_keymap *map, ct_u64 a, ct_u64 b)
{
	return map->room ? slot_of(map, a, b)->index - 1 : SIZE_MAX;
}

void ct_keymap_free(struct ct_keymap *map)
{
	free(map->slot);
	*map = (struct ct_keymap){0};
}

int ct_array_reach(void *list, size_t *room, size_t index, size_t size)
{
	void *more;
	size_t want = *room ? *room : 64;

	if (index < *room)
		return 0;
	while (want <= index)
		want *= 2;
	memcpy(&more, list, sizeof(more));
	more = realloc(more, want * size);
	if (!more)
		return -1;
	memset((char *)more + *room * size, 0, (want - *room) * size);
	memcpy(list, &more, sizeof(more));
	*room = want;
	return 0;
}
