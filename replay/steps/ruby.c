// SPDX-License-Identifier: MIT
/* From the records of Ruby's agent to steps. Each thread and fiber has a stack of control frames, whose addresses fall
 * from the outermost one inwards: what lies below the frame of a record is gone. What left it, an exception or a jump
 * out of a block, is told then. */
#include "replay/steps/ruby.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/steps/ruby_priv.h"

struct ct_rbsteps *ct_rbsteps_create(const struct ct_step_sink *sink, const struct ct_step_filter *filter)
{
	struct ct_rbsteps *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	ct_step_builder_init(&b->base, sink, filter);
	return b;
}

void ct_rbsteps_destroy(struct ct_rbsteps *b)
{
	if (!b)
		return;
	ct_step_builder_deinit(&b->base);
	for (size_t i = 0; i < b->nthreads; i++)
		free(b->thread[i].on);
	free(b->thread);
	for (size_t i = 0; i < b->nstacks; i++) {
		free(b->stack[i]->frame);
		free(b->stack[i]);
	}
	free(b->stack);
	free(b);
}

long ct_rbsteps_type(struct ct_rbsteps *b, const char *name)
{
	return ct_step_add_text(&b->base.type, name);
}
long ct_rbsteps_text(struct ct_rbsteps *b, const char *text)
{
	return ct_step_add_text(&b->base.text, text);
}

long ct_rbsteps_code(struct ct_rbsteps *b, struct ct_step_code *c, bool *wanted)
{
	return ct_step_add_code(&b->base, c, wanted);
}

long ct_rbsteps_native(struct ct_rbsteps *b, char *name, bool hidden)
{
	struct ct_step_code c = {.name = name ? name : strdup("?"), .count = 1};
	bool wanted;
	long id = c.name ? ct_step_add_code(&b->base, &c, &wanted) : -1;

	if (id >= 0)
		b->base.code[id].wanted = !hidden;
	return id;
}

static bool is_native(const struct ct_rbsteps *b, const struct ct_rbframe *f)
{
	return !b->base.code[f->code].code.file;
}

/* ---- threads, stacks, frames ------------------------------------------------------------------------------------ */

static struct ct_rbthread *thread(struct ct_rbsteps *b, ct_u32 tid)
{
	for (size_t i = 0; i < b->nthreads; i++)
		if (b->thread[i].tid == tid)
			return &b->thread[i];
	if (!GROW(b->thread, b->nthreads))
		return NULL;
	b->thread[b->nthreads] = (struct ct_rbthread){.tid = tid};
	return &b->thread[b->nthreads++];
}

static struct ct_rbstack *current(struct ct_rbsteps *b)
{
	struct ct_rbthread *t = thread(b, b->tid);

	return t && t->depth ? t->on[t->depth - 1] : NULL;
}

static struct ct_rbframe *top(struct ct_rbstack *s)
{
	return s && s->depth ? &s->frame[s->depth - 1] : NULL;
}

static struct ct_rbstack *new_stack(struct ct_rbsteps *b, ct_u64 id)
{
	struct ct_rbstack *s = calloc(1, sizeof(*s));

	if (!s || !GROW(b->stack, b->nstacks)) {
		free(s);
		return NULL;
	}
	s->id = id;
	return b->stack[b->nstacks++] = s;
}

/* A stack that another process has a copy of, at the same address, is another one: it is on its own thread. */
static struct ct_rbstack *find_stack(struct ct_rbsteps *b, ct_u64 id)
{
	for (size_t i = 0; i < b->nstacks; i++) {
		bool elsewhere = false;

		if (b->stack[i]->id != id)
			continue;
		for (size_t t = 0; t < b->nthreads; t++)
			for (size_t k = 0; k < b->thread[t].depth; k++)
				elsewhere |= b->thread[t].on[k] == b->stack[i] && b->thread[t].tid != b->tid;
		if (!elsewhere)
			return b->stack[i];
	}
	return new_stack(b, id);
}

/* All frames of a stack, at once: `how` they are left or entered again. */
static int sleep_frames(struct ct_rbsteps *b, struct ct_rbstack *s, struct ct_error *err)
{
	for (size_t i = s->depth; i-- > 0;) {
		struct ct_step_known_code *e = &b->base.code[s->frame[i].code];

		if (e->wanted && TELL(leave, b->tid, e->function, s->frame[i].line, CT_LEAVE_YIELD, NULL))
			return -1;
	}
	return 0;
}
static int wake_frames(struct ct_rbsteps *b, struct ct_rbstack *s, struct ct_error *err)
{
	for (size_t i = 0; i < s->depth; i++) {
		struct ct_step_known_code *e = &b->base.code[s->frame[i].code];

		if (e->wanted && TELL(call, b->tid, e->function, s->frame[i].line, s->frame[i].run, CT_ENTER_RESUMED))
			return -1;
	}
	return 0;
}

