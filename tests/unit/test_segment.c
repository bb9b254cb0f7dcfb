/* SPDX-License-Identifier: MIT
 * Segments: what was encoded comes back, and nothing else does.
 *
 * Truncation at every byte, flipped bits, other versions, impossible numbers. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <errno.h>

#include "tests/unit/recording_helpers.h"

static struct ct_segment *open_bytes(const struct bytes *b, struct ct_error *err)
{
	return ct_segment_open(memory_file(b->data, b->len), "000001.ctseg", err);
}

/* Reads every block; returns how many can be read, and the numbers seen in *events. */
static ct_u32 read_blocks(struct ct_segment *seg, ct_u64 *events)
{
	ct_u32 blocks, good = 0;

	ct_segment_index(seg, &blocks);
	*events = 0;
	for (ct_u32 i = 0; i < blocks; i++) {
		struct ct_error err;
		size_t raw;
		void *data;

		if (ct_segment_block(seg, i, &data, &raw, &err) < 0)
			continue;
		good++;
		for (size_t pos = 0; pos < raw; pos += ct_event_stride((struct ct_event *)((ct_u8 *)data + pos)))
			(*events)++;
		free(data);
	}
	return good;
}

/* Makes the header's CRC right again after a change. */
static void fix_header(struct bytes *b)
{
	struct ct_segment_header *h = (void *)b->data;

	h->crc = ct_crc32c(0, h, offsetof(struct ct_segment_header, crc));
}

static void fix_block_header(ct_u8 *at)
{
	struct ct_block_header *h = (void *)at;

	h->header_crc = ct_crc32c(0, h, offsetof(struct ct_block_header, header_crc));
}

Test(segment, magic_numbers_read_as_text)
{
	struct segment_maker m;

	segment_of_notes(&m, 1, 1, 0);
	cr_assert(memcmp(m.file.data, "CTBPFSEG", 8) == 0);
	cr_assert(memcmp(m.file.data + 64, "TBLK", 4) == 0);
	cr_assert(memcmp(m.file.data + m.file.len - 48, "CTBPFEND", 8) == 0);
	free(m.file.data);
}

Test(segment, crc32c_known_answer)
{
	cr_assert(eq(u32, ct_crc32c(0, "123456789", 9), 0xe3069283));
	cr_assert(eq(u32, ct_crc32c(0, "", 0), 0));
}

Test(segment, crc32c_goes_on_from_an_earlier_one)
{
	cr_assert(eq(u32, ct_crc32c(ct_crc32c(0, "1234", 4), "56789", 5), 0xe3069283));
}

Test(segment, crc32c_portable_is_the_same)
{
	ct_u8 data[257];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (ct_u8)(i * 37 + 11);
	for (unsigned len = 0; len <= sizeof(data); len++)
		cr_assert(eq(u32, ct_crc32c(7, data, len), ct_crc32c_portable(7, data, len)));
}

static void check_round_trip(int level)
{
	struct segment_maker m;
	struct ct_error err = {0};
	struct ct_segment *seg;
	const struct ct_index_entry *index;
	ct_u64 seq = 1;
	ct_u32 blocks;

	segment_of_notes(&m, 5, 40, level);
	seg = open_bytes(&m.file, &err);
	cr_assert(seg != NULL, "%s", err.msg);
	cr_assert(not(ct_segment_recovered(seg)));
	index = ct_segment_index(seg, &blocks);
	cr_assert(eq(u32, blocks, 5));
	for (ct_u32 i = 0; i < blocks; i++) {
		size_t raw, pos = 0;
		void *data;

		cr_assert(memcmp(&index[i], &m.entries[i], sizeof(*index)) == 0);
		cr_assert(ct_segment_block(seg, i, &data, &raw, &err) == 0, "%s", err.msg);
		while (pos < raw) {
			const struct ct_event *ev = (void *)((ct_u8 *)data + pos);
			char want[64];
			size_t len;
			const char *text = ct_event_text(ev, &len);

			snprintf(want, sizeof(want), "note number %llu", (unsigned long long)seq);
			cr_assert(eq(u64, ev->seq, seq));
			cr_assert(len == strlen(want) && memcmp(text, want, len) == 0);
			seq++;
			pos += ct_event_stride(ev);
		}
		free(data);
	}
	cr_assert(eq(u64, seq, 201));
	ct_segment_close(seg);
	free(m.file.data);
}

Test(segment, round_trip_uncompressed)
{
	check_round_trip(0);
}

Test(segment, round_trip_zstd)
{
	check_round_trip(3);
}

Test(segment, round_trip_zstd_fast)
{
	check_round_trip(-5);
}

