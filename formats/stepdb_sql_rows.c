/* SPDX-License-Identifier: MIT
 * SQL tables of rows: steps, calls, values. Conditions become scans that read what can match, and little more.
 *
 * Conditions on functions, files, lines and names become the keys of posting lists. */
#include <string.h>

#include "stepdb_sql.h"

static int next_row(struct sql_cursor *cur, struct ct_error *err)
{
	int got = ct_scan_next(cur->scan, &cur->id, err);

	cur->end = got == 0;
	return got < 0 ? -1 : 0;
}

static double rows_of(const struct sql_source *src, enum ct_rows table)
{
	return src->db ? (double)src->db->t[table].rows : 0;
}

/* Which column of the scan a column of SQL is. */
struct pushed {
	int sql;
	unsigned scan;
};

/* Opens the scan of rows `id`, with the ranges of the pushed columns. */
static int open_scan(struct sql_cursor *cur, struct ct_scan_spec *spec, const struct sql_filter *filter, int id,
		     const struct pushed *pushed, unsigned npushed, struct ct_error *err)
{
	struct sql_span span;

	spec->backwards = filter->backwards;
	cur->end = !sql_narrow(filter, id, &span) || span.max == 0;
	spec->first = span.min;
	spec->last = span.max;
	for (unsigned i = 0; i < npushed && !cur->end; i++) {
		cur->end = !sql_narrow(filter, pushed[i].sql, &span);
		if (span.min > 0 || span.max < UINT64_MAX)
			spec->range[spec->nranges++] = (struct ct_range){pushed[i].scan, span.min, span.max};
	}
	if (cur->end)
		return 0;
	cur->scan = ct_scan_open(cur->src->db, spec, err);
	return cur->scan ? 0 : -1;
}

static int get(struct sql_cursor *cur, sqlite3_context *ctx, unsigned column, struct ct_error *err)
{
	ct_u64 v;

	if (ct_scan_get(cur->scan, column, &v, err) < 0)
		return -1;
	sqlite3_result_int64(ctx, (ct_s64)v);
	return 0;
}

static int get_id(struct sql_cursor *cur, sqlite3_context *ctx, unsigned column, struct ct_error *err)
{
	ct_u64 v;

	if (ct_scan_get(cur->scan, column, &v, err) < 0)
		return -1;
	sql_id(ctx, v);
	return 0;
}

/* ---- steps ---- */

static double rows_steps(const struct sql_source *src)
{
	return rows_of(src, CT_STEPS);
}

/* Locations that fit the conditions on function, file and line; NULL keys if there are none of these. */
static int step_keys(struct ct_stepdb *db, const struct sql_filter *filter, ct_u32 **keys, size_t *n,
		     struct ct_error *err)
{
	static const int column[3] = {[CT_LOC_FUNCTION] = S_FUNCTION, [CT_LOC_FILE] = S_FILE, [CT_LOC_LINE] = S_LINE};
	struct sql_span span[3];
	bool any = false, none = false;

	*keys = NULL;
	*n = 0;
	for (int i = 0; i < 3; i++) {
		none = !sql_narrow(filter, column[i], &span[i]) || none;
		any = any || span[i].min > 0 || span[i].max < UINT64_MAX;
	}
	if (!any && !none)
		return 0;
	*keys = malloc(((size_t)ct_stepdb_names(db, CT_LOCATIONS) + 1) * sizeof(**keys));
	if (!*keys)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (ct_u32 id = 1; !none && id <= ct_stepdb_names(db, CT_LOCATIONS); id++) {
		const ct_u64 *v = ct_stepdb_name(db, CT_LOCATIONS, id)->v;
		bool fits = true;

		for (int i = 0; i < 3; i++)
			fits = fits && v[i] >= span[i].min && v[i] <= span[i].max;
		if (fits)
			(*keys)[(*n)++] = id;
	}
	return 0;
}

static int filter_steps(struct sql_cursor *cur, const struct sql_filter *filter, struct ct_error *err)
{
	static const struct pushed pushed[] = {
		{S_THREAD, CT_STEP_THREAD}, {S_CALL, CT_STEP_CALL}, {S_EVENT, CT_STEP_EVENT}, {S_TIME, CT_STEP_TIME}};
	struct ct_scan_spec spec = {.table = CT_STEPS};
	ct_u32 *keys;
	int ret = step_keys(cur->src->db, filter, &keys, &spec.nkeys, err);

	spec.keys = keys;
	if (ret == 0)
		ret = open_scan(cur, &spec, filter, S_ID, pushed, 4, err);
	free(keys);
	return ret;
}

