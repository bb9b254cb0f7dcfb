/* SPDX-License-Identifier: MIT
 * A recording as events on tracks: calls of each thread from the step database, the rest from the event log.
 *
 * The log has the time a system call returned, not when it was entered: they are instants. */
#include <stdio.h>
#include <string.h>

#include "../event_access.h"
#include "../recording_private.h"
#include "../syscalls.h"
#include "tracks.h"

#define BUCKET_NS 10000000ull /* of counters */
#define STRINGS   64          /* bytes of a string in a call's text */
#define HASH      0x9e3779b97f4a7c15ull

const char *const tk_track_names[TK_NTRACKS] = {
	[TK_RUNNING] = "running", [TK_RECORDING] = "recording", [TK_EVENTS] = "events/s", [TK_LINES] = "lines/s"};

struct tracks {
	const struct ct_export_source *src;
	const struct ct_export_options *opts;
	const struct tk_writer *w;
	ct_u64 *slots; /* a hash of processes and threads declared */
	size_t nknown, nslots;
	bool running; /* a slice of TK_RUNNING is open */
	ct_u64 run_ns;
	char *text;
	size_t text_cap;
};

/* ---- Who there is ---- */

/* Remembers the process or thread; 1: it was known. */
static int is_known(struct tracks *t, ct_u32 id, bool is_thread, struct ct_error *err)
{
	ct_u64 key = (ct_u64)id << 2 | (is_thread ? 2 : 0) | 1;
	size_t i;

	if (2 * t->nknown >= t->nslots) {
		size_t n = t->nslots ? 2 * t->nslots : 256;
		ct_u64 *slots = calloc(n, sizeof(*slots));

		if (!slots)
			return ct_fail_memory(err);
		for (size_t old = 0; old < t->nslots; old++) {
			for (i = (t->slots[old] * HASH >> 32) % n; slots[i];)
				i = (i + 1) % n;
			slots[i] = t->slots[old];
		}
		free(t->slots);
		t->slots = slots;
		t->nslots = n;
	}
	for (i = (key * HASH >> 32) % t->nslots; t->slots[i]; i = (i + 1) % t->nslots)
		if (t->slots[i] == key)
			return 1;
	t->slots[i] = key;
	t->nknown++;
	return 0;
}

static int declare(struct tracks *t, ct_u32 tid, ct_u32 pid, const char *name, size_t len, struct ct_error *err)
{
	const json_t *target = json_object_get(ct_recording_manifest(t->src->rec), "target");
	const char *comm = json_string_value(json_object_get(target, "comm"));
	char text[32];
	int had = is_known(t, pid, false, err);

	if (had < 0)
		return -1;
	if (!had) {
		if (!comm || (ct_u32)json_integer_value(json_object_get(target, "pid")) != pid) {
			snprintf(text, sizeof(text), "process %u", pid);
			comm = text;
		}
		t->w->process(t->w->arg, pid, comm, strlen(comm));
	}
	had = is_known(t, tid, true, err);
	if (had)
		return had < 0 ? -1 : 0;
	if (!len) {
		len = (size_t)snprintf(text, sizeof(text), "thread %u", tid);
		name = text;
	}
	t->w->thread(t->w->arg, tid, pid, name, len);
	return 0;
}

/* ---- Calls ---- */

struct calls {
	struct tracks *t;
	ct_u32 tid, pid;
};

static int enter_call(void *arg, struct ex_timeline *tl, struct ex_frame *f, ct_u64 ns, struct ct_error *err)
{
	struct calls *c = arg;
	struct tracks *t = c->t;
	ct_u32 function = (ct_u32)f->row[CT_CALL_FUNCTION];
	const struct ct_name *fn = ct_stepdb_name(t->src->db, CT_FUNCTIONS, function);
	const struct ct_name *file = ex_name(t->src, CT_FILES, fn->v[CT_FN_FILE]);
	struct tk_event ev = {.phase = TK_BEGIN,
			      .track = TK_THREAD,
			      .tid = c->tid,
			      .pid = c->pid,
			      .ns = ns,
			      .category = "call",
			      .function = function,
			      .arg = {{.key = "call", .number = (ct_s64)f->call},
				      {.key = "file", .text = file->text, .len = file->len},
				      {.key = "line", .number = (ct_s64)fn->v[CT_FN_LINE]}},
			      .nargs = 3};

	(void)tl;
	(void)err;
	if (f->resumed)
		ev.arg[ev.nargs++] = (struct tk_arg){.key = "resumed", .number = 1};
	if (f->row[CT_CALL_FLAGS] & CT_CALLF_ATTACHED)
		ev.arg[ev.nargs++] = (struct tk_arg){.key = "attached", .number = 1};
	t->w->put(t->w->arg, &ev);
	return 0;
}

