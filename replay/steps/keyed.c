// SPDX-License-Identifier: MIT
/* Open addressing: a thing lies where its key's hash says or behind that, with no gap in between. */
#include "replay/steps/keyed.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 1024

static char *place(const struct ct_keyed *t, size_t i)
{
	return t->at + i * t->size;
}

static ct_u64 key_at(const struct ct_keyed *t, size_t i)
{
	ct_u64 key;

	memcpy(&key, place(t, i), sizeof(key));
	return key;
}

/* Where it is, or would be. */
static size_t search(const struct ct_keyed *t, ct_u64 key)
{
	size_t i = key * 0x9e3779b97f4a7c15ull >> 32 & (t->room - 1);

	while (key_at(t, i) && key_at(t, i) != key)
		i = (i + 1) & (t->room - 1);
	return i;
}

void *ct_keyed_find(const struct ct_keyed *t, ct_u64 key)
{
	size_t i = t->count ? search(t, key) : 0;

	return t->count && key_at(t, i) ? place(t, i) : NULL;
}

static bool grow(struct ct_keyed *t)
{
	struct ct_keyed more = {.size = t->size, .count = t->count, .room = t->room ? t->room * 2 : FIRST_ROOM};

	more.at = calloc(more.room, more.size);
	if (!more.at)
		return false;
	for (size_t i = 0; i < t->room; i++)
		if (key_at(t, i))
			memcpy(place(&more, search(&more, key_at(t, i))), place(t, i), t->size);
	free(t->at);
	*t = more;
	return true;
}

bool ct_keyed_put(struct ct_keyed *t, const void *thing)
{
	ct_u64 key;
	size_t i;

	if (t->count * 2 >= t->room && !grow(t))
		return false;
	memcpy(&key, thing, sizeof(key));
	i = search(t, key);
	t->count += !key_at(t, i);
	memcpy(place(t, i), thing, t->size);
	return true;
}

bool ct_keyed_take(struct ct_keyed *t, ct_u64 key, void *thing)
{
	char *found = ct_keyed_find(t, key);
	size_t gap, to;

	if (!found)
		return false;
	memcpy(thing, found, t->size);
	memset(found, 0, sizeof(key));
	t->count--;
	gap = (size_t)(found - t->at) / t->size;
	/* What follows moves up, so that nothing is behind a gap. */
	for (size_t i = (gap + 1) & (t->room - 1); (key = key_at(t, i)); i = (i + 1) & (t->room - 1)) {
		memset(place(t, i), 0, sizeof(key));
		to = search(t, key);
		if (to != i)
			memcpy(place(t, to), place(t, i), t->size);
		memcpy(place(t, to), &key, sizeof(key));
	}
	return true;
}

const void *ct_keyed_next(const struct ct_keyed *t, const void *thing)
{
	size_t i = thing ? (size_t)((const char *)thing - t->at) / t->size + 1 : 0;

	while (i < t->room && !key_at(t, i))
		i++;
	return i < t->room ? place(t, i) : NULL;
}

void ct_keyed_free(struct ct_keyed *t)
{
	free(t->at);
	*t = (struct ct_keyed){.size = t->size};
}
