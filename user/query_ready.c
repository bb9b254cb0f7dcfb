/* SPDX-License-Identifier: MIT
 * The ready questions of `ctbpf query`: history of a variable, runs of a line, callers, slowest, exceptions.
 *
 * Asked of the step database itself, not in SQL: each reads only what it shows. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "query.h"

/* ---- Cells ---- */

static ct_u64 function_of(struct query *q, ct_u64 location)
{
	const struct ct_name *l = ct_stepdb_name(q->db, CT_LOCATIONS, location);

	return l ? l->v[CT_LOC_FUNCTION] : 0;
}

static int put_value(struct query *q, struct query_rows *rows, struct ct_scan *scan, struct ct_error *err)
{
	const ct_u8 *node;
	size_t len, n;
	char *text;

	if (ct_scan_node(scan, &node, &len, err) < 0)
		return -1;
	text = query_value_text(q, node, len, &n);
	if (!text)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	query_text(rows, text, n);
	free(text);
	return 0;
}

/* Under a table that the limit has cut: what is not shown. */
static void say_more(struct query *q, ct_u64 shown, ct_u64 all)
{
	char count[CT_HUMAN];

	if (q->form == QUERY_TABLE && shown < all)
		ct_out_fmt(q->out, "%s more; --limit 0 shows all%s\n", ct_human_count(count, all - shown),
			   q->reverse ? "" : ", --reverse the last ones first");
}

/* ---- Values: history, exceptions ---- */

static int value_rows(struct query *q, const ct_u32 *keys, size_t nkeys, bool exceptions, struct ct_error *err)
{
	static const char *const history[] = {"step",  "time_ns", "thread", "call", "function",
					      "place", "name",    "kind",   "value"};
	static const char *const raised[] = {"step", "time_ns", "thread", "call", "function", "place", "exception"};
	struct ct_scan_spec spec = {.table = CT_VALUES, .keys = keys, .nkeys = nkeys, .backwards = q->reverse};
	struct ct_scan *scan = ct_scan_open(q->db, &spec, err);
	ct_u64 id, shown = 0, all = 0, variable = 0, step = 0, call = 0;
	struct query_rows rows;
	int got = 0;

	if (!scan || ct_stepdb_count(q->db, CT_VALUES, keys, nkeys, &all, err) < 0) {
		ct_scan_close(scan);
		return -1;
	}
	query_begin(&rows, q->out, q->form, exceptions ? raised : history, exceptions ? 7 : 9, 0xf);
	rows.units = true;
	while (!query_enough(q, shown) && (got = ct_scan_next(scan, &id, err)) > 0) {
		ct_u64 at[CT_STEP_NCOLS] = {0};
		const ct_u64 *v;

		if (ct_scan_get(scan, CT_VALUE_VARIABLE, &variable, err) < 0 ||
		    ct_scan_get(scan, CT_VALUE_STEP, &step, err) < 0 ||
		    ct_scan_get(scan, CT_VALUE_CALL, &call, err) < 0 ||
		    (step && !ct_stepdb_step_row(q->db, step, at, err))) {
			got = -1;
			break;
		}
		v = ct_stepdb_name(q->db, CT_VARIABLES, variable)->v;
		query_id(&rows, step);
		query_put_time(q, &rows, at[CT_STEP_TIME]);
		query_id(&rows, at[CT_STEP_THREAD]);
		query_id(&rows, call);
		query_put_name(q, &rows, CT_FUNCTIONS, v[CT_VAR_FUNCTION]);
		query_put_place(q, &rows, at[CT_STEP_LOCATION]);
		if (!exceptions) {
			const char *kind = ct_value_kind_name((unsigned)v[CT_VAR_KIND]);

			query_put_name(q, &rows, CT_STRINGS, v[CT_VAR_NAME]);
			query_text(&rows, kind ? kind : "?", strlen(kind ? kind : "?"));
		}
		if (put_value(q, &rows, scan, err) < 0) {
			got = -1;
			break;
		}
		shown++;
	}
	query_end(&rows);
	say_more(q, shown, got < 0 ? shown : all);
	ct_scan_close(scan);
	return got < 0 ? -1 : 0;
}

