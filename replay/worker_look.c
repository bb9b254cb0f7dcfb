/* SPDX-License-Identifier: MIT
 * CodeTracer's replay worker: queries that only look. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "formats/event_access.h"
#include "formats/snapshot.h"
#include "replay/worker.h"

#define DEPTH        4 /* of values, if the query does not say */
#define MOST_EVENTS  20000
#define MOST_HISTORY 1000

static int place(struct worker *w, struct ct_dwarf_place *p, struct ct_error *err)
{
	return native_frame(w->d, 0, p, err);
}

static unsigned depth_of(const json_t *limit)
{
	const json_int_t n = json_is_integer(limit) ? json_integer_value(limit) : -1;

	return n < 0 ? DEPTH : n < 16 ? (unsigned)n : 16;
}

struct list {
	json_t *json;
	struct ct_dwarf_place p;
	unsigned depth;
};

static void add_variable(void *ctx, const char *name, const struct ct_dwarf_value *v)
{
	struct list *l = ctx;

	json_array_append_new(l->json,
			      json_pack("{s:o, s:o, s:I}", "expression", dap_text(name, strlen(name)), "value",
					worker_value(&l->p, v, l->depth), "address",
					v->where == CT_DWARF_IN_MEMORY ? (json_int_t)v->addr : (json_int_t)-1));
}

static json_t *load_locals(struct worker *w, const json_t *q, struct ct_error *err)
{
	const json_t *watches = json_object_get(json_object_get(q, "arg"), "watchExpressions");
	struct list l = {.depth = depth_of(json_object_get(json_object_get(q, "arg"), "depthLimit"))};

	if (place(w, &l.p, err))
		return NULL;
	l.json = json_array();
	ct_dwarf_variables(&l.p, CT_DWARF_ARGS, add_variable, &l, NULL);
	ct_dwarf_variables(&l.p, CT_DWARF_LOCALS, add_variable, &l, NULL);
	for (size_t i = 0; i < json_array_size(watches); i++) {
		const char *text = json_string_value(json_array_get(watches, i));
		struct ct_dwarf_value v;
		struct ct_error why = {0};

		if (text && ct_dwarf_eval(&l.p, text, &v, &why)) {
			v = (struct ct_dwarf_value){0};
			snprintf(v.why, sizeof(v.why), "%.90s", why.msg);
		}
		if (text)
			add_variable(&l, text, &v);
	}
	return l.json;
}

static json_t *load_value(struct worker *w, const json_t *q, struct ct_error *err)
{
	const char *text = json_string_value(json_object_get(q, "expression"));
	struct ct_dwarf_place p;
	struct ct_dwarf_value v;

	if (place(w, &p, err) || ct_dwarf_eval(&p, text ? text : "", &v, err))
		return NULL;
	return worker_value(&p, &v, depth_of(json_object_get(q, "depth_limit")));
}

static json_t *evaluate_with_address(struct worker *w, const json_t *q, struct ct_error *err)
{
	const char *text = json_string_value(json_object_get(q, "expression"));
	struct list l = {.depth = depth_of(json_object_get(q, "depth_limit"))};
	struct ct_dwarf_value v;
	json_t *o;

	if (place(w, &l.p, err) || ct_dwarf_eval(&l.p, text ? text : "", &v, err))
		return NULL;
	l.json = json_array();
	add_variable(&l, text, &v);
	o = json_incref(json_array_get(l.json, 0));
	json_decref(l.json);
	if (o)
		json_object_set_new(o, "size", json_integer((json_int_t)ct_dwarf_size(&v)));
	return o;
}

