/* SPDX-License-Identifier: MIT
 * Fuzzing the step database: the first byte says what the rest is: a value, a chunk, a directory, a page, or a file.
 *
 * Files go, with checksums made right, into a small database that is otherwise good, and all of it is asked. */
#include <sqlite3.h>

#include "formats/export/export.h"
#include "formats/stepdb_walk.h"
#include "tests/unit/stepdb_helpers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void value(const ct_u8 *data, size_t size)
{
	char out[256];

	if (!ct_node_check(data, size))
		return;
	ct_node_format(data, size, NULL, out, sizeof(out));
	ct_node_json(data, size, NULL, out, sizeof(out));
}

static void chunk(unsigned table, const ct_u8 *data, size_t size)
{
	static ZSTD_DCtx *zstd;
	const struct sd_table *t = &sd_tables[table];
	ct_u64 *col[SD_MAX_COLUMNS] = {0};
	struct sd_layout layout;
	ct_u8 *bytes = NULL;
	unsigned rows = size ? data[size - 1] * 16 + 1 : 1;

	zstd = zstd ? zstd : ZSTD_createDCtx();
	if (!sd_chunk_layout(t, data, size, &layout))
		return;
	for (unsigned c = 0; c < t->ncols; c++) {
		const ct_u64 *ref = t->col[c].mode == SD_REL ? col[t->col[c].ref] : NULL;

		col[c] = calloc(rows, sizeof(*col[c]));
		if ((t->col[c].mode == SD_REL && !ref) ||
		    !sd_column_decode(zstd, t, c, &layout, rows, 7, ref, col[c], &bytes)) {
			free(col[c]);
			col[c] = NULL;
		}
	}
	for (unsigned c = 0; c < t->ncols; c++)
		free(col[c]);
	free(bytes);
}

static void directory(unsigned table, const ct_u8 *data, size_t size)
{
	struct sd_group g = {.offset = 64, .directory = size * 8, .first_row = 1, .rows = size, .chunks = size % 7 + 1};
	struct ct_error err;

	if (sd_directory_parse(&sd_tables[table], data, size, &g, &err) == 0)
		sd_group_unload(&g);
}

static void entry(void *arg, ct_u64 key, ct_u32 chunk_number, ct_u32 count)
{
	*(ct_u64 *)arg += key + chunk_number + count;
	must(chunk_number < 100, "a chunk beyond the group");
}

/* Makes headers and checksums right, as far as blocks go. */
static void fix(ct_u8 *data, size_t size, const struct sd_file_header *good)
{
	size_t pos = sizeof(*good);

	if (size < sizeof(*good))
		return;
	memcpy(data, good, sizeof(*good));
	while (size - pos >= sizeof(struct sd_block)) {
		struct sd_block *b = (void *)(data + pos);

		if (b->magic != SD_BLOCK_MAGIC || b->stored > size - pos - sizeof(*b))
			break;
		b->crc = ct_crc32c(0, b + 1, b->stored);
		b->header_crc = ct_crc32c(0, b, offsetof(struct sd_block, header_crc));
		pos += sd_block_size(b->stored);
		if (pos > size)
			break;
	}
}

static int ignore(void *arg, const struct ct_local *local)
{
	(void)arg, (void)local;
	return 0;
}

static int sound(void *arg, struct ct_walk_thread *t, struct ct_walk_frame *f, enum ct_walk_leave how,
		 const struct ct_walk_next *next, struct ct_error *err)
{
	(void)arg, (void)how, (void)next, (void)err;
	must(t->depth && f == &t->frame[t->depth - 1], "not the innermost frame");
	return 0;
}

/* The formats that ask nothing of the log. */
static void export_all(struct ct_stepdb *db)
{
	const struct ct_export_source src = {.db = db};
	const struct ct_export_options opts = {0};
	struct ct_export_result result;
	struct ct_error err;
	int out = open("/dev/null", O_WRONLY | O_CLOEXEC);

	ct_export_file(CT_EXPORT_FOLDED, &src, &opts, out, &result, &err);
	close(out);
}

