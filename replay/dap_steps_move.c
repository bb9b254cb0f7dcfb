/* SPDX-License-Identifier: MIT
 * Going through a step database, forwards and backwards: steps within a thread, runs to the next breakpoint.
 *
 * A step's end is known at once; then it is asked whether a breakpoint is hit on the way. */
#include "replay/dap_output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Where a step leads ---- */

static int compare_ids(const void *a, const void *b)
{
	const ct_u64 *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The next step that one of the thread's calls makes itself: of its whole stack, or without the innermost call. */
static int next_of_stack(struct dap_steps *d, ct_u32 thread, bool without_innermost, bool backwards, ct_u64 from,
			 ct_u64 *step, struct ct_error *err)
{
	const struct dap_stack *s = dap_get_stack(d, thread, SIZE_MAX, err);
	size_t skip = without_innermost, n = s && s->n > skip ? s->n - skip : 0;
	struct ct_scan_spec spec = {.table = CT_STEPS, .backwards = backwards, .nranges = 2};
	ct_u64 *calls = n ? malloc(n * sizeof(*calls)) : NULL, call;
	struct ct_scan *scan = NULL;
	int got = s ? 0 : -1;

	if (n && !calls)
		got = dap_no_memory(err);
	if (!got && n && (backwards ? from > 1 : from < d->steps)) {
		for (size_t i = 0; i < n; i++)
			calls[i] = s->frame[i + skip].call;
		qsort(calls, n, sizeof(*calls), compare_ids);
		spec.range[0] = (struct ct_range){CT_STEP_THREAD, thread, thread};
		spec.range[1] = (struct ct_range){CT_STEP_CALL, calls[0], calls[n - 1]};
		spec.first = backwards ? 1 : from + 1;
		spec.last = backwards ? from - 1 : 0;
		scan = ct_scan_open(d->db, &spec, err);
		do {
			got = scan ? ct_scan_next(scan, step, err) : -1;
			if (got > 0 && ct_scan_get(scan, CT_STEP_CALL, &call, err) < 0)
				got = -1;
		} while (got > 0 && !bsearch(&call, calls, n, sizeof(*calls), compare_ids));
	}
	ct_scan_close(scan);
	free(calls);
	return got;
}

static int step_target(struct dap_steps *d, const struct dap_move *m, ct_u64 *step, struct ct_error *err)
{
	ct_u32 thread = m->thread ? m->thread : d->at.thread;
	/* Behind a step, that step is one to go back to. */
	ct_u64 from = d->at.row && m->backwards ? d->at.step + 1 : d->at.step;

	if (!ct_stepdb_name(d->db, CT_THREADS, thread))
		return ct_fail(err, CT_EXIT_USAGE, "there is no thread %u", thread);
	if (m->motion == DAP_IN)
		return dap_next_step(d, thread, 0, 0, from, m->backwards, step, err);
	return next_of_stack(d, thread, m->motion == DAP_OUT, m->backwards, from, step, err);
}

/* ---- Log points ---- */

static void put(char *text, size_t size, size_t *n, const char *what, size_t len)
{
	if (len > size - 1 - *n)
		len = size - 1 - *n;
	memcpy(text + *n, what, len);
	*n += len;
}

/* Each {EXPRESSION} by its value. */
static void log_message(struct dap_steps *d, const struct dap_break *b, const struct dap_pos *at)
{
	struct dap_moment m = {.d = d, .call = at->call, .end = at->end};
	char text[8192], expression[1024], *value;
	const char *p = b->log;
	ct_u64 row[CT_STEP_NCOLS];
	json_t *place = NULL;
	size_t n = 0;

	while (*p) {
		const char *end = *p == '{' ? strchr(p, '}') : NULL;
		struct ct_error err = {0};

		if (!end || (size_t)(end - p) > sizeof(expression)) {
			put(text, sizeof(text) - 1, &n, p++, 1);
			continue;
		}
		*(char *)mempcpy(expression, p + 1, (size_t)(end - p - 1)) = 0;
		if (dap_ask(&m, expression, &value, &err) < 0 && asprintf(&value, "{%s}", err.msg) < 0)
			value = NULL;
		if (value)
			put(text, sizeof(text) - 1, &n, value, strlen(value));
		free(value);
		p = end + 1;
	}
	text[n++] = '\n';
	if (ct_stepdb_step_row(d->db, at->step, row, NULL)) {
		const struct ct_name *l = ct_stepdb_name(d->db, CT_LOCATIONS, row[CT_STEP_LOCATION]);

		place = l ? json_pack("{s:o, s:I}", "source", dap_file_json(d, l->v[CT_LOC_FILE]), "line",
				      (json_int_t)l->v[CT_LOC_LINE])
			  : NULL;
	}
	d->host->output(d->host->ctx, "console", text, n, place);
}

/* All of them on the way, in its order. */
static int log_way(struct dap_steps *d, const struct dap_pos *from, const struct dap_pos *limit, bool backwards,
		   struct ct_error *err)
{
	struct waiting {
		struct dap_break *b;
		struct dap_pos hit;
	} *list = NULL;
	size_t n = 0;
	int got = 0;

	for (struct dap_break *b = *d->host->breaks; b && !got; b = b->next) {
		struct waiting *more, w = {.b = b};

		if (!b->log || (got = dap_next_hit(d, b, from, limit, backwards, &w.hit, err)) != 1)
			continue;
		got = 0;
		more = realloc(list, (n + 1) * sizeof(*more));
		if (!more) {
			got = dap_no_memory(err);
			break;
		}
		list = more;
		list[n++] = w;
	}
	while (n && !got) {
		struct waiting *first = list;
		struct dap_pos at;

		for (size_t i = 1; i < n; i++) {
			int order = dap_pos_compare(&list[i].hit, &first->hit);

			if (backwards ? order > 0 : order < 0)
				first = &list[i];
		}
		at = first->hit;
		dap_output_to(d, &at);
		log_message(d, first->b, &at);
		got = d->host->interrupted(d->host->ctx)
			      ? 2
			      : dap_next_hit(d, first->b, &at, limit, backwards, &first->hit, err);
		if (got == 0)
			*first = list[--n];
		else if (got == 1)
			got = 0;
	}
	free(list);
	return got;
}

/* ---- Going ---- */

static void stop_at(struct dap_steps *d, const struct dap_pos *pos, struct dap_stop *stop, const char *reason)
{
	dap_stand_at(d, pos);
	dap_output_to(d, pos);
	stop->reason = reason;
	stop->thread = pos->thread;
}

static int to_end(struct dap_steps *d, bool backwards, struct dap_stop *stop, struct ct_error *err)
{
	struct dap_pos pos;

	if (dap_pos_at_step(d, backwards ? 1 : d->steps, &pos, err) < 0)
		return -1;
	if (!backwards) {
		pos.row = DAP_END;
		pos.end = d->values + 1;
	}
	stop_at(d, &pos, stop, backwards ? "entry" : "end");
	stop->at_end = !backwards;
	snprintf(stop->text, sizeof(stop->text), "%s",
		 backwards     ? "Start of the recording"
		 : d->complete ? "End of the recording"
			       : "End of what is indexed; the step database is not complete");
	return 0;
}

/* Stops at the nearest breakpoint that is not behind `limit`. 0: there is none. */
static int to_break(struct dap_steps *d, const struct dap_pos *from, const struct dap_pos *limit, bool backwards,
		    struct dap_pos *best, struct dap_break **cause, struct dap_stop *stop, struct ct_error *err)
{
	static const char *const reasons[] = {"breakpoint", "function breakpoint", "exception", "data breakpoint"};
	struct dap_pos hit;
	int got, order;

	*cause = NULL;
	/* Those with a condition may have to look at much: they come last, when the way is short. */
	for (int late = 0; late < 2; late++)
		for (struct dap_break *b = *d->host->breaks; b; b = b->next) {
			if (b->log || (b->condition || b->hits.op) != (late == 1))
				continue;
			got = dap_next_hit(d, b, from, *cause ? best : limit, backwards, &hit, err);
			if (got < 0)
				return -1;
			if (got == 2) {
				*best = hit;
				*cause = NULL;
				stop->reason = "pause";
				stop->nhits = 0;
				return 1;
			}
			if (!got)
				continue;
			order = *cause ? dap_pos_compare(&hit, best) : 0;
			if (!*cause || order) {
				stop->nhits = 0;
				*best = hit;
				*cause = NULL;
			}
			if (stop->nhits < DAP_HIT_IDS)
				stop->hit[stop->nhits++] = b->id;
			if (!*cause || b->kind > (*cause)->kind) {
				*cause = b;
				*best = hit;
			}
		}
	if (*cause)
		stop->reason = reasons[(*cause)->kind];
	return *cause != NULL;
}

int dap_steps_move(struct dap_debuggee *base, const struct dap_move *m, struct dap_stop *stop, struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	struct dap_pos from = m->beginning ? (struct dap_pos){.end = 1} : d->at, target, best, *limit = NULL;
	struct dap_break *cause;
	int got = 0, logged;
	ct_u64 step;

	if (m->motion != DAP_CONTINUE) {
		got = step_target(d, m, &step, err);
		if (got > 0 && dap_pos_at_step(d, step, &target, err) == 0)
			limit = &target;
		if (got < 0 || (got > 0 && !limit))
			return -1;
	}
	got = to_break(d, &from, limit, m->backwards, &best, &cause, stop, err);
	if (got < 0)
		return -1;
	logged = log_way(d, &from, got ? &best : limit, m->backwards, err);
	if (logged < 0)
		return -1;
	if (got) {
		stop_at(d, &best, stop, stop->reason);
		if (cause && cause->kind == DAP_EXCEPTION)
			d->exception = strcmp(cause->name, "uncaught") == 0 ? DAP_UNCAUGHT : DAP_RAISED;
		if (cause)
			dap_hit_text(d, cause, &best, stop->text, sizeof(stop->text));
		return 0;
	}
	if (limit) {
		stop_at(d, limit, stop, "step");
		return 0;
	}
	return to_end(d, m->backwards, stop, err);
}

int dap_steps_seek(struct dap_debuggee *base, const char *position, struct dap_stop *stop, struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	ct_u64 step;

	if (strcmp(position, "start") == 0 || strcmp(position, "end") == 0)
		return to_end(d, position[0] == 's', stop, err);
	if (ct_stepdb_find_step(d->db, d->rec, position, &step, err) < 0)
		return -1;
	return dap_steps_go(base, step, stop, err);
}

int dap_steps_go(struct dap_debuggee *base, ct_u64 target, struct dap_stop *stop, struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	struct dap_pos pos;

	if (dap_pos_at_step(d, target, &pos, err) < 0)
		return -1;
	stop_at(d, &pos, stop, "goto");
	return 0;
}
