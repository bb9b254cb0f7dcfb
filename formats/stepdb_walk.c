/* SPDX-License-Identifier: MIT
 * A walk over the step database: steps, calls and resumptions, each in their order, merged into stacks.
 *
 * Rows name their caller and the step they came from; frames are taken away when something happens below them. */
#include "stepdb_walk.h"

#include <stdlib.h>
#include <string.h>

#define NESTED  16         /* calls within resumptions within calls that one row may need */
#define DEEPEST (1u << 22) /* frames that were there before; a stack that is deeper goes round in a circle */

/* Columns of the row that a scan is at, and of those behind it. */
struct rows {
	const ct_u64 *col[CT_CALL_NCOLS];
	ct_u64 from;
	size_t n;
};
struct head_call {
	bool have;
	ct_u64 id, parent, thread, from_step, enter_event, enter_ns;
};
struct head_resume {
	bool have;
	ct_u64 call, by, step;
};
struct walk {
	struct ct_stepdb *db;
	struct ct_walk_spec spec;
	const struct ct_walk_visitor *visitor;
	struct ct_walk_thread *thread;
	ct_u32 nthreads, nfunctions;
	ct_u8 *generator; /* a byte per function */
	ct_u64 before;    /* calls up to this one began before the walk */
	ct_u64 at;        /* the step that was last */
	unsigned nested;
	struct rows step_rows, call_rows;
	struct ct_scan *steps, *calls, *resumes;
	struct head_call call;
	struct head_resume resume;
};

static int damaged(struct ct_error *err, const char *what, ct_u64 id)
{
	return ct_fail(err, CT_EXIT_FAILED, "the step database makes no sense: %s %llu; rebuild it with `ctbpf index`",
		       what, (unsigned long long)id);
}

static bool is_chosen(const struct walk *w, ct_u64 thread)
{
	return !w->spec.threads || w->spec.threads[thread];
}

/* ---- The stack ---- */

/* Time passes: it is the innermost call's. */
static void charge(struct ct_walk_thread *t, ct_u64 ns)
{
	if (t->depth && t->started && ns > t->ns)
		t->frame[t->depth - 1].self_ns += ns - t->ns;
	if (!t->started || ns > t->ns)
		t->ns = ns;
	t->started = true;
}

static int pop(struct walk *w, struct ct_walk_thread *t, enum ct_walk_leave how, const struct ct_walk_next *next,
	       ct_u64 ns, struct ct_error *err)
{
	struct ct_walk_frame *f = &t->frame[t->depth - 1];
	int ret;

	charge(t, f->exit_ns < ns ? f->exit_ns : ns);
	ret = w->visitor->leave ? w->visitor->leave(w->visitor->arg, t, f, how, next, err) : 0;
	t->active[f->function]--;
	t->depth--;
	if (t->depth) {
		f[-1].below_steps += f->self_steps + f->below_steps;
		f[-1].below_ns += f->self_ns + f->below_ns;
	}
	return ret;
}

/* Takes away frames until `depth` are left. */
static int pop_to(struct walk *w, struct ct_walk_thread *t, size_t depth, const struct ct_walk_next *next, ct_u64 ns,
		  struct ct_error *err)
{
	int ret = 0;

	while (t->depth > depth && ret == 0) {
		const struct ct_walk_frame *f = &t->frame[t->depth - 1];
		bool ended = f->state != CT_CALL_OPEN &&
			     (!f->generator || (f->last_step <= t->last_step && f->exit_event <= next->event));

		ret = pop(w, t, ended ? CT_WALK_ENDED : f->generator ? CT_WALK_SUSPENDED : CT_WALK_OPEN, next, ns, err);
	}
	return ret;
}

/* How many frames there are up to the call's, this included; 0: it is not on the stack. */
static size_t find(const struct ct_walk_thread *t, ct_u64 call)
{
	for (size_t i = t->depth; i; i--)
		if (t->frame[i - 1].call == call)
			return i;
	return 0;
}

static int push_row(struct walk *w, struct ct_walk_thread *t, ct_u64 call, const ct_u64 row[CT_CALL_NCOLS],
		    enum ct_walk_enter how, struct ct_error *err)
{
	struct ct_walk_frame *f;

