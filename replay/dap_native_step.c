/* SPDX-License-Identifier: MIT
 * Native code: steps by lines, by instructions, in and out of functions, in both directions.
 *
 * Forwards, breakpoints are set where other lines of the function begin, and of those it may return to. Backwards it
 * goes by instructions to the first one of a line, passing over calls as a whole: so both ways stop at the same places.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/dap_native.h"
#include "replay/dap_path.h"

#define MOST_STOPS  3000
#define OUTER       8   /* functions further out, to which an exception may lead */
#define PLT_STEPS   12  /* instructions from a call to the function, by way of a linkage table */
#define BACK_STEPS  24  /* instructions gone back one by one in search of a line's beginning */
#define MOST_ROUNDS 200 /* of a line that is in several places */

struct stepper {
	struct dap_native *d;
	const struct dap_move *m;
	ct_u32 tid;
	struct ct_dwarf_regs regs;
	struct ct_dwarf_function f;
	bool has_function, has_line;
	struct ct_dwarf_line line;
	ct_u64 cfa;
	unsigned depth;       /* of inlined functions */
	unsigned first_depth; /* where the step began */
	struct ct_stop stops[MOST_STOPS];
	size_t nstops;
	ct_u64 calls[64]; /* of the present line */
	size_t ncalls;
	bool call;  /* it has come to one of those */
	ct_u64 rsp; /* that counts where it goes */
};

/* The line at an address, but for what stands before a function's body: that is part of the call. */
static bool line_of(struct dap_native *d, ct_u64 pc, struct ct_dwarf_line *line)
{
	struct ct_dwarf_function f;

	if (!ct_dwarf_line_at(d->dw, pc, line))
		return false;
	return !ct_dwarf_function_at(d->dw, pc, &f) || pc >= ct_dwarf_body(d->dw, &f) || pc < f.entry;
}

static bool same_line(const struct ct_dwarf_line *a, const struct ct_dwarf_line *b)
{
	return a->line == b->line && a->file == b->file;
}

/* Where the thread stands. */
static int look(struct stepper *s, struct ct_error *err)
{
	struct dap_native *d = s->d;
	ct_u64 pc;

	if (native_regs(d, s->tid, &s->regs, err))
		return -1;
	pc = s->regs.r[CT_DW_RIP];
	s->has_function = ct_dwarf_function_at(d->dw, pc, &s->f);
	s->has_line = ct_dwarf_line_at(d->dw, pc, &s->line);
	s->cfa = ct_dwarf_cfa(d->dw, &s->regs, &d->mem);
	s->depth = ct_dwarf_inline_depth(d->dw, pc);
	return 0;
}

static void add_stop(struct stepper *s, ct_u64 addr)
{
	if (s->nstops < MOST_STOPS)
		s->stops[s->nstops++] = (struct ct_stop){CT_STOP_EXEC, addr, 1};
}

static void add_line_start(void *ctx, ct_u64 addr, ct_u32 line)
{
	(void)line;
	add_stop(ctx, addr);
}

static bool is_stop(const struct stepper *s, ct_u64 addr)
{
	for (size_t i = 0; i < s->nstops; i++)
		if (s->stops[i].addr == addr)
			return true;
	return false;
}

/* Calls on the line that it stands on. */
static void find_calls(struct stepper *s)
{
	bool is_call;
	unsigned len;

	for (ct_u64 at = s->f.low; s->has_function && at < s->f.high && (len = native_insn(s->d, at, &is_call));
	     at += len) {
		struct ct_dwarf_line line;

		if (!is_call || s->ncalls == sizeof(s->calls) / sizeof(*s->calls) ||
		    !ct_dwarf_line_at(s->d->dw, at, &line) || !same_line(&line, &s->line))
			continue;
		s->calls[s->ncalls++] = at;
		add_stop(s, at);
	}
}

static bool is_call_of_line(const struct stepper *s, ct_u64 addr)
{
	for (size_t i = 0; i < s->ncalls; i++)
		if (s->calls[i] == addr)
			return true;
	return false;
}

