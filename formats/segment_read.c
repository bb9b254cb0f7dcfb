/* SPDX-License-Identifier: MIT
 * Segment files, the reading half: opening, recovery of unclosed ones, decoding of blocks.
 *
 * No number of the file is believed before it is checked against the file's size and the format's limits. */
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "dirio.h"
#include "event_access.h"
#include "recording_private.h"

#define BLOCKS_MAX (1u << 20) /* of a segment; keeps the index below 48 MiB whatever the file says */

struct ct_segment {
	int fd;    /* -1: parked, opened anew by every read */
	int dirfd; /* where to find it again; borrowed */
	dev_t dev;
	ino_t ino;
	char *name;
	ct_u64 size;
	struct ct_segment_header header;
	struct ct_index_entry *index;
	ct_u32 blocks;
	ct_u64 blocks_end; /* no block reaches beyond */
	ct_u64 broken_from;
	bool recovered;
	ZSTD_DCtx *zstd;
};

static ct_u64 align8(ct_u64 n)
{
	return (n + 7) & ~7ull;
}

static int read_header(struct ct_segment *seg, struct ct_error *err)
{
	struct ct_segment_header *h = &seg->header;
	ssize_t n = ct_pread_full(seg->fd, h, sizeof(*h), 0);

	if (n < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot read", seg->name);
	if (n < (ssize_t)sizeof(*h))
		return ct_fail(err, CT_EXIT_FAILED, "%s: only %zd bytes long, shorter than a segment's header",
			       seg->name, n);
	if (h->magic != CT_SEGMENT_MAGIC)
		return ct_fail(err, CT_EXIT_FAILED, "%s: not a segment file (it does not start with CTBPFSEG)",
			       seg->name);
	if (h->version != CT_SEGMENT_VERSION)
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s: segment version %u; this ctbpf reads version %u: use the one that recorded it",
			       seg->name, h->version, CT_SEGMENT_VERSION);
	if (h->crc != ct_crc32c(0, h, offsetof(struct ct_segment_header, crc)))
		return ct_fail(err, CT_EXIT_FAILED, "%s: the segment's header is damaged (wrong CRC)", seg->name);
	if (h->event_version < CT_EVENT_OLDEST || h->event_version > CT_EVENT_VERSION)
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s: event version %u; this ctbpf reads versions %u to %u: use the one that recorded "
			       "it",
			       seg->name, h->event_version, CT_EVENT_OLDEST, CT_EVENT_VERSION);
	if (h->flags)
		return ct_fail(err, CT_EXIT_FAILED, "%s: unknown segment flags 0x%x; this ctbpf knows none", seg->name,
			       h->flags);
	return 0;
}

/* What must hold for every block, whether an index or its own header tells. */
static bool plausible(const struct ct_index_entry *e, ct_u64 prev_last)
{
	return e->raw >= sizeof(struct ct_event) && e->raw <= CT_BLOCK_RAW_MAX && e->events >= 1 &&
	       e->events <= e->raw / sizeof(struct ct_event) && e->first_seq > prev_last &&
	       e->last_seq >= e->first_seq && e->last_seq - e->first_seq >= e->events - 1 && e->first_ns <= e->last_ns;
}

static bool index_valid(const struct ct_segment_footer *f, const struct ct_index_entry *index)
{
	ct_u64 end = sizeof(struct ct_segment_header), last = 0, events = 0;

	for (ct_u32 i = 0; i < f->blocks; i++) {
		const struct ct_index_entry *e = &index[i];

		if (e->offset % 8 || e->offset < end || e->offset > f->index_offset ||
		    f->index_offset - e->offset < sizeof(struct ct_block_header) || !plausible(e, last))
			return false;
		end = e->offset + sizeof(struct ct_block_header);
		last = e->last_seq;
		events += e->events;
	}
	return events == f->events;
}

