/* SPDX-License-Identifier: MIT
 * ctbpf dump --steps: how a recording's step database is stored. What it says, `ctbpf query` tells.
 *
 * Tables, groups of chunks, with --raw chunks and columns: all of them are read and checked. */
#include "../formats/stepdb_read.h"
#include "dump.h"

static void columns(const struct ct_dump *dump, const struct ct_chunk_info *c)
{
	for (unsigned i = 0; i < c->ncols; i++) {
		if (dump->json) {
			ct_json_open(dump->out, NULL, '{');
			ct_json_str(dump->out, "name", c->col[i].name);
			ct_json_str(dump->out, "codec", c->col[i].codec);
			ct_json_bool(dump->out, "zstd", c->col[i].packed);
			ct_json_u64(dump->out, "raw", c->col[i].raw);
			ct_json_u64(dump->out, "stored", c->col[i].stored);
			ct_json_hex(dump->out, "min", c->col[i].min);
			ct_json_hex(dump->out, "max", c->col[i].max);
			ct_json_close(dump->out, '}');
		} else {
			ct_out_fmt(dump->out, "        %-12s %s%s, %llu of %llu bytes, %llu..%llu\n", c->col[i].name,
				   c->col[i].codec, c->col[i].packed ? ", zstd" : "",
				   (unsigned long long)c->col[i].stored, (unsigned long long)c->col[i].raw,
				   (unsigned long long)c->col[i].min, (unsigned long long)c->col[i].max);
		}
	}
}

static int chunk(const struct ct_dump *dump, struct ct_stepdb *db, enum ct_rows table, ct_u64 number,
		 struct ct_error *err)
{
	struct ct_chunk_info c;

	if (!ct_stepdb_chunk_info(db, table, number, &c, err))
		return -1;
	if (dump->json) {
		ct_json_open(dump->out, NULL, '{');
		ct_json_u64(dump->out, "chunk", number);
		ct_json_u64(dump->out, "first_row", c.first_row);
		ct_json_u64(dump->out, "rows", c.rows);
		ct_json_u64(dump->out, "mark", c.mark);
		ct_json_u64(dump->out, "offset", c.offset);
		ct_json_u64(dump->out, "size", c.size);
		ct_json_open(dump->out, "columns", '[');
		columns(dump, &c);
		ct_json_close(dump->out, ']');
		ct_json_close(dump->out, '}');
		return 0;
	}
	ct_out_fmt(dump->out, "    chunk %llu: rows %llu..%llu, mark %llu, %llu bytes at %llu\n",
		   (unsigned long long)number, (unsigned long long)c.first_row,
		   (unsigned long long)(c.first_row + c.rows - 1), (unsigned long long)c.mark,
		   (unsigned long long)c.size, (unsigned long long)c.offset);
	columns(dump, &c);
	return 0;
}

static int group(const struct ct_dump *dump, struct ct_stepdb *db, enum ct_rows table, ct_u64 number,
		 struct ct_error *err)
{
	struct ct_group_info g;
	int ret = 0;

	if (!ct_stepdb_group_info(db, table, number, &g, err))
		return -1;
	if (dump->json) {
		ct_json_open(dump->out, NULL, '{');
		ct_json_u64(dump->out, "group", number);
		ct_json_u64(dump->out, "first_row", g.first_row);
		ct_json_u64(dump->out, "rows", g.rows);
		ct_json_u64(dump->out, "offset", g.offset);
		ct_json_u64(dump->out, "directory", g.directory);
		ct_json_u64(dump->out, "end", g.end);
		ct_json_u64(dump->out, "key_pages", g.pages[0]);
		ct_json_u64(dump->out, "pair_pages", g.pages[1]);
		ct_json_u64(dump->out, "nchunks", g.chunks);
		if (dump->raw)
			ct_json_open(dump->out, "chunks", '[');
	} else {
		ct_out_fmt(dump->out,
			   "  group %llu: %llu chunks, rows %llu..%llu, at %llu, directory at %llu, %llu + %llu "
			   "posting pages\n",
			   (unsigned long long)number, (unsigned long long)g.chunks, (unsigned long long)g.first_row,
			   (unsigned long long)(g.first_row + g.rows - 1), (unsigned long long)g.offset,
			   (unsigned long long)g.directory, (unsigned long long)g.pages[0],
			   (unsigned long long)g.pages[1]);
	}
	for (ct_u64 i = 0; dump->raw && i < g.chunks && ret == 0; i++)
		ret = chunk(dump, db, table, g.first_chunk + i, err);
	if (dump->json && dump->raw)
		ct_json_close(dump->out, ']');
	if (dump->json)
		ct_json_close(dump->out, '}');
	return ret;
}

static int table(const struct ct_dump *dump, struct ct_stepdb *db, enum ct_rows id, struct ct_error *err)
{
	struct ct_table_info t;
	int ret = 0;

	ct_stepdb_table_info(db, id, &t);
	if (dump->json) {
		ct_json_open(dump->out, NULL, '{');
		ct_json_str(dump->out, "name", t.name);
		ct_json_u64(dump->out, "rows", t.rows);
		ct_json_u64(dump->out, "bytes", t.bytes);
		ct_json_open(dump->out, "groups", '[');
	} else {
		ct_out_fmt(dump->out, "%s (%s): %llu rows, %llu chunks, %llu groups, %llu bytes\n", t.name, t.file,
			   (unsigned long long)t.rows, (unsigned long long)t.chunks, (unsigned long long)t.groups,
			   (unsigned long long)t.bytes);
	}
	for (ct_u64 i = 0; i < t.groups && ret == 0; i++)
		ret = group(dump, db, id, i, err);
	if (dump->json) {
		ct_json_close(dump->out, ']');
		ct_json_close(dump->out, '}');
	}
	return ret;
}

int ct_dump_steps(const struct ct_dump *dump, struct ct_recording *rec, struct ct_error *err)
{
	struct ct_stepdb *db = ct_stepdb_open(ct_recording_dirfd(rec), ct_recording_path(rec), err);
	struct ct_stepdb_info info;
	char uuid[37];
	int ret = 0;

	if (!db)
		return -1;
	ct_stepdb_info(db, &info);
	ct_uuid_format(info.uuid, uuid);
	if (dump->json) {
		ct_json_open(dump->out, NULL, '{');
		ct_json_u64(dump->out, "version", CT_STEPDB_VERSION);
		ct_json_str(dump->out, "uuid", uuid);
		ct_json_u64(dump->out, "commits", info.commits);
		ct_json_bool(dump->out, "complete", info.complete);
		ct_json_open(dump->out, "tables", '[');
	} else {
		ct_out_fmt(dump->out, "step database, version %u, of recording %s; %llu commits, %s\n",
			   CT_STEPDB_VERSION, uuid, (unsigned long long)info.commits,
			   info.complete ? "complete" : "not complete");
	}
	for (unsigned k = 0; k < CT_NROWS && ret == 0; k++)
		ret = table(dump, db, k, err);
	if (dump->json) {
		ct_json_close(dump->out, ']');
		ct_json_close(dump->out, '}');
		ct_json_line(dump->out);
	}
	ct_stepdb_close(db);
	return ret;
}
