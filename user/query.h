/* SPDX-License-Identifier: MIT
 * Inside of `ctbpf query`: rows on their way out as a table, as JSON lines, as CSV; the ready questions.
 *
 * cmd_query.c: options and SQL; query_print.c: rows; query_ready.c, query_where.c: questions. */
#ifndef CT_QUERY_H
#define CT_QUERY_H

#include "../formats/recording.h"
#include "../formats/stepdb_read.h"
#include "out.h"

enum query_form { QUERY_TABLE, QUERY_JSON, QUERY_CSV };
#define QUERY_COLUMNS 64
struct query_rows {
	struct ct_out *out;
	enum query_form form;
	unsigned ncols, col;
	const char *name[QUERY_COLUMNS]; /* as JSON and CSV have them; tables print them in capitals */
	struct ct_table table;
	unsigned waiting; /* rows in the table */
	bool titled;
	bool units; /* times have units in tables: titles say no "_ns" */
};
/* `right`: bit c for a column that is right-aligned in tables. */
void query_begin(struct query_rows *rows, struct ct_out *out, enum query_form form, const char *const *names,
		 unsigned ncols, uint32_t right);
void query_int(struct query_rows *rows, int64_t value);
void query_id(struct query_rows *rows, ct_u64 id); /* 0: nothing */
void query_double(struct query_rows *rows, double value);
void query_text(struct query_rows *rows, const char *text, size_t len);
void query_blob(struct query_rows *rows, const void *data, size_t len);
void query_null(struct query_rows *rows);
void query_end(struct query_rows *rows);

struct query {
	struct ct_out *out;
	enum query_form form;
	struct ct_recording *rec;
	struct ct_stepdb *db;
	ct_u64 limit; /* rows, 0: all */
	bool reverse; /* the last ones first */
	ct_u64 first_ns;
};
/* The limit is reached, or nobody reads any more. */
static inline bool query_enough(const struct query *q, ct_u64 shown)
{
	return (q->limit && shown >= q->limit) || q->out->error;
}
/* A value as text, malloc'ed and terminated. */
char *query_value_text(struct query *q, const ct_u8 *node, size_t len, size_t *n);
int query_history(struct query *q, const char *variable, struct ct_error *err);
int query_line(struct query *q, const char *place, struct ct_error *err);
int query_callers(struct query *q, const char *function, struct ct_error *err);
int query_slowest(struct query *q, struct ct_error *err);
int query_exceptions(struct query *q, struct ct_error *err);
int query_where(struct query *q, const char *pos, struct ct_error *err);
/* What the database holds, and its tables. */
int query_summary(struct query *q, struct ct_error *err);

#endif
