/* SPDX-License-Identifier: MIT
 * SQL tables of names: files, functions, types, threads, lines, variables, sites, stats, spans.
 *
 * They are in memory: by id at once, else one after the other. */
#include <string.h>

#include "stepdb_sql.h"

static int next_name(struct sql_cursor *cur, struct ct_error *err)
{
	(void)err;
	if (cur->id < cur->last)
		cur->id++;
	else
		cur->end = true;
	return 0;
}

static int filter_names(struct sql_cursor *cur, const struct sql_filter *filter, ct_u32 n)
{
	struct sql_span span;

	if (!sql_narrow(filter, 0, &span) || span.min > n) {
		cur->end = true;
		return 0;
	}
	cur->id = span.min ? span.min - 1 : 0;
	cur->last = span.max < n ? span.max : n;
	cur->end = cur->id >= cur->last;
	return 0;
}

#define TABLE(lower, NAMES)                                                                                            \
	static double rows_##lower(const struct sql_source *src)                                                       \
	{                                                                                                              \
		return src->db ? ct_stepdb_names(src->db, NAMES) : 0;                                                  \
	}                                                                                                              \
	static int filter_##lower(struct sql_cursor *cur, const struct sql_filter *filter, struct ct_error *err)       \
	{                                                                                                              \
		(void)err;                                                                                             \
		return filter_names(cur, filter, ct_stepdb_names(cur->src->db, NAMES));                                \
	}

TABLE(files, CT_FILES)
TABLE(functions, CT_FUNCTIONS)
TABLE(types, CT_TYPES)
TABLE(threads, CT_THREADS)
TABLE(locations, CT_LOCATIONS)
TABLE(variables, CT_VARIABLES)
TABLE(sites, CT_SITES)
TABLE(stats, CT_STATS)
TABLE(spans, CT_SPANS)

static const struct ct_name *row_of(const struct sql_cursor *cur, enum ct_names table)
{
	return ct_stepdb_name(cur->src->db, table, cur->id);
}

static int column_files(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	(void)err;
	column ? sql_name(ctx, row_of(cur, CT_FILES)) : sql_id(ctx, cur->id);
	return 0;
}

static int column_types(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	(void)err;
	column ? sql_name(ctx, row_of(cur, CT_TYPES)) : sql_id(ctx, cur->id);
	return 0;
}

static int column_functions(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	const struct ct_name *row = row_of(cur, CT_FUNCTIONS);

	(void)err;
	switch (column) {
	case 0: sql_id(ctx, cur->id); break;
	case 1: sql_name(ctx, row); break;
	case 2: sql_id(ctx, row->v[CT_FN_FILE]); break;
	case 3: sqlite3_result_int64(ctx, (ct_s64)row->v[CT_FN_LINE]); break;
	default: sql_name(ctx, ct_stepdb_name(cur->src->db, CT_STRINGS, row->v[CT_FN_LANGUAGE]));
	}
	return 0;
}

static int column_threads(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	const struct ct_name *row = row_of(cur, CT_THREADS);

	(void)err;
	switch (column) {
	case 0: sql_id(ctx, cur->id); break;
	case 1: sqlite3_result_int64(ctx, (ct_s64)row->v[CT_TH_TID]); break;
	case 2: sqlite3_result_int64(ctx, (ct_s64)row->v[CT_TH_PID]); break;
	case 3: sql_name(ctx, row); break;
	default: sqlite3_result_int64(ctx, (ct_s64)row->v[CT_TH_SEQ]);
	}
	return 0;
}

/* Columns that are integers of the row, in its order. */
static int column_ints(struct sql_cursor *cur, sqlite3_context *ctx, int column, enum ct_names table)
{
	if (column)
		sqlite3_result_int64(ctx, (ct_s64)row_of(cur, table)->v[column - 1]);
	else
		sql_id(ctx, cur->id);
	return 0;
}

static int column_stats(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	(void)err;
	return column_ints(cur, ctx, column, CT_STATS);
}

/* caller: the function of the location; NULL for calls from outside. */
static int column_sites(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	const ct_u64 *v = row_of(cur, CT_SITES)->v;
	const struct ct_name *location = ct_stepdb_name(cur->src->db, CT_LOCATIONS, v[CT_SITE_LOCATION]);

	(void)err;
	switch (column) {
	case 0: sql_id(ctx, cur->id); break;
	case 1: sql_id(ctx, v[CT_SITE_FUNCTION]); break;
	case 2: sql_id(ctx, location ? location->v[CT_LOC_FUNCTION] : 0); break;
	case 3: sql_id(ctx, location ? location->v[CT_LOC_FILE] : 0); break;
	case 4: sql_id(ctx, location ? location->v[CT_LOC_LINE] : 0); break;
	case 5: sqlite3_result_int64(ctx, (ct_s64)v[CT_SITE_CALLS]); break;
	default: sqlite3_result_int64(ctx, (ct_s64)v[CT_SITE_TOTAL_NS]);
	}
	return 0;
}

static int column_spans(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	const struct ct_name *row = row_of(cur, CT_SPANS);

	(void)err;
	switch (column) {
	case 0: sql_id(ctx, cur->id); break;
	case 1: sql_id(ctx, row->v[CT_SPAN_PARENT]); break;
	case 2: sql_name(ctx, ct_stepdb_name(cur->src->db, CT_STRINGS, row->v[CT_SPAN_KIND])); break;
	case 3: sql_name(ctx, row); break;
	default: sql_id(ctx, row->v[column - 2]); /* thread_id ... end_ns */
	}
	return 0;
}

