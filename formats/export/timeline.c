/* SPDX-License-Identifier: MIT
 * One thread of the step database as a sequence: the thread's lines put calls, resumed generators and returns in order.
 *
 * A call begins behind its caller's line `from_step`. It is left when something happens below it on the stack: it has
 * ended if its last line has passed by then, else it is suspended. */
#include <string.h>

#include "timeline.h"

#define DEEPEST (1u << 24) /* frames: more make no sense */

/* ---- Reading ahead ---- */

static int next_step(struct ex_timeline *t, struct ct_error *err)
{
	int got = ct_scan_next(t->steps, &t->step_id, err);

	if (got <= 0)
		return t->step_id = 0, got;
	for (unsigned c = 0; c < CT_STEP_NCOLS; c++)
		if (ct_scan_get(t->steps, c, &t->step[c], err) < 0)
			return -1;
	if (t->step_id <= t->last_step || !ct_stepdb_name(t->src->db, CT_LOCATIONS, t->step[CT_STEP_LOCATION]))
		return ct_fail(err, CT_EXIT_FAILED, "steps/steps.ctcol: step %llu makes no sense",
			       (unsigned long long)t->step_id);
	return 0;
}

static int next_call(struct ex_timeline *t, struct ct_error *err)
{
	int got = ct_scan_next(t->calls, &t->call_id, err);

	if (got <= 0)
		return t->call_id = 0, got;
	for (unsigned c = 0; c < CT_CALL_NCOLS; c++)
		if (ct_scan_get(t->calls, c, &t->call[c], err) < 0)
			return -1;
	/* Open when its chunk was written: it may have ended since. */
	if (t->call[CT_CALL_STATE] == CT_CALL_OPEN && !ct_stepdb_call_row(t->src->db, t->call_id, t->call, err))
		return -1;
	if (!ct_stepdb_name(t->src->db, CT_FUNCTIONS, t->call[CT_CALL_FUNCTION]))
		return ct_fail(err, CT_EXIT_FAILED, "steps/calls.ctcol: call %llu makes no sense",
			       (unsigned long long)t->call_id);
	return 0;
}

static int next_resume(struct ex_timeline *t, struct ct_error *err)
{
	int got = t->resumes ? ct_scan_next(t->resumes, &t->resume_id, err) : 0;
	struct ct_node node;
	const ct_u8 *p;
	size_t len;

	if (got <= 0)
		return t->resume_id = 0, got;
	if (ct_scan_get(t->resumes, CT_VALUE_CALL, &t->resume_call, err) < 0 ||
	    ct_scan_get(t->resumes, CT_VALUE_STEP, &t->resume_step, err) < 0 ||
	    ct_scan_node(t->resumes, &p, &len, err) < 0)
		return -1;
	t->resume_by = ct_node_next(&p, p + len, &node) && node.tag == CT_NODE_INT ? (ct_u64)node.integer : 0;
	return 0;
}

/* ---- The stack ---- */

/* How many frames are left if the call's is the last; 0: it is not on the stack. */
static size_t find(const struct ex_timeline *t, ct_u64 call)
{
	for (size_t i = t->depth; i; i--)
		if (t->stack[i - 1].call == call)
			return i;
	return 0;
}

static ct_u64 forward(struct ex_timeline *t, ct_u64 ns)
{
	return t->now = ns > t->now ? ns : t->now;
}

static bool has_ended(const struct ex_timeline *t, const struct ex_frame *f)
{
	return f->row[CT_CALL_STATE] != CT_CALL_OPEN && f->row[CT_CALL_LAST_STEP] <= t->last_step;
}

static int put_to_sleep(struct ex_timeline *t, const struct ex_frame *f, struct ct_error *err)
{
	struct ex_asleep **bucket = &t->asleep[f->call % EX_ASLEEP], *a = malloc(sizeof(*a));

	if (!a)
		return ct_fail_memory(err);
	*a = (struct ex_asleep){f->call, f->location, *bucket};
	*bucket = a;
	return 0;
}

