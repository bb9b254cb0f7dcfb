/* SPDX-License-Identifier: MIT
 * Scans of the step database: groups and chunks that cannot match are not read, nor columns nobody asks for.
 *
 * Forwards or backwards; by row numbers, by ranges of columns, by keys through the posting lists. */
#include <string.h>

#include "stepdb_private.h"

struct ct_scan {
	struct ct_stepdb *db;
	struct ct_scan_spec spec;
	ct_u32 *keys;  /* rising */
	ct_u8 *is_key; /* bit per key */
	ct_u32 nkeybits;
	size_t group;      /* being scanned; groups before or behind are done */
	size_t begin, end; /* groups [begin, end) can hold rows */
	bool in_group;
	ct_u8 wanted[SD_GROUP_CHUNKS]; /* chunks of the group that can match */
	ct_u32 chunk_at;               /* how many of the group's chunks were passed */
	struct sd_chunk *chunk;
	bool all;             /* its rows match */
	unsigned row, passed; /* row found last; how many rows of the chunk were passed */
};

static const ct_u8 key_column[CT_NROWS] = {CT_STEP_LOCATION, CT_CALL_FUNCTION, CT_VALUE_VARIABLE, 0};
static const ct_u8 key_names[CT_NROWS] = {CT_LOCATIONS, CT_FUNCTIONS, CT_VARIABLES, 0};

static int compare_keys(const void *a, const void *b)
{
	const ct_u32 *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool has_key(const struct ct_scan *s, ct_u64 key)
{
	return key < s->nkeybits && s->is_key[key / 8] >> (key % 8) & 1;
}

static bool take_keys(struct ct_scan *s, const ct_u32 *keys, size_t n, enum ct_rows table)
{
	s->nkeybits = s->db->cat.t[key_names[table]].n + 1;
	s->is_key = calloc(s->nkeybits / 8 + 1, 1);
	s->keys = malloc((n ? n : 1) * sizeof(*keys));
	if (!s->is_key || !s->keys)
		return false;
	s->spec.nkeys = 0;
	for (size_t i = 0; i < n; i++) {
		if (keys[i] >= s->nkeybits || has_key(s, keys[i]))
			continue;
		s->is_key[keys[i] / 8] |= (ct_u8)(1u << keys[i] % 8);
		s->keys[s->spec.nkeys++] = keys[i];
	}
	qsort(s->keys, s->spec.nkeys, sizeof(*s->keys), compare_keys);
	return true;
}

struct ct_scan *ct_scan_open(struct ct_stepdb *db, const struct ct_scan_spec *spec, struct ct_error *err)
{
	const struct sd_rtable *t = &db->t[spec->table];
	struct ct_scan *s = calloc(1, sizeof(*s));

	if (!s || (s->db = db, s->spec = *spec, spec->keys && !take_keys(s, spec->keys, spec->nkeys, spec->table))) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		ct_scan_close(s);
		return NULL;
	}
	if (s->spec.first < 1)
		s->spec.first = 1;
	if (!s->spec.last || s->spec.last > t->rows)
		s->spec.last = t->rows;
	if (s->spec.first <= s->spec.last && !(s->keys && !s->spec.nkeys)) {
		s->begin = sd_group_of_row(t, s->spec.first);
		s->end = sd_group_of_row(t, s->spec.last) + 1;
	}
	s->group = spec->backwards ? s->end : s->begin;
	return s;
}

void ct_scan_close(struct ct_scan *s)
{
	if (!s)
		return;
	sd_chunk_put(s->chunk);
	free(s->keys);
	free(s->is_key);
	free(s);
}

static void want(void *arg, ct_u64 key, ct_u32 chunk, ct_u32 count)
{
	struct ct_scan *s = arg;

	(void)count;
	if (has_key(s, key))
		s->wanted[chunk] = 1;
}