/* ---- Lines and variables, and how often each was run, or got a value ---- */

struct hits {
	ct_u64 *count;
	ct_u32 n;
};

static void add_hits(void *arg, ct_u64 key, ct_u32 chunk, ct_u32 count)
{
	struct hits *h = arg;

	(void)chunk;
	if (key <= h->n)
		h->count[key] += count;
}

/* All are counted when the first is asked for. */
static int get_hits(struct sql_cursor *cur, sqlite3_context *ctx, enum ct_rows table, enum ct_names names,
		    struct ct_error *err)
{
	struct ct_stepdb *db = cur->src->db;
	struct hits h = {.n = ct_stepdb_names(db, names), .count = cur->hits};

	if (!h.count)
		h.count = calloc((size_t)h.n + 1, sizeof(*h.count));
	if (!h.count)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (size_t g = 0; !cur->hits && g < db->t[table].ngroups; g++)
		if (sd_postings(db, table, g, 0, 0, UINT64_MAX, add_hits, &h, err) < 0) {
			free(h.count);
			return -1;
		}
	cur->hits = h.count;
	sqlite3_result_int64(ctx, (ct_s64)cur->hits[cur->id]);
	return 0;
}

static int column_lines(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	const ct_u64 *v = row_of(cur, CT_LOCATIONS)->v;

	switch (column) {
	case 0: sql_id(ctx, cur->id); break;
	case 1: sql_id(ctx, v[CT_LOC_FUNCTION]); break;
	case 2: sql_id(ctx, v[CT_LOC_FILE]); break;
	case 3: sqlite3_result_int64(ctx, (ct_s64)v[CT_LOC_LINE]); break;
	default: return get_hits(cur, ctx, CT_STEPS, CT_LOCATIONS, err);
	}
	return 0;
}

void sql_variable(struct sql_cursor *cur, sqlite3_context *ctx, const struct ct_name *variable, unsigned v)
{
	const char *kind;

	if (v == CT_VAR_NAME) {
		sql_name(ctx, ct_stepdb_name(cur->src->db, CT_STRINGS, variable->v[CT_VAR_NAME]));
	} else if (v == CT_VAR_FUNCTION) {
		sql_id(ctx, variable->v[CT_VAR_FUNCTION]);
	} else {
		kind = ct_value_kind_name((unsigned)variable->v[CT_VAR_KIND]);
		sqlite3_result_text(ctx, kind ? kind : "?", -1, SQLITE_STATIC);
	}
}

static int column_variables(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	static const unsigned ints[] = {[1] = CT_VAR_FUNCTION, CT_VAR_NAME, CT_VAR_KIND};

	if (column > 3)
		return get_hits(cur, ctx, CT_VALUES, CT_VARIABLES, err);
	if (column)
		sql_variable(cur, ctx, row_of(cur, CT_VARIABLES), ints[column]);
	else
		sql_id(ctx, cur->id);
	return 0;
}

static const struct sql_table files = {
	"files", "id INTEGER, path TEXT", "r.", true, 0.1, rows_files, filter_files, next_name, column_files};
static const struct sql_table types = {
	"types", "id INTEGER, name TEXT", "r.", true, 0.1, rows_types, filter_types, next_name, column_types};
static const struct sql_table functions = {"functions",
					   "id INTEGER, name TEXT, file_id INTEGER, line INTEGER, language TEXT",
					   "r....",
					   true,
					   0.1,
					   rows_functions,
					   filter_functions,
					   next_name,
					   column_functions};
static const struct sql_table threads = {"threads",
					 "id INTEGER, tid INTEGER, pid INTEGER, name TEXT, first_seq INTEGER",
					 "r....",
					 true,
					 0.1,
					 rows_threads,
					 filter_threads,
					 next_name,
					 column_threads};
static const struct sql_table lines = {"lines",
				       "id INTEGER, function_id INTEGER, file_id INTEGER, line INTEGER, hits INTEGER",
				       "r....",
				       true,
				       0.1,
				       rows_locations,
				       filter_locations,
				       next_name,
				       column_lines};
static const struct sql_table variables = {"variables",
					   "id INTEGER, function_id INTEGER, name TEXT, kind TEXT, hits INTEGER",
					   "r....",
					   true,
					   0.1,
					   rows_variables,
					   filter_variables,
					   next_name,
					   column_variables};
static const struct sql_table sites = {
	"sites",
	"id INTEGER, function_id INTEGER, caller_id INTEGER, file_id INTEGER, line INTEGER, "
	"calls INTEGER, total_ns INTEGER",
	"r......",
	true,
	0.1,
	rows_sites,
	filter_sites,
	next_name,
	column_sites};
static const struct sql_table stats = {
	"stats",
	"function_id INTEGER, calls INTEGER, steps INTEGER, total_ns INTEGER, self_ns INTEGER, "
	"max_ns INTEGER, exceptions INTEGER",
	"r......",
	true,
	0.1,
	rows_stats,
	filter_stats,
	next_name,
	column_stats};
static const struct sql_table spans = {"spans",
				       "id INTEGER, parent_id INTEGER, kind TEXT, label TEXT, thread_id INTEGER, "
				       "first_step INTEGER, last_step INTEGER, begin_ns INTEGER, end_ns INTEGER",
				       "r........",
				       true,
				       0.1,
				       rows_spans,
				       filter_spans,
				       next_name,
				       column_spans};

const struct sql_table *const sql_names_tables[] = {&files,     &types, &functions, &threads, &lines,
						    &variables, &sites, &stats,     &spans,   NULL};