static int leave_call(void *arg, struct ex_timeline *tl, struct ex_frame *f, enum ex_leave how, ct_u64 ns,
		      struct ct_error *err)
{
	struct calls *c = arg;
	struct tracks *t = c->t;
	struct tk_event ev = {
		.phase = TK_END, .track = TK_THREAD, .tid = c->tid, .pid = c->pid, .ns = ns, .category = "call"};
	const struct ct_name *type = ex_name(t->src, CT_TYPES, f->row[CT_CALL_EXCEPTION]);

	(void)tl;
	(void)err;
	if (how == EX_RAISED)
		ev.arg[ev.nargs++] = (struct tk_arg){.key = "exception", .text = type->text, .len = type->len};
	else if (how != EX_RETURNED)
		ev.arg[ev.nargs++] = (struct tk_arg){.key = how == EX_SUSPENDED ? "suspended" : "open", .number = 1};
	t->w->put(t->w->arg, &ev);
	return 0;
}

static int put_calls(struct tracks *t, struct ct_error *err)
{
	ct_u64 end_ns;

	if (ex_end_time(t->src, &end_ns, err) < 0)
		return -1;
	for (ct_u32 id = 1; id <= ct_stepdb_names(t->src->db, CT_THREADS); id++) {
		const struct ct_name *thread = ct_stepdb_name(t->src->db, CT_THREADS, id);
		struct calls c = {t, (ct_u32)thread->v[CT_TH_TID], (ct_u32)thread->v[CT_TH_PID]};
		const struct ex_sink sink = {&c, enter_call, leave_call, NULL};

		if (declare(t, c.tid, c.pid, thread->text, thread->len, err) < 0)
			return -1;
		t->w->sequence(t->w->arg, id);
		if (ex_timeline(t->src, t->opts, id, end_ns, &sink, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- Counters ---- */

struct counter {
	enum tk_track track;
	ct_u64 bucket, count;
	bool any, was_zero;
};

static void put_counter(struct tracks *t, struct counter *c, ct_u64 bucket, ct_u64 count)
{
	struct tk_event ev = {.phase = TK_COUNTER,
			      .track = c->track,
			      .ns = bucket * BUCKET_NS,
			      .value = (ct_s64)(count * (1000000000 / BUCKET_NS))};

	t->w->put(t->w->arg, &ev);
}

static void count(struct tracks *t, struct counter *c, ct_u64 ns)
{
	ct_u64 bucket = ns / BUCKET_NS;

	/* Times may step back a little. */
	if (c->any && bucket > c->bucket) {
		put_counter(t, c, c->bucket, c->count);
		if (bucket > c->bucket + 1)
			put_counter(t, c, c->bucket + 1, 0);
		c->count = 0;
	}
	if (!c->any || bucket > c->bucket)
		c->bucket = bucket;
	c->any = true;
	c->count++;
}

static void end_counter(struct tracks *t, struct counter *c)
{
	if (!c->any)
		return;
	put_counter(t, c, c->bucket, c->count);
	put_counter(t, c, c->bucket + 1, 0);
}

static int count_lines(struct tracks *t, struct ct_error *err)
{
	struct ct_scan_spec spec = {.table = CT_STEPS};
	struct ct_scan *scan = ct_scan_open(t->src->db, &spec, err);
	struct counter c = {.track = TK_LINES};
	int got = scan ? 1 : -1;
	ct_u64 id, ns;

	while (got > 0 && (got = ct_scan_next(scan, &id, err)) > 0) {
		if (ct_scan_get(scan, CT_STEP_TIME, &ns, err) < 0)
			got = -1;
		else
			count(t, &c, ns);
	}
	end_counter(t, &c);
	ct_scan_close(scan);
	return got;
}

/* ---- The log ---- */

static void put_instant(struct tracks *t, const struct ct_event *e, enum tk_track track, const char *category,
			const char *name, const struct tk_arg *args, unsigned nargs)
{
	struct tk_event ev = {.phase = TK_INSTANT,
			      .track = track,
			      .tid = e->tid,
			      .pid = e->pid,
			      .ns = e->time_ns,
			      .category = category,
			      .name = name,
			      .arg = {{.key = "event", .number = (ct_s64)e->seq}},
			      .nargs = 1};

	for (unsigned i = 0; i < nargs; i++)
		ev.arg[ev.nargs++] = args[i];
	t->w->put(t->w->arg, &ev);
}

static int put_syscall(struct tracks *t, const struct ct_event *e, struct ct_error *err)
{
	bool entered = e->type == CT_EV_ENTER;
	const struct ct_ev_syscall *call = ct_event_payload(e);
	int nr = entered ? ((const struct ct_ev_enter *)ct_event_payload(e))->nr : call->nr;
	const struct ct_syscall *known = nr >= 0 ? ct_syscall(nr) : NULL;
	struct tk_arg args[2];
	char number[32];
	size_t need = 0;

	do {
		if (need >= t->text_cap) {
			char *text = realloc(t->text, need + 256);

			if (!text)
				return ct_fail_memory(err);
			t->text = text;
			t->text_cap = need + 256;
		}
		need = entered ? ct_enter_format(e, STRINGS, t->text, t->text_cap)
			       : ct_syscall_format(e, STRINGS, t->text, t->text_cap);
	} while (need >= t->text_cap);
	args[0] = (struct tk_arg){.key = "call", .text = t->text, .len = need};
	args[1] = (struct tk_arg){.key = "result", .number = entered ? 0 : call->ret};
	snprintf(number, sizeof(number), "syscall_%d", nr);
	put_instant(t, e, TK_THREAD, "syscall",
		    nr == -1               ? "rt_sigreturn"
		    : known && known->name ? known->name
					   : number,
		    args, entered ? 1 : 2);
	return 0;
}

static int put_switch(struct tracks *t, const struct ct_event *e, struct ct_error *err)
{
	const struct ct_ev_switch *sw = ct_event_payload(e);
	struct tk_event ev = {.phase = TK_END, .track = TK_RUNNING, .category = "switch"};
	char name[32];

	/* Times may step back a little: a slice does not. */
	t->run_ns = e->time_ns > t->run_ns ? e->time_ns : t->run_ns;
	ev.ns = t->run_ns;
	if (t->running)
		t->w->put(t->w->arg, &ev);
	t->running = sw->to != 0;
	if (!t->running)
		return 0;
	if (declare(t, sw->to, sw->to_pid, NULL, 0, err) < 0)
		return -1;
	snprintf(name, sizeof(name), "thread %u", sw->to);
	ev.phase = TK_BEGIN;
	ev.name = name;
	ev.arg[0] = (struct tk_arg){.key = "tid", .number = sw->to};
	ev.arg[1] = (struct tk_arg){.key = "from", .number = e->tid};
	ev.arg[2] = (struct tk_arg){.key = "event", .number = (ct_s64)e->seq};
	ev.nargs = 3;
	t->w->put(t->w->arg, &ev);
	return 0;
}

static void put_lost(struct tracks *t, const struct ct_event *e)
{
	const struct ct_ev_lost *lost = ct_event_payload(e);
	struct tk_arg count = {.key = "count", .number = (ct_s64)lost->count};
	char name[64];

	snprintf(name, sizeof(name), "%llu events lost", (unsigned long long)lost->count);
	put_instant(t, e, TK_RECORDING, "lost", name, &count, 1);
}

static void put_text(struct tracks *t, const struct ct_event *e)
{
	char why[CT_UNSOUND_TEXT];
	struct tk_arg text = {.key = "text"};

	if (e->type == CT_EV_UNSOUND) {
		text.text = ct_unsound_text(e, why, sizeof(why));
		text.len = strlen(text.text);
	} else {
		text.text = ct_event_text(e, &text.len);
	}
	put_instant(t, e, TK_RECORDING, ct_event_type_name(e->type), ct_event_type_name(e->type), &text, 1);
}

static int put_event(struct tracks *t, const struct ct_event *e, struct ct_error *err)
{
	const void *payload = ct_event_payload(e);
	struct tk_arg number = {0};
	const char *name;
	int sig;

	if (e->tid && declare(t, e->tid, e->pid, NULL, 0, err) < 0)
		return -1;
	switch (e->type) {
	case CT_EV_SYSCALL:
	case CT_EV_ENTER: return put_syscall(t, e, err);
	case CT_EV_SWITCH: return put_switch(t, e, err);
	case CT_EV_SIGNAL:
		sig = ((const struct ct_ev_signal *)payload)->sig;
		name = ct_signal_name(sig);
		number = (struct tk_arg){.key = "signal", .number = sig};
		put_instant(t, e, TK_THREAD, "signal", name ? name : "signal", &number, 1);
		break;
	case CT_EV_FORK:
		number = (struct tk_arg){.key = "child", .number = ((const struct ct_ev_fork *)payload)->child_tid};
		put_instant(t, e, TK_THREAD, "process", "fork", &number, 1);
		break;
	case CT_EV_EXEC: put_instant(t, e, TK_THREAD, "process", "exec", NULL, 0); break;
	case CT_EV_EXIT:
		number = (struct tk_arg){.key = "status", .number = ((const struct ct_ev_exit *)payload)->code};
		put_instant(t, e, TK_THREAD, "process", "exit", &number, 1);
		break;
	case CT_EV_LOST: put_lost(t, e); break;
	case CT_EV_UNSOUND:
	case CT_EV_NOTE: put_text(t, e); break;
	case CT_EV_SNAPSHOT:
		number = (struct tk_arg){.key = "snapshot", .number = ((const struct ct_ev_snapshot *)payload)->id};
		put_instant(t, e, TK_RECORDING, "snapshot", "snapshot", &number, 1);
		break;
	case CT_EV_END: put_instant(t, e, TK_RECORDING, "end", "end", NULL, 0); break;
	default: break;
	}
	return 0;
}

static int put_log(struct tracks *t, struct ct_error *err)
{
	struct ct_cursor *cursor = ct_cursor_create(t->src->rec, err);
	struct tk_event end = {.phase = TK_END, .track = TK_RUNNING, .category = "switch"};
	struct counter c = {.track = TK_EVENTS};
	const struct ct_event *e;
	int got = cursor ? 1 : -1;
	ct_u64 first, n = 0;

	t->w->sequence(t->w->arg, 0);
	while (got > 0 && (got = ct_cursor_next(cursor, &e, err)) > 0) {
		count(t, &c, e->time_ns);
		if (put_event(t, e, err) < 0)
			got = -1;
		if (++n % 4096 == 0 && t->opts->stop && t->opts->stop())
			got = ct_fail(err, CT_EXIT_FAILED, "interrupted");
	}
	end_counter(t, &c);
	if (ex_times(t->src, &first, &end.ns) && t->running) {
		end.ns = end.ns > t->run_ns ? end.ns : t->run_ns;
		t->w->put(t->w->arg, &end);
	}
	if (cursor)
		ct_cursor_destroy(cursor);
	return got;
}

int ex_tracks(const struct ct_export_source *src, const struct ct_export_options *opts, const struct tk_writer *w,
	      struct ct_error *err)
{
	struct tracks t = {.src = src, .opts = opts, .w = w};
	int ret = put_log(&t, err);

	if (ret == 0 && src->db)
		ret = count_lines(&t, err) < 0 ? -1 : put_calls(&t, err);
	free(t.slots);
	free(t.text);
	return ret < 0 ? -1 : 0;
}