/* Whether a step forwards ends at a place that it has come to. */
static int ends_here(void *ctx, const struct ct_stopped *at, struct ct_error *err)
{
	struct stepper *s = ctx;
	struct dap_native *d = s->d;
	const ct_u64 pc = at->stop.addr;
	struct ct_dwarf_regs regs;
	struct ct_dwarf_line line;
	unsigned depth;
	ct_u64 cfa;

	if (at->tid != s->tid)
		return 0;
	if (native_regs(d, s->tid, &regs, err))
		return -1;
	cfa = ct_dwarf_cfa(d->dw, &regs, &d->mem);
	if (cfa && s->cfa && cfa < s->cfa)
		return 0; /* of a function that it has called */
	if (cfa != s->cfa)
		return 1; /* it has returned, or has been thrown out */
	depth = ct_dwarf_inline_depth(d->dw, pc);
	if (is_call_of_line(s, pc) && ct_dwarf_line_at(d->dw, pc, &line) && same_line(&line, &s->line)) {
		s->call = s->m->motion == DAP_IN;
		return s->call;
	}
	if (s->m->motion == DAP_OUT)
		return depth < s->depth;
	if (s->m->motion == DAP_NEXT && depth > s->depth)
		return 0;
	return !ct_dwarf_line_at(d->dw, pc, &line) || !same_line(&line, &s->line);
}

static bool same_frame_pointer(const struct stepper *s, const struct ct_dwarf_regs *regs)
{
	return regs->r[CT_DW_RSP] == s->rsp;
}

/* A place that counts with this stack pointer only. */
static int with_rsp(void *ctx, const struct ct_stopped *at, struct ct_error *err)
{
	struct stepper *s = ctx;
	struct ct_dwarf_regs regs;

	if (at->tid != s->tid)
		return 0;
	if (native_regs(s->d, s->tid, &regs, err))
		return -1;
	return same_frame_pointer(s, &regs);
}

static int run_to(struct stepper *s, ct_u64 addr, ct_u64 rsp, bool back, struct dap_stop *stop, struct ct_error *err)
{
	const struct ct_stop one = {CT_STOP_EXEC, addr, 1};
	const struct native_run run = {.extra = &one, .nextra = 1, .back = back, .arrived = with_rsp, .ctx = s};

	s->rsp = rsp;
	return native_run(s->d, &run, stop, err);
}

/* Functions of libraries whose source is not here are passed over. */
static bool is_worth_entering(struct stepper *s, const struct ct_dwarf_function *from,
			      const struct ct_dwarf_function *to, const struct ct_dwarf_line *line)
{
	char *path;
	bool is;

	if (from->module == to->module)
		return true;
	path = dap_local_path(s->d->host->source_map, line->file);
	is = path && access(path, R_OK) == 0;
	free(path);
	return is;
}

/* Into the function that the instruction calls, if it has lines. 1: it stands in its body; 0: *stop says where; 2: it
 * has none, and has been passed over; -1. */
static int enter(struct stepper *s, struct dap_stop *stop, struct ct_error *err)
{
	struct dap_native *d = s->d;
	struct ct_dwarf_function f;
	struct ct_dwarf_line line;
	struct ct_dwarf_regs regs;
	bool is_call;
	ct_u64 before, back_to;
	int got;

	if (native_regs(d, s->tid, &regs, err))
		return -1;
	before = regs.r[CT_DW_RSP];
	back_to = regs.r[CT_DW_RIP] + native_insn(d, regs.r[CT_DW_RIP], &is_call);
	for (int i = 0; i < PLT_STEPS; i++) {
		ct_u64 body;

		if ((got = native_instruction(d, s->tid, false, stop, err)) <= 0)
			return got;
		if (native_regs(d, s->tid, &regs, err))
			return -1;
		if (regs.r[CT_DW_RSP] >= before)
			return 2;
		if (!ct_dwarf_line_at(d->dw, regs.r[CT_DW_RIP], &line) ||
		    !ct_dwarf_function_at(d->dw, regs.r[CT_DW_RIP], &f))
			continue;
		if (!is_worth_entering(s, &s->f, &f, &line))
			break;
		body = ct_dwarf_body(d->dw, &f);
		if (body == regs.r[CT_DW_RIP])
			return 1;
		/* The body's stack pointer is not known yet: this call's first one it is. */
		{
			const struct ct_stop one = {CT_STOP_EXEC, body, 1};

			return native_run(d, &(struct native_run){.extra = &one, .nextra = 1}, stop, err);
		}
	}
	got = run_to(s, back_to, before, false, stop, err);
	return got == 1 ? 2 : got;
}

