/* SPDX-License-Identifier: MIT
 * Memory that is freed all at once: the parts of a value live until the next one is read. */
#ifndef CT_STEPS_ARENA_H
#define CT_STEPS_ARENA_H

#include <stddef.h>

struct ct_arena;

/* NULL: out of memory. *arena begins as NULL. */
void *ct_arena_alloc(struct ct_arena **arena, size_t size);
/* Keeps one piece for next time. */
void ct_arena_reset(struct ct_arena **arena);
void ct_arena_free(struct ct_arena **arena);

#endif
