/* SPDX-License-Identifier: MIT
 * `ctbpf query --where`: the stack at a position, with the variables of each frame as they were then.
 *
 * Callers stand where they made the call; a generator stands on who resumed it. */
#include <stdlib.h>
#include <string.h>

#include "query.h"

#define DEEPEST 10000000 /* frames; a stack that is deeper goes round in a circle */

struct frame {
	struct query *q;
	bool failed;
	/* As CSV: a row for each variable, or one for a frame that has none. */
	struct query_rows rows;
	unsigned n, locals;
	ct_u64 call, location;
	const struct ct_name *function;
};

static void put_row(struct frame *f, const struct ct_local *local, const char *name, const char *text, size_t len)
{
	struct query_rows *rows = &f->rows;
	const struct ct_name *l = ct_stepdb_name(f->q->db, CT_LOCATIONS, f->location);
	const struct ct_name *file = l ? ct_stepdb_name(f->q->db, CT_FILES, l->v[CT_LOC_FILE]) : NULL;

	query_int(rows, f->n);
	query_id(rows, f->call);
	query_text(rows, f->function ? f->function->text : "", f->function ? f->function->len : 0);
	query_text(rows, file ? file->text : "", file ? file->len : 0);
	query_id(rows, l ? l->v[CT_LOC_LINE] : 0);
	query_text(rows, name, strlen(name));
	query_text(rows, text, len);
	query_id(rows, local ? local->step : 0);
	f->locals++;
}

static int put_local(void *arg, const struct ct_local *local)
{
	struct frame *f = arg;
	struct query *q = f->q;
	const struct ct_name *v = ct_stepdb_name(q->db, CT_VARIABLES, local->variable);
	const struct ct_name *name = ct_stepdb_name(q->db, CT_STRINGS, v->v[CT_VAR_NAME]);
	size_t n;
	char *text = query_value_text(q, local->node, local->len, &n);

	if (!text)
		return f->failed = true, -1;
	if (q->form == QUERY_CSV) {
		put_row(f, local, name ? name->text : "", text, n);
	} else if (q->form == QUERY_JSON) {
		ct_json_open(q->out, NULL, '{');
		ct_json_str(q->out, "name", name ? name->text : NULL);
		ct_json_strn(q->out, "value", text, n);
		ct_json_u64(q->out, "since_step", local->step);
		ct_json_close(q->out, '}');
	} else {
		ct_out_fmt(q->out, "      %s = ", name ? name->text : "?");
		ct_out_mem(q->out, text, n);
		ct_out_char(q->out, '\n');
	}
	free(text);
	return 0;
}

static void put_frame(struct query *q, unsigned n, ct_u64 call, const struct ct_name *function, ct_u64 location)
{
	const struct ct_name *l = ct_stepdb_name(q->db, CT_LOCATIONS, location);
	const struct ct_name *file = l ? ct_stepdb_name(q->db, CT_FILES, l->v[CT_LOC_FILE]) : NULL;

	if (q->form == QUERY_JSON) {
		ct_json_open(q->out, NULL, '{');
		ct_json_u64(q->out, "call", call);
		ct_json_str(q->out, "function", function ? function->text : NULL);
		ct_json_str(q->out, "path", file ? file->text : NULL);
		if (l)
			ct_json_u64(q->out, "line", l->v[CT_LOC_LINE]);
		else
			ct_json_null(q->out, "line");
		ct_json_open(q->out, "locals", '[');
		return;
	}
	ct_out_fmt(q->out, "#%-3u %s  ", n, function ? function->text : "?");
	if (l)
		ct_out_fmt(q->out, "%s:%llu", file ? file->text : "?", (unsigned long long)l->v[CT_LOC_LINE]);
	ct_out_fmt(q->out, "  call %llu\n", (unsigned long long)call);
}

