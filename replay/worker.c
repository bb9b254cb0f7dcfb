/* SPDX-License-Identifier: MIT
 * CodeTracer's replay worker: queries in, answers out, a line of JSON each. An answer that begins with "error:" says
 * what went wrong. */
#include "replay/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "formats/event_access.h"
#include "replay/dap_session.h"

#define LINE_MAX_BYTES (1u << 20)
#define DEPTH          4 /* of values, if the query does not say */
#define MOST_EVENTS    20000
#define MOST_HISTORY   1000

static const json_t *part(const json_t *q, const char *key)
{
	return json_object_get(q, key);
}

static int place(struct worker *w, struct ct_dwarf_place *p, struct ct_error *err)
{
	return native_frame(w->d, 0, p, err);
}

static int move(struct worker *w, const struct dap_move *m, struct dap_stop *stop, struct ct_error *err)
{
	return dap_native_move(&w->d->base, m, stop, err);
}

static int go_to(struct worker *w, ct_s64 ticks, struct ct_error *err)
{
	struct ct_moment m = {.next = (ct_u64)ticks >> WITHIN};
	ct_u64 begin, end;

	for (size_t i = 0; i < w->nmoments; i++)
		if (w->moments[i].ticks == ticks)
			m = w->moments[i].m;
	ct_timeline_range(w->d->tl, &begin, &end);
	if (ticks < 0 || m.next < begin || m.next > end)
		return ct_fail(err, CT_EXIT_USAGE, "there is no moment %lld", (long long)ticks);
	native_moved(w->d);
	native_forget_counts(w->d);
	if (ct_timeline_seek(w->d->tl, &m, err))
		return -1;
	w->d->tid = ct_session_current(ct_timeline_session(w->d->tl));
	return 0;
}

/* ---- going ---- */

static json_t *run_to_entry(struct worker *w, const json_t *q, struct ct_error *err)
{
	struct ct_dwarf_list found = {0};
	struct dap_stop stop = {0};
	int ret;

	(void)q;
	ret = dap_native_seek(&w->d->base, "start", &stop, err);
	if (!ret && !(ret = ct_dwarf_find_functions(w->d->dw, "main", &found, err)) && found.n) {
		const struct ct_stop entry = {CT_STOP_EXEC, found.addr[0], 1};

		ret = native_run(w->d, &(struct native_run){.extra = &entry, .nextra = 1}, &stop, err);
		/* A recording that began later is at its entry as it is. */
		if (ret == 0 && stop.at_end)
			ret = dap_native_seek(&w->d->base, "start", &stop, err);
	}
	ct_dwarf_list_free(&found);
	return ret < 0 ? NULL : json_true();
}

static json_t *step(struct worker *w, const json_t *q, struct ct_error *err)
{
	static const struct {
		enum dap_motion motion;
		bool instruction;
	} actions[] = {{DAP_IN, false}, {DAP_OUT, false},  {DAP_NEXT, false}, {DAP_CONTINUE, false},
		       {DAP_IN, false}, {DAP_NEXT, false}, {DAP_IN, true},    {DAP_NEXT, true},
		       {DAP_IN, false}, {DAP_NEXT, false}};
	const json_int_t action = json_integer_value(part(q, "action"));
	struct dap_stop stop = {0};
	struct ct_moment before, after;

	if (action < 0 || (size_t)action >= sizeof(actions) / sizeof(*actions)) {
		ct_fail(err, CT_EXIT_USAGE, "there is no action %lld", (long long)action);
		return NULL;
	}
	if (ct_timeline_now(w->d->tl, &before, err) ||
	    move(w,
		 &(struct dap_move){.motion = actions[action].motion,
				    .instruction = actions[action].instruction,
				    .backwards = json_is_false(part(q, "forward"))},
		 &stop, err) ||
	    ct_timeline_now(w->d->tl, &after, err))
		return NULL;
	return json_boolean(!ct_moment_same(&before, &after));
}

static json_t *reverse_continue(struct worker *w, const json_t *q, struct ct_error *err)
{
	struct dap_stop stop = {0};

	(void)q;
	return move(w, &(struct dap_move){.motion = DAP_CONTINUE, .backwards = true}, &stop, err) ? NULL : json_true();
}

static ct_s64 ticks_of(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? json_integer_value(v) : -1;
}

static json_t *jump(struct worker *w, ct_s64 ticks, struct ct_error *err)
{
	return go_to(w, ticks, err) ? NULL : json_true();
}

