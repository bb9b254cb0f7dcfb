/* SPDX-License-Identifier: MIT
 * Inside of the step database: what its files offer each other.
 *
 * column: integers to bytes; file: blocks; index: groups of chunks; catalogue: names in SQLite; then writer and reader.
 */
#ifndef CT_STEPDB_PRIVATE_H
#define CT_STEPDB_PRIVATE_H

#include <sqlite3.h>
#include <stdlib.h>
#include <zstd.h>

#include "stepdb_read.h"

#define SD_CHUNK_ROWS    4096
#define SD_GROUP_CHUNKS  1024
#define SD_GROUP_ENTRIES (256u << 10) /* posting entries of one kind after which a group is closed: 4 MB */
#define SD_CHUNK_BYTES   (1u << 20)   /* bytes of values after which a chunk is closed */
#define SD_PAGE_BYTES    (8u << 10)   /* posting page, before compression */
#define SD_RAW_MAX       (4u << 20)   /* uncompressed bytes of a block or column */
#define SD_MAX_COLUMNS   16
#define SD_POSTINGS      2

/* ---- Bytes ---- */

struct sd_buf {
	ct_u8 *data;
	size_t len, cap;
};
/* Room for `need` more; false without memory. */
bool sd_reserve(struct sd_buf *b, size_t need);
bool sd_put(struct sd_buf *b, const void *data, size_t len);
bool sd_put_uint(struct sd_buf *b, ct_u64 v);
/* Length of the well-formed UTF-8 character at s, or 0. */
unsigned sd_utf8_len(const ct_u8 *s, size_t left);

#define SD_VARINT_MAX 10
static inline ct_u8 *sd_varint(ct_u8 *p, ct_u64 v)
{
	for (; v >= 128; v >>= 7)
		*p++ = (ct_u8)(v | 128);
	*p++ = (ct_u8)v;
	return p;
}
/* Little endian groups of seven bits; more than 64 bits are refused. */
static inline bool sd_get(const ct_u8 **p, const ct_u8 *end, ct_u64 *v)
{
	const ct_u8 *s = *p;
	unsigned shift = 0;

	*v = 0;
	for (; s < end; shift += 7) {
		ct_u8 c = *s++;

		if (shift == 63 && c > 1)
			return false;
		*v |= (ct_u64)(c & 127) << shift;
		if (c < 128) {
			*p = s;
			return true;
		}
	}
	return false;
}
static inline ct_u64 sd_zigzag(ct_u64 v)
{
	return (v << 1) ^ (ct_u64)((ct_s64)v >> 63);
}
static inline ct_u64 sd_unzigzag(ct_u64 v)
{
	return (v >> 1) ^ -(v & 1);
}

/* ---- Tables and columns ---- */

/* How a column's numbers become small ones. */
enum sd_mode {
	SD_PLAIN, /* as they are */
	SD_DELTA, /* difference to the row before; the first row's to 0 */
	SD_BACK,  /* row number minus value */
	SD_REL,   /* difference to another column of the same row */
	SD_BYTES, /* lengths; the bytes follow */
};
struct sd_column {
	const char *name;
	ct_u8 mode; /* enum sd_mode */
	ct_u8 ref;  /* SD_REL: the other column, which comes before this one */
};
struct sd_table {
	const char *name; /* also of its file */
	unsigned ncols;
	unsigned nposts;
	struct sd_column col[SD_MAX_COLUMNS];
};
extern const struct sd_table sd_tables[CT_NROWS];
#define SD_EXIT_CALL             0 /* EXITS: the call, then CT_CALL_STATE ... CT_CALL_EXCEPTION */
#define SD_EXIT_COL(call_column) ((call_column)-CT_CALL_STATE + 1)
/* Posting kinds: 0 is the table's key (location, function, variable); 1 of VALUES is (call, variable) for calls that
 * were entered before the chunk began. */
#define SD_PAIR_SHIFT            24
#define SD_PAIR(call, variable)  ((ct_u64)(call) << SD_PAIR_SHIFT | (variable))

/* Appends column `c` of `rows` rows to the chunk: its head to `head`, its bytes to `body`. */
bool sd_column_encode(ZSTD_CCtx *zstd, const struct sd_table *t, unsigned c, ct_u64 *const *cols, unsigned rows,
		      ct_u64 first_row, const struct sd_buf *bytes, struct sd_buf *head, struct sd_buf *body,
		      struct sd_buf *scratch);

