/* SPDX-License-Identifier: MIT
 * Where breakpoints are hit in a step database: by the posting lists of lines, variables and exceptions.
 *
 * A hit has one place for both directions, but for data: forwards it is where the new value is there, backwards where
 * it is about to be written. Both are in the order of the rows, so that either way passes each hit once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dap_steps.h"

#define LOOK_UP 1024 /* candidates between looks at what the client wants */

/* ---- Whether a candidate is a hit ---- */

/* What cannot be told counts as false, and is told once. */
static int condition_holds(struct dap_steps *d, struct dap_break *b, const struct dap_scope *scope)
{
	struct ct_error err = {0};
	struct dap_result result;
	char text[1400];

	if (dap_eval(b->condition, scope, &result, &err) == 0) {
		free(result.scratch);
		return dap_is_true(&result.value);
	}
	if (!b->complained) {
		int n = snprintf(text, sizeof(text), "ctbpf: condition '%.200s': %s\n", b->condition, err.msg);

		b->complained = true;
		d->host->output(d->host->ctx, "console", text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1,
				NULL);
	}
	return 0;
}

/* The step that a call begins with; 0: none, or it began before the recording did. */
static int first_step_of(struct dap_steps *d, ct_u64 call, ct_u64 *first, struct ct_error *err)
{
	ct_u64 row[CT_CALL_NCOLS];

	if (!ct_stepdb_call_row(d->db, call, row, err))
		return -1;
	*first = 0;
	if (row[CT_CALL_FLAGS] & CT_CALLF_ATTACHED)
		return 0;
	*first = row[CT_CALL_FIRST_STEP];
	/* Of one that never ended the row does not say it. */
	return row[CT_CALL_STATE] != CT_CALL_OPEN
		       ? 0
		       : dap_next_step(d, 0, call, call, row[CT_CALL_FROM_STEP], false, first, err);
}

/* What is raised is not caught in the frames it leaves: none of them runs a line before it ends by an exception. */
static int is_uncaught(struct dap_steps *d, const struct dap_row *row, ct_u64 end, struct ct_error *err)
{
	ct_u64 call = row->call, at[CT_CALL_NCOLS], from;

	while (call) {
		if (!ct_stepdb_call_row(d->db, call, at, err))
			return -1;
		if (at[CT_CALL_STATE] != CT_CALL_RAISED || at[CT_CALL_LAST_STEP] > row->step)
			return 0;
		if (ct_stepdb_caller_before(d->db, call, end, &call, &from, err) < 0)
			return -1;
	}
	return 1;
}

/* "ValueError, KeyError": by their whole names, or without what is before the last dot. */
static bool is_listed(const char *types, const char *type, size_t len)
{
	static const char blanks[] = ", \t";
	const char *dot = memrchr(type, '.', len);
	size_t last = dot ? (size_t)(type + len - dot - 1) : len;

	while (*(types += strspn(types, blanks))) {
		size_t n = strcspn(types, blanks);

		if ((len == n && memcmp(types, type, n) == 0) || (last == n && memcmp(types, type + len - n, n) == 0))
			return true;
		types += n;
	}
	return false;
}

static int exception_at(struct dap_steps *d, struct dap_break *b, ct_u64 id, struct dap_pos *hit, struct ct_error *err)
{
	const struct dap_places *p = b->data;
	ct_u64 at[CT_CALL_NCOLS];
	struct dap_row row;
	const char *type;
	int ret = 1;
	size_t len;

	if (dap_get_row(d, id, &row, err) < 0)
		return -1;
	type = dap_exception_type(d, row.node, row.len, &len);
	if (b->condition && !is_listed(b->condition, type, len))
		ret = 0;
	if (ret && p->uncaught)
		ret = is_uncaught(d, &row, id + 1, err);
	*hit = (struct dap_pos){.row = id + 1, .call = row.call, .end = id + 1, .cause = id};
	free(row.node);
	if (ret <= 0)
		return ret;
	if (!ct_stepdb_call_row(d->db, hit->call, at, err) || ct_stepdb_value_step(d->db, id, &hit->step, err) < 0)
		return -1;
	hit->thread = (ct_u32)at[CT_CALL_THREAD];
	return hit->step > 0;
}

/* The watched part as one text. NULL: there is no such part. */
static char *part(struct dap_moment *m, const char *path)
{
	char *text = NULL;

	return dap_ask(m, path, &text, NULL) == 0 ? text : NULL;
}