static int push(struct ct_rbsteps *b, struct ct_rbstack *s, ct_u64 frame, ct_u32 code, enum ct_enter how,
		struct ct_error *err)
{
	struct ct_step_known_code *e = &b->base.code[code];

	if (!GROW(s->frame, s->depth))
		return ct_fail_memory(err);
	s->frame[s->depth++] =
		(struct ct_rbframe){.frame = frame, .code = code, .line = e->code.first_line, .run = ++b->runs};
	if (!e->wanted)
		return 0;
	return ct_step_function(&b->base, e, err) || TELL(call, b->tid, e->function, e->code.first_line, b->runs, how)
		       ? -1
		       : 0;
}

/* `last`: no other one will be left by the same jump. */
static int pop(struct ct_rbsteps *b, struct ct_rbstack *s, const struct ct_value *v, bool last, struct ct_error *err)
{
	struct ct_rbframe *f = top(s);
	struct ct_step_known_code *e = &b->base.code[f->code];
	struct ct_value exc = {.tag = CT_VALUE_RAW, .type = f->exception.type, .address = f->exception.address};
	const bool raised = !v && exc.address;

	if (!v && !raised && b->has_away && (b->breaks || last)) {
		v = &b->away;
		b->has_away = false;
	}
	s->depth--;
	if (raised && s->depth) /* comes to the next one */
		top(s)->exception = f->exception;
	if (!e->wanted)
		return 0;
	return TELL(leave, b->tid, e->function, f->line, raised ? CT_LEAVE_EXCEPTION : CT_LEAVE_RETURN,
		    raised ? &exc : v);
}

/* Frames further in than this one are gone; with `itself`, this one too. */
static int pop_below(struct ct_rbsteps *b, struct ct_rbstack *s, ct_u64 frame, bool itself, struct ct_error *err)
{
	while (s->depth && (top(s)->frame < frame || (itself && top(s)->frame == frame))) {
		const struct ct_rbframe *next = s->depth > 1 ? top(s) - 1 : NULL;

		if (pop(b, s, NULL, !next || next->frame > frame || (!itself && next->frame == frame), err))
			return -1;
	}
	return 0;
}

/* The thread goes on with this stack: one that resumed the present one, or one that this one resumes. */
static int on_stack(struct ct_rbsteps *b, ct_u64 id, struct ct_error *err)
{
	struct ct_rbthread *t = thread(b, b->tid);
	struct ct_rbstack *s;
	size_t at;

	if (!t)
		return ct_fail_memory(err);
	for (at = t->depth; at && t->on[at - 1]->id != id;)
		at--;
	while (t->depth && (at ? t->depth > at : !t->on[t->depth - 1]->depth)) {
		/* Fibers that have ended have no frames, or ended by an exception that left them all. */
		s = t->on[t->depth - 1];
		if (top(s) && top(s)->exception.address ? pop_below(b, s, ~(ct_u64)0, true, err)
							: sleep_frames(b, s, err))
			return -1;
		t->depth--;
	}
	if (at)
		return 0;
	s = find_stack(b, id);
	if (!s || !GROW(t->on, t->depth))
		return ct_fail_memory(err);
	t->on[t->depth++] = s;
	return wake_frames(b, s, err);
}

/* The innermost frame is to be this one, whatever was seen of it. */
static struct ct_rbframe *be_in(struct ct_rbsteps *b, struct ct_rbstack *s, ct_u64 frame, ct_u32 code,
				struct ct_error *err)
{
	if (pop_below(b, s, frame, false, err))
		return NULL;
	if ((!s->depth || top(s)->frame != frame) && push(b, s, frame, code, CT_ENTER_ATTACHED, err))
		return NULL;
	return top(s);
}

/* ---- records -------------------------------------------------------------------------------------------------- */

