/* SPDX-License-Identifier: MIT
 * A tree of the distinct stacks of a run: time, lines and calls of each, by one pass through every thread.
 *
 * Time belongs to the innermost call from one thing that happens in the thread to the next. */
#include <string.h>

#include "stacks.h"

#define NODES_MAX (1u << 27)
#define HASH      0x9e3779b97f4a7c15ull

static ct_u64 slot_of(const struct stacks *s, ct_u32 parent, ct_u32 key)
{
	ct_u64 h = ((ct_u64)parent << 32 | key) * HASH;

	return (h ^ h >> 32) & (s->nslots - 1);
}

static bool grow(struct stacks *s)
{
	ct_u32 cap = s->cap ? 2 * s->cap : 1024;
	struct st_node *node = realloc(s->node, ((size_t)cap + 1) * sizeof(*node));
	ct_u32 *slots = node ? calloc(2 * (size_t)cap, sizeof(*slots)) : NULL;

	s->node = node ? node : s->node;
	if (!slots)
		return false;
	free(s->slots);
	s->slots = slots;
	s->cap = cap;
	s->nslots = 2 * (ct_u64)cap;
	for (ct_u32 i = 1; i <= s->count; i++) {
		ct_u64 at = slot_of(s, node[i].parent, node[i].key);

		while (slots[at])
			at = (at + 1) & (s->nslots - 1);
		slots[at] = i;
	}
	return true;
}

/* The stack that is `parent` with `key` on top; 0: no memory. */
static ct_u32 child(struct stacks *s, ct_u32 parent, ct_u32 key)
{
	ct_u64 at;

	if (s->count == s->cap && (s->count >= NODES_MAX || !grow(s)))
		return 0;
	for (at = slot_of(s, parent, key); s->slots[at]; at = (at + 1) & (s->nslots - 1))
		if (s->node[s->slots[at]].parent == parent && s->node[s->slots[at]].key == key)
			return s->slots[at];
	s->slots[at] = ++s->count;
	s->node[s->count] = (struct st_node){.parent = parent, .key = key};
	return s->count;
}

static int too_many(struct ct_error *err)
{
	return ct_fail(err, CT_EXIT_FAILED, "no memory for so many different stacks; index fewer files");
}

ct_u32 st_function(const struct stacks *s, ct_u32 key, ct_u32 *location)
{
	ct_u32 n = ct_stepdb_names(s->src->db, CT_LOCATIONS);

	*location = s->places && key <= n ? key : 0;
	if (*location)
		return (ct_u32)ct_stepdb_name(s->src->db, CT_LOCATIONS, key)->v[CT_LOC_FUNCTION];
	return s->places ? key - n : key;
}

static ct_u32 key_of(const struct stacks *s, const struct ex_frame *f)
{
	if (!s->places)
		return (ct_u32)f->row[CT_CALL_FUNCTION];
	/* Behind the locations: one for each function, at its definition. */
	return f->location ? (ct_u32)f->location
			   : ct_stepdb_names(s->src->db, CT_LOCATIONS) + (ct_u32)f->row[CT_CALL_FUNCTION];
}

/* user[0]: the caller's node, user[1]: its own. */
static void spend(struct stacks *s, const struct ex_frame *f, ct_u64 ns)
{
	if (f && ns > s->last_ns)
		s->node[f->user[1]].self_ns += ns - s->last_ns;
	s->last_ns = ns;
}

static int enter(void *arg, struct ex_timeline *t, struct ex_frame *f, ct_u64 ns, struct ct_error *err)
{
	struct stacks *s = arg;

	spend(s, t->depth > 1 ? f - 1 : NULL, ns);
	f->user[0] = t->depth > 1 ? f[-1].user[1] : s->root;
	f->user[1] = child(s, (ct_u32)f->user[0], key_of(s, f));
	if (!f->user[1])
		return too_many(err);
	s->node[f->user[1]].calls += !f->resumed;
	return 0;
}

static int leave(void *arg, struct ex_timeline *t, struct ex_frame *f, enum ex_leave how, ct_u64 ns,
		 struct ct_error *err)
{
	(void)t, (void)how, (void)err;
	spend(arg, f, ns);
	return 0;
}

static int step(void *arg, struct ex_timeline *t, struct ex_frame *f, ct_u64 id, ct_u64 event, ct_u64 ns,
		struct ct_error *err)
{
	struct stacks *s = arg;

	(void)t, (void)id, (void)event;
	spend(s, f, ns);
	if (s->places)
		f->user[1] = child(s, (ct_u32)f->user[0], key_of(s, f));
	if (!f->user[1])
		return too_many(err);
	s->node[f->user[1]].lines++;
	return 0;
}

int stacks_build(struct stacks *s, const struct ct_export_source *src, const struct ct_export_options *opts,
		 bool places, struct ct_error *err)
{
	const struct ex_sink sink = {s, enter, leave, step};
	ct_u64 end_ns;

	*s = (struct stacks){.src = src, .places = places};
	if (ex_end_time(src, &end_ns, err) < 0)
		return -1;
	for (ct_u32 id = 1; id <= ct_stepdb_names(src->db, CT_THREADS); id++) {
		s->root = child(s, 0, id);
		if (!s->root)
			return too_many(err);
		s->last_ns = 0;
		if (ex_timeline(src, opts, id, end_ns, &sink, err) < 0)
			return -1;
	}
	return 0;
}

void stacks_free(struct stacks *s)
{
	free(s->node);
	free(s->slots);
	*s = (struct stacks){0};
}