/* Goes to the next group and finds out which of its chunks can match. 0: no more. */
static int next_group(struct ct_scan *s, struct ct_error *err)
{
	const struct ct_scan_spec *spec = &s->spec;
	unsigned ncols = sd_tables[spec->table].ncols;
	const struct sd_group *g;
	size_t at;

	if (spec->backwards ? s->group <= s->begin : s->group >= s->end)
		return 0;
	at = spec->backwards ? --s->group : s->group++;
	s->in_group = false;
	if (sd_group_load(s->db, spec->table, at, err) < 0)
		return -1;
	g = &s->db->t[spec->table].group[at];
	for (unsigned r = 0; r < spec->nranges; r++)
		if (g->max[spec->range[r].column] < spec->range[r].min ||
		    g->min[spec->range[r].column] > spec->range[r].max)
			return 1;
	memset(s->wanted, !s->keys, g->chunks);
	if (s->keys && sd_postings_of(s->db, spec->table, at, s->keys, spec->nkeys, want, s, err) < 0)
		return -1;
	for (ct_u32 i = 0; i < g->chunks; i++) {
		const ct_u64 *minmax = g->minmax + (size_t)i * ncols * 2;

		if (g->chunk[i].first_row > spec->last || g->chunk[i].first_row + g->chunk[i].rows <= spec->first)
			s->wanted[i] = 0;
		for (unsigned r = 0; r < spec->nranges && s->wanted[i]; r++)
			if (minmax[2 * spec->range[r].column + 1] < spec->range[r].min ||
			    minmax[2 * spec->range[r].column] > spec->range[r].max)
				s->wanted[i] = 0;
	}
	s->in_group = true;
	s->chunk_at = 0;
	return 1;
}

/* Decodes what matches() looks at. */
static bool prepare(struct ct_scan *s, struct sd_chunk *chunk, struct ct_error *err)
{
	for (unsigned r = 0; r < s->spec.nranges; r++)
		if (!sd_chunk_column(s->db, chunk, s->spec.range[r].column, err))
			return false;
	return !s->keys || sd_chunk_column(s->db, chunk, key_column[s->spec.table], err);
}

int sd_scan_find(struct ct_scan *s, struct sd_found *found, struct ct_error *err)
{
	const struct ct_scan_spec *spec = &s->spec;
	int got;

	sd_chunk_put(s->chunk);
	s->chunk = NULL;
	do {
		size_t at = spec->backwards ? s->group : s->group - 1;
		const struct sd_group *g = s->in_group ? &s->db->t[spec->table].group[at] : NULL;

		while (g && s->chunk_at < g->chunks) {
			ct_u32 i = spec->backwards ? g->chunks - 1 - s->chunk_at : s->chunk_at;

			s->chunk_at++;
			if (!s->wanted[i])
				continue;
			*found = (struct sd_found){g->first_chunk + i, &g->chunk[i],
						   g->minmax + (size_t)i * sd_tables[spec->table].ncols * 2};
			return 1;
		}
		got = next_group(s, err);
	} while (got > 0);
	return got;
}

bool sd_scan_has_all(const struct ct_scan *s, const struct sd_found *found)
{
	const struct ct_scan_spec *spec = &s->spec;
	const struct sd_chunk_entry *e = found->entry;
	bool all = !s->keys && e->first_row >= spec->first && e->first_row + e->rows - 1 <= spec->last;

	for (unsigned r = 0; r < spec->nranges && all; r++)
		all = found->minmax[2 * spec->range[r].column] >= spec->range[r].min &&
		      found->minmax[2 * spec->range[r].column + 1] <= spec->range[r].max;
	return all;
}

struct sd_chunk *sd_scan_read(struct ct_scan *s, const struct sd_found *found, struct ct_error *err)
{
	struct sd_chunk *chunk = sd_chunk_get(s->db, s->spec.table, found->number, err);

	if (!chunk || !prepare(s, chunk, err)) {
		sd_chunk_put(chunk);
		return NULL;
	}
	s->chunk = chunk;
	s->all = sd_scan_has_all(s, found);
	s->passed = 0;
	return chunk;
}

