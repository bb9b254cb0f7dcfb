/* SPDX-License-Identifier: MIT
 * A debuggee that is a recording's step database: opening it, its threads, the stack at a moment.
 *
 * Everything is read from the few chunks that hold it; going a long way costs what a short one does. */
#include "replay/dap_output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEEPEST    100000 /* frames; a stack that is deeper goes round in a circle */
#define FRAME_BITS 20

/* ---- Places ---- */

int dap_pos_at_step(struct dap_steps *d, ct_u64 step, struct dap_pos *pos, struct ct_error *err)
{
	ct_u64 at[CT_STEP_NCOLS];

	*pos = (struct dap_pos){.step = step};
	if (!ct_stepdb_step_row(d->db, step, at, err))
		return -1;
	pos->call = at[CT_STEP_CALL];
	pos->thread = (ct_u32)at[CT_STEP_THREAD];
	return ct_stepdb_values_at(d->db, step, &pos->end, err);
}

void dap_forget(struct dap_steps *d)
{
	for (size_t i = 0; i < d->nstacks; i++)
		free(d->stack[i].frame);
	for (size_t i = 0; i < d->nrefs; i++) {
		free(d->ref[i].node);
		free(d->ref[i].name);
	}
	d->nstacks = d->nrefs = 0;
}

void dap_stand_at(struct dap_steps *d, const struct dap_pos *pos)
{
	dap_forget(d);
	d->exception = DAP_NO_EXCEPTION;
	d->at = *pos;
}

int dap_next_step(struct dap_steps *d, ct_u32 thread, ct_u64 low, ct_u64 high, ct_u64 from, bool backwards,
		  ct_u64 *step, struct ct_error *err)
{
	struct ct_scan_spec spec = {.table = CT_STEPS, .backwards = backwards};
	struct ct_scan *scan;
	int got;

	if (backwards ? from <= 1 : from >= d->steps)
		return 0;
	if (backwards)
		spec.last = from - 1;
	else
		spec.first = from + 1;
	if (thread)
		spec.range[spec.nranges++] = (struct ct_range){CT_STEP_THREAD, thread, thread};
	if (high)
		spec.range[spec.nranges++] = (struct ct_range){CT_STEP_CALL, low, high};
	scan = ct_scan_open(d->db, &spec, err);
	got = scan ? ct_scan_next(scan, step, err) : -1;
	ct_scan_close(scan);
	return got;
}

/* ---- Threads ---- */

static int know_thread(struct dap_steps *d, ct_u32 id, struct ct_error *err)
{
	struct dap_thread *t = &d->thread[id - 1];
	int got;

	if (t->last)
		return 0;
	got = dap_next_step(d, id, 0, 0, 0, false, &t->first, err);
	if (got > 0)
		got = dap_next_step(d, id, 0, 0, d->steps + 1, true, &t->last, err);
	if (got == 0)
		*t = (struct dap_thread){UINT64_MAX, UINT64_MAX};
	return got < 0 ? -1 : 0;
}

/* It has begun, and something of it is to come or was never seen to end. */
static int is_alive(struct dap_steps *d, ct_u32 id, struct ct_error *err)
{
	ct_u64 step = d->at.step, at[CT_STEP_NCOLS], row[CT_CALL_NCOLS];

	if (id == d->at.thread)
		return 1;
	if (know_thread(d, id, err) < 0)
		return -1;
	if (d->thread[id - 1].first > step)
		return 0;
	if (d->thread[id - 1].last >= step)
		return 1;
	if (!ct_stepdb_step_row(d->db, d->thread[id - 1].last, at, err) ||
	    !ct_stepdb_call_row(d->db, at[CT_STEP_CALL], row, err))
		return -1;
	return row[CT_CALL_STATE] == CT_CALL_OPEN;
}

