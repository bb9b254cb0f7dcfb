/* SPDX-License-Identifier: MIT
 * Inside of the step database's SQL: what one virtual table is, and the condition pushed down to it.
 *
 * stepdb_sql.c: SQLite's side; stepdb_sql_names.c, _rows.c, _events.c: the tables; stepdb_sql_text.c: what is asked. */
#ifndef CT_STEPDB_SQL_H
#define CT_STEPDB_SQL_H

#include "recording.h"
#include "stepdb_private.h"

struct sql_source {
	struct ct_stepdb *db;
	struct ct_recording *rec;
};
/* A term of the WHERE clause. SQLite checks every row again: a table may give more rows than match, never fewer. */
struct sql_term {
	int column;
	char op; /* '=' '<' '>' 'l' (<=) 'g' (>=) */
	sqlite3_value *value;
};
#define SQL_TERMS 16
struct sql_filter {
	struct sql_term term[SQL_TERMS];
	int n;
	bool backwards; /* by falling id */
};
struct sql_cursor {
	sqlite3_vtab_cursor base;
	struct sql_source *src;
	const struct sql_table *table;
	ct_u64 id, last; /* of the row; names: the last one to give */
	bool end;
	struct ct_scan *scan;
	ct_u64 row[CT_CALL_NCOLS]; /* calls: filled when it is asked for */
	ct_u64 row_id;
	ct_u64 *hits;
	struct ct_cursor *events;
	const struct ct_event *ev;
	ct_u64 max_seq, max_ns;
	unsigned type;
	char *text;
	size_t cap;
};
struct sql_table {
	const char *name;
	const char *columns; /* of CREATE TABLE */
	/* One character a column: 'i' the id, rows come in its order, either way; 'r' terms with any operator help; '='
	 * only equality helps; 't' equality with a text; '.' nothing does. Without an 'i' the first is the id, rising.
	 */
	const char *push;
	bool needs_db;
	double share; /* of rows that remain after an equality on a column that is not the id, roughly */
	double (*rows)(const struct sql_source *src);
	int (*filter)(struct sql_cursor *cur, const struct sql_filter *filter, struct ct_error *err);
	int (*next)(struct sql_cursor *cur, struct ct_error *err);
	int (*column)(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err);
};
extern const struct sql_table sql_steps, sql_calls, sql_values, sql_events;
extern const struct sql_table *const sql_names_tables[];

/* The numbers a column may have. */
struct sql_span {
	ct_u64 min, max;
};
/* Narrows *span (begin with 0, UINT64_MAX) by all terms of this column; false: no row can match. */
bool sql_narrow(const struct sql_filter *filter, int column, struct sql_span *span);
/* The text of a term `column = TEXT`, or NULL. */
const char *sql_text(const struct sql_filter *filter, int column);
static inline void sql_id(sqlite3_context *ctx, ct_u64 id) /* 0 is NULL */
{
	if (id)
		sqlite3_result_int64(ctx, (ct_s64)id);
}
static inline void sql_name(sqlite3_context *ctx, const struct ct_name *name)
{
	if (name)
		sqlite3_result_text(ctx, name->text, (int)name->len, SQLITE_TRANSIENT);
}
/* What CT_VAR_FUNCTION, _NAME or _KIND of a variable is in SQL. */
void sql_variable(struct sql_cursor *cur, sqlite3_context *ctx, const struct ct_name *variable, unsigned v);
/* cur->text with room for `need` bytes. */
char *sql_room(struct sql_cursor *cur, size_t need);

#endif
