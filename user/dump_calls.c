/* SPDX-License-Identifier: MIT
 * Records of live calls, as text and as JSON: functions by name where their FUNCTION record has been seen. */
#include <math.h>
#include <string.h>

#include "dump.h"
#include "functions.h"

#define INDENT_MAX 24 /* columns */

void ct_dump_note(const struct ct_dump *dump, const struct ct_event *ev)
{
	if (ev->type == CT_EV_FUNCTION && dump->functions)
		ct_functions_add(dump->functions, ev);
}

static const char *name_of(const struct ct_dump *dump, ct_u32 id)
{
	const struct ct_function *f = dump->functions ? ct_functions_find(dump->functions, id) : NULL;

	return f ? f->name : NULL;
}

static void arrow(const struct ct_dump *dump, const char *text, unsigned depth, ct_u32 id)
{
	const char *name = name_of(dump, id);

	for (unsigned i = 1; i < depth && i <= INDENT_MAX / 2; i++)
		ct_out_str(dump->out, "  ");
	ct_out_str(dump->out, text);
	if (name)
		ct_out_str(dump->out, name);
	else
		ct_out_fmt(dump->out, "function %u", id);
}

static const char *const roles[CT_ROLES] = {"variable", "argument", "result"};
static const char *const directions[CT_DIRECTIONS] = {"", "in", "out"};

static const char *direction_of(const struct ct_ev_message *m)
{
	return m->direction < CT_DIRECTIONS ? directions[m->direction] : "?";
}

static double as_double(ct_u64 bits)
{
	double d;

	memcpy(&d, &bits, sizeof(d));
	return d;
}

static void data_text(struct ct_out *out, const char *data, size_t len, ct_u64 whole)
{
	ct_out_quoted(out, data, len, len);
	if (whole > len)
		ct_out_fmt(out, "... (%llu bytes)", (unsigned long long)whole);
}

static void value_text(struct ct_out *out, const struct ct_ev_value *v)
{
	const char *name = (const char *)(v + 1), *type = name + v->name_len;

	ct_out_fmt(out, "%s ", roles[v->role]);
	ct_out_mem(out, name, v->name_len);
	if (v->type_len) {
		ct_out_str(out, ": ");
		ct_out_mem(out, type, v->type_len);
	}
	ct_out_str(out, " = ");
	switch (v->kind) {
	case CT_KIND_NONE: ct_out_str(out, "none"); break;
	case CT_KIND_INT: ct_out_fmt(out, "%lld", (long long)v->number); break;
	case CT_KIND_BOOL: ct_out_str(out, v->number ? "true" : "false"); break;
	case CT_KIND_FLOAT: ct_out_fmt(out, "%.17g", as_double(v->number)); break;
	case CT_KIND_STRING:
	case CT_KIND_BYTES: data_text(out, type + v->type_len, v->data_len, v->length); break;
	default: ct_out_fmt(out, "%llu", (unsigned long long)v->number);
	}
}

/* What programs tell of themselves. */
static void told_text(const struct ct_dump *dump, const struct ct_event *ev)
{
	struct ct_out *out = dump->out;

	if (ev->type == CT_EV_LINES) {
		const struct ct_ev_lines *l = ct_event_payload(ev);
		const ct_u32 *line = (const ct_u32 *)(l + 1);

		arrow(dump, "   ", l->depth, l->function);
		ct_out_str(out, ", lines");
		for (unsigned i = 0; i < l->count; i++)
			ct_out_fmt(out, " %u", line[i]);
	} else if (ev->type == CT_EV_VALUE) {
		const struct ct_ev_value *v = ct_event_payload(ev);

		arrow(dump, "   ", v->depth, v->function);
		ct_out_str(out, ", ");
		value_text(out, v);
	} else {
		const struct ct_ev_message *m = ct_event_payload(ev);
		const char *topic = (const char *)(m + 1);

		ct_out_mem(out, topic, m->topic_len);
		ct_out_fmt(out, "%s%s: ", m->direction ? " " : "", direction_of(m));
		data_text(out, topic + m->topic_len, m->data_len, m->length);
	}
}