static void put_head(struct query *q, ct_u64 step, const ct_u64 *at)
{
	const struct ct_name *thread = ct_stepdb_name(q->db, CT_THREADS, at[CT_STEP_THREAD]);
	ct_u64 ns = at[CT_STEP_TIME] > q->first_ns ? at[CT_STEP_TIME] - q->first_ns : 0;

	if (q->form == QUERY_JSON) {
		ct_json_open(q->out, NULL, '{');
		ct_json_u64(q->out, "step", step);
		ct_json_u64(q->out, "time_ns", at[CT_STEP_TIME]);
		ct_json_u64(q->out, "event_seq", at[CT_STEP_EVENT]);
		ct_json_u64(q->out, "thread", at[CT_STEP_THREAD]);
		ct_json_u64(q->out, "tid", thread ? thread->v[CT_TH_TID] : 0);
		ct_json_open(q->out, "frames", '[');
		return;
	}
	ct_out_fmt(q->out, "step %llu, +%llu.%06llu, after event %llu, thread %llu (%s, tid %llu)\n",
		   (unsigned long long)step, (unsigned long long)(ns / 1000000000),
		   (unsigned long long)(ns % 1000000000 / 1000), (unsigned long long)at[CT_STEP_EVENT],
		   (unsigned long long)at[CT_STEP_THREAD], thread && thread->len ? thread->text : "unnamed",
		   (unsigned long long)(thread ? thread->v[CT_TH_TID] : 0));
}

int query_where(struct query *q, const char *text, struct ct_error *err)
{
	ct_u64 step, at[CT_STEP_NCOLS], row[CT_CALL_NCOLS], from[CT_STEP_NCOLS], call, caller, from_step, location;
	static const char *const columns[] = {"frame", "call_id",  "function", "path",
					      "line",  "variable", "value",    "since_step"};
	struct frame f = {.q = q};
	unsigned n = 0;

	if (ct_stepdb_find_step(q->db, q->rec, text, &step, err) < 0 || !ct_stepdb_step_row(q->db, step, at, err))
		return -1;
	if (q->form == QUERY_CSV)
		query_begin(&f.rows, q->out, q->form, columns, sizeof(columns) / sizeof(*columns), 0);
	else
		put_head(q, step, at);
	location = at[CT_STEP_LOCATION];
	for (call = at[CT_STEP_CALL]; call && !query_enough(q, n); call = caller) {
		if (!ct_stepdb_call_row(q->db, call, row, err) ||
		    ct_stepdb_caller(q->db, call, step, &caller, &from_step, err) < 0)
			return -1;
		f.n = n++;
		f.call = call;
		f.location = location;
		f.function = ct_stepdb_name(q->db, CT_FUNCTIONS, row[CT_CALL_FUNCTION]);
		f.locals = 0;
		if (q->form != QUERY_CSV)
			put_frame(q, f.n, call, f.function, location);
		if (ct_stepdb_locals(q->db, call, step, put_local, &f, err) < 0)
			return f.failed ? ct_fail(err, CT_EXIT_FAILED, "out of memory") : -1;
		if (q->form == QUERY_CSV && !f.locals)
			put_row(&f, NULL, "", "", 0);
		if (q->form == QUERY_JSON) {
			ct_json_close(q->out, ']');
			ct_json_close(q->out, '}');
		}
		/* The caller stands where it made the call. */
		location = 0;
		if (from_step) {
			if (!ct_stepdb_step_row(q->db, from_step, from, err))
				return -1;
			location = from[CT_STEP_LOCATION];
		}
		if (n > DEEPEST)
			return ct_fail(err, CT_EXIT_FAILED, "steps/calls.ctcol: the stack of step %llu has no end",
				       (unsigned long long)step);
	}
	if (q->form == QUERY_JSON) {
		ct_json_close(q->out, ']');
		ct_json_close(q->out, '}');
		ct_json_line(q->out);
	} else if (call && q->form == QUERY_TABLE) {
		ct_out_str(q->out, "more frames; --limit 0 shows all\n");
	}
	return 0;
}
