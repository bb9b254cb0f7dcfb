/* SPDX-License-Identifier: MIT
 * Inside of the step database's SQL: what one virtual table is, and the condition pushed down to it.
 *
 * stepdb_sql.c: SQLite's side; stepdb_sql_names.c, _rows.c, _parts.c, _events.c: the tables; stepdb_sql_text.c: what is
 * asked. */
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
	ct_u64 used;    /* bit per column that is looked at; the last: of all from there on */
};
struct sql_parts;
struct sql_cursor {
	sqlite3_vtab_cursor base;
	struct sql_source *src;
	const struct sql_table *table;
	ct_u64 id, last; /* of the row; names: the last one to give */
	bool end;
	struct ct_scan *scan;
	struct sql_parts *parts;
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
	 * only equality helps; 't' equality with a text; '.' nothing does. Without an 'i' the first is the id, rising;
	 * '-' in its place: there is no order. */
	const char *push;
	bool needs_db;
	double share; /* of rows that remain after an equality on a column that is not the id, roughly */
	double (*rows)(const struct sql_source *src);
	int (*filter)(struct sql_cursor *cur, const struct sql_filter *filter, struct ct_error *err);
	int (*next)(struct sql_cursor *cur, struct ct_error *err);
	int (*column)(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err);
};
extern const struct sql_table sql_steps, sql_calls, sql_values, sql_events, sql_step_parts, sql_call_parts;
/* Columns of steps and calls. */
#define SQL_STEP_COLUMNS                                                                                               \
	"id INTEGER, thread_id INTEGER, call_id INTEGER, function_id INTEGER, file_id INTEGER, line INTEGER, "         \
	"event_seq INTEGER, time_ns INTEGER"
#define SQL_CALL_COLUMNS                                                                                               \
	"id INTEGER, parent_id INTEGER, thread_id INTEGER, function_id INTEGER, first_step INTEGER, "                  \
	"last_step INTEGER, depth INTEGER, exception TEXT, enter_ns INTEGER, exit_ns INTEGER, self_ns INTEGER, "       \
	"from_step INTEGER, state TEXT, attached INTEGER, enter_seq INTEGER, exit_seq INTEGER"
enum { S_ID, S_THREAD, S_CALL, S_FUNCTION, S_FILE, S_LINE, S_EVENT, S_TIME, S_COLUMNS };
enum {
	C_ID,
	C_PARENT,
	C_THREAD,
	C_FUNCTION,
	C_FIRST,
	C_LAST,
	C_DEPTH,
	C_EXCEPTION,
	C_ENTER,
	C_EXIT,
	C_SELF,
	C_FROM,
	C_STATE,
	C_ATTACHED,
	C_ENTER_SEQ,
	C_EXIT_SEQ,
	C_COLUMNS
};
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
/* Of a call's row, with its end if it has one: what a column about the end is; of C_STATE and C_EXCEPTION the number
 * that sql_call_text has a word for. False: NULL. */
bool sql_call_end(const ct_u64 *row, int column, ct_u64 *v);
void sql_call_text(struct ct_stepdb *db, sqlite3_context *ctx, int column, ct_u64 v);
void sql_parts_free(struct sql_parts *parts);

#endif
