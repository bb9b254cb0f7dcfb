/* SPDX-License-Identifier: MIT
 * Fuzzing segments: the input is a segment file.
 *
 * Tried as it is, and once more with all checksums made right, so that what lies behind them is reached. */
#include "tests/unit/recording_helpers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fix_checksums(ct_u8 *data, size_t size)
{
	struct ct_segment_header *h = (void *)data;
	struct ct_segment_footer f;
	size_t pos = sizeof(*h);

	if (size < sizeof(*h))
		return;
	h->crc = ct_crc32c(0, h, offsetof(struct ct_segment_header, crc));
	while (pos <= size && size - pos >= sizeof(struct ct_block_header)) {
		struct ct_block_header *b = (void *)(data + pos);

		if (b->magic != CT_BLOCK_MAGIC)
			break;
		if (b->stored <= size - pos - sizeof(*b))
			b->crc = ct_crc32c(0, b + 1, b->stored);
		b->header_crc = ct_crc32c(0, b, offsetof(struct ct_block_header, header_crc));
		pos += sizeof(*b) + (((size_t)b->stored + 7) & ~(size_t)7);
	}
	if (size < sizeof(*h) + sizeof(f))
		return;
	memcpy(&f, data + size - sizeof(f), sizeof(f));
	if (f.index_offset <= size - sizeof(f))
		f.index_crc = ct_crc32c(0, data + f.index_offset, size - sizeof(f) - f.index_offset);
	f.crc = ct_crc32c(0, &f, offsetof(struct ct_segment_footer, crc));
	memcpy(data + size - sizeof(f), &f, sizeof(f));
}

static void read_all(const ct_u8 *data, size_t size)
{
	struct ct_error err;
	struct ct_segment *seg = ct_segment_open(memory_file(data, size), "fuzz", &err);
	ct_u32 blocks;

	if (!seg)
		return;
	ct_segment_index(seg, &blocks);
	for (ct_u32 i = 0; i < blocks && i < 64; i++) {
		size_t raw;
		void *records;

		if (ct_segment_block(seg, i, &records, &raw, &err) == 0)
			free(records);
	}
	ct_segment_close(seg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ct_u8 *copy = malloc(size + 1);

	read_all(data, size);
	memcpy(copy, data, size);
	fix_checksums(copy, size);
	read_all(copy, size);
	free(copy);
	return 0;
}
