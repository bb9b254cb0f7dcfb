/* SPDX-License-Identifier: MIT
 * Moments of the step database: which values were there when a line began, and after which step a value came.
 *
 * A value's row has the last step of its own thread, which may have been waiting since; but rows are numbered in the
 * order of the run, over all threads, and so their numbers are finer than steps. */
#include <ctype.h>
#include <string.h>

#include "recording.h"
#include "stepdb_private.h"

struct ct_stepdb *ct_stepdb_of(struct ct_recording *rec, struct ct_error *err)
{
	const json_t *uuid = json_object_get(ct_recording_manifest(rec), "uuid");
	struct ct_stepdb *db = ct_stepdb_open(ct_recording_dirfd(rec), ct_recording_path(rec), err);
	struct ct_stepdb_info info;
	char text[37];

	if (!db)
		return NULL;
	ct_stepdb_info(db, &info);
	ct_uuid_format(info.uuid, text);
	if (uuid && strcmp(json_string_value(uuid) ? json_string_value(uuid) : "", text) == 0)
		return db;
	ct_fail(err, CT_EXIT_FAILED, "%s: its step database belongs to another recording; run `ctbpf index` again",
		ct_recording_path(rec));
	ct_stepdb_close(db);
	return NULL;
}

static bool ends_line(struct ct_stepdb *db, ct_u64 variable)
{
	const struct ct_name *v = ct_stepdb_name(db, CT_VARIABLES, variable);
	ct_u64 kind = v ? v->v[CT_VAR_KIND] : 0;

	return kind == CT_VALUE_RETURN || kind == CT_VALUE_YIELD || kind == CT_VALUE_EXCEPTION;
}

int ct_stepdb_values_at(struct ct_stepdb *db, ct_u64 step, ct_u64 *row, struct ct_error *err)
{
	struct ct_scan_spec spec = {.table = CT_VALUES, .nranges = 1, .range = {{CT_VALUE_STEP, step, UINT64_MAX}}};
	struct ct_scan *scan = ct_scan_open(db, &spec, err);
	ct_u64 at[CT_STEP_NCOLS], id, last = 0, of, call, variable;
	int got = -1;

	*row = db->t[CT_VALUES].rows + 1;
	if (!scan || !ct_stepdb_step_row(db, step, at, err))
		goto out;
	/* What its line found is written right behind the step, and belongs to its own call. */
	while ((got = ct_scan_next(scan, &id, err)) > 0) {
		*row = last ? last + 1 : id;
		if (ct_scan_get(scan, CT_VALUE_STEP, &of, err) < 0 ||
		    ct_scan_get(scan, CT_VALUE_CALL, &call, err) < 0 ||
		    ct_scan_get(scan, CT_VALUE_VARIABLE, &variable, err) < 0) {
			got = -1;
			break;
		}
		if (id != *row || of != step || call != at[CT_STEP_CALL] || ends_line(db, variable))
			break;
		last = id;
	}
	if (got == 0 && last)
		*row = last + 1;
out:
	ct_scan_close(scan);
	return got < 0 ? -1 : 0;
}

int ct_stepdb_value_step(struct ct_stepdb *db, ct_u64 row, ct_u64 *step, struct ct_error *err)
{
	const unsigned ncols = sd_tables[CT_VALUES].ncols;
	struct sd_rtable *t = &db->t[CT_VALUES];
	size_t group = sd_group_of_row(t, row);
	const struct sd_group *g;
	struct sd_chunk *chunk;
	const ct_u64 *steps;
	ct_u32 i = 0;

	*step = 0;
	if (!row || group == t->ngroups)
		return ct_fail(err, CT_EXIT_FAILED, "%s: there is no value %llu", db->name, (unsigned long long)row);
	for (size_t k = 0; k <= group; k++) {
		if (sd_group_load(db, CT_VALUES, k, err) < 0)
			return -1;
		if (k < group && t->group[k].max[CT_VALUE_STEP] > *step)
			*step = t->group[k].max[CT_VALUE_STEP];
	}
	g = &t->group[group];
	for (; g->chunk[i].first_row + g->chunk[i].rows <= row; i++)
		if (g->minmax[((size_t)i * ncols + CT_VALUE_STEP) * 2 + 1] > *step)
			*step = g->minmax[((size_t)i * ncols + CT_VALUE_STEP) * 2 + 1];
	chunk = sd_chunk_get(db, CT_VALUES, g->first_chunk + i, err);
	steps = chunk ? sd_chunk_column(db, chunk, CT_VALUE_STEP, err) : NULL;
	for (ct_u64 r = 0; steps && r <= row - chunk->first_row; r++)
		if (steps[r] > *step)
			*step = steps[r];
	sd_chunk_put(chunk);
	return steps ? 0 : -1;
}

int ct_stepdb_find_step(struct ct_stepdb *db, struct ct_recording *rec, const char *text, ct_u64 *step,
			struct ct_error *err)
{
	ct_u64 rows = db->t[CT_STEPS].rows;
	struct ct_pos pos;
	char *end;

	if (strncmp(text, "s:", 2) == 0) {
		*step = isdigit((unsigned char)text[2]) ? strtoull(text + 2, &end, 10) : 0;
		if (!*step || *end)
			return ct_fail(err, CT_EXIT_USAGE, "position '%s': not a step's number", text);
		if (*step > rows)
			return ct_fail(err, CT_EXIT_FAILED, "position '%s': the last step is %llu", text,
				       (unsigned long long)rows);
		return 0;
	}
	if (ct_pos_parse(rec, text, &pos, err) < 0)
		return -1;
	/* A step carries the last event before it: those with this event come after it. */
	if (ct_stepdb_step_after(db, pos.kind == CT_POS_SEQ ? CT_STEP_EVENT : CT_STEP_TIME,
				 pos.kind == CT_POS_SEQ && pos.value ? pos.value - 1 : pos.value, step, err) < 0)
		return -1;
	if (--*step == 0)
		return ct_fail(err, CT_EXIT_FAILED, "position '%s' is before the first step", text);
	return 0;
}
