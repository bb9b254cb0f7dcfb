/* SPDX-License-Identifier: MIT
 * `ctbpf script`: calls, lines, values and events, each in the order of its own table, told in one order.
 *
 * Rows of values say behind which step they come; steps and calls, behind which event. A return comes behind the last
 * event of its call; other values that end a line, behind the events up to the next line or to a switch of threads. */
#include <stdlib.h>

#include "../formats/syscalls.h"
#include "script.h"

#define SHOWN 1u /* of ct_walk_frame.user */
#define TOLD  2u /* how it was left has been told */

/* ---- Events ---- */

static int next_event(struct script *s, struct ct_error *err)
{
	int got = ct_cursor_next(s->events, &s->ev, err);

	if (got < 0)
		return ct_fail_prefix(err, "%s", ct_recording_path(s->q.rec));
	if (got == 0 || s->ev->seq > s->span.last_seq)
		s->ev = NULL;
	return 0;
}

/* What the program does to the outside, and the outside to it; not how its memory is laid out. */
static bool is_told(const struct ct_event *ev)
{
	const struct ct_ev_syscall *sc = ct_event_payload(ev);
	const struct ct_syscall *call;

	switch (ev->type) {
	case CT_EV_SYSCALL:
		call = sc->nr >= 0 && sc->nr < CT_MAX_SYSCALL ? ct_syscall(sc->nr) : NULL;
		return !call || call->rules.action != CT_ACT_EXECUTE;
	case CT_EV_ENTER:
	case CT_EV_SIGNAL:
	case CT_EV_FORK:
	case CT_EV_EXEC:
	case CT_EV_EXIT:
	case CT_EV_LOST:
	case CT_EV_UNSOUND:
	case CT_EV_NOTE: return true;
	default: return false;
	}
}

/* The thread that had this tid then, if it has had a step. */
static const struct ct_walk_thread *thread_of(const struct script *s, const struct ct_event *ev)
{
	for (ct_u32 id = ct_stepdb_names(s->q.db, CT_THREADS); id; id--) {
		const ct_u64 *v = ct_stepdb_name(s->q.db, CT_THREADS, id)->v;

		if (v[CT_TH_TID] == ev->tid && v[CT_TH_SEQ] <= ev->seq && s->thread[id])
			return s->thread[id];
	}
	return NULL;
}

/* Up to `last`, or up to where the CPU leaves thread `until`. */
static int tell_events(struct script *s, ct_u64 last, ct_u32 until, struct ct_error *err)
{
	while (s->ev && s->ev->seq <= last && !s->q.out->error) {
		const struct ct_walk_thread *t;
		bool shown;

		if (until && s->ev->type == CT_EV_SWITCH && s->ev->tid == until)
			return 0;
		t = is_told(s->ev) && (!s->tid || s->ev->tid == s->tid) ? thread_of(s, s->ev) : NULL;
		shown = t && t->depth ? t->frame[t->depth - 1].user & SHOWN : !s->functions;
		if (is_told(s->ev) && (!s->tid || s->ev->tid == s->tid) && shown)
			script_event(s, t, s->ev);
		if (next_event(s, err) < 0)
			return -1;
	}
	return 0;
}

static ct_u32 tid_of(const struct script *s, const struct ct_walk_thread *t)
{
	return (ct_u32)ct_stepdb_name(s->q.db, CT_THREADS, t->id)->v[CT_TH_TID];
}

/* ---- Values ---- */

static int next_value(struct script *s, struct ct_error *err)
{
	struct script_value *v = &s->value;
	const struct ct_name *variable;
	ct_u64 id;
	int got = s->values ? ct_scan_next(s->values, &v->id, err) : 0;

	v->have = got > 0;
	if (got <= 0)
		return got;
	if (ct_scan_get(s->values, CT_VALUE_VARIABLE, &id, err) < 0 ||
	    ct_scan_get(s->values, CT_VALUE_STEP, &v->step, err) < 0 ||
	    ct_scan_get(s->values, CT_VALUE_CALL, &v->call, err) < 0)
		return -1;
	variable = ct_stepdb_name(s->q.db, CT_VARIABLES, id);
	if (!variable)
		return ct_fail(err, CT_EXIT_FAILED, "steps/values.ctcol: value %llu has no variable",
			       (unsigned long long)v->id);
	v->function = variable->v[CT_VAR_FUNCTION];
	v->name = variable->v[CT_VAR_NAME];
	v->kind = (enum ct_value_kind)variable->v[CT_VAR_KIND];
	return 0;
}