static int column_steps(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	const struct ct_name *location;
	ct_u64 v;

	switch (column) {
	case S_ID: sql_id(ctx, cur->id); return 0;
	case S_THREAD: return get(cur, ctx, CT_STEP_THREAD, err);
	case S_CALL: return get(cur, ctx, CT_STEP_CALL, err);
	case S_EVENT: return get(cur, ctx, CT_STEP_EVENT, err);
	case S_TIME: return get(cur, ctx, CT_STEP_TIME, err);
	default: break;
	}
	if (ct_scan_get(cur->scan, CT_STEP_LOCATION, &v, err) < 0)
		return -1;
	location = ct_stepdb_name(cur->src->db, CT_LOCATIONS, v);
	if (!location)
		return ct_fail(err, CT_EXIT_FAILED, "steps/steps.ctcol: step %llu has no location",
			       (unsigned long long)cur->id);
	v = location->v[column == S_FUNCTION ? CT_LOC_FUNCTION : column == S_FILE ? CT_LOC_FILE : CT_LOC_LINE];
	sqlite3_result_int64(ctx, (ct_s64)v);
	return 0;
}

const struct sql_table sql_steps = {"steps",    SQL_STEP_COLUMNS, "irr===rr", true,        0.001,
				    rows_steps, filter_steps,     next_row,   column_steps};

/* ---- calls ---- */

static double rows_calls(const struct sql_source *src)
{
	return rows_of(src, CT_CALLS);
}

static int filter_calls(struct sql_cursor *cur, const struct sql_filter *filter, struct ct_error *err)
{
	static const struct pushed pushed[] = {{C_PARENT, CT_CALL_PARENT},    {C_THREAD, CT_CALL_THREAD},
					       {C_DEPTH, CT_CALL_DEPTH},      {C_FROM, CT_CALL_FROM_STEP},
					       {C_ENTER, CT_CALL_ENTER_TIME}, {C_ENTER_SEQ, CT_CALL_ENTER_EVENT}};
	struct ct_scan_spec spec = {.table = CT_CALLS};
	struct sql_span span;
	ct_u32 key = 0;

	if (!sql_narrow(filter, C_FUNCTION, &span)) {
		cur->end = true;
		return 0;
	}
	if (span.min == span.max && span.min <= UINT32_MAX) {
		key = (ct_u32)span.min;
		spec.keys = &key;
		spec.nkeys = 1;
	}
	return open_scan(cur, &spec, filter, C_ID, pushed, 6, err);
}

/* How the call ended; a call that was open when its chunk was written is looked up. */
static int fetch_call(struct sql_cursor *cur, struct ct_error *err)
{
	static const ct_u8 ends[] = {CT_CALL_ENTER_TIME, CT_CALL_FIRST_STEP, CT_CALL_LAST_STEP, CT_CALL_EXIT_EVENT,
				     CT_CALL_DURATION,   CT_CALL_SELF,       CT_CALL_EXCEPTION};

	if (cur->row_id == cur->id)
		return 0;
	if (ct_scan_get(cur->scan, CT_CALL_STATE, &cur->row[CT_CALL_STATE], err) < 0)
		return -1;
	if (cur->row[CT_CALL_STATE] == CT_CALL_OPEN) {
		if (!ct_stepdb_call_row(cur->src->db, cur->id, cur->row, err))
			return -1;
	} else {
		for (unsigned i = 0; i < sizeof(ends); i++)
			if (ct_scan_get(cur->scan, ends[i], &cur->row[ends[i]], err) < 0)
				return -1;
	}
	cur->row_id = cur->id;
	return 0;
}

bool sql_call_end(const ct_u64 *row, int column, ct_u64 *v)
{
	ct_u64 state = row[CT_CALL_STATE];

	switch (column) {
	case C_STATE: *v = state; return true;
	case C_FIRST: *v = row[CT_CALL_FIRST_STEP]; return state != CT_CALL_OPEN && *v;
	case C_LAST: *v = row[CT_CALL_LAST_STEP]; return state != CT_CALL_OPEN && *v;
	case C_EXCEPTION: *v = row[CT_CALL_EXCEPTION]; return state == CT_CALL_RAISED || (state != CT_CALL_OPEN && *v);
	case C_EXIT: *v = row[CT_CALL_ENTER_TIME] + row[CT_CALL_DURATION]; break;
	case C_SELF: *v = row[CT_CALL_SELF]; break;
	default: *v = row[CT_CALL_EXIT_EVENT];
	}
	return state != CT_CALL_OPEN;
}