static int on_value(struct ct_rbsteps *b, struct ct_rbstack *s, const ct_u64 *w, size_t n, struct ct_error *err)
{
	const ct_u32 slot = w[0] >> 8 & 0xffffff;
	struct ct_step_known_code *e;
	const char *variable;
	char number[16];
	struct ct_value v;

	if (n < 3 || !ct_rbsteps_value(b, w + 2, n - 2, &v))
		return ct_fail(err, CT_EXIT_FAILED, "the agent wrote a value that cannot be read");
	if (slot == CT_PYSLOT_RESULT || slot == CT_PYSLOT_EXC) {
		*(slot == CT_PYSLOT_EXC ? &b->exc : &b->result) = v;
		*(slot == CT_PYSLOT_EXC ? &b->has_exc : &b->has_result) = true;
		return 0;
	}
	if (pop_below(b, s, w[1], false, err))
		return -1;
	if (slot == CT_RBR_BREAK || slot == CT_RBR_AWAY) {
		b->away = v;
		b->has_away = true;
		b->breaks = slot == CT_RBR_BREAK;
		return 0;
	}
	if (!top(s) || top(s)->frame != w[1])
		return 0;
	e = &b->base.code[top(s)->code];
	if (!e->wanted)
		return 0;
	if (is_native(b, top(s))) {
		snprintf(number, sizeof(number), slot == CT_RBR_SELF ? "self" : "arg%u", slot + 1);
		return TELL(argument, b->tid, number, &v);
	}
	variable = slot == CT_RBR_SELF ? "self" : slot < e->code.nvars ? e->code.variable[slot] : NULL;
	if (!variable)
		return 0;
	if (b->arguments && (slot < e->code.nargs || slot == CT_RBR_SELF))
		return TELL(argument, b->tid, variable, &v);
	return TELL(value, b->tid, variable, &v);
}

/* One whose beginning was not told of has no end either. */
static int on_native_return(struct ct_rbsteps *b, struct ct_rbstack *s, ct_u64 frame, ct_u32 code, struct ct_error *err)
{
	const struct ct_value *v = b->has_result ? &b->result : NULL;
	int ret = pop_below(b, s, frame, false, err);

	b->has_result = false;
	if (ret || !top(s) || top(s)->frame != frame || top(s)->code != code)
		return ret;
	top(s)->exception.address = 0;
	return pop(b, s, v, true, err);
}

static int on_place(struct ct_rbsteps *b, struct ct_rbstack *s, unsigned type, const ct_u64 *w, size_t n,
		    struct ct_error *err)
{
	const ct_u32 code = (ct_u32)w[2], pos = (ct_u32)(w[2] >> 32);
	struct ct_step_known_code *e;
	struct ct_rbframe *f;
	int ret = 0;

	if (code >= b->base.ncode || pos >= b->base.code[code].code.count)
		return ct_fail(err, CT_EXIT_FAILED, "the agent wrote a place that cannot be read");
	e = &b->base.code[code];
	if (type == CT_RBR_ENTER) {
		b->arguments = true;
		if (n > 3 && pop_below(b, s, w[3], false, err))
			return -1;
		return pop_below(b, s, w[1], true, err) ? -1 : push(b, s, w[1], code, CT_ENTER_CALL, err);
	}
	if (!e->code.file)
		return on_native_return(b, s, w[1], code, err);
	f = be_in(b, s, w[1], code, err);
	if (!f)
		return -1;
	e = &b->base.code[code];
	if (e->wanted && type != CT_RBR_RETURN)
		f->line = (ct_u32)e->code.lines[pos];
	if (!e->code.ensure) {
		b->has_away = false;
		if (type != CT_RBR_RAISE)
			f->exception.address = 0; /* it has been rescued */
	}
	switch (type) {
	case CT_RBR_LINE:
		if (e->wanted)
			ret = ct_step_function(&b->base, e, err) || TELL(step, b->tid, e->function, f->line) ? -1 : 0;
		break;
	case CT_RBR_RETURN: {
		const struct ct_value none = {.tag = CT_VALUE_NONE, .type = "NilClass"};

		ret = pop(b, s, b->has_result ? &b->result : &none, true, err);
		b->has_result = false;
		break;
	}
	case CT_RBR_RAISE:
		f->exception = (struct ct_rb_exception){b->has_exc ? b->exc.address : 1,
							b->has_exc ? b->exc.type : "Exception"};
		if (e->wanted)
			ret = ct_step_function(&b->base, e, err) ||
					      TELL(raise, b->tid, e->function, f->line, b->has_exc ? &b->exc : NULL)
				      ? -1
				      : 0;
		b->has_exc = false;
	}
	return ret;
}

/* What was raised in a method written in C has left it; or has not. */
static int settle(struct ct_rbsteps *b, const struct ct_rbstack *rescues, struct ct_error *err)
{
	struct ct_rbstack *s = b->raised;
	const struct ct_value *v = b->has_exc ? &b->exc : NULL;
	struct ct_step_known_code *e;

	b->raised = NULL;
	if (!s || !top(s))
		return 0;
	if (s == rescues) {
		e = &b->base.code[top(s)->code];
		b->has_exc = false;
		return ct_step_function(&b->base, e, err) || TELL(raise, b->tid, e->function, 0, v) ? -1 : 0;
	}
	top(s)->exception = (struct ct_rb_exception){v ? v->address : 1, v ? v->type : "Exception"};
	return on_place(b, s, CT_RBR_RAISE, b->raised_record, 3, err);
}

