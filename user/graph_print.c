/* SPDX-License-Identifier: MIT
 * `ctbpf graph`: the tree as lines for people, or as JSON lines.
 *
 * Children come by their size, those of single calls in the order of the run. */
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"

#define DRAWN 64 /* levels with lines of their own; deeper ones would fill the screen with bars */

struct lines {
	const char *bar, *space, *tee, *corner, *more;
};
static const struct lines ascii = {"|  ", "   ", "+- ", "`- ", "..."};
static const struct lines utf8 = {"│  ", "   ", "├─ ", "└─ ", "…"};

struct printer {
	struct graph *g;
	const struct lines *lines;
	ct_u32 *order; /* nodes by parent, then by rank */
	size_t *first; /* [node]: where its children begin in `order`; [nnodes + 1]: the end */
	bool *last;    /* [depth]: nothing follows on this level */
	ct_u64 whole;  /* of all roots */
	int wide[3];   /* columns of total, self, calls */
};

static ct_u64 total_of(const struct graph *g, size_t node)
{
	return g->by_time ? g->node[node].total_ns : g->node[node].total_steps;
}

static int compare_nodes(const void *a, const void *b, void *arg)
{
	const struct graph *g = arg;
	ct_u32 x = *(const ct_u32 *)a, y = *(const ct_u32 *)b;
	ct_u32 p = g->node[x].parent, q = g->node[y].parent;
	ct_u64 m = total_of(g, x), n = total_of(g, y);

	if (p != q)
		return p < q ? -1 : 1;
	if (!g->single && m != n)
		return m < n ? 1 : -1;
	return x < y ? -1 : x > y;
}

static bool is_utf8(void)
{
	locale_t l = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	bool yes = l && strcmp(nl_langinfo_l(CODESET, l), "UTF-8") == 0;

	if (l)
		freelocale(l);
	return yes;
}

static char *amount(const struct graph *g, char text[CT_HUMAN], ct_u64 n)
{
	return g->by_time ? ct_human_seconds(text, (double)n / 1e9) : ct_human_count(text, n);
}

static double percent(const struct printer *p, ct_u64 n)
{
	return p->whole ? 100.0 * (double)n / (double)p->whole : 0;
}

/* ---- Lines ---- */

static void put_columns(const struct printer *p, const char *total, double share, const char *self, const char *calls)
{
	ct_out_fmt(p->g->q.out, "%*s %5.1f %%  %*s  %*s  ", p->wide[0], total, share, p->wide[1], self, p->wide[2],
		   calls);
}

static void put_tree(const struct printer *p, ct_u32 depth)
{
	ct_u32 drawn = depth < DRAWN ? depth : DRAWN;

	for (ct_u32 d = 2; d < drawn; d++)
		ct_out_str(p->g->q.out, p->last[d] ? p->lines->space : p->lines->bar);
	if (depth > DRAWN)
		ct_out_fmt(p->g->q.out, "%s %u: ", p->lines->more, depth);
	else if (depth > 1)
		ct_out_str(p->g->q.out, p->last[depth] ? p->lines->corner : p->lines->tee);
}