	if (!row[CT_CALL_FUNCTION] || row[CT_CALL_FUNCTION] > w->nfunctions)
		return damaged(err, "function of call", call);
	if (t->depth == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;

		f = realloc(t->frame, cap * sizeof(*f));
		if (!f)
			return ct_fail_memory(err);
		t->frame = f;
		t->cap = cap;
	}
	if (!t->active) {
		t->active = calloc((size_t)w->nfunctions + 1, sizeof(*t->active));
		if (!t->active)
			return ct_fail_memory(err);
	}
	f = &t->frame[t->depth++];
	*f = (struct ct_walk_frame){.call = call,
				    .from_step = row[CT_CALL_FROM_STEP],
				    .last_step = row[CT_CALL_LAST_STEP],
				    .enter_event = row[CT_CALL_ENTER_EVENT],
				    .exit_event = UINT64_MAX,
				    .exit_ns = UINT64_MAX,
				    .function = (ct_u32)row[CT_CALL_FUNCTION],
				    .exception = (ct_u32)row[CT_CALL_EXCEPTION],
				    .state = row[CT_CALL_STATE] <= CT_CALL_RAISED ? row[CT_CALL_STATE] : CT_CALL_OPEN,
				    .generator = w->generator[row[CT_CALL_FUNCTION]],
				    .attached = row[CT_CALL_FLAGS] & CT_CALLF_ATTACHED};
	f->recursive = t->active[f->function]++ > 0;
	if (f->state != CT_CALL_OPEN) {
		f->exit_event = row[CT_CALL_EXIT_EVENT];
		f->exit_ns = row[CT_CALL_ENTER_TIME] + row[CT_CALL_DURATION];
	}
	return w->visitor->enter ? w->visitor->enter(w->visitor->arg, t, f, how, err) : 0;
}

static int push(struct walk *w, struct ct_walk_thread *t, ct_u64 call, enum ct_walk_enter how, struct ct_error *err)
{
	ct_u64 row[CT_CALL_NCOLS];

	return ct_stepdb_call_row(w->db, call, row, err) ? push_row(w, t, call, row, how, err) : -1;
}

/* Puts a call that is not on the stack there, with all that is below it: what was there before the walk began, or a
 * generator that is back again. */
static int adopt(struct walk *w, struct ct_walk_thread *t, ct_u64 call, const struct ct_walk_next *next, ct_u64 ns,
		 enum ct_walk_enter how, struct ct_error *err)
{
	ct_u64 *chain = NULL, at = call, from;
	size_t n = 0, cap = 0, depth = 0;
	int ret = 0;

	while (at && ret == 0 && !(depth = find(t, at))) {
		ct_u64 row[CT_CALL_NCOLS], caller;

		if (n == cap) {
			ct_u64 *more = realloc(chain, (cap = cap ? 2 * cap : 64) * sizeof(*chain));

			if (!more) {
				ret = ct_fail_memory(err);
				break;
			}
			chain = more;
		}
		chain[n++] = at;
		if (n > DEEPEST)
			ret = damaged(err, "the stack has no end at call", at);
		else if (!ct_stepdb_call_row(w->db, at, row, err))
			ret = -1;
		else if (row[CT_CALL_FUNCTION] <= w->nfunctions && w->generator[row[CT_CALL_FUNCTION]])
			ret = ct_stepdb_caller(w->db, at, next->step > w->at ? next->step : w->at, &caller, &from, err);
		else
			caller = row[CT_CALL_PARENT];
		at = ret == 0 ? caller : 0;
	}
	if (ret == 0)
		ret = pop_to(w, t, depth, next, ns, err);
	for (; n && ret == 0; n--)
		ret = push(w, t, chain[n - 1], n > 1 ? CT_WALK_THERE : how, err);
	free(chain);
	return ret;
}

/* ---- Rows that come next ---- */

/* Where in the columns [first, end) row `id` is, which the scan is at. */
static int rows_at(struct ct_scan *scan, struct rows *r, unsigned first, unsigned end, ct_u64 id, size_t *at,
		   struct ct_error *err)
{
	if (id - r->from >= r->n) {
		r->from = id;
		r->n = 0;
		for (unsigned c = first; c < end; c++) {
			r->col[c] = ct_scan_column(scan, c, &r->n, err);
			if (!r->col[c]) {
				r->n = 0;
				return -1;
			}
		}
	}
	*at = (size_t)(id - r->from);
	return 0;
}

