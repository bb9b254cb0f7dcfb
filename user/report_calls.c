/* SPDX-License-Identifier: MIT
 * `ctbpf report`: functions by lines, time and calls; exceptions by type and place. From the step database.
 *
 * Functions are counted in one walk over all steps, in memory for one row a function. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../formats/stepdb_walk.h"
#include "keymap.h"
#include "report.h"

/* ---- Functions ---- */

struct function {
	ct_u64 calls, raised, self_steps, total_steps, self_ns, total_ns;
	ct_u32 id;
};
struct functions {
	struct function *list; /* by id */
	enum report_by by;
	ct_u64 last_step; /* of the stretch; 0: to the end */
};

static int on_enter(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, enum ct_walk_enter how,
		    struct ct_error *err)
{
	struct functions *fns = arg;

	(void)t, (void)err;
	fns->list[f->function].calls += how == CT_WALK_CALL;
	/* Of a generator: when it was left for good cannot be told from when it was left. */
	fns->list[f->function].raised += f->generator && how == CT_WALK_CALL && f->state == CT_CALL_RAISED &&
					 (!fns->last_step || f->last_step <= fns->last_step);
	return 0;
}

static int on_leave(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, enum ct_walk_leave how,
		    const struct ct_walk_next *next, struct ct_error *err)
{
	struct functions *fns = arg;
	struct function *fn = &fns->list[f->function];

	(void)t, (void)next, (void)err;
	fn->raised += !f->generator && how == CT_WALK_ENDED && f->state == CT_CALL_RAISED;
	fn->self_steps += f->self_steps;
	fn->self_ns += f->self_ns;
	if (!f->recursive) {
		fn->total_steps += f->self_steps + f->below_steps;
		fn->total_ns += f->self_ns + f->below_ns;
	}
	return 0;
}

static ct_u64 measure(const struct function *f, enum report_by by)
{
	switch (by) {
	case BY_TOTAL: return f->total_steps;
	case BY_TIME: return f->self_ns;
	case BY_CALLS: return f->calls;
	default: return f->self_steps;
	}
}

static int compare_functions(const void *a, const void *b, void *arg)
{
	const struct function *x = a, *y = b;
	enum report_by by = ((struct functions *)arg)->by;
	ct_u64 m = measure(x, by), n = measure(y, by);

	if (m != n)
		return m < n ? 1 : -1;
	if (x->self_steps != y->self_steps)
		return x->self_steps < y->self_steps ? 1 : -1;
	return (x->id > y->id) - (x->id < y->id);
}

/* "path:line" of its definition; functions that are not of the program's language have none. */
static void put_definition(struct report *r, struct query_rows *rows, const struct ct_name *function)
{
	const struct ct_name *file = ct_stepdb_name(r->q.db, CT_FILES, function->v[CT_FN_FILE]);

	if (file)
		query_put_line(rows, file->text, function->v[CT_FN_LINE]);
	else
		query_null(rows);
}

static void put_functions(struct report *r, struct functions *fns, size_t n)
{
	const bool table = r->q.form == QUERY_TABLE;
	const char *const names[] = {"self_steps",
				     "percent",
				     "total_steps",
				     "calls",
				     "exceptions",
				     table ? "self_time" : "self_ns",
				     table ? "total_time" : "total_ns",
				     "function",
				     "place"};
	struct query_rows rows;
	ct_u64 all = 0, all_ns = 0;

	for (size_t i = 0; i < n; i++) {
		all += fns->list[i].self_steps;
		all_ns += fns->list[i].self_ns;
	}
	report_title(r, "Functions");
	report_begin(r, &rows, "functions", names, 9, 0x7f);
	for (size_t i = 0; i < report_shown(r, n); i++) {
		const struct function *f = &fns->list[i];
		const struct ct_name *name = ct_stepdb_name(r->q.db, CT_FUNCTIONS, f->id);
		char percent[32];
		double share = all      ? 100.0 * (double)f->self_steps / (double)all
			       : all_ns ? 100.0 * (double)f->self_ns / (double)all_ns
					: 0;

		query_int(&rows, (int64_t)f->self_steps);
		if (r->q.form == QUERY_TABLE)
			query_text(&rows, percent, (size_t)snprintf(percent, sizeof(percent), "%.1f %%", share));
		else
			query_double(&rows, share);
		query_int(&rows, (int64_t)f->total_steps);
		query_int(&rows, (int64_t)f->calls);
		query_int(&rows, (int64_t)f->raised);
		query_put_duration(&r->q, &rows, f->self_ns);
		query_put_duration(&r->q, &rows, f->total_ns);
		query_text(&rows, name->text, name->len);
		put_definition(r, &rows, name);
	}
	report_end(
		r, &rows, n,
		fns->by == BY_TIME && !all
			? "Calls were recorded live: there are no lines, and times are those of their entry and exit,\n"
			  "recording included; percent is of the time. Recursion counts once.\n"
			: "Steps are lines run, counted exactly: self in the function, total with what it called; "
			  "recursion\n"
			  "counts once. Exceptions: how often one left the function. Times are only as fine as the "
			  "events of\n"
			  "the log: all that passes between two of them counts for one function.\n");
}