/* Where each column is in a chunk's payload. */
struct sd_layout {
	struct {
		const ct_u8 *at;
		size_t stored, raw;
		ct_u8 codec;
		bool packed;
	} col[SD_MAX_COLUMNS];
};
bool sd_chunk_layout(const struct sd_table *t, const ct_u8 *payload, size_t len, struct sd_layout *layout);
/* Decodes column c into out[rows]; `ref` is the column it refers to, decoded. For SD_BYTES out[i] is where value i
 * ends, and *bytes gets a malloc'ed buffer. */
bool sd_column_decode(ZSTD_DCtx *zstd, const struct sd_table *t, unsigned c, const struct sd_layout *layout,
		      unsigned rows, ct_u64 first_row, const ct_u64 *ref, ct_u64 *out, ct_u8 **bytes);

/* Stable sort by key. */
struct sd_entry {
	ct_u64 key;
	ct_u32 chunk; /* within the group */
	ct_u32 count;
};
void sd_sort(struct sd_entry *e, struct sd_entry *scratch, size_t n);

/* ---- Files of blocks ---- */

#define SD_FILE_MAGIC  0x4c4f434650425443ull /* the bytes "CTBPFCOL" */
#define SD_BLOCK_MAGIC 0x4b4c4243u           /* the bytes "CBLK" */
enum sd_block_kind { SD_CHUNK = 1, SD_PAGE, SD_DIRECTORY };

struct sd_file_header { /* 64 bytes */
	ct_u64 magic;
	ct_u16 version; /* CT_STEPDB_VERSION */
	ct_u16 table;   /* enum ct_rows */
	ct_u32 flags;   /* 0; a reader refuses any bit it does not know */
	ct_u8 uuid[16]; /* the recording's */
	ct_u64 build;   /* random, the same in all files of one build and in the catalogue */
	ct_u8 reserved[20];
	ct_u32 crc; /* CRC32C of the 60 bytes before */
};
struct sd_block { /* 40 bytes, then `stored` bytes, then zeros up to a multiple of 8 */
	ct_u32 magic;
	ct_u8 kind; /* enum sd_block_kind */
	ct_u8 table;
	ct_u16 flags; /* 0 */
	ct_u32 stored;
	ct_u32 raw;   /* bytes after decompression; chunks: equal to stored, each column is compressed for itself */
	ct_u64 first; /* chunk: first row number; else: number of the group's first chunk */
	ct_u32 rows;  /* chunk: rows; page: kind of posting; directory: chunks */
	ct_u32 crc;   /* CRC32C of the stored bytes */
	ct_u32 reserved;
	ct_u32 header_crc; /* CRC32C of the 36 bytes before */
};
static inline size_t sd_block_size(size_t stored)
{
	return sizeof(struct sd_block) + ((stored + 7) & ~(size_t)7);
}

extern const char *const sd_file_names[CT_NROWS]; /* below steps/ */
struct sd_file {
	int fd;
	ct_u64 size; /* what is in the file and in `out` */
	struct sd_buf out;
};
/* Makes or opens (then cut off at `size`) a table's file for appending. */
int sd_file_create(struct sd_file *f, int dirfd, enum ct_rows table, const ct_u8 uuid[16], ct_u64 build,
		   struct ct_error *err);
int sd_file_reopen(struct sd_file *f, int dirfd, enum ct_rows table, const ct_u8 uuid[16], ct_u64 build, ct_u64 size,
		   struct ct_error *err);
int sd_file_block(struct sd_file *f, struct sd_block *h, const void *data, struct ct_error *err);
int sd_file_flush(struct sd_file *f, struct ct_error *err);
void sd_file_close(struct sd_file *f);
/* For reading; checks the header, and that at least `size` bytes are there. */
int sd_file_open(int dirfd, enum ct_rows table, const ct_u8 uuid[16], ct_u64 build, ct_u64 size, struct ct_error *err);
/* Reads the block at `offset`, which must be this kind and at most `limit` bytes long; checks everything. The stored
 * bytes are malloc'ed. */
ct_u8 *sd_block_read(int fd, enum ct_rows table, ct_u64 offset, ct_u64 limit, enum sd_block_kind kind,
		     struct sd_block *h, struct ct_error *err);
/* The same for pages and directories, decompressed. */
ct_u8 *sd_block_unpack(ZSTD_DCtx *zstd, ct_u8 *stored, const struct sd_block *h, struct ct_error *err);

/* ---- Groups of chunks ---- */