/* The value that the scan is at changes what is watched, and meets the condition. */
static int data_counts(struct dap_steps *d, struct dap_break *b, ct_u64 id, const struct dap_row *row,
		       const struct ct_name *name, struct ct_error *err)
{
	const struct dap_places *p = b->data;
	struct dap_moment now = {.d = d, .call = row->call, .end = id + 1, .known = row->node, .known_len = row->len},
			  before = {.d = d, .call = row->call, .end = id};
	struct dap_scope scope = dap_moment_scope(&now);
	ct_u64 at[CT_CALL_NCOLS];
	bool counts = true;
	char *old, *new;

	now.name = name ? name->text : "";
	if (p->path) {
		old = part(&before, p->path);
		new = part(&now, p->path);
		counts = old && new ? strcmp(old, new) != 0 : old || new;
		free(old);
		free(new);
	}
	if (counts && b->condition)
		counts = condition_holds(d, b, &scope);
	dap_moment_deinit(&before);
	dap_moment_deinit(&now);
	if (!counts)
		return 0;
	/* The first look at a frame from before the recording is no change. */
	if (!ct_stepdb_call_row(d->db, row->call, at, err))
		return -1;
	if ((at[CT_CALL_FLAGS] & CT_CALLF_ATTACHED) && name) {
		ct_u8 *old_node = NULL;
		size_t len;
		int had = dap_value_before(d, row->call, id, name->text, name->len, &old_node, &len, err);

		free(old_node);
		return had;
	}
	return 1;
}

static int data_at(struct dap_steps *d, struct dap_break *b, ct_u64 id, struct ct_scan *scan, bool backwards,
		   struct dap_pos *hit, struct ct_error *err)
{
	ct_u64 at[CT_CALL_NCOLS], step[CT_STEP_NCOLS] = {0}, there = 0, from, variable;
	const struct ct_name *v, *name;
	const ct_u8 *node;
	struct dap_row row;
	int counts;

	if (ct_scan_get(scan, CT_VALUE_STEP, &row.step, err) < 0 ||
	    ct_scan_get(scan, CT_VALUE_CALL, &row.call, err) < 0 ||
	    ct_scan_get(scan, CT_VALUE_VARIABLE, &variable, err) < 0 || ct_scan_node(scan, &node, &row.len, err) < 0)
		return -1;
	row.node = (ct_u8 *)node;
	v = ct_stepdb_name(d->db, CT_VARIABLES, variable);
	name = ct_stepdb_name(d->db, CT_STRINGS, v->v[CT_VAR_NAME]);
	counts = data_counts(d, b, id, &row, name, err);
	if (counts <= 0)
		return counts;
	if (!ct_stepdb_call_row(d->db, row.call, at, err) ||
	    (row.step && (!ct_stepdb_step_row(d->db, row.step, step, err) ||
			  (step[CT_STEP_CALL] == row.call && ct_stepdb_values_at(d->db, row.step, &there, err) < 0))))
		return -1;
	*hit = (struct dap_pos){.call = row.call, .thread = (ct_u32)at[CT_CALL_THREAD], .cause = id};
	if (id < there) { /* changed by the line before, told at the beginning of this one */
		hit->step = row.step;
		hit->thread = (ct_u32)step[CT_STEP_THREAD];
		hit->end = there;
		if (backwards) {
			hit->step--;
			hit->row = hit->end = id;
		}
		return row.step > 1;
	}
	/* An argument is given by the line that calls. */
	if (v->v[CT_VAR_KIND] == CT_VALUE_ARGUMENT && backwards) {
		if (ct_stepdb_caller_before(d->db, row.call, id, &from, &there, err) < 0)
			return -1;
		hit->call = from ? from : row.call;
	}
	hit->row = hit->end = backwards ? id : id + 1;
	if (ct_stepdb_value_step(d->db, id, &hit->step, err) < 0)
		return -1;
	return hit->step > 0;
}

/* ---- Looking for the next one ---- */

/* Hits of a line or function among steps [first, last]: the first one, the last one, or only how many. `number`: of
 * hits before the first that is looked at, or backwards up to it, if a hit condition wants it. */
struct walk {
	ct_u64 first, last;
	bool backwards;
	enum { FIRST, LAST, COUNT } want;
	ct_u64 number;
};

static int holds_at(struct dap_steps *d, struct dap_break *b, struct dap_stream *stream, ct_u64 call, ct_u64 step,
		    struct ct_error *err)
{
	if (!b->condition)
		return 1;
	if (dap_stream_to(stream, call, step, err) < 0)
		return -1;
	return condition_holds(d, b, &stream->scope);
}

