/* SPDX-License-Identifier: MIT
 * Opening the step database for reading; groups, chunks and posting pages as they are needed, checked.
 *
 * A chunk stays in a cache of 64 and decodes the columns that are asked for. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dirio.h"
#include "stepdb_private.h"

bool ct_stepdb_exists(int recording_dirfd)
{
	struct stat st;

	return fstatat(recording_dirfd, "steps/catalogue.db", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- Groups as the catalogue has them ---- */

static int bad_groups(enum ct_rows table, struct ct_error *err)
{
	return ct_fail(err, CT_EXIT_FAILED, "steps/%s: its groups make no sense; rebuild it with `ctbpf index`",
		       sd_file_names[table]);
}

static int add_group(struct ct_stepdb *db, const ct_u64 *v, struct ct_error *err)
{
	struct sd_rtable *t;
	struct sd_group *g, *last;

	if (v[SD_GRP_TABLE] >= CT_NROWS)
		return bad_groups(CT_STEPS, err);
	t = &db->t[v[SD_GRP_TABLE]];
	g = realloc(t->group, (t->ngroups + 1) * sizeof(*g));
	if (!g)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	t->group = g;
	last = t->ngroups ? &g[t->ngroups - 1] : NULL;
	g += t->ngroups;
	*g = (struct sd_group){.first_chunk = v[SD_GRP_FIRST_CHUNK],
			       .first_row = v[SD_GRP_FIRST_ROW],
			       .rows = v[SD_GRP_ROWS],
			       .offset = v[SD_GRP_OFFSET],
			       .directory = v[SD_GRP_DIRECTORY],
			       .end = v[SD_GRP_END],
			       .chunks = (ct_u32)v[SD_GRP_CHUNKS]};
	if (!g->chunks || v[SD_GRP_CHUNKS] > SD_GROUP_CHUNKS || !g->rows ||
	    g->rows > (ct_u64)g->chunks * SD_CHUNK_ROWS || g->offset > g->directory || g->directory > g->end ||
	    g->end > t->size || g->first_chunk != (last ? last->first_chunk + last->chunks : 0) ||
	    g->first_row != (last ? last->first_row + last->rows : 1))
		return bad_groups((enum ct_rows)v[SD_GRP_TABLE], err);
	t->ngroups++;
	return 0;
}

/* Takes over what the catalogue says since it was read from group `from` on. */
static int take_catalogue(struct ct_stepdb *db, ct_u32 from, struct ct_error *err)
{
	const struct sd_names *state = &db->cat.t[SD_CAT_COMMIT], *groups = &db->cat.t[SD_CAT_GROUPS];
	const ct_u64 *v = state->row[0].v;

	if (v[SD_STATE_VERSION] != CT_STEPDB_VERSION)
		return ct_fail(err, CT_EXIT_FAILED,
			       "steps: version %llu; this ctbpf reads version %u: rebuild it with `ctbpf index`",
			       (unsigned long long)v[SD_STATE_VERSION], CT_STEPDB_VERSION);
	for (unsigned k = 0; k < CT_NROWS; k++) {
		const ct_u64 *t = state->row[SD_COMMIT_TABLE + k - 1].v;

		db->t[k].rows = t[SD_TABLE_ROWS];
		db->t[k].chunks = t[SD_TABLE_CHUNKS];
		db->t[k].size = t[SD_TABLE_SIZE];
	}
	for (ct_u32 i = from; i < groups->n; i++)
		if (add_group(db, groups->row[i].v, err) < 0)
			return -1;
	for (unsigned k = 0; k < CT_NROWS; k++) {
		const struct sd_rtable *t = &db->t[k];
		const struct sd_group *last = t->ngroups ? &t->group[t->ngroups - 1] : NULL;

		if (t->rows != (last ? last->first_row + last->rows - 1 : 0) ||
		    t->chunks != (last ? last->first_chunk + last->chunks : 0))
			return bad_groups(k, err);
	}
	return 0;
}

static int open_files(struct ct_stepdb *db, struct ct_error *err)
{
	const ct_u64 *v = db->cat.t[SD_CAT_COMMIT].row[0].v;
	ct_u8 uuid[16];

	memcpy(uuid, &v[SD_STATE_UUID0], 16);
	for (unsigned k = 0; k < CT_NROWS; k++) {
		db->t[k].fd = sd_file_open(db->dirfd, k, uuid, v[SD_STATE_BUILD], db->t[k].size, err);
		if (db->t[k].fd < 0)
			return -1;
	}
	return 0;
}

