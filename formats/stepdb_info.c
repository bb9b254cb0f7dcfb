/* SPDX-License-Identifier: MIT
 * The step database's files as they are: groups, chunks, columns. For `ctbpf dump --steps` and tests.
 *
 * Everything is read and decoded, so a damaged part shows. */
#include "stepdb_private.h"

void ct_stepdb_table_info(const struct ct_stepdb *db, enum ct_rows table, struct ct_table_info *info)
{
	const struct sd_rtable *t = &db->t[table];

	*info = (struct ct_table_info){
		sd_tables[table].name, sd_file_names[table], t->rows, t->chunks, t->ngroups, t->size};
}

bool ct_stepdb_group_info(struct ct_stepdb *db, enum ct_rows table, ct_u64 group, struct ct_group_info *info,
			  struct ct_error *err)
{
	const struct sd_group *g = group < db->t[table].ngroups ? &db->t[table].group[group] : NULL;

	if (!g) {
		ct_fail(err, CT_EXIT_FAILED, "%s: no group %llu", sd_tables[table].name, (unsigned long long)group);
		return false;
	}
	if (sd_group_load(db, table, (size_t)group, err) < 0)
		return false;
	*info = (struct ct_group_info){g->first_chunk, g->chunks,    g->first_row, g->rows,
				       g->offset,      g->directory, g->end,       {0}};
	for (ct_u32 i = 0; i < g->npages; i++)
		info->pages[g->page[i].kind]++;
	return true;
}

bool ct_stepdb_chunk_info(struct ct_stepdb *db, enum ct_rows table, ct_u64 number, struct ct_chunk_info *info,
			  struct ct_error *err)
{
	static const char *const codecs[] = {"?", "constant", "runs", "single", "whole"};
	const struct sd_table *t = &sd_tables[table];
	struct sd_chunk *chunk = sd_chunk_get(db, table, number, err);
	const struct sd_chunk_entry *e;
	const struct sd_group *g;
	bool good = true;

	if (!chunk)
		return false;
	g = &db->t[table].group[sd_group_of_chunk(&db->t[table], number)];
	e = &g->chunk[number - g->first_chunk];
	*info = (struct ct_chunk_info){e->first_row, e->rows, e->mark, e->offset, e->size, t->ncols, {{0}}};
	for (unsigned c = 0; c < t->ncols && good; c++) {
		const ct_u64 *minmax = g->minmax + ((size_t)(number - g->first_chunk) * t->ncols + c) * 2;

		info->col[c].name = t->col[c].name;
		info->col[c].codec = codecs[chunk->layout.col[c].codec <= 4 ? chunk->layout.col[c].codec : 0];
		info->col[c].packed = chunk->layout.col[c].packed;
		info->col[c].raw = chunk->layout.col[c].raw;
		info->col[c].stored = chunk->layout.col[c].stored;
		if (t->col[c].mode != SD_BYTES) {
			info->col[c].min = minmax[0];
			info->col[c].max = minmax[1];
		}
		good = sd_chunk_column(db, chunk, c, err) != NULL;
	}
	sd_chunk_put(chunk);
	return good;
}