/* Where the call was suspended; 0: it was not, in this thread. */
static ct_u64 wake(struct ex_timeline *t, ct_u64 call)
{
	for (struct ex_asleep **at = &t->asleep[call % EX_ASLEEP]; *at; at = &(*at)->next)
		if ((*at)->call == call) {
			struct ex_asleep *a = *at;
			ct_u64 location = a->location;

			*at = a->next;
			free(a);
			return location;
		}
	return 0;
}

/* Takes the last frame away. What comes next happens at `ns`: its end cannot be later. */
static int leave(struct ex_timeline *t, bool suspended, ct_u64 ns, struct ct_error *err)
{
	struct ex_frame *f = &t->stack[t->depth - 1];
	enum ex_leave how = suspended || !has_ended(t, f)             ? EX_SUSPENDED
			    : f->row[CT_CALL_STATE] == CT_CALL_RAISED ? EX_RAISED
								      : EX_RETURNED;
	ct_u64 end = f->row[CT_CALL_ENTER_TIME] + f->row[CT_CALL_DURATION];
	int ret;

	/* When a call was suspended is not known better than by the line before. */
	if (how != EX_SUSPENDED)
		forward(t, end < ns ? end : ns);
	ret = t->sink->leave(t->sink->arg, t, f, how, t->now, err);
	if (ret == 0 && how == EX_SUSPENDED)
		ret = put_to_sleep(t, f, err);
	t->depth--;
	return ret;
}

static int leave_above(struct ex_timeline *t, size_t depth, ct_u64 ns, struct ct_error *err)
{
	int ret = 0;

	while (t->depth > depth && !ret)
		ret = leave(t, false, ns, err);
	return ret;
}

static int leave_ended(struct ex_timeline *t, ct_u64 ns, struct ct_error *err)
{
	int ret = 0;

	while (t->depth && !ret && has_ended(t, &t->stack[t->depth - 1]))
		ret = leave(t, false, ns, err);
	return ret;
}

static int push(struct ex_timeline *t, ct_u64 call, const ct_u64 *row, bool resumed, ct_u64 location, ct_u64 ns,
		struct ct_error *err)
{
	struct ex_frame *f;

	if (t->depth == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;
		struct ex_frame *stack = cap <= DEEPEST ? realloc(t->stack, cap * sizeof(*stack)) : NULL;

		if (!stack)
			return cap > DEEPEST
				       ? ct_fail(err, CT_EXIT_FAILED,
						 "steps/calls.ctcol: the stack of thread %u has no end", t->thread)
				       : ct_fail_memory(err);
		t->stack = stack;
		t->cap = cap;
	}
	f = &t->stack[t->depth++];
	*f = (struct ex_frame){.call = call, .resumed = resumed, .location = location};
	memcpy(f->row, row, sizeof(f->row));
	return t->sink->enter(t->sink->arg, t, f, forward(t, ns), err);
}

/* A call that has been entered before, here or in another thread. */
static int push_again(struct ex_timeline *t, ct_u64 call, ct_u64 ns, struct ct_error *err)
{
	ct_u64 row[CT_CALL_NCOLS];

	if (!ct_stepdb_call_row(t->src->db, call, row, err))
		return -1;
	if (!ct_stepdb_name(t->src->db, CT_FUNCTIONS, row[CT_CALL_FUNCTION]))
		return ct_fail(err, CT_EXIT_FAILED, "steps/calls.ctcol: call %llu makes no sense",
			       (unsigned long long)call);
	return push(t, call, row, true, wake(t, call), ns, err);
}

/* Makes `call` the last frame; 0: none is left. */
static int bring(struct ex_timeline *t, ct_u64 call, ct_u64 ns, struct ct_error *err)
{
	size_t at = call ? find(t, call) : 0;

	if (at || !call)
		return leave_above(t, at, ns, err);
	return leave_ended(t, ns, err) < 0 ? -1 : push_again(t, call, ns, err);
}

/* ---- What happens between two lines ---- */