/* The child's only thread is a copy of this one. */
static int on_fork(struct ct_rbsteps *b, ct_u32 tid, struct ct_error *err)
{
	struct ct_rbthread *child = thread(b, tid), *t = thread(b, b->tid); /* the list may have moved */

	child = child ? thread(b, tid) : NULL;
	if (!child || !t)
		return ct_fail_memory(err);
	child->depth = 0;
	for (size_t i = 0; i < t->depth; i++) {
		struct ct_rbstack *s = new_stack(b, t->on[i]->id);

		if (!s || !GROW(child->on, child->depth))
			return ct_fail_memory(err);
		for (size_t k = 0; k < t->on[i]->depth; k++) {
			if (!GROW(s->frame, s->depth))
				return ct_fail_memory(err);
			s->frame[s->depth++] = t->on[i]->frame[k];
		}
		child->on[child->depth++] = s;
	}
	return 0;
}

/* An exception that nobody has rescued has left what it had come to. */
static int on_end(struct ct_rbsteps *b, ct_u32 tid, struct ct_error *err)
{
	const ct_u32 now = b->tid;
	struct ct_rbthread *t = thread(b, tid);
	int ret = 0;

	if (!t)
		return ct_fail_memory(err);
	b->tid = tid;
	for (; t->depth && !ret; t->depth--)
		if (top(t->on[t->depth - 1]) && top(t->on[t->depth - 1])->exception.address)
			ret = pop_below(b, t->on[t->depth - 1], ~(ct_u64)0, true, err);
	b->tid = now;
	return ret;
}

static int record(struct ct_rbsteps *b, const ct_u64 *w, size_t n, struct ct_error *err)
{
	const unsigned type = w[0] & 255;
	struct ct_rbthread *t;
	struct ct_rbstack *s;

	if (n < 2)
		goto bad;
	if (b->raised && settle(b, type == CT_RBR_RESCUED ? current(b) : NULL, err))
		return -1;
	if (type != CT_RBR_VALUE)
		b->arguments = false;
	switch (type) {
	case CT_PYR_THREAD: b->tid = (ct_u32)w[1]; return 0;
	case CT_PYR_FORK: return on_fork(b, (ct_u32)w[1], err);
	case CT_PYR_IMAGE:
		t = thread(b, b->tid);
		while (t && t->depth) {
			if (pop_below(b, t->on[t->depth - 1], ~(ct_u64)0, true, err))
				return -1;
			t->depth--;
		}
		return 0;
	case CT_RBR_STACK: return on_stack(b, w[1], err);
	case CT_RBR_END: return on_end(b, (ct_u32)w[1], err);
	}
	s = current(b);
	if (!s || n < 3)
		goto bad;
	switch (type) {
	case CT_RBR_FRAME:
		if (w[2] >= b->base.ncode)
			goto bad;
		for (size_t i = 0; i < s->depth; i++)
			if (s->frame[i].frame == w[1]) /* known from the session before this one */
				return 0;
		return pop_below(b, s, w[1], true, err) || push(b, s, w[1], (ct_u32)w[2], CT_ENTER_ATTACHED, err) ? -1
														  : 0;
	case CT_RBR_VALUE: return on_value(b, s, w, n, err);
	case CT_RBR_RESCUED: return 0;
	case CT_RBR_RAISE:
		if (top(s) && top(s)->frame < w[1] && is_native(b, top(s))) {
			memcpy(b->raised_record, w, sizeof(b->raised_record));
			b->raised = s;
			return 0;
		}
		/* fallthrough */
	case CT_RBR_ENTER:
	case CT_RBR_LINE:
	case CT_RBR_RETURN: return on_place(b, s, type, w, n, err);
	}
bad:
	return ct_fail(err, CT_EXIT_FAILED, "the agent wrote a record that cannot be read (type %u)", type);
}

/* Whether the method that is written in C has rescued it nobody will know: it was raised there. */
int ct_rbsteps_end(struct ct_rbsteps *b, struct ct_error *err)
{
	return b->raised ? settle(b, b->raised, err) : 0;
}

int ct_rbsteps_records(struct ct_rbsteps *b, const ct_u64 *words, size_t count, struct ct_error *err)
{
	for (size_t i = 0; i < count;) {
		size_t n = words[i] >> 32;

		if (n < 1 || n > count - i)
			return ct_fail(err, CT_EXIT_FAILED, "the agent wrote a record of impossible length");
		if (!b->has_result && !b->has_exc && !b->has_away)
			ct_arena_reset(&b->base.arena);
		if (record(b, words + i, n, err))
			return -1;
		i += n;
	}
	return 0;
}
