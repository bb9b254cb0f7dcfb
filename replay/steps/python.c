// SPDX-License-Identifier: MIT
/* From the records of CPython's agent to steps: a stack of frames for every thread. Frames that an exception went
 * through are not told of; they are known to be gone when a frame further out goes on. */
#include "replay/steps/python.h"

#include <stdlib.h>
#include <string.h>

#include "replay/steps/python_priv.h"

#define GROW(list, n)   ct_pysteps_grow((void **)&(list), n, sizeof(*(list)))
#define TELL(what, ...) (b->sink.what ? b->sink.what(b->sink.ctx, __VA_ARGS__, err) : 0)

bool ct_pysteps_grow(void **list, size_t n, size_t size)
{
	void *more;

	if (n & (n - 1)) /* room doubles at powers of two */
		return true;
	more = realloc(*list, (n ? n * 2 : 1) * size);
	if (more)
		*list = more;
	return more != NULL;
}

struct ct_pysteps *ct_pysteps_create(const struct ct_step_sink *sink, const struct ct_step_filter *filter)
{
	struct ct_pysteps *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->sink = *sink;
	b->filter = filter;
	return b;
}

void ct_pysteps_destroy(struct ct_pysteps *b)
{
	if (!b)
		return;
	ct_pysteps_free_all(b);
	free(b->arena);
	for (size_t i = 0; i < b->ncode; i++)
		ct_py_code_deinit(&b->code[i].code);
	for (size_t i = 0; i < b->ntype; i++)
		free(b->type[i]);
	for (size_t i = 0; i < b->ntext; i++)
		free(b->text[i]);
	for (size_t i = 0; i < b->nfile; i++)
		free(b->file[i]);
	for (size_t i = 0; i < b->nnative; i++)
		free(b->native[i].name);
	for (size_t i = 0; i < b->nthreads; i++)
		free(b->thread[i].frame);
	free(b->code);
	free(b->type);
	free(b->text);
	free(b->file);
	free(b->thread);
	free(b->sleep);
	free(b->native);
	free(b->batch);
	free(b);
}

static long add_text(char ***list, size_t *count, const char *text)
{
	for (size_t i = 0; i < *count; i++)
		if (!strcmp((*list)[i], text))
			return (long)i;
	if (!GROW(*list, *count) || !((*list)[*count] = strdup(text)))
		return -1;
	return (long)(*count)++;
}

long ct_pysteps_type(struct ct_pysteps *b, const char *name)
{
	return add_text(&b->type, &b->ntype, name);
}
long ct_pysteps_text(struct ct_pysteps *b, const char *text)
{
	return add_text(&b->text, &b->ntext, text);
}

long ct_pysteps_code(struct ct_pysteps *b, struct ct_py_code *c, bool *wanted)
{
	struct ct_pycode_entry *e;

	*wanted = ct_step_wanted(b->filter, c->file, c->name);
	if (!GROW(b->code, b->ncode))
		return -1;
	e = &b->code[b->ncode];
	e->code = *c;
	e->wanted = *wanted;
	e->function = (ct_u32)-1; /* told when it first runs */
	memset(c, 0, sizeof(*c));
	return (long)b->ncode++;
}

long ct_pysteps_native(struct ct_pysteps *b, const char *name)
{
	for (size_t i = 0; i < b->nnative; i++)
		if (!strcmp(b->native[i].name, name))
			return (long)i;
	if (!GROW(b->native, b->nnative) || !(b->native[b->nnative].name = strdup(name)))
		return -1;
	b->native[b->nnative].function = (ct_u32)-1;
	return (long)b->nnative++;
}

/* ---- threads and frames --------------------------------------------------------------------------------------- */

struct ct_pythread *ct_pysteps_thread(struct ct_pysteps *b, ct_u32 tid)
{
	for (size_t i = 0; i < b->nthreads; i++)
		if (b->thread[i].tid == tid)
			return &b->thread[i];
	if (!GROW(b->thread, b->nthreads))
		return NULL;
	b->thread[b->nthreads] = (struct ct_pythread){.tid = tid};
	return &b->thread[b->nthreads++];
}

static struct ct_pyframe *top(struct ct_pythread *t)
{
	return t->depth ? &t->frame[t->depth - 1] : NULL;
}

