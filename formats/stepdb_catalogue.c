/* SPDX-License-Identifier: MIT
 * The catalogue of the step database: names, groups and the commit, in one SQLite file.
 *
 * SQLite makes a commit atomic; each row has a CRC, and the number of rows is kept, because SQLite checks neither. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "dirio.h"
#include "segment.h"
#include "stepdb_private.h"

#define FILE_NAME "catalogue.db"
#define BUSY_MS   20000

const struct sd_cat_desc sd_cat[SD_NCAT] = {
	[CT_FILES] = {"paths", 0, 0, true, true, {0}},
	[CT_FUNCTIONS] = {"functions", 3, 3, true, true, {"file_id", "line", "language_id"}},
	[CT_TYPES] = {"types", 0, 0, true, true, {0}},
	[CT_STRINGS] = {"strings", 0, 0, true, true, {0}},
	[CT_THREADS] = {"threads", 3, 0, true, false, {"tid", "pid", "first_seq"}},
	[CT_LOCATIONS] = {"locations", 3, 3, false, true, {"function_id", "file_id", "line"}},
	[CT_VARIABLES] = {"variables", 3, 3, false, true, {"function_id", "name_id", "kind"}},
	[CT_SITES] = {"sites", 4, 2, false, true, {"location_id", "function_id", "calls", "total_ns"}},
	[CT_STATS] = {"stats", 6, 0, false, false, {"calls", "steps", "total_ns", "self_ns", "max_ns", "exceptions"}},
	[CT_SPANS] = {"spans",
		      7,
		      0,
		      true,
		      false,
		      {"kind_id", "parent_id", "thread_id", "first_step", "last_step", "begin_ns", "end_ns"}},
	[SD_CAT_GROUPS] = {"groups",
			   8,
			   0,
			   false,
			   false,
			   {"tbl", "first_chunk", "chunks", "first_row", "rows", "offset", "directory", "end"}},
	[SD_CAT_COMMIT] = {"state", 6, 0, true, false, {"a", "b", "c", "d", "e", "f"}},
	[SD_CAT_COUNTS] = {"counts", 1, 0, false, false, {"rows"}},
};

/* ---- In memory ---- */

static ct_u64 hash_row(const struct sd_cat_desc *d, const char *text, size_t len, const ct_u64 *v)
{
	ct_u64 h = 0x9e3779b97f4a7c15ull;

	for (unsigned i = 0; i < d->nkeys; i++)
		h = (h ^ v[i]) * 0xff51afd7ed558ccdull, h ^= h >> 32;
	return len ? h ^ XXH3_64bits(text, len) : h;
}

static bool same_row(const struct sd_cat_desc *d, const struct ct_name *row, const char *text, size_t len,
		     const ct_u64 *v)
{
	return row->len == len && (!len || !memcmp(row->text, text, len)) &&
	       (!d->nkeys || !memcmp(row->v, v, d->nkeys * sizeof(*v)));
}

static bool hash_grow(const struct sd_cat_desc *d, struct sd_names *t)
{
	ct_u32 nslots = t->nslots ? 2 * t->nslots : 1024, *slots;

	while (nslots / 2 < t->n + 1)
		nslots *= 2;
	slots = calloc(nslots, sizeof(*slots));
	if (!slots)
		return false;
	for (ct_u32 id = 1; id <= t->n; id++) {
		const struct ct_name *row = &t->row[id - 1];
		ct_u64 h = hash_row(d, row->text, row->len, row->v);

		while (slots[h & (nslots - 1)])
			h++;
		slots[h & (nslots - 1)] = id;
	}
	free(t->slots);
	t->slots = slots;
	t->nslots = nslots;
	return true;
}

