/* SPDX-License-Identifier: MIT
 * `ctbpf script`: one thing that happened, as a line for people or as a JSON object.
 *
 * Each begins with its position, which --from and --to take: s:STEP or e:EVENT. */
#include <stdlib.h>
#include <string.h>

#include "script.h"

#define DEEPEST 40 /* levels that are indented; the number says it for deeper ones */

static bool is_json(const struct script *s)
{
	return s->q.form == QUERY_JSON;
}

/* One line, and nothing that a terminal would obey. */
static void put_plain(struct ct_out *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\t')
			ct_out_char(out, ' ');
		else if (c < 0x20 || c == 0x7f)
			ct_out_fmt(out, "\\x%02x", c);
		else
			ct_out_char(out, text[i]);
	}
}

static void put_name(struct script *s, enum ct_names table, ct_u64 id)
{
	const struct ct_name *name = ct_stepdb_name(s->q.db, table, id);

	put_plain(s->q.out, name ? name->text : "?", name ? name->len : 1);
}

static ct_u64 tid_of(const struct script *s, const struct ct_walk_thread *t)
{
	return ct_stepdb_name(s->q.db, CT_THREADS, t->id)->v[CT_TH_TID];
}

/* ---- Beginnings ---- */

static void head(struct script *s, const char *pos, ct_u64 id, ct_u64 ns, ct_u64 tid, size_t depth)
{
	size_t shown = depth < DEEPEST ? depth : DEEPEST;

	ns = ns > s->q.first_ns ? ns - s->q.first_ns : 0;
	ct_out_fmt(s->q.out, "%s%-9llu +%llu.%06llu %6llu  %*s", pos, (unsigned long long)id,
		   (unsigned long long)(ns / 1000000000), (unsigned long long)(ns % 1000000000 / 1000),
		   (unsigned long long)tid, (int)(2 * shown), "");
	if (shown < depth)
		ct_out_fmt(s->q.out, "(%zu) ", depth);
}

/* Of a thread: what has just been told, or comes under it. A line is drawn where the thread changes. */
static void head_of(struct script *s, const struct ct_walk_thread *t, ct_u64 step, size_t depth)
{
	if (s->told && s->told != t->id && !s->tid)
		ct_out_char(s->q.out, '\n');
	s->told = t->id;
	head(s, "s:", step, t->ns, tid_of(s, t), depth);
}

static void json_head(struct script *s, const struct ct_walk_thread *t, const char *type, size_t depth)
{
	ct_json_open(s->q.out, NULL, '{');
	ct_json_str(s->q.out, "type", type);
	ct_json_u64(s->q.out, "step", t->last_step);
	ct_json_u64(s->q.out, "time_ns", t->ns);
	ct_json_u64(s->q.out, "thread", t->id);
	ct_json_u64(s->q.out, "tid", tid_of(s, t));
	ct_json_u64(s->q.out, "depth", depth);
}

static void json_end(struct script *s)
{
	ct_json_close(s->q.out, '}');
	ct_json_line(s->q.out);
}

static void json_name(struct script *s, const char *key, enum ct_names table, ct_u64 id)
{
	const struct ct_name *name = ct_stepdb_name(s->q.db, table, id);

	if (name)
		ct_json_strn(s->q.out, key, name->text, name->len);
	else
		ct_json_null(s->q.out, key);
}

static void json_frame(struct script *s, const struct ct_walk_frame *f)
{
	ct_json_u64(s->q.out, "call", f->call);
	json_name(s, "function", CT_FUNCTIONS, f->function);
}

/* The value that the scan is at, malloc'ed. */
static char *value_text(struct script *s, size_t *n, struct ct_error *err)
{
	const ct_u8 *node;
	char *text;
	size_t len;

	if (ct_scan_node(s->values, &node, &len, err) < 0)
		return NULL;
	text = query_value_text(&s->q, node, len, n);
	if (!text)
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
	return text;
}

/* ---- Calls ---- */

