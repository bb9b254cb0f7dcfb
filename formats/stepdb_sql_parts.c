/* SPDX-License-Identifier: MIT
 * Tables of sums over steps and calls: a row stands for all rows, or many, that are alike in the columns asked for,
 * with how many there are and count, min, max and sum of each other column.
 *
 * stepdb_sql_text.c asks them instead of the rows. Nothing is looked at row by row in SQLite, and a chunk that the
 * directory tells enough about is not read. Rows alike may come in several parts: whoever asks adds them up. */
#include <string.h>

#include "stepdb_sql.h"

#define COLUMNS 16   /* of a table of rows */
#define MOST    4096 /* parts in memory */
#define SLOTS   (4 * MOST)

enum { P_COUNT, P_MIN, P_MAX, P_SUM, P_KINDS };

struct part {
	ct_u64 key[COLUMNS], rows;
	ct_u32 nulls; /* bit per key */
};
struct sum {
	__int128 sum;
	ct_u64 n;
	ct_s64 min, max;
};
/* A column of SQL over the chunk at hand. */
struct vector {
	const ct_u64 *v;
	ct_u64 *own;
	ct_u8 *null;      /* byte a row */
	bool nulls, same; /* there are some; all rows have v[0] */
};
struct sql_parts {
	bool calls;
	int key[COLUMNS], sum[COLUMNS], sum_at[COLUMNS]; /* columns; where a column's sums are */
	unsigned nkeys, nsums;
	bool sums; /* not only least and greatest */
	struct vector vector[COLUMNS];
	struct part *part;
	struct sum *sums_of; /* [part][nsums] */
	ct_u32 *slots;       /* part + 1 */
	size_t n, given;
	struct sd_chunk *chunk; /* the scan's, rows up to `row` done */
	unsigned row;
	bool all, end;
};

void sql_parts_free(struct sql_parts *p)
{
	if (!p)
		return;
	for (unsigned c = 0; c < COLUMNS; c++) {
		free(p->vector[c].own);
		free(p->vector[c].null);
	}
	free(p->part);
	free(p->sums_of);
	free(p->slots);
	free(p);
}

/* ---- Columns of a chunk ---- */

/* The scan's column that is the column of SQL as it is, NULL for 0 in `ids`; -1: it is worked out. */
static int plain_column(bool calls, int column)
{
	static const signed char steps[S_COLUMNS] = {
		[S_ID] = -1,   [S_THREAD] = CT_STEP_THREAD, [S_CALL] = CT_STEP_CALL, [S_FUNCTION] = -1, [S_FILE] = -1,
		[S_LINE] = -1, [S_EVENT] = CT_STEP_EVENT,   [S_TIME] = CT_STEP_TIME};
	static const signed char ends[C_COLUMNS] = {[C_ID] = -1,
						    [C_PARENT] = CT_CALL_PARENT,
						    [C_THREAD] = CT_CALL_THREAD,
						    [C_FUNCTION] = CT_CALL_FUNCTION,
						    [C_FIRST] = -1,
						    [C_LAST] = -1,
						    [C_DEPTH] = CT_CALL_DEPTH,
						    [C_EXCEPTION] = -1,
						    [C_ENTER] = CT_CALL_ENTER_TIME,
						    [C_EXIT] = -1,
						    [C_SELF] = -1,
						    [C_FROM] = CT_CALL_FROM_STEP,
						    [C_STATE] = -1,
						    [C_ATTACHED] = CT_CALL_FLAGS,
						    [C_ENTER_SEQ] = CT_CALL_ENTER_EVENT,
						    [C_EXIT_SEQ] = -1};

	return calls ? ends[column] : steps[column];
}

static bool is_id(const struct sql_parts *p, int column)
{
	return p->calls && (column == C_PARENT || column == C_FROM);
}

static int out_of_memory(struct ct_error *err)
{
	return ct_fail(err, CT_EXIT_FAILED, "out of memory");
}

static int location_vector(struct ct_stepdb *db, const struct sd_chunk *chunk, const ct_u64 *locations, int column,
			   struct vector *x, struct ct_error *err)
{
	unsigned what = column == S_FUNCTION ? CT_LOC_FUNCTION : column == S_FILE ? CT_LOC_FILE : CT_LOC_LINE;

	for (unsigned i = 0; i < chunk->rows; i++) {
		const struct ct_name *l = ct_stepdb_name(db, CT_LOCATIONS, locations[i]);

		if (!l)
			return ct_fail(err, CT_EXIT_FAILED, "steps/steps.ctcol: step %llu has no location",
				       (unsigned long long)(chunk->first_row + i));
		x->own[i] = l->v[what];
	}
	return 0;
}