struct sd_chunk_entry {
	ct_u64 offset, first_row;
	ct_u32 size; /* of the block, with header and padding */
	ct_u32 rows;
	ct_u64 mark; /* calls that had been entered when the chunk was begun */
};
struct sd_page_entry {
	ct_u64 first_key, offset;
	ct_u32 size;
	ct_u32 kind;
};
struct sd_group {
	/* From the catalogue. */
	ct_u64 first_chunk, first_row, rows, offset, directory, end;
	ct_u32 chunks;
	/* From the directory, once it is loaded. */
	bool loaded;
	struct sd_chunk_entry *chunk;
	ct_u64 *minmax; /* [chunk][column][2] */
	ct_u64 min[SD_MAX_COLUMNS], max[SD_MAX_COLUMNS];
	struct sd_page_entry *page;
	ct_u32 npages;
};
/* Parses a directory's bytes into the group. */
int sd_directory_parse(const struct sd_table *t, const ct_u8 *data, size_t len, struct sd_group *g,
		       struct ct_error *err);
void sd_group_unload(struct sd_group *g);
/* Calls each(arg, key, chunk, count) for the entries of a page with keys in [first, last]; false if the page is bad. */
typedef void sd_posting(void *arg, ct_u64 key, ct_u32 chunk, ct_u32 count);
bool sd_page_walk(const ct_u8 *data, size_t len, ct_u32 chunks, ct_u64 first, ct_u64 last, sd_posting *each, void *arg);

/* The group being written. */
struct sd_wgroup {
	ct_u64 first_chunk, first_row, offset;
	ct_u32 chunks;
	struct sd_buf directory;
	struct {
		struct sd_entry *e;
		size_t n, cap;
	} post[SD_POSTINGS];
};
struct sd_wtable {
	const struct sd_table *t;
	enum ct_rows id;
	struct sd_file file;
	ct_u64 *col[SD_MAX_COLUMNS]; /* the chunk being filled */
	struct sd_buf bytes;
	unsigned rows;
	ct_u64 done; /* rows in chunks that are written */
	ct_u64 chunks;
	ct_u64 mark;
	struct sd_wgroup group;
};
struct sd_encoder {
	ZSTD_CCtx *zstd;
	struct sd_buf head, body, scratch;
	struct sd_entry *sorted;
	size_t sorted_cap;
	struct sd_entry *slots; /* for counting the keys of a chunk */
	ct_u32 *used;
};
bool sd_encoder_init(struct sd_encoder *e);
void sd_encoder_deinit(struct sd_encoder *e);
bool sd_wtable_init(struct sd_wtable *w, enum ct_rows id);
void sd_wtable_deinit(struct sd_wtable *w);
/* Writes the chunk being filled, if it has rows; `mark` is the next chunk's. */
int sd_chunk_flush(struct sd_wtable *w, struct sd_encoder *enc, ct_u64 mark, struct ct_error *err);
/* Writes pages and directory of the group, if it has chunks; 1 and *g if there was one. */
int sd_group_flush(struct sd_wtable *w, struct sd_encoder *enc, struct sd_group *g, struct ct_error *err);

/* ---- Catalogue ---- */

/* Tables of the catalogue behind the names. */
enum { SD_CAT_GROUPS = CT_NNAMES, SD_CAT_COMMIT, SD_CAT_COUNTS, SD_NCAT };
struct sd_cat_desc {
	const char *name;
	unsigned nints;
	unsigned nkeys; /* the first so many integers, and the text, are what makes rows equal; see `unique` */
	bool has_text, unique;
	const char *column[CT_NAME_INTS];
};
extern const struct sd_cat_desc sd_cat[SD_NCAT];
/* One table in memory. Rows are numbered from 1; ids never go away. */
struct sd_names {
	struct ct_name *row; /* text is malloc'ed, NULL in an empty one */
	ct_u32 n, cap;
	ct_u32 saved;  /* rows that the file has */
	ct_u8 *dirty;  /* of saved ones: changed since */
	ct_u32 *slots; /* hash, for unique tables in a writer */
	ct_u32 nslots;
};
struct sd_catalogue {
	sqlite3 *sql;
	struct sd_names t[SD_NCAT];
	char *path;
};
/* Opens steps/catalogue.db; create: makes it, empty. */
int sd_catalogue_open(struct sd_catalogue *c, int stepsfd, bool create, bool write, struct ct_error *err);
void sd_catalogue_close(struct sd_catalogue *c);
/* Reads what is new and checks every row. 1: there was a newer commit. After a failure it is only good for closing. */
int sd_catalogue_load(struct sd_catalogue *c, struct ct_error *err);
/* Writes what is new or changed in one transaction. */
int sd_catalogue_save(struct sd_catalogue *c, struct ct_error *err);
/* A new row, or for unique tables the one that is there. 0: no memory. */
ct_u32 sd_names_add(struct sd_catalogue *c, unsigned table, const char *text, size_t len, const ct_u64 *v);
/* Rows of SD_CAT_COMMIT. */
enum { SD_COMMIT_STATE = 1, SD_COMMIT_WRITER, SD_COMMIT_TABLE, SD_COMMIT_PART = SD_COMMIT_TABLE + CT_NROWS };
enum { SD_STATE_COMMITS, SD_STATE_COMPLETE, SD_STATE_BUILD, SD_STATE_VERSION, SD_STATE_UUID0, SD_STATE_UUID1 };
enum { SD_TABLE_ROWS, SD_TABLE_CHUNKS, SD_TABLE_SIZE };
enum {
	SD_GRP_TABLE,
	SD_GRP_FIRST_CHUNK,
	SD_GRP_CHUNKS,
	SD_GRP_FIRST_ROW,
	SD_GRP_ROWS,
	SD_GRP_OFFSET,
	SD_GRP_DIRECTORY,
	SD_GRP_END
};