/* Generators between a yield and their next turn, by frame. */
static struct ct_pyframe *sleeper(struct ct_pysteps *b, ct_u64 frame)
{
	size_t i = b->sleep_room ? (frame >> 4) * 0x9e3779b97f4a7c15ull >> 32 & (b->sleep_room - 1) : 0;

	while (b->sleep[i].frame && b->sleep[i].frame != frame)
		i = (i + 1) & (b->sleep_room - 1);
	return &b->sleep[i];
}

bool ct_pysteps_put_to_sleep(struct ct_pysteps *b, const struct ct_pyframe *f)
{
	struct ct_pyframe *to;

	if (b->nsleep * 2 >= b->sleep_room) {
		struct ct_pyframe *old = b->sleep;
		size_t room = b->sleep_room;

		b->sleep = calloc(room ? room * 2 : 1024, sizeof(*b->sleep));
		if (!b->sleep) {
			b->sleep = old;
			return false;
		}
		b->sleep_room = room ? room * 2 : 1024;
		for (size_t i = 0; i < room; i++)
			if (old[i].frame)
				*sleeper(b, old[i].frame) = old[i];
		free(old);
	}
	to = sleeper(b, f->frame);
	b->nsleep += !to->frame;
	*to = *f;
	return true;
}

/* The same function, maybe read again. */
static bool same(const struct ct_pycode_entry *a, const struct ct_pycode_entry *b)
{
	return a == b || (a->code.first_line == b->code.first_line && !strcmp(a->code.name, b->code.name) &&
			  !strcmp(a->code.file, b->code.file));
}

/* What follows it moves up, so that nothing is behind a gap. */
static void remove_sleeper(struct ct_pysteps *b, struct ct_pyframe *from)
{
	size_t gap = (size_t)(from - b->sleep), mask = b->sleep_room - 1;

	b->nsleep--;
	b->sleep[gap].frame = 0;
	for (size_t i = (gap + 1) & mask; b->sleep[i].frame; i = (i + 1) & mask) {
		struct ct_pyframe moved = b->sleep[i];

		b->sleep[i].frame = 0;
		*sleeper(b, moved.frame) = moved;
	}
}

static bool wake(struct ct_pysteps *b, struct ct_pyframe *f)
{
	struct ct_pyframe *from = b->nsleep ? sleeper(b, f->frame) : NULL;

	if (!from || !from->frame || !same(&b->code[from->code], &b->code[f->code]))
		return false;
	f->run = from->run;
	f->line = from->line;
	remove_sleeper(b, from);
	return true;
}

/* Another frame is where one slept: that is no more. */
static int replace_sleeper(struct ct_pysteps *b, ct_u64 frame, struct ct_error *err)
{
	struct ct_pyframe *from = b->nsleep ? sleeper(b, frame) : NULL;
	struct ct_pyframe old;

	if (!from || !from->frame)
		return 0;
	old = *from;
	remove_sleeper(b, from);
	return b->code[old.code].wanted ? TELL(drop, old.run) : 0;
}

static int function(struct ct_pysteps *b, struct ct_pycode_entry *e, struct ct_error *err)
{
	size_t files = b->nfile;
	long file;

	if (e->function != (ct_u32)-1)
		return 0;
	for (size_t i = 0; i < b->ncode; i++) { /* the same, compiled again */
		struct ct_pycode_entry *o = &b->code[i];

		if (o->function != (ct_u32)-1 && same(o, e)) {
			e->function = o->function;
			return 0;
		}
	}
	file = add_text(&b->file, &b->nfile, e->code.file);
	if (file < 0)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	if ((size_t)file == files && TELL(file, (ct_u32)file, e->code.file))
		return -1;
	e->function = b->nfunctions++;
	return TELL(function, e->function, (ct_u32)file, e->code.name, e->code.first_line);
}

int ct_pysteps_function(struct ct_pysteps *b, const struct ct_pyframe *f, ct_u32 *id, struct ct_error *err)
{
	struct ct_pynative *n;
	int ret = 0;

	if (!ct_pyframe_native(f)) {
		ret = function(b, &b->code[f->code], err);
		*id = b->code[f->code].function;
		return ret;
	}
	n = &b->native[f->code];
	if (n->function == (ct_u32)-1) {
		n->function = b->nfunctions++;
		ret = TELL(function, n->function, CT_STEP_NATIVE, n->name, 0);
	}
	*id = n->function;
	return ret;
}

