// SPDX-License-Identifier: MIT
/* Pieces of at least 64 KB, given out from their beginning. */
#include "replay/steps/arena.h"

#include <stdlib.h>

struct ct_arena {
	struct ct_arena *next;
	size_t size, used;
	_Alignas(16) char data[];
};

void *ct_arena_alloc(struct ct_arena **arena, size_t size)
{
	struct ct_arena *a = *arena;
	void *p;

	size = (size + 15) & ~(size_t)15;
	if (!a || a->used + size > a->size) {
		size_t room = size > 65536 ? size : 65536;

		a = malloc(sizeof(*a) + room);
		if (!a)
			return NULL;
		a->next = *arena;
		a->size = room;
		a->used = 0;
		*arena = a;
	}
	p = a->data + a->used;
	a->used += size;
	return p;
}

void ct_arena_reset(struct ct_arena **arena)
{
	while (*arena && (*arena)->next) {
		struct ct_arena *next = (*arena)->next;

		free(*arena);
		*arena = next;
	}
	if (*arena)
		(*arena)->used = 0;
}

void ct_arena_free(struct ct_arena **arena)
{
	ct_arena_reset(arena);
	free(*arena);
	*arena = NULL;
}