struct ct_stepdb *ct_stepdb_open(int recording_dirfd, const char *name, struct ct_error *err)
{
	struct ct_stepdb *db;

	if (!ct_stepdb_exists(recording_dirfd)) {
		ct_fail(err, CT_EXIT_FAILED, "%s: has no step database; run `ctbpf index %s` first", name, name);
		return NULL;
	}
	db = calloc(1, sizeof(*db));
	if (db) {
		db->dirfd = -1;
		for (unsigned k = 0; k < CT_NROWS; k++)
			db->t[k].fd = -1;
		db->zstd = ZSTD_createDCtx();
		db->name = strdup(name);
	}
	if (!db || !db->zstd || !db->name)
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
	else if ((db->dirfd = sd_opendir(recording_dirfd, false, err)) >= 0 &&
		 sd_catalogue_open(&db->cat, db->dirfd, false, false, err) == 0 &&
		 sd_catalogue_load(&db->cat, err) >= 0 && take_catalogue(db, 0, err) == 0 && open_files(db, err) == 0)
		return db;
	ct_fail_prefix(err, "%s", name);
	ct_stepdb_close(db);
	return NULL;
}

int ct_stepdb_refresh(struct ct_stepdb *db, struct ct_error *err)
{
	ct_u32 groups = db->cat.t[SD_CAT_GROUPS].n;
	ct_u64 build = db->cat.t[SD_CAT_COMMIT].row[0].v[SD_STATE_BUILD];
	int newer = sd_catalogue_load(&db->cat, err);

	if (newer <= 0)
		return newer;
	if (db->cat.t[SD_CAT_COMMIT].row[0].v[SD_STATE_BUILD] != build)
		return ct_fail(err, CT_EXIT_FAILED, "%s: the step database was replaced; open it again", db->name);
	return take_catalogue(db, groups, err) < 0 ? -1 : 1;
}

static void free_chunk(struct sd_chunk *chunk)
{
	if (!chunk)
		return;
	for (unsigned c = 0; c < SD_MAX_COLUMNS; c++)
		free(chunk->col[c]);
	free(chunk->bytes);
	free(chunk->payload);
	free(chunk);
}

void ct_stepdb_close(struct ct_stepdb *db)
{
	if (!db)
		return;
	for (unsigned i = 0; i < SD_CACHE; i++)
		free_chunk(db->cache[i]);
	for (unsigned k = 0; k < CT_NROWS; k++) {
		for (size_t i = 0; i < db->t[k].ngroups; i++)
			sd_group_unload(&db->t[k].group[i]);
		free(db->t[k].group);
		if (db->t[k].fd >= 0)
			close(db->t[k].fd);
	}
	sd_catalogue_close(&db->cat);
	ZSTD_freeDCtx(db->zstd);
	if (db->dirfd >= 0)
		close(db->dirfd);
	free(db->name);
	free(db);
}

void ct_stepdb_info(const struct ct_stepdb *db, struct ct_stepdb_info *info)
{
	const ct_u64 *v = db->cat.t[SD_CAT_COMMIT].row[0].v;
	struct stat st;

	*info = (struct ct_stepdb_info){.steps = db->t[CT_STEPS].rows,
					.calls = db->t[CT_CALLS].rows,
					.values = db->t[CT_VALUES].rows,
					.commits = v[SD_STATE_COMMITS],
					.complete = v[SD_STATE_COMPLETE],
					.resumable = db->cat.t[SD_CAT_COMMIT].row[0].len > 0 && !v[SD_STATE_COMPLETE],
					.part = db->cat.t[SD_CAT_COMMIT].row[SD_COMMIT_PART - 1].text};
	memcpy(info->uuid, &v[SD_STATE_UUID0], 16);
	for (unsigned k = 0; k < CT_NROWS; k++)
		info->bytes += db->t[k].size;
	if (fstatat(db->dirfd, "catalogue.db", &st, AT_SYMLINK_NOFOLLOW) == 0)
		info->bytes += (ct_u64)st.st_size;
}

/* ---- Names ---- */

ct_u32 ct_stepdb_names(const struct ct_stepdb *db, enum ct_names table)
{
	return db->cat.t[table].n;
}

const struct ct_name *ct_stepdb_name(const struct ct_stepdb *db, enum ct_names table, ct_u64 id)
{
	return id && id <= db->cat.t[table].n ? &db->cat.t[table].row[id - 1] : NULL;
}

static const char *type_name(void *arg, ct_u32 id, size_t *len)
{
	const struct ct_name *name = ct_stepdb_name(arg, CT_TYPES, id);

	*len = name ? name->len : 0;
	return name ? name->text : NULL;
}

