/* SPDX-License-Identifier: MIT
 * One thread for CodeTracer: lines with all variables of their call, calls with arguments and results, I/O events.
 *
 * The database has changes; here they are put together again. Of calls that are not over only the latest value of each
 * variable is kept. A generator's call is told anew each time it is resumed. */
#include <string.h>

#include "../event_access.h"
#include "../syscalls.h"
#include "codetracer.h"

/* What is known of a call that is not over. */
struct locals {
	ct_u64 call;
	struct cdt_var *var;
	size_t n, cap;
	struct sd_buf result, exception;
	bool raised; /* shown at the next line */
	struct locals *next;
};
#define BUCKETS 4096

struct thread {
	struct cdt *c;
	struct locals *bucket[BUCKETS];
	/* The next row of values. */
	struct ct_scan *values;
	ct_u64 value_id, value_call, value_step, value_variable;
	bool alone;         /* the database has one thread */
	ct_u64 other, mine; /* calls found to be of another thread, and of this one */
	/* The next event of the thread that is input or output. */
	struct ct_cursor *events;
	const struct ct_event *event;
	ct_u32 tid;
	ct_u64 until; /* events from here on belong to a later thread of this tid */
	struct sd_buf text, bytes;
};

/* ---- Variables ---- */

static struct locals *find_locals(struct thread *th, ct_u64 call)
{
	struct locals *l = th->bucket[call % BUCKETS];

	while (l && l->call != call)
		l = l->next;
	return l;
}

static struct locals *get_locals(struct thread *th, ct_u64 call)
{
	struct locals *l = find_locals(th, call);

	if (!l && (l = calloc(1, sizeof(*l)))) {
		l->call = call;
		l->next = th->bucket[call % BUCKETS];
		th->bucket[call % BUCKETS] = l;
	}
	return l;
}

static void free_locals(struct thread *th, ct_u64 call)
{
	for (struct locals **at = &th->bucket[call % BUCKETS]; *at; at = &(*at)->next) {
		struct locals *l = *at;

		if (l->call != call)
			continue;
		*at = l->next;
		for (size_t i = 0; i < l->cap; i++)
			free(l->var[i].value.data);
		free(l->var);
		free(l->result.data);
		free(l->exception.data);
		free(l);
		return;
	}
}

/* The variable of this name, a new one if there is none. Those behind n have memory for values to come. */
static struct cdt_var *get_var(struct locals *l, ct_u32 name)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->var[i].name == name)
			return &l->var[i];
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 8;
		struct cdt_var *var = realloc(l->var, cap * sizeof(*var));

		if (!var)
			return NULL;
		memset(var + l->cap, 0, (cap - l->cap) * sizeof(*var));
		l->var = var;
		l->cap = cap;
	}
	l->var[l->n].name = name;
	l->var[l->n].argument = false;
	return &l->var[l->n++];
}

static void drop_var(struct locals *l, ct_u32 name)
{
	for (size_t i = 0; i < l->n; i++) {
		struct cdt_var gone = l->var[i];

		if (gone.name != name)
			continue;
		memmove(&l->var[i], &l->var[i + 1], (l->n - i - 1) * sizeof(gone));
		l->var[--l->n] = gone;
		return;
	}
}

/* ---- Rows of values ---- */

static int next_value(struct thread *th, struct ct_error *err)
{
	int got = ct_scan_next(th->values, &th->value_id, err);

	if (got <= 0)
		return th->value_id = 0, got;
	return ct_scan_get(th->values, CT_VALUE_CALL, &th->value_call, err) < 0 ||
			       ct_scan_get(th->values, CT_VALUE_STEP, &th->value_step, err) < 0 ||
			       ct_scan_get(th->values, CT_VALUE_VARIABLE, &th->value_variable, err) < 0
		       ? -1
		       : 0;
}