json_t *dap_steps_threads(struct dap_debuggee *base, struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	json_t *list = json_array();

	for (ct_u32 id = 1; id <= ct_stepdb_names(d->db, CT_THREADS); id++) {
		const struct ct_name *t = ct_stepdb_name(d->db, CT_THREADS, id);
		int alive = is_alive(d, id, err);
		char name[128];

		if (alive < 0) {
			json_decref(list);
			return NULL;
		}
		snprintf(name, sizeof(name), "%.60s%s%llu", t->text, t->len ? " " : "thread ",
			 (unsigned long long)t->v[CT_TH_TID]);
		if (alive)
			json_array_append_new(
				list, json_pack("{s:i, s:o}", "id", (int)id, "name", dap_text(name, strlen(name))));
	}
	return list;
}

/* ---- Stacks ---- */

static int location_of(struct dap_steps *d, ct_u64 step, ct_u64 *location, struct ct_error *err)
{
	ct_u64 at[CT_STEP_NCOLS] = {0};

	if (step && !ct_stepdb_step_row(d->db, step, at, err))
		return -1;
	*location = at[CT_STEP_LOCATION];
	return 0;
}

/* A call's own last step before `step`; a frame that was there when the recording began may have none. */
static int last_own_step(struct dap_steps *d, ct_u64 call, ct_u64 step, ct_u64 *own, struct ct_error *err)
{
	*own = 0;
	return dap_next_step(d, 0, call, call, step, true, own, err) < 0 ? -1 : 0;
}

/* The call a thread is in that is not the one that runs, and the line it is at. */
static int innermost(struct dap_steps *d, ct_u32 thread, ct_u64 *call, ct_u64 *location, struct ct_error *err)
{
	ct_u64 at[CT_STEP_NCOLS], here[CT_STEP_NCOLS], row[CT_CALL_NCOLS], step;
	int got = dap_next_step(d, thread, 0, 0, d->at.row ? d->at.step + 1 : d->at.step, true, &step, err);

	*call = *location = 0;
	if (got <= 0)
		return got;
	if (!ct_stepdb_step_row(d->db, step, at, err) || !ct_stepdb_step_row(d->db, d->at.step, here, err))
		return -1;
	*call = at[CT_STEP_CALL];
	*location = at[CT_STEP_LOCATION];
	/* Calls may have ended since: a switch between threads is an event, so that events tell before from after. */
	while (*call) {
		ct_u64 from;

		if (!ct_stepdb_call_row(d->db, *call, row, err))
			return -1;
		if (row[CT_CALL_STATE] == CT_CALL_OPEN || row[CT_CALL_EXIT_EVENT] >= here[CT_STEP_EVENT])
			break;
		if (ct_stepdb_caller_before(d->db, *call, d->at.end, call, &from, err) < 0 ||
		    location_of(d, from, location, err) < 0)
			return -1;
	}
	return 0;
}

static int begin_stack(struct dap_steps *d, struct dap_stack *s, struct ct_error *err)
{
	ct_u64 own;

	if (s->thread != d->at.thread)
		return innermost(d, s->thread, &s->next, &s->next_location, err);
	s->next = d->at.call;
	own = d->at.step;
	if (d->at.row && last_own_step(d, d->at.call, d->at.step + 1, &own, err) < 0)
		return -1;
	return location_of(d, own, &s->next_location, err);
}

static int add_frame(struct dap_steps *d, struct dap_stack *s, struct ct_error *err)
{
	ct_u64 row[CT_CALL_NCOLS], from, own;

	if (s->n == DEEPEST)
		return ct_fail(err, CT_EXIT_FAILED, "steps/calls.ctcol: the stack of step %llu has no end",
			       (unsigned long long)d->at.step);
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 32;
		struct dap_frame *more = realloc(s->frame, cap * sizeof(*more));

		if (!more)
			return dap_no_memory(err);
		s->frame = more;
		s->cap = cap;
	}
	if (!ct_stepdb_call_row(d->db, s->next, row, err))
		return -1;
	s->frame[s->n++] = (struct dap_frame){s->next, s->next_location, (ct_u32)row[CT_CALL_FUNCTION]};
	if (ct_stepdb_caller_before(d->db, s->next, d->at.end, &s->next, &from, err) < 0)
		return -1;
	/* Of frames from before the recording only those steps are known that they made since. */
	if (s->next && !from) {
		if (last_own_step(d, s->next, d->at.step, &own, err) < 0)
			return -1;
		from = own;
	}
	return location_of(d, from, &s->next_location, err);
}