/* "NAME" or "FUNCTION:NAME". */
int query_history(struct query *q, const char *variable, struct ct_error *err)
{
	const char *colon = strrchr(variable, ':'), *name = colon ? colon + 1 : variable;
	ct_u32 n = ct_stepdb_names(q->db, CT_VARIABLES), *keys = malloc(((size_t)n + 1) * sizeof(*keys)),
	       *functions = NULL;
	char *function = colon ? strndup(variable, (size_t)(colon - variable)) : NULL;
	int nfunctions = function ? ct_stepdb_find_functions(q->db, function, &functions, err) : 0, ret;
	size_t nkeys = 0;

	for (ct_u32 id = 1; keys && nfunctions >= 0 && id <= n; id++) {
		const ct_u64 *v = ct_stepdb_name(q->db, CT_VARIABLES, id)->v;
		const struct ct_name *text = ct_stepdb_name(q->db, CT_STRINGS, v[CT_VAR_NAME]);
		bool fits = !colon;

		for (int i = 0; i < nfunctions; i++)
			fits = fits || functions[i] == v[CT_VAR_FUNCTION];
		if (fits && text && strcmp(text->text, name) == 0)
			keys[nkeys++] = id;
	}
	if (!keys || nfunctions < 0)
		ret = keys ? -1 : ct_fail(err, CT_EXIT_FAILED, "out of memory");
	else if (!nkeys)
		ret = ct_fail(err, CT_EXIT_FAILED,
			      "no variable '%s' has a recorded value; `SELECT DISTINCT name FROM values` lists them",
			      variable);
	else
		ret = value_rows(q, keys, nkeys, false, err);
	free(function);
	free(functions);
	free(keys);
	return ret;
}

int query_exceptions(struct query *q, struct ct_error *err)
{
	ct_u32 n = ct_stepdb_names(q->db, CT_VARIABLES), *keys = malloc(((size_t)n + 1) * sizeof(*keys));
	size_t nkeys = 0;
	int ret;

	if (!keys)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (ct_u32 id = 1; id <= n; id++)
		if (ct_stepdb_name(q->db, CT_VARIABLES, id)->v[CT_VAR_KIND] == CT_VALUE_EXCEPTION)
			keys[nkeys++] = id;
	ret = value_rows(q, keys, nkeys, true, err);
	if (ret == 0 && !nkeys && q->form == QUERY_TABLE)
		ct_out_str(q->out, "no exception was raised\n");
	free(keys);
	return ret;
}

/* ---- Lines ---- */

static int no_such_line(struct query *q, const char *place, const ct_u32 *files, int nfiles, ct_u64 line,
			struct ct_error *err)
{
	ct_u64 nearest = 0;

	for (ct_u32 id = 1; id <= ct_stepdb_names(q->db, CT_LOCATIONS); id++) {
		const ct_u64 *v = ct_stepdb_name(q->db, CT_LOCATIONS, id)->v;

		for (int i = 0; i < nfiles; i++)
			if (v[CT_LOC_FILE] == files[i] && (!nearest || llabs((long long)(v[CT_LOC_LINE] - line)) <
									       llabs((long long)(nearest - line))))
				nearest = v[CT_LOC_LINE];
	}
	return nearest ? ct_fail(err, CT_EXIT_FAILED, "%s was not run; the nearest line that was is %llu", place,
				 (unsigned long long)nearest)
		       : ct_fail(err, CT_EXIT_FAILED, "%s: no line of this file was run", place);
}

static int line_rows(struct query *q, const ct_u32 *keys, size_t nkeys, struct ct_error *err)
{
	static const char *const names[] = {"step", "time_ns", "thread", "call", "event_seq", "function", "place"};
	struct ct_scan_spec spec = {.table = CT_STEPS, .keys = keys, .nkeys = nkeys, .backwards = q->reverse};
	struct ct_scan *scan = ct_scan_open(q->db, &spec, err);
	ct_u64 id, shown = 0, all = 0, v[CT_STEP_NCOLS];
	struct query_rows rows;
	int got = 0;

	if (!scan || ct_stepdb_count(q->db, CT_STEPS, keys, nkeys, &all, err) < 0) {
		ct_scan_close(scan);
		return -1;
	}
	query_begin(&rows, q->out, q->form, names, 7, 0x1f);
	rows.units = true;
	while (!query_enough(q, shown) && (got = ct_scan_next(scan, &id, err)) > 0) {
		for (unsigned c = 0; c < CT_STEP_NCOLS && got > 0; c++)
			got = ct_scan_get(scan, c, &v[c], err) < 0 ? -1 : 1;
		if (got < 0)
			break;
		query_id(&rows, id);
		query_put_time(q, &rows, v[CT_STEP_TIME]);
		query_id(&rows, v[CT_STEP_THREAD]);
		query_id(&rows, v[CT_STEP_CALL]);
		query_int(&rows, (int64_t)v[CT_STEP_EVENT]);
		query_put_name(q, &rows, CT_FUNCTIONS, function_of(q, v[CT_STEP_LOCATION]));
		query_put_place(q, &rows, v[CT_STEP_LOCATION]);
		shown++;
	}
	query_end(&rows);
	say_more(q, shown, got < 0 ? shown : all);
	ct_scan_close(scan);
	return got < 0 ? -1 : 0;
}