/* Was the next call entered before the thread's next line? */
static int call_is_next(struct ex_timeline *t, struct ct_error *err)
{
	const ct_u64 *row = t->call;
	ct_u64 other[CT_CALL_NCOLS];

	if (!t->call_id)
		return 0;
	if (!t->step_id)
		return 1;
	if (row[CT_CALL_PARENT])
		return row[CT_CALL_FROM_STEP] < t->step_id;
	if ((row[CT_CALL_FIRST_STEP] && row[CT_CALL_FIRST_STEP] <= t->step_id) || t->step[CT_STEP_CALL] == t->call_id)
		return 1;
	/* Its own first line is later, if it has one: then the next line is of a call it made, or it is not entered
	 * yet. Calls of a thread are numbered as they are entered. */
	if (t->step[CT_STEP_CALL] < t->call_id)
		return 0;
	if (!ct_stepdb_call_row(t->src->db, t->step[CT_STEP_CALL], other, err))
		return -1;
	return other[CT_CALL_THREAD] == t->thread;
}

/* Is the next resumption of this thread, and before its next line? */
static int resume_is_next(struct ex_timeline *t, struct ct_error *err)
{
	ct_u64 row[CT_CALL_NCOLS];

	/* Those of other threads name lines of these. */
	while (t->resume_id && t->resume_step != t->last_step && (!t->step_id || t->resume_step < t->step_id))
		if (next_resume(t, err) < 0)
			return -1;
	if (!t->resume_id || t->resume_step != t->last_step)
		return 0;
	if (t->last_step)
		return 1;
	if (!ct_stepdb_call_row(t->src->db, t->resume_call, row, err))
		return -1;
	return row[CT_CALL_THREAD] == t->thread;
}

/* Both are behind the same line: which one first? */
static bool resume_before_call(const struct ex_timeline *t)
{
	size_t caller, resumer;

	if (t->resume_call >= t->call_id || t->resume_by >= t->call_id)
		return false;
	caller = t->call[CT_CALL_PARENT] ? find(t, t->call[CT_CALL_PARENT]) : 0;
	resumer = find(t, t->resume_by);
	/* The caller is the one that is resumed, or above it; or the resumer is gone once the call is made. */
	return (t->call[CT_CALL_PARENT] && !caller) || resumer >= caller;
}

static int do_call(struct ex_timeline *t, struct ct_error *err)
{
	ct_u64 ns = t->call[CT_CALL_ENTER_TIME];

	if (bring(t, t->call[CT_CALL_PARENT], ns, err) < 0 || push(t, t->call_id, t->call, false, 0, ns, err) < 0)
		return -1;
	return next_call(t, err);
}

static int do_resume(struct ex_timeline *t, struct ct_error *err)
{
	size_t at = find(t, t->resume_call), by = find(t, t->resume_by);
	ct_u64 call = t->resume_call;
	int ret = 0;

	/* On the stack still: nothing has told of its suspension until now. */
	if (at)
		ret = leave_above(t, at, t->now, err) < 0 ? -1 : leave(t, true, t->now, err);
	if (ret == 0)
		ret = by && by < t->depth ? leave_above(t, by, t->now, err)
		      : t->resume_by      ? leave_ended(t, t->now, err)
					  : leave_above(t, 0, t->now, err);
	if (ret == 0)
		ret = next_resume(t, err);
	return ret < 0 ? -1 : push_again(t, call, t->now, err);
}

static int between(struct ex_timeline *t, struct ct_error *err)
{
	for (;;) {
		int call = call_is_next(t, err), resume = call < 0 ? -1 : resume_is_next(t, err);

		if (call < 0 || resume < 0)
			return -1;
		if (!call && !resume)
			return 0;
		if (resume && (!call || resume_before_call(t)) ? do_resume(t, err) < 0 : do_call(t, err) < 0)
			return -1;
	}
}

static int do_step(struct ex_timeline *t, struct ct_error *err)
{
	struct ex_frame *f;
	ct_u64 id = t->step_id, ns = t->step[CT_STEP_TIME];

	if (!t->step[CT_STEP_CALL])
		return ct_fail(err, CT_EXIT_FAILED, "steps/steps.ctcol: step %llu has no call", (unsigned long long)id);
	if (bring(t, t->step[CT_STEP_CALL], ns, err) < 0)
		return -1;
	f = &t->stack[t->depth - 1];
	f->location = t->step[CT_STEP_LOCATION];
	t->last_step = id;
	forward(t, ns);
	if (t->sink->step && t->sink->step(t->sink->arg, t, f, id, t->step[CT_STEP_EVENT], t->now, err) < 0)
		return -1;
	return next_step(t, err);
}