/* Where lines begin of this function and of those it was called from, and forwards where it returns to. */
static void add_lines_of(struct stepper *s, const struct native_stack *stack, bool returns)
{
	struct dap_native *d = s->d;
	size_t physical = 0, outer = 0;

	while (physical + 1 < stack->s.n && stack->s.frame[physical].inlined)
		physical++;
	if (s->has_line && (s->m->motion != DAP_OUT || s->depth || s->m->backwards))
		ct_dwarf_line_starts(d->dw, &s->f, add_line_start, s);
	for (size_t i = physical + 1; i < stack->s.n && outer < OUTER; i++) {
		const struct ct_dwarf_frame *f = &stack->s.frame[i];

		if (f->inlined)
			continue;
		if (returns)
			add_stop(s, f->pc);
		/* An exception leads to any line of theirs. */
		if (f->has_line && f->has_function && s->nstops < MOST_STOPS / 2)
			ct_dwarf_line_starts(d->dw, &f->function, add_line_start, s);
		outer++;
	}
}

static int forward(struct stepper *s, struct dap_stop *stop, struct ct_error *err)
{
	struct dap_native *d = s->d;
	const struct native_stack *stack = native_stack(d, s->tid, err);
	const struct native_run run = {.extra = s->stops, .arrived = ends_here, .ctx = s};
	struct native_run now = run;
	bool is_call = false;
	int got;

	if (!stack)
		return -1;
	add_lines_of(s, stack, true);
	if (s->m->motion == DAP_IN && s->has_line)
		find_calls(s);
	/* Where it stands is passed by a run. */
	if (s->ncalls && is_call_of_line(s, s->regs.r[CT_DW_RIP])) {
		native_insn(d, s->regs.r[CT_DW_RIP], &is_call);
		s->call = is_call;
	}
	for (;;) {
		if (s->call) {
			s->call = false;
			got = enter(s, stop, err);
			if (got != 2)
				return got;
			/* Back on the line; it may have been its last instruction. */
			if (native_regs(d, s->tid, &s->regs, err))
				return -1;
			if (is_stop(s, s->regs.r[CT_DW_RIP])) {
				const struct ct_stopped at = {.why = CT_ARRIVED_BREAK,
							      .tid = s->tid,
							      .stop = {CT_STOP_EXEC, s->regs.r[CT_DW_RIP], 1}};

				got = ends_here(s, &at, err);
				if (got < 0)
					return -1;
				if (got && !s->call)
					return 1;
				if (s->call)
					continue;
			}
		}
		now.nextra = s->nstops;
		got = native_run(d, &now, stop, err);
		if (got != 1 || !s->call)
			return got;
	}
}

/* ---- backwards ---- */

/* Whether a line's beginning that has been come to backwards is one of this frame, or of one further out. */
static int begins_here(void *ctx, const struct ct_stopped *at, struct ct_error *err)
{
	struct stepper *s = ctx;
	struct ct_dwarf_regs regs;
	ct_u64 cfa;

	if (at->tid != s->tid)
		return 0;
	if (native_regs(s->d, s->tid, &regs, err))
		return -1;
	cfa = ct_dwarf_cfa(s->d->dw, &regs, &s->d->mem);
	return cfa > s->cfa || (cfa == s->cfa && (s->m->motion == DAP_IN ||
						  ct_dwarf_inline_depth(s->d->dw, at->stop.addr) <= s->first_depth));
}