/* 1: the footer is good and the index is taken from it. 0: there is none. -1: refused. */
static int read_footer(struct ct_segment *seg, struct ct_error *err)
{
	struct ct_segment_footer f;
	size_t len;

	if (seg->size < sizeof(seg->header) + sizeof(f) ||
	    ct_pread_full(seg->fd, &f, sizeof(f), seg->size - sizeof(f)) != (ssize_t)sizeof(f))
		return 0;
	if (f.magic != CT_FOOTER_MAGIC || f.crc != ct_crc32c(0, &f, offsetof(struct ct_segment_footer, crc)))
		return 0;
	if (f.flags & ~(ct_u32)CT_SEGF_BROKEN)
		return ct_fail(err, CT_EXIT_FAILED, "%s: unknown footer flags 0x%x; this ctbpf knows 0x%x", seg->name,
			       f.flags, CT_SEGF_BROKEN);
	len = (size_t)f.blocks * sizeof(*seg->index);
	if (f.blocks > BLOCKS_MAX || f.index_offset < sizeof(seg->header) || f.index_offset > seg->size - sizeof(f) ||
	    seg->size - sizeof(f) - f.index_offset != len)
		return 0;
	seg->index = ct_pread_alloc(seg->fd, len, f.index_offset, seg->name, err);
	if (!seg->index)
		return -1;
	if (f.index_crc != ct_crc32c(0, seg->index, len) || !index_valid(&f, seg->index)) {
		free(seg->index);
		seg->index = NULL;
		return 0;
	}
	seg->blocks = f.blocks;
	seg->blocks_end = f.index_offset;
	seg->broken_from = f.flags & CT_SEGF_BROKEN ? f.broken_from : 0;
	return 1;
}

static bool block_header_valid(const struct ct_block_header *h)
{
	return h->magic == CT_BLOCK_MAGIC &&
	       h->header_crc == ct_crc32c(0, h, offsetof(struct ct_block_header, header_crc));
}

/* Without a footer: block after block, to the first that is not complete. */
static int scan_blocks(struct ct_segment *seg, struct ct_error *err)
{
	ct_u64 pos = sizeof(seg->header), last = 0;
	size_t room = 0;

	seg->recovered = true;
	seg->blocks_end = seg->size;
	while (seg->blocks < BLOCKS_MAX && pos <= seg->size && seg->size - pos >= sizeof(struct ct_block_header)) {
		struct ct_block_header h;
		struct ct_index_entry e;

		if (ct_pread_full(seg->fd, &h, sizeof(h), pos) != (ssize_t)sizeof(h) || !block_header_valid(&h) ||
		    h.stored == 0 || h.stored > seg->size - pos - sizeof(h))
			break;
		e = (struct ct_index_entry){
			.offset = pos,
			.first_seq = h.first_seq,
			.last_seq = h.last_seq,
			.first_ns = h.first_ns,
			.last_ns = h.last_ns,
			.events = h.events,
			.raw = h.raw,
		};
		if (!plausible(&e, last))
			break;
		if (seg->blocks == room) {
			struct ct_index_entry *grown;

			room = room ? room * 2 : 64;
			grown = realloc(seg->index, room * sizeof(*grown));
			if (!grown)
				return ct_fail(err, CT_EXIT_FAILED, "%s: no memory for an index of %zu blocks",
					       seg->name, room);
			seg->index = grown;
		}
		seg->index[seg->blocks++] = e;
		last = e.last_seq;
		pos += sizeof(h) + align8(h.stored);
	}
	return 0;
}

struct ct_segment *ct_segment_open(int fd, const char *name, struct ct_error *err)
{
	struct ct_segment *seg = calloc(1, sizeof(*seg));
	struct stat st;
	int footer;

