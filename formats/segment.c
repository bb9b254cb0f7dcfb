/* SPDX-License-Identifier: MIT
 * Segment files, the encoding half: header, compressed blocks, footer.
 *
 * Everything goes to memory; when and how it is written is the caller's business. */
#include "segment.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

static_assert(sizeof(struct ct_segment_header) == 64, "on-disk size");
static_assert(sizeof(struct ct_block_header) == 64, "on-disk size");
static_assert(sizeof(struct ct_index_entry) == 48, "on-disk size");
static_assert(sizeof(struct ct_segment_footer) == 48, "on-disk size");
static_assert(sizeof(struct ct_event) == 32, "on-disk size");

struct ct_encoder {
	ZSTD_CCtx *zstd; /* NULL: CT_CODEC_NONE */
};

void ct_segment_header_init(struct ct_segment_header *h, ct_u32 index, ct_u64 first_seq, ct_u64 start_ns,
			    const ct_u8 uuid[16])
{
	memset(h, 0, sizeof(*h));
	h->magic = CT_SEGMENT_MAGIC;
	h->version = CT_SEGMENT_VERSION;
	h->event_version = CT_EVENT_VERSION;
	h->index = index;
	h->first_seq = first_seq;
	h->start_ns = start_ns;
	memcpy(h->uuid, uuid, sizeof(h->uuid));
	h->crc = ct_crc32c(0, h, offsetof(struct ct_segment_header, crc));
}

size_t ct_block_bound(size_t raw)
{
	return sizeof(struct ct_block_header) + ((ZSTD_compressBound(raw) + 7) & ~(size_t)7);
}

struct ct_encoder *ct_encoder_create(int level)
{
	struct ct_encoder *enc = calloc(1, sizeof(*enc));

	if (!enc || level == 0)
		return enc;
	enc->zstd = ZSTD_createCCtx();
	if (!enc->zstd || ZSTD_isError(ZSTD_CCtx_setParameter(enc->zstd, ZSTD_c_compressionLevel, level))) {
		ct_encoder_destroy(enc);
		return NULL;
	}
	return enc;
}

void ct_encoder_destroy(struct ct_encoder *enc)
{
	if (!enc)
		return;
	ZSTD_freeCCtx(enc->zstd);
	free(enc);
}

/* Collects what the header and the index say about the records. */
static int survey_records(const ct_u8 *data, size_t raw, struct ct_index_entry *entry, struct ct_error *err)
{
	size_t pos = 0;

	if (raw == 0 || raw > CT_BLOCK_RAW_MAX)
		return ct_fail(err, CT_EXIT_FAILED, "a block of %zu bytes of records; it must have 1 to %u", raw,
			       CT_BLOCK_RAW_MAX);
	memset(entry, 0, sizeof(*entry));
	entry->first_ns = UINT64_MAX;
	entry->raw = (ct_u32)raw;
	while (pos < raw) {
		struct ct_event ev;
		size_t stride;

		if (raw - pos < sizeof(ev))
			return ct_fail(err, CT_EXIT_FAILED, "a record is cut off at byte %zu of a block", pos);
		memcpy(&ev, data + pos, sizeof(ev));
		stride = ((size_t)ev.size + CT_EVENT_ALIGN - 1) & ~(size_t)(CT_EVENT_ALIGN - 1);
		if (ev.size < sizeof(ev) || stride > raw - pos)
			return ct_fail(err, CT_EXIT_FAILED,
				       "the record at byte %zu of a block has the impossible size %u", pos, ev.size);
		if (ev.seq <= entry->last_seq)
			return ct_fail(err, CT_EXIT_FAILED,
				       "record %llu follows record %llu in a block; numbers must rise",
				       (unsigned long long)ev.seq, (unsigned long long)entry->last_seq);
		if (entry->events++ == 0)
			entry->first_seq = ev.seq;
		entry->last_seq = ev.seq;
		if (ev.time_ns < entry->first_ns)
			entry->first_ns = ev.time_ns;
		if (ev.time_ns > entry->last_ns)
			entry->last_ns = ev.time_ns;
		pos += stride;
	}
	return 0;
}

ssize_t ct_block_encode(struct ct_encoder *enc, const void *data, size_t raw, void *out, struct ct_index_entry *entry,
			struct ct_error *err)
{
	struct ct_block_header h = {.magic = CT_BLOCK_MAGIC, .codec = CT_CODEC_NONE};
	ct_u8 *body = (ct_u8 *)out + sizeof(h);
	size_t stored = raw, padded;

	if (survey_records(data, raw, entry, err) < 0)
		return -1;
	if (enc->zstd) {
		size_t n = ZSTD_compress2(enc->zstd, body, ZSTD_compressBound(raw), data, raw);
		if (ZSTD_isError(n))
			return ct_fail(err, CT_EXIT_FAILED, "cannot compress a block: %s", ZSTD_getErrorName(n));
		if (n < raw) {
			h.codec = CT_CODEC_ZSTD;
			stored = n;
		}
	}
	if (h.codec == CT_CODEC_NONE)
		memcpy(body, data, raw);
	padded = (stored + 7) & ~(size_t)7;
	memset(body + stored, 0, padded - stored);

	h.stored = (ct_u32)stored;
	h.raw = entry->raw;
	h.events = entry->events;
	h.crc = ct_crc32c(0, body, stored);
	h.first_seq = entry->first_seq;
	h.last_seq = entry->last_seq;
	h.first_ns = entry->first_ns;
	h.last_ns = entry->last_ns;
	h.header_crc = ct_crc32c(0, &h, offsetof(struct ct_block_header, header_crc));
	memcpy(out, &h, sizeof(h));
	return (ssize_t)(sizeof(h) + padded);
}

size_t ct_footer_size(ct_u32 blocks)
{
	return (size_t)blocks * sizeof(struct ct_index_entry) + sizeof(struct ct_segment_footer);
}

void ct_footer_encode(const struct ct_index_entry *entries, ct_u32 blocks, ct_u64 index_offset, ct_u64 broken_from,
		      void *out)
{
	struct ct_segment_footer f = {
		.magic = CT_FOOTER_MAGIC,
		.index_offset = index_offset,
		.blocks = blocks,
		.flags = broken_from ? CT_SEGF_BROKEN : 0,
		.broken_from = broken_from,
	};
	size_t len = (size_t)blocks * sizeof(*entries);

	for (ct_u32 i = 0; i < blocks; i++)
		f.events += entries[i].events;
	f.index_crc = ct_crc32c(0, entries, len);
	f.crc = ct_crc32c(0, &f, offsetof(struct ct_segment_footer, crc));
	if (len)
		memcpy(out, entries, len);
	memcpy((ct_u8 *)out + len, &f, sizeof(f));
}