static json_t *load_callstack(struct worker *w, const json_t *q, struct ct_error *err)
{
	const struct native_stack *s = native_stack(w->d, 0, err);
	json_t *lines = json_array(),
	       *none = json_pack("{s:i, s:{s:i, s:s}}", "kind", 30, "typ", "kind", 30, "langType", "none");

	(void)q;
	for (size_t i = 0; s && i < s->s.n; i++) {
		const struct ct_dwarf_frame *f = &s->s.frame[i];
		char key[40];
		json_t *call;

		snprintf(key, sizeof(key), "%llx-%zu", (unsigned long long)f->cfa, i);
		call = json_pack("{s:s, s:[], s:I, s:o, s:n, s:s, s:[], s:O, s:b}", "key", key, "children", "depth",
				 (json_int_t)(s->s.n - i), "location", worker_location(w, i, err), "parent", "rawName",
				 f->name ? f->name : "?", "args", "returnValue", none, "withArgsAndReturn", 0);
		json_array_append_new(lines, json_pack("{s:{s:i, s:o, s:i, s:b, s:i, s:b}, s:I}", "content", "kind", 0,
						       "call", call, "nonExpandedKind", 0, "hiddenChildren", 0, "count",
						       0, "isError", 0, "depth", (json_int_t)(s->s.n - i)));
	}
	json_decref(none);
	if (s)
		return lines;
	json_decref(lines);
	return NULL;
}

/* What the program wrote and read, each with the moment of the call. */
static json_t *load_events(struct worker *w, const json_t *q, struct ct_error *err)
{
	struct ct_cursor *cur = ct_cursor_create(w->d->rec, err);
	json_t *events = json_array();
	const struct ct_event *ev;
	ct_u64 begin, end;

	(void)q;
	ct_timeline_range(w->d->tl, &begin, &end);
	if (!cur || ct_cursor_seek_seq(cur, begin, err)) {
		ct_cursor_destroy(cur);
		json_decref(events);
		return NULL;
	}
	while (json_array_size(events) < MOST_EVENTS && ct_cursor_next(cur, &ev, NULL) > 0 && ev->seq < end) {
		const struct ct_ev_syscall *sc = ct_event_payload(ev);
		struct ct_buf_iter it = ct_buf_iter(ev);
		bool out, std;

		if (ev->type != CT_EV_SYSCALL || ev->pid != w->d->pid || sc->ret <= 0 ||
		    (sc->nr != SYS_write && sc->nr != SYS_read))
			continue;
		out = sc->nr == SYS_write;
		std = sc->args[0] <= 2;
		while (ct_buf_next(&it)) {
			size_t n = it.buf->len < (ct_u64)sc->ret ? it.buf->len : (size_t)sc->ret;

			if (it.buf->kind != (out ? CT_BUF_IN : CT_BUF_OUT))
				continue;
			json_array_append_new(
				events, json_pack("{s:i, s:o, s:I, s:s, s:i, s:o, s:I, s:b, s:I, s:i, s:I, s:b, s:I}",
						  "kind", out ? (std ? 0 : 1) : (std ? 3 : 4), "content",
						  dap_text((const char *)it.data, n), "rrEventId", (json_int_t)ev->seq,
						  "highLevelPath", "", "highLevelLine", -1, "metadata",
						  json_sprintf("fd %llu", (unsigned long long)sc->args[0]), "bytes",
						  (json_int_t)sc->ret, "stdout", std && out, "directLocationRRTicks",
						  (json_int_t)(ev->seq << WITHIN), "tracepointResultIndex", -1,
						  "eventIndex", (json_int_t)json_array_size(events), "base64Encoded", 0,
						  "maxRRTicks", (json_int_t)(end << WITHIN)));
			break;
		}
	}
	ct_cursor_destroy(cur);
	return json_pack("{s:o, s:[], s:s}", "events", events, "firstEvents", "contents", "");
}