	if (!seg || !(seg->name = strdup(name))) {
		ct_fail(err, CT_EXIT_FAILED, "%s: no memory", name);
		free(seg);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	seg->fd = fd;
	seg->dirfd = -1;
	if (fstat(fd, &st) < 0) {
		ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot stat", name);
		goto fail;
	}
	if (!S_ISREG(st.st_mode)) {
		ct_fail(err, CT_EXIT_FAILED, "%s: not a regular file, so not a segment", name);
		goto fail;
	}
	seg->size = (ct_u64)st.st_size;
	seg->dev = st.st_dev;
	seg->ino = st.st_ino;
	if (read_header(seg, err) < 0)
		goto fail;
	footer = read_footer(seg, err);
	if (footer < 0 || (footer == 0 && scan_blocks(seg, err) < 0))
		goto fail;
	return seg;
fail:
	ct_segment_close(seg);
	return NULL;
}

void ct_segment_close(struct ct_segment *seg)
{
	if (!seg)
		return;
	if (seg->fd >= 0)
		close(seg->fd);
	ZSTD_freeDCtx(seg->zstd);
	free(seg->index);
	free(seg->name);
	free(seg);
}

const struct ct_segment_header *ct_segment_header(const struct ct_segment *seg)
{
	return &seg->header;
}

const struct ct_index_entry *ct_segment_index(const struct ct_segment *seg, ct_u32 *blocks)
{
	*blocks = seg->blocks;
	return seg->index;
}

int ct_segment_recovered(const struct ct_segment *seg)
{
	return seg->recovered;
}

ct_u64 ct_segment_broken_from(const struct ct_segment *seg)
{
	return seg->broken_from;
}

const char *ct_segment_name(const struct ct_segment *seg)
{
	return seg->name;
}

ct_u64 ct_segment_bytes(const struct ct_segment *seg)
{
	return seg->size;
}

void ct_segment_park(struct ct_segment *seg, int dirfd)
{
	close(seg->fd);
	seg->fd = -1;
	seg->dirfd = dirfd;
}

static int reopen(const struct ct_segment *seg, struct ct_error *err)
{
	const char *slash = strrchr(seg->name, '/');
	struct stat st;
	int fd = ct_regular_openat(seg->dirfd, slash ? slash + 1 : seg->name, &st);

	if (fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot open again", seg->name);
	if (st.st_dev == seg->dev && st.st_ino == seg->ino)
		return fd;
	close(fd);
	return ct_fail(err, CT_EXIT_FAILED, "%s: was replaced while the recording was open; open it again", seg->name);
}

/* The bytes behind a block up to a multiple of 8 are in no checksum, but zero. The end of a cut off file may lack them.
 */
static bool padding_is_zero(const struct ct_segment *seg, int fd, ct_u64 end)
{
	ct_u64 pad = -end & 7;
	ct_u8 byte[8];

	if (end + pad > seg->blocks_end)
		return true;
	if (ct_pread_full(fd, byte, pad, end) != (ssize_t)pad)
		return false;
	for (ct_u64 i = 0; i < pad; i++)
		if (byte[i])
			return false;
	return true;
}

static int read_stored(const struct ct_segment *seg, int fd, ct_u32 i, struct ct_block_header *h, ct_u8 **stored,
		       struct ct_error *err)
{
	const struct ct_index_entry *e = &seg->index[i];

	*stored = NULL;
	if (ct_pread_full(fd, h, sizeof(*h), e->offset) != (ssize_t)sizeof(*h) || !block_header_valid(h))
		return ct_fail(err, CT_EXIT_FAILED, "its header is damaged");
	if (h->first_seq != e->first_seq || h->last_seq != e->last_seq || h->first_ns != e->first_ns ||
	    h->last_ns != e->last_ns || h->events != e->events || h->raw != e->raw)
		return ct_fail(err, CT_EXIT_FAILED, "its header and the segment's index disagree");
	if (h->flags)
		return ct_fail(err, CT_EXIT_FAILED, "unknown block flags 0x%x; this ctbpf knows none", h->flags);
	if (h->codec != CT_CODEC_NONE && h->codec != CT_CODEC_ZSTD)
		return ct_fail(err, CT_EXIT_FAILED, "unknown codec %u; this ctbpf knows %d (none) and %d (zstd)",
			       h->codec, CT_CODEC_NONE, CT_CODEC_ZSTD);
	if (h->stored == 0 || h->stored > seg->blocks_end - e->offset - sizeof(*h) ||
	    h->stored > ZSTD_compressBound(h->raw) || (h->codec == CT_CODEC_NONE && h->stored != h->raw))
		return ct_fail(err, CT_EXIT_FAILED, "impossible stored size %u for %u bytes of records", h->stored,
			       h->raw);
	*stored = ct_pread_alloc(fd, h->stored, e->offset + sizeof(*h), "its data", err);
	if (!*stored)
		return -1;
	if (ct_crc32c(0, *stored, h->stored) != h->crc)
		ct_fail(err, CT_EXIT_FAILED, "its data is damaged (wrong CRC)");
	else if (!padding_is_zero(seg, fd, e->offset + sizeof(*h) + h->stored))
		ct_fail(err, CT_EXIT_FAILED, "the bytes behind it are damaged (not zero)");
	else
		return 0;
	free(*stored);
	*stored = NULL;
	return -1;
}

/* Turns `stored` into `raw` bytes of records; consumes stored. */
static ct_u8 *unpack(struct ct_segment *seg, const struct ct_block_header *h, ct_u8 *stored, struct ct_error *err)
{
	ct_u8 *data;
	size_t n;

	if (h->codec == CT_CODEC_NONE)
		return stored;
	data = malloc(h->raw);
	if (!seg->zstd)
		seg->zstd = ZSTD_createDCtx();
	if (!data || !seg->zstd) {
		ct_fail(err, CT_EXIT_FAILED, "no memory to decompress it");
		goto fail;
	}
	n = ZSTD_decompressDCtx(seg->zstd, data, h->raw, stored, h->stored);
	if (ZSTD_isError(n)) {
		ct_fail(err, CT_EXIT_FAILED, "cannot decompress it: %s", ZSTD_getErrorName(n));
		goto fail;
	}
	if (n != h->raw) {
		ct_fail(err, CT_EXIT_FAILED, "decompresses to %zu bytes instead of %u", n, h->raw);
		goto fail;
	}
	free(stored);
	return data;
fail:
	free(stored);
	free(data);
	return NULL;
}

static int check_records(const struct ct_block_header *h, const ct_u8 *data, struct ct_error *err)
{
	ct_u64 last = h->first_seq - 1; /* plausible(): first_seq is not 0 */
	ct_u32 events = 0;

	for (size_t pos = 0; pos < h->raw;) {
		const struct ct_event *ev = (const void *)(data + pos);
		size_t stride;

		if (ct_event_check(ev, h->raw - pos, err) < 0)
			return ct_fail_prefix(err, "the record at byte %zu", pos);
		stride = ct_event_stride(ev);
		if (stride > h->raw - pos)
			return ct_fail(err, CT_EXIT_FAILED, "the record at byte %zu lacks its padding", pos);
		if (ev->seq <= last || ev->seq > h->last_seq || (events == 0 && ev->seq != h->first_seq))
			return ct_fail(err, CT_EXIT_FAILED, "record number %llu does not belong after %llu",
				       (unsigned long long)ev->seq, (unsigned long long)last);
		if (ev->time_ns < h->first_ns || ev->time_ns > h->last_ns)
			return ct_fail(err, CT_EXIT_FAILED, "record %llu has a time outside the block's",
				       (unsigned long long)ev->seq);
		last = ev->seq;
		events++;
		pos += stride;
	}
	if (events != h->events || last != h->last_seq)
		return ct_fail(err, CT_EXIT_FAILED, "it holds %u records to number %llu instead of %u to %llu", events,
			       (unsigned long long)last, h->events, (unsigned long long)h->last_seq);
	return 0;
}

int ct_segment_block(struct ct_segment *seg, ct_u32 i, void **data, size_t *raw, struct ct_error *err)
{
	struct ct_block_header h;
	ct_u8 *bytes = NULL, *stored;
	int fd, ret;

	*data = NULL;
	*raw = 0;
	if (i >= seg->blocks)
		return ct_fail(err, CT_EXIT_FAILED, "%s: no block %u; it has %u", seg->name, i, seg->blocks);
	fd = seg->fd >= 0 ? seg->fd : reopen(seg, err);
	if (fd < 0)
		return -1;
	ret = read_stored(seg, fd, i, &h, &stored, err);
	if (fd != seg->fd)
		close(fd);
	if (ret == 0) {
		bytes = unpack(seg, &h, stored, err);
		ret = bytes ? check_records(&h, bytes, err) : -1;
	}
	if (ret < 0) {
		free(bytes);
		return ct_fail_prefix(err, "%s: block %u (records %llu to %llu)", seg->name, i,
				      (unsigned long long)seg->index[i].first_seq,
				      (unsigned long long)seg->index[i].last_seq);
	}
	*data = bytes;
	*raw = h.raw;
	return 0;
}