static void ask_all(int fd)
{
	static const char *const questions[] = {"SELECT * FROM steps",
						"SELECT * FROM calls",
						"SELECT *, repr, json FROM \"values\" ORDER BY id DESC",
						"SELECT * FROM steps WHERE function_id = 3 AND time_ns > 5",
						"SELECT * FROM \"values\" WHERE name = 'v1'",
						"SELECT * FROM lines"};
	struct ct_error err;
	struct ct_stepdb *db = ct_stepdb_open(fd, "fuzz", &err);
	sqlite3 *sql = db ? ct_stepdb_sql(db, NULL, &err) : NULL;
	ct_u64 calls[5];

	for (unsigned i = 0; sql && i < sizeof(questions) / sizeof(questions[0]); i++)
		sqlite3_exec(sql, questions[i], NULL, NULL, NULL);
	sqlite3_close(sql);
	if (db) {
		export_all(db);
		ct_stepdb_slowest(db, 5, calls, &err);
		for (ct_u64 call = 1; call < 9; call++)
			ct_stepdb_locals(db, call, 100, ignore, NULL, &err);
		for (ct_u64 first = 1; first < 200; first += 150)
			ct_stepdb_walk(db, &(struct ct_walk_spec){.first = first, .last = first == 1 ? 0 : first + 20},
				       &(struct ct_walk_visitor){.leave = sound}, &err);
	}
	ct_stepdb_close(db);
}

static char *dir;

/* The fuzzer ends without ceremony, by _Exit or a signal: somebody else sees to the directory then. */
static void remove_at_end(void)
{
	int ends[2];
	char c;

	must(pipe2(ends, O_CLOEXEC) == 0, "pipe");
	if (fork() == 0) {
		close(ends[1]);
		for (int fd = 3; fd < 64; fd++)
			if (fd != ends[0])
				close(fd);
		while (read(ends[0], &c, 1) > 0)
			;
		scratch_remove(dir);
		_exit(0);
	}
	close(ends[0]);
}

/* A database in memory-backed files, made once. */
static void file(unsigned table, const ct_u8 *data, size_t size)
{
	static struct bytes good[CT_NROWS];
	static int fd;
	char name[64];
	ct_u8 *copy;
	size_t room;

	if (!dir) {
		struct ct_error err = {0};
		struct model m;

		setenv("TMPDIR", "/dev/shm", 1);
		dir = scratch_dir();
		remove_at_end();
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		model_start(&m, ct_stepdb_create(fd, "fuzz", test_uuid, &err), 5);
		for (unsigned i = 0; i < 300; i++)
			model_act(&m);
		must(ct_stepdb_commit(m.w, NULL, 0, false, &err) == 0, err.msg);
		ct_stepdb_writer_close(m.w);
		model_free(&m);
		for (unsigned k = 0; k < CT_NROWS; k++) {
			snprintf(name, sizeof(name), "steps/%s", sd_file_names[k]);
			good[k].data = get_file(below(dir, name), &good[k].len);
		}
	}
	/* Behind the input the file goes on as it was: short inputs change its beginning only. */
	room = size > good[table].len ? size : good[table].len;
	copy = malloc(room);
	memcpy(copy, good[table].data, good[table].len);
	memcpy(copy, data, size);
	fix(copy, room, (const void *)good[table].data);
	snprintf(name, sizeof(name), "steps/%s", sd_file_names[table]);
	put_file(below(dir, name), copy, room);
	ask_all(fd);
	put_file(below(dir, name), good[table].data, good[table].len);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned table = size ? data[0] >> 4 & 3 : 0;
	ct_u64 sum = 0;

	if (!size)
		return 0;
	switch (data[0] & 15) {
	case 0: value(data + 1, size - 1); break;
	case 1: chunk(table, data + 1, size - 1); break;
	case 2: directory(table, data + 1, size - 1); break;
	case 3: sd_page_walk(data + 1, size - 1, 100, size % 9, UINT64_MAX, entry, &sum); break;
	default: file(table, data + 1, size - 1);
	}
	return 0;
}