Test(segment, compression_makes_it_smaller)
{
	struct segment_maker plain, packed;

	segment_of_notes(&plain, 1, 1000, 0);
	segment_of_notes(&packed, 1, 1000, 1);
	cr_assert(lt(sz, packed.file.len, plain.file.len / 4));
	free(plain.file.data);
	free(packed.file.data);
}

Test(segment, header_comes_back)
{
	struct segment_maker m;
	struct ct_segment *seg;
	const struct ct_segment_header *h;

	segment_start(&m, 7, 4711, test_uuid, 0);
	segment_end(&m, 0);
	seg = open_bytes(&m.file, NULL);
	cr_assert(seg != NULL);
	h = ct_segment_header(seg);
	cr_assert(eq(u32, h->index, 7));
	cr_assert(eq(u64, h->first_seq, 4711));
	cr_assert(memcmp(h->uuid, test_uuid, 16) == 0);
	ct_segment_close(seg);
	free(m.file.data);
}

Test(segment, broken_from_comes_back)
{
	struct segment_maker m;
	struct ct_segment *seg;

	segment_start(&m, 1, 1, test_uuid, 0);
	segment_end(&m, 42);
	seg = open_bytes(&m.file, NULL);
	cr_assert(eq(u64, ct_segment_broken_from(seg), 42));
	ct_segment_close(seg);
	free(m.file.data);
}

Test(segment, block_of_largest_size)
{
	struct segment_maker m;
	struct bytes records = {0};
	char *text = malloc(CT_EVENT_MAX);
	struct ct_segment *seg;
	struct ct_error err = {0};
	ct_u64 events;

	memset(text, 'x', CT_EVENT_MAX);
	text[CT_EVENT_MAX - sizeof(struct ct_event) - sizeof(struct ct_ev_text)] = 0;
	segment_start(&m, 1, 1, test_uuid, 1);
	add_text(&records, CT_EV_NOTE, 1, 1, text);
	add_text(&records, CT_EV_NOTE, 2, 2, text);
	cr_assert(eq(sz, records.len, CT_BLOCK_RAW_MAX));
	segment_block(&m, &records);
	segment_end(&m, 0);
	seg = open_bytes(&m.file, &err);
	cr_assert(eq(u32, read_blocks(seg, &events), 1));
	cr_assert(eq(u64, events, 2));
	ct_segment_close(seg);
	free(m.file.data);
	free(text);
}

/* Encoding refuses what reading would. */
static void check_encode_refuses(const struct bytes *records)
{
	struct ct_encoder *enc = ct_encoder_create(0);
	void *out = malloc(ct_block_bound(records->len));
	struct ct_index_entry e;
	struct ct_error err = {0};

	cr_assert(ct_block_encode(enc, records->data, records->len, out, &e, &err) == -1);
	cr_assert(ne(chr, err.msg[0], 0));
	free(out);
	ct_encoder_destroy(enc);
}

Test(segment, encode_refuses_falling_numbers)
{
	struct bytes records = {0};

	add_note(&records, 2, 1);
	add_note(&records, 1, 2);
	check_encode_refuses(&records);
	free(records.data);
}

Test(segment, encode_refuses_a_cut_off_record)
{
	struct bytes records = {0};

	add_note(&records, 1, 1);
	records.len -= 8;
	check_encode_refuses(&records);
	free(records.data);
}

Test(segment, encode_refuses_nothing)
{
	struct bytes records = {0};

	check_encode_refuses(&records);
}

/* How many blocks end, stored bytes fully there, within the first `len` bytes. */
static ct_u32 complete_blocks(const struct segment_maker *m, size_t len)
{
	ct_u32 n = 0;

	for (; n < m->blocks; n++) {
		const struct ct_block_header *h = (const void *)(m->file.data + m->entries[n].offset);

		if (m->entries[n].offset + sizeof(*h) + h->stored > len)
			break;
	}
	return n;
}

static void check_truncation(int level)
{
	struct segment_maker m;

	segment_of_notes(&m, 4, 5, level);
	for (size_t len = 0; len < m.file.len; len++) {
		struct bytes cut = {m.file.data, len};
		struct ct_error err = {0};
		struct ct_segment *seg = open_bytes(&cut, &err);
		ct_u32 want = complete_blocks(&m, len), found;
		ct_u64 events;

		if (len < 64) {
			cr_assert(seg == NULL);
			cr_assert(ne(chr, err.msg[0], 0));
			continue;
		}
		cr_assert(seg != NULL, "at %zu: %s", len, err.msg);
		cr_assert(ct_segment_recovered(seg));
		ct_segment_index(seg, &found);
		cr_assert(eq(u32, found, want), "at %zu", len);
		cr_assert(eq(u32, read_blocks(seg, &events), want), "at %zu", len);
		cr_assert(eq(u64, events, want * 5));
		ct_segment_close(seg);
	}
	free(m.file.data);
}