static int next_call(struct walk *w, struct ct_error *err)
{
	const ct_u64 *const *col = w->call_rows.col;
	struct head_call *c = &w->call;
	size_t at;
	int got;

	c->have = false;
	do {
		got = ct_scan_next(w->calls, &c->id, err);
		if (got <= 0)
			return got;
		if (rows_at(w->calls, &w->call_rows, 0, CT_CALL_NCOLS, c->id, &at, err) < 0)
			return -1;
		c->parent = col[CT_CALL_PARENT][at];
		c->thread = col[CT_CALL_THREAD][at];
		c->from_step = col[CT_CALL_FROM_STEP][at];
		c->enter_event = col[CT_CALL_ENTER_EVENT][at];
		c->enter_ns = col[CT_CALL_ENTER_TIME][at];
		if (!c->thread || c->thread > w->nthreads)
			return damaged(err, "thread of call", c->id);
		/* Was there already: the first step's call, and all that were entered before it. */
	} while (!is_chosen(w, c->thread) || c->id <= w->before || (c->from_step && c->from_step < w->spec.first));
	c->have = true;
	return 0;
}

static int next_resume(struct walk *w, struct ct_error *err)
{
	struct head_resume *r = &w->resume;
	struct ct_node node;
	const ct_u8 *p;
	size_t len;
	ct_u64 id;
	int got;

	r->have = false;
	if (!w->resumes)
		return 0;
	got = ct_scan_next(w->resumes, &id, err);
	if (got <= 0)
		return got;
	if (ct_scan_get(w->resumes, CT_VALUE_STEP, &r->step, err) < 0 ||
	    ct_scan_get(w->resumes, CT_VALUE_CALL, &r->call, err) < 0 || ct_scan_node(w->resumes, &p, &len, err) < 0)
		return -1;
	r->by = ct_node_next(&p, p + len, &node) && node.tag == CT_NODE_INT && node.integer > 0 ? (ct_u64)node.integer
												: 0;
	r->have = true;
	return 0;
}

static int take_resume(struct walk *w, const struct ct_walk_next *next, ct_u64 ns, struct ct_error *err);

static int take_call(struct walk *w, struct ct_error *err)
{
	struct head_call c = w->call;
	struct ct_walk_thread *t = &w->thread[c.thread - 1];
	const struct ct_walk_next next = {c.from_step + 1, c.id, c.enter_event};
	ct_u64 row[CT_CALL_NCOLS];
	size_t depth;
	int ret;

	for (unsigned i = 0; i < CT_CALL_NCOLS; i++)
		row[i] = w->call_rows.col[i][c.id - w->call_rows.from];
	ret = next_call(w, err);

	/* A generator that was resumed in this very line calls it. */
	while (ret == 0 && c.parent && !(depth = find(t, c.parent)) && w->resume.have && w->resume.step <= w->at &&
	       w->resume.call < c.id)
		ret = take_resume(w, &next, c.enter_ns, err);
	depth = c.parent ? find(t, c.parent) : 0;
	if (ret == 0)
		ret = depth || !c.parent ? pop_to(w, t, depth, &next, c.enter_ns, err)
					 : adopt(w, t, c.parent, &next, c.enter_ns, CT_WALK_THERE, err);
	if (ret)
		return ret;
	charge(t, c.enter_ns);
	/* How it ended is not in a row that was written before. */
	return row[CT_CALL_STATE] == CT_CALL_OPEN ? push(w, t, c.id, CT_WALK_CALL, err)
						  : push_row(w, t, c.id, row, CT_WALK_CALL, err);
}

static int take_resume(struct walk *w, const struct ct_walk_next *next, ct_u64 ns, struct ct_error *err)
{
	struct head_resume r = w->resume;
	struct ct_walk_thread *t = NULL;
	ct_u64 row[CT_CALL_NCOLS];
	size_t depth = 0;
	int ret = ++w->nested > NESTED ? damaged(err, "a circle of callers at call", r.call) : next_resume(w, err);

	while (ret == 0 && w->call.have && (w->call.id <= r.call || w->call.id <= r.by))
		ret = take_call(w, err);
	w->nested--;
	if (ret)
		return ret;
	for (ct_u32 i = 0; r.by && i < w->nthreads && !depth; i++) {
		depth = find(&w->thread[i], r.by);
		t = depth ? &w->thread[i] : NULL;
	}
	if (!r.by) {
		if (!ct_stepdb_call_row(w->db, r.call, row, err))
			return -1;
		if (!row[CT_CALL_THREAD] || row[CT_CALL_THREAD] > w->nthreads)
			return damaged(err, "thread of call", r.call);
		t = &w->thread[row[CT_CALL_THREAD] - 1];
	}
	/* Resumed by a call that is not on a stack: before the walk, or in a thread that is left out. */
	if (!t || !is_chosen(w, t->id))
		return 0;
	ret = pop_to(w, t, depth, next, ns, err);
	return ret ? ret : push(w, t, r.call, CT_WALK_RESUME, err);
}

/* ---- The walk ---- */