/* All values that the expression's memory had before this moment: by watching it, backwards. */
static json_t *load_history(struct worker *w, const json_t *q, struct ct_error *err)
{
	const char *text = json_string_value(json_object_get(json_object_get(q, "arg"), "expression"));
	struct ct_dwarf_place p;
	struct ct_dwarf_value v;
	json_t *list = json_array();
	struct ct_moment here;
	ct_u64 size;

	if (place(w, &p, err) || ct_dwarf_eval(&p, text ? text : "", &v, err) || ct_timeline_now(w->d->tl, &here, err))
		goto fail;
	size = ct_dwarf_size(&v);
	if (v.where != CT_DWARF_IN_MEMORY || (size != 1 && size != 2 && size != 4 && size != 8) || v.addr % size) {
		ct_fail(err, CT_EXIT_FAILED, "the history of '%.80s' is not known: it is not one word of memory",
			text ? text : "");
		goto fail;
	}
	ct_timeline_catch(w->d->tl, 0, false, false);
	for (size_t i = 0; i < MOST_HISTORY; i++) {
		const struct ct_stop watch = {CT_STOP_WRITE, v.addr, (ct_u32)size};
		const struct ct_dwarf_place bare = {.d = p.d, .mem = p.mem};
		json_t *value = worker_value(&bare, &v, 1), *at = NULL;
		struct ct_stopped stopped;

		if (ct_timeline_set_stops(w->d->tl, &watch, 1, err) || ct_timeline_run(w->d->tl, true, &stopped, err)) {
			json_decref(value);
			goto fail;
		}
		native_moved(w->d);
		w->d->tid = stopped.tid;
		at = worker_location(w, 0, err);
		json_array_insert_new(list, 0,
				      json_pack("{s:o, s:o, s:i, s:s}", "location", at, "value", value, "time", 0,
						"description", stopped.why == CT_ARRIVED_WATCH ? "written" : ""));
		if (stopped.why != CT_ARRIVED_WATCH)
			break;
	}
	native_moved(w->d);
	if (ct_timeline_seek(w->d->tl, &here, err))
		goto fail;
	return json_pack("[o, I]", list, (json_int_t)v.addr);
fail:
	json_decref(list);
	return NULL;
}

/* What the function that it stands in returns, later: it is run to its end, and gone back from there. */
static json_t *load_return_value(struct worker *w, const json_t *q, struct ct_error *err)
{
	const struct native_stack *s = native_stack(w->d, 0, err);
	struct dap_break *none = NULL, *const *own = w->host.breaks;
	const unsigned depth = depth_of(json_object_get(q, "depth_limit"));
	const ct_u32 tid = w->d->tid;
	struct ct_dwarf_function f;
	struct dap_stop stop = {0};
	struct ct_dwarf_value v;
	struct ct_dwarf_place p;
	struct ct_moment here;
	json_t *value = NULL;
	int ret;

	if (!s || ct_timeline_now(w->d->tl, &here, err))
		return NULL;
	if (!s->s.n || !s->s.frame[0].has_function || !s->s.frame[0].function.has_die) {
		ct_fail(err, CT_EXIT_FAILED, "there is no debug information about the function here");
		return NULL;
	}
	f = s->s.frame[0].function;
	w->host.breaks = &none;
	ret = dap_native_move(&w->d->base, &(struct dap_move){.motion = DAP_OUT}, &stop, err);
	w->host.breaks = own;
	if (!ret && strcmp(stop.reason, "step"))
		ret = ct_fail(err, CT_EXIT_FAILED, "%s does not return in the recording", f.name);
	if (!ret && !place(w, &p, err)) {
		if (ct_dwarf_returned(&p, &f, &v))
			value = worker_value(&p, &v, depth);
		else
			ct_fail(err, CT_EXIT_FAILED, "%s returns nothing", f.name);
	}
	native_moved(w->d);
	if (ct_timeline_seek(w->d->tl, &here, err)) {
		json_decref(value);
		value = NULL;
	}
	w->d->tid = tid;
	return value;
}