/* How many frames there are up to the call's; 0: it is on no stack. */
static size_t find(const struct ct_walk_thread *t, ct_u64 call)
{
	for (size_t i = t ? t->depth : 0; i; i--)
		if (t->frame[i - 1].call == call)
			return i;
	return 0;
}

static bool is_change(enum ct_value_kind kind)
{
	return kind == CT_VALUE_LOCAL || kind == CT_VALUE_GLOBAL || kind == CT_VALUE_CLOSURE || kind == CT_VALUE_FIELD;
}

/* Tells the value at hand, of a call of this thread or, if it is not there, of another; 1 if it ended a call. */
static int tell_value(struct script *s, struct ct_walk_thread *t, const struct ct_walk_next *next, struct ct_error *err)
{
	struct script_value v = s->value;
	size_t depth = find(t, v.call);
	struct ct_walk_frame *f;
	bool ends = v.kind == CT_VALUE_RETURN || v.kind == CT_VALUE_YIELD;
	int ret = 0;

	for (ct_u32 id = 1; !depth && id <= ct_stepdb_names(s->q.db, CT_THREADS); id++) {
		depth = find(s->thread[id], v.call);
		t = depth ? s->thread[id] : t;
	}
	f = depth ? &t->frame[depth - 1] : NULL;
	if (v.kind == CT_VALUE_RETURN && f && f->exit_event <= next->event)
		ret = tell_events(s, f->exit_event, 0, err);
	else if (ends || v.kind == CT_VALUE_EXCEPTION)
		ret = tell_events(s, next->event, tid_of(s, t), err);
	if (f && ends)
		f->user |= TOLD;
	if (ret == 0 && v.kind != CT_VALUE_RESUME && (f ? f->user & SHOWN : !s->functions && !s->threads) &&
	    !(s->no_values && (is_change(v.kind) || v.kind == CT_VALUE_ARGUMENT)))
		ret = script_value(s, t, depth, &v, err);
	if (ret == 0)
		ret = next_value(s, err);
	return ret < 0 ? -1 : ends;
}

/* Has the value at hand come before what comes next? */
static bool is_due(const struct script *s, const struct ct_walk_thread *t, const struct ct_walk_next *next)
{
	const struct script_value *v = &s->value;
	size_t depth;

	if (!v->have || v->step >= next->step || v->step > s->span.last_step || (next->call && v->call >= next->call))
		return false;
	/* A call of another thread that is not over yet: its values stay where they are. */
	depth = v->kind == CT_VALUE_RETURN ? find(t, v->call) : 0;
	return !depth || t->frame[depth - 1].exit_event == UINT64_MAX || t->frame[depth - 1].exit_event <= next->event;
}

static int tell_values(struct script *s, struct ct_walk_thread *t, const struct ct_walk_next *next,
		       struct ct_error *err)
{
	int ret = 0;

	while (ret >= 0 && is_due(s, t, next) && !s->q.out->error)
		ret = tell_value(s, t, next, err);
	return ret < 0 ? -1 : 0;
}

/* ---- The walk ---- */

/* 1 ends the walk: nobody reads any more. */
static int done(const struct script *s)
{
	return s->q.out->error ? 1 : 0;
}

static int on_enter(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, enum ct_walk_enter how,
		    struct ct_error *err)
{
	struct script *s = arg;
	ct_u64 from = t->last_step > f->from_step ? t->last_step : f->from_step;
	const struct ct_walk_next next = {from + 1, how == CT_WALK_CALL ? f->call : 0, f->enter_event};
	bool any = false;