/* Was the call at hand entered before this step? Its number tells, or the step it came from, or, between threads, the
 * event before. */
static bool is_before(const struct walk *w, ct_u64 step, ct_u64 call, ct_u64 thread, ct_u64 event)
{
	const struct head_call *c = &w->call;

	if (c->id <= call)
		return true;
	if (c->thread == thread && c->from_step)
		return c->from_step < step;
	return c->enter_event < event && c->from_step <= w->thread[c->thread - 1].last_step;
}

/* How many steps behind row `at`, the last one taken, are of the same call, with nothing to be taken between them: they
 * only count. */
static size_t same_call(const struct walk *w, size_t at, ct_u64 call, ct_u64 thread)
{
	const ct_u64 *const *col = w->step_rows.col;
	const ct_u64 *calls = col[CT_STEP_CALL], *threads = col[CT_STEP_THREAD], *events = col[CT_STEP_EVENT];
	const struct head_call *c = &w->call;
	ct_u64 id = w->step_rows.from + at, event = UINT64_MAX;
	size_t i = at + 1, end = w->step_rows.n;

	if (c->have && c->thread == thread && c->from_step && c->from_step - id < end - i)
		end = at + 1 + (size_t)(c->from_step - id);
	else if (c->have && !(c->thread == thread && c->from_step))
		event = c->enter_event;
	if (w->resume.have && w->resume.step - id < end - i)
		end = at + 1 + (size_t)(w->resume.step - id);
	while (i < end && calls[i] == call && threads[i] == thread && events[i] <= event)
		i++;
	return i - at - 1;
}

static int take_step(struct walk *w, ct_u64 id, struct ct_error *err)
{
	struct ct_walk_step step = {.id = id};
	struct ct_walk_next next = {.step = id};
	const ct_u64 *const *col = w->step_rows.col;
	struct ct_walk_thread *t;
	ct_u64 call, thread;
	size_t depth, at, more;
	int ret = 0;

	/* Half of the work of decoding is for lines, if somebody asks for them. */
	if (rows_at(w->steps, &w->step_rows, w->visitor->step ? 0 : CT_STEP_LOCATION + 1, CT_STEP_NCOLS, id, &at, err) <
	    0)
		return -1;
	call = col[CT_STEP_CALL][at];
	thread = col[CT_STEP_THREAD][at];
	step.event = col[CT_STEP_EVENT][at];
	step.ns = col[CT_STEP_TIME][at];
	if (w->visitor->step)
		step.location = col[CT_STEP_LOCATION][at];
	if (!thread || thread > w->nthreads)
		return damaged(err, "thread of step", id);
	if (!is_chosen(w, thread))
		return 0;
	t = &w->thread[thread - 1];
	next.event = step.event;
	for (;;) {
		bool c = w->call.have && is_before(w, id, call, thread, step.event);
		bool r = w->resume.have && w->resume.step < id;

		if (c && (!r || w->resume.step >= w->call.from_step))
			ret = take_call(w, err);
		else if (r)
			ret = take_resume(w, &next, step.ns, err);
		else
			break;
		if (ret)
			return ret;
	}
	if (!t->depth || t->frame[t->depth - 1].call != call) {
		depth = find(t, call);
		ret = depth ? pop_to(w, t, depth, &next, step.ns, err)
			    : adopt(w, t, call, &next, step.ns,
				    id == w->spec.first || !t->last_step ? CT_WALK_THERE : CT_WALK_RESUME, err);
		if (ret)
			return ret;
	}
	/* Who does not ask for lines gets those of one call at once. */
	more = w->visitor->step ? 0 : same_call(w, at, call, thread);
	ct_scan_skip(w->steps, more);
	charge(t, col[CT_STEP_TIME][at + more]);
	t->frame[t->depth - 1].self_steps += 1 + more;
	t->last_step = w->at = id + more;
	return w->visitor->step ? w->visitor->step(w->visitor->arg, t, &t->frame[t->depth - 1], &step, err) : 0;
}

/* Behind the last step: calls without steps, and what is on the stacks. */
static int finish(struct walk *w, struct ct_error *err)
{
	const struct ct_walk_next end = {UINT64_MAX, 0, UINT64_MAX};
	bool all = w->spec.last == UINT64_MAX;
	int ret = 0;

	while (ret == 0 && w->call.have && (all || (w->call.from_step && w->call.from_step <= w->spec.last)))
		ret = take_call(w, err);
	while (ret == 0 && all && w->resume.have)
		ret = take_resume(w, &end, 0, err);
	for (ct_u32 i = 0; i < w->nthreads && ret == 0; i++) {
		struct ct_walk_thread *t = &w->thread[i];

		while (t->depth && ret == 0) {
			const struct ct_walk_frame *f = &t->frame[t->depth - 1];
			bool ended =
				f->state != CT_CALL_OPEN && (all || (f->last_step && f->last_step <= w->spec.last));

			ret = pop(w, t, ended ? CT_WALK_ENDED : CT_WALK_OPEN, &end, ended ? f->exit_ns : t->ns, err);
		}
	}
	return ret;
}