static json_t *location_jump(struct worker *w, const json_t *q, struct ct_error *err)
{
	return jump(w, ticks_of(part(q, "location"), "rrTicks"), err);
}
static json_t *event_jump(struct worker *w, const json_t *q, struct ct_error *err)
{
	const json_t *event = part(q, "program_event") ? part(q, "program_event") : part(q, "event");

	return jump(w, ticks_of(event, "directLocationRRTicks"), err);
}
static json_t *seek_ticks(struct worker *w, const json_t *q, struct ct_error *err)
{
	return jump(w, ticks_of(q, "ticks"), err);
}
static json_t *seek_event(struct worker *w, const json_t *q, struct ct_error *err)
{
	const ct_s64 ticks = ticks_of(q, "tick"), geid = ticks_of(q, "geid");

	return jump(w, ticks >= 0 ? ticks : geid < 0 ? -1 : (ct_s64)((ct_u64)geid << WITHIN), err);
}

static json_t *load_location(struct worker *w, const json_t *q, struct ct_error *err)
{
	(void)q;
	return worker_location(w, 0, err);
}

static json_t *load_both(struct worker *w, const json_t *q, struct ct_error *err)
{
	json_t *o = load_location(w, q, err);

	return o ? json_pack("{s:o}", "location", o) : NULL;
}

/* To where the call that the location is in began. */
static json_t *jump_to_call(struct worker *w, const json_t *q, struct ct_error *err)
{
	struct dap_stop stop = {0};

	if (go_to(w, ticks_of(part(q, "location"), "rrTicks"), err) ||
	    move(w, &(struct dap_move){.motion = DAP_OUT, .backwards = true}, &stop, err) ||
	    move(w, &(struct dap_move){.motion = DAP_IN}, &stop, err))
		return NULL;
	return worker_location(w, 0, err);
}

/* To the frame so many calls further out: when it made the call. */
static json_t *callstack_jump(struct worker *w, const json_t *q, struct ct_error *err)
{
	const json_int_t depth = json_integer_value(part(q, "depth"));
	struct dap_stop stop = {0};

	for (json_int_t i = 0; i < depth && i < NATIVE_FRAMES; i++)
		if (move(w, &(struct dap_move){.motion = DAP_OUT, .backwards = true}, &stop, err))
			return NULL;
	return json_true();
}

/* ---- looking ---- */

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
	const json_t *watches = part(part(q, "arg"), "watchExpressions");
	struct list l = {.depth = depth_of(part(part(q, "arg"), "depthLimit"))};

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
	const char *text = json_string_value(part(q, "expression"));
	struct ct_dwarf_place p;
	struct ct_dwarf_value v;

	if (place(w, &p, err) || ct_dwarf_eval(&p, text ? text : "", &v, err))
		return NULL;
	return worker_value(&p, &v, depth_of(part(q, "depth_limit")));
}

static json_t *evaluate_with_address(struct worker *w, const json_t *q, struct ct_error *err)
{
	const char *text = json_string_value(part(q, "expression"));
	struct list l = {.depth = depth_of(part(q, "depth_limit"))};
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
	const char *text = json_string_value(part(part(q, "arg"), "expression"));
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
	const json_t *tid = part(q, "tid") ? part(q, "tid") : part(q, "thread_id");
	struct ct_dwarf_regs regs;

	if (native_regs(w->d, (ct_u32)json_integer_value(tid), &regs, err))
		return NULL;
	native_moved(w->d);
	w->d->tid = (ct_u32)json_integer_value(tid);
	return json_true();
}

/* ---- breakpoints ---- */

static json_t *break_json(const struct dap_break *b)
{
	return json_pack("{s:i, s:b}", "id", b->id, "enabled", b->verified);
}

/* Behind the others; takes the list. */
static struct dap_break *append(struct worker *w, enum dap_break_kind kind, const char *path, json_t *list,
				struct ct_error *err)
{
	struct dap_break *own = NULL, **last = &w->breaks;

	if (dap_breaks_replace(&own, &w->next_break, kind, path, list, err) || !own) {
		json_decref(list);
		dap_breaks_free(&own);
		return NULL;
	}
	json_decref(list);
	while (*last)
		last = &(*last)->next;
	*last = own;
	if (dap_native_resolve(&w->d->base, own, err))
		return NULL;
	if (!own->verified)
		ct_fail(err, CT_EXIT_FAILED, "%s", own->message[0] ? own->message : "there is no such place");
	return own;
}

