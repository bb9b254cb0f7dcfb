// SPDX-License-Identifier: MIT
/* Native steps: what it means that a thread has come to a place. */
#include <libiberty/demangle.h>
#include <stdlib.h>
#include <string.h>

#include "replay/steps/native_priv.h"
#include "replay/tracee.h"

#define MOST_INLINED 64 /* in one another, of one function */

/* Everything that follows ran before the session's next event. */
int ct_native_moment(struct ct_native *n, struct ct_error *err)
{
	const struct ct_event *ev;
	struct ct_error ignored;
	const int got = ct_session_next(n->s, &ev, &ignored);
	const ct_u64 seq = got > 0 ? ev->seq : n->seq + 1;

	if (ct_agents_settle(n->agents, err))
		return -1;
	if (seq == n->seq)
		return 0;
	n->seq = seq;
	return NATIVE_TELL(event, seq, ct_session_last_ns(n->s));
}

struct native_thread *ct_native_known(struct ct_native *n, ct_u32 tid, struct ct_error *err)
{
	const size_t known = n->nthreads;
	struct native_thread *t = ct_native_thread(n, tid);
	struct ct_session_thread *list;
	size_t count;
	ct_u32 pid = 0;

	if (!t) {
		ct_fail_memory(err);
		return NULL;
	}
	if (known == n->nthreads)
		return t;
	if (ct_session_threads(n->s, &list, &count, err))
		return NULL;
	for (size_t i = 0; i < count; i++)
		if (list[i].tid == tid)
			pid = list[i].pid;
	free(list);
	t->pid = pid;
	return NATIVE_TELL(thread, tid, pid) ? NULL : t;
}

/* Which mapping the thread's stack is in. A stack grows downwards; its end stays. */
int ct_native_find_stack(struct ct_native *n, struct native_thread *t, ct_u64 sp, struct ct_error *err)
{
	struct ct_maps maps;

	if (sp >= t->low && sp < t->high)
		return 0;
	if (ct_session_maps(n->s, t->pid, &maps, err))
		return -1;
	for (size_t i = 0; i < maps.count; i++)
		if (sp >= maps.map[i].start && sp < maps.map[i].end) {
			t->low = maps.map[i].start;
			t->high = maps.map[i].end;
		}
	ct_maps_deinit(&maps);
	return 0;
}

/* The innermost frame with what is inlined there, and its caller's, for locations that speak of that one's registers.
 */
static int unwind(struct ct_native *n, struct native_thread *t, size_t inlined, struct ct_dwarf_stack *stack,
		  struct ct_error *err)
{
	return ct_symbols_unwind(ct_native_image(n, t->pid)->symbols, t->tid, 2 + inlined, stack, err);
}

static struct ct_dwarf_place place_of(const struct ct_native *n, const struct native_thread *t,
				      const struct ct_dwarf_stack *stack, size_t frame)
{
	struct ct_symbols *symbols = ct_native_image(n, t->pid)->symbols;

	return (struct ct_dwarf_place){
		.d = ct_symbols_dwarf(symbols), .mem = ct_symbols_memory(symbols), .stack = stack, .frame = frame};
}

static int entered(struct ct_native *n, struct native_thread *t, const struct native_code *code, ct_u64 sp,
		   struct ct_error *err)
{
	const ct_u32 function = code->function[0];
	const struct native_frame *top;
	struct native_frame f = {.cfa = sp + 8, .stack = t->high, .function = function, .entry = code->f.entry};

	if (ct_session_read(n->s, t->pid, sp, &f.ret, 8, err) || ct_native_unwound(n, t, f.cfa, err))
		return -1;
	while ((top = ct_native_top(t)) && top->stack == f.stack && top->cfa == f.cfa) {
		if (top->function == function && !top->line && !top->inlined)
			return 0; /* told of twice: an event came in between */
		/* Instead of a call at its end it has jumped here. */
		if (ct_native_pop(n, t, CT_LEAVE_RETURN, NULL, err))
			return -1;
	}
	return function == NATIVE_NONE || ct_native_push(n, t, &f, CT_ENTER_CALL, err) ? 0 : -1;
}