static void value_json(struct ct_out *out, const struct ct_ev_value *v)
{
	static const char *const kinds[CT_KINDS] = {"none", "int", "unsigned", "bool", "float", "string", "bytes"};
	const char *name = (const char *)(v + 1), *type = name + v->name_len;

	ct_json_str(out, "role", roles[v->role]);
	ct_json_strn(out, "variable", name, v->name_len);
	ct_json_strn(out, "value_type", type, v->type_len);
	ct_json_str(out, "kind", kinds[v->kind]);
	switch (v->kind) {
	case CT_KIND_NONE: break;
	case CT_KIND_INT: ct_json_s64(out, "value", (ct_s64)v->number); break;
	case CT_KIND_BOOL: ct_json_bool(out, "value", v->number != 0); break;
	case CT_KIND_FLOAT:
		if (isfinite(as_double(v->number)))
			ct_json_double(out, "value", as_double(v->number), 17);
		else
			ct_json_null(out, "value");
		break;
	case CT_KIND_STRING:
	case CT_KIND_BYTES:
		ct_json_strn(out, "value", type + v->type_len, v->data_len);
		ct_json_u64(out, "length", v->length);
		break;
	default: ct_json_u64(out, "value", v->number);
	}
}

static void told_json(const struct ct_dump *dump, const struct ct_event *ev)
{
	struct ct_out *out = dump->out;

	if (ev->type == CT_EV_LINES) {
		const struct ct_ev_lines *l = ct_event_payload(ev);
		const ct_u32 *line = (const ct_u32 *)(l + 1);

		ct_json_u64(out, "function", l->function);
		ct_json_str(out, "name", name_of(dump, l->function));
		ct_json_u64(out, "depth", l->depth);
		ct_json_open(out, "lines", '[');
		for (unsigned i = 0; i < l->count; i++)
			ct_json_u64(out, NULL, line[i]);
		ct_json_close(out, ']');
	} else if (ev->type == CT_EV_VALUE) {
		const struct ct_ev_value *v = ct_event_payload(ev);

		ct_json_u64(out, "function", v->function);
		ct_json_str(out, "name", name_of(dump, v->function));
		ct_json_u64(out, "depth", v->depth);
		value_json(out, v);
	} else {
		const struct ct_ev_message *m = ct_event_payload(ev);
		const char *topic = (const char *)(m + 1);

		ct_json_strn(out, "topic", topic, m->topic_len);
		ct_json_str(out, "direction", direction_of(m));
		ct_json_strn(out, "data", topic + m->topic_len, m->data_len);
		ct_json_u64(out, "length", m->length);
	}
}

void ct_dump_call_text(const struct ct_dump *dump, const struct ct_event *ev)
{
	struct ct_out *out = dump->out;

	if (ev->type == CT_EV_FUNCTION) {
		const struct ct_ev_function *f = ct_event_payload(ev);
		const char *file, *name = ct_event_function(ev, &file), *language;
		size_t language_len;

		language = ct_event_language(ev, &language_len);

		ct_out_fmt(out, "=== FUNCTION %u ", f->id);
		ct_out_mem(out, name, f->name_len);
		ct_out_str(out, " (");
		ct_out_mem(out, language, language_len);
		ct_out_str(out, "), ");
		ct_out_mem(out, file, f->file_len);
		if (f->line)
			ct_out_fmt(out, ":%u", f->line);
		if (f->addr)
			ct_out_fmt(out, " at %#llx", (unsigned long long)f->addr);
	} else if (ev->type == CT_EV_CALL) {
		const struct ct_ev_call *c = ct_event_payload(ev);
		const ct_u64 *arg = (const ct_u64 *)(c + 1);

		arrow(dump, c->flags & CT_ENTERED_TAIL ? "-> (by a jump) " : "-> ", c->depth, c->function);
		for (unsigned i = 0; i < c->nargs; i++)
			ct_out_fmt(out, "%s%#llx", i ? ", " : "(", (unsigned long long)arg[i]);
		if (c->nargs)
			ct_out_char(out, ')');
	} else if (ev->type != CT_EV_RETURN) {
		told_text(dump, ev);
	} else {
		const struct ct_ev_return *r = ct_event_payload(ev);

		arrow(dump, "<- ", r->depth, r->function);
		if (r->flags & CT_LEFT_RAISED)
			ct_out_str(out, " by an exception");
		if (r->flags & CT_LEFT_VALUE)
			ct_out_fmt(out, " = %#llx", (unsigned long long)r->value);
	}
}

