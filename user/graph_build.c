/* SPDX-License-Identifier: MIT
 * `ctbpf graph`: merges the stacks of a walk over the step database into a tree.
 *
 * A node a path, so its size is that of the program, not of the run. */
#include <stdlib.h>

#include "../formats/stepdb_walk.h"
#include "graph.h"

#define FOLDED (1ull << 63) /* of ct_walk_frame.user: deeper than nodes are kept */

static ct_u64 new_node(struct graph *g, ct_u64 parent, const struct ct_walk_frame *f, struct ct_error *err)
{
	ct_u64 at = g->nnodes + 1;

	if (!g->single) {
		if (g->nnodes >= GRAPH_NODES) {
			size_t known = ct_keymap_find(&g->map, parent, f->function);

			return known == SIZE_MAX ? FOLDED : known + 1;
		}
		at = ct_keymap_at(&g->map, parent, f->function) + 1;
	} else if (g->nnodes >= GRAPH_NODES) {
		return FOLDED;
	}
	if (at == 0 || ct_array_reach(&g->node, &g->room, at, sizeof(*g->node)) < 0) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return 0;
	}
	if (at <= g->nnodes)
		return at;
	g->nnodes = at;
	g->node[at] = (struct graph_node){.parent = (ct_u32)parent,
					  .function = f->function,
					  .depth = parent ? g->node[parent].depth + 1 : 1,
					  .call = f->call};
	return at;
}

static int on_enter(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, enum ct_walk_enter how,
		    struct ct_error *err)
{
	struct graph *g = arg;
	ct_u64 parent = t->depth > 1 ? f[-1].user : 0;

	if (!parent && (g->call ? f->call != g->call : g->roots && !g->roots[f->function]))
		return 0;
	if (parent & FOLDED) {
		f->user = FOLDED;
		return 0;
	}
	if (parent && g->depth && g->node[parent].depth >= g->depth) {
		g->folded = true;
		f->user = FOLDED;
		return 0;
	}
	f->user = new_node(g, parent, f, err);
	if (!f->user)
		return -1;
	if (f->user == FOLDED) {
		g->full = true;
		return 0;
	}
	g->node[f->user].calls += how == CT_WALK_CALL;
	g->node[f->user].resumed += how == CT_WALK_RESUME;
	return 0;
}

static int on_leave(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, enum ct_walk_leave how,
		    const struct ct_walk_next *next, struct ct_error *err)
{
	struct graph *g = arg;
	struct graph_node *n = &g->node[f->user & ~FOLDED];

	(void)t, (void)how, (void)next, (void)err;
	if (!f->user || f->user & FOLDED)
		return 0;
	n->self_steps += f->self_steps;
	n->total_steps += f->self_steps + f->below_steps;
	n->self_ns += f->self_ns;
	n->total_ns += f->self_ns + f->below_ns;
	return 0;
}

/* From the step that made the call to its last. */
static int span_of_call(struct graph *g, struct ct_walk_spec *spec, struct ct_error *err)
{
	ct_u64 row[CT_CALL_NCOLS];

	if (!ct_stepdb_call_row(g->q.db, g->call, row, err))
		return -1;
	spec->first = row[CT_CALL_FROM_STEP] ? row[CT_CALL_FROM_STEP] : row[CT_CALL_FIRST_STEP];
	if (row[CT_CALL_STATE] != CT_CALL_OPEN)
		spec->last = row[CT_CALL_LAST_STEP] ? row[CT_CALL_LAST_STEP] : spec->first;
	return 0;
}

int graph_build(struct graph *g, struct ct_error *err)
{
	const struct ct_walk_visitor visitor = {.arg = g, .enter = on_enter, .leave = on_leave};
	struct ct_walk_spec spec = {.first = g->span.first_step,
				    .last = g->span.last_step == UINT64_MAX ? 0 : g->span.last_step,
				    .threads = g->threads};

	if (ct_array_reach(&g->node, &g->room, 0, sizeof(*g->node)) < 0)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	if (g->call && span_of_call(g, &spec, err) < 0)
		return -1;
	return ct_stepdb_walk(g->q.db, &spec, &visitor, err);
}