int query_line(struct query *q, const char *place, struct ct_error *err)
{
	const char *colon = strrchr(place, ':');
	ct_u32 n = ct_stepdb_names(q->db, CT_LOCATIONS), *keys = malloc(((size_t)n + 1) * sizeof(*keys)), *files = NULL;
	char *end, *path = colon ? strndup(place, (size_t)(colon - place)) : NULL;
	ct_u64 line = colon && isdigit((unsigned char)colon[1]) ? strtoull(colon + 1, &end, 10) : 0;
	size_t nkeys = 0;
	int nfiles, ret;

	if (!path || !line || *end) {
		free(path);
		free(keys);
		return ct_fail(err, CT_EXIT_USAGE, "--line wants FILE:NUMBER, not '%s'", place);
	}
	nfiles = keys ? ct_stepdb_find_files(q->db, path, &files, err) : ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (ct_u32 id = 1; nfiles > 0 && id <= n; id++) {
		const ct_u64 *v = ct_stepdb_name(q->db, CT_LOCATIONS, id)->v;

		for (int i = 0; i < nfiles && v[CT_LOC_LINE] == line; i++)
			if (v[CT_LOC_FILE] == files[i])
				keys[nkeys++] = id;
	}
	if (nfiles < 0)
		ret = -1;
	else if (!nfiles)
		ret = ct_fail(err, CT_EXIT_FAILED,
			      "no file '%s' was run; `SELECT path FROM files` lists those that were", path);
	else
		ret = nkeys ? line_rows(q, keys, nkeys, err) : no_such_line(q, place, files, nfiles, line, err);
	free(path);
	free(files);
	free(keys);
	return ret;
}

/* ---- Callers ---- */

static int compare_sites(const void *a, const void *b)
{
	const ct_u64 *x = (*(const struct ct_name *const *)a)->v, *y = (*(const struct ct_name *const *)b)->v;

	return (x[CT_SITE_CALLS] < y[CT_SITE_CALLS]) - (x[CT_SITE_CALLS] > y[CT_SITE_CALLS]);
}

int query_callers(struct query *q, const char *function, struct ct_error *err)
{
	static const char *const names[] = {"calls", "total_ns", "function", "caller", "place"};
	ct_u32 *ids = NULL, n = ct_stepdb_names(q->db, CT_SITES);
	int nids = ct_stepdb_find_functions(q->db, function, &ids, err);
	const struct ct_name **site = malloc(((size_t)n + 1) * sizeof(const struct ct_name *));
	struct query_rows rows;
	size_t nsites = 0;

	if (nids <= 0 || !site) {
		free(ids);
		free(site);
		if (nids == 0)
			ct_fail(err, CT_EXIT_FAILED,
				"no function '%s' was run; `SELECT name FROM functions` lists those that were",
				function);
		else if (nids > 0)
			ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return -1;
	}
	for (ct_u32 id = 1; id <= n; id++) {
		const struct ct_name *s = ct_stepdb_name(q->db, CT_SITES, id);

		for (int i = 0; i < nids; i++)
			if (s->v[CT_SITE_FUNCTION] == ids[i])
				site[nsites++] = s;
	}
	qsort(site, nsites, sizeof(*site), compare_sites);
	query_begin(&rows, q->out, q->form, names, 5, 3);
	rows.units = true;
	for (size_t i = 0; i < nsites && !query_enough(q, i); i++) {
		const ct_u64 *v = site[i]->v;

		query_int(&rows, (int64_t)v[CT_SITE_CALLS]);
		query_put_duration(q, &rows, v[CT_SITE_TOTAL_NS]);
		query_put_name(q, &rows, CT_FUNCTIONS, v[CT_SITE_FUNCTION]);
		query_put_name(q, &rows, CT_FUNCTIONS, function_of(q, v[CT_SITE_LOCATION]));
		query_put_place(q, &rows, v[CT_SITE_LOCATION]);
	}
	query_end(&rows);
	say_more(q, q->limit && q->limit < nsites ? q->limit : nsites, nsites);
	free(ids);
	free(site);
	return 0;
}

/* ---- Slowest ---- */