static int returned(struct ct_native *n, struct native_thread *t, ct_u64 addr, ct_u64 sp, struct ct_error *err)
{
	size_t i = t->depth;
	const struct native_frame *f;

	while (i > 0 && (t->frame[i - 1].stack != t->high || t->frame[i - 1].cfa < sp))
		i--;
	if (!i || t->frame[i - 1].cfa != sp || t->frame[i - 1].ret != addr)
		return 0;
	while (t->depth > i)
		if (t->frame[t->depth - 1].stack == t->high ? ct_native_unwound(n, t, sp, err)
							    : ct_native_pop(n, t, CT_LEAVE_RETURN, NULL, err))
			return -1;
	/* With it what is inlined in it: nothing says where that has its result. */
	while ((f = ct_native_top(t)) && f->stack == t->high && f->cfa == sp) {
		const struct native_code *code =
			f->inlined ? NULL : ct_native_code(ct_native_image(n, t->pid), f->entry);
		const struct ct_value *v = NULL;
		struct ct_dwarf_stack stack;
		int ret;

		if (code && unwind(n, t, 0, &stack, err))
			return -1;
		if (code) {
			const struct ct_dwarf_place place = place_of(n, t, &stack, 0);

			v = ct_native_returned(n, &code->f, &place);
		}
		ret = ct_native_pop(n, t, CT_LEAVE_RETURN, v, err);
		if (code)
			ct_dwarf_stack_free(&stack);
		if (ret)
			return -1;
	}
	return 0;
}

static bool is_frame(const struct native_frame *f, const struct native_want *want)
{
	return f->function == want->function && f->inlined == want->inlined &&
	       (!f->inlined || f->entry == want->scope->entry);
}

/* Lets the calls of the frame at `cfa` be those that debug information says there are at `addr`. */
static int match_frames(struct ct_native *n, struct native_thread *t, const struct native_want *want, size_t count,
			ct_u64 cfa, ct_u64 addr, struct ct_error *err)
{
	size_t first = t->depth, same = 0;
	bool late;

	while (first > 0 && t->frame[first - 1].stack == t->high && t->frame[first - 1].cfa == cfa)
		first--;
	while (same < count && first + same < t->depth && is_frame(&t->frame[first + same], &want[same]))
		same++;
	/* At its beginning again: it is inlined in a loop. */
	if (same && want[same - 1].inlined && addr == want[same - 1].scope->entry && t->frame[first + same - 1].moved)
		same--;
	while (t->depth > first + same)
		if (ct_native_pop(n, t, CT_LEAVE_RETURN, NULL, err))
			return -1;
	/* Nobody saw the function around begin. */
	late = !same && count && !want[0].inlined;
	for (size_t i = same; i < count; i++) {
		struct native_frame f = {.cfa = cfa,
					 .stack = t->high,
					 .function = want[i].function,
					 .entry = want[i].scope->entry,
					 .inlined = want[i].inlined},
				    *top = ct_native_top(t);
		const ct_u32 line = want[i].scope->call_line;

		if (want[i].inlined && top && top->cfa == cfa && line && top->line != line) {
			top->line = line;
			if (NATIVE_TELL(step, t->tid, n->function[top->function].id, line))
				return -1;
		}
		ct_session_read(n->s, t->pid, cfa - 8, &f.ret, 8, NULL);
		if (!ct_native_push(n, t, &f, late ? CT_ENTER_ATTACHED : CT_ENTER_CALL, err))
			return -1;
	}
	for (size_t i = 0; i < count; i++)
		t->frame[first + i].moved |= addr != want[i].scope->entry;
	return 0;
}

static int at_line(struct ct_native *n, struct native_thread *t, const struct native_point *p,
		   const struct native_code *code, struct ct_error *err)
{
	struct native_want want[MOST_INLINED];
	const size_t count = ct_native_wanted(code, p->scope, want, MOST_INLINED);
	struct ct_dwarf_stack stack;
	struct native_frame *f;
	ct_u64 cfa;
	int ret = 0;

	if (unwind(n, t, count ? want[0].unwound : 0, &stack, err))
		return -1;
	cfa = stack.n ? stack.frame[0].cfa : 0;
	if (!cfa || ct_native_unwound(n, t, cfa, err)) {
		ct_dwarf_stack_free(&stack);
		return cfa ? -1 : 0;
	}
	t->raised = false; /* caught, or this cleans up, and then _Unwind_Resume is called */
	/* Calls on another stack that were left from there. */
	for (size_t i = t->depth; count && i > 0 && !ret; i--)
		if (t->frame[i - 1].cfa == cfa && is_frame(&t->frame[i - 1], &want[0]) &&
		    t->frame[i - 1].stack == t->high)
			while (t->depth > i && t->frame[t->depth - 1].cfa != cfa && !ret)
				ret = ct_native_pop(n, t, CT_LEAVE_EXCEPTION, NULL, err);
	ret = ret || match_frames(n, t, want, count, cfa, p->addr, err) ? -1 : 0;
	f = ct_native_top(t);
	/* Its own line, not one of something within that nobody has chosen. */
	if (!ret && count && !want[count - 1].unwound && !p->line)
		f->away = true;
	else if (!ret && count && !want[count - 1].unwound && (f->line != p->line || !f->begun || f->away)) {
		const struct ct_dwarf_place place = place_of(n, t, &stack, 0);

		ret = ct_native_variables(n, t, f, &place, err);
		f->begun = true;
		f->away = false;
		f->line = p->line;
		ret = ret || NATIVE_TELL(step, t->tid, n->function[f->function].id, p->line) ? -1 : 0;
	}
	ct_dwarf_stack_free(&stack);
	return ret;
}