/* One line, and nothing that a terminal would obey. */
static void put_plain(struct ct_out *out, const char *text)
{
	for (; *text; text++)
		ct_out_char(out, (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

static void put_line(const struct printer *p, const struct graph_node *n)
{
	const struct graph *g = p->g;
	const struct ct_name *fn = ct_stepdb_name(g->q.db, CT_FUNCTIONS, n->function);
	const struct ct_name *file = fn ? ct_stepdb_name(g->q.db, CT_FILES, fn->v[CT_FN_FILE]) : NULL;
	const char *path = file ? file->text : "", *base = strrchr(path, '/');
	char total[CT_HUMAN], self[CT_HUMAN], calls[CT_HUMAN];

	put_columns(p, amount(g, total, g->by_time ? n->total_ns : n->total_steps),
		    percent(p, g->by_time ? n->total_ns : n->total_steps),
		    amount(g, self, g->by_time ? n->self_ns : n->self_steps), ct_human_count(calls, n->calls));
	put_tree(p, n->depth);
	put_plain(g->q.out, fn ? fn->text : "?");
	if (file) {
		ct_out_str(g->q.out, "  ");
		put_plain(g->q.out, base && base[1] ? base + 1 : path);
		if (fn->v[CT_FN_LINE])
			ct_out_fmt(g->q.out, ":%llu", (unsigned long long)fn->v[CT_FN_LINE]);
	}
	if (g->single)
		ct_out_fmt(g->q.out, "  call %llu", (unsigned long long)n->call);
	if (n->resumed)
		ct_out_fmt(g->q.out, "  (resumed %s)",
			   n->resumed == 1 ? "once" : strcat(ct_human_count(calls, n->resumed), " times"));
	ct_out_char(g->q.out, '\n');
}

static void put_rest(const struct printer *p, ct_u32 depth, size_t count, ct_u64 sum)
{
	char total[CT_HUMAN];

	put_columns(p, amount(p->g, total, sum), percent(p, sum), "", "");
	put_tree(p, depth);
	ct_out_fmt(p->g->q.out, "%s %zu smaller\n", p->lines->more, count);
}

static void put_json(const struct printer *p, ct_u32 id)
{
	const struct graph *g = p->g;
	const struct graph_node *n = &g->node[id];
	const struct ct_name *fn = ct_stepdb_name(g->q.db, CT_FUNCTIONS, n->function);
	const struct ct_name *file = fn ? ct_stepdb_name(g->q.db, CT_FILES, fn->v[CT_FN_FILE]) : NULL;
	struct ct_out *out = g->q.out;

	ct_json_open(out, NULL, '{');
	ct_json_u64(out, "id", id);
	if (n->parent)
		ct_json_u64(out, "parent", n->parent);
	else
		ct_json_null(out, "parent");
	ct_json_u64(out, "depth", n->depth);
	if (g->single)
		ct_json_u64(out, "call", n->call);
	ct_json_str(out, "function", fn ? fn->text : NULL);
	ct_json_str(out, "path", file ? file->text : NULL);
	if (file)
		ct_json_u64(out, "line", fn->v[CT_FN_LINE]);
	else
		ct_json_null(out, "line");
	ct_json_u64(out, "calls", n->calls);
	ct_json_u64(out, "resumed", n->resumed);
	ct_json_u64(out, "self_steps", n->self_steps);
	ct_json_u64(out, "total_steps", n->total_steps);
	ct_json_u64(out, "self_ns", n->self_ns);
	ct_json_u64(out, "total_ns", n->total_ns);
	ct_json_close(out, '}');
	ct_json_line(out);
}

/* ---- The tree ---- */

/* How many of a node's children are large enough; those behind them are not. Of single calls all that are come first
 * in the run, so they are only cut off behind the last large one. */
static size_t large(const struct printer *p, ct_u32 node)
{
	size_t end = p->first[node + 1];

	while (end > p->first[node] && percent(p, total_of(p->g, p->order[end - 1])) < p->g->min)
		end--;
	return end;
}

/* Depth first, without recursion: `at` says for each level which child is next. */
static void put_nodes(struct printer *p, size_t *at, size_t *end)
{
	struct graph *g = p->g;
	ct_u32 path = 0, depth = 0; /* of the node whose children are at hand */

	at[0] = p->first[0];
	end[0] = large(p, 0);
	for (;;) {
		size_t all = p->first[path + 1];

		if (g->q.out->error)
			return;
		if (at[depth] < end[depth]) {
			ct_u32 id = p->order[at[depth]++];

			p->last[depth + 1] = at[depth] == all;
			if (g->q.form == QUERY_JSON)
				put_json(p, id);
			else
				put_line(p, &g->node[id]);
			path = id;
			depth++;
			at[depth] = p->first[id];
			end[depth] = large(p, id);
			continue;
		}
		if (end[depth] < all && g->q.form == QUERY_TABLE) {
			ct_u64 sum = 0;

			for (size_t i = end[depth]; i < all; i++)
				sum += total_of(g, p->order[i]);
			p->last[depth + 1] = true;
			put_rest(p, depth + 1, all - end[depth], sum);
		}
		if (!depth--)
			return;
		path = g->node[path].parent;
	}
}

static void measure(struct printer *p)
{
	const struct graph *g = p->g;
	char text[CT_HUMAN];
	const char *titles[3] = {"TOTAL", "SELF", "CALLS"};

	for (int i = 0; i < 3; i++)
		p->wide[i] = (int)strlen(titles[i]);
	for (size_t i = 1; i <= g->nnodes; i++) {
		const struct graph_node *n = &g->node[i];
		int wide[3] = {(int)strlen(amount(g, text, total_of(g, i))), 0, 0};

		wide[1] = (int)strlen(amount(g, text, g->by_time ? n->self_ns : n->self_steps));
		wide[2] = (int)strlen(ct_human_count(text, n->calls));
		for (int k = 0; k < 3; k++)
			p->wide[k] = wide[k] > p->wide[k] ? wide[k] : p->wide[k];
		if (!n->parent)
			p->whole += total_of(g, i);
	}
}

static void put_notes(const struct graph *g)
{
	struct ct_out *out = g->q.out;

	ct_out_str(out, g->by_time ? "\nTimes are only as fine as the events of the log; the order by steps is exact.\n"
				   : "\nIn steps: lines run, counted exactly.\n");
	if (g->folded)
		ct_out_fmt(out, "Calls deeper than %llu are in the totals of those above; --depth 0 shows all.\n",
			   (unsigned long long)g->depth);
	if (g->full)
		ct_out_fmt(out,
			   "More than %u paths: what is behind them is in totals only; choose by --function or "
			   "--depth.\n",
			   GRAPH_NODES);
}

int graph_print(struct graph *g, struct ct_error *err)
{
	struct printer p = {.g = g, .lines = is_utf8() ? &utf8 : &ascii};
	ct_u32 deepest = 0;
	size_t *at, *end, k = 0;
	int ret = 0;

	for (size_t i = 1; i <= g->nnodes; i++)
		deepest = g->node[i].depth > deepest ? g->node[i].depth : deepest;
	p.order = malloc((g->nnodes + 1) * sizeof(*p.order));
	p.first = malloc((g->nnodes + 2) * sizeof(*p.first));
	p.last = calloc((size_t)deepest + 3, sizeof(*p.last));
	at = calloc((size_t)deepest + 2, sizeof(*at));
	end = calloc((size_t)deepest + 2, sizeof(*end));
	if (!p.order || !p.first || !p.last || !at || !end) {
		ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
	} else {
		for (size_t i = 0; i < g->nnodes; i++)
			p.order[i] = (ct_u32)i + 1;
		qsort_r(p.order, g->nnodes, sizeof(*p.order), compare_nodes, g);
		for (size_t node = 0; node <= g->nnodes + 1; node++) {
			while (k < g->nnodes && g->node[p.order[k]].parent < node)
				k++;
			p.first[node] = k;
		}
		measure(&p);
		if (g->q.form == QUERY_TABLE)
			ct_out_fmt(g->q.out, "%*s          %*s  %*s  FUNCTION\n", p.wide[0], "TOTAL", p.wide[1], "SELF",
				   p.wide[2], "CALLS");
		put_nodes(&p, at, end);
		if (g->q.form == QUERY_TABLE)
			put_notes(g);
	}
	free(p.order);
	free(p.first);
	free(p.last);
	free(at);
	free(end);
	return ret;
}