void sql_call_text(struct ct_stepdb *db, sqlite3_context *ctx, int column, ct_u64 v)
{
	static const char *const states[] = {"open", "returned", "raised"};
	const struct ct_name *type = column == C_EXCEPTION ? ct_stepdb_name(db, CT_TYPES, v) : NULL;

	if (type)
		sql_name(ctx, type);
	else
		sqlite3_result_text(ctx, column == C_STATE && v <= CT_CALL_RAISED ? states[v] : "?", -1, SQLITE_STATIC);
}

static int column_end(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	ct_u64 v;

	if (fetch_call(cur, err) < 0)
		return -1;
	if (!sql_call_end(cur->row, column, &v))
		return 0;
	if (column == C_STATE || column == C_EXCEPTION)
		sql_call_text(cur->src->db, ctx, column, v);
	else
		sqlite3_result_int64(ctx, (ct_s64)v);
	return 0;
}

static int column_calls(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	switch (column) {
	case C_ID: sql_id(ctx, cur->id); return 0;
	case C_PARENT: return get_id(cur, ctx, CT_CALL_PARENT, err);
	case C_THREAD: return get(cur, ctx, CT_CALL_THREAD, err);
	case C_FUNCTION: return get(cur, ctx, CT_CALL_FUNCTION, err);
	case C_DEPTH: return get(cur, ctx, CT_CALL_DEPTH, err);
	case C_ENTER: return get(cur, ctx, CT_CALL_ENTER_TIME, err);
	case C_FROM: return get_id(cur, ctx, CT_CALL_FROM_STEP, err);
	case C_ATTACHED: return get(cur, ctx, CT_CALL_FLAGS, err);
	case C_ENTER_SEQ: return get(cur, ctx, CT_CALL_ENTER_EVENT, err);
	default: return column_end(cur, ctx, column, err);
	}
}

const struct sql_table sql_calls = {"calls",    SQL_CALL_COLUMNS, "irr=..r.r..r..r.", true,        0.001,
				    rows_calls, filter_calls,     next_row,           column_calls};

/* ---- values ---- */

enum { V_STEP, V_CALL, V_NAME, V_TYPE, V_VALUE, V_KIND, V_FUNCTION, V_ID, V_REPR, V_JSON, V_NODE };

static double rows_values(const struct sql_source *src)
{
	return rows_of(src, CT_VALUES);
}

/* Variables that fit the conditions on name, kind and function. */
static int value_keys(struct ct_stepdb *db, const struct sql_filter *filter, ct_u32 **keys, size_t *n,
		      struct ct_error *err)
{
	const char *name = sql_text(filter, V_NAME), *kind = sql_text(filter, V_KIND);
	struct sql_span function;
	bool none = !sql_narrow(filter, V_FUNCTION, &function);

	*keys = NULL;
	*n = 0;
	if (!name && !kind && !none && function.min == 0 && function.max == UINT64_MAX)
		return 0;
	*keys = malloc(((size_t)ct_stepdb_names(db, CT_VARIABLES) + 1) * sizeof(**keys));
	if (!*keys)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (ct_u32 id = 1; !none && id <= ct_stepdb_names(db, CT_VARIABLES); id++) {
		const ct_u64 *v = ct_stepdb_name(db, CT_VARIABLES, id)->v;
		const struct ct_name *string = ct_stepdb_name(db, CT_STRINGS, v[CT_VAR_NAME]);
		const char *kind_name = ct_value_kind_name((unsigned)v[CT_VAR_KIND]);

		if (v[CT_VAR_FUNCTION] >= function.min && v[CT_VAR_FUNCTION] <= function.max &&
		    (!name || (string && strcmp(string->text, name) == 0)) &&
		    (!kind || (kind_name && strcmp(kind_name, kind) == 0)))
			(*keys)[(*n)++] = id;
	}
	return 0;
}

static int filter_values(struct sql_cursor *cur, const struct sql_filter *filter, struct ct_error *err)
{
	static const struct pushed pushed[] = {{V_STEP, CT_VALUE_STEP}, {V_CALL, CT_VALUE_CALL}};
	struct ct_scan_spec spec = {.table = CT_VALUES};
	ct_u32 *keys;
	int ret = value_keys(cur->src->db, filter, &keys, &spec.nkeys, err);

	spec.keys = keys;
	if (ret == 0)
		ret = open_scan(cur, &spec, filter, V_ID, pushed, 2, err);
	free(keys);
	return ret;
}

