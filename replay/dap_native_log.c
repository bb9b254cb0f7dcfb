/* SPDX-License-Identifier: MIT
 * Native code: log points. Backwards nothing stops at them: the way that has been gone back is gone once more,
 * forwards, and what they say there is told from its end on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dap_native.h"

#define MOST_BYTES (16u << 20) /* of messages that are kept: those nearest to where it went back from */

struct message {
	char *text;
	size_t len;
	json_t *where;
};
struct native_logged {
	struct message *list; /* in the order of time */
	size_t n, cap, first; /* those before `first` are forgotten */
	size_t bytes;
};

static void drop(struct native_logged *l, struct message *m)
{
	l->bytes -= m->len;
	free(m->text);
	json_decref(m->where);
}

static void keep(struct native_logged *l, const char *text, size_t len, json_t *where)
{
	const size_t cap = l->n < l->cap ? l->cap : l->cap ? 2 * l->cap : 64;
	struct message *more = cap > l->cap ? realloc(l->list, cap * sizeof(*more)) : l->list;
	char *copy = malloc(len);

	if (more) {
		l->list = more;
		l->cap = cap;
	}
	if (!more || !copy) {
		free(copy);
		json_decref(where);
		return;
	}
	memcpy(copy, text, len);
	l->list[l->n++] = (struct message){copy, len, where};
	l->bytes += len;
	while (l->bytes > MOST_BYTES)
		drop(l, &l->list[l->first++]);
}

/* Each {EXPRESSION} by its value. */
void native_log(struct dap_native *d, const struct dap_break *b)
{
	char text[8192], expression[1024], value[1024];
	struct ct_dwarf_place place;
	struct ct_dwarf_value v;
	struct ct_error err = {0};
	const char *p = b->log;
	json_t *where = NULL;
	size_t n = 0;

	if (native_frame(d, 0, &place, &err))
		return;
	while (*p && n < sizeof(text) - sizeof(value) - 2) {
		const char *end = *p == '{' ? strchr(p, '}') : NULL;

		if (!end || (size_t)(end - p) > sizeof(expression)) {
			text[n++] = *p++;
			continue;
		}
		*(char *)mempcpy(expression, p + 1, (size_t)(end - p - 1)) = 0;
		if (ct_dwarf_eval(&place, expression, &v, &err))
			snprintf(value, sizeof(value), "{%.200s}", err.msg);
		else
			ct_dwarf_text(&place, &v, value, sizeof(value));
		n += (size_t)snprintf(text + n, sizeof(value), "%s", value);
		p = end + 1;
	}
	text[n++] = '\n';
	if (place.stack->frame[0].has_line)
		where = json_pack("{s:o, s:I}", "source", native_source(d, place.stack->frame[0].line.file), "line",
				  (json_int_t)place.stack->frame[0].line.line);
	if (d->logged) {
		keep(d->logged, text, n, where);
		return;
	}
	native_tell_output(d);
	d->host->output(d->host->ctx, "console", text, n, where);
}

/* ---- backwards -------------------------------------------------------------------------------------------------- */

bool native_logs_later(const struct dap_break *b)
{
	return b->log && b->kind == DAP_LINE && !b->hits.op;
}

/* At a place of some of them. It is never stopped there. */
static bool visit(void *ctx, const struct ct_stop *stop, ct_u32 tid)
{
	const struct ct_stopped at = {.why = CT_ARRIVED_BREAK, .tid = tid, .stop = *stop};
	struct dap_native *d = ctx;

	d->tid = tid;
	native_moved(d);
	for (struct dap_break *b = *d->host->breaks; b; b = b->next)
		if (b->data && native_logs_later(b) && native_is_at(b, &at) && native_condition_met(d, b))
			native_log(d, b);
	return false;
}

static int set_stops(struct dap_native *d, struct ct_error *err)
{
	struct ct_stop *list = NULL, *more;
	size_t n = 0;
	int ret;

	for (const struct dap_break *b = *d->host->breaks; b; b = b->next) {
		const struct native_place *p = b->data;

		if (!p || b->broken || !b->verified || !native_logs_later(b))
			continue;
		more = realloc(list, (n + p->at.n + 1) * sizeof(*list));
		if (!more) {
			free(list);
			return native_no_memory(err);
		}
		list = more;
		for (size_t i = 0; i < p->at.n; i++)
			list[n++] = (struct ct_stop){CT_STOP_EXEC, p->at.addr[i], 1};
	}
	ret = n ? ct_timeline_set_stops(d->tl, list, n, err) : 1;
	free(list);
	return ret;
}

int native_log_back(struct dap_native *d, const struct ct_moment *from, struct ct_error *err)
{
	struct native_logged l = {0};
	struct ct_moment here;
	const ct_u32 tid = d->tid;
	int ret = set_stops(d, err);

	if (ret)
		return ret < 0 ? -1 : 0;
	if (ct_timeline_now(d->tl, &here, err))
		return -1;
	ct_timeline_catch(d->tl, 0, false, false);
	ct_timeline_set_condition(d->tl, visit, d);
	d->logged = &l;
	ret = ct_timeline_visit(d->tl, from, err);
	d->logged = NULL;
	ct_timeline_set_condition(d->tl, NULL, NULL);
	if (ret >= 0)
		ret = ct_timeline_seek(d->tl, &here, err);
	native_moved(d);
	d->tid = tid;
	for (size_t i = l.n; i-- > l.first; drop(&l, &l.list[i])) {
		const struct message *m = &l.list[i];

		d->host->output(d->host->ctx, "console", m->text, m->len, json_incref(m->where));
	}
	free(l.list);
	return ret < 0 ? -1 : 0;
}