struct dap_stack *dap_get_stack(struct dap_steps *d, ct_u32 thread, size_t n, struct ct_error *err)
{
	struct dap_stack *s = NULL;

	thread = thread ? thread : d->at.thread;
	for (size_t i = 0; i < d->nstacks && !s; i++)
		if (d->stack[i].thread == thread)
			s = &d->stack[i];
	if (!s) {
		struct dap_stack *more;

		if (!ct_stepdb_name(d->db, CT_THREADS, thread)) {
			ct_fail(err, CT_EXIT_USAGE, "there is no thread %u", thread);
			return NULL;
		}
		more = realloc(d->stack, (d->nstacks + 1) * sizeof(*more));
		if (!more) {
			dap_no_memory(err);
			return NULL;
		}
		d->stack = more;
		s = &more[d->nstacks];
		*s = (struct dap_stack){.thread = thread};
		if (begin_stack(d, s, err) < 0)
			return NULL;
		d->nstacks++;
	}
	while (s->n < n && s->next)
		if (add_frame(d, s, err) < 0)
			return NULL;
	return s;
}

const struct dap_frame *dap_get_frame(struct dap_steps *d, ct_u64 id, struct ct_error *err)
{
	size_t stack = (size_t)(id >> FRAME_BITS), n = (size_t)(id & ((1u << FRAME_BITS) - 1));
	struct dap_stack *s;

	if (!id) {
		s = dap_get_stack(d, 0, 1, err);
		n = 1;
	} else {
		s = stack < d->nstacks ? &d->stack[stack] : NULL;
		if (!s || !n || n > s->n)
			ct_fail(err, CT_EXIT_USAGE, "there is no frame %llu: the program has moved on",
				(unsigned long long)id);
	}
	if (s && s->n && !n)
		ct_fail(err, CT_EXIT_USAGE, "there is no frame here");
	return s && n && n <= s->n ? &s->frame[n - 1] : NULL;
}

json_t *dap_steps_stack(struct dap_debuggee *base, ct_u32 thread, size_t start, size_t levels, struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	size_t want = levels && levels < DEEPEST && start < DEEPEST ? start + levels : DEEPEST;
	struct dap_stack *s = dap_get_stack(d, thread, want, err);
	json_t *list = s ? json_array() : NULL;

	for (size_t i = start; s && i < s->n && i < want; i++) {
		const struct dap_frame *f = &s->frame[i];
		const struct ct_name *name = ct_stepdb_name(d->db, CT_FUNCTIONS, f->function);
		const struct ct_name *l = ct_stepdb_name(d->db, CT_LOCATIONS, f->location);
		json_t *o = json_pack("{s:I, s:o, s:I, s:i}", "id",
				      (json_int_t)((ct_u64)(s - d->stack) << FRAME_BITS | (i + 1)), "name",
				      name ? dap_text(name->text, name->len) : json_string("?"), "line",
				      l ? (json_int_t)l->v[CT_LOC_LINE] : 0, "column", l ? 1 : 0);
		json_t *source = dap_file_json(d, l ? l->v[CT_LOC_FILE] : name ? name->v[CT_FN_FILE] : 0);

		if (o && source)
			json_object_set(o, "source", source);
		json_decref(source);
		json_array_append_new(list, o);
	}
	return list ? json_pack("{s:o, s:I}", "stackFrames", list, "totalFrames", (json_int_t)(s->n + (s->next != 0)))
		    : NULL;
}