static bool wanted(const struct ct_pysteps *b, const struct ct_pyframe *f)
{
	return ct_pyframe_native(f) || b->code[f->code].wanted;
}

static int push(struct ct_pysteps *b, struct ct_pythread *t, ct_u64 frame, ct_u32 code, enum ct_enter how,
		struct ct_error *err)
{
	struct ct_pyframe f = {.frame = frame, .code = code};
	ct_u32 id;

	if (!GROW(t->frame, t->depth))
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	if (!ct_pyframe_native(&f))
		f.line = b->code[code].code.first_line;
	if (how == CT_ENTER_RESUMED && !wake(b, &f))
		how = CT_ENTER_ATTACHED;
	if (how != CT_ENTER_RESUMED && replace_sleeper(b, frame, err))
		return -1;
	if (how != CT_ENTER_RESUMED)
		f.run = ++b->runs;
	t->frame[t->depth++] = f;
	if (!wanted(b, &f))
		return 0;
	return ct_pysteps_function(b, &f, &id, err) || TELL(call, b->tid, id, f.line, f.run, how) ? -1 : 0;
}

static int pop(struct ct_pysteps *b, struct ct_pythread *t, enum ct_leave how, const struct ct_value *v,
	       struct ct_error *err)
{
	const struct ct_pyframe f = *top(t);
	ct_u32 id;

	t->depth--;
	if (how == CT_LEAVE_YIELD) {
		if (replace_sleeper(b, f.frame, err))
			return -1;
		if (!ct_pysteps_put_to_sleep(b, &f))
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	}
	if (!wanted(b, &f))
		return 0;
	return ct_pysteps_function(b, &f, &id, err) || TELL(leave, b->tid, id, f.line, how, v) ? -1 : 0;
}

/* Everything further in than `frame` is gone. false: it is not on the stack, and the stack as it was. */
static int pop_to(struct ct_pysteps *b, struct ct_pythread *t, ct_u64 frame, bool *found, struct ct_error *err)
{
	size_t at = t->depth;

	while (at && t->frame[at - 1].frame != frame)
		at--;
	*found = at > 0 || !frame;
	while (*found && t->depth > at)
		if (pop(b, t, top(t)->awaits ? CT_LEAVE_YIELD : CT_LEAVE_EXCEPTION, NULL, err))
			return -1;
	return 0;
}

/* The same, but a C function that `frame` calls stays: it makes the call that is told of next. */
static int pop_to_caller(struct ct_pysteps *b, struct ct_pythread *t, ct_u64 frame, bool *found, struct ct_error *err)
{
	size_t at = t->depth;

	while (frame && at && t->frame[at - 1].frame != frame && t->frame[at - 1].frame != CT_PYA_CALLEE(frame))
		at--;
	return pop_to(b, t, frame && at ? t->frame[at - 1].frame : frame, found, err);
}

bool ct_pysteps_in_native(struct ct_pysteps *b, ct_u32 tid, ct_u64 frame)
{
	for (size_t i = 0; i < b->nthreads; i++)
		for (size_t k = 0; b->thread[i].tid == tid && k < b->thread[i].depth; k++)
			if (b->thread[i].frame[k].frame == CT_PYA_CALLEE(frame))
				return true;
	return false;
}

/* The innermost frame is to be this one, whatever was seen of it. */
static int be_in(struct ct_pysteps *b, struct ct_pythread *t, ct_u64 frame, ct_u64 previous, ct_u32 code,
		 struct ct_error *err)
{
	bool found;

	if (pop_to(b, t, frame, &found, err))
		return -1;
	if (found && top(t) && top(t)->frame == frame)
		return 0;
	if (pop_to_caller(b, t, previous, &found, err))
		return -1;
	return push(b, t, frame, code, CT_ENTER_RESUMED, err);
}

/* ---- records -------------------------------------------------------------------------------------------------- */

static const char *terminated(struct ct_pysteps *b, const char *data, size_t len)
{
	char *text = ct_pysteps_alloc(b, len + 1);

	if (!text)
		return NULL;
	memcpy(text, data, len);
	text[len] = 0;
	return text;
}

