/* SPDX-License-Identifier: MIT
 * What commands that read the step database share: opening it, cells that many answers have, positions.
 *
 * `query`, `report`, `graph` and `script` are its users. */
#include <ctype.h>
#include <fnmatch.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "query.h"

/* ---- Opening ---- */

int query_run(struct query *q, char **argv, int (*answer)(void *ctx, struct ct_error *err), void *ctx)
{
	struct ct_error err = {0};
	struct ct_out out;
	int ret = CT_EXIT_OK;

	ct_cmd_open(&out);
	q->out = &out;
	q->rec = ct_recording_open(argv[optind], &err);
	if (!q->rec || answer(ctx, &err) < 0) {
		ct_out_flush(&out); /* the message belongs behind what was answered */
		ret = ct_cmd_fail(argv, &err);
	}
	ct_stepdb_close(q->db);
	if (q->rec)
		ct_recording_close(q->rec);
	return ct_cmd_close(argv, &out, ret);
}

bool query_thread_option(char **argv, const char *text, ct_u32 *tid)
{
	unsigned long long number;

	if (ct_parse_u64(text, 1, UINT_MAX, &number)) {
		ct_cmd_usage(argv, "--thread wants a thread id, not '%s'", text);
		return false;
	}
	*tid = (ct_u32)number;
	return true;
}

int query_open_steps(struct query *q, bool needed, struct ct_error *err)
{
	q->first_ns = ct_recording_first_ns(q->rec);
	if (!needed && !ct_stepdb_exists(ct_recording_dirfd(q->rec)))
		return 0;
	q->db = ct_stepdb_of(q->rec, err);
	return q->db ? 0 : -1;
}

/* ---- Cells ---- */

void query_put_time(struct query *q, struct query_rows *rows, ct_u64 ns)
{
	char text[40];

	if (q->form != QUERY_TABLE) {
		query_int(rows, (int64_t)ns);
		return;
	}
	ns = ns > q->first_ns ? ns - q->first_ns : 0;
	query_text(rows, text,
		   (size_t)snprintf(text, sizeof(text), "+%llu.%06llu", (unsigned long long)(ns / 1000000000),
				    (unsigned long long)(ns % 1000000000 / 1000)));
}

void query_put_duration(struct query *q, struct query_rows *rows, ct_u64 ns)
{
	char text[CT_HUMAN];

	if (q->form != QUERY_TABLE)
		query_int(rows, (int64_t)ns);
	else
		query_text(rows, text, strlen(ct_human_seconds(text, (double)ns / 1e9)));
}

void query_put_name(struct query *q, struct query_rows *rows, enum ct_names table, ct_u64 id)
{
	const struct ct_name *name = ct_stepdb_name(q->db, table, id);

	if (name)
		query_text(rows, name->text, name->len);
	else
		query_null(rows);
}

/* "path:line" of a location. */
void query_put_line(struct query_rows *rows, const char *path, ct_u64 line)
{
	char *text = NULL;
	int n = line ? asprintf(&text, "%s:%llu", path, (unsigned long long)line) : asprintf(&text, "%s", path);

	if (n < 0) {
		query_null(rows);
		return;
	}
	query_text(rows, text, (size_t)n);
	free(text);
}

void query_put_place(struct query *q, struct query_rows *rows, ct_u64 location)
{
	const struct ct_name *l = ct_stepdb_name(q->db, CT_LOCATIONS, location), *file;

	file = l ? ct_stepdb_name(q->db, CT_FILES, l->v[CT_LOC_FILE]) : NULL;
	if (l)
		query_put_line(rows, file ? file->text : "?", l->v[CT_LOC_LINE]);
	else
		query_null(rows);
}

char *query_value_text(struct query *q, const ct_u8 *node, size_t len, size_t *n)
{
	struct ct_node_names names = ct_stepdb_node_names(q->db);
	char *text = malloc((*n = ct_node_format(node, len, &names, NULL, 0)) + 1);

	if (text)
		ct_node_format(node, len, &names, text, *n + 1);
	return text;
}

/* ---- Positions ---- */

/* The last step before, or at, the position. */
/* The event that comes first at a time or later; behind the last one: its number and 1. */
static int seq_at(struct query *q, ct_u64 ns, ct_u64 *seq, struct ct_error *err)
{
	struct ct_cursor *cur = ct_cursor_create(q->rec, err);
	const struct ct_event *ev;
	int got = cur ? ct_cursor_seek_time(cur, ns, err) : -1;

	*seq = UINT64_MAX;
	while (got == 0 && (got = ct_cursor_next(cur, &ev, err)) > 0) {
		got = ev->time_ns >= ns;
		if (got)
			*seq = ev->seq;
	}
	ct_cursor_destroy(cur);
	return got < 0 ? -1 : 0;
}

