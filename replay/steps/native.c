// SPDX-License-Identifier: MIT
/* Native steps: a session is run from stop to stop, and what each of them means is told. */
#include "replay/steps/native.h"

#include <libiberty/demangle.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "formats/event_access.h"
#include "formats/snapshot.h"
#include "formats/syscalls.h"
#include "replay/steps/native_priv.h"
#include "replay/tracee.h"

#define MOST_FRAMES 4096 /* of a stack that was there before */

bool ct_native_asked(const struct ct_step_filter *filter)
{
	return filter->files.count || filter->functions.count;
}

struct ct_native *ct_native_create(struct ct_agents *agents, const struct ct_step_limits *limits,
				   const struct ct_step_filter *filter, struct ct_error *err)
{
	struct ct_native *n = calloc(1, sizeof(*n));

	if (n)
		n->sink = ct_agents_native(agents);
	if (!n || !n->sink) {
		free(n);
		ct_fail_memory(err);
		return NULL;
	}
	n->agents = agents;
	n->limits = *limits;
	n->filter = filter;
	return n;
}

void ct_native_destroy(struct ct_native *n)
{
	if (!n)
		return;
	ct_native_end(n);
	ct_native_free_threads(n);
	ct_native_free_code(n);
	free(n->forks);
	ct_arena_free(&n->arena);
	free(n);
}

void ct_native_end(struct ct_native *n)
{
	if (!n)
		return;
	ct_symbols_destroy(n->symbols);
	n->symbols = NULL;
	n->s = NULL;
	for (size_t i = 0; i < n->nfunctions; i++)
		n->function[i].live = false;
}

size_t ct_native_functions(const struct ct_native *n)
{
	return n->nfunctions;
}

/* ---- what happens at a stop ------------------------------------------------------------------------------------- */

/* Everything that follows ran before the session's next event. */
static int tell_moment(struct ct_native *n, ct_u32 tid, struct ct_error *err)
{
	const struct ct_event *ev;
	struct ct_error ignored;
	const int got = ct_session_next(n->s, &ev, &ignored);
	const ct_u64 seq = got > 0 ? ev->seq : n->seq + 1;

	(void)tid;
	if (ct_agents_settle(n->agents, err))
		return -1;
	if (seq == n->seq)
		return 0;
	n->seq = seq;
	return NATIVE_TELL(event, seq, ct_session_last_ns(n->s));
}

static struct native_thread *thread_of(struct ct_native *n, ct_u32 tid, struct ct_error *err)
{
	const size_t known = n->nthreads;
	struct native_thread *t = ct_native_thread(n, tid);
	struct ct_session_thread *list;
	size_t count;
	ct_u32 pid = n->pid;

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
static int find_stack(struct ct_native *n, struct native_thread *t, ct_u64 sp, struct ct_error *err)
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

/* The innermost frame and its caller's, for locations that speak of that one's registers. */
static int unwind(struct ct_native *n, ct_u32 tid, struct ct_dwarf_stack *stack, struct ct_error *err)
{
	return ct_symbols_unwind(n->symbols, tid, 2, stack, err);
}

static int entered(struct ct_native *n, struct native_thread *t, const struct native_point *p, ct_u64 sp,
		   struct ct_error *err)
{
	const struct native_frame *top;
	struct native_frame f = {.cfa = sp + 8, .stack = t->high, .function = p->function};

