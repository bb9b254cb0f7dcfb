// SPDX-License-Identifier: MIT
/* Break- and watchpoints of gdb's: kept, set in the timeline, and whether the condition of one is met. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "replay/gdb_priv.h"

static int set_points(struct ct_gdb *g)
{
	struct ct_stop *list = calloc(g->npoints * 4 + 1, sizeof(*list));
	struct ct_error err;
	size_t n = 0;
	int ret;

	for (size_t i = 0; list && i < g->npoints; i++) {
		const struct ct_gdb_point *p = &g->points[i];

		if (p->type < 2) {
			list[n++] = (struct ct_stop){CT_STOP_EXEC, p->addr, 1};
			continue;
		}
		/* Debug registers watch 1, 2, 4 or 8 aligned bytes. */
		for (ct_u64 at = p->addr, end = p->addr + p->kind; at < end && n < g->npoints * 4;) {
			ct_u32 len = 8;

			while (at % len || at + len > end)
				len /= 2;
			list[n++] = (struct ct_stop){p->type == 2 ? CT_STOP_WRITE : CT_STOP_ACCESS, at, len};
			at += len;
		}
	}
	ret = list ? ct_timeline_set_stops(g->tl, list, n, &err) : -1;
	free(list);
	return ret;
}

static bool general_register(void *ctx, ct_u64 number, ct_u64 *value)
{
	struct ct_gdb *g = ctx;

	return ct_gdb_number(g, g->asked, number, value);
}

static bool memory(void *ctx, ct_u64 addr, void *buf, size_t len)
{
	struct ct_gdb *g = ctx;

	return !ct_session_read(ct_timeline_session(g->tl), ct_timeline_pid(g->tl), addr, buf, len, NULL);
}

/* Here and not in gdb, which would be told of each hit, and would have the last one before it looked for. */
bool ct_gdb_condition_met(void *ctx, const struct ct_stop *stop, ct_u32 tid)
{
	struct ct_gdb *g = ctx;
	const struct ct_gdb_machine m = {general_register, memory, g};

	g->asked = tid;
	for (size_t i = 0; i < g->npoints; i++)
		if (g->points[i].type < 2 && g->points[i].addr == stop->addr &&
		    ct_gdb_conditions_met(g->points[i].conditions, &m))
			return true;
	return false;
}

ct_u64 ct_gdb_conditions_key(const struct ct_gdb *g)
{
	ct_u64 key = 1;

	for (size_t i = 0; i < g->npoints; i++) {
		const struct ct_gdb_point *p = &g->points[i];

		if (p->type < 2)
			key = XXH3_64bits_withSeed(p->conditions.p, (size_t)(p->conditions.end - p->conditions.p),
						   key + p->addr);
	}
	return key ? key : 1;
}

static void forget_conditions(struct ct_gdb_point *p)
{
	free((char *)p->conditions.p);
	p->conditions = (struct ct_gdb_text){NULL, NULL};
}

/* A copy, which the packet's place does not outlive. */
static bool keep_conditions(struct ct_gdb_point *p)
{
	const size_t len = (size_t)(p->conditions.end - p->conditions.p);
	char *copy = malloc(len + 1);

	if (!copy)
		return false;
	memcpy(copy, p->conditions.p, len);
	p->conditions = (struct ct_gdb_text){copy, copy + len};
	return true;
}

void ct_gdb_insert_point(struct ct_gdb *g, struct ct_gdb_text t)
{
	struct ct_gdb_point p;

	if (!ct_gdb_parse_point(t, &p) || (p.type >= 2 && (!p.kind || p.kind > 24 || p.addr + p.kind < p.addr)) ||
	    g->npoints == CT_GDB_POINTS || !keep_conditions(&p)) {
		ct_gdb_putf(&g->out, "E16");
		return;
	}
	for (size_t i = 0; i < g->npoints; i++)
		if (g->points[i].type == p.type && g->points[i].addr == p.addr && g->points[i].kind == p.kind) {
			forget_conditions(&g->points[i]);
			g->points[i].conditions = p.conditions;
			ct_gdb_putf(&g->out, "OK");
			return;
		}
	g->points[g->npoints++] = p;
	if (set_points(g)) {
		forget_conditions(&g->points[--g->npoints]);
		ct_gdb_putf(&g->out, "E1c");
		return;
	}
	ct_gdb_putf(&g->out, "OK");
}

void ct_gdb_remove_point(struct ct_gdb *g, struct ct_gdb_text t)
{
	struct ct_gdb_point p;

	if (!ct_gdb_parse_point(t, &p)) {
		ct_gdb_putf(&g->out, "E16");
		return;
	}
	for (size_t i = 0; i < g->npoints; i++)
		if (g->points[i].type == p.type && g->points[i].addr == p.addr && g->points[i].kind == p.kind) {
			forget_conditions(&g->points[i]);
			memmove(&g->points[i], &g->points[i + 1], (--g->npoints - i) * sizeof(*g->points));
			break;
		}
	set_points(g);
	ct_gdb_putf(&g->out, "OK");
}

const char *ct_gdb_watch_name(const struct ct_gdb *g, ct_u64 addr)
{
	static const char *const names[] = {[2] = "watch", [3] = "rwatch", [4] = "awatch"};

	for (size_t i = 0; i < g->npoints; i++)
		if (g->points[i].type >= 2 && addr - g->points[i].addr < g->points[i].kind)
			return names[g->points[i].type];
	return "watch";
}

void ct_gdb_forget_points(struct ct_gdb *g)
{
	while (g->npoints)
		forget_conditions(&g->points[--g->npoints]);
}
