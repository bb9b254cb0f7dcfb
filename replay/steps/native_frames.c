// SPDX-License-Identifier: MIT
/* Calls of native functions that are going on, thread by thread. They are told apart by where their frames are: what
 * returns does so to its return address with the stack as it was; what an exception or longjmp has left is found gone
 * the next time that the thread is seen. */
#include <stdlib.h>
#include <string.h>

#include "replay/steps/native_priv.h"
#include "replay/tracee.h"

struct native_thread *ct_native_thread(struct ct_native *n, ct_u32 tid)
{
	struct native_thread *more;

	for (size_t i = 0; i < n->nthreads; i++)
		if (n->thread[i].tid == tid)
			return &n->thread[i];
	more = realloc(n->thread, (n->nthreads + 1) * sizeof(*more));
	if (!more)
		return NULL;
	n->thread = more;
	more[n->nthreads] = (struct native_thread){.tid = tid};
	return &more[n->nthreads++];
}

static void free_frame(struct native_frame *f)
{
	for (size_t i = 0; i < f->nvars; i++)
		free(f->var[i].name);
	free(f->var);
}

static void free_thread(struct native_thread *t)
{
	while (t->depth)
		free_frame(&t->frame[--t->depth]);
	free(t->frame);
	free(t->type);
}

void ct_native_forget_thread(struct ct_native *n, ct_u32 tid)
{
	for (size_t i = 0; i < n->nthreads; i++)
		if (n->thread[i].tid == tid) {
			free_thread(&n->thread[i]);
			n->thread[i] = n->thread[--n->nthreads];
			return;
		}
}

void ct_native_free_threads(struct ct_native *n)
{
	for (size_t i = 0; i < n->nthreads; i++)
		free_thread(&n->thread[i]);
	free(n->thread);
	n->thread = NULL;
	n->nthreads = 0;
}

size_t ct_native_wanted(const struct native_code *code, int at, struct native_want *want, size_t most)
{
	size_t count = 0, unwound = 0;

	for (; at >= 0; at = code->scopes.list[at].parent, unwound++)
		if (code->function[at] != NATIVE_NONE && count < most)
			want[count++] = (struct native_want){code->function[at], unwound, &code->scopes.list[at],
							     code->scopes.list[at].parent >= 0};
	for (size_t i = 0; i < count / 2; i++) { /* outermost first */
		const struct native_want swap = want[i];

		want[i] = want[count - 1 - i];
		want[count - 1 - i] = swap;
	}
	return count;
}

struct native_frame *ct_native_push(struct ct_native *n, struct native_thread *t, const struct native_frame *f,
				    enum ct_enter how, struct ct_error *err)
{
	struct native_image *im = ct_native_image(n, t->pid);
	struct native_frame *more;

	if (ct_native_tell_function(n, f->function, err) ||
	    NATIVE_TELL(call, t->tid, n->function[f->function].id, n->function[f->function].line, ++n->runs, how) ||
	    (f->ret && im && ct_native_add_return(n, im, f->ret, err)))
		return NULL;
	if (!(t->depth & (t->depth - 1))) {
		more = realloc(t->frame, (t->depth ? t->depth * 2 : 1) * sizeof(*more));
		if (!more) {
			ct_fail_memory(err);
			return NULL;
		}
		t->frame = more;
	}
	t->frame[t->depth] = *f;
	return &t->frame[t->depth++];
}

int ct_native_pop(struct ct_native *n, struct native_thread *t, enum ct_leave how, const struct ct_value *v,
		  struct ct_error *err)
{
	const struct native_frame *f = ct_native_top(t);
	const int ret = NATIVE_TELL(leave, t->tid, n->function[f->function].id, f->line, how, v);

	free_frame(&t->frame[--t->depth]);
	return ret;
}

int ct_native_unwound(struct ct_native *n, struct native_thread *t, ct_u64 cfa, struct ct_error *err)
{
	const struct native_frame *f;

	while ((f = ct_native_top(t)) && f->stack == t->high && f->cfa < cfa) {
		const struct ct_value v = {.tag = CT_VALUE_RAW,
					   .type = !t->raised ? "longjmp"
						   : t->type  ? t->type
							      : "exception",
					   .address = t->raised ? t->object : 0};

		if (ct_native_pop(n, t, CT_LEAVE_EXCEPTION, &v, err))
			return -1;
	}
	return 0;
}