	if (ct_session_read(n->s, t->pid, sp, &f.ret, 8, err) || ct_native_unwound(n, t, f.cfa, err))
		return -1;
	top = ct_native_top(t);
	if (top && top->stack == f.stack && top->cfa == f.cfa) {
		if (top->function == f.function && !top->line)
			return 0; /* told of twice: an event came in between */
		/* Instead of a call at its end it has jumped here. */
		if (ct_native_pop(n, t, CT_LEAVE_RETURN, NULL, err))
			return -1;
	}
	return ct_native_push(n, t, &f, CT_ENTER_CALL, err) ? 0 : -1;
}

static int returned(struct ct_native *n, struct native_thread *t, ct_u64 addr, ct_u64 sp, struct ct_error *err)
{
	size_t i = t->depth;
	struct ct_dwarf_stack stack;
	int ret;

	while (i > 0 && (t->frame[i - 1].stack != t->high || t->frame[i - 1].cfa < sp))
		i--;
	if (!i || t->frame[i - 1].cfa != sp || t->frame[i - 1].ret != addr)
		return 0;
	while (t->depth > i)
		if (t->frame[t->depth - 1].stack == t->high ? ct_native_unwound(n, t, sp, err)
							    : ct_native_pop(n, t, CT_LEAVE_RETURN, NULL, err))
			return -1;
	if (unwind(n, t->tid, &stack, err))
		return -1;
	ret = ct_native_pop(n, t, CT_LEAVE_RETURN,
			    ct_native_returned(n, &n->function[t->frame[i - 1].function],
					       &(struct ct_dwarf_place){.d = ct_symbols_dwarf(n->symbols),
									.mem = ct_symbols_memory(n->symbols),
									.stack = &stack}),
			    err);
	ct_dwarf_stack_free(&stack);
	return ret;
}

static int at_line(struct ct_native *n, struct native_thread *t, const struct native_point *p,
		   const struct ct_dwarf_stack *stack, struct ct_error *err)
{
	const struct ct_dwarf_place place = {
		.d = ct_symbols_dwarf(n->symbols), .mem = ct_symbols_memory(n->symbols), .stack = stack};
	const ct_u64 cfa = stack->n ? stack->frame[0].cfa : 0;
	struct native_frame *f;

	if (!cfa || ct_native_unwound(n, t, cfa, err))
		return cfa ? -1 : 0;
	t->raised = false; /* caught, or this cleans up, and then _Unwind_Resume is called */
	/* Calls on another stack that were left from there. */
	for (size_t i = t->depth; i > 0; i--)
		if (t->frame[i - 1].cfa == cfa && t->frame[i - 1].function == p->function)
			while (t->depth > i)
				if (ct_native_pop(n, t, CT_LEAVE_EXCEPTION, NULL, err))
					return -1;
	f = ct_native_top(t);
	if (!f || f->cfa != cfa || f->function != p->function) {
		/* Nobody saw it begin. */
		struct native_frame late = {.cfa = cfa, .stack = t->high, .function = p->function};

		ct_session_read(n->s, t->pid, cfa - 8, &late.ret, 8, NULL);
		f = ct_native_push(n, t, &late, CT_ENTER_ATTACHED, err);
		if (!f)
			return -1;
	}
	if (f->line == p->line && f->begun)
		return 0;
	if (ct_native_variables(n, t, f, &place, err))
		return -1;
	f->begun = true;
	f->line = p->line;
	return NATIVE_TELL(step, t->tid, n->function[f->function].id, p->line);
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
	unsigned i = 0;

	while (i < NATIVE_JUMPS && n->jump[i].buffer != regs->r[CT_RDI])
		i++;
	if (what & NATIVE_SETJMP) {
		n->jump[i < NATIVE_JUMPS ? i : n->next_jump++ % NATIVE_JUMPS] =
			(struct native_jump){regs->r[CT_RDI], regs->r[CT_RSP] + 8};
		return 0;
	}
	t->raised = false;
	return i < NATIVE_JUMPS ? ct_native_unwound(n, t, n->jump[i].sp + 1, err) : 0;
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

static int stopped_at(struct ct_native *n, ct_u32 tid, ct_u64 addr, struct ct_error *err)
{
	const struct native_point *at = ct_native_point(n, addr);
	const struct native_point p = at ? *at : (struct native_point){0}; /* it may move */
	struct ct_dwarf_stack stack;
	struct native_thread *t;
	struct ct_regs regs;
	ct_u64 sp;
	int ret;

	if (!at)
		return 0;
	if (ct_session_regs(n->s, tid, &regs, err) || tell_moment(n, tid, err) || !(t = thread_of(n, tid, err)))
		return -1;
	ct_symbols_read_from(n->symbols, t->pid);
	sp = regs.r[CT_RSP];
	if (find_stack(n, t, sp, err) || ((p.what & NATIVE_RETURN) && returned(n, t, addr, sp, err)) ||
	    ((p.what & NATIVE_ENTRY) && entered(n, t, &p, sp, err)))
		return -1;
	if ((p.what & ~(NATIVE_ENTRY | NATIVE_LINE | NATIVE_RETURN)) && in_library(n, t, p.what, &regs, err))
		return -1;
	if (!(p.what & NATIVE_LINE))
		return 0;
	if (unwind(n, tid, &stack, err))
		return -1;
	ret = at_line(n, t, &p, &stack, err);
	ct_dwarf_stack_free(&stack);
	return ret;
}

int ct_native_run(struct ct_native *n, ct_u64 end, struct ct_error *err)
{
	for (;;) {
		const int ret = ct_session_run(n->s, end, err);
		const struct ct_stop *stop;
		ct_u32 tid;

		if (ret != 1 || !(stop = ct_session_stopped(n->s, &tid)))
			return ret;
		if (stopped_at(n, tid, stop->addr, err))
			return -1;
		ct_session_pass_stop(n->s);
	}
}

/* ---- what is mapped --------------------------------------------------------------------------------------------- */

static bool is_ours(const struct ct_native *n, ct_u32 pid)
{
	for (size_t i = 0; i < n->nforks; i++)
		if (n->forks[i] == pid)
			return true;
	return n->pid == pid;
}

bool ct_native_wants(const struct ct_native *n, const struct ct_event *ev)
{
	const struct ct_ev_syscall *sc = ct_event_payload(ev);

	if (!n || !n->s)
		return false;
	switch (ev->type) {
	case CT_EV_FORK: return is_ours(n, ev->pid);
	case CT_EV_EXEC:
	case CT_EV_EXIT: return is_ours(n, ev->pid);
	case CT_EV_SNAPSHOT: return true;
	case CT_EV_SYSCALL:
		if (ev->pid != n->pid || sc->ret < 0)
			return false;
		return (sc->nr == SYS_mmap && (sc->args[2] & PROT_EXEC)) || sc->nr == SYS_munmap;
	}
	return false;
}

static int look(struct ct_native *n, struct ct_error *err)
{
	int changed;

	ct_symbols_read_from(n->symbols, n->pid);
	changed = ct_symbols_update(n->symbols, err);
	return changed < 0 ? -1 : changed ? ct_native_look(n, err) : 0;
}

/* Calls that are going on in a thread already. */
static int attached(struct ct_native *n, ct_u32 tid, struct ct_error *err)
{
	struct native_thread *t = thread_of(n, tid, err);
	struct ct_dwarf_stack stack;
	struct ct_regs regs;
	int ret = 0;

	if (!t || ct_session_regs(n->s, tid, &regs, err) || find_stack(n, t, regs.r[CT_RSP], err) ||
	    ct_symbols_unwind(n->symbols, tid, MOST_FRAMES, &stack, err))
		return -1;
	for (size_t i = stack.n; i-- > 0 && !ret;) {
		const struct ct_dwarf_frame *from = &stack.frame[i];
		const struct native_function *function;
		struct native_frame f = {.cfa = from->cfa, .stack = t->high}, *pushed;

		if (from->inlined || !from->has_function || !from->cfa ||
		    !(function = ct_native_function(n, from->function.entry)) || from->pc == function->f.entry)
			continue;
		f.function = (ct_u32)(function - n->function);
		f.ret = i + 1 < stack.n ? stack.frame[i + 1].pc : 0;
		pushed = ct_native_push(n, t, &f, CT_ENTER_ATTACHED, err);
		ret = pushed ? ct_native_variables(n, t, pushed,
						   &(struct ct_dwarf_place){.d = ct_symbols_dwarf(n->symbols),
									    .mem = ct_symbols_memory(n->symbols),
									    .stack = &stack,
									    .frame = i},
						   err)
			     : -1;
		if (pushed) {
			pushed->begun = true;
			pushed->line = from->has_line ? from->line.line : 0;
		}
	}
	ct_dwarf_stack_free(&stack);
	return ret;
}

int ct_native_begin(struct ct_native *n, struct ct_session *s, struct ct_recording *rec, ct_u32 image,
		    struct ct_error *err)
{
	struct ct_snapshot_reader *snap = ct_snapshot_open(ct_recording_dirfd(rec), image, err);
	struct ct_session_thread *list = NULL;
	size_t count = 0;
	int ret;

	if (!snap)
		return -1;
	n->pid = ct_snapshot_get(snap)->nprocs ? ct_snapshot_get(snap)->procs[0].pid : 0;
	ct_snapshot_reader_close(snap);
	n->nforks = 0;
	n->seq = 0;
	memset(n->jump, 0, sizeof(n->jump));
	ct_native_free_threads(n);
	n->symbols = ct_symbols_create_for(s, rec, n->pid, image, err);
	if (!n->symbols)
		return -1;
	n->s = s;
	ret = ct_native_look(n, err) || tell_moment(n, 0, err) || ct_session_threads(s, &list, &count, err) ? -1 : 0;
	for (size_t i = 0; i < count && !ret && n->npoints; i++)
		if (list[i].pid == n->pid)
			ret = attached(n, list[i].tid, err);
	free(list);
	return ret;
}

/* A new program: its calls are none of those that were. */
static int new_image(struct ct_native *n, ct_u32 pid, struct ct_error *err)
{
	for (size_t i = 0; i < n->nforks; i++)
		if (n->forks[i] == pid) {
			n->forks[i] = n->forks[--n->nforks];
			break;
		}
	if (pid != n->pid)
		return 0;
	for (size_t i = 0; i < n->nthreads; i++)
		while (n->thread[i].depth)
			if (ct_native_pop(n, &n->thread[i], CT_LEAVE_EXCEPTION, NULL, err))
				return -1;
	return 0;
}

/* What it was in never returns, as after longjmp. */
static int thread_ends(struct ct_native *n, ct_u32 tid, struct ct_error *err)
{
	const struct ct_value v = {.tag = CT_VALUE_RAW, .type = "exit"};

	for (size_t i = 0; i < n->nthreads; i++) {
		struct native_thread *t = &n->thread[i];

		if (t->tid != tid || !t->depth)
			continue;
		if (tell_moment(n, tid, err))
			return -1;
		while (t->depth)
			if (ct_native_pop(n, t, CT_LEAVE_EXCEPTION, &v, err))
				return -1;
	}
	return 0;
}

int ct_native_event(struct ct_native *n, const struct ct_event *ev, struct ct_error *err)
{
	const struct ct_ev_fork *fork = ct_event_payload(ev);
	ct_u32 *more;

	switch (ev->type) {
	case CT_EV_EXIT: return thread_ends(n, ev->tid, err);
	case CT_EV_EXEC: return new_image(n, ev->pid, err) || (ev->pid == n->pid && look(n, err)) ? -1 : 0;
	case CT_EV_FORK:
		if (fork->child_pid == ev->pid || !(fork->flags & CT_FORKF_FOLLOWED))
			return 0;
		more = realloc(n->forks, (n->nforks + 1) * sizeof(*more));
		if (!more)
			return ct_fail_memory(err);
		n->forks = more;
		more[n->nforks++] = fork->child_pid;
		return ct_session_stop_too(n->s, fork->child_pid, err);
	}
	return look(n, err);
}
