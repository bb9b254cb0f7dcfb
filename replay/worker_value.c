/* SPDX-License-Identifier: MIT
 * CodeTracer's replay worker: locations and values as CodeTracer has them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/worker.h"

#define ELEMENTS 200

/* CodeTracer's numbers of kinds of types. */
enum {
	KIND_SEQ = 0,
	KIND_STRUCT = 6,
	KIND_INT = 7,
	KIND_FLOAT = 8,
	KIND_BOOL = 12,
	KIND_RAW = 16,
	KIND_POINTER = 23,
	KIND_ERROR = 24,
	KIND_NONE = 30
};

/* The present moment as a number: the event's, and which of those that were told of before this event it is. */
static int worker_ticks(struct worker *w, ct_s64 *ticks, struct ct_error *err)
{
	struct worker_moment *more;
	struct ct_moment now;
	ct_s64 within = 0;

	if (ct_timeline_now(w->d->tl, &now, err))
		return -1;
	for (size_t i = 0; i < w->nmoments; i++) {
		if (ct_moment_same(&w->moments[i].m, &now)) {
			*ticks = w->moments[i].ticks;
			return 0;
		}
		if (w->moments[i].m.next == now.next && (w->moments[i].ticks & ((1 << WITHIN) - 1)) > within)
			within = w->moments[i].ticks & ((1 << WITHIN) - 1);
	}
	/* Right between two events is the first moment of all before the next. */
	within = now.tid ? within + 1 : 0;
	more = realloc(w->moments, (w->nmoments + 1) * sizeof(*more));
	if (!more)
		return native_no_memory(err);
	w->moments = more;
	*ticks = (ct_s64)(now.next << WITHIN) | within;
	more[w->nmoments++] = (struct worker_moment){*ticks, now};
	return 0;
}

json_t *worker_location(struct worker *w, size_t frame, struct ct_error *err)
{
	const struct native_stack *s = native_stack(w->d, 0, err);
	const struct ct_dwarf_frame *f = s && frame < s->s.n ? &s->s.frame[frame] : NULL;
	struct ct_dwarf_line first = {0}, last = {0};
	const char *path = f && f->has_line ? f->line.file : "", *name = f && f->name ? f->name : "";
	const json_int_t line = f && f->has_line ? (json_int_t)f->line.line : -1;
	size_t outer = 0;
	char key[40];
	ct_s64 ticks;
	json_t *o;

	if (!s || worker_ticks(w, &ticks, err))
		return NULL;
	for (size_t i = frame; i < s->s.n; i++)
		outer++;
	if (f && f->has_function && f->function.has_die) {
		ct_dwarf_line_at(w->d->dw, f->function.entry, &first);
		ct_dwarf_line_at(w->d->dw, f->function.high - 1, &last);
	}
	snprintf(key, sizeof(key), "%llx", f ? (unsigned long long)f->cfa : 0ull);
	o = json_pack(
		"{s:s, s:I, s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:s, s:i, s:b, s:I, s:I, s:s, s:s, s:[], "
		"s:b}",
		"path", path, "line", line, "functionName", name, "highLevelPath", path, "highLevelLine", line,
		"highLevelFunctionName", name, "lowLevelPath", path, "lowLevelLine", line, "rrTicks", (json_int_t)ticks,
		"functionFirst", first.line ? (json_int_t)first.line : (json_int_t)-1, "functionLast",
		last.line ? (json_int_t)last.line : (json_int_t)-1, "event", -1, "expression", "", "offset", -1,
		"error", 0, "callstackDepth", (json_int_t)outer, "originatingInstructionAddress",
		(json_int_t)(f ? f->pc : 0), "key", key, "globalCallKey", key, "expansionParents", "missingPath",
		!*path);
	if (o && f && f->has_line)
		json_object_set_new(o, "column", json_integer(f->line.column));
	return o;
}

/* ---- values ---- */

static json_t *type_record(int kind, const char *name, json_t *info)
{
	return json_pack("{s:i, s:o, s:o}", "kind", kind, "lang_type", dap_text(name, strlen(name)), "specific_info",
			 info ? info : json_pack("{s:s}", "kind", "None"));
}

static json_t *compound(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, const char *type, ct_u64 n,
			bool indexed, unsigned depth)
{
	json_t *values = json_array(), *fields = json_array();
	struct ct_dwarf_child child;

	for (ct_u64 i = 0; i < n && i < ELEMENTS && ct_dwarf_child(p, v, i, &child); i++) {
		json_array_append_new(values, worker_value(p, &child.value, depth - 1));
		json_array_append_new(fields, json_pack("{s:o, s:i}", "name", dap_text(child.name, strlen(child.name)),
							"type_id", 0));
	}
	if (indexed) {
		json_decref(fields);
		return json_pack("{s:s, s:o, s:b, s:o}", "kind", "Sequence", "elements", values, "is_slice", 0, "typ",
				 type_record(KIND_SEQ, type, NULL));
	}
	return json_pack("{s:s, s:o, s:o}", "kind", "Struct", "field_values", values, "typ",
			 type_record(KIND_STRUCT, type, json_pack("{s:s, s:o}", "kind", "Struct", "fields", fields)));
}

json_t *worker_value(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, unsigned depth)
{
	struct ct_dwarf_number number;
	char text[1000], type[256];
	bool indexed;
	ct_u64 n;

	ct_dwarf_type_name(v, type, sizeof(type));
	ct_dwarf_text(p, v, text, sizeof(text));
	if (v->where == CT_DWARF_NOWHERE)
		return json_pack("{s:s, s:s, s:o}", "kind", "Error", "msg", v->why, "typ",
				 type_record(KIND_ERROR, type, NULL));
	if (!ct_dwarf_number(p, v, &number, NULL) && text[strspn(text, "-0123456789")] == 0 && *text)
		return json_pack("{s:s, s:I, s:o}", "kind", "Int", "i", (json_int_t)number.u, "typ",
				 type_record(KIND_INT, type, NULL));
	if (!strcmp(text, "true") || !strcmp(text, "false"))
		return json_pack("{s:s, s:b, s:o}", "kind", "Bool", "b", *text == 't', "typ",
				 type_record(KIND_BOOL, type, NULL));
	if (!ct_dwarf_number(p, v, &number, NULL) && number.cls == CT_DWARF_FLOAT && number.f == number.f &&
	    number.f - number.f == 0)
		return json_pack("{s:s, s:f, s:o}", "kind", "Float", "f", number.f, "typ",
				 type_record(KIND_FLOAT, type, NULL));
	n = ct_dwarf_children(p, v, &indexed);
	/* Pointers are shown as such: what is behind them is asked for by an expression. */
	if (n && depth && text[0] == '{')
		return compound(p, v, type, n, indexed, depth);
	return json_pack("{s:s, s:o, s:o}", "kind", "Raw", "r", dap_text(text, strlen(text)), "typ",
			 type_record(text[0] == '0' ? KIND_POINTER : KIND_RAW, type, NULL));
}