static void drop(struct worker *w, bool (*goes)(const struct dap_break *b, ct_s64 id), ct_s64 id)
{
	struct dap_break **at = &w->breaks;

	while (*at) {
		struct dap_break *b = *at;

		if (goes(b, id)) {
			*at = b->next;
			b->next = NULL;
			dap_breaks_free(&b);
		} else {
			at = &b->next;
		}
	}
}
static bool is_id(const struct dap_break *b, ct_s64 id)
{
	return b->id == id;
}
static bool is_line(const struct dap_break *b, ct_s64 id)
{
	(void)id;
	return b->kind == DAP_LINE;
}
static bool is_data(const struct dap_break *b, ct_s64 id)
{
	(void)id;
	return b->kind == DAP_DATA;
}

static json_t *added(struct worker *w, struct dap_break *b, struct ct_error *err)
{
	if (b && b->verified)
		return break_json(b);
	if (b)
		drop(w, is_id, b->id);
	(void)err;
	return NULL;
}

static json_t *add_breakpoint(struct worker *w, const json_t *q, struct ct_error *err)
{
	const char *path = json_string_value(part(q, "path"));
	json_t *list = json_pack("[{s:O?}]", "line", part(q, "line"));

	return added(w, append(w, DAP_LINE, path ? path : "", list, err), err);
}

static json_t *add_watchpoint(struct worker *w, const json_t *q, struct ct_error *err)
{
	char id[80];
	const ct_u64 addr = (ct_u64)json_integer_value(part(q, "address")),
		     size = (ct_u64)json_integer_value(part(q, "size"));

	snprintf(id, sizeof(id), "%#llx/%llu watched", (unsigned long long)addr, (unsigned long long)size);
	return added(w,
		     append(w, DAP_DATA, NULL,
			    json_pack("[{s:s, s:s}]", "dataId", id, "accessType",
				      json_is_false(part(q, "is_write")) ? "readWrite" : "write"),
			    err),
		     err);
}

static json_t *delete_one(struct worker *w, const json_t *q, struct ct_error *err)
{
	const json_t *b = part(q, "breakpoint") ? part(q, "breakpoint") : q;

	(void)err;
	drop(w, is_id, json_integer_value(part(b, "id")));
	return json_true();
}
static json_t *delete_breakpoints(struct worker *w, const json_t *q, struct ct_error *err)
{
	(void)q, (void)err;
	drop(w, is_line, 0);
	return json_true();
}
static json_t *delete_watchpoints(struct worker *w, const json_t *q, struct ct_error *err)
{
	(void)q, (void)err;
	drop(w, is_data, 0);
	return json_true();
}

static json_t *toggle(struct worker *w, const json_t *q, struct ct_error *err)
{
	const json_int_t id = json_integer_value(part(part(q, "breakpoint"), "id"));

	for (struct dap_break *b = w->breaks; b; b = b->next)
		if (b->id == id) {
			b->verified = !b->verified;
			return break_json(b);
		}
	ct_fail(err, CT_EXIT_USAGE, "there is no breakpoint %lld", (long long)id);
	return NULL;
}
static json_t *switch_all(struct worker *w, bool on)
{
	for (struct dap_break *b = w->breaks; b; b = b->next)
		b->verified = on;
	return json_true();
}
static json_t *enable(struct worker *w, const json_t *q, struct ct_error *err)
{
	(void)q, (void)err;
	return switch_all(w, true);
}
static json_t *disable(struct worker *w, const json_t *q, struct ct_error *err)
{
	(void)q, (void)err;
	return switch_all(w, false);
}

/* ---- the conversation ---- */