static int end_vector(struct ct_stepdb *db, struct sd_chunk *chunk, int column, struct vector *x, struct ct_error *err)
{
	const ct_u64 *col[CT_CALL_NCOLS];
	ct_u64 row[CT_CALL_NCOLS];

	for (unsigned c = 0; c < CT_CALL_NCOLS; c++)
		if (!(col[c] = sd_chunk_column(db, chunk, c, err)))
			return -1;
	for (unsigned i = 0; i < chunk->rows; i++) {
		for (unsigned c = CT_CALL_ENTER_TIME; c < CT_CALL_NCOLS; c++)
			row[c] = col[c][i];
		/* It may have ended since its chunk was written. */
		if (row[CT_CALL_STATE] == CT_CALL_OPEN && !ct_stepdb_call_row(db, chunk->first_row + i, row, err))
			return -1;
		x->null[i] = !sql_call_end(row, column, &x->own[i]);
		x->nulls = x->nulls || x->null[i];
	}
	return 0;
}

static int make_vector(struct ct_stepdb *db, struct sql_parts *p, int column, struct ct_error *err)
{
	struct vector *x = &p->vector[column];
	int plain = plain_column(p->calls, column), ret = 0;
	struct sd_chunk *chunk = p->chunk;

	x->nulls = false;
	if (!x->own) {
		x->own = malloc(SD_CHUNK_ROWS * sizeof(*x->own));
		x->null = malloc(SD_CHUNK_ROWS);
		if (!x->own || !x->null)
			return out_of_memory(err);
	}
	x->v = x->own;
	if (plain >= 0) {
		x->v = sd_chunk_column(db, chunk, (unsigned)plain, err);
		if (!x->v)
			return -1;
		for (unsigned i = 0; i < chunk->rows && is_id(p, column); i++) {
			x->null[i] = !x->v[i];
			x->nulls = x->nulls || x->null[i];
		}
	} else if (column == 0) {
		for (unsigned i = 0; i < chunk->rows; i++)
			x->own[i] = chunk->first_row + i;
	} else if (p->calls) {
		ret = end_vector(db, chunk, column, x, err);
	} else {
		const ct_u64 *locations = sd_chunk_column(db, chunk, CT_STEP_LOCATION, err);

		ret = locations ? location_vector(db, chunk, locations, column, x, err) : -1;
	}
	return ret;
}

/* ---- Parts ---- */

static bool same_key(const struct sql_parts *p, const struct part *part, const ct_u64 *key, ct_u32 nulls)
{
	return part->nulls == nulls && !memcmp(part->key, key, p->nkeys * sizeof(*key));
}

/* The part with this key; NULL: there is no room for another. */
static struct part *part_of(struct sql_parts *p, const ct_u64 *key, ct_u32 nulls)
{
	ct_u64 hash = nulls;
	struct part *part;
	size_t s;

	for (unsigned k = 0; k < p->nkeys; k++)
		hash = (hash ^ key[k]) * 0x9e3779b97f4a7c15ull;
	for (s = hash >> 50; p->slots[s]; s = (s + 1) % SLOTS)
		if (same_key(p, &p->part[p->slots[s] - 1], key, nulls))
			return &p->part[p->slots[s] - 1];
	if (p->n == MOST)
		return NULL;
	p->slots[s] = (ct_u32)++p->n;
	part = &p->part[p->n - 1];
	memcpy(part->key, key, p->nkeys * sizeof(*key));
	part->nulls = nulls;
	part->rows = 0;
	for (unsigned i = 0; i < p->nsums; i++)
		p->sums_of[(p->n - 1) * p->nsums + i] = (struct sum){.min = INT64_MAX, .max = INT64_MIN};
	return part;
}

static struct part *part_of_row(struct sql_parts *p, unsigned row)
{
	ct_u64 key[COLUMNS];
	ct_u32 nulls = 0;

	for (unsigned k = 0; k < p->nkeys; k++) {
		const struct vector *x = &p->vector[p->key[k]];
		bool null = x->nulls && x->null[row];

		key[k] = null ? 0 : x->v[row];
		nulls |= (ct_u32)null << k;
	}
	return part_of(p, key, nulls);
}

static bool alike(const struct sql_parts *p, unsigned a, unsigned b)
{
	for (unsigned k = 0; k < p->nkeys; k++) {
		const struct vector *x = &p->vector[p->key[k]];

		if (x->v[a] != x->v[b] || (x->nulls && x->null[a] != x->null[b]))
			return false;
	}
	return true;
}