/* Goes on backwards while it is the same line of the same frame; no breakpoint counts, since it may come back. */
static int while_same_line(struct stepper *s, struct ct_error *err)
{
	struct dap_native *d = s->d;
	const struct ct_dwarf_line line = s->line;
	const ct_u64 cfa = s->cfa;
	struct ct_moment first;

	ct_timeline_catch(d->tl, 0, false, false);
	for (unsigned n = 0;; n++) {
		const struct native_run run = {s->stops, s->nstops, true, begins_here, s};
		struct ct_stopped at;
		int is = 0;

		if (ct_timeline_now(d->tl, &first, err) || ct_timeline_set_stops(d->tl, s->stops, s->nstops, err))
			return -1;
		do
			if (native_run_timeline(d, &run, &at, err))
				return -1;
		while (at.why == CT_ARRIVED_BREAK && !(is = begins_here(s, &at, err)));
		if (is < 0 || (at.why == CT_ARRIVED_BREAK && look(s, err)))
			return -1;
		if (at.why != CT_ARRIVED_BREAK || s->cfa != cfa || !same_line(&s->line, &line) || n == MOST_ROUNDS)
			return ct_timeline_seek(d->tl, &first, err) ? -1 : 1;
	}
}

/* To where the line that was run before began, by breakpoints. */
static int run_to_line_start(struct stepper *s, struct dap_stop *stop, struct ct_error *err)
{
	struct dap_native *d = s->d;
	const struct native_stack *stack = native_stack(d, s->tid, err);
	struct native_run run = {.extra = s->stops, .back = true, .arrived = begins_here, .ctx = s};
	int got;

	if (!stack)
		return -1;
	add_lines_of(s, stack, false);
	run.nextra = s->nstops;
	got = native_run(d, &run, stop, err);
	if (got != 1)
		return got;
	return look(s, err) ? -1 : while_same_line(s, err);
}

/* To the first instruction of the line that it stands on, in one go of it: by instructions, which is quicker in loops
 * that are run very often, as long as they are few. */
static int to_line_start(struct stepper *s, struct dap_stop *stop, struct ct_error *err)
{
	struct dap_native *d = s->d;
	struct ct_dwarf_line target = {0}, line;
	struct ct_moment here, first;
	ct_u64 cfa = 0;

	for (unsigned n = 0; n < BACK_STEPS; n++) {
		const ct_u64 pc = s->regs.r[CT_DW_RIP], rsp = s->regs.r[CT_DW_RSP];
		const ct_u64 call = s->has_function ? native_call_before(d, &s->f, pc) : 0;
		/* What is inlined is passed over like a call. */
		const bool within = s->m->motion == DAP_NEXT && s->depth > s->first_depth && (!cfa || s->cfa == cfa);
		const bool has_line = !within && line_of(d, pc, &line);
		int got;

		if (ct_timeline_now(d->tl, &here, err))
			return -1;
		if (target.line && !within && (s->cfa != cfa || !has_line || !same_line(&line, &target)))
			return ct_timeline_seek(d->tl, &first, err) ? -1 : 1;
		if (has_line) {
			target = line;
			cfa = s->cfa;
			first = here;
		}
		got = native_instruction(d, s->tid, true, stop, err);
		if (got <= 0)
			return got;
		if (look(s, err))
			return -1;
		if (call && s->regs.r[CT_DW_RIP] != call && s->regs.r[CT_DW_RSP] < rsp) {
			/* At the end of what was called. */
			if (target.line && !within && (!line_of(d, call, &line) || !same_line(&line, &target)))
				return ct_timeline_seek(d->tl, &first, err) ? -1 : 1;
			if (ct_timeline_seek(d->tl, &here, err) || look(s, err))
				return -1;
			break;
		}
	}
	return run_to_line_start(s, stop, err);
}

/* One instruction back, into what was called if that has lines and is wanted. 1; 0: *stop; -1; 2: it stands where it
 * did, and what was called is to be passed over. */