static int compare_ids(const void *a, const void *b, void *arg)
{
	struct query *q = arg;
	const ct_u64 *x = ct_stepdb_name(q->db, CT_STATS, *(const ct_u32 *)a)->v;
	const ct_u64 *y = ct_stepdb_name(q->db, CT_STATS, *(const ct_u32 *)b)->v;

	if (x[CT_STAT_TOTAL_NS] != y[CT_STAT_TOTAL_NS])
		return x[CT_STAT_TOTAL_NS] < y[CT_STAT_TOTAL_NS] ? 1 : -1;
	return (x[CT_STAT_STEPS] < y[CT_STAT_STEPS]) - (x[CT_STAT_STEPS] > y[CT_STAT_STEPS]);
}

static int slow_functions(struct query *q, ct_u64 limit, struct ct_error *err)
{
	static const char *const names[] = {"total_ns", "self_ns",    "max_ns",  "calls",
					    "steps",    "exceptions", "function"};
	ct_u32 n = ct_stepdb_names(q->db, CT_STATS), *ids = malloc(((size_t)n + 1) * sizeof(*ids));
	struct query_rows rows;

	if (!ids)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (ct_u32 i = 0; i < n; i++)
		ids[i] = i + 1;
	qsort_r(ids, n, sizeof(*ids), compare_ids, q);
	query_begin(&rows, q->out, q->form, names, 7, 0x3f);
	rows.units = true;
	for (ct_u32 i = 0; i < n && i < limit; i++) {
		const ct_u64 *v = ct_stepdb_name(q->db, CT_STATS, ids[i])->v;

		query_put_duration(q, &rows, v[CT_STAT_TOTAL_NS]);
		query_put_duration(q, &rows, v[CT_STAT_SELF_NS]);
		query_put_duration(q, &rows, v[CT_STAT_MAX_NS]);
		query_int(&rows, (int64_t)v[CT_STAT_CALLS]);
		query_int(&rows, (int64_t)v[CT_STAT_STEPS]);
		query_int(&rows, (int64_t)v[CT_STAT_EXCEPTIONS]);
		query_put_name(q, &rows, CT_FUNCTIONS, ids[i]);
	}
	query_end(&rows);
	free(ids);
	return 0;
}

static int slow_calls(struct query *q, ct_u64 limit, struct ct_error *err)
{
	static const char *const names[] = {"duration_ns", "self_ns",    "enter_ns", "thread",
					    "call",        "first_step", "function", "place"};
	ct_u64 *calls, row[CT_CALL_NCOLS];
	struct ct_stepdb_info info;
	struct query_rows rows;
	int n;

	ct_stepdb_info(q->db, &info);
	limit = limit < info.calls ? limit : info.calls;
	calls = malloc((size_t)(limit + 1) * sizeof(*calls));
	n = calls ? ct_stepdb_slowest(q->db, (size_t)limit, calls, err) : ct_fail(err, CT_EXIT_FAILED, "out of memory");
	query_begin(&rows, q->out, q->form, names, 8, 0x3f);
	rows.units = true;
	for (int i = 0; i < n; i++) {
		ct_u64 at[CT_STEP_NCOLS] = {0};

		if (!ct_stepdb_call_row(q->db, calls[i], row, err) ||
		    (row[CT_CALL_FIRST_STEP] && !ct_stepdb_step_row(q->db, row[CT_CALL_FIRST_STEP], at, err))) {
			n = -1;
			break;
		}
		query_put_duration(q, &rows, row[CT_CALL_DURATION]);
		query_put_duration(q, &rows, row[CT_CALL_SELF]);
		query_put_time(q, &rows, row[CT_CALL_ENTER_TIME]);
		query_id(&rows, row[CT_CALL_THREAD]);
		query_id(&rows, calls[i]);
		query_id(&rows, row[CT_CALL_FIRST_STEP]);
		query_put_name(q, &rows, CT_FUNCTIONS, row[CT_CALL_FUNCTION]);
		query_put_place(q, &rows, at[CT_STEP_LOCATION]);
	}
	query_end(&rows);
	free(calls);
	return n < 0 ? -1 : 0;
}

int query_slowest(struct query *q, struct ct_error *err)
{
	ct_u64 limit = q->limit ? q->limit : UINT64_MAX;

	if (slow_functions(q, limit, err) < 0)
		return -1;
	if (q->form == QUERY_CSV) /* a file of commas has one kind of rows */
		return 0;
	if (q->form == QUERY_TABLE)
		ct_out_char(q->out, '\n');
	return slow_calls(q, limit, err);
}