/* The type that a std::type_info speaks of. */
static char *type_of(struct ct_native *n, ct_u32 pid, ct_u64 info)
{
	static const char words[] = "typeinfo for ";
	char symbol[256] = "_ZTI", *text;
	ct_u64 name;

	if (ct_session_read(n->s, pid, info + 8, &name, 8, NULL))
		return NULL;
	for (size_t i = 4; i < sizeof(symbol) - 1; i++) {
		if (ct_session_read(n->s, pid, name + i - 4, &symbol[i], 1, NULL))
			return NULL;
		if (!symbol[i])
			break;
		/* It is of this file only. */
		if (i == 4 && symbol[i] == '*') {
			name++;
			i--;
		}
	}
	text = cplus_demangle(symbol, DMGL_ANSI | DMGL_PARAMS);
	if (text && !strncmp(text, words, sizeof(words) - 1))
		memmove(text, text + sizeof(words) - 1, strlen(text) - sizeof(words) + 2);
	return text ? text : strdup(symbol + 4);
}

static int raised(struct ct_native *n, struct native_thread *t, struct ct_error *err)
{
	const struct native_frame *f = ct_native_top(t);
	const struct ct_value v = {.tag = CT_VALUE_RAW, .type = t->type ? t->type : "exception", .address = t->object};

	t->raised = true;
	return f ? NATIVE_TELL(raise, t->tid, n->function[f->function].id, f->line, &v) : 0;
}

static int jumps(struct ct_native *n, struct native_thread *t, unsigned what, const struct ct_regs *regs,
		 struct ct_error *err)
{
	struct native_image *im = ct_native_image(n, t->pid);
	unsigned i = 0;

	while (i < NATIVE_JUMPS && im->jump[i].buffer != regs->r[CT_RDI])
		i++;
	if (what & NATIVE_SETJMP) {
		im->jump[i < NATIVE_JUMPS ? i : im->next_jump++ % NATIVE_JUMPS] =
			(struct native_jump){regs->r[CT_RDI], regs->r[CT_RSP] + 8};
		return 0;
	}
	t->raised = false;
	return i < NATIVE_JUMPS ? ct_native_unwound(n, t, im->jump[i].sp + 1, err) : 0;
}

/* In the C++ run-time library, or the one that unwinds for all languages. */
static int in_library(struct ct_native *n, struct native_thread *t, unsigned what, const struct ct_regs *regs,
		      struct ct_error *err)
{
	if (what & (NATIVE_SETJMP | NATIVE_LONGJMP))
		return jumps(n, t, what, regs, err);
	/* It was called from a frame that ends above its return address. */
	if (ct_native_unwound(n, t, regs->r[CT_RSP] + 9, err))
		return -1;
	if (what & NATIVE_CATCH)
		t->raised = false;
	if (what & NATIVE_RESUME) /* what cleans up may have had exceptions of its own */
		t->raised = true;
	if (what & NATIVE_THROW) {
		free(t->type);
		t->type = type_of(n, t->pid, regs->r[CT_RSI]);
		t->object = regs->r[CT_RDI];
	}
	if ((what & NATIVE_RAISE) && !t->raised) {
		free(t->type);
		t->type = strdup("exception");
		t->object = regs->r[CT_RDI];
	}
	return (what & (NATIVE_THROW | NATIVE_RETHROW)) || ((what & NATIVE_RAISE) && !t->raised) ? raised(n, t, err)
												 : 0;
}

int ct_native_stopped(struct ct_native *n, ct_u32 tid, ct_u64 addr, struct ct_error *err)
{
	struct native_thread *t = ct_native_known(n, tid, err);
	struct native_image *im = t ? ct_native_image(n, t->pid) : NULL;
	const struct native_point *at = im ? ct_native_point(im, addr) : NULL;
	const struct native_point p = at ? *at : (struct native_point){0}; /* it may move */
	struct ct_regs regs;
	ct_u64 sp;

	if (!at)
		return t ? 0 : -1;
	if (ct_session_regs(n->s, tid, &regs, err) || ct_native_moment(n, err))
		return -1;
	ct_symbols_read_from(im->symbols, t->pid);
	sp = regs.r[CT_RSP];
	if (ct_native_find_stack(n, t, sp, err) || ((p.what & NATIVE_RETURN) && returned(n, t, addr, sp, err)) ||
	    ((p.what & NATIVE_ENTRY) && entered(n, t, &im->code[p.code], sp, err)))
		return -1;
	if ((p.what & ~(NATIVE_ENTRY | NATIVE_LINE | NATIVE_RETURN)) && in_library(n, t, p.what, &regs, err))
		return -1;
	return p.what & NATIVE_LINE ? at_line(n, t, &p, &im->code[p.code], err) : 0;
}