/* Live calls may be a sample. */
static void say_pauses(const struct report *r)
{
	const json_t *p = json_object_get(ct_recording_manifest(r->q.rec), "pauses");

	if (p)
		fprintf(stderr,
			"ctbpf report: %s: calls were NOT recorded for %.2f s, in %lld pauses: sums are of the rest\n",
			ct_recording_path(r->q.rec), json_number_value(json_object_get(p, "s")),
			json_integer_value(json_object_get(p, "count")));
}

int report_functions(struct report *r, struct ct_error *err)
{
	ct_u32 n = ct_stepdb_names(r->q.db, CT_FUNCTIONS);
	struct functions fns = {calloc((size_t)n + 1, sizeof(*fns.list)), r->by,
				r->span.last_step == UINT64_MAX ? 0 : r->span.last_step};
	const struct ct_walk_visitor visitor = {.arg = &fns, .enter = on_enter, .leave = on_leave};
	const struct ct_walk_spec spec = {.first = r->span.first_step, .last = fns.last_step, .threads = r->threads};
	struct ct_stepdb_info info;
	size_t shown = 0;
	int ret;

	if (!fns.list)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	ct_stepdb_info(r->q.db, &info);
	if (r->by == BY_DEFAULT && !info.steps)
		fns.by = BY_TIME;
	ret = ct_stepdb_walk(r->q.db, &spec, &visitor, err);
	for (ct_u32 id = 1; id <= n; id++) {
		fns.list[id].id = id;
		if (fns.list[id].calls || fns.list[id].total_steps)
			fns.list[shown++] = fns.list[id];
	}
	if (ret == 0) {
		qsort_r(fns.list, shown, sizeof(*fns.list), compare_functions, &fns);
		say_pauses(r);
		put_functions(r, &fns, shown);
	}
	free(fns.list);
	return ret;
}

/* ---- Exceptions ---- */

struct exception {
	ct_u64 count, step, location;
	ct_u32 type, function;
	char *text; /* the first one */
};
struct exceptions {
	struct ct_keymap map;
	struct exception *list;
	size_t room;
};

/* Of its value's node; a class that was raised without being called is the text of that name. */
static ct_u32 exception_type(struct report *r, const ct_u8 *node, size_t len)
{
	const ct_u8 *p = node;
	struct ct_node n;

	if (!ct_node_next(&p, node + len, &n))
		return 0;
	for (ct_u32 id = 1; n.tag == CT_NODE_TEXT && id <= ct_stepdb_names(r->q.db, CT_TYPES); id++) {
		const struct ct_name *type = ct_stepdb_name(r->q.db, CT_TYPES, id);

		if (type->len == n.text_len && memcmp(type->text, n.text, n.text_len) == 0)
			return id;
	}
	return n.info.type;
}

