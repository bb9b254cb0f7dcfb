/* SPDX-License-Identifier: MIT
 * Writes a CTFS container: blocks of 4096 bytes; block 0 is the directory of streams.
 *
 * A stream's data blocks are found by mapping blocks: 511 numbers and a link to the next level, where each number is
 * that of a mapping block of the level below. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../dirio.h"
#include "container.h"

#define ENTRIES    (CN_BLOCK / 8 - 1) /* of a mapping block; the last number is the link */
#define ZSTD_LEVEL 3

static void cn_fail(struct container *cn, const struct ct_error *err)
{
	if (!cn->failed)
		cn->err = *err;
	cn->failed = true;
}

static void no_memory(struct container *cn)
{
	struct ct_error err;

	ct_fail_memory(&err);
	cn_fail(cn, &err);
}

static void write_at(struct container *cn, const void *data, size_t len, ct_u64 offset)
{
	struct ct_error err;

	if (cn->failed || ct_pwrite_full(cn->fd, data, len, offset) == 0)
		return;
	ct_fail_write(&err, "trace.ct");
	cn_fail(cn, &err);
}

static ct_u64 new_block(struct container *cn)
{
	return cn->blocks++;
}

static void set_entry(struct container *cn, ct_u64 block, ct_u64 entry, ct_u64 value)
{
	write_at(cn, &value, sizeof(value), block * CN_BLOCK + entry * sizeof(value));
}

/* Writes the stream's block, data block `index` of it, and notes where it is. Blocks come in order: a mapping block is
 * new when the first index it is for comes. */
static void place_block(struct container *cn, struct cn_stream *s, ct_u64 index)
{
	ct_u64 span = ENTRIES, data = new_block(cn), at;
	unsigned level = 1;

	write_at(cn, s->block, CN_BLOCK, data * CN_BLOCK);
	while (index >= span && level < CN_LEVELS) {
		index -= span;
		span *= ENTRIES;
		level++;
	}
	if (index == 0 && level > 1) {
		s->chain[level] = new_block(cn);
		set_entry(cn, s->chain[level - 1], ENTRIES, s->chain[level]);
	}
	at = s->chain[level];
	while (level-- > 1) {
		span /= ENTRIES;
		if (index % span == 0) {
			s->path[level] = new_block(cn);
			set_entry(cn, at, index / span, s->path[level]);
		}
		at = s->path[level];
		index %= span;
	}
	set_entry(cn, at, index, data);
}

static ct_u64 base40(const char *name)
{
	static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz./-";
	ct_u64 v = 0;

	for (size_t i = strlen(name); i; i--)
		v = v * 40 + (ct_u64)(strchr(alphabet, name[i - 1]) - alphabet) + 1;
	return v;
}

bool cn_open(struct container *cn, int fd)
{
	*cn = (struct container){.fd = fd, .blocks = 1};
	cn->stream = calloc(CN_STREAMS, sizeof(*cn->stream));
	if (!cn->stream)
		no_memory(cn);
	return cn->stream;
}

unsigned cn_stream(struct container *cn, const char *name)
{
	struct cn_stream *s = &cn->stream[cn->nstreams];

	s->name = base40(name);
	s->chain[1] = new_block(cn);
	return cn->nstreams++;
}

void cn_put(struct container *cn, unsigned stream, const void *data, size_t len)
{
	struct cn_stream *s = &cn->stream[stream];
	const ct_u8 *p = data;

	while (len && !cn->failed) {
		size_t used = s->size % CN_BLOCK, n = CN_BLOCK - used < len ? CN_BLOCK - used : len;

		memcpy(s->block + used, p, n);
		s->size += n;
		p += n;
		len -= n;
		if (used + n == CN_BLOCK)
			place_block(cn, s, s->size / CN_BLOCK - 1);
	}
}