/* Functions that have been resumed, and the scan of all resumptions. */
static int open_resumes(struct walk *w, struct ct_error *err)
{
	ct_u32 n = ct_stepdb_names(w->db, CT_VARIABLES), *keys = malloc(((size_t)n + 1) * sizeof(*keys));
	struct ct_scan_spec spec = {.table = CT_VALUES, .keys = keys};

	if (!keys)
		return ct_fail_memory(err);
	for (ct_u32 id = 1; id <= n; id++) {
		const ct_u64 *v = ct_stepdb_name(w->db, CT_VARIABLES, id)->v;

		if (v[CT_VAR_KIND] == CT_VALUE_RESUME && v[CT_VAR_FUNCTION] <= w->nfunctions) {
			w->generator[v[CT_VAR_FUNCTION]] = 1;
			keys[spec.nkeys++] = id;
		}
	}
	if (w->spec.first > 1)
		spec.range[spec.nranges++] = (struct ct_range){CT_VALUE_STEP, w->spec.first, UINT64_MAX};
	if (spec.nkeys)
		w->resumes = ct_scan_open(w->db, &spec, err);
	free(keys);
	if (spec.nkeys && !w->resumes)
		return -1;
	return next_resume(w, err);
}

static int open_scans(struct walk *w, struct ct_error *err)
{
	struct ct_scan_spec steps = {.table = CT_STEPS, .first = w->spec.first, .last = w->spec.last};
	struct ct_scan_spec calls = {.table = CT_CALLS};
	ct_u64 row[CT_STEP_NCOLS];

	if (w->spec.last == UINT64_MAX)
		steps.last = 0;
	if (w->spec.first > 1) {
		if (!ct_stepdb_step_row(w->db, w->spec.first, row, err))
			return -1;
		w->before = row[CT_STEP_CALL];
		calls.range[calls.nranges++] = (struct ct_range){CT_CALL_ENTER_EVENT, row[CT_STEP_EVENT], UINT64_MAX};
	}
	w->steps = ct_scan_open(w->db, &steps, err);
	w->calls = w->steps ? ct_scan_open(w->db, &calls, err) : NULL;
	return w->calls ? next_call(w, err) : -1;
}

int ct_stepdb_walk(struct ct_stepdb *db, const struct ct_walk_spec *spec, const struct ct_walk_visitor *visitor,
		   struct ct_error *err)
{
	struct walk w = {.db = db,
			 .spec = *spec,
			 .visitor = visitor,
			 .nthreads = ct_stepdb_names(db, CT_THREADS),
			 .nfunctions = ct_stepdb_names(db, CT_FUNCTIONS)};
	struct ct_stepdb_info info;
	ct_u64 id;
	int ret = 0, got;

	ct_stepdb_info(db, &info);
	w.spec.first = spec->first ? spec->first : 1;
	w.spec.last = spec->last && spec->last < info.steps ? spec->last : UINT64_MAX;
	w.thread = calloc((size_t)w.nthreads + 1, sizeof(*w.thread));
	w.generator = calloc((size_t)w.nfunctions + 1, 1);
	if (!w.thread || !w.generator)
		ret = ct_fail_memory(err);
	for (ct_u32 i = 0; w.thread && i < w.nthreads; i++)
		w.thread[i].id = i + 1;
	if (ret == 0 && (w.spec.first == 1 || w.spec.first <= info.steps)) {
		ret = open_resumes(&w, err) < 0 || open_scans(&w, err) < 0 ? -1 : 0;
		while (ret == 0 && (got = ct_scan_next(w.steps, &id, err)) != 0)
			ret = got < 0 ? -1 : take_step(&w, id, err);
		if (ret == 0)
			ret = finish(&w, err);
	}
	ct_scan_close(w.steps);
	ct_scan_close(w.calls);
	ct_scan_close(w.resumes);
	for (ct_u32 i = 0; w.thread && i < w.nthreads; i++) {
		free(w.thread[i].frame);
		free(w.thread[i].active);
	}
	free(w.thread);
	free(w.generator);
	return ret;
}