void script_call(struct script *s, const struct ct_walk_thread *t, const struct ct_walk_frame *f,
		 enum ct_walk_enter how)
{
	static const char *const types[] = {
		[CT_WALK_CALL] = "call", [CT_WALK_RESUME] = "resume", [CT_WALK_THERE] = "running"};
	static const char *const arrows[] = {[CT_WALK_CALL] = "->", [CT_WALK_RESUME] = "=>", [CT_WALK_THERE] = ".."};
	const struct ct_name *fn = ct_stepdb_name(s->q.db, CT_FUNCTIONS, f->function);

	if (is_json(s)) {
		json_head(s, t, types[how], t->depth);
		json_frame(s, f);
		json_name(s, "path", CT_FILES, fn->v[CT_FN_FILE]);
		ct_json_u64(s->q.out, "line", fn->v[CT_FN_LINE]);
		if (how == CT_WALK_CALL)
			ct_json_open(s->q.out, "arguments", '[');
		return;
	}
	head_of(s, t, t->last_step, t->depth - 1);
	ct_out_fmt(s->q.out, "%s ", arrows[how]);
	put_plain(s->q.out, fn->text, fn->len);
	if (how == CT_WALK_CALL)
		ct_out_char(s->q.out, '(');
}

int script_argument(struct script *s, const struct script_value *v, bool first, struct ct_error *err)
{
	size_t n;
	char *text = value_text(s, &n, err);

	if (!text)
		return -1;
	if (is_json(s)) {
		ct_json_open(s->q.out, NULL, '{');
		json_name(s, "name", CT_STRINGS, v->name);
		ct_json_strn(s->q.out, "value", text, n);
		ct_json_close(s->q.out, '}');
	} else {
		ct_out_str(s->q.out, first ? "" : ", ");
		put_name(s, CT_STRINGS, v->name);
		ct_out_char(s->q.out, '=');
		put_plain(s->q.out, text, n);
	}
	free(text);
	return 0;
}

void script_call_end(struct script *s, const struct ct_walk_frame *f, enum ct_walk_enter how)
{
	const struct ct_name *fn = ct_stepdb_name(s->q.db, CT_FUNCTIONS, f->function);

	if (is_json(s)) {
		if (how == CT_WALK_CALL)
			ct_json_close(s->q.out, ']');
		json_end(s);
		return;
	}
	ct_out_str(s->q.out, how == CT_WALK_CALL ? ")" : "");
	if (ct_stepdb_name(s->q.db, CT_FILES, fn->v[CT_FN_FILE])) {
		ct_out_str(s->q.out, "  ");
		put_name(s, CT_FILES, fn->v[CT_FN_FILE]);
		if (fn->v[CT_FN_LINE])
			ct_out_fmt(s->q.out, ":%llu", (unsigned long long)fn->v[CT_FN_LINE]);
	}
	ct_out_fmt(s->q.out, "%s\n", how == CT_WALK_RESUME ? "  goes on" : how == CT_WALK_THERE ? "  is running" : "");
}

void script_leave(struct script *s, const struct ct_walk_thread *t, const struct ct_walk_frame *f,
		  enum ct_walk_leave how)
{
	bool raised = how == CT_WALK_ENDED && f->state == CT_CALL_RAISED;

	if (is_json(s)) {
		json_head(s, t, how == CT_WALK_SUSPENDED ? "suspend" : raised ? "unwind" : "return", t->depth);
		json_frame(s, f);
		if (raised)
			json_name(s, "exception", CT_TYPES, f->exception);
		json_end(s);
		return;
	}
	head_of(s, t, t->last_step, t->depth - 1);
	if (raised) {
		ct_out_str(s->q.out, "<! ");
		put_name(s, CT_TYPES, f->exception);
	} else {
		ct_out_str(s->q.out, how == CT_WALK_SUSPENDED ? "<= suspended" : "<-");
	}
	ct_out_str(s->q.out, "  ");
	put_name(s, CT_FUNCTIONS, f->function);
	ct_out_char(s->q.out, '\n');
}

/* ---- Lines ---- */