/* ---- Reader ---- */

struct sd_chunk {
	ct_u64 number; /* of the chunk in its table */
	enum ct_rows table;
	unsigned refs;
	ct_u64 used; /* when last, by the reader's clock */
	ct_u8 *payload;
	struct sd_layout layout;
	unsigned rows;
	ct_u64 first_row;
	ct_u64 *col[SD_MAX_COLUMNS];
	ct_u8 *bytes;
};
#define SD_CACHE 64
struct sd_rtable {
	int fd;
	ct_u64 rows, chunks, size;
	struct sd_group *group;
	size_t ngroups;
};
struct ct_stepdb {
	char *name; /* of the recording, for messages */
	int dirfd;  /* steps/ */
	struct sd_catalogue cat;
	struct sd_rtable t[CT_NROWS];
	ZSTD_DCtx *zstd;
	struct sd_chunk *cache[SD_CACHE];
	unsigned latest[CT_NROWS]; /* in the cache */
	ct_u64 clock;
};
int sd_opendir(int recording_dirfd, bool create, struct ct_error *err);
int sd_group_load(struct ct_stepdb *db, enum ct_rows table, size_t group, struct ct_error *err);
/* Index of the group with this chunk or row; ngroups if there is none. */
size_t sd_group_of_chunk(const struct sd_rtable *t, ct_u64 chunk);
size_t sd_group_of_row(const struct sd_rtable *t, ct_u64 row);
/* The chunk with this number; give it back with sd_chunk_put. */
struct sd_chunk *sd_chunk_get(struct ct_stepdb *db, enum ct_rows table, ct_u64 number, struct ct_error *err);
void sd_chunk_put(struct sd_chunk *chunk);
/* A column, decoded; NULL with *err. */
const ct_u64 *sd_chunk_column(struct ct_stepdb *db, struct sd_chunk *chunk, unsigned c, struct ct_error *err);
/* Walks the posting entries of keys [first, last], or of the rising `keys` of kind 0 (others may come, too), of one
 * group; chunk numbers are within the group. */
int sd_postings(struct ct_stepdb *db, enum ct_rows table, size_t group, ct_u32 kind, ct_u64 first, ct_u64 last,
		sd_posting *each, void *arg, struct ct_error *err);
int sd_postings_of(struct ct_stepdb *db, enum ct_rows table, size_t group, const ct_u32 *keys, size_t nkeys,
		   sd_posting *each, void *arg, struct ct_error *err);

/* A scan by the chunk: the next one that can have rows that match, not read yet. 1, 0: there is none, -1. */
struct sd_found {
	ct_u64 number; /* of the chunk */
	const struct sd_chunk_entry *entry;
	const ct_u64 *minmax; /* [column][2] */
};
int sd_scan_find(struct ct_scan *s, struct sd_found *found, struct ct_error *err);
/* All its rows match, that is known. */
bool sd_scan_has_all(const struct ct_scan *s, const struct sd_found *found);
/* Reads it; it lasts until the next is found. Then its rows, from 0 on, can be looked at. */
struct sd_chunk *sd_scan_read(struct ct_scan *s, const struct sd_found *found, struct ct_error *err);
bool sd_scan_matches(const struct ct_scan *s, unsigned row);

#endif