void ct_dump_call_json(const struct ct_dump *dump, const struct ct_event *ev)
{
	struct ct_out *out = dump->out;

	if (ev->type == CT_EV_FUNCTION) {
		const struct ct_ev_function *f = ct_event_payload(ev);
		const char *file, *name = ct_event_function(ev, &file), *language;
		size_t language_len;

		language = ct_event_language(ev, &language_len);

		ct_json_u64(out, "function", f->id);
		ct_json_strn(out, "name", name, f->name_len);
		ct_json_strn(out, "file", file, f->file_len);
		ct_json_u64(out, "line", f->line);
		ct_json_hex(out, "addr", f->addr);
		ct_json_strn(out, "language", language, language_len);
		ct_json_bool(out, "binary", f->flags & CT_FNF_BINARY);
		ct_json_bool(out, "cut", f->flags & CT_FNF_CUT);
	} else if (ev->type == CT_EV_CALL) {
		const struct ct_ev_call *c = ct_event_payload(ev);
		const ct_u64 *arg = (const ct_u64 *)(c + 1);

		ct_json_u64(out, "function", c->function);
		ct_json_str(out, "name", name_of(dump, c->function));
		ct_json_u64(out, "depth", c->depth);
		ct_json_u64(out, "entered_ns", c->entered_ns);
		ct_json_bool(out, "tail", c->flags & CT_ENTERED_TAIL);
		ct_json_open(out, "args", '[');
		for (unsigned i = 0; i < c->nargs; i++)
			ct_json_hex(out, NULL, arg[i]);
		ct_json_close(out, ']');
	} else if (ev->type != CT_EV_RETURN) {
		told_json(dump, ev);
	} else {
		const struct ct_ev_return *r = ct_event_payload(ev);

		ct_json_u64(out, "function", r->function);
		ct_json_str(out, "name", name_of(dump, r->function));
		ct_json_u64(out, "depth", r->depth);
		ct_json_bool(out, "raised", r->flags & CT_LEFT_RAISED);
		if (r->flags & CT_LEFT_VALUE)
			ct_json_hex(out, "value", r->value);
	}
}

static const char *why_paused(const struct ct_ev_pause *p)
{
	return p->why == CT_PAUSE_ASKED ? "asked" : p->why == CT_PAUSE_OVERHEAD ? "overhead" : "?";
}

void ct_dump_pause_text(const struct ct_dump *dump, const struct ct_event *ev)
{
	const struct ct_ev_pause *p = ct_event_payload(ev);
	struct ct_out *out = dump->out;

	ct_out_str(out, p->off ? "!!! CALLS ARE NOT RECORDED from here on" : "=== CALLS are recorded again");
	ct_out_fmt(out, " (%s), after %.3f s", p->why == CT_PAUSE_OVERHEAD ? "--max-overhead" : why_paused(p),
		   (double)p->lasted_ns / 1e9);
	if (p->ppm)
		ct_out_fmt(out, " in which the probes cost %.2f %%", (double)p->ppm / 1e4);
}

void ct_dump_pause_json(const struct ct_dump *dump, const struct ct_event *ev)
{
	const struct ct_ev_pause *p = ct_event_payload(ev);
	struct ct_out *out = dump->out;

	ct_json_bool(out, "off", p->off != 0);
	ct_json_str(out, "why", why_paused(p));
	ct_json_u64(out, "at_ns", p->at_ns);
	ct_json_u64(out, "lasted_ns", p->lasted_ns);
	ct_json_double(out, "overhead_percent", (double)p->ppm / 1e4, 4);
}
