/* SPDX-License-Identifier: MIT
 * Records of live calls into steps. A record's depth is its place in the thread's stack: what is open there or deeper
 * has ended, whether or not its end was seen. */
#include "user/index_calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/event_access.h"
#include "user/functions.h"

struct open_call {
	ct_u32 function;                  /* the record's number */
	ct_u32 number;                    /* the sink's */
	bool told;                        /* to the sink */
	const struct ct_ev_value *result; /* told before it ends; a copy */
};
struct thread {
	ct_u32 tid, pid;
	struct open_call *stack;
	size_t depth, room;
};
struct pass {
	struct ct_index_calls *ic;
	const struct ct_step_sink *to;
	struct ct_functions functions;
	struct thread *thread;
	size_t nthreads;
	char **file; /* told of */
	ct_u32 nfiles, nfunctions;
	char language[64]; /* told last */
	ct_u64 run;
	struct ct_error *err;
};

static int no_memory(struct pass *p)
{
	return ct_fail(p->err, CT_EXIT_FAILED, "out of memory");
}

/* ---- functions ----------------------------------------------------------------------------------------- */

static int tell_file(struct pass *p, const char *path, ct_u32 *number)
{
	char **more;

	for (*number = 0; *number < p->nfiles; ++*number)
		if (!strcmp(p->file[*number], path))
			return 0;
	more = reallocarray(p->file, p->nfiles + 1, sizeof(*more));
	if (!more)
		return no_memory(p);
	p->file = more;
	more[p->nfiles] = strdup(path);
	if (!more[p->nfiles])
		return no_memory(p);
	return p->to->file(p->to->ctx, p->nfiles++, path, p->err);
}

/* f->number becomes the sink's, from 1 on; 0: it is not asked for. */
static int tell_function(struct pass *p, struct ct_function *f)
{
	ct_u32 file;

	f->number = 0;
	if (!ct_step_wanted(p->ic->filter, f->file, f->name))
		return 0;
	if (strcmp(f->language, p->language) && p->to->language && p->to->language(p->to->ctx, f->language, p->err))
		return -1;
	snprintf(p->language, sizeof(p->language), "%s", f->language);
	if (tell_file(p, f->file, &file) ||
	    p->to->function(p->to->ctx, p->nfunctions, file, f->name, f->f.line, p->err))
		return -1;
	f->number = ++p->nfunctions;
	return 0;
}

/* ---- threads ------------------------------------------------------------------------------------------- */

static struct thread *get_thread(struct pass *p, const struct ct_event *ev)
{
	struct thread *more;

	for (size_t i = 0; i < p->nthreads; i++)
		if (p->thread[i].tid == ev->tid)
			return &p->thread[i];
	more = reallocarray(p->thread, p->nthreads + 1, sizeof(*more));
	if (!more || (p->to->thread && p->to->thread(p->to->ctx, ev->tid, ev->pid, p->err))) {
		if (!more)
			no_memory(p);
		else
			p->thread = more;
		return NULL;
	}
	p->thread = more;
	more[p->nthreads] = (struct thread){.tid = ev->tid, .pid = ev->pid};
	return &more[p->nthreads++];
}

/* What follows comes right behind this event. */
static int moment(struct pass *p, const struct ct_event *ev, ct_u64 ns)
{
	return p->to->event ? p->to->event(p->to->ctx, ev->seq + 1, ns, p->err) : 0;
}

static int leave(struct pass *p, struct thread *t, enum ct_leave how, const struct ct_value *v)
{
	struct open_call *c = &t->stack[--t->depth];
	int ret = c->told ? p->to->leave(p->to->ctx, t->tid, c->number, 0, how, v, p->err) : 0;

	free((void *)c->result);
	c->result = NULL;
	return ret;
}

/* Ends what is deeper. Of those whose end was not seen the result is not known. */
static int cut(struct pass *p, struct thread *t, size_t depth)
{
	while (t->depth > depth)
		if (leave(p, t, CT_LEAVE_RETURN, NULL))
			return -1;
	return 0;
}

static int push(struct pass *p, struct thread *t, struct open_call c, size_t depth)
{
	if (depth > t->room) {
		size_t room = 2 * depth + 64;
		struct open_call *more = reallocarray(t->stack, room, sizeof(*more));

		if (!more)
			return no_memory(p);
		t->stack = more;
		t->room = room;
	}
	while (t->depth + 1 < depth) /* began before what is looked at, or is lost */
		t->stack[t->depth++] = (struct open_call){0};
	t->stack[t->depth++] = c;
	return 0;
}

