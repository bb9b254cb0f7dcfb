/* SPDX-License-Identifier: MIT
 * CodeTracer's replay worker: queries in, answers out, a line of JSON each. An answer that begins with "error:" says
 * what went wrong. */
#include "replay/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_MAX_BYTES (1u << 20)

static const json_t *part(const json_t *q, const char *key)
{
	return json_object_get(q, key);
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
	static const struct {
		const char *reason, *name;
	} names[] = {{"data breakpoint", "watchpoint"}, {"entry", "recording-start"}, {"exception", "signal"}};
	struct dap_stop stop = {0};
	const char *reason = "breakpoint";
	json_t *o;

	(void)q;
	if (move(w, &(struct dap_move){.motion = DAP_CONTINUE, .backwards = true}, &stop, err))
		return NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(stop.reason, names[i].reason))
			reason = names[i].name;
	o = json_pack("{s:s}", "reason", reason);
	if (o && stop.nhits && !strcmp(reason, "watchpoint"))
		json_object_set_new(o, "watchpointId", json_integer(stop.hit[stop.nhits - 1]));
	return o;
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
/* RestoreAt's `geid` are ticks in fact, SeekToGeid's is an event; ticks are beyond the number of any event. */
static json_t *seek_event(struct worker *w, const json_t *q, struct ct_error *err)
{
	const ct_s64 ticks = ticks_of(q, "tick"), geid = ticks_of(q, "geid");
	ct_u64 begin, end;

	ct_timeline_range(w->d->tl, &begin, &end);
	return jump(w,
		    ticks >= 0                         ? ticks
		    : geid >= 0 && (ct_u64)geid <= end ? (ct_s64)((ct_u64)geid << WITHIN)
						       : geid,
		    err);
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

static const struct worker_query own[] = {
	{"RunToEntry", run_to_entry},
	{"LoadLocation", load_location},
	{"LoadLocationWithSourcemap", load_both},
	{"Step", step},
	{"ReverseContinue", reverse_continue},
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
	{0},
};

/* A malloc'ed line. */
static char *answer(struct worker *w, const char *line, size_t len)
{
	json_t *q = json_loadb(line, len, 0, NULL), *a = NULL;
	const char *kind = json_string_value(part(q, "kind"));
	struct ct_error err = {0};
	bool known = false;
	char *text = NULL;

	for (size_t t = 0; t < 2; t++)
		for (const struct worker_query *known_one = t ? worker_look : own; kind && known_one->kind; known_one++)
			if (!strcmp(kind, known_one->kind)) {
				known = true;
				a = known_one->answer(w, q, &err);
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