static const struct {
	const char *kind;
	json_t *(*answer)(struct worker *w, const json_t *q, struct ct_error *err);
} queries[] = {
	{"RunToEntry", run_to_entry},
	{"LoadLocation", load_location},
	{"LoadLocationWithSourcemap", load_both},
	{"Step", step},
	{"ReverseContinue", reverse_continue},
	{"LoadLocals", load_locals},
	{"LoadValue", load_value},
	{"EvaluateWithAddress", evaluate_with_address},
	{"LoadCallstack", load_callstack},
	{"LoadAllEvents", load_events},
	{"LoadHistory", load_history},
	{"AddBreakpoint", add_breakpoint},
	{"DeleteBreakpoint", delete_one},
	{"DeleteBreakpoints", delete_breakpoints},
	{"ToggleBreakpoint", toggle},
	{"EnableBreakpoints", enable},
	{"DisableBreakpoints", disable},
	{"AddWatchpoint", add_watchpoint},
	{"DeleteWatchpoint", delete_one},
	{"DeleteWatchpoints", delete_watchpoints},
	{"JumpToCall", jump_to_call},
	{"EventJump", event_jump},
	{"TracepointJump", event_jump},
	{"LocationJump", location_jump},
	{"CallstackJump", callstack_jump},
	{"RestoreAt", seek_event},
	{"SeekToGeid", seek_event},
	{"SeekToTicks", seek_ticks},
	{"GetRecordingHead", recording_head},
	{"GetProcessInfo", process_info},
	{"CurrentPc", current_pc},
	{"CurrentThread", current_thread},
	{"SelectThread", select_thread},
};

/* A malloc'ed line. */
static char *answer(struct worker *w, const char *line, size_t len)
{
	json_t *q = json_loadb(line, len, 0, NULL), *a = NULL;
	const char *kind = json_string_value(part(q, "kind"));
	struct ct_error err = {0};
	bool known = false;
	char *text = NULL;

	for (size_t i = 0; kind && i < sizeof(queries) / sizeof(*queries) && !known; i++)
		if (!strcmp(kind, queries[i].kind)) {
			known = true;
			a = queries[i].answer(w, q, &err);
		}
	if (!q)
		ct_fail(&err, CT_EXIT_USAGE, "a query that is not JSON");
	else if (!known)
		ct_fail(&err, CT_EXIT_USAGE, "query '%.60s' is not supported", kind ? kind : "");
	json_decref(q);
	if (a)
		text = json_dumps(a, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(a);
	if (!text && asprintf(&text, "error: %s", err.msg[0] ? err.msg : "out of memory") < 0)
		text = NULL;
	for (char *p = text; p && *p; p++)
		if (*p == '\n')
			*p = ' ';
	return text;
}

static void no_output(void *ctx, const char *category, const char *text, size_t len, json_t *where)
{
	(void)ctx, (void)category, (void)text, (void)len;
	json_decref(where);
}

static bool never(void *ctx)
{
	(void)ctx;
	return false;
}

static int send_line(int fd, const char *text, struct ct_error *err)
{
	size_t len = strlen(text), at = 0;

	while (at <= len) {
		const ssize_t n =
			at < len ? send(fd, text + at, len - at, MSG_NOSIGNAL) : send(fd, "\n", 1, MSG_NOSIGNAL);

		if (n > 0)
			at += (size_t)n;
		else if (errno != EINTR)
			return ct_fail_errno(err, CT_EXIT_FAILED, "CodeTracer cannot be written to");
	}
	return 0;
}

struct worker *ct_worker_open(const char *recording, struct ct_error *err)
{
	struct worker *w = calloc(1, sizeof(*w));
	struct dap_debuggee *d;

	if (!w) {
		native_no_memory(err);
		return NULL;
	}
	w->next_break = 1;
	w->host = (struct dap_host){.output = no_output, .interrupted = never, .breaks = &w->breaks};
	d = dap_native_open(recording, 0, &w->host, err);
	if (!d) {
		free(w);
		return NULL;
	}
	w->d = dap_native_of(d);
	return w;
}

void ct_worker_close(struct worker *w)
{
	w->d->base.ops->destroy(&w->d->base);
	dap_breaks_free(&w->breaks);
	free(w->moments);
	free(w);
}

int ct_worker_serve(struct worker *w, int fd, struct ct_error *err)
{
	char *buf = malloc(LINE_MAX_BYTES);
	size_t have = 0;
	int ret = buf ? 0 : native_no_memory(err);

	while (!ret) {
		char *end = memchr(buf, '\n', have), *text;
		ssize_t n;

		if (end) {
			text = answer(w, buf, (size_t)(end - buf));
			ret = text ? send_line(fd, text, err) : native_no_memory(err);
			free(text);
			have -= (size_t)(end + 1 - buf);
			memmove(buf, end + 1, have);
			continue;
		}
		if (have == LINE_MAX_BYTES) {
			ret = ct_fail(err, CT_EXIT_FAILED, "a query has more than %u bytes", LINE_MAX_BYTES);
			break;
		}
		n = read(fd, buf + have, LINE_MAX_BYTES - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	free(buf);
	return ret;
}
