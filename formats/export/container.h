/* SPDX-License-Identifier: MIT
 * Private to the exporters: CodeTracer's container (.ct): named streams in blocks of one file, and tables in them.
 *
 * Streams grow side by side; nothing but a block of each is in memory. */
#ifndef CT_EXPORT_CONTAINER_H
#define CT_EXPORT_CONTAINER_H

#include "output.h"

#define CN_BLOCK   4096
#define CN_STREAMS 31
#define CN_LEVELS  5

struct cn_stream {
	ct_u64 name; /* base 40 */
	ct_u64 size;
	ct_u8 block[CN_BLOCK];       /* what is not written yet: size % CN_BLOCK bytes */
	ct_u64 chain[CN_LEVELS + 1]; /* the mapping block that begins each level; [1] is in the directory */
	ct_u64 path[CN_LEVELS + 1];  /* the mapping blocks to the data block placed last */
};
struct container {
	int fd;
	ct_u64 blocks; /* used */
	struct cn_stream *stream;
	unsigned nstreams;
	bool failed;
	struct ct_error err;
};
/* The version is the header's. */
bool cn_open(struct container *cn, int fd);
/* A new stream's number; its name has at most 12 of a-z 0-9 . / - */
unsigned cn_stream(struct container *cn, const char *name);
void cn_put(struct container *cn, unsigned stream, const void *data, size_t len);
/* Writes what is left and the directory; 0 or -1. Frees in any case. */
int cn_finish(struct container *cn, unsigned version, bool good, struct ct_error *err);

/* Records in compressed chunks of so many: NAME.dat and NAME.idx, where the chunks begin. */
struct cn_table {
	struct container *cn;
	unsigned dat, idx;
	ct_u32 chunk, records; /* records in raw */
	bool prefixed;         /* each record has its length before it */
	struct sd_buf raw, packed;
	ZSTD_CCtx *zstd;
};
bool cn_table_open(struct cn_table *t, struct container *cn, const char *name, ct_u32 chunk, bool prefixed);
void cn_record(struct cn_table *t, const void *data, size_t len);
/* True if the next record begins a chunk. */
static inline bool cn_at_start(const struct cn_table *t)
{
	return t->records == 0;
}
void cn_table_close(struct cn_table *t);

/* Texts by number: NAME.dat, and NAME.off where each begins, and the last ends. */
struct cn_names {
	struct container *cn;
	unsigned dat, off;
	ct_u64 at;
};
void cn_names_open(struct cn_names *n, struct container *cn, const char *name);
void cn_name(struct cn_names *n, const void *text, size_t len);

#endif