void script_line(struct script *s, const struct ct_walk_thread *t, const struct ct_walk_frame *f,
		 const struct ct_walk_step *step)
{
	const struct ct_name *l = ct_stepdb_name(s->q.db, CT_LOCATIONS, step->location);
	const char *text = NULL;
	size_t len = 0;

	if (l)
		text = ct_source_line(s->sources, l->v[CT_LOC_FILE], l->v[CT_LOC_LINE], &len);
	if (is_json(s)) {
		json_head(s, t, "line", t->depth);
		json_frame(s, f);
		ct_json_u64(s->q.out, "event_seq", step->event);
		json_name(s, "path", CT_FILES, l ? l->v[CT_LOC_FILE] : 0);
		ct_json_u64(s->q.out, "line", l ? l->v[CT_LOC_LINE] : 0);
		if (text)
			ct_json_strn(s->q.out, "text", text, len);
		else
			ct_json_null(s->q.out, "text");
		json_end(s);
		return;
	}
	head_of(s, t, step->id, t->depth - 1);
	if (!text) {
		put_name(s, CT_FILES, l ? l->v[CT_LOC_FILE] : 0);
		ct_out_char(s->q.out, ':');
	}
	ct_out_fmt(s->q.out, text ? "%5llu  " : "%llu", (unsigned long long)(l ? l->v[CT_LOC_LINE] : 0));
	put_plain(s->q.out, text ? text : "", len);
	ct_out_char(s->q.out, '\n');
}

/* ---- Values ---- */

int script_value(struct script *s, const struct ct_walk_thread *t, size_t depth, const struct script_value *v,
		 struct ct_error *err)
{
	const char *kind = ct_value_kind_name((unsigned)v->kind);
	struct ct_out *out = s->q.out;
	size_t n, level = depth ? depth : t->depth;
	char *text = value_text(s, &n, err);

	if (!text)
		return -1;
	if (is_json(s)) {
		bool named = v->kind != CT_VALUE_RETURN && v->kind != CT_VALUE_YIELD && v->kind != CT_VALUE_EXCEPTION;

		json_head(s, t, named ? "value" : kind, level);
		ct_json_u64(out, "call", v->call);
		json_name(s, "function", CT_FUNCTIONS, v->function);
		if (named) {
			ct_json_str(out, "kind", kind);
			json_name(s, "name", CT_STRINGS, v->name);
		}
		ct_json_strn(out, "value", text, n);
		json_end(s);
		free(text);
		return 0;
	}
	head_of(s, t, v->step, level ? level - 1 : 0);
	switch (v->kind) {
	case CT_VALUE_RETURN: ct_out_str(out, "<- "); break;
	case CT_VALUE_YIELD: ct_out_str(out, "<= "); break;
	case CT_VALUE_EXCEPTION: ct_out_str(out, "     !  "); break;
	default:
		ct_out_str(out, "       ");
		put_name(s, CT_STRINGS, v->name);
		ct_out_str(out, " = ");
	}
	put_plain(out, text, n);
	if (v->kind == CT_VALUE_RETURN || v->kind == CT_VALUE_YIELD) {
		ct_out_str(out, "  ");
		put_name(s, CT_FUNCTIONS, v->function);
	}
	ct_out_char(out, '\n');
	free(text);
	return 0;
}

/* ---- Events ---- */

void script_event(struct script *s, const struct ct_walk_thread *t, const struct ct_event *ev)
{
	struct ct_dump dump = s->dump;
	struct ct_out text;

	ct_out_memory(&text);
	dump.out = &text;
	ct_dump_what(&dump, ev);
	if (is_json(s)) {
		ct_json_open(s->q.out, NULL, '{');
		ct_json_str(s->q.out, "type", "event");
		ct_json_u64(s->q.out, "seq", ev->seq);
		ct_json_u64(s->q.out, "time_ns", ev->time_ns);
		ct_json_u64(s->q.out, "tid", ev->tid);
		ct_json_str(s->q.out, "event", ct_event_type_name(ev->type));
		ct_json_strn(s->q.out, "text", text.buf, text.len);
		json_end(s);
	} else {
		if (t && s->told && s->told != t->id && !s->tid)
			ct_out_char(s->q.out, '\n');
		s->told = t ? t->id : s->told;
		head(s, "e:", ev->seq, ev->time_ns, ev->tid, t && t->depth ? t->depth - 1 : 0);
		ct_out_str(s->q.out, "     *  ");
		put_plain(s->q.out, text.buf ? text.buf : "", text.len);
		ct_out_char(s->q.out, '\n');
	}
	ct_out_close(&text);
}
