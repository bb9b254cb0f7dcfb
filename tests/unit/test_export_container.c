/* SPDX-License-Identifier: MIT
 * CodeTracer's container: streams side by side, with more blocks than one mapping block can name.
 *
 * Read back by following the numbers of the blocks, as the format says. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "formats/export/container.h"
#include "tests/unit/recording_helpers.h"

#define LINKS 511 /* blocks that a mapping block names */

static ct_u64 number(const ct_u8 *file, ct_u64 block, ct_u64 i)
{
	ct_u64 v;

	memcpy(&v, file + block * CN_BLOCK + 8 * i, sizeof(v));
	return v;
}

/* Where data block `index` of a stream is. */
static ct_u64 find_block(const ct_u8 *file, ct_u64 map, ct_u64 index)
{
	ct_u64 span = LINKS;
	unsigned level = 1;

	for (; index >= span; span *= LINKS, level++) {
		index -= span;
		map = number(file, map, LINKS);
	}
	for (; level > 1; level--) {
		span /= LINKS;
		map = number(file, map, index / span);
		index %= span;
	}
	return number(file, map, index);
}

static ct_u8 byte_of(unsigned stream, ct_u64 at)
{
	return (ct_u8)((at * 2654435761u >> 7) + stream);
}

static void fill(struct container *cn, unsigned stream, ct_u64 size, ct_u64 from)
{
	static ct_u8 piece[5000];

	for (ct_u64 done = 0; done < size;) {
		size_t n = size - done < sizeof(piece) ? (size_t)(size - done) : sizeof(piece);

		for (size_t i = 0; i < n; i++)
			piece[i] = byte_of(stream, from + done + i);
		cn_put(cn, stream, piece, n);
		done += n;
	}
}

Test(export_container, streams_of_many_blocks)
{
	/* One block short of the second level, the first of it, into the second mapping block below it, and none. */
	static const ct_u64 sizes[] = {(ct_u64)LINKS * CN_BLOCK, (ct_u64)LINKS * CN_BLOCK + 1,
				       (ct_u64)(2 * LINKS + 3) * CN_BLOCK + 77, 0, 1};
	enum { N = sizeof(sizes) / sizeof(sizes[0]) };
	int fd = memory_file("", 0);
	struct ct_error err = {0};
	struct container cn;
	struct stat st;
	ct_u8 *file;

	cr_assert(cn_open(&cn, fd));
	for (unsigned i = 0; i < N; i++)
		cr_assert(eq(u32, cn_stream(&cn, (const char *[]){"a", "b.dat", "0-/z", "empty", "one"}[i]), i));
	for (unsigned part = 0; part < 4; part++)
		for (unsigned i = 0; i < N; i++)
			fill(&cn, i, sizes[i] * (part + 1) / 4 - sizes[i] * part / 4, sizes[i] * part / 4);
	cr_assert(cn_finish(&cn, 4, true, &err) == 0, "%s", err.msg);

	cr_assert(fstat(fd, &st) == 0 && st.st_size % CN_BLOCK == 0);
	file = malloc((size_t)st.st_size);
	must(file && pread(fd, file, (size_t)st.st_size, 0) == st.st_size, "pread");
	cr_assert(memcmp(file, "\xc0\xde\x72\xac\xe2\x04\0\0\0\x10\0\0\x1f\0\0\0", 16) == 0);
	for (unsigned i = 0; i < N; i++) {
		ct_u64 entry[3];

		memcpy(entry, file + 16 + 24 * i, sizeof(entry));
		cr_assert(eq(u64, entry[0], sizes[i]));
		for (ct_u64 at = 0; at < sizes[i]; at++) {
			ct_u64 block = find_block(file, entry[1], at / CN_BLOCK);

			if (file[block * CN_BLOCK + at % CN_BLOCK] != byte_of(i, at))
				cr_assert(false, "stream %u, byte %llu", i, (unsigned long long)at);
		}
	}
	/* 'a' is letter 11 of base 40. */
	cr_assert(number(file, 0, 2 + 2) == 11);
	free(file);
	close(fd);
}

Test(export_container, a_full_disk)
{
	struct ct_error err = {0};
	struct container cn;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	cr_assert(cn_open(&cn, fd));
	fill(&cn, cn_stream(&cn, "a"), 100000, 0);
	cr_assert(cn_finish(&cn, 4, true, &err) == -1);
	cr_assert(strstr(err.msg, "trace.ct") != NULL, "%s", err.msg);
	close(fd);
}

Test(export_container, chunks_begin_where_the_index_says)
{
	int fd = memory_file("", 0);
	struct ct_error err = {0};
	struct container cn;
	struct cn_table t;
	ct_u8 raw[64], *file;
	ct_u32 per_chunk;
	ct_u64 first, second;
	struct stat st;

	cr_assert(cn_open(&cn, fd) && cn_table_open(&t, &cn, "t", 2, true));
	for (unsigned i = 0; i < 3; i++)
		cn_record(&t, "abc", i + 1);
	cn_table_close(&t);
	cr_assert(cn_finish(&cn, 4, true, &err) == 0, "%s", err.msg);
	fstat(fd, &st);
	file = malloc((size_t)st.st_size);
	must(file && pread(fd, file, (size_t)st.st_size, 0) == st.st_size, "pread");
	const ct_u8 *dat = file + find_block(file, number(file, 0, 2 + 1), 0) * CN_BLOCK;
	const ct_u8 *idx = file + find_block(file, number(file, 0, 5 + 1), 0) * CN_BLOCK;
	memcpy(&per_chunk, idx, 4);
	memcpy(&first, idx + 4, 8);
	memcpy(&second, idx + 12, 8);
	cr_assert(per_chunk == 2 && first == 0 && second > 0);
	cr_assert(ZSTD_getFrameContentSize(dat, 100) == 5);
	cr_assert(ZSTD_decompress(raw, sizeof(raw), dat, second) == 5 && memcmp(raw, "\1a\2ab", 5) == 0);
	cr_assert(ZSTD_decompress(raw, sizeof(raw), dat + second, number(file, 0, 2) - second) == 4 &&
		  memcmp(raw, "\3abc", 4) == 0);
	free(file);
	close(fd);
}