static int on_call(struct pass *p, const struct ct_event *ev)
{
	static const char *const names[CT_CALL_NARGS] = {"rdi", "rsi", "rdx", "rcx", "r8", "r9"};
	const struct ct_ev_call *c = ct_event_payload(ev);
	const ct_u64 *arg = (const ct_u64 *)(c + 1);
	struct ct_function *f = ct_functions_find(&p->functions, c->function);
	struct thread *t = get_thread(p, ev);
	int ret;

	p->ic->records++;
	if (!t || moment(p, ev, ev->time_ns) || cut(p, t, c->depth - 1u))
		return -1;
	if (!f || !f->number)
		return push(p, t, (struct open_call){.function = c->function}, c->depth);
	/* Whose entry was told of late began then, but not before what its thread was last told of. */
	if (c->entered_ns < ev->time_ns && moment(p, ev, c->entered_ns))
		return -1;
	if (push(p, t, (struct open_call){.function = c->function, .number = f->number - 1, .told = true}, c->depth))
		return -1;
	ret = p->to->call(p->to->ctx, t->tid, f->number - 1, f->f.line, ++p->run, CT_ENTER_CALL, p->err);
	for (unsigned i = 0; i < c->nargs && p->ic->values && !ret; i++) {
		const struct ct_value v = {.tag = CT_VALUE_INT, .type = "u64", .i = (ct_s64)arg[i]};

		ret = p->to->argument(p->to->ctx, t->tid, names[i], &v, p->err);
	}
	return ret;
}

/* ---- what programs tell of themselves ------------------------------------------------------------------ */

/* The call that is meant, if it is open and was told; what is deeper has ended. */
static int find_call(struct pass *p, const struct ct_event *ev, ct_u32 function, unsigned depth, struct thread **t,
		     struct open_call **c)
{
	*c = NULL;
	*t = get_thread(p, ev);
	if (!*t || moment(p, ev, ev->time_ns) || cut(p, *t, depth))
		return -1;
	if (depth && (*t)->depth == depth && (*t)->stack[depth - 1].function == function && (*t)->stack[depth - 1].told)
		*c = &(*t)->stack[depth - 1];
	return 0;
}

static int on_lines(struct pass *p, const struct ct_event *ev)
{
	const struct ct_ev_lines *l = ct_event_payload(ev);
	const ct_u32 *line = (const ct_u32 *)(l + 1);
	struct open_call *c;
	struct thread *t;

	if (find_call(p, ev, l->function, l->depth, &t, &c))
		return -1;
	for (unsigned i = 0; c && i < l->count; i++)
		if (p->to->step(p->to->ctx, t->tid, c->number, line[i], p->err))
			return -1;
	return 0;
}

static struct ct_value value_of(const struct ct_ev_value *e, const char *type, const char *data)
{
	static const unsigned char tags[CT_KINDS] = {
		[CT_KIND_NONE] = CT_VALUE_NONE,   [CT_KIND_INT] = CT_VALUE_INT,     [CT_KIND_UNSIGNED] = CT_VALUE_INT,
		[CT_KIND_BOOL] = CT_VALUE_BOOL,   [CT_KIND_FLOAT] = CT_VALUE_FLOAT, [CT_KIND_STRING] = CT_VALUE_STRING,
		[CT_KIND_BYTES] = CT_VALUE_BYTES,
	};
	struct ct_value v = {.tag = tags[e->kind], .type = type};

	if (v.tag == CT_VALUE_STRING || v.tag == CT_VALUE_BYTES) {
		v.text.data = data;
		v.text.len = e->data_len;
		v.length = e->length;
		v.flags = e->length > e->data_len ? CT_VALUE_TRUNCATED : 0;
	} else if (v.tag == CT_VALUE_FLOAT) {
		memcpy(&v.f[0], &e->number, sizeof(v.f[0]));
	} else {
		v.i = (ct_s64)e->number;
	}
	return v;
}

/* Its name and its type's, terminated, in one piece of memory. */
static char *names_of(const struct ct_ev_value *e, const char **type)
{
	const char *text = (const char *)(e + 1);
	char *names = malloc((size_t)e->name_len + e->type_len + 2);

	if (!names)
		return NULL;
	memcpy(names, text, e->name_len);
	names[e->name_len] = 0;
	memcpy(names + e->name_len + 1, text + e->name_len, e->type_len);
	names[e->name_len + 1 + e->type_len] = 0;
	*type = names + e->name_len + 1;
	return names;
}