Test(segment, truncation_anywhere_keeps_complete_blocks)
{
	check_truncation(0);
}

Test(segment, truncation_anywhere_keeps_complete_compressed_blocks)
{
	check_truncation(1);
}

Test(segment, flipped_bit_anywhere_never_passes)
{
	struct segment_maker m;

	segment_of_notes(&m, 3, 3, 1);
	for (size_t at = 0; at < m.file.len; at++) {
		struct ct_error err;
		struct ct_segment *seg;
		ct_u64 events;
		ct_u32 good;

		m.file.data[at] ^= 1 << at % 8;
		seg = open_bytes(&m.file, &err);
		m.file.data[at] ^= 1 << at % 8;
		if (!seg) {
			cr_assert(lt(sz, at, 64), "refused for a bit at %zu: %s", at, err.msg);
			continue;
		}
		/* Two blocks survive a damaged one, be it only the zeroes behind it; all survive a damaged footer. */
		good = read_blocks(seg, &events);
		cr_assert(at >= 64 && (at >= m.file.len - 48 - 3 * 48 || good == 2), "bit at %zu: %u good", at, good);
		if (at >= m.file.len - 48 - 3 * 48)
			cr_assert(good == 3 && ct_segment_recovered(seg), "bit at %zu", at);
		cr_assert(eq(u64, events, good * 3));
		ct_segment_close(seg);
	}
	free(m.file.data);
}

Test(segment, damaged_data_without_footer_loses_only_that_block)
{
	struct segment_maker m;
	struct ct_error err = {0};
	struct ct_segment *seg;
	size_t raw;
	void *data;
	ct_u32 found;

	segment_of_notes(&m, 3, 3, 0);
	m.file.data[m.entries[1].offset + 70] ^= 4;
	m.file.len = m.entries[2].offset + sizeof(struct ct_block_header) + m.entries[2].raw;
	seg = open_bytes(&m.file, &err);
	ct_segment_index(seg, &found);
	cr_assert(eq(u32, found, 3));
	cr_assert(ct_segment_block(seg, 1, &data, &raw, &err) == -1);
	cr_assert(strstr(err.msg, "CRC") != NULL, "%s", err.msg);
	cr_assert(ct_segment_block(seg, 2, &data, &raw, &err) == 0);
	free(data);
	ct_segment_close(seg);
	free(m.file.data);
}

Test(segment, unwritten_tail_of_zeros_ends_the_scan)
{
	struct segment_maker m;
	struct ct_segment *seg;
	ct_u32 found;

	segment_of_notes(&m, 2, 3, 1);
	memset(m.file.data + m.entries[1].offset, 0, m.file.len - m.entries[1].offset);
	seg = open_bytes(&m.file, NULL);
	ct_segment_index(seg, &found);
	cr_assert(eq(u32, found, 1));
	ct_segment_close(seg);
	free(m.file.data);
}

static void check_refused(struct bytes *b, const char *word)
{
	struct ct_error err = {0};

	cr_assert(open_bytes(b, &err) == NULL);
	cr_assert(strstr(err.msg, "000001.ctseg") != NULL, "%s", err.msg);
	cr_assert(strstr(err.msg, word) != NULL, "%s", err.msg);
	free(b->data);
}

Test(segment, unknown_version_is_refused)
{
	struct segment_maker m;

	segment_of_notes(&m, 1, 1, 0);
	((struct ct_segment_header *)m.file.data)->version = 9;
	fix_header(&m.file);
	check_refused(&m.file, "version 9; this ctbpf reads version 1");
}

Test(segment, unknown_event_version_is_refused)
{
	struct segment_maker m;

	segment_of_notes(&m, 1, 1, 0);
	((struct ct_segment_header *)m.file.data)->event_version = 9;
	fix_header(&m.file);
	check_refused(&m.file, "event version 9");
}

Test(segment, unknown_flags_are_refused)
{
	struct segment_maker m;

	segment_of_notes(&m, 1, 1, 0);
	((struct ct_segment_header *)m.file.data)->flags = 0x10;
	fix_header(&m.file);
	check_refused(&m.file, "flags 0x10");
}

Test(segment, unknown_footer_flags_are_refused)
{
	struct segment_maker m;
	struct ct_segment_footer *f;

	segment_of_notes(&m, 1, 1, 0);
	f = (void *)(m.file.data + m.file.len - sizeof(*f));
	f->flags = 0x80;
	f->crc = ct_crc32c(0, f, offsetof(struct ct_segment_footer, crc));
	check_refused(&m.file, "footer flags 0x80");
}

