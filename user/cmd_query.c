/* SPDX-License-Identifier: MIT
 * ctbpf query: asks a recording's step database, in SQL or with one of the ready questions.
 *
 * SQL's tables are formats/stepdb_sql*.c; query_ready.c has the questions, query_print.c the forms of an answer. */
#include <getopt.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "query.h"

static const char help[] =
	"usage: ctbpf query [OPTION...] RECORDING [SQL]\n"
	"\n"
	"Ask what the recorded program did, line by line. `ctbpf index RECORDING` builds the database that is asked;\n"
	"it may still be at it. Without a question: what there is to ask.\n"
	"\n"
	"ready questions:\n"
	"  --history VAR     all values of a variable; FUNCTION:VAR for one function's\n"
	"  --line FILE:N     every time this line was run\n"
	"  --callers F       who called a function, from where, how often\n"
	"  --slowest         functions by their time, and the longest calls\n"
	"  --exceptions      every exception: where, of what type, with which value\n"
	"  --where POS       stack and variables at a position: a step s:NUMBER, an event e:NUMBER, a time t:+1.25s\n"
	"\n"
	"answers:\n"
	"  --limit N         rows a ready question shows (100; 0: all)\n"
	"  --reverse         the last ones first (--history, --line, --exceptions)\n"
	"  --json            one JSON object a line, times in nanoseconds\n"
	"  --csv             comma-separated values with a line of titles\n"
	"  -h, --help        this text\n"
	"\n"
	"SQL is SQLite's. Tables:\n"
	"  steps(id, thread_id, call_id, function_id, file_id, line, event_seq, time_ns)\n"
	"  calls(id, parent_id, thread_id, function_id, first_step, last_step, depth, exception, enter_ns, exit_ns,\n"
	"        self_ns, from_step, state, attached, enter_seq, exit_seq)\n"
	"  values(step_id, call_id, name, type, value, kind, function_id, id; hidden: repr, json, node)\n"
	"  events(seq, time_ns, thread_id, type, name, result, tid, pid, text)\n"
	"  files(id, path)   functions(id, name, file_id, line, language)   types(id, name)\n"
	"  threads(id, tid, pid, name, first_seq)   lines(id, function_id, file_id, line, hits)\n"
	"  variables(id, function_id, name, kind, hits)\n"
	"  sites(id, function_id, caller_id, file_id, line, calls, total_ns)\n"
	"  stats(function_id, calls, steps, total_ns, self_ns, max_ns, exceptions)\n"
	"  spans(id, parent_id, kind, label, thread_id, first_step, last_step, begin_ns, end_ns)\n"
	"\n"
	"examples:\n"
	"  ctbpf query --line app.py:42 --reverse web.ctr\n"
	"  ctbpf query --history handle:user web.ctr\n"
	"  ctbpf query --where t:+1.5s web.ctr\n"
	"  ctbpf query web.ctr 'SELECT name, calls FROM functions JOIN stats ON function_id = id ORDER BY calls DESC "
	"LIMIT 9'\n"
	"  ctbpf query --csv web.ctr \"SELECT step_id, value FROM values WHERE name = 'total' AND value > 100\"\n"
	"\n"
	"exit codes: 0 success, 1 no answer (no database, no such name, damaged), 2 wrong usage or SQL\n";

/* ---- What there is ---- */