/* Rows [from, to) are the part's. */
static void add_rows(struct sql_parts *p, struct part *part, unsigned from, unsigned to)
{
	struct sum *sum = &p->sums_of[(size_t)(part - p->part) * p->nsums];

	part->rows += to - from;
	for (unsigned k = 0; k < p->nsums; k++, sum++) {
		const struct vector *x = &p->vector[p->sum[k]];
		ct_s64 min = sum->min, max = sum->max;

		for (unsigned i = from; i < to; i++) {
			ct_s64 v = (ct_s64)x->v[i];

			if (x->nulls && x->null[i])
				continue;
			min = v < min ? v : min;
			max = v > max ? v : max;
			sum->sum += v;
			sum->n++;
		}
		sum->min = min;
		sum->max = max;
	}
}

/* What the directory says is all that is asked: nothing of the chunk needs to be read. */
static bool take_summary(struct sql_parts *p, const struct sd_found *f)
{
	ct_u64 key[COLUMNS];
	struct part *part;
	struct sum *sum;

	for (unsigned k = 0; k < p->nkeys; k++) {
		int c = plain_column(p->calls, p->key[k]);

		if (c < 0 || f->minmax[2 * c] != f->minmax[2 * c + 1] || (is_id(p, p->key[k]) && !f->minmax[2 * c]))
			return false;
		key[k] = f->minmax[2 * c];
	}
	for (unsigned k = 0; k < p->nsums; k++) {
		int c = plain_column(p->calls, p->sum[k]);

		if (p->sum[k] != 0 && (c < 0 || (is_id(p, p->sum[k]) && !f->minmax[2 * c])))
			return false;
	}
	if ((p->nsums && p->sums) || !(part = part_of(p, key, 0)))
		return false;
	part->rows += f->entry->rows;
	sum = &p->sums_of[(size_t)(part - p->part) * p->nsums];
	for (unsigned k = 0; k < p->nsums; k++, sum++) {
		int c = plain_column(p->calls, p->sum[k]);
		ct_s64 min = (ct_s64)(c < 0 ? f->entry->first_row : f->minmax[2 * c]);
		ct_s64 max = (ct_s64)(c < 0 ? f->entry->first_row + f->entry->rows - 1 : f->minmax[2 * c + 1]);

		sum->min = min < sum->min ? min : sum->min;
		sum->max = max > sum->max ? max : sum->max;
		sum->n += f->entry->rows;
	}
	return true;
}

/* Adds up rows of the chunk at hand; false: there is no room for a part, the rest is for later. */
static bool take_rows(struct sql_parts *p, const struct ct_scan *scan)
{
	const unsigned rows = p->chunk->rows;

	while (p->row < rows) {
		unsigned from = p->row, to = from + 1;
		struct part *part;

		if (!p->all && !sd_scan_matches(scan, from)) {
			p->row++;
			continue;
		}
		part = part_of_row(p, from);
		if (!part)
			return false;
		if (!p->nkeys && p->all)
			to = rows;
		while (to < rows && alike(p, from, to) && (p->all || sd_scan_matches(scan, to)))
			to++;
		add_rows(p, part, from, to);
		p->row = to;
	}
	p->chunk = NULL;
	return true;
}

/* Goes on until there is no room for more parts, or to the end. */
static int gather(struct sql_cursor *cur, struct ct_error *err)
{
	struct sql_parts *p = cur->parts;
	struct ct_stepdb *db = cur->src->db;

	memset(p->slots, 0, SLOTS * sizeof(*p->slots));
	p->n = p->given = 0;
	while (!p->end && (!p->chunk || take_rows(p, cur->scan))) {
		struct sd_found found;
		int got = sd_scan_find(cur->scan, &found, err);

		if (got < 0)
			return -1;
		p->end = got == 0;
		p->all = !p->end && sd_scan_has_all(cur->scan, &found);
		p->row = 0;
		if (p->end || (p->all && take_summary(p, &found)))
			continue;
		p->chunk = sd_scan_read(cur->scan, &found, err);
		if (!p->chunk)
			return -1;
		for (unsigned k = 0; k < p->nkeys; k++)
			if (make_vector(db, p, p->key[k], err) < 0)
				return -1;
		for (unsigned k = 0; k < p->nsums; k++)
			if (make_vector(db, p, p->sum[k], err) < 0)
				return -1;
	}
	return 0;
}

/* ---- The tables ---- */

static int next_part(struct sql_cursor *cur, struct ct_error *err)
{
	struct sql_parts *p = cur->parts;

	if (p->given == p->n && !p->end && gather(cur, err) < 0)
		return -1;
	cur->end = p->given == p->n;
	p->given += !cur->end;
	cur->id++;
	return 0;
}

static bool uses(const struct sql_filter *filter, unsigned column)
{
	return filter->used >> (column < 63 ? column : 63) & 1;
}