	s->thread[t->id] = t;
	if (!s->functions || s->functions[f->function] || (t->depth > 1 && f[-1].user & SHOWN))
		f->user = SHOWN;
	if (how == CT_WALK_CALL && (tell_values(s, t, &next, err) < 0 || tell_events(s, f->enter_event, 0, err) < 0))
		return -1;
	if (f->attached && how == CT_WALK_CALL)
		how = CT_WALK_THERE;
	if (f->user & SHOWN)
		script_call(s, t, f, how);
	while (how == CT_WALK_CALL && s->value.have && s->value.call == f->call && s->value.kind == CT_VALUE_ARGUMENT) {
		if (f->user & SHOWN && !s->no_values && script_argument(s, &s->value, !any, err) < 0)
			return -1;
		any = true;
		if (next_value(s, err) < 0)
			return -1;
	}
	if (f->user & SHOWN)
		script_call_end(s, f, how);
	return done(s);
}

static int on_step(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, const struct ct_walk_step *step,
		   struct ct_error *err)
{
	struct script *s = arg;
	const struct ct_walk_next next = {step->id, 0, step->event};

	s->thread[t->id] = t;
	if (tell_values(s, t, &next, err) < 0 || tell_events(s, step->event, 0, err) < 0)
		return -1;
	if (f->user & SHOWN)
		script_line(s, t, f, step);
	while (s->value.have && s->value.step == step->id && s->value.call == f->call && is_change(s->value.kind))
		if (tell_value(s, t, &next, err) < 0)
			return -1;
	return done(s);
}

static int on_leave(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, enum ct_walk_leave how,
		    const struct ct_walk_next *next, struct ct_error *err)
{
	struct script *s = arg;
	int ret = 0;

	/* Values of its own, and of calls that are gone; those of its callers come later. */
	while (ret == 0 && is_due(s, t, next) && !done(s)) {
		size_t depth = find(t, s->value.call);

		if (depth && depth < t->depth)
			break;
		ret = tell_value(s, t, next, err);
		if (ret > 0 && !(f->user & TOLD))
			ret = 0;
	}
	if (ret < 0)
		return -1;
	if (f->user & TOLD || how == CT_WALK_OPEN || !(f->user & SHOWN))
		return done(s);
	if (how == CT_WALK_ENDED && f->exit_event <= next->event && tell_events(s, f->exit_event, 0, err) < 0)
		return -1;
	script_leave(s, t, f, how);
	return done(s);
}

int script_tell(struct script *s, struct ct_error *err)
{
	const struct ct_walk_visitor visitor = {s, on_enter, on_step, on_leave};
	const struct ct_walk_spec walk = {s->span.first_step, s->span.last_step == UINT64_MAX ? 0 : s->span.last_step,
					  s->threads};
	struct ct_scan_spec values = {.table = CT_VALUES};
	int ret = 0;

	if (s->span.first_step > 1)
		values.range[values.nranges++] = (struct ct_range){CT_VALUE_STEP, s->span.first_step, UINT64_MAX};
	s->values = ct_scan_open(s->q.db, &values, err);
	s->events = s->values ? ct_cursor_create(s->q.rec, err) : NULL;
	s->thread = calloc((size_t)ct_stepdb_names(s->q.db, CT_THREADS) + 1, sizeof(*s->thread));
	if (!s->thread)
		ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
	else if (!s->events || (s->span.first_seq && ct_cursor_seek_seq(s->events, s->span.first_seq, err) < 0) ||
		 next_event(s, err) < 0 || next_value(s, err) < 0)
		ret = -1;
	if (ret == 0)
		ret = ct_stepdb_walk(s->q.db, &walk, &visitor, err);
	for (ct_u32 id = 0; s->thread && id <= ct_stepdb_names(s->q.db, CT_THREADS); id++)
		s->thread[id] = NULL; /* they went with the walk */
	if (ret == 0 && !s->functions)
		ret = tell_events(s, s->span.last_seq, 0, err);
	ct_scan_close(s->values);
	ct_cursor_destroy(s->events);
	free(s->thread);
	return ret < 0 ? -1 : 0;
}
