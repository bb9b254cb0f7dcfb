/* SPDX-License-Identifier: MIT
 * Inside of `ctbpf query`: rows on their way out as a table, as JSON lines, as CSV; the ready questions.
 *
 * cmd_query.c: options and SQL; query_print.c: rows; query_ready.c, query_where.c: questions; query_shared.c: the rest.
 */
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
	bool units;          /* times have units in tables: titles say no "_ns" */
	const char *section; /* begins every row of JSON; NULL: rows are of one kind */
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
/* Opens the recording that argv has at `optind` and standard output; what `answer` says of an error is said behind what
 * it printed. All is closed then, the step database too. Returns the command's status. */
int query_run(struct query *q, char **argv, int (*answer)(void *ctx, struct ct_error *err), void *ctx);
/* Value of an option --thread; otherwise usage is told, and false. */
bool query_thread_option(char **argv, const char *text, ct_u32 *tid);
/* Opens the recording's step database. Without one q->db stays NULL, unless it is needed. */
int query_open_steps(struct query *q, bool needed, struct ct_error *err);
/* Cells; numbers and nanoseconds unless it is a table. */
void query_put_time(struct query *q, struct query_rows *rows, ct_u64 ns);
void query_put_duration(struct query *q, struct query_rows *rows, ct_u64 ns);
void query_put_name(struct query *q, struct query_rows *rows, enum ct_names table, ct_u64 id);
void query_put_place(struct query *q, struct query_rows *rows, ct_u64 location); /* "path:line" */
void query_put_line(struct query_rows *rows, const char *path, ct_u64 line);     /* the same; line 0: not known */
/* A stretch of the run; what is not given is open. The texts are positions as people write them, or NULL. */
struct query_span {
	ct_u64 first_step, last_step; /* 1 and UINT64_MAX: all */
	ct_u64 first_seq, last_seq;   /* events, inclusive */
	bool all;
};
int query_find_span(struct query *q, const char *from, const char *to, struct query_span *span, struct ct_error *err);
/* A byte per thread of the step database, 1 for those with this tid; NULL without memory or if there is none. */
ct_u8 *query_find_threads(struct query *q, ct_u32 tid, struct ct_error *err);
/* A byte per function, 1 for those whose name, or what is behind its last dot, matches a shell pattern; NULL if none.
 */
ct_u8 *query_match_functions(struct query *q, const char *pattern, struct ct_error *err);
/* A value as text, malloc'ed and terminated. */
char *query_value_text(struct query *q, const ct_u8 *node, size_t len, size_t *n);
int query_history(struct query *q, const char *variable, struct ct_error *err);
int query_line(struct query *q, const char *place, struct ct_error *err);
int query_callers(struct query *q, const char *function, struct ct_error *err);
int query_slowest(struct query *q, struct ct_error *err);
int query_exceptions(struct query *q, struct ct_error *err);
int query_where(struct query *q, const char *pos, struct ct_error *err);

#endif