static int take_value(struct thread *th, struct locals *l, struct ct_error *err)
{
	const struct ct_name *v = ct_stepdb_name(th->c->src->db, CT_VARIABLES, th->value_variable);
	struct cdt *c = th->c;
	struct cdt_var *var;
	const ct_u8 *node;
	bool good = true;
	size_t len;

	if (!v || ct_scan_node(th->values, &node, &len, err) < 0)
		return v ? -1
			 : ct_fail(err, CT_EXIT_FAILED, "steps/values.ctcol: value %llu has no variable",
				   (unsigned long long)th->value_id);
	switch (v->v[CT_VAR_KIND]) {
	case CT_VALUE_RESUME: return 0;
	case CT_VALUE_RETURN:
	case CT_VALUE_YIELD: good = cdt_encode(c, node, len, &l->result); break;
	case CT_VALUE_EXCEPTION:
		l->raised = true;
		good = cdt_text(c, node, len, &l->exception);
		break;
	default:
		if ((node[0] & 0x1f) == CT_NODE_UNSET) {
			drop_var(l, (ct_u32)v->v[CT_VAR_NAME]);
			break;
		}
		var = get_var(l, (ct_u32)v->v[CT_VAR_NAME]);
		good = cdt_check(c, var != NULL) && cdt_encode(c, node, len, &var->value);
		if (var && v->v[CT_VAR_KIND] == CT_VALUE_ARGUMENT)
			var->argument = true;
	}
	if (!good)
		*err = c->err;
	return good ? 0 : -1;
}

/* Is it a call of this thread that is yet to be entered? */
static int is_later(struct thread *th, const struct ex_timeline *t, struct ct_error *err)
{
	ct_u64 row[CT_CALL_NCOLS], call = th->value_call;

	if (!t->call_id || call < t->call_id || call == th->other)
		return 0;
	if (th->alone || call == t->call_id || call == th->mine)
		return 1;
	if (!ct_stepdb_call_row(t->src->db, call, row, err))
		return -1;
	if (row[CT_CALL_THREAD] == t->thread)
		th->mine = call;
	else
		th->other = call;
	return row[CT_CALL_THREAD] == t->thread;
}