/* ---- All of it ---- */

/* As a scan's key list: the variables of a kind. malloc'ed. */
static int ex_kind_keys(struct ct_stepdb *db, enum ct_value_kind kind, ct_u32 **keys, size_t *n, struct ct_error *err)
{
	*n = 0;
	*keys = malloc(((size_t)ct_stepdb_names(db, CT_VARIABLES) + 1) * sizeof(**keys));
	if (!*keys)
		return ct_fail_memory(err);
	for (ct_u32 id = 1; id <= ct_stepdb_names(db, CT_VARIABLES); id++)
		if (ct_stepdb_name(db, CT_VARIABLES, id)->v[CT_VAR_KIND] == kind)
			(*keys)[(*n)++] = id;
	return 0;
}

static int open_scans(struct ex_timeline *t, struct ct_error *err)
{
	struct ct_scan_spec steps = {
		.table = CT_STEPS, .nranges = 1, .range = {{CT_STEP_THREAD, t->thread, t->thread}}};
	struct ct_scan_spec calls = {
		.table = CT_CALLS, .nranges = 1, .range = {{CT_CALL_THREAD, t->thread, t->thread}}};
	struct ct_scan_spec resumes = {.table = CT_VALUES};
	ct_u32 *keys;

	if (ex_kind_keys(t->src->db, CT_VALUE_RESUME, &keys, &resumes.nkeys, err) < 0)
		return -1;
	resumes.keys = keys;
	t->steps = ct_scan_open(t->src->db, &steps, err);
	t->calls = t->steps ? ct_scan_open(t->src->db, &calls, err) : NULL;
	if (resumes.nkeys)
		t->resumes = t->calls ? ct_scan_open(t->src->db, &resumes, err) : NULL;
	free(keys);
	if (!t->calls || (resumes.nkeys && !t->resumes))
		return -1;
	return next_step(t, err) < 0 || next_call(t, err) < 0 ? -1 : next_resume(t, err);
}

static int run(struct ex_timeline *t, struct ct_error *err)
{
	for (;;) {
		if (++t->work % 4096 == 0 && t->opts->stop && t->opts->stop())
			return ct_fail(err, CT_EXIT_FAILED, "interrupted");
		if (between(t, err) < 0)
			return -1;
		if (!t->step_id)
			return 0;
		if (do_step(t, err) < 0)
			return -1;
	}
}

static int leave_all(struct ex_timeline *t, ct_u64 end_ns, struct ct_error *err)
{
	int ret = 0;

	while (t->depth && !ret) {
		struct ex_frame *f = &t->stack[t->depth - 1];

		if (f->row[CT_CALL_STATE] != CT_CALL_OPEN) {
			ret = leave(t, false, UINT64_MAX, err);
			continue;
		}
		ret = t->sink->leave(t->sink->arg, t, f, EX_OPEN, forward(t, end_ns), err);
		t->depth--;
	}
	return ret;
}

int ex_timeline(const struct ct_export_source *src, const struct ct_export_options *opts, ct_u32 thread, ct_u64 end_ns,
		const struct ex_sink *sink, struct ct_error *err)
{
	struct ex_timeline t = {.src = src, .opts = opts, .sink = sink, .thread = thread};
	int ret = open_scans(&t, err);

	if (ret == 0)
		ret = run(&t, err);
	if (ret == 0)
		ret = leave_all(&t, end_ns, err);
	ct_scan_close(t.steps);
	ct_scan_close(t.calls);
	ct_scan_close(t.resumes);
	for (unsigned i = 0; i < EX_ASLEEP; i++)
		while (t.asleep[i])
			wake(&t, t.asleep[i]->call);
	free(t.stack);
	return ret < 0 ? -1 : 0;
}