bool sd_scan_matches(const struct ct_scan *s, unsigned row)
{
	const struct ct_scan_spec *spec = &s->spec;
	ct_u64 id = s->chunk->first_row + row;

	if (id < spec->first || id > spec->last)
		return false;
	if (s->keys && !has_key(s, s->chunk->col[key_column[spec->table]][row]))
		return false;
	for (unsigned r = 0; r < spec->nranges; r++) {
		ct_u64 v = s->chunk->col[spec->range[r].column][row];

		if (v < spec->range[r].min || v > spec->range[r].max)
			return false;
	}
	return true;
}

int ct_scan_next(struct ct_scan *s, ct_u64 *id, struct ct_error *err)
{
	for (;;) {
		while (s->chunk && s->passed < s->chunk->rows) {
			s->row = s->spec.backwards ? s->chunk->rows - 1 - s->passed : s->passed;
			s->passed++;
			if (s->all || sd_scan_matches(s, s->row)) {
				*id = s->chunk->first_row + s->row;
				return 1;
			}
		}
		struct sd_found found;
		int got = sd_scan_find(s, &found, err);

		if (got <= 0)
			return got;
		if (!sd_scan_read(s, &found, err))
			return -1;
	}
}

void ct_scan_skip(struct ct_scan *s, size_t n)
{
	s->passed += (unsigned)n;
}

int ct_scan_get(struct ct_scan *s, unsigned column, ct_u64 *value, struct ct_error *err)
{
	const ct_u64 *col = s->chunk ? sd_chunk_column(s->db, s->chunk, column, err) : NULL;

	if (!col)
		return s->chunk ? -1 : ct_fail(err, CT_EXIT_FAILED, "the scan is at no row");
	*value = col[s->row];
	return 0;
}

const ct_u64 *ct_scan_column(struct ct_scan *s, unsigned column, size_t *n, struct ct_error *err)
{
	const ct_u64 *col = s->chunk ? sd_chunk_column(s->db, s->chunk, column, err) : NULL;

	if (!s->chunk)
		ct_fail(err, CT_EXIT_FAILED, "the scan is at no row");
	*n = s->chunk ? s->chunk->rows - s->row : 0;
	return col ? col + s->row : NULL;
}

int ct_scan_node(struct ct_scan *s, const ct_u8 **node, size_t *len, struct ct_error *err)
{
	const ct_u64 *ends = s->chunk ? sd_chunk_column(s->db, s->chunk, CT_VALUE_NODE, err) : NULL;
	ct_u64 begin;

	if (!ends)
		return s->chunk ? -1 : ct_fail(err, CT_EXIT_FAILED, "the scan is at no row");
	begin = s->row ? ends[s->row - 1] : 0;
	*node = s->chunk->bytes + begin;
	*len = (size_t)(ends[s->row] - begin);
	if (!ct_node_check(*node, *len))
		return ct_fail(err, CT_EXIT_FAILED,
			       "steps/values.ctcol: value %llu makes no sense; rebuild it with `ctbpf index`",
			       (unsigned long long)(s->chunk->first_row + s->row));
	return 0;
}

/* ---- Counting ---- */

struct counting {
	const struct ct_scan *scan;
	ct_u64 count;
};

static void count_entry(void *arg, ct_u64 key, ct_u32 chunk, ct_u32 count)
{
	struct counting *c = arg;

	(void)chunk;
	if (has_key(c->scan, key))
		c->count += count;
}

int ct_stepdb_count(struct ct_stepdb *db, enum ct_rows table, const ct_u32 *keys, size_t nkeys, ct_u64 *count,
		    struct ct_error *err)
{
	struct ct_scan s = {.db = db};
	struct counting c = {&s, 0};
	int ret = 0;

	if (!take_keys(&s, keys, nkeys, table))
		ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (size_t g = 0; g < db->t[table].ngroups && ret == 0; g++)
		ret = sd_postings_of(db, table, g, s.keys, s.spec.nkeys, count_entry, &c, err);
	free(s.keys);
	free(s.is_key);
	*count = c.count;
	return ret;
}