static bool append(const struct sd_cat_desc *d, struct sd_names *t, const char *text, size_t len, const ct_u64 *v)
{
	struct ct_name row = {.text = ""};

	if (t->n == t->cap) {
		ct_u32 cap = t->cap ? 2 * t->cap : 64;
		struct ct_name *rows = cap > t->cap ? realloc(t->row, cap * sizeof(*rows)) : NULL;
		ct_u8 *dirty = rows ? realloc(t->dirty, cap) : NULL;

		t->row = rows ? rows : t->row;
		t->dirty = dirty ? dirty : t->dirty;
		if (!rows || !dirty)
			return false;
		memset(t->dirty + t->cap, 0, cap - t->cap);
		t->cap = cap;
	}
	if (len) {
		char *copy = malloc(len + 1);

		if (!copy)
			return false;
		memcpy(copy, text, len);
		copy[len] = 0;
		row.text = copy;
		row.len = len;
	}
	if (d->nints)
		memcpy(row.v, v, d->nints * sizeof(*v));
	t->row[t->n++] = row;
	return true;
}

ct_u32 sd_names_add(struct sd_catalogue *c, unsigned table, const char *text, size_t len, const ct_u64 *v)
{
	const struct sd_cat_desc *d = &sd_cat[table];
	struct sd_names *t = &c->t[table];
	ct_u64 h = 0;

	if (d->unique) {
		if (t->nslots / 2 < t->n + 1 && !hash_grow(d, t))
			return 0;
		for (h = hash_row(d, text, len, v);; h++) {
			ct_u32 id = t->slots[h & (t->nslots - 1)];

			if (!id)
				break;
			if (same_row(d, &t->row[id - 1], text, len, v))
				return id;
		}
	}
	if (t->n == UINT32_MAX - 1 || !append(d, t, text, len, v))
		return 0;
	if (d->unique)
		t->slots[h & (t->nslots - 1)] = t->n;
	return t->n;
}

static void free_text(struct ct_name *row)
{
	if (row->len)
		free((char *)row->text);
}

/* ---- The file ---- */

static int fail_sql(struct sd_catalogue *c, struct ct_error *err, const char *doing)
{
	int code = c->sql ? sqlite3_extended_errcode(c->sql) : SQLITE_NOMEM;

	if ((code & 255) == SQLITE_FULL || sqlite3_system_errno(c->sql) == ENOSPC)
		return ct_fail(err, CT_EXIT_FAILED,
			       "steps/" FILE_NAME ": the file system is full; free space, then go on");
	if ((code & 255) == SQLITE_CORRUPT || (code & 255) == SQLITE_NOTADB)
		return ct_fail(err, CT_EXIT_FAILED, "steps/" FILE_NAME ": damaged (%s); rebuild it with `ctbpf index`",
			       sqlite3_errmsg(c->sql));
	if ((code & 255) == SQLITE_BUSY)
		return ct_fail(err, CT_EXIT_FAILED, "steps/" FILE_NAME ": locked by another program for %d s; end that",
			       BUSY_MS / 1000);
	if (code == SQLITE_READONLY_ROLLBACK || code == SQLITE_READONLY_CANTINIT)
		return ct_fail(err, CT_EXIT_FAILED,
			       "steps/" FILE_NAME
			       ": its writer died in a commit, and undoing that needs write permission; "
			       "ask again as its owner");
	return ct_fail(err, CT_EXIT_FAILED, "steps/" FILE_NAME ": cannot %s: %s", doing,
		       c->sql ? sqlite3_errmsg(c->sql) : "out of memory");
}