/* What the database holds, and its tables. */
static int query_summary(struct query *q, struct ct_error *err)
{
	struct ct_stepdb_info info;
	char a[CT_HUMAN], b[CT_HUMAN], c[CT_HUMAN], d[CT_HUMAN];

	(void)err;
	ct_stepdb_info(q->db, &info);
	if (q->form != QUERY_TABLE) {
		static const char *const names[] = {"steps", "calls",   "values",   "bytes", "functions",
						    "files", "threads", "complete", "part"};
		struct query_rows rows;

		query_begin(&rows, q->out, q->form, names, 9, 0);
		query_int(&rows, (int64_t)info.steps);
		query_int(&rows, (int64_t)info.calls);
		query_int(&rows, (int64_t)info.values);
		query_int(&rows, (int64_t)info.bytes);
		query_int(&rows, ct_stepdb_names(q->db, CT_FUNCTIONS));
		query_int(&rows, ct_stepdb_names(q->db, CT_FILES));
		query_int(&rows, ct_stepdb_names(q->db, CT_THREADS));
		query_int(&rows, info.complete);
		query_text(&rows, info.part, strlen(info.part));
		query_end(&rows);
		return 0;
	}
	ct_out_fmt(q->out, "%s: %s steps, %s calls, %s values; %s%s\n", ct_recording_path(q->rec),
		   ct_human_count(a, info.steps), ct_human_count(b, info.calls), ct_human_count(c, info.values),
		   ct_human_bytes(d, info.bytes), info.complete ? "" : "; not complete: run `ctbpf index` again");
	ct_out_fmt(q->out, "%u functions in %u files, %u threads\n", ct_stepdb_names(q->db, CT_FUNCTIONS),
		   ct_stepdb_names(q->db, CT_FILES), ct_stepdb_names(q->db, CT_THREADS));
	if (*info.part)
		ct_out_fmt(q->out, "only a part of what ran: %s\n", info.part);
	ct_out_str(q->out, "`ctbpf query --help` lists questions and tables\n");
	return 0;
}

/* ---- SQL ---- */

static void put_cell(struct query_rows *rows, sqlite3_stmt *stmt, int c)
{
	switch (sqlite3_column_type(stmt, c)) {
	case SQLITE_INTEGER: query_int(rows, sqlite3_column_int64(stmt, c)); break;
	case SQLITE_FLOAT: query_double(rows, sqlite3_column_double(stmt, c)); break;
	case SQLITE_TEXT:
		query_text(rows, (const char *)sqlite3_column_text(stmt, c), (size_t)sqlite3_column_bytes(stmt, c));
		break;
	case SQLITE_BLOB: query_blob(rows, sqlite3_column_blob(stmt, c), (size_t)sqlite3_column_bytes(stmt, c)); break;
	default: query_null(rows);
	}
}

static int run_statement(struct query *q, sqlite3 *sql, sqlite3_stmt *stmt, struct ct_error *err)
{
	int ncols = sqlite3_column_count(stmt), most = q->form == QUERY_TABLE ? 32 : QUERY_COLUMNS, rc;
	const char *names[QUERY_COLUMNS];
	struct query_rows rows;
	uint32_t right = 0;
	bool first = true;

	if (ncols > most)
		return ct_fail(err, CT_EXIT_USAGE, "SQL: %d columns; at most %d can be shown%s", ncols, most,
			       q->form == QUERY_TABLE ? " in a table" : "");
	for (int c = 0; c < ncols; c++)
		names[c] = sqlite3_column_name(stmt, c);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && !q->out->error) {
		/* Numbers are right-aligned, and the first row says which columns have them. */
		for (int c = 0; first && c < ncols && c < 32; c++)
			right |= (uint32_t)(sqlite3_column_type(stmt, c) <= SQLITE_FLOAT) << c;
		if (first)
			query_begin(&rows, q->out, q->form, names, (unsigned)ncols, right);
		first = false;
		for (int c = 0; c < ncols; c++)
			put_cell(&rows, stmt, c);
	}
	if (first && ncols)
		query_begin(&rows, q->out, q->form, names, (unsigned)ncols, 0);
	if (ncols)
		query_end(&rows);
	return rc == SQLITE_DONE || q->out->error ? 0 : ct_fail(err, CT_EXIT_FAILED, "SQL: %s", sqlite3_errmsg(sql));
}