/* Takes the values of the thread up to its latest line: rows are in the order of the run. */
static int take_values(struct thread *th, const struct ex_timeline *t, struct ct_error *err)
{
	while (th->value_id && !(t->resume_id && th->value_id >= t->resume_id)) {
		struct locals *l = find_locals(th, th->value_call);
		int later = l ? 0 : is_later(th, t, err);

		if (later < 0)
			return -1;
		if (later || (l && th->value_step > t->last_step))
			break;
		if (l && take_value(th, l, err) < 0)
			return -1;
		if (next_value(th, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- Input and output ---- */

enum io { IO_NONE, IO_WRITE, IO_READ, IO_OPEN, IO_SOCKET };
static enum io io_of(const struct ct_event *ev)
{
	static const struct {
		const char *name;
		enum io io;
	} calls[] = {{"write", IO_WRITE},    {"pwrite64", IO_WRITE}, {"writev", IO_WRITE},    {"pwritev", IO_WRITE},
		     {"read", IO_READ},      {"pread64", IO_READ},   {"readv", IO_READ},      {"preadv", IO_READ},
		     {"open", IO_OPEN},      {"openat", IO_OPEN},    {"creat", IO_OPEN},      {"openat2", IO_OPEN},
		     {"sendto", IO_SOCKET},  {"sendmsg", IO_SOCKET}, {"recvfrom", IO_SOCKET}, {"recvmsg", IO_SOCKET},
		     {"connect", IO_SOCKET}, {"accept", IO_SOCKET},  {"accept4", IO_SOCKET}};
	const struct ct_ev_syscall *call = ct_event_payload(ev);
	const struct ct_syscall *known;

	if (ev->type != CT_EV_SYSCALL || call->ret < 0 || call->nr < 0)
		return IO_NONE;
	known = ct_syscall(call->nr);
	for (size_t i = 0; known && known->name && i < sizeof(calls) / sizeof(calls[0]); i++)
		if (strcmp(known->name, calls[i].name) == 0)
			return calls[i].io;
	return IO_NONE;
}

static int next_event(struct thread *th, struct ct_error *err)
{
	int got;

	do {
		got = ct_cursor_next(th->events, &th->event, err);
		if (got > 0 && th->event->seq >= th->until)
			got = 0;
	} while (got > 0 && (th->event->tid != th->tid || io_of(th->event) == IO_NONE));
	if (got <= 0)
		th->event = NULL;
	return got;
}

/* The bytes that went through the call: of a vector those behind it. */
static bool io_bytes(struct thread *th, const struct ct_event *ev, bool written)
{
	const struct ct_ev_syscall *call = ct_event_payload(ev);
	const char *name = ct_syscall(call->nr)->name;
	bool vector = name[strlen(name) - 1] == 'v', ok = true;
	struct ct_buf_iter it = ct_buf_iter(ev);
	ct_u64 left = (ct_u64)call->ret;

	th->bytes.len = 0;
	while (ok && ct_buf_next(&it)) {
		size_t n = it.buf->len < left ? it.buf->len : (size_t)left;

		if (it.buf->kind != (written ? CT_BUF_IN : CT_BUF_OUT) || (it.buf->addr == call->args[1]) == vector)
			continue;
		ok = sd_put(&th->bytes, it.data, n);
		left -= n;
	}
	return ok;
}

static bool io_text(struct thread *th, const struct ct_event *ev)
{
	size_t need = ct_syscall_format(ev, 256, (char *)th->bytes.data, 0);

	th->bytes.len = 0;
	if (!sd_reserve(&th->bytes, need + 1))
		return false;
	ct_syscall_format(ev, 256, (char *)th->bytes.data, need + 1);
	th->bytes.len = need;
	return true;
}

static bool put_event(struct thread *th, const struct ct_event *ev)
{
	const struct ct_ev_syscall *call = ct_event_payload(ev);
	struct cdt_event e = {.fd = (ct_s32)call->args[0], .seq = ev->seq, .call = ct_syscall(call->nr)->name};
	enum io io = io_of(ev);
	bool ok = io == IO_WRITE || io == IO_READ ? io_bytes(th, ev, io == IO_WRITE) : io_text(th, ev);

	if (io == IO_WRITE)
		e.kind = e.fd == 1 || e.fd == 2 ? CDT_WRITE : CDT_WRITE_FILE;
	else if (io == IO_READ)
		e.kind = e.fd == 0 ? CDT_READ : CDT_READ_FILE;
	else
		e.kind = io == IO_OPEN ? CDT_OPEN : CDT_SOCKET;
	if (io == IO_OPEN)
		e.fd = call->ret;
	e.data = th->bytes.data;
	e.len = th->bytes.len;
	return cdt_check(th->c, ok) && th->c->ops->event(th->c, &e);
}

/* Tells the events up to this one: they are at the latest line. */
static int put_events(struct thread *th, ct_u64 seq, struct ct_error *err)
{
	while (th->event && th->event->seq <= seq) {
		if (!put_event(th, th->event)) {
			*err = th->c->err;
			return -1;
		}
		if (next_event(th, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- What the timeline tells ---- */

static bool put_step(struct cdt *c, ct_u64 file, ct_u64 line)
{
	ct_u32 path;

	if (!cdt_path(c, file, &path) || !c->ops->step(c, path, line))
		return false;
	c->steps++;
	return true;
}

static int failed(struct thread *th, struct ct_error *err)
{
	*err = th->c->err;
	return -1;
}

/* The call begins where its function is defined, a resumed one where it was. */
static int enter(void *arg, struct ex_timeline *t, struct ex_frame *f, ct_u64 ns, struct ct_error *err)
{
	struct thread *th = arg;
	struct cdt *c = th->c;
	struct locals *l = get_locals(th, f->call);
	const struct ct_name *fn = ct_stepdb_name(c->src->db, CT_FUNCTIONS, f->row[CT_CALL_FUNCTION]);
	const struct ct_name *at = ct_stepdb_name(c->src->db, CT_LOCATIONS, f->location);
	ct_u32 function;

	(void)ns;
	if (!l)
		return ct_fail_memory(err);
	f->data = l;
	if ((c->steps && !f->resumed && put_events(th, f->row[CT_CALL_ENTER_EVENT], err) < 0) ||
	    take_values(th, t, err) < 0)
		return -1;
	if (!put_step(c, at ? at->v[CT_LOC_FILE] : fn->v[CT_FN_FILE], at ? at->v[CT_LOC_LINE] : fn->v[CT_FN_LINE]) ||
	    !cdt_function(c, f->row[CT_CALL_FUNCTION], &function) || !c->ops->call(c, function, l->var, l->n) ||
	    !c->ops->values(c, l->var, l->n))
		return failed(th, err);
	return 0;
}

static int leave(void *arg, struct ex_timeline *t, struct ex_frame *f, enum ex_leave how, ct_u64 ns,
		 struct ct_error *err)
{
	struct thread *th = arg;
	struct cdt *c = th->c;
	struct locals *l = f->data;
	const struct ct_name *type = ct_stepdb_name(c->src->db, CT_TYPES, f->row[CT_CALL_EXCEPTION]);

	(void)ns;
	if (((how == EX_RETURNED || how == EX_RAISED) && put_events(th, f->row[CT_CALL_EXIT_EVENT], err) < 0) ||
	    take_values(th, t, err) < 0)
		return -1;
	th->text.len = 0;
	if (how == EX_RAISED &&
	    !cdt_check(c, sd_put(&th->text, type ? type->text : "?", type ? type->len : 1) &&
				  (!l->exception.len || (sd_put(&th->text, ": ", 2) &&
							 sd_put(&th->text, l->exception.data, l->exception.len)))))
		return failed(th, err);
	if (!c->ops->leave(c, how, &l->result, &th->text))
		return failed(th, err);
	if (how != EX_SUSPENDED) {
		free_locals(th, f->call);
		return 0;
	}
	l->result.len = 0;
	return 0;
}

static int step(void *arg, struct ex_timeline *t, struct ex_frame *f, ct_u64 id, ct_u64 event, ct_u64 ns,
		struct ct_error *err)
{
	struct thread *th = arg;
	struct cdt *c = th->c;
	struct locals *l = f->data;
	const struct ct_name *at = ct_stepdb_name(c->src->db, CT_LOCATIONS, f->location);
	struct cdt_var *var;
	bool good;

	(void)id, (void)ns;
	if (put_events(th, event, err) < 0 || take_values(th, t, err) < 0)
		return -1;
	good = put_step(c, at->v[CT_LOC_FILE], at->v[CT_LOC_LINE]);
	if (good && l->raised) {
		var = get_var(l, 0);
		good = cdt_check(c, var != NULL) &&
		       cdt_encode_error(c, l->exception.data, l->exception.len, &var->value);
	}
	good = good && c->ops->values(c, l->var, l->n);
	if (l->raised)
		drop_var(l, 0);
	l->raised = false;
	return good ? 0 : failed(th, err);
}

/* ---- All of it ---- */

static int begin(struct thread *th, struct ct_error *err)
{
	const struct ct_export_source *src = th->c->src;
	const struct ct_name *thread = ct_stepdb_name(src->db, CT_THREADS, th->c->thread);
	struct ct_scan_spec spec = {.table = CT_VALUES};

	th->alone = ct_stepdb_names(src->db, CT_THREADS) == 1;
	th->tid = (ct_u32)thread->v[CT_TH_TID];
	th->until = UINT64_MAX;
	for (ct_u32 id = 1; id <= ct_stepdb_names(src->db, CT_THREADS); id++) {
		const ct_u64 *v = ct_stepdb_name(src->db, CT_THREADS, id)->v;

		if (v[CT_TH_TID] == th->tid && v[CT_TH_SEQ] > thread->v[CT_TH_SEQ] && v[CT_TH_SEQ] < th->until)
			th->until = v[CT_TH_SEQ];
	}
	th->values = ct_scan_open(src->db, &spec, err);
	th->events = th->values ? ct_cursor_create(src->rec, err) : NULL;
	if (!th->events || next_value(th, err) < 0 || ct_cursor_seek_seq(th->events, thread->v[CT_TH_SEQ], err) < 0)
		return -1;
	return next_event(th, err) < 0 ? -1 : 0;
}

int cdt_thread(struct cdt *c, ct_u64 end_ns, struct ct_error *err)
{
	struct thread *th = calloc(1, sizeof(*th));
	const struct ex_sink sink = {th, enter, leave, step};
	int ret = th ? 0 : ct_fail_memory(err);

	if (ret == 0) {
		th->c = c;
		ret = begin(th, err);
	}
	if (ret == 0)
		ret = ex_timeline(c->src, c->opts, c->thread, end_ns, &sink, err);
	if (ret == 0 && c->steps)
		ret = put_events(th, UINT64_MAX, err);
	if (!th)
		return -1;
	for (unsigned i = 0; i < BUCKETS; i++)
		while (th->bucket[i])
			free_locals(th, th->bucket[i]->call);
	ct_scan_close(th->values);
	if (th->events)
		ct_cursor_destroy(th->events);
	free(th->text.data);
	free(th->bytes.data);
	free(th);
	return ret < 0 ? -1 : 0;
}