/* Counts the value that the scan is at. */
static int count_exception(struct report *r, struct exceptions *x, struct ct_scan *scan, struct ct_error *err)
{
	ct_u64 variable, step, at[CT_STEP_NCOLS] = {0};
	const struct ct_name *v;
	struct exception *e;
	const ct_u8 *node;
	size_t len, n, i;
	ct_u32 type;

	if (ct_scan_get(scan, CT_VALUE_VARIABLE, &variable, err) < 0 ||
	    ct_scan_get(scan, CT_VALUE_STEP, &step, err) < 0 || ct_scan_node(scan, &node, &len, err) < 0 ||
	    (step && !ct_stepdb_step_row(r->q.db, step, at, err)))
		return -1;
	if (r->threads &&
	    !(at[CT_STEP_THREAD] <= ct_stepdb_names(r->q.db, CT_THREADS) && r->threads[at[CT_STEP_THREAD]]))
		return 0;
	v = ct_stepdb_name(r->q.db, CT_VARIABLES, variable);
	type = exception_type(r, node, len);
	i = ct_keymap_at(&x->map, (ct_u64)type << 32 | v->v[CT_VAR_FUNCTION], at[CT_STEP_LOCATION]);
	if (i == SIZE_MAX || ct_array_reach(&x->list, &x->room, i, sizeof(*x->list)) < 0)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	e = &x->list[i];
	if (e->count++ == 0) {
		e->step = step;
		e->location = at[CT_STEP_LOCATION];
		e->type = type;
		e->function = (ct_u32)v->v[CT_VAR_FUNCTION];
		e->text = query_value_text(&r->q, node, len, &n);
		if (!e->text)
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	}
	return 0;
}

static int compare_exceptions(const void *a, const void *b)
{
	const struct exception *x = a, *y = b;

	return x->count != y->count ? (x->count < y->count) - (x->count > y->count)
				    : (x->step > y->step) - (x->step < y->step);
}

static void put_exceptions(struct report *r, struct exceptions *x)
{
	static const char *const names[] = {"count", "type", "function", "place", "first_step", "first"};
	size_t n = x->map.count;
	struct query_rows rows;

	if (n)
		qsort(x->list, n, sizeof(*x->list), compare_exceptions);
	report_title(r, "Exceptions");
	report_begin(r, &rows, "exceptions", names, 6, 0x11);
	for (size_t i = 0; i < report_shown(r, n); i++) {
		const struct exception *e = &x->list[i];

		query_int(&rows, (int64_t)e->count);
		query_put_name(&r->q, &rows, CT_TYPES, e->type);
		query_put_name(&r->q, &rows, CT_FUNCTIONS, e->function);
		query_put_place(&r->q, &rows, e->location);
		query_id(&rows, e->step);
		query_text(&rows, e->text, strlen(e->text));
	}
	report_end(
		r, &rows, n,
		n ? "Each counts where it was raised, or came out of native code, and again where it was raised anew.\n"
		  : "none\n");
}

int report_exceptions(struct report *r, struct ct_error *err)
{
	ct_u32 n = ct_stepdb_names(r->q.db, CT_VARIABLES), *keys = malloc(((size_t)n + 1) * sizeof(*keys));
	struct ct_scan_spec spec = {.table = CT_VALUES, .keys = keys};
	struct exceptions x = {0};
	struct ct_scan *scan;
	int got = -1;
	ct_u64 id;

	if (!keys)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (ct_u32 v = 1; v <= n; v++)
		if (ct_stepdb_name(r->q.db, CT_VARIABLES, v)->v[CT_VAR_KIND] == CT_VALUE_EXCEPTION)
			keys[spec.nkeys++] = v;
	if (!r->span.all)
		spec.range[spec.nranges++] = (struct ct_range){CT_VALUE_STEP, r->span.first_step, r->span.last_step};
	scan = ct_scan_open(r->q.db, &spec, err);
	while (scan && (got = ct_scan_next(scan, &id, err)) > 0 && (got = count_exception(r, &x, scan, err)) == 0)
		;
	if (got == 0)
		put_exceptions(r, &x);
	for (size_t i = 0; i < x.map.count && i < x.room; i++)
		free(x.list[i].text);
	ct_keymap_free(&x.map);
	ct_scan_close(scan);
	free(x.list);
	free(keys);
	return got < 0 ? -1 : 0;
}
