/* SPDX-License-Identifier: MIT
 * Records of live calls, as text and as JSON: functions by name where their FUNCTION record has been seen. */
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

void ct_dump_call_text(const struct ct_dump *dump, const struct ct_event *ev)
{
	struct ct_out *out = dump->out;

	if (ev->type == CT_EV_FUNCTION) {
		const struct ct_ev_function *f = ct_event_payload(ev);
		const char *file, *name = ct_event_function(ev, &file);

		ct_out_fmt(out, "=== FUNCTION %u ", f->id);
		ct_out_mem(out, name, f->name_len);
		ct_out_fmt(out, " (%s), ", ct_language_name(f->language));
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
		const char *file, *name = ct_event_function(ev, &file);

		ct_json_u64(out, "function", f->id);
		ct_json_strn(out, "name", name, f->name_len);
		ct_json_strn(out, "file", file, f->file_len);
		ct_json_u64(out, "line", f->line);
		ct_json_hex(out, "addr", f->addr);
		ct_json_str(out, "language", ct_language_name(f->language));
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