int cn_finish(struct container *cn, unsigned version, bool good, struct ct_error *err)
{
	ct_u8 root[CN_BLOCK] = {0xc0, 0xde, 0x72, 0xac, 0xe2, (ct_u8)version};
	const ct_u32 sizes[] = {CN_BLOCK, CN_STREAMS};
	int ret = 0;

	memcpy(root + 8, sizes, sizeof(sizes));
	for (unsigned i = 0; i < cn->nstreams && good; i++) {
		struct cn_stream *s = &cn->stream[i];
		const ct_u64 entry[] = {s->size, s->chain[1], s->name};

		memcpy(root + 16 + i * sizeof(entry), entry, sizeof(entry));
		if (!(s->size % CN_BLOCK))
			continue;
		memset(s->block + s->size % CN_BLOCK, 0, CN_BLOCK - s->size % CN_BLOCK);
		place_block(cn, s, s->size / CN_BLOCK);
	}
	if (good)
		write_at(cn, root, sizeof(root), 0);
	/* The last block may be a mapping block of which only some entries are written. */
	if (good && !cn->failed && ftruncate(cn->fd, (off_t)(cn->blocks * CN_BLOCK)) < 0) {
		struct ct_error late;

		ct_fail_write(&late, "trace.ct");
		cn_fail(cn, &late);
	}
	if (cn->failed) {
		*err = cn->err;
		ret = -1;
	}
	free(cn->stream);
	cn->stream = NULL;
	return good ? ret : -1;
}

/* ---- Tables ---- */

bool cn_table_open(struct cn_table *t, struct container *cn, const char *name, ct_u32 chunk, bool prefixed)
{
	char member[16];

	*t = (struct cn_table){.cn = cn, .chunk = chunk, .prefixed = prefixed};
	snprintf(member, sizeof(member), "%s.dat", name);
	t->dat = cn_stream(cn, member);
	snprintf(member, sizeof(member), "%s.idx", name);
	t->idx = cn_stream(cn, member);
	cn_put(cn, t->idx, &chunk, sizeof(chunk));
	t->zstd = ZSTD_createCCtx();
	if (!t->zstd)
		no_memory(cn);
	return t->zstd;
}

static void flush_chunk(struct cn_table *t)
{
	ct_u64 offset = t->cn->stream[t->dat].size;
	size_t n;

	if (t->records && !t->cn->failed) {
		t->packed.len = 0;
		if (!sd_reserve(&t->packed, ZSTD_compressBound(t->raw.len))) {
			no_memory(t->cn);
			return;
		}
		n = ZSTD_compressCCtx(t->zstd, t->packed.data, t->packed.cap, t->raw.data, t->raw.len, ZSTD_LEVEL);
		if (ZSTD_isError(n)) {
			no_memory(t->cn);
			return;
		}
		cn_put(t->cn, t->idx, &offset, sizeof(offset));
		cn_put(t->cn, t->dat, t->packed.data, n);
	}
	t->raw.len = 0;
	t->records = 0;
}

void cn_record(struct cn_table *t, const void *data, size_t len)
{
	if (t->cn->failed)
		return;
	if ((t->prefixed && !sd_put_uint(&t->raw, len)) || !sd_put(&t->raw, data, len)) {
		no_memory(t->cn);
		return;
	}
	if (++t->records == t->chunk)
		flush_chunk(t);
}

void cn_table_close(struct cn_table *t)
{
	if (t->cn)
		flush_chunk(t);
	free(t->raw.data);
	free(t->packed.data);
	ZSTD_freeCCtx(t->zstd);
	*t = (struct cn_table){0};
}

void cn_names_open(struct cn_names *n, struct container *cn, const char *name)
{
	const ct_u64 zero = 0;
	char member[16];

	*n = (struct cn_names){.cn = cn};
	snprintf(member, sizeof(member), "%s.dat", name);
	n->dat = cn_stream(cn, member);
	snprintf(member, sizeof(member), "%s.off", name);
	n->off = cn_stream(cn, member);
	cn_put(cn, n->off, &zero, sizeof(zero));
}

void cn_name(struct cn_names *n, const void *text, size_t len)
{
	n->at += len;
	cn_put(n->cn, n->dat, text, len);
	cn_put(n->cn, n->off, &n->at, sizeof(n->at));
}