/* What C code raises becomes an instance when somebody looks at it: of b->exc, a class, with this argument, or these if
 * it is a tuple (PyErr_SetObject). */
static bool make_instance(struct ct_pysteps *b, const struct ct_value *arg)
{
	struct ct_value *list, *args;

	if (b->exc.tag != CT_VALUE_TYPE)
		return true;
	list = ct_pysteps_alloc(b, 3 * sizeof(*list));
	if (!list)
		return false;
	args = list + 1;
	list[0] = (struct ct_value){.tag = CT_VALUE_STRING, .type = "str", .length = 4, .text = {"args", 4}};
	list[2] = *arg;
	args[0] = (struct ct_value){.tag = CT_VALUE_TUPLE, .type = "tuple", .length = 1, .child = {list + 2, 1}};
	if (arg->tag == CT_VALUE_TUPLE)
		args[0] = *arg;
	else if (arg->tag == CT_VALUE_NONE)
		args[0].length = args[0].child.count = 0;
	b->exc = (struct ct_value){.tag = CT_VALUE_STRUCT,
				   .type = terminated(b, b->exc.text.data, b->exc.text.len),
				   .address = b->exc.address,
				   .length = 1,
				   .child = {list, 2}};
	return b->exc.type != NULL;
}

static int on_value(struct ct_pysteps *b, struct ct_pythread *t, const ct_u64 *w, size_t n, struct ct_error *err)
{
	const ct_u32 slot = w[0] >> 8 & 0xffffff;
	struct ct_pycode_entry *e;
	struct ct_value v, name;
	const char *variable;
	struct ct_pyframe *f;
	size_t took = 0;
	bool found;

	if (slot == CT_PYSLOT_NAMED) {
		took = ct_pysteps_value(b, w + 2, n - 2, &name);
		if (!took || name.tag != CT_VALUE_STRING)
			return ct_fail(err, CT_EXIT_FAILED, "the agent wrote a value that cannot be read");
	}
	if (!ct_pysteps_value(b, w + 2 + took, n - 2 - took, &v))
		return ct_fail(err, CT_EXIT_FAILED, "the agent wrote a value that cannot be read");
	switch (slot) {
	case CT_PYSLOT_RESULT:
		b->result = v;
		b->has_result = true;
		return 0;
	case CT_PYSLOT_EXC_TYPE: /* if there is an instance, it follows */
	case CT_PYSLOT_EXC:
		if (slot == CT_PYSLOT_EXC && b->has_exc && v.tag != CT_VALUE_STRUCT)
			return make_instance(b, &v) ? 0 : ct_fail(err, CT_EXIT_FAILED, "out of memory");
		b->exc = v;
		b->has_exc = true;
		return 0;
	}
	if (pop_to(b, t, w[1], &found, err)) /* frames that an exception has gone through come off first */
		return -1;
	f = top(t);
	if (!found || !f)
		return 0;
	if (ct_pyframe_native(f)) {
		char number[16];

		snprintf(number, sizeof(number), slot ? "arg%u" : "self", slot);
		return TELL(argument, b->tid, number, &v);
	}
	e = &b->code[f->code];
	if (!e->wanted)
		return 0;
	if (slot == CT_PYSLOT_NAMED) {
		const char *text = terminated(b, name.text.data, name.text.len);

		return text ? TELL(value, b->tid, text, &v) : ct_fail(err, CT_EXIT_FAILED, "out of memory");
	}
	variable = slot < e->code.nlocals ? e->code.variable[slot] : NULL;
	if (!variable)
		return 0;
	if (b->arguments && slot < e->code.nargs)
		return TELL(argument, b->tid, variable, &v);
	return TELL(value, b->tid, variable, &v);
}

static int on_gone(struct ct_pysteps *b, struct ct_pythread *t, const ct_u64 *w, struct ct_error *err)
{
	const ct_u32 slot = w[0] >> 8 & 0xffffff;
	struct ct_pycode_entry *e;
	bool found;

	if (pop_to(b, t, w[1], &found, err))
		return -1;
	e = found && top(t) && !ct_pyframe_native(top(t)) ? &b->code[top(t)->code] : NULL;
	if (!e || !e->wanted || slot >= e->code.nlocals || !e->code.variable[slot])
		return 0;
	return TELL(value, b->tid, e->code.variable[slot], NULL);
}