static int walk(struct dap_steps *d, struct dap_break *b, struct walk *w, ct_u64 *hit, struct ct_error *err)
{
	const struct dap_places *p = b->data;
	struct ct_scan_spec spec = {.table = CT_STEPS,
				    .first = w->first,
				    .last = w->last,
				    .keys = p->keys,
				    .nkeys = p->n,
				    .backwards = w->backwards};
	ct_u64 step, call, seen = 0, known = 0, entry = 0;
	struct dap_stream *stream = NULL;
	bool found = false;
	struct ct_scan *scan;
	int got, is;

	if (!p->n || !w->last || w->first > w->last)
		return 0;
	scan = ct_scan_open(d->db, &spec, err);
	got = scan ? 1 : -1;
	if (got > 0 && b->condition && !(stream = dap_stream_open(d, p->keys, p->n, b->condition, w->first, err)))
		got = -1;
	while (got > 0 && (got = ct_scan_next(scan, &step, err)) > 0) {
		if (++seen % LOOK_UP == 0 && d->host->interrupted(d->host->ctx)) {
			*hit = step;
			got = 2;
			break;
		}
		is = ct_scan_get(scan, CT_STEP_CALL, &call, err) < 0 ? -1 : 1;
		if (is > 0 && b->kind == DAP_FUNCTION) {
			is = call != known && first_step_of(d, call, &entry, err) < 0 ? -1 : 1;
			known = call;
			is = is > 0 ? entry == step : is;
		}
		if (is > 0)
			is = holds_at(d, b, stream, call, step, err);
		if (is > 0 && !w->backwards)
			w->number++;
		if (is > 0 && w->want != COUNT && dap_hits_match(&b->hits, w->number)) {
			*hit = step;
			found = true;
		}
		if (is < 0 || (found && w->want == FIRST)) {
			got = is;
			break;
		}
		if (is > 0 && w->backwards)
			w->number--;
	}
	dap_stream_close(stream);
	ct_scan_close(scan);
	return got == 0 ? found : got;
}

/* How many hits there are up to a step; from the last place where it was asked. */
static int count_to(struct dap_steps *d, struct dap_break *b, ct_u64 step, ct_u64 *number, struct ct_error *err)
{
	struct dap_places *p = b->data;
	bool forth = step >= p->known_at, anew = step < p->known_at / 2;
	struct walk w = {.first = forth  ? p->known_at + 1
				  : anew ? 1
					 : step + 1,
			 .last = forth || anew ? step : p->known_at,
			 .want = COUNT};
	ct_u64 hit;
	int got = walk(d, b, &w, &hit, err);

	if (got < 0 || got == 2)
		return got;
	p->known = forth ? p->known + w.number : anew ? w.number : p->known - w.number;
	p->known_at = step;
	*number = p->known;
	return 0;
}

/* Conditions are looked at forwards only, since values are followed that way: one window after the other, backwards. */
static int walk_back(struct dap_steps *d, struct dap_break *b, const struct walk *w, ct_u64 *hit, struct ct_error *err)
{
	ct_u64 last = w->last, size = 1024, number = w->number;
	int got = 0;

	while (!got && last && last >= w->first) {
		ct_u64 first = last - w->first >= size ? last - size + 1 : w->first;
		struct walk all = {.first = first, .last = last, .want = COUNT};

		if (b->hits.op && (got = walk(d, b, &all, hit, err)))
			break;
		number -= all.number;
		all = (struct walk){.first = first, .last = last, .want = LAST, .number = number};
		got = walk(d, b, &all, hit, err);
		last = first - 1;
		size = size < 1u << 22 ? 4 * size : size;
	}
	return got;
}

static int next_step_hit(struct dap_steps *d, struct dap_break *b, ct_u64 first, ct_u64 last, bool backwards,
			 struct dap_pos *hit, struct ct_error *err)
{
	struct walk w = {.first = first, .last = last, .backwards = backwards};
	ct_u64 step = 0;
	int got = 0;

	if (!last || first > last)
		return 0;
	if (b->hits.op)
		got = count_to(d, b, backwards ? last : first - 1, &w.number, err);
	if (!got)
		got = backwards && b->condition ? walk_back(d, b, &w, &step, err) : walk(d, b, &w, &step, err);
	return got > 0 && dap_pos_at_step(d, step ? step : first, hit, err) < 0 ? -1 : got;
}