static const char *string_name(void *arg, ct_u32 id, size_t *len)
{
	const struct ct_name *name = ct_stepdb_name(arg, CT_STRINGS, id);

	*len = name ? name->len : 0;
	return name ? name->text : NULL;
}

struct ct_node_names ct_stepdb_node_names(struct ct_stepdb *db)
{
	return (struct ct_node_names){type_name, string_name, db};
}

/* ---- Groups ---- */

int sd_group_load(struct ct_stepdb *db, enum ct_rows table, size_t group, struct ct_error *err)
{
	struct sd_rtable *t = &db->t[table];
	struct sd_group *g = &t->group[group];
	struct sd_block h;
	ct_u8 *data;
	int ret;

	if (g->loaded)
		return 0;
	data = sd_block_read(t->fd, table, g->directory, g->end - g->directory, SD_DIRECTORY, &h, err);
	if (data)
		data = sd_block_unpack(db->zstd, data, &h, err);
	if (!data)
		return -1;
	ret = sd_directory_parse(&sd_tables[table], data, h.raw, g, err);
	free(data);
	return ret;
}

/* The number behind a group's last chunk, and behind its last row. */
static ct_u64 end_of_chunks(const struct sd_group *g)
{
	return g->first_chunk + g->chunks;
}
static ct_u64 end_of_rows(const struct sd_group *g)
{
	return g->first_row + g->rows;
}

/* The first group that ends behind `number`. */
static size_t group_of(const struct sd_rtable *t, ct_u64 number, ct_u64 (*end)(const struct sd_group *))
{
	size_t low = 0, high = t->ngroups;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (end(&t->group[mid]) <= number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

size_t sd_group_of_chunk(const struct sd_rtable *t, ct_u64 chunk)
{
	return group_of(t, chunk, end_of_chunks);
}

size_t sd_group_of_row(const struct sd_rtable *t, ct_u64 row)
{
	return group_of(t, row, end_of_rows);
}

/* ---- Chunks ---- */

void sd_chunk_put(struct sd_chunk *chunk)
{
	if (chunk)
		chunk->refs--;
}

static struct sd_chunk *load_chunk(struct ct_stepdb *db, enum ct_rows table, ct_u64 number, struct ct_error *err)
{
	struct sd_rtable *t = &db->t[table];
	size_t group = sd_group_of_chunk(t, number);
	const struct sd_chunk_entry *e;
	struct sd_chunk *chunk;
	struct sd_block h;

	if (group == t->ngroups) {
		ct_fail(err, CT_EXIT_FAILED, "%s: the step database has no such row", db->name);
		return NULL;
	}
	if (sd_group_load(db, table, group, err) < 0)
		return NULL;
	e = &t->group[group].chunk[number - t->group[group].first_chunk];
	chunk = calloc(1, sizeof(*chunk));
	if (!chunk) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return NULL;
	}
	*chunk = (struct sd_chunk){.number = number, .table = table, .rows = e->rows, .first_row = e->first_row};
	chunk->payload = sd_block_read(t->fd, table, e->offset, e->size, SD_CHUNK, &h, err);
	if (chunk->payload) {
		if (h.rows == e->rows && h.first == e->first_row &&
		    sd_chunk_layout(&sd_tables[table], chunk->payload, h.stored, &chunk->layout))
			return chunk;
		ct_fail(err, CT_EXIT_FAILED,
			"steps/%s: a chunk makes no sense at offset %llu; rebuild it with `ctbpf index`",
			sd_file_names[table], (unsigned long long)e->offset);
	}
	free_chunk(chunk);
	return NULL;
}

struct sd_chunk *sd_chunk_get(struct ct_stepdb *db, enum ct_rows table, ct_u64 number, struct ct_error *err)
{
	unsigned oldest = SD_CACHE;
	struct sd_chunk *chunk = db->cache[db->latest[table]];

	/* Mostly the one that the last row of this table came from. */
	if (chunk && chunk->number == number && chunk->table == table) {
		chunk->refs++;
		chunk->used = ++db->clock;
		return chunk;
	}
	for (unsigned i = 0; i < SD_CACHE; i++) {
		chunk = db->cache[i];
		if (chunk && chunk->number == number && chunk->table == table) {
			db->latest[table] = i;
			chunk->refs++;
			chunk->used = ++db->clock;
			return chunk;
		}
		if ((!chunk || !chunk->refs) &&
		    (oldest == SD_CACHE || !chunk || (db->cache[oldest] && chunk->used < db->cache[oldest]->used)))
			oldest = i;
	}
	if (oldest == SD_CACHE) {
		ct_fail(err, CT_EXIT_FAILED, "more than %d places of the step database are looked at at once",
			SD_CACHE);
		return NULL;
	}
	chunk = load_chunk(db, table, number, err);
	if (!chunk)
		return NULL;
	free_chunk(db->cache[oldest]);
	db->cache[oldest] = chunk;
	db->latest[table] = oldest;
	chunk->refs = 1;
	chunk->used = ++db->clock;
	return chunk;
}

const ct_u64 *sd_chunk_column(struct ct_stepdb *db, struct sd_chunk *chunk, unsigned c, struct ct_error *err)
{
	const struct sd_table *t = &sd_tables[chunk->table];
	const ct_u64 *ref = NULL;
	ct_u64 *out;

	if (chunk->col[c])
		return chunk->col[c];
	if (t->col[c].mode == SD_REL) {
		ref = sd_chunk_column(db, chunk, t->col[c].ref, err);
		if (!ref)
			return NULL;
	}
	out = malloc(chunk->rows * sizeof(*out));
	if (out &&
	    sd_column_decode(db->zstd, t, c, &chunk->layout, chunk->rows, chunk->first_row, ref, out, &chunk->bytes)) {
		chunk->col[c] = out;
		return out;
	}
	free(out);
	ct_fail(err, CT_EXIT_FAILED, "steps/%s: column %s of chunk %llu makes no sense; rebuild it with `ctbpf index`",
		sd_file_names[chunk->table], t->col[c].name, (unsigned long long)chunk->number);
	return NULL;
}

/* ---- Postings ---- */

/* Walks one page of the group; see sd_postings. */
static int walk_page(struct ct_stepdb *db, enum ct_rows table, const struct sd_group *g, size_t page, ct_u64 first,
		     ct_u64 last, sd_posting *each, void *arg, struct ct_error *err)
{
	struct sd_block h;
	ct_u8 *data = sd_block_read(db->t[table].fd, table, g->page[page].offset, g->page[page].size, SD_PAGE, &h, err);
	bool good;

	if (data)
		data = sd_block_unpack(db->zstd, data, &h, err);
	if (!data)
		return -1;
	good = h.rows == g->page[page].kind && sd_page_walk(data, h.raw, g->chunks, first, last, each, arg);
	free(data);
	if (!good)
		return ct_fail(err, CT_EXIT_FAILED,
			       "steps/%s: a posting page makes no sense; rebuild it with `ctbpf index`",
			       sd_file_names[table]);
	return 0;
}

/* Index of the first page that can hold `key`. */
static size_t find_page(const struct sd_group *g, ct_u32 kind, ct_u64 key)
{
	size_t low = 0, high = g->npages;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (g->page[mid].kind < kind || (g->page[mid].kind == kind && g->page[mid].first_key <= key))
			low = mid + 1;
		else
			high = mid;
	}
	return low && g->page[low - 1].kind == kind ? low - 1 : low;
}

