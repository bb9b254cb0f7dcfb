/* SPDX-License-Identifier: MIT
 * Inside of `ctbpf graph`: the tree of calls.
 *
 * cmd_graph.c: options; graph_build.c: from the step database to nodes; graph_print.c: lines and JSON. */
#ifndef CT_GRAPH_H
#define CT_GRAPH_H

#include "keymap.h"
#include "query.h"

#define GRAPH_NODES (1u << 20) /* at most; what would need more is told */

/* All calls of a function by the same path, or with `single` one call. Nodes begin at 1 and come behind their parents.
 */
struct graph_node {
	ct_u32 parent, function, depth; /* depth of a root: 1 */
	ct_u64 call;                    /* single: its id */
	ct_u64 calls, resumed;          /* begun, and generators that went on */
	ct_u64 self_steps, total_steps, self_ns, total_ns;
};
struct graph {
	struct query q;
	struct query_span span;
	ct_u8 *threads, *roots; /* by id; NULL: all threads; the outermost functions */
	ct_u64 call;            /* the tree of this one; 0: of all */
	bool single;            /* every call has its own node */
	bool by_time;
	ct_u64 depth; /* 0: as deep as it goes */
	double min;   /* percent of the whole */

	struct graph_node *node;
	size_t nnodes, room;
	struct ct_keymap map;
	bool folded, full; /* deeper calls, or more nodes, than are kept: their steps are in totals only */
};
int graph_build(struct graph *g, struct ct_error *err);
int graph_print(struct graph *g, struct ct_error *err);

#endif
