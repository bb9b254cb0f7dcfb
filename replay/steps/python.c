// SPDX-License-Identifier: MIT
/* From the records of CPython's agent to steps: a stack of frames for every thread. Frames that an exception went
 * through are not told of; they are known to be gone when a frame further out goes on. */
#include "replay/steps/python.h"

#include <stdlib.h>
#include <string.h>

#include "replay/steps/python_priv.h"

struct ct_pysteps *ct_pysteps_create(const struct ct_step_sink *sink, const struct ct_step_filter *filter)
{
	struct ct_pysteps *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	ct_step_builder_init(&b->base, sink, filter);
	b->sleeping.size = sizeof(struct ct_pyframe);
	return b;
}

void ct_pysteps_destroy(struct ct_pysteps *b)
{
	if (!b)
		return;
	ct_step_builder_deinit(&b->base);
	for (size_t i = 0; i < b->nnative; i++)
		free(b->native[i].name);
	for (size_t i = 0; i < b->nthreads; i++)
		free(b->thread[i].frame);
	free(b->thread);
	ct_keyed_free(&b->sleeping);
	free(b->native);
	free(b->batch);
	free(b);
}

long ct_pysteps_type(struct ct_pysteps *b, const char *name)
{
	return ct_step_add_text(&b->base.type, name);
}
long ct_pysteps_text(struct ct_pysteps *b, const char *text)
{
	return ct_step_add_text(&b->base.text, text);
}