Test(segment, other_file_is_refused)
{
	struct bytes b = {0};

	bytes_add(&b, NULL, 4096);
	check_refused(&b, "not a segment file");
}

Test(segment, directory_is_refused)
{
	struct ct_error err = {0};

	cr_assert(ct_segment_open(open("/", O_RDONLY), "x", &err) == NULL);
	cr_assert(strstr(err.msg, "not a regular file") != NULL, "%s", err.msg);
}

/* A block whose header was changed by `offset` := value, with right CRCs, in a file without footer. */
static void check_block_refused(size_t offset, ct_u32 value, size_t width)
{
	struct segment_maker m;
	struct ct_segment *seg;
	struct ct_error err = {0};
	ct_u64 events;

	segment_of_notes(&m, 1, 3, 1);
	memcpy(m.file.data + m.entries[0].offset + offset, &value, width);
	fix_block_header(m.file.data + m.entries[0].offset);
	m.file.len -= ct_footer_size(1);
	seg = open_bytes(&m.file, &err);
	cr_assert(seg != NULL, "%s", err.msg);
	cr_assert(eq(u32, read_blocks(seg, &events), 0));
	ct_segment_close(seg);
	free(m.file.data);
}

Test(segment, unknown_codec_is_refused)
{
	check_block_refused(offsetof(struct ct_block_header, codec), 7, 2);
}

Test(segment, unknown_block_flags_are_refused)
{
	check_block_refused(offsetof(struct ct_block_header, flags), 1, 2);
}

Test(segment, too_large_raw_size_is_refused)
{
	check_block_refused(offsetof(struct ct_block_header, raw), CT_BLOCK_RAW_MAX + 8, 4);
}

Test(segment, wrong_raw_size_is_refused)
{
	check_block_refused(offsetof(struct ct_block_header, raw), 1024, 4);
}

Test(segment, stored_beyond_the_file_is_refused)
{
	check_block_refused(offsetof(struct ct_block_header, stored), 0x7fffffff, 4);
}

Test(segment, wrong_event_count_is_refused)
{
	check_block_refused(offsetof(struct ct_block_header, events), 2, 4);
}

Test(segment, impossible_block_count_in_the_footer_is_harmless)
{
	struct segment_maker m;
	struct ct_segment_footer *f;
	struct ct_segment *seg;
	ct_u32 found;

	segment_of_notes(&m, 2, 2, 0);
	f = (void *)(m.file.data + m.file.len - sizeof(*f));
	f->blocks = 0xffffffff;
	f->crc = ct_crc32c(0, f, offsetof(struct ct_segment_footer, crc));
	seg = open_bytes(&m.file, NULL);
	cr_assert(ct_segment_recovered(seg));
	ct_segment_index(seg, &found);
	cr_assert(eq(u32, found, 2));
	ct_segment_close(seg);
	free(m.file.data);
}

Test(segment, block_out_of_range_is_an_error)
{
	struct segment_maker m;
	struct ct_segment *seg;
	struct ct_error err = {0};
	size_t raw;
	void *data;

	segment_of_notes(&m, 1, 1, 0);
	seg = open_bytes(&m.file, NULL);
	cr_assert(ct_segment_block(seg, 1, &data, &raw, &err) == -1);
	cr_assert(data == NULL);
	ct_segment_close(seg);
	free(m.file.data);
}

Test(error, errno_text_is_appended)
{
	struct ct_error err;

	errno = ENOENT;
	cr_assert(ct_fail_errno(&err, CT_EXIT_MISSING, "file %s", "x") == -1);
	cr_assert(eq(str, err.msg, "file x: No such file or directory"));
	cr_assert(eq(int, err.status, CT_EXIT_MISSING));
}

Test(error, prefix_goes_before)
{
	struct ct_error err;

	ct_fail(&err, CT_EXIT_FAILED, "inner");
	cr_assert(ct_fail_prefix(&err, "outer %d", 1) == -1);
	cr_assert(eq(str, err.msg, "outer 1: inner"));
}

Test(error, too_long_message_is_cut)
{
	struct ct_error err;
	char text[4000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	ct_fail(&err, CT_EXIT_FAILED, "%s", text);
	ct_fail_prefix(&err, "%s", text);
	cr_assert(eq(sz, strlen(err.msg), sizeof(err.msg) - 1));
}

Test(error, nobody_listening_is_fine)
{
	cr_assert(ct_fail(NULL, CT_EXIT_FAILED, "x") == -1);
	cr_assert(ct_fail_prefix(NULL, "x") == -1);
}