/* What cannot be evaluated, or called, is told in the answer's own way. */
static json_t *evaluate_at_tracepoint(struct worker *w, const json_t *q, struct ct_error *err)
{
	const json_t *r = json_object_get(q, "request");
	const char *mode = json_string_value(json_object_get(r, "mode")),
		   *text = json_string_value(json_object_get(r, "expression")),
		   *call = json_string_value(json_object_get(json_object_get(r, "function_call"), "call_expression"));
	struct ct_error why = {0};
	struct ct_dwarf_place p;
	struct ct_dwarf_value v;
	json_t *value = NULL, *invocation = NULL, *wrong = NULL;

	if (!mode || (strcmp(mode, "read_only_expression") && strcmp(mode, "emulated_function"))) {
		ct_fail(err, CT_EXIT_USAGE, "there is no such mode of evaluation");
		return NULL;
	}
	if (*mode == 'e')
		value = worker_call(w, call ? call : "", DEPTH, &invocation, &why);
	else if (!place(w, &p, &why) && !ct_dwarf_eval(&p, text ? text : "", &v, &why))
		value = worker_value(&p, &v, DEPTH);
	if (!value)
		wrong = json_pack("{s:s, s:o, s:n}", "code", "evaluation-failed", "message",
				  dap_text(why.msg, strlen(why.msg)), "detail");
	return json_pack("{s:s, s:b, s:o?, s:n, s:n, s:n, s:o?, s:o?}", "mode", mode, "replay_state_preserved", 1,
			 "value", value, "return_value", "return_value_class", "return_value_u64", "invocation",
			 invocation, "diagnostic", wrong);
}

static json_t *recording_head(struct worker *w, const json_t *q, struct ct_error *err)
{
	ct_u64 begin, end;

	(void)q, (void)err;
	ct_timeline_range(w->d->tl, &begin, &end);
	return json_pack("{s:I}", "rrTicks", (json_int_t)(end << WITHIN));
}

static json_t *process_info(struct worker *w, const json_t *q, struct ct_error *err)
{
	struct ct_snapshot_reader *snap =
		ct_snapshot_open(ct_recording_dirfd(w->d->rec), ct_timeline_snapshot(w->d->tl), err);
	json_t *list = snap ? json_array() : NULL;

	(void)q;
	for (ct_u32 i = 0; snap && i < ct_snapshot_get(snap)->nprocs; i++) {
		const struct ct_snap_proc *p = &ct_snapshot_get(snap)->procs[i];

		json_array_append_new(list, json_pack("{s:I, s:I, s:n, s:o}", "pid", (json_int_t)p->pid, "ppid",
						      (json_int_t)p->ppid, "exitCode", "command",
						      dap_text(p->exe, strlen(p->exe))));
	}
	ct_snapshot_reader_close(snap);
	return list;
}

static json_t *current_pc(struct worker *w, const json_t *q, struct ct_error *err)
{
	struct ct_dwarf_regs regs;

	(void)q;
	return native_regs(w->d, w->d->tid, &regs, err) ? NULL : json_integer((json_int_t)regs.r[CT_DW_RIP]);
}
static json_t *current_thread(struct worker *w, const json_t *q, struct ct_error *err)
{
	(void)q, (void)err;
	return json_integer(w->d->tid);
}
static json_t *select_thread(struct worker *w, const json_t *q, struct ct_error *err)
{
	const json_t *tid = json_object_get(q, "tid") ? json_object_get(q, "tid") : json_object_get(q, "thread_id");
	struct ct_dwarf_regs regs;

	if (native_regs(w->d, (ct_u32)json_integer_value(tid), &regs, err))
		return NULL;
	native_moved(w->d);
	w->d->tid = (ct_u32)json_integer_value(tid);
	return json_true();
}

const struct worker_query worker_look[] = {
	{"LoadLocals", load_locals},
	{"LoadValue", load_value},
	{"EvaluateWithAddress", evaluate_with_address},
	{"LoadCallstack", load_callstack},
	{"LoadAllEvents", load_events},
	{"LoadHistory", load_history},
	{"LoadReturnValue", load_return_value},
	{"TtdTracepointEvaluate", evaluate_at_tracepoint},
	{"GetRecordingHead", recording_head},
	{"GetProcessInfo", process_info},
	{"CurrentPc", current_pc},
	{"CurrentThread", current_thread},
	{"SelectThread", select_thread},
	{0},
};