/* One end of a stretch: the event and the step that it names. Steps carry the last event before them, so those before
 * event N have a lower one. */
static int find_end(struct query *q, const char *text, bool is_last, ct_u64 *step, ct_u64 *seq, struct ct_error *err)
{
	ct_u64 row[CT_STEP_NCOLS];
	struct ct_stepdb_info info;
	struct ct_pos pos;

	if (strncmp(text, "s:", 2) == 0) {
		if (!q->db)
			return ct_fail(err, CT_EXIT_FAILED,
				       "position '%s' is a step; run `ctbpf index %s` first, or use e:SEQ or t:TIME",
				       text, ct_recording_path(q->rec));
		ct_stepdb_info(q->db, &info);
		if (ct_stepdb_find_step(q->db, q->rec, text, step, err) < 0)
			return -1;
		/* What happens in a step comes between its event and that of the next. */
		if (is_last && *step == info.steps) {
			*seq = UINT64_MAX;
			return 0;
		}
		if (!ct_stepdb_step_row(q->db, *step + is_last, row, err))
			return -1;
		*seq = row[CT_STEP_EVENT] + !is_last;
		return 0;
	}
	if (ct_pos_parse(q->rec, text, &pos, err) < 0)
		return -1;
	*seq = pos.value;
	if (pos.kind == CT_POS_TIME && seq_at(q, pos.value + is_last, seq, err) < 0)
		return -1;
	if (pos.kind == CT_POS_TIME && is_last && *seq != UINT64_MAX)
		*seq -= *seq > 0;
	if (!q->db || (!is_last && *seq <= 1))
		return 0;
	if (ct_stepdb_step_after(q->db, CT_STEP_EVENT, *seq ? *seq - 1 : 0, step, err) < 0)
		return -1;
	*step -= is_last;
	return 0;
}

int query_find_span(struct query *q, const char *from, const char *to, struct query_span *span, struct ct_error *err)
{
	struct ct_stepdb_info info;

	*span = (struct query_span){1, UINT64_MAX, 0, UINT64_MAX, !from && !to};
	if ((from && find_end(q, from, false, &span->first_step, &span->first_seq, err) < 0) ||
	    (to && find_end(q, to, true, &span->last_step, &span->last_seq, err) < 0))
		return -1;
	if (span->first_seq > span->last_seq && span->first_step > span->last_step)
		return ct_fail(err, CT_EXIT_USAGE, "position '%s' is behind '%s'", from, to);
	/* Between two steps: only events. */
	if (span->first_step > span->last_step) {
		ct_stepdb_info(q->db, &info);
		span->first_step = info.steps + 1;
		span->last_step = UINT64_MAX;
	}
	return 0;
}

ct_u8 *query_find_threads(struct query *q, ct_u32 tid, struct ct_error *err)
{
	ct_u32 n = ct_stepdb_names(q->db, CT_THREADS);
	ct_u8 *threads = calloc((size_t)n + 1, 1);
	bool any = false;

	for (ct_u32 id = 1; threads && id <= n; id++) {
		threads[id] = ct_stepdb_name(q->db, CT_THREADS, id)->v[CT_TH_TID] == tid;
		any = any || threads[id];
	}
	if (any)
		return threads;
	if (threads)
		ct_fail(err, CT_EXIT_FAILED,
			"thread %u has no step in the database; `SELECT tid FROM threads` lists those that have", tid);
	else
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
	free(threads);
	return NULL;
}

ct_u8 *query_match_functions(struct query *q, const char *pattern, struct ct_error *err)
{
	ct_u32 n = ct_stepdb_names(q->db, CT_FUNCTIONS);
	ct_u8 *match = calloc((size_t)n + 1, 1);
	bool any = false;

	for (ct_u32 id = 1; match && id <= n; id++) {
		const char *name = ct_stepdb_name(q->db, CT_FUNCTIONS, id)->text, *dot = strrchr(name, '.');

		match[id] = fnmatch(pattern, name, 0) == 0 || (dot && fnmatch(pattern, dot + 1, 0) == 0);
		any = any || match[id];
	}
	if (any)
		return match;
	if (match)
		ct_fail(err, CT_EXIT_FAILED,
			"no function matches '%s'; `SELECT name FROM functions` lists all that were run", pattern);
	else
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
	free(match);
	return NULL;
}