static int filter_parts(struct sql_cursor *cur, const struct sql_filter *filter, const struct sql_table *table,
			unsigned columns, struct ct_error *err)
{
	struct sql_parts *p = cur->parts = calloc(1, sizeof(*p));

	if (!p)
		return out_of_memory(err);
	p->calls = table == &sql_calls;
	for (unsigned c = 0; c < columns; c++) {
		bool any = false;

		if (uses(filter, c))
			p->key[p->nkeys++] = (int)c;
		for (unsigned k = 0; k < P_KINDS; k++)
			any = any || uses(filter, columns + 1 + P_KINDS * c + k);
		p->sums = p->sums || uses(filter, columns + 1 + P_KINDS * c + P_SUM);
		p->sum_at[c] = (int)p->nsums;
		if (any)
			p->sum[p->nsums++] = (int)c;
	}
	p->part = malloc(MOST * sizeof(*p->part));
	p->sums_of = malloc((MOST * (size_t)p->nsums + 1) * sizeof(*p->sums_of));
	p->slots = malloc(SLOTS * sizeof(*p->slots));
	if (!p->part || !p->sums_of || !p->slots)
		return out_of_memory(err);
	return table->filter(cur, filter, err);
}

static int column_parts(struct sql_cursor *cur, sqlite3_context *ctx, unsigned column, unsigned columns,
			struct ct_error *err)
{
	struct sql_parts *p = cur->parts;
	const struct part *part = &p->part[p->given - 1];
	const struct sum *s;
	unsigned k = 0;

	if (column == columns) {
		sqlite3_result_int64(ctx, (ct_s64)part->rows);
	} else if (column < columns) {
		while (p->key[k] != (int)column)
			k++;
		if (part->nulls >> k & 1)
			return 0;
		if (p->calls && (column == C_STATE || column == C_EXCEPTION))
			sql_call_text(cur->src->db, ctx, (int)column, part->key[k]);
		else
			sqlite3_result_int64(ctx, (ct_s64)part->key[k]);
	} else {
		column -= columns + 1;
		s = &p->sums_of[(p->given - 1) * p->nsums + (unsigned)p->sum_at[column / P_KINDS]];
		if (column % P_KINDS == P_COUNT)
			sqlite3_result_int64(ctx, (ct_s64)s->n);
		else if (!s->n)
			return 0;
		else if (column % P_KINDS == P_MIN)
			sqlite3_result_int64(ctx, s->min);
		else if (column % P_KINDS == P_MAX)
			sqlite3_result_int64(ctx, s->max);
		else if (s->sum == (ct_s64)s->sum)
			sqlite3_result_int64(ctx, (ct_s64)s->sum);
		else
			return ct_fail(err, CT_EXIT_FAILED, "integer overflow"); /* SQLite's words for the same */
	}
	return 0;
}

/* The columns of the rows, "*", and four for each of them. */
#define SUMS(c) ", \"count " c "\", \"min " c "\", \"max " c "\", \"sum " c "\""

static double rows_step_parts(const struct sql_source *src)
{
	return sql_steps.rows(src);
}

static int filter_step_parts(struct sql_cursor *cur, const struct sql_filter *filter, struct ct_error *err)
{
	return filter_parts(cur, filter, &sql_steps, S_COLUMNS, err);
}

static int column_step_parts(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	return column_parts(cur, ctx, (unsigned)column, S_COLUMNS, err);
}

const struct sql_table sql_step_parts = {"parts of steps",
					 SQL_STEP_COLUMNS ", \"*\"" SUMS("id") SUMS("thread_id") SUMS("call_id")
						 SUMS("function_id") SUMS("file_id") SUMS("line") SUMS("event_seq")
							 SUMS("time_ns"),
					 "-rr===rr",
					 true,
					 0.001,
					 rows_step_parts,
					 filter_step_parts,
					 next_part,
					 column_step_parts};

static double rows_call_parts(const struct sql_source *src)
{
	return sql_calls.rows(src);
}

static int filter_call_parts(struct sql_cursor *cur, const struct sql_filter *filter, struct ct_error *err)
{
	return filter_parts(cur, filter, &sql_calls, C_COLUMNS, err);
}

static int column_call_parts(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	return column_parts(cur, ctx, (unsigned)column, C_COLUMNS, err);
}

const struct sql_table sql_call_parts = {
	"parts of calls",
	SQL_CALL_COLUMNS ", \"*\"" SUMS("id") SUMS("parent_id") SUMS("thread_id") SUMS("function_id") SUMS("first_step")
		SUMS("last_step") SUMS("depth") SUMS("exception") SUMS("enter_ns") SUMS("exit_ns") SUMS("self_ns")
			SUMS("from_step") SUMS("state") SUMS("attached") SUMS("enter_seq") SUMS("exit_seq"),
	"-rr=..r.r..r..r.",
	true,
	0.001,
	rows_call_parts,
	filter_call_parts,
	next_part,
	column_call_parts};