static int run_sql(struct sd_catalogue *c, const char *sql, struct ct_error *err)
{
	return sqlite3_exec(c->sql, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail_sql(c, err, "prepare it");
}

static int create_tables(struct sd_catalogue *c, struct ct_error *err)
{
	for (unsigned k = 0; k < SD_NCAT; k++) {
		char sql[512];
		size_t n = (size_t)snprintf(sql, sizeof(sql), "CREATE TABLE %s(id INTEGER PRIMARY KEY%s",
					    sd_cat[k].name, sd_cat[k].has_text ? ", text" : "");

		for (unsigned i = 0; i < sd_cat[k].nints; i++)
			n += (size_t)snprintf(sql + n, sizeof(sql) - n, ", %s INTEGER", sd_cat[k].column[i]);
		snprintf(sql + n, sizeof(sql) - n, ", crc INTEGER)");
		if (run_sql(c, sql, err) < 0)
			return -1;
	}
	return 0;
}

/* The path as the kernel knows it, without links: SQLite wants names, and may then refuse links. */
static int find_path(struct sd_catalogue *c, int stepsfd, bool create, struct ct_error *err)
{
	char link[64], dir[3800];
	struct stat st;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", stepsfd);
	n = readlink(link, dir, sizeof(dir) - 1);
	if (n < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "steps: cannot tell the directory's name");
	dir[n] = 0;
	if (!create && fstatat(stepsfd, FILE_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "steps/" FILE_NAME ": cannot open");
	if (!create && !S_ISREG(st.st_mode))
		return ct_fail(err, CT_EXIT_FAILED, "steps/" FILE_NAME ": not a regular file");
	if (asprintf(&c->path, "%s/" FILE_NAME, dir) < 0) {
		c->path = NULL;
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	}
	return 0;
}

int sd_catalogue_open(struct sd_catalogue *c, int stepsfd, bool create, bool write, struct ct_error *err)
{
	/* A reader asks for writing, too: it may have to undo what a killed writer left. It is opened read-only where
	 * that is not permitted. */
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX;
	int fd = -1;

	/* Made by us: SQLite would make it readable for others. Its journal gets the same mode. */
	if (find_path(c, stepsfd, create, err) < 0 || (create && (fd = ct_file_createat(stepsfd, FILE_NAME)) < 0))
		return create && c->path ? ct_fail_write(err, "steps/" FILE_NAME) : -1;
	if (fd >= 0)
		close(fd);
	if (sqlite3_open_v2(c->path, &c->sql, flags, NULL) != SQLITE_OK)
		return fail_sql(c, err, "open it");
	sqlite3_busy_timeout(c->sql, BUSY_MS);
	/* It may come from anybody: nothing in its schema gets to run. */
	sqlite3_db_config(c->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(c->sql, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(c->sql, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(c->sql, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	if (create && (run_sql(c, "PRAGMA page_size=1024; PRAGMA journal_mode=DELETE; BEGIN", err) < 0 ||
		       create_tables(c, err) < 0 || run_sql(c, "COMMIT", err) < 0))
		return -1;
	if (write)
		return run_sql(c, "PRAGMA synchronous=FULL", err);
	return run_sql(c, "PRAGMA query_only=1; PRAGMA cell_size_check=1", err);
}

void sd_catalogue_close(struct sd_catalogue *c)
{
	for (unsigned k = 0; k < SD_NCAT; k++) {
		for (ct_u32 i = 0; i < c->t[k].n; i++)
			free_text(&c->t[k].row[i]);
		free(c->t[k].row);
		free(c->t[k].dirty);
		free(c->t[k].slots);
	}
	sqlite3_close(c->sql);
	free(c->path);
	*c = (struct sd_catalogue){0};
}

/* CRC32C of id, length of the text, text, integers; numbers as 8 bytes. */
static ct_u32 row_crc(const struct sd_cat_desc *d, ct_u64 id, const char *text, size_t len, const ct_u64 *v)
{
	ct_u64 head[2] = {id, len};
	ct_u32 crc = ct_crc32c(0, head, sizeof(head));

	crc = ct_crc32c(crc, text, len);
	return ct_crc32c(crc, v, d->nints * sizeof(*v));
}

/* ---- Reading ---- */

static int read_row(struct sd_catalogue *c, unsigned k, sqlite3_stmt *stmt, ct_u64 *id, struct ct_name *row,
		    struct ct_error *err)
{
	const struct sd_cat_desc *d = &sd_cat[k];
	int col = 0;
	bool good = sqlite3_column_type(stmt, 0) == SQLITE_INTEGER;

	*row = (struct ct_name){.text = ""};
	*id = (ct_u64)sqlite3_column_int64(stmt, col++);
	if (d->has_text) {
		const char *text = sqlite3_column_blob(stmt, col);

		row->len = (size_t)sqlite3_column_bytes(stmt, col);
		row->text = text ? text : "";
		good = good && sqlite3_column_type(stmt, col++) == (k == SD_CAT_COMMIT ? SQLITE_BLOB : SQLITE_TEXT);
	}
	for (unsigned i = 0; i < d->nints; i++) {
		good = good && sqlite3_column_type(stmt, col) == SQLITE_INTEGER;
		row->v[i] = (ct_u64)sqlite3_column_int64(stmt, col++);
	}
	if (!good || (ct_u64)sqlite3_column_int64(stmt, col) != row_crc(d, *id, row->text, row->len, row->v))
		return ct_fail(err, CT_EXIT_FAILED,
			       "steps/" FILE_NAME ": row %llu of %s is damaged; rebuild it with `ctbpf index`",
			       (unsigned long long)*id, d->name);
	(void)c;
	return 0;
}

/* Puts the row in place: new ones at the end, others over the old. */
static int take_row(struct sd_names *t, unsigned k, ct_u64 id, const struct ct_name *row, struct ct_error *err)
{
	const struct sd_cat_desc *d = &sd_cat[k];

	if (id == (ct_u64)t->n + 1 && t->n < UINT32_MAX - 1)
		return append(d, t, row->text, row->len, row->v) ? 0 : ct_fail(err, CT_EXIT_FAILED, "out of memory");
	if (id == 0 || id > t->n)
		return ct_fail(err, CT_EXIT_FAILED,
			       "steps/" FILE_NAME ": row %llu of %s is missing; rebuild it with `ctbpf index`",
			       (unsigned long long)t->n + 1, d->name);
	if (k == SD_CAT_COMMIT) {
		char *copy = malloc(row->len + 1);

		if (!copy)
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		memcpy(copy, row->text, row->len);
		copy[row->len] = 0;
		free_text(&t->row[id - 1]);
		t->row[id - 1].text = row->len ? copy : (free(copy), "");
		t->row[id - 1].len = row->len;
	}
	memcpy(t->row[id - 1].v, row->v, sizeof(row->v));
	return 0;
}

/* Tables whose rows change are read anew, the others from where we were. */
static bool rows_change(unsigned k)
{
	return k == SD_CAT_COMMIT || k == SD_CAT_COUNTS || k == CT_SITES || k == CT_STATS;
}

static int load_table(struct sd_catalogue *c, unsigned k, struct ct_error *err)
{
	const struct sd_cat_desc *d = &sd_cat[k];
	struct sd_names *t = &c->t[k];
	sqlite3_stmt *stmt = NULL;
	char sql[512];
	size_t n = (size_t)snprintf(sql, sizeof(sql), "SELECT id%s", d->has_text ? ", text" : "");
	int rc, ret = 0;

	for (unsigned i = 0; i < d->nints; i++)
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, ", %s", d->column[i]);
	snprintf(sql + n, sizeof(sql) - n, ", crc FROM %s WHERE id > %u ORDER BY id", d->name,
		 rows_change(k) ? 0 : t->n);
	if (sqlite3_prepare_v2(c->sql, sql, -1, &stmt, NULL) != SQLITE_OK)
		return fail_sql(c, err, "read it");
	while (ret == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct ct_name row;
		ct_u64 id;

		if (read_row(c, k, stmt, &id, &row, err) < 0 || take_row(t, k, id, &row, err) < 0)
			ret = -1;
	}
	if (ret == 0 && rc != SQLITE_DONE)
		ret = fail_sql(c, err, "read it");
	sqlite3_finalize(stmt);
	t->saved = t->n;
	return ret;
}

static int check_counts(struct sd_catalogue *c, struct ct_error *err)
{
	const struct sd_names *counts = &c->t[SD_CAT_COUNTS];

	if (c->t[SD_CAT_COMMIT].n != SD_COMMIT_PART || counts->n != SD_CAT_COMMIT)
		return ct_fail(err, CT_EXIT_FAILED,
			       "steps/" FILE_NAME ": holds no commit: its first writer died at once; build it anew");
	for (unsigned k = 0; k < SD_CAT_COMMIT; k++)
		if (counts->row[k].v[0] != c->t[k].n)
			return ct_fail(err, CT_EXIT_FAILED,
				       "steps/" FILE_NAME ": %s has %u rows of %llu; rebuild it with `ctbpf index`",
				       sd_cat[k].name, c->t[k].n, (unsigned long long)counts->row[k].v[0]);
	return 0;
}

int sd_catalogue_load(struct sd_catalogue *c, struct ct_error *err)
{
	const struct sd_names *state = &c->t[SD_CAT_COMMIT];
	ct_u64 before = state->n ? state->row[0].v[SD_STATE_COMMITS] : 0;
	int ret = 0;

	if (run_sql(c, "BEGIN", err) < 0)
		return -1;
	for (unsigned k = SD_NCAT; k-- > 0 && ret == 0;)
		ret = load_table(c, k, err);
	sqlite3_exec(c->sql, "COMMIT", NULL, NULL, NULL);
	if (ret < 0 || check_counts(c, err) < 0)
		return -1;
	return state->row[0].v[SD_STATE_COMMITS] != before;
}

/* ---- Writing ---- */

static int save_table(struct sd_catalogue *c, unsigned k, struct ct_error *err)
{
	const struct sd_cat_desc *d = &sd_cat[k];
	struct sd_names *t = &c->t[k];
	sqlite3_stmt *stmt = NULL;
	char sql[256];
	size_t n = (size_t)snprintf(sql, sizeof(sql), "INSERT OR REPLACE INTO %s VALUES(?", d->name);
	int ret = 0;

	for (unsigned i = 0; i < d->nints + d->has_text + 1; i++)
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, ",?");
	snprintf(sql + n, sizeof(sql) - n, ")");
	if (sqlite3_prepare_v2(c->sql, sql, -1, &stmt, NULL) != SQLITE_OK)
		return fail_sql(c, err, "write it");
	for (ct_u32 i = 0; i < t->n && ret == 0; i++) {
		const struct ct_name *row = &t->row[i];
		int col = 1;

		if (i < t->saved && !t->dirty[i] && !(k == SD_CAT_COMMIT || k == SD_CAT_COUNTS))
			continue;
		sqlite3_bind_int64(stmt, col++, (ct_s64)i + 1);
		if (d->has_text && k == SD_CAT_COMMIT)
			sqlite3_bind_blob(stmt, col++, row->text, (int)row->len, SQLITE_STATIC);
		else if (d->has_text)
			sqlite3_bind_text(stmt, col++, row->text, (int)row->len, SQLITE_STATIC);
		for (unsigned v = 0; v < d->nints; v++)
			sqlite3_bind_int64(stmt, col++, (ct_s64)row->v[v]);
		sqlite3_bind_int64(stmt, col, row_crc(d, (ct_u64)i + 1, row->text, row->len, row->v));
		if (sqlite3_step(stmt) != SQLITE_DONE)
			ret = fail_sql(c, err, "write it");
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
	return ret;
}

int sd_catalogue_save(struct sd_catalogue *c, struct ct_error *err)
{
	int ret = run_sql(c, "BEGIN IMMEDIATE", err);

	if (ret < 0)
		return -1;
	for (unsigned k = 0; k < SD_NCAT && ret == 0; k++)
		ret = save_table(c, k, err);
	if (ret == 0)
		ret = run_sql(c, "COMMIT", err);
	if (ret < 0) {
		sqlite3_exec(c->sql, "ROLLBACK", NULL, NULL, NULL);
		return -1;
	}
	for (unsigned k = 0; k < SD_NCAT; k++) {
		c->t[k].saved = c->t[k].n;
		if (c->t[k].dirty)
			memset(c->t[k].dirty, 0, c->t[k].n);
	}
	return 0;
}