static int on_value(struct pass *p, const struct ct_event *ev)
{
	const struct ct_ev_value *e = ct_event_payload(ev);
	const char *data = (const char *)(e + 1) + e->name_len + e->type_len, *type;
	struct open_call *c;
	struct ct_value v;
	struct thread *t;
	char *names;
	int ret;

	if (!p->ic->values)
		return 0;
	if (find_call(p, ev, e->function, e->depth, &t, &c))
		return -1;
	if (!c)
		return 0;
	if (e->role == CT_ROLE_RESULT) {
		const size_t len = ev->size - sizeof(*ev);
		void *copy = malloc(len);

		if (!copy)
			return no_memory(p);
		memcpy(copy, e, len);
		free((void *)c->result);
		c->result = copy;
		return 0;
	}
	names = names_of(e, &type);
	if (!names)
		return no_memory(p);
	v = value_of(e, type, data);
	ret = e->role == CT_ROLE_ARGUMENT ? p->to->argument(p->to->ctx, t->tid, names, &v, p->err)
					  : p->to->value(p->to->ctx, t->tid, names, &v, p->err);
	free(names);
	return ret;
}

/* The call that ends has told its result. */
static int leave_with(struct pass *p, struct thread *t, enum ct_leave how)
{
	const struct ct_ev_value *e = t->stack[t->depth - 1].result;
	const char *type;
	char *names = names_of(e, &type);
	struct ct_value v;
	int ret;

	if (!names)
		return no_memory(p);
	v = value_of(e, type, (const char *)(e + 1) + e->name_len + e->type_len);
	ret = leave(p, t, how, &v);
	free(names);
	return ret;
}

/* ---- ends ---------------------------------------------------------------------------------------------- */

static int on_return(struct pass *p, const struct ct_event *ev)
{
	const struct ct_ev_return *r = ct_event_payload(ev);
	const struct ct_value v = {.tag = CT_VALUE_INT, .type = "u64", .i = (ct_s64)r->value};
	const enum ct_leave how = r->flags & CT_LEFT_RAISED ? CT_LEAVE_EXCEPTION : CT_LEAVE_RETURN;
	struct thread *t = get_thread(p, ev);

	if (!t || moment(p, ev, ev->time_ns) || cut(p, t, r->depth))
		return -1;
	if (!r->depth || t->depth < r->depth || t->stack[r->depth - 1].function != r->function)
		return 0; /* its entry is not among what is looked at */
	if (t->stack[r->depth - 1].result)
		return leave_with(p, t, how);
	return leave(p, t, how, r->flags & CT_LEFT_VALUE && p->ic->values ? &v : NULL);
}

/* The thread is gone, or begins anew. */
static int on_end(struct pass *p, const struct ct_event *ev)
{
	for (size_t i = 0; i < p->nthreads; i++)
		if (p->thread[i].tid == ev->tid && p->thread[i].depth)
			return moment(p, ev, ev->time_ns) ? -1 : cut(p, &p->thread[i], 0);
	return 0;
}

/* Nothing is known of what goes on until calls are recorded again. */
static int on_pause(struct pass *p, const struct ct_event *ev)
{
	for (size_t i = 0; i < p->nthreads; i++)
		if (p->thread[i].depth && (moment(p, ev, ev->time_ns) || cut(p, &p->thread[i], 0)))
			return -1;
	return 0;
}

static int on_event(struct pass *p, const struct ct_event *ev)
{
	struct ct_function *f;
	const bool inside = ev->seq >= p->ic->from && ev->seq < p->ic->to;

	switch (ev->type) {
	case CT_EV_FUNCTION: f = ct_functions_add(&p->functions, ev); return f ? tell_function(p, f) : no_memory(p);
	case CT_EV_CALL: return inside ? on_call(p, ev) : 0;
	case CT_EV_RETURN: return inside ? on_return(p, ev) : 0;
	case CT_EV_LINES: return inside ? on_lines(p, ev) : 0;
	case CT_EV_VALUE: return inside ? on_value(p, ev) : 0;
	case CT_EV_PAUSE: return inside ? on_pause(p, ev) : 0;
	case CT_EV_EXEC:
	case CT_EV_EXIT: return inside ? on_end(p, ev) : 0;
	default: return 0;
	}
}

static void free_thread(struct thread *t)
{
	while (t->depth)
		free((void *)t->stack[--t->depth].result);
	free(t->stack);
}

int ct_index_calls(struct ct_index_calls *ic, struct ct_error *err)
{
	struct pass p = {.ic = ic, .to = ic->sink, .err = err};
	struct ct_cursor *cur = ct_cursor_create(ic->rec, err);
	const struct ct_event *ev;
	int got = cur ? 1 : -1;

	ic->records = 0;
	while (got > 0 && (got = ct_cursor_next(cur, &ev, err)) > 0)
		if (on_event(&p, ev))
			got = -1;
	ct_cursor_destroy(cur);
	for (size_t i = 0; i < p.nthreads; i++)
		free_thread(&p.thread[i]);
	for (size_t i = 0; i < p.nfiles; i++)
		free(p.file[i]);
	free(p.thread);
	free(p.file);
	ct_functions_free(&p.functions);
	return got < 0 ? -1 : 0;
}
