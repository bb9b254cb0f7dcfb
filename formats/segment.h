/* SPDX-License-Identifier: MIT
 * Segment files: header, compressed blocks of event records, footer with an index of the blocks.
 *
 * This is encoding and decoding; who writes when is user/pipeline's business. docs/format.md is the spec. */
#ifndef CT_SEGMENT_H
#define CT_SEGMENT_H

#include <stddef.h>
#include <sys/types.h>

#include "error.h"
#include "event.h"

#define CT_SEGMENT_MAGIC   0x4745534650425443ull /* the bytes "CTBPFSEG" */
#define CT_BLOCK_MAGIC     0x4b4c4254u           /* the bytes "TBLK" */
#define CT_FOOTER_MAGIC    0x444e454650425443ull /* the bytes "CTBPFEND" */
#define CT_SEGMENT_VERSION 1
#define CT_BLOCK_RAW_MAX   (8u << 20) /* uncompressed bytes in a block; one record always fits */

enum ct_codec { CT_CODEC_NONE = 0, CT_CODEC_ZSTD = 1 };

struct ct_segment_header { /* 64 bytes at offset 0 */
	ct_u64 magic;
	ct_u16 version;       /* CT_SEGMENT_VERSION */
	ct_u16 event_version; /* CT_EVENT_VERSION */
	ct_u32 flags;         /* 0; a reader refuses any bit it does not know */
	ct_u32 index;         /* of this segment: 1, 2, ... */
	ct_u32 pad;
	ct_u64 first_seq;
	ct_u64 start_ns; /* CLOCK_MONOTONIC */
	ct_u8 uuid[16];  /* the recording's */
	ct_u32 reserved;
	ct_u32 crc; /* CRC32C of the 60 bytes before */
};

struct ct_block_header { /* 64 bytes, then `stored` bytes, then padding to 8 */
	ct_u32 magic;
	ct_u16 codec; /* enum ct_codec */
	ct_u16 flags; /* 0 */
	ct_u32 stored;
	ct_u32 raw;
	ct_u32 events;
	ct_u32 crc; /* CRC32C of the stored bytes */
	ct_u64 first_seq, last_seq;
	ct_u64 first_ns, last_ns;
	ct_u32 reserved;
	ct_u32 header_crc; /* CRC32C of the 60 bytes before */
};

struct ct_index_entry { /* in the footer, one a block */
	ct_u64 offset;  /* of the block header in the file */
	ct_u64 first_seq, last_seq;
	ct_u64 first_ns, last_ns;
	ct_u32 events;
	ct_u32 raw;
};
struct ct_segment_footer { /* the last 48 bytes of a closed segment, after the entries */
	ct_u64 magic;
	ct_u64 index_offset;
	ct_u32 blocks;
	ct_u32 flags;       /* CT_SEGF_* */
	ct_u64 broken_from; /* first lost sequence number, if CT_SEGF_BROKEN */
	ct_u64 events;
	ct_u32 index_crc; /* CRC32C of the entries */
	ct_u32 crc;       /* CRC32C of the 44 bytes before */
};
#define CT_SEGF_BROKEN 0x1

ct_u32 ct_crc32c(ct_u32 crc, const void *data, size_t len);          /* start with 0 */
ct_u32 ct_crc32c_portable(ct_u32 crc, const void *data, size_t len); /* the same without SSE4.2 */

/* ---- Encoding: into memory, so that the caller may write as it likes ---- */

void ct_segment_header_init(struct ct_segment_header *h, ct_u32 index, ct_u64 first_seq, ct_u64 start_ns,
			    const ct_u8 uuid[16]);
/* Room ct_block_encode may need for `raw` bytes of records, header and padding included. */
size_t ct_block_bound(size_t raw);
/* A zstd context for one thread; level 0 means CT_CODEC_NONE. NULL: out of memory. */
struct ct_encoder *ct_encoder_create(int level);
void ct_encoder_destroy(struct ct_encoder *enc);
/* Encodes checked records [data, data+raw) (each padded to 8) as one block at out (>= ct_block_bound(raw) bytes).
 * Fills *entry but for .offset. Returns the bytes used, a multiple of 8, or -1. */
ssize_t ct_block_encode(struct ct_encoder *enc, const void *data, size_t raw, void *out, struct ct_index_entry *entry,
			struct ct_error *err);
/* Bytes of footer for `blocks` entries, and the footer itself (entries first) at out. */
size_t ct_footer_size(ct_u32 blocks);
void ct_footer_encode(const struct ct_index_entry *entries, ct_u32 blocks, ct_u64 index_offset, ct_u64 broken_from,
		      void *out);

/* ---- Reading ---- */

struct ct_segment; /* an open segment; owns its descriptor */
/* Opens and checks header and footer. A file without a valid footer is scanned: every complete block counts,
 * and ct_segment_recovered says so. Takes `fd` over in every case. */
struct ct_segment *ct_segment_open(int fd, const char *name, struct ct_error *err);
void ct_segment_close(struct ct_segment *seg);
const struct ct_segment_header *ct_segment_header(const struct ct_segment *seg);
const struct ct_index_entry *ct_segment_index(const struct ct_segment *seg, ct_u32 *blocks);
int ct_segment_recovered(const struct ct_segment *seg);
ct_u64 ct_segment_broken_from(const struct ct_segment *seg); /* 0: not broken */
/* Decodes block i; checks CRCs and every record (ct_event_check, sequence inside the block's range and rising).
 * *data is malloc'ed and owned by the caller. */
int ct_segment_block(struct ct_segment *seg, ct_u32 i, void **data, size_t *raw, struct ct_error *err);

#endif