int sd_postings(struct ct_stepdb *db, enum ct_rows table, size_t group, ct_u32 kind, ct_u64 first, ct_u64 last,
		sd_posting *each, void *arg, struct ct_error *err)
{
	const struct sd_group *g = &db->t[table].group[group];

	if (sd_group_load(db, table, group, err) < 0)
		return -1;
	for (size_t p = find_page(g, kind, first);
	     p < g->npages && g->page[p].kind == kind && g->page[p].first_key <= last; p++)
		if (walk_page(db, table, g, p, first, last, each, arg, err) < 0)
			return -1;
	return 0;
}

int sd_postings_of(struct ct_stepdb *db, enum ct_rows table, size_t group, const ct_u32 *keys, size_t nkeys,
		   sd_posting *each, void *arg, struct ct_error *err)
{
	const struct sd_group *g = &db->t[table].group[group];
	size_t k = 0;

	if (sd_group_load(db, table, group, err) < 0)
		return -1;
	while (k < nkeys) {
		size_t p = find_page(g, 0, keys[k]), from = k;
		ct_u64 end;

		if (p >= g->npages || g->page[p].kind != 0)
			return 0;
		end = p + 1 < g->npages && g->page[p + 1].kind == 0 ? g->page[p + 1].first_key : UINT64_MAX;
		while (k < nkeys && keys[k] < end)
			k++;
		/* Keys before the first page are nowhere. */
		if (k == from)
			return 0;
		if (walk_page(db, table, g, p, keys[from], keys[k - 1], each, arg, err) < 0)
			return -1;
	}
	return 0;
}