json_t *dap_steps_when(struct dap_debuggee *base, struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	ct_u64 at[CT_STEP_NCOLS], ns;
	char position[40], text[160];

	if (!ct_stepdb_step_row(d->db, d->at.step, at, err))
		return NULL;
	ns = at[CT_STEP_TIME] > d->first_ns ? at[CT_STEP_TIME] - d->first_ns : 0;
	snprintf(position, sizeof(position), "s:%llu", (unsigned long long)d->at.step);
	snprintf(text, sizeof(text), "%s%s of %llu, after event %llu, +%llu.%06llu s", d->at.row ? "after " : "",
		 position, (unsigned long long)d->steps, (unsigned long long)at[CT_STEP_EVENT],
		 (unsigned long long)(ns / 1000000000), (unsigned long long)(ns % 1000000000 / 1000));
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:b}", "text", text, "position", position, "step",
			 (json_int_t)d->at.step, "steps", (json_int_t)d->steps, "event", (json_int_t)at[CT_STEP_EVENT],
			 "time_ns", (json_int_t)ns, "threadId", (int)d->at.thread, "afterLine", d->at.row != 0);
}

/* ---- Life ---- */

static void destroy(struct dap_debuggee *base)
{
	struct dap_steps *d = dap_steps_of(base);

	dap_forget(d);
	dap_output_close(d);
	free(d->stack);
	free(d->ref);
	free(d->thread);
	free(d->warned);
	ct_stepdb_close(d->db);
	if (d->rec)
		ct_recording_close(d->rec);
	free(d);
}

static const struct dap_debuggee_ops ops = {
	.destroy = destroy,
	.move = dap_steps_move,
	.seek = dap_steps_seek,
	.when = dap_steps_when,
	.threads = dap_steps_threads,
	.stack = dap_steps_stack,
	.scopes = dap_steps_scopes,
	.variables = dap_steps_variables,
	.evaluate = dap_steps_evaluate,
	.exception = dap_steps_exception,
	.resolve = dap_steps_resolve,
	.data_info = dap_steps_data_info,
	.lines = dap_steps_lines,
	.targets = dap_steps_targets,
	.go = dap_steps_go,
	.sources = dap_steps_sources,
	.source = dap_steps_source,
};

bool dap_steps_are_there(const char *recording)
{
	char path[4096];

	return snprintf(path, sizeof(path), "%s/steps", recording) < (int)sizeof(path) && access(path, F_OK) == 0;
}

struct dap_debuggee *dap_steps_open(const char *recording, const struct dap_host *host, struct ct_error *err)
{
	struct dap_steps *d = calloc(1, sizeof(*d));
	struct ct_stepdb_info info;

	if (!d) {
		dap_no_memory(err);
		return NULL;
	}
	d->base.ops = &ops;
	d->host = host;
	d->rec = ct_recording_open(recording, err);
	d->db = d->rec ? ct_stepdb_of(d->rec, err) : NULL;
	if (!d->db)
		goto fail;
	ct_stepdb_info(d->db, &info);
	d->steps = info.steps;
	d->values = info.values;
	d->complete = info.complete;
	if (!d->steps) {
		ct_fail(err, CT_EXIT_FAILED, "%s: its step database holds no step; run `ctbpf index %s`", recording,
			recording);
		goto fail;
	}
	d->first_ns = ct_recording_first_ns(d->rec);
	d->begun = ct_recording_begun_ns(d->rec) / 1000000000;
	d->thread = calloc(ct_stepdb_names(d->db, CT_THREADS) + 1, sizeof(*d->thread));
	d->warned = calloc(ct_stepdb_names(d->db, CT_FILES) + 1, 1);
	if (!d->thread || !d->warned) {
		dap_no_memory(err);
		goto fail;
	}
	if (dap_pos_at_step(d, 1, &d->at, err) == 0)
		return &d->base;
fail:
	destroy(&d->base);
	return NULL;
}