static int formatted(struct sql_cursor *cur, sqlite3_context *ctx, const ct_u8 *node, size_t len,
		     size_t (*format)(const void *, size_t, const struct ct_node_names *, char *, size_t))
{
	struct ct_node_names names = ct_stepdb_node_names(cur->src->db);
	size_t need = format(node, len, &names, cur->text, cur->cap);

	if (need >= cur->cap) {
		if (!sql_room(cur, need + 1)) {
			sqlite3_result_error_nomem(ctx);
			return 0;
		}
		format(node, len, &names, cur->text, cur->cap);
	}
	sqlite3_result_text(ctx, cur->text, (int)need, SQLITE_TRANSIENT);
	return 0;
}

/* Numbers and strings as SQL has them, so that they can be compared; anything else as its text. */
static int column_node(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	static const char *const tags[CT_NODE_NTAGS] = {
		[CT_NODE_NULL] = "NoneType", [CT_NODE_FALSE] = "bool",    [CT_NODE_TRUE] = "bool",
		[CT_NODE_INT] = "int",       [CT_NODE_NUMBER] = "number", [CT_NODE_FLOAT] = "float",
		[CT_NODE_STRING] = "str",    [CT_NODE_BYTES] = "bytes",   [CT_NODE_POINTER] = "pointer",
		[CT_NODE_LIST] = "list",     [CT_NODE_TUPLE] = "tuple",   [CT_NODE_SET] = "set",
		[CT_NODE_DICT] = "dict",     [CT_NODE_OBJECT] = "object"};
	const struct ct_name *type;
	const ct_u8 *bytes, *p;
	struct ct_node node;
	size_t len;

	if (ct_scan_node(cur->scan, &bytes, &len, err) < 0)
		return -1;
	p = bytes;
	ct_node_next(&p, p + len, &node);
	switch (column) {
	case V_TYPE:
		type = ct_stepdb_name(cur->src->db, CT_TYPES, node.info.type);
		if (type)
			sql_name(ctx, type);
		else if (tags[node.tag])
			sqlite3_result_text(ctx, tags[node.tag], -1, SQLITE_STATIC);
		return 0;
	case V_NODE: sqlite3_result_blob(ctx, bytes, (int)len, SQLITE_TRANSIENT); return 0;
	case V_JSON: return formatted(cur, ctx, bytes, len, ct_node_json);
	case V_REPR: return formatted(cur, ctx, bytes, len, ct_node_format);
	default: break;
	}
	if (node.tag == CT_NODE_INT)
		sqlite3_result_int64(ctx, node.integer);
	else if (node.tag == CT_NODE_FLOAT)
		sqlite3_result_double(ctx, node.real);
	else if (node.tag == CT_NODE_STRING)
		sqlite3_result_text(ctx, (const char *)node.text, (int)node.text_len, SQLITE_TRANSIENT);
	else
		return formatted(cur, ctx, bytes, len, ct_node_format);
	return 0;
}

static int column_values(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	const struct ct_name *variable;
	ct_u64 v;

	switch (column) {
	case V_ID: sql_id(ctx, cur->id); return 0;
	case V_STEP: return get_id(cur, ctx, CT_VALUE_STEP, err);
	case V_CALL: return get(cur, ctx, CT_VALUE_CALL, err);
	case V_NAME:
	case V_KIND:
	case V_FUNCTION: break;
	default: return column_node(cur, ctx, column, err);
	}
	if (ct_scan_get(cur->scan, CT_VALUE_VARIABLE, &v, err) < 0)
		return -1;
	variable = ct_stepdb_name(cur->src->db, CT_VARIABLES, v);
	if (!variable)
		return ct_fail(err, CT_EXIT_FAILED, "steps/values.ctcol: value %llu has no variable",
			       (unsigned long long)cur->id);
	sql_variable(cur, ctx, variable,
		     column == V_NAME       ? CT_VAR_NAME
		     : column == V_FUNCTION ? CT_VAR_FUNCTION
					    : CT_VAR_KIND);
	return 0;
}

const struct sql_table sql_values = {
	"values",
	"step_id INTEGER, call_id INTEGER, name TEXT, type TEXT, value, kind TEXT, "
	"function_id INTEGER, id INTEGER, repr TEXT HIDDEN, json TEXT HIDDEN, node BLOB HIDDEN",
	"rrt..t=i...",
	true,
	0.001,
	rows_values,
	filter_values,
	next_row,
	column_values};