static int back_one(struct stepper *s, bool over, struct dap_stop *stop, struct ct_error *err)
{
	struct dap_native *d = s->d;
	const ct_u64 pc = s->regs.r[CT_DW_RIP], rsp = s->regs.r[CT_DW_RSP];
	const ct_u64 call = s->has_function ? native_call_before(d, &s->f, pc) : 0;
	const struct ct_dwarf_function f = s->f;
	struct ct_dwarf_line line;
	struct ct_moment here;
	int got;

	if (ct_timeline_now(d->tl, &here, err))
		return -1;
	got = native_instruction(d, s->tid, true, stop, err);
	if (got <= 0)
		return got;
	if (look(s, err))
		return -1;
	if (!call || s->regs.r[CT_DW_RIP] == call || s->regs.r[CT_DW_RSP] >= rsp)
		return 1;
	if (!over && line_of(d, s->regs.r[CT_DW_RIP], &line) && is_worth_entering(s, &f, &s->f, &line))
		return 1;
	return ct_timeline_seek(d->tl, &here, err) || look(s, err) ? -1 : 2;
}

static int backward(struct stepper *s, struct dap_stop *stop, struct ct_error *err)
{
	int got;

	if (s->m->motion == DAP_OUT || !s->has_line) {
		/* To the function's first instruction, called as it was. */
		if (!s->has_function || !s->cfa)
			return ct_fail(err, CT_EXIT_FAILED, "what this function is, and who called it, is not known");
		if (s->regs.r[CT_DW_RIP] != s->f.entry &&
		    (got = run_to(s, s->f.entry, s->cfa - 8, true, stop, err)) != 1)
			return got;
		if (look(s, err))
			return -1;
	}
	got = back_one(s, s->m->motion != DAP_IN, stop, err);
	if (got == 1)
		return to_line_start(s, stop, err);
	return got == 2 ? run_to_line_start(s, stop, err) : got;
}

/* One instruction; `next` passes over calls. */
static int by_instruction(struct stepper *s, struct dap_stop *stop, struct ct_error *err)
{
	struct dap_native *d = s->d;
	const bool over = s->m->motion == DAP_NEXT, back = s->m->backwards;
	const ct_u64 pc = s->regs.r[CT_DW_RIP], rsp = s->regs.r[CT_DW_RSP];
	bool is_call = false;
	ct_u64 call, len;
	int got;

	if (over && !back) {
		len = native_insn(d, pc, &is_call);
		if (is_call)
			return run_to(s, pc + len, rsp, false, stop, err);
	}
	got = over && back ? back_one(s, true, stop, err) : native_instruction(d, s->tid, back, stop, err);
	if (got != 2)
		return got;
	call = native_call_before(d, &s->f, pc);
	return run_to(s, call, rsp, true, stop, err);
}

int native_step(struct dap_native *d, const struct dap_move *m, struct dap_stop *stop, struct ct_error *err)
{
	struct stepper *s = calloc(1, sizeof(*s));
	int got;

	if (!s)
		return native_no_memory(err);
	s->d = d;
	s->m = m;
	s->tid = m->thread ? m->thread : d->tid;
	got = look(s, err);
	s->first_depth = s->depth;
	got = got                                      ? -1
	      : m->instruction && m->motion != DAP_OUT ? by_instruction(s, stop, err)
	      : m->backwards                           ? backward(s, stop, err)
						       : forward(s, stop, err);
	free(s);
	if (got == 1) {
		native_moved(d);
		d->tid = m->thread ? m->thread : d->tid;
		native_stop_at(d, stop, "step");
	}
	return got < 0 ? -1 : 0;
}

int dap_native_move(struct dap_debuggee *base, const struct dap_move *m, struct dap_stop *stop, struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);

	if (m->motion == DAP_CONTINUE)
		return native_run(d, &(struct native_run){.back = m->backwards}, stop, err) < 0 ? -1 : 0;
	return native_step(d, m, stop, err);
}