static int on_line(struct ct_pysteps *b, struct ct_pythread *t, const ct_u64 *w, struct ct_error *err)
{
	const ct_u32 code = (ct_u32)w[2], unit = (ct_u32)(w[2] >> 32);
	struct ct_pycode_entry *e;

	if (code >= b->ncode || unit >= b->code[code].code.count)
		return ct_fail(err, CT_EXIT_FAILED, "the agent wrote a line that cannot be read");
	if (be_in(b, t, w[1], 0, code, err))
		return -1;
	e = &b->code[code];
	top(t)->line = (ct_u32)e->code.lines[unit];
	if (!e->wanted)
		return 0;
	/* Found again by the agent, the code has another number than that of a frame from before. */
	return function(b, e, err) || TELL(step, b->tid, e->function, top(t)->line) ? -1 : 0;
}

/* A frame that is there when an agent begins. It may be known from a session before this one. */
static int on_frame(struct ct_pysteps *b, struct ct_pythread *t, const ct_u64 *w, size_t index, struct ct_error *err)
{
	size_t at = 0;

	for (size_t seen = 0; at < t->depth; at++) /* C functions have none */
		if (!ct_pyframe_native(&t->frame[at]) && seen++ == index)
			break;
	if (at < t->depth && t->frame[at].frame == w[1] && same(&b->code[t->frame[at].code], &b->code[w[2]])) {
		t->frame[at].code = (ct_u32)w[2];
		return 0;
	}
	while (t->depth > at)
		if (pop(b, t, CT_LEAVE_EXCEPTION, NULL, err))
			return -1;
	return push(b, t, w[1], (ct_u32)w[2], CT_ENTER_ATTACHED, err);
}

static int on_batch(struct ct_pysteps *b, const ct_u64 *w, size_t n, struct ct_error *err)
{
	ct_u64 *copy = malloc(n * sizeof(*copy));

	if (!copy)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	memcpy(copy, w + 1, (n - 1) * sizeof(*copy));
	free(b->batch);
	b->batch = copy;
	b->nbatch = (n - 1) / 2;
	return 0;
}

static int on_answer(struct ct_pysteps *b, size_t index, struct ct_error *err)
{
	return index < b->nbatch ? TELL(event, b->batch[2 * index], b->batch[2 * index + 1]) : 0;
}