static int next_value_hit(struct dap_steps *d, struct dap_break *b, const struct dap_pos *from,
			  const struct dap_pos *limit, bool backwards, struct dap_pos *hit, struct ct_error *err)
{
	const struct dap_places *p = b->data;
	struct ct_scan_spec spec = {.table = CT_VALUES, .keys = p->keys, .nkeys = p->n, .backwards = backwards};
	struct ct_scan *scan;
	ct_u64 id, seen = 0;
	int got;

	if (!p->n || (backwards ? from->end <= 1 : from->end > d->values))
		return 0;
	if (backwards)
		spec.last = from->end - 1;
	else
		spec.first = from->end;
	if (p->call)
		spec.range[spec.nranges++] = (struct ct_range){CT_VALUE_CALL, p->call, p->call};
	scan = ct_scan_open(d->db, &spec, err);
	got = scan ? 1 : -1;
	while (got > 0 && (got = ct_scan_next(scan, &id, err)) > 0) {
		int is = b->kind == DAP_DATA ? data_at(d, b, id, scan, backwards, hit, err)
					     : exception_at(d, b, id, hit, err);
		int order;

		if (is < 0) {
			got = -1;
			break;
		}
		if (++seen % LOOK_UP == 0 && d->host->interrupted(d->host->ctx)) {
			*hit = *from;
			got = 2;
			break;
		}
		if (!is)
			continue;
		order = limit ? dap_pos_compare(hit, limit) : 0;
		if (backwards ? order < 0 : order > 0) {
			got = 0;
			break;
		}
		/* The one it stands at is not the next one. */
		order = dap_pos_compare(hit, from);
		if (backwards ? order < 0 : order > 0)
			break;
	}
	ct_scan_close(scan);
	return got;
}

/* The number of a hit among all of the recording: few, or they would not be stopped at. */
static int number_of_value(struct dap_steps *d, struct dap_break *b, const struct dap_pos *hit, ct_u64 *number,
			   struct ct_error *err)
{
	struct dap_pos at = {.end = 1}, next;
	int got;

	for (*number = 0; (got = next_value_hit(d, b, &at, NULL, false, &next, err)) == 1; at = next) {
		(*number)++;
		if (next.cause >= hit->cause)
			break;
	}
	return got;
}

int dap_next_hit(struct dap_steps *d, struct dap_break *b, const struct dap_pos *from, const struct dap_pos *limit,
		 bool backwards, struct dap_pos *hit, struct ct_error *err)
{
	struct dap_pos at = *from;
	ct_u64 number;
	int got;

	if (!b->data || b->broken)
		return 0;
	if (b->kind == DAP_LINE || b->kind == DAP_FUNCTION) {
		if (backwards)
			return next_step_hit(d, b, limit ? limit->step + (limit->row != 0) : 1,
					     from->row ? from->step : from->step - 1, true, hit, err);
		return next_step_hit(d, b, from->step + 1, limit ? limit->step : d->steps, false, hit, err);
	}
	while ((got = next_value_hit(d, b, &at, limit, backwards, hit, err)) == 1 && b->hits.op) {
		got = number_of_value(d, b, hit, &number, err);
		if (got != 1 || dap_hits_match(&b->hits, number))
			break;
		at = *hit;
	}
	return got;
}

void dap_hit_text(struct dap_steps *d, const struct dap_break *b, const struct dap_pos *hit, char *text, size_t size)
{
	const struct ct_name *v, *name;
	struct dap_row row;
	ct_u8 *old = NULL;
	char *was = NULL, *is = NULL;
	size_t len = 0, n;

	text[0] = 0;
	if (!hit->cause || dap_get_row(d, hit->cause, &row, NULL) < 0)
		return;
	v = ct_stepdb_name(d->db, CT_VARIABLES, row.variable);
	name = ct_stepdb_name(d->db, CT_STRINGS, v->v[CT_VAR_NAME]);
	is = dap_show(d, row.node, row.len, &n);
	if (name && dap_value_before(d, row.call, hit->cause, name->text, name->len, &old, &len, NULL) > 0)
		was = dap_show(d, old, len, &n);
	if (b->kind == DAP_EXCEPTION)
		snprintf(text, size, "%.400s", is ? is : "?");
	else
		snprintf(text, size, "%.100s: %.180s -> %.180s", name ? name->text : "?", was ? was : "(nothing)",
			 is ? is : "?");
	free(row.node);
	free(old);
	free(was);
	free(is);
}