static int query_sql(struct query *q, const char *text, struct ct_error *err)
{
	char *folded = q->db ? ct_stepdb_sql_fold(text) : strdup(text);
	char *quoted = folded ? ct_stepdb_sql_quote(folded) : NULL;
	const char *rest = quoted;
	sqlite3 *sql = quoted ? ct_stepdb_sql(q->db, q->rec, err) : NULL;
	int ret = sql ? 0 : quoted ? -1 : ct_fail(err, CT_EXIT_FAILED, "out of memory");

	while (ret == 0 && *rest) {
		sqlite3_stmt *stmt = NULL;

		if (sqlite3_prepare_v2(sql, rest, -1, &stmt, &rest) != SQLITE_OK)
			ret = ct_fail(err, q->db ? CT_EXIT_USAGE : CT_EXIT_FAILED, "SQL: %s", sqlite3_errmsg(sql));
		else if (stmt)
			ret = run_statement(q, sql, stmt, err);
		sqlite3_finalize(stmt);
	}
	sqlite3_close(sql);
	free(quoted);
	free(folded);
	return ret;
}

/* ---- The command ---- */

enum {
	OPT_HISTORY = 256,
	OPT_LINE,
	OPT_CALLERS,
	OPT_SLOWEST,
	OPT_EXCEPTIONS,
	OPT_WHERE,
	OPT_LIMIT,
	OPT_REVERSE,
	OPT_JSON,
	OPT_CSV
};

struct question {
	struct query *q;
	int kind; /* OPT_* of a ready question; 0: none */
	const char *text;
	const char *sql; /* NULL: none */
};

static int answer(void *ctx, struct ct_error *err)
{
	const struct question *question = ctx;
	struct query *q = question->q;

	/* The log can be asked without a step database. */
	if (query_open_steps(q, !question->sql, err) < 0)
		return -1;
	switch (question->kind) {
	case OPT_HISTORY: return query_history(q, question->text, err);
	case OPT_LINE: return query_line(q, question->text, err);
	case OPT_CALLERS: return query_callers(q, question->text, err);
	case OPT_SLOWEST: return query_slowest(q, err);
	case OPT_EXCEPTIONS: return query_exceptions(q, err);
	case OPT_WHERE: return query_where(q, question->text, err);
	default: return question->sql ? query_sql(q, question->sql, err) : query_summary(q, err);
	}
}

int cmd_query(int argc, char **argv)
{
	static const struct option options[] = {{"history", required_argument, NULL, OPT_HISTORY},
						{"line", required_argument, NULL, OPT_LINE},
						{"callers", required_argument, NULL, OPT_CALLERS},
						{"slowest", no_argument, NULL, OPT_SLOWEST},
						{"exceptions", no_argument, NULL, OPT_EXCEPTIONS},
						{"where", required_argument, NULL, OPT_WHERE},
						{"limit", required_argument, NULL, OPT_LIMIT},
						{"reverse", no_argument, NULL, OPT_REVERSE},
						{"json", no_argument, NULL, OPT_JSON},
						{"csv", no_argument, NULL, OPT_CSV},
						{"help", no_argument, NULL, 'h'},
						{0}};
	unsigned long long limit = 100;
	struct query q = {0};
	struct question question = {.q = &q};
	int opt;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case OPT_LIMIT:
			if (ct_parse_u64(optarg, 0, INT_MAX, &limit))
				return ct_cmd_usage(argv, "--limit wants a number of rows, not '%s'", optarg);
			break;
		case OPT_REVERSE: q.reverse = true; break;
		case OPT_JSON: q.form = QUERY_JSON; break;
		case OPT_CSV: q.form = QUERY_CSV; break;
		case 'h': return ct_cmd_help(help);
		case '?': return ct_cmd_usage(argv, NULL);
		default:
			if (question.kind)
				return ct_cmd_usage(argv, "one question at a time");
			question.kind = opt;
			question.text = optarg;
		}
	}
	if (optind == argc)
		return ct_cmd_usage(argv, "name a recording (a directory NAME.ctr)");
	if (argc - optind > (question.kind ? 1 : 2))
		return ct_cmd_usage(argv, question.kind ? "a ready question or SQL, not both"
							: "SQL is one argument: put it in quotes");

	q.limit = limit;
	question.sql = argv[optind + 1];
	return query_run(&q, argv, answer, &question);
}