long ct_pysteps_code(struct ct_pysteps *b, struct ct_step_code *c, bool *wanted)
{
	return ct_step_add_code(&b->base, c, wanted);
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

/* The code of a frame that is not that of a C function. */
static struct ct_step_known_code *code_of(const struct ct_pysteps *b, const struct ct_pyframe *f)
{
	return &b->base.code[f->code];
}

static bool wake(struct ct_pysteps *b, struct ct_pyframe *f)
{
	const struct ct_pyframe *from = ct_keyed_find(&b->sleeping, f->frame);
	struct ct_pyframe taken;

	if (!from || !ct_step_same_code(code_of(b, from), code_of(b, f)))
		return false;
	ct_keyed_take(&b->sleeping, f->frame, &taken);
	f->run = taken.run;
	f->line = taken.line;
	return true;
}

/* Another frame is where one slept: that is no more. */
static int replace_sleeper(struct ct_pysteps *b, ct_u64 frame, struct ct_error *err)
{
	struct ct_pyframe old;

	return ct_keyed_take(&b->sleeping, frame, &old) && code_of(b, &old)->wanted ? TELL(drop, old.run) : 0;
}

int ct_pysteps_function(struct ct_pysteps *b, const struct ct_pyframe *f, ct_u32 *id, struct ct_error *err)
{
	struct ct_pynative *n;
	int ret = 0;

	if (!ct_pyframe_native(f)) {
		ret = ct_step_function(&b->base, code_of(b, f), err);
		*id = code_of(b, f)->function;
		return ret;
	}
	n = &b->native[f->code];
	if (n->function == (ct_u32)-1) {
		n->function = b->base.nfunctions++;
		ret = TELL(function, n->function, CT_STEP_NATIVE, n->name, 0);
	}
	*id = n->function;
	return ret;
}

static bool wanted(const struct ct_pysteps *b, const struct ct_pyframe *f)
{
	return ct_pyframe_native(f) || code_of(b, f)->wanted;
}

static int push(struct ct_pysteps *b, struct ct_pythread *t, ct_u64 frame, ct_u32 code, enum ct_enter how,
		struct ct_error *err)
{
	struct ct_pyframe f = {.frame = frame, .code = code};
	ct_u32 id;

	if (!GROW(t->frame, t->depth))
		return ct_fail_memory(err);
	if (!ct_pyframe_native(&f))
		f.line = code_of(b, &f)->code.first_line;
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
		if (!ct_keyed_put(&b->sleeping, &f))
			return ct_fail_memory(err);
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
	char *text = ct_arena_alloc(&b->base.arena, len + 1);

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
	list = ct_arena_alloc(&b->base.arena, 3 * sizeof(*list));
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
	struct ct_step_known_code *e;
	struct ct_value v, name;
	const char *variable;
	struct ct_pyframe *f;
	size_t took = 0;
	bool found;

	b->base.in_place = slot <= CT_PYSLOT_NAMED; /* the others are told with the next record */
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
			return make_instance(b, &v) ? 0 : ct_fail_memory(err);
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
	e = code_of(b, f);
	if (!e->wanted)
		return 0;
	if (slot == CT_PYSLOT_NAMED) {
		const char *text = terminated(b, name.text.data, name.text.len);

		return text ? TELL(value, b->tid, text, &v) : ct_fail_memory(err);
	}
	variable = slot < e->code.nvars ? e->code.variable[slot] : NULL;
	if (!variable)
		return 0;
	if (b->arguments && slot < e->code.nargs)
		return TELL(argument, b->tid, variable, &v);
	return TELL(value, b->tid, variable, &v);
}

static int on_gone(struct ct_pysteps *b, struct ct_pythread *t, const ct_u64 *w, struct ct_error *err)
{
	const ct_u32 slot = w[0] >> 8 & 0xffffff;
	struct ct_step_known_code *e;
	bool found;

	if (pop_to(b, t, w[1], &found, err))
		return -1;
	e = found && top(t) && !ct_pyframe_native(top(t)) ? code_of(b, top(t)) : NULL;
	if (!e || !e->wanted || slot >= e->code.nvars || !e->code.variable[slot])
		return 0;
	return TELL(value, b->tid, e->code.variable[slot], NULL);
}

static int on_line(struct ct_pysteps *b, struct ct_pythread *t, const ct_u64 *w, struct ct_error *err)
{
	const ct_u32 code = (ct_u32)w[2], unit = (ct_u32)(w[2] >> 32);
	struct ct_step_known_code *e;

	if (code >= b->base.ncode || unit >= b->base.code[code].code.count)
		return ct_fail(err, CT_EXIT_FAILED, "the agent wrote a line that cannot be read");
	if (be_in(b, t, w[1], 0, code, err))
		return -1;
	e = &b->base.code[code];
	top(t)->line = (ct_u32)e->code.lines[unit];
	if (!e->wanted)
		return 0;
	/* Found again by the agent, the code has another number than that of a frame from before. */
	return ct_step_function(&b->base, e, err) || TELL(step, b->tid, e->function, top(t)->line) ? -1 : 0;
}

/* A frame that is there when an agent begins. It may be known from a session before this one. */
static int on_frame(struct ct_pysteps *b, struct ct_pythread *t, const ct_u64 *w, size_t index, struct ct_error *err)
{
	size_t at = 0;

	for (size_t seen = 0; at < t->depth; at++) /* C functions have none */
		if (!ct_pyframe_native(&t->frame[at]) && seen++ == index)
			break;
	if (at < t->depth && t->frame[at].frame == w[1] &&
	    ct_step_same_code(code_of(b, &t->frame[at]), &b->base.code[w[2]])) {
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
		return ct_fail_memory(err);
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
		return ct_fail_memory(err);
	if (type != CT_PYR_VALUE && type != CT_PYR_GONE)
		b->arguments = false;
	switch (type) {
	case CT_PYR_THREAD:
		b->tid = (ct_u32)w[1];
		t = n < 3 ? NULL : ct_pysteps_thread(b, b->tid);
		if (!t || t->told)
			return t ? 0 : ct_fail_memory(err);
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
		if (n < 3 || w[2] >= b->base.ncode)
			break;
		return on_frame(b, t, w, arg, err);
	case CT_PYR_FORK:
		child = ct_pysteps_thread(b, (ct_u32)w[1]);
		t = ct_pysteps_thread(b, b->tid); /* the list may have moved */
		if (!child || !t)
			return ct_fail_memory(err);
		free(child->frame);
		child->depth = 0;
		child->frame = NULL;
		for (size_t i = 0; i < t->depth; i++) {
			if (!GROW(child->frame, child->depth))
				return ct_fail_memory(err);
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
		if (n < 4 || w[3] >= b->base.ncode)
			break;
		if (pop_to_caller(b, t, w[2], &found, err))
			return -1;
		b->arguments = arg == CT_PYE_CALL;
		return push(b, t, w[1], (ct_u32)w[3], arg == CT_PYE_CALL ? CT_ENTER_CALL : CT_ENTER_RESUMED, err);
	case CT_PYR_RETURN:
		if (n < 3 || w[2] >= b->base.ncode)
			break;
		ret = be_in(b, t, w[1], 0, (ct_u32)w[2], err);
		if (!ret)
			ret = pop(b, t, arg ? CT_LEAVE_YIELD : CT_LEAVE_RETURN, b->has_result ? &b->result : NULL, err);
		b->has_result = false;
		return ret;
	case CT_PYR_NATIVE:
		if (n < 3 || (ct_u32)w[2] >= b->base.ncode || w[2] >> 32 >= b->nnative)
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
		struct ct_step_known_code *e;

		if (n < 4 || (ct_u32)w[3] >= b->base.ncode)
			break;
		if (ct_pysteps_in_native(b, b->tid, w[1]) && /* that is whose exception it is, too */
		    (pop_to(b, t, CT_PYA_CALLEE(w[1]), &found, err) ||
		     pop(b, t, CT_LEAVE_EXCEPTION, b->has_exc ? &b->exc : NULL, err)))
			return -1;
		if (be_in(b, t, w[1], w[2], (ct_u32)w[3], err))
			return -1;
		top(t)->awaits = false;
		e = &b->base.code[(ct_u32)w[3]];
		if (w[3] >> 32 < e->code.count && e->code.lines[w[3] >> 32] > 0)
			top(t)->line = (ct_u32)e->code.lines[w[3] >> 32];
		ret = e->wanted && (ct_step_function(&b->base, e, err) ||
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
			ct_arena_reset(&b->base.arena);
		if (record(b, words + i, n, err))
			return -1;
		i += n;
	}
	return 0;
}