static int record(struct ct_pysteps *b, const ct_u64 *w, size_t n, struct ct_error *err)
{
	const unsigned type = w[0] & 255, arg = w[0] >> 8 & 0xffffff;
	struct ct_pythread *t = ct_pysteps_thread(b, b->tid);
	struct ct_pythread *child;
	bool found;
	int ret;

	if (!t)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	if (type != CT_PYR_VALUE && type != CT_PYR_GONE)
		b->arguments = false;
	switch (type) {
	case CT_PYR_THREAD:
		b->tid = (ct_u32)w[1];
		t = n < 3 ? NULL : ct_pysteps_thread(b, b->tid);
		if (!t || t->told)
			return t ? 0 : ct_fail(err, CT_EXIT_FAILED, "out of memory");
		t->told = true;
		return TELL(thread, b->tid, (ct_u32)w[2]);
	case CT_PYR_EVENT: return TELL(event, w[1], w[2]);
	case CT_PYR_BATCH: return on_batch(b, w, n, err);
	case CT_PYR_ANSWER:
		if (n < 2)
			break;
		return on_answer(b, arg ? b->nbatch - 1 : w[1], err);
	case CT_PYR_IMAGE:
		while (t->depth)
			if (pop(b, t, CT_LEAVE_EXCEPTION, NULL, err))
				return -1;
		return 0;
	case CT_PYR_FRAME:
		if (n < 3 || w[2] >= b->ncode)
			break;
		return on_frame(b, t, w, arg, err);
	case CT_PYR_FORK:
		child = ct_pysteps_thread(b, (ct_u32)w[1]);
		t = ct_pysteps_thread(b, b->tid); /* the list may have moved */
		if (!child || !t)
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		free(child->frame);
		child->depth = 0;
		child->frame = NULL;
		for (size_t i = 0; i < t->depth; i++) {
			if (!GROW(child->frame, child->depth))
				return ct_fail(err, CT_EXIT_FAILED, "out of memory");
			child->frame[child->depth++] = t->frame[i];
		}
		return 0;
	case CT_PYR_VALUE: return n > 2 ? on_value(b, t, w, n, err) : 0;
	case CT_PYR_GONE: return on_gone(b, t, w, err);
	case CT_PYR_LINE:
		if (n < 3)
			break;
		return on_line(b, t, w, err);
	case CT_PYR_ENTER:
		if (n < 4 || w[3] >= b->ncode)
			break;
		if (pop_to_caller(b, t, w[2], &found, err))
			return -1;
		b->arguments = arg == CT_PYE_CALL;
		return push(b, t, w[1], (ct_u32)w[3], arg == CT_PYE_CALL ? CT_ENTER_CALL : CT_ENTER_RESUMED, err);
	case CT_PYR_RETURN:
		if (n < 3 || w[2] >= b->ncode)
			break;
		ret = be_in(b, t, w[1], 0, (ct_u32)w[2], err);
		if (!ret)
			ret = pop(b, t, arg ? CT_LEAVE_YIELD : CT_LEAVE_RETURN, b->has_result ? &b->result : NULL, err);
		b->has_result = false;
		return ret;
	case CT_PYR_NATIVE:
		if (n < 3 || (ct_u32)w[2] >= b->ncode || w[2] >> 32 >= b->nnative)
			break;
		return be_in(b, t, w[1], 0, (ct_u32)w[2], err) ||
				       push(b, t, CT_PYA_CALLEE(w[1]), (ct_u32)(w[2] >> 32), CT_ENTER_CALL, err)
			       ? -1
			       : 0;
	case CT_PYR_NATIVE_END:
		if (n < 2)
			break;
		ret = pop_to(b, t, CT_PYA_CALLEE(w[1]), &found, err);
		if (!ret && found)
			ret = pop(b, t, CT_LEAVE_RETURN, b->has_result ? &b->result : NULL, err);
		b->has_result = false;
		return ret;
	case CT_PYR_AWAIT:
		if (n < 2)
			break;
		for (size_t i = t->depth; i-- > 0;)
			if (t->frame[i].frame == w[1])
				t->frame[i].awaits = arg;
		return 0;
	case CT_PYR_RAISE: {
		struct ct_pycode_entry *e;

		if (n < 4 || (ct_u32)w[3] >= b->ncode)
			break;
		if (ct_pysteps_in_native(b, b->tid, w[1]) && /* that is whose exception it is, too */
		    (pop_to(b, t, CT_PYA_CALLEE(w[1]), &found, err) ||
		     pop(b, t, CT_LEAVE_EXCEPTION, b->has_exc ? &b->exc : NULL, err)))
			return -1;
		if (be_in(b, t, w[1], w[2], (ct_u32)w[3], err))
			return -1;
		top(t)->awaits = false;
		e = &b->code[(ct_u32)w[3]];
		if (w[3] >> 32 < e->code.count && e->code.lines[w[3] >> 32] > 0)
			top(t)->line = (ct_u32)e->code.lines[w[3] >> 32];
		ret = e->wanted && (function(b, e, err) ||
				    TELL(raise, b->tid, e->function, top(t)->line, b->has_exc ? &b->exc : NULL))
			      ? -1
			      : 0;
		b->has_exc = false;
		return ret;
	}
	}
	return ct_fail(err, CT_EXIT_FAILED, "the agent wrote a record that cannot be read (type %u)", type);
}

int ct_pysteps_records(struct ct_pysteps *b, const ct_u64 *words, size_t count, struct ct_error *err)
{
	for (size_t i = 0; i < count;) {
		size_t n = words[i] >> 32;

		if (n < 1 || n > count - i)
			return ct_fail(err, CT_EXIT_FAILED, "the agent wrote a record of impossible length");
		if (!b->has_result && !b->has_exc)
			ct_pysteps_free_all(b);
		if (record(b, words + i, n, err))
			return -1;
		i += n;
	}
	return 0;
}
