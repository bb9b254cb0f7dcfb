/* SPDX-License-Identifier: MIT
 * Snapshots: every page comes back, pages are stored once, damage is found.
 *
 * Also what happens when the disk is full. test_snapshot_state.c is about the rest of a snapshot. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "formats/snapshot_format.h"
#include "tests/unit/recording_helpers.h"

static char *dir;
static int rec = -1;

static void setup(void)
{
	dir = scratch_dir();
	rec = make_recording(dir, "recording");
}

static void teardown(void)
{
	close(rec);
	scratch_remove(dir);
}

/* A page whose content depends on `n` and does not compress to nothing. */
static void fill_page(ct_u8 *page, ct_u64 n)
{
	ct_u64 x = n * 0x9e3779b97f4a7c15ull + 1;

	for (size_t i = 0; i < CT_PAGE; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(page + i, &x, i % 64 ? 2 : 8);
	}
}

static ct_u8 *make_pages(size_t count, ct_u64 first)
{
	ct_u8 *pages = calloc(count, CT_PAGE);

	for (size_t i = 0; i < count; i++)
		fill_page(pages + i * CT_PAGE, first + i);
	return pages;
}

/* The smallest state: nprocs processes with nothing in them. */
static struct ct_snapshot plain(ct_u32 id, ct_u32 nprocs)
{
	return (struct ct_snapshot){
		.id = id,
		.kind = CT_SNAP_ATTACH,
		.seq = 1,
		.nprocs = nprocs,
		.procs = calloc(nprocs, sizeof(struct ct_snap_proc)),
	};
}

/* Writes snapshot `id` of one process with these pages from 0x10000 on. */
static void write_pages(ct_u32 id, int level, struct ct_page_index *idx, const ct_u8 *pages, size_t count)
{
	struct ct_error err = {0};
	struct ct_snapshot snap = plain(id, 1);
	struct ct_snapshot_writer *w = ct_snapshot_writer_create(rec, id, level, idx, &err);

	cr_assert(w != NULL, "%s", err.msg);
	cr_assert(ct_snapshot_add_pages(w, 0, 0x10000, pages, count, &err) == 0, "%s", err.msg);
	cr_assert(ct_snapshot_writer_finish(w, &snap, &err) == 0, "%s", err.msg);
	ct_snapshot_deinit(&snap);
}

static struct ct_snapshot_reader *open_good(ct_u32 id)
{
	struct ct_error err = {0};
	struct ct_snapshot_reader *r = ct_snapshot_open(rec, id, &err);

	cr_assert(r != NULL, "%s", err.msg);
	return r;
}

static void check_pages(struct ct_snapshot_reader *r, const ct_u8 *pages, size_t count)
{
	struct ct_error err = {0};
	ct_u8 page[CT_PAGE];
	size_t n;
	const struct ct_snap_page *list = ct_snapshot_pages(r, 0, &n);

	cr_assert(eq(sz, n, count));
	for (size_t i = 0; i < n; i++) {
		cr_assert(eq(u64, list[i].addr, 0x10000 + i * CT_PAGE));
		cr_assert(ct_snapshot_read_page(r, 0, i, page, &err) == 0, "%s", err.msg);
		cr_assert(memcmp(page, pages + i * CT_PAGE, CT_PAGE) == 0, "page %zu", i);
	}
}

TestSuite(snapshot, .init = setup, .fini = teardown);

/* ---- Pages ---- */

static void check_page_round_trip(int level)
{
	ct_u8 *pages = make_pages(200, 1);
	struct ct_snapshot_reader *r;

	write_pages(1, level, NULL, pages, 200);
	r = open_good(1);
	check_pages(r, pages, 200);
	ct_snapshot_reader_close(r);
	free(pages);
}

Test(snapshot, pages_come_back_uncompressed)
{
	check_page_round_trip(0);
}

Test(snapshot, pages_come_back_compressed)
{
	check_page_round_trip(3);
}

Test(snapshot, pages_come_back_in_any_order)
{
	ct_u8 *pages = make_pages(1000, 1), page[CT_PAGE];
	struct ct_snapshot_reader *r;
	struct ct_error err = {0};

	write_pages(1, 1, NULL, pages, 1000);
	r = open_good(1);
	for (size_t i = 0, at = 0; i < 3000; i++, at = (at * 7 + 331) % 1000) {
		cr_assert(ct_snapshot_read_page(r, 0, at, page, &err) == 0, "%s", err.msg);
		cr_assert(memcmp(page, pages + at * CT_PAGE, CT_PAGE) == 0);
	}
	ct_snapshot_reader_close(r);
	free(pages);
}

Test(snapshot, two_processes_have_their_own_pages)
{
	ct_u8 *pages = make_pages(20, 1), page[CT_PAGE];
	struct ct_error err = {0};
	struct ct_snapshot snap = plain(1, 2);
	struct ct_snapshot_writer *w = ct_snapshot_writer_create(rec, 1, 1, NULL, &err);
	struct ct_snapshot_reader *r;
	size_t n;

	/* Interleaved, and the second process first. */
	cr_assert(ct_snapshot_add_pages(w, 1, 0x5000, pages, 10, &err) == 0);
	cr_assert(ct_snapshot_add_pages(w, 0, 0x1000, pages + 10 * CT_PAGE, 5, &err) == 0);
	cr_assert(ct_snapshot_add_pages(w, 1, 0x100000, pages + 15 * CT_PAGE, 5, &err) == 0);
	cr_assert(ct_snapshot_writer_finish(w, &snap, &err) == 0, "%s", err.msg);
	r = open_good(1);
	cr_assert(eq(u64, ct_snapshot_pages(r, 0, &n)[4].addr, 0x5000));
	cr_assert(eq(sz, n, 5));
	cr_assert(eq(u64, ct_snapshot_pages(r, 1, &n)[10].addr, 0x100000));
	cr_assert(eq(sz, n, 15));
	cr_assert(ct_snapshot_read_page(r, 1, 14, page, &err) == 0);
	cr_assert(memcmp(page, pages + 19 * CT_PAGE, CT_PAGE) == 0);
	ct_snapshot_reader_close(r);
	ct_snapshot_deinit(&snap);
	free(pages);
}

Test(snapshot, zero_pages_are_noted_and_not_stored)
{
	ct_u8 *pages = calloc(100, CT_PAGE), page[CT_PAGE];
	struct ct_snapshot_stats stats;
	struct ct_snapshot_reader *r;
	size_t n;

	pages[50 * CT_PAGE + 4095] = 1; /* all zero but for the last byte */
	write_pages(1, 0, NULL, pages, 100);
	r = open_good(1);
	ct_snapshot_stats(r, &stats);
	cr_assert(eq(u64, stats.pages, 100));
	cr_assert(eq(u64, stats.zero, 99));
	cr_assert(eq(u64, stats.stored, 1));
	cr_assert(eq(u32, ct_snapshot_pages(r, 0, &n)[0].flags, CT_PAGEF_ZERO));
	memset(page, 1, sizeof(page));
	check_pages(r, pages, 100);
	ct_snapshot_reader_close(r);
	free(pages);
}

Test(snapshot, equal_pages_are_stored_once)
{
	ct_u8 *pages = calloc(100, CT_PAGE);
	struct ct_snapshot_stats stats;
	struct ct_snapshot_reader *r;

	for (int i = 0; i < 100; i++)
		fill_page(pages + i * CT_PAGE, (ct_u64)i % 3);
	write_pages(1, 0, NULL, pages, 100);
	r = open_good(1);
	ct_snapshot_stats(r, &stats);
	cr_assert(eq(u64, stats.stored, 3));
	check_pages(r, pages, 100);
	ct_snapshot_reader_close(r);
	free(pages);
}

Test(snapshot, pages_of_earlier_snapshots_are_not_stored_again)
{
	ct_u8 *pages = make_pages(300, 1);
	struct ct_page_index *idx = ct_page_index_create();
	struct ct_snapshot_stats stats;
	struct ct_snapshot_reader *r;

	write_pages(1, 1, idx, pages, 100);
	write_pages(2, 1, idx, pages, 200);
	write_pages(3, 1, idx, pages, 300);
	r = open_good(3);
	ct_snapshot_stats(r, &stats);
	cr_assert(eq(u64, stats.pages, 300));
	cr_assert(eq(u64, stats.shared, 200));
	cr_assert(eq(u64, stats.stored, 100));
	cr_assert(eq(u32, ct_snapshot_oldest_needed(r), 1));
	check_pages(r, pages, 300);
	ct_snapshot_reader_close(r);
	ct_page_index_destroy(idx);
	free(pages);
}

Test(snapshot, more_earlier_snapshots_than_files_are_kept_open)
{
	ct_u8 *pages = make_pages(100, 1);
	struct ct_page_index *idx = ct_page_index_create();
	struct ct_snapshot_reader *r;

	for (ct_u32 id = 1; id <= 100; id++)
		write_pages(id, 0, idx, pages, id);
	r = open_good(100);
	check_pages(r, pages, 100);
	check_pages(r, pages, 100);
	ct_snapshot_reader_close(r);
	ct_page_index_destroy(idx);
	free(pages);
}

Test(snapshot, forgotten_snapshots_are_not_needed)
{
	ct_u8 *pages = make_pages(10, 1);
	struct ct_page_index *idx = ct_page_index_create();
	struct ct_snapshot_reader *r;

	write_pages(1, 1, idx, pages, 10);
	ct_page_index_forget(idx, 2);
	write_pages(2, 1, idx, pages, 10);
	r = open_good(2);
	cr_assert(eq(u32, ct_snapshot_oldest_needed(r), 2));
	ct_snapshot_reader_close(r);
	ct_page_index_destroy(idx);
	free(pages);
}

/* Snapshot 2 of ten pages: the fifth is new, the others are carried over from snapshot 1. Pages of zeroes, too. */
static struct ct_snapshot_reader *carry_over(struct ct_page_index *idx, ct_u8 *pages, bool forgotten)
{
	struct ct_snapshot_reader *base;
	struct ct_snapshot snap = plain(2, 1);
	struct ct_snapshot_writer *w;
	struct ct_error err = {0};

	memset(pages + 7 * CT_PAGE, 0, CT_PAGE);
	write_pages(1, 1, idx, pages, 10);
	base = open_good(1);
	if (forgotten)
		ct_page_index_forget(idx, 2);
	w = ct_snapshot_writer_create(rec, 2, 1, idx, &err);
	cr_assert(w != NULL, "%s", err.msg);
	fill_page(pages + 4 * CT_PAGE, 1000);
	cr_assert(ct_snapshot_carry_pages(w, 0, base, 0, 0x10000, 0x14000, &err) == 0, "%s", err.msg);
	cr_assert(ct_snapshot_add_pages(w, 0, 0x14000, pages + 4 * CT_PAGE, 1, &err) == 0, "%s", err.msg);
	cr_assert(ct_snapshot_carry_pages(w, 0, base, 0, 0x15000, 0x1a000, &err) == 0, "%s", err.msg);
	cr_assert(ct_snapshot_writer_finish(w, &snap, &err) == 0, "%s", err.msg);
	ct_snapshot_reader_close(base);
	ct_snapshot_deinit(&snap);
	return open_good(2);
}

Test(snapshot, pages_are_carried_over)
{
	for (int forgotten = 0; forgotten < 2; forgotten++) {
		ct_u8 *pages = make_pages(10, 1);
		struct ct_page_index *idx = ct_page_index_create();
		struct ct_snapshot_reader *r = carry_over(idx, pages, forgotten);
		struct ct_snapshot_stats stats;

		check_pages(r, pages, 10);
		ct_snapshot_stats(r, &stats);
		cr_assert(eq(u64, stats.zero, 1));
		cr_assert(eq(u64, stats.stored, forgotten ? 9 : 1));
		cr_assert(eq(u32, ct_snapshot_oldest_needed(r), forgotten ? 2 : 1));
		ct_snapshot_reader_close(r);
		ct_page_index_destroy(idx);
		free(pages);
		teardown();
		setup();
	}
}

Test(snapshot, a_page_that_is_not_there_is_not_carried_over)
{
	ct_u8 *pages = make_pages(10, 1);
	struct ct_page_index *idx = ct_page_index_create();
	struct ct_snapshot_reader *base;
	struct ct_snapshot_writer *w;
	struct ct_error err = {0};

	write_pages(1, 1, idx, pages, 10);
	base = open_good(1);
	w = ct_snapshot_writer_create(rec, 2, 1, idx, &err);
	cr_assert(w != NULL, "%s", err.msg);
	cr_assert(ct_snapshot_carry_pages(w, 0, base, 0, 0x19000, 0x1b000, &err) == -1);
	cr_assert(strstr(err.msg, "1a000") != NULL, "%s", err.msg);
	ct_snapshot_writer_abort(w);
	ct_snapshot_reader_close(base);
	ct_page_index_destroy(idx);
	free(pages);
}

Test(snapshot, aborted_snapshot_leaves_nothing_behind)
{
	ct_u8 *pages = make_pages(200, 1);
	struct ct_page_index *idx = ct_page_index_create();
	struct ct_error err = {0};
	struct ct_snapshot_writer *w = ct_snapshot_writer_create(rec, 1, 1, idx, &err);
	struct ct_snapshot_reader *r;
	struct ct_snapshot_stats stats;

	cr_assert(ct_snapshot_add_pages(w, 0, 0x1000, pages, 200, &err) == 0);
	ct_snapshot_writer_abort(w);
	cr_assert(rmdir(below(dir, "rec.ctr/snapshots")) == 0, "not empty");
	cr_assert(mkdir(below(dir, "rec.ctr/snapshots"), 0700) == 0);
	/* And the index does not point to it. */
	write_pages(2, 1, idx, pages, 200);
	r = open_good(2);
	ct_snapshot_stats(r, &stats);
	cr_assert(eq(u64, stats.stored, 200));
	ct_snapshot_reader_close(r);
	ct_page_index_destroy(idx);
	free(pages);
}

Test(snapshot, leftover_of_a_dead_writer_is_replaced)
{
	ct_u8 *pages = make_pages(1, 1);

	cr_assert(mkdir(below(dir, "rec.ctr/snapshots/000001.tmp"), 0700) == 0);
	put_file(below(dir, "rec.ctr/snapshots/000001.tmp/pages"), "x", 1);
	write_pages(1, 1, NULL, pages, 1);
	ct_snapshot_reader_close(open_good(1));
	free(pages);
}

Test(snapshot, existing_snapshot_is_not_overwritten)
{
	ct_u8 *pages = make_pages(1, 1);
	struct ct_error err = {0};

	write_pages(1, 1, NULL, pages, 1);
	cr_assert(ct_snapshot_writer_create(rec, 1, 1, NULL, &err) == NULL);
	cr_assert(strstr(err.msg, "exists") != NULL, "%s", err.msg);
	free(pages);
}

Test(snapshot, falling_addresses_are_refused)
{
	ct_u8 *pages = make_pages(2, 1);
	struct ct_error err = {0};
	struct ct_snapshot_writer *w = ct_snapshot_writer_create(rec, 1, 1, NULL, &err);

	cr_assert(ct_snapshot_add_pages(w, 0, 0x2000, pages, 2, &err) == 0);
	cr_assert(ct_snapshot_add_pages(w, 0, 0x3000, pages, 1, &err) == -1);
	ct_snapshot_writer_abort(w);
	free(pages);
}

Test(snapshot, files_are_private)
{
	ct_u8 *pages = make_pages(1, 1);
	struct stat st;

	write_pages(1, 1, NULL, pages, 1);
	stat(below(dir, "rec.ctr/snapshots/000001"), &st);
	cr_assert(eq(u32, st.st_mode & 0777, 0700));
	stat(below(dir, "rec.ctr/snapshots/000001/pages"), &st);
	cr_assert(eq(u32, st.st_mode & 0777, 0600));
	stat(below(dir, "rec.ctr/snapshots/000001/state"), &st);
	cr_assert(eq(u32, st.st_mode & 0777, 0600));
	free(pages);
}

/* ---- Damage ---- */

/* Flips a bit of a file of snapshot 1. */
static void damage(const char *part, size_t at)
{
	char name[64];
	size_t len;
	ct_u8 *data;

	snprintf(name, sizeof(name), "rec.ctr/snapshots/000001/%s", part);
	data = get_file(below(dir, name), &len);
	cr_assert(lt(sz, at, len));
	data[at] ^= 1;
	put_file(below(dir, name), data, len);
	free(data);
}

Test(snapshot, damaged_page_is_found)
{
	ct_u8 *pages = make_pages(10, 1), page[CT_PAGE];
	struct ct_snapshot_reader *r;
	struct ct_error err = {0};

	write_pages(1, 0, NULL, pages, 10);
	damage("pages", 64 + 3 * CT_PAGE);
	r = open_good(1);
	cr_assert(ct_snapshot_read_page(r, 0, 3, page, &err) == -1);
	cr_assert(strstr(err.msg, "snapshots/000001/pages") != NULL, "%s", err.msg);
	ct_snapshot_reader_close(r);
	free(pages);
}

Test(snapshot, page_with_the_wrong_hash_is_found)
{
	ct_u8 *pages = make_pages(10, 1), page[CT_PAGE], *data;
	const char *path = below(dir, "rec.ctr/snapshots/000001/pages");
	struct snap_pages_header *h;
	struct snap_block *b;
	struct ct_snapshot_reader *r;
	struct ct_error err = {0};
	size_t len;

	/* Changed content with CRCs that were made to fit. */
	write_pages(1, 0, NULL, pages, 10);
	data = get_file(path, &len);
	h = (void *)data;
	b = (void *)(data + h->index_offset);
	data[b->offset + 3 * CT_PAGE] ^= 1;
	b->crc = ct_crc32c(0, data + b->offset, b->stored);
	h->blocks_crc = ct_crc32c(0, b, sizeof(*b));
	h->crc = ct_crc32c(0, h, offsetof(struct snap_pages_header, crc));
	put_file(path, data, len);
	r = open_good(1);
	cr_assert(ct_snapshot_read_page(r, 0, 2, page, &err) == 0);
	cr_assert(ct_snapshot_read_page(r, 0, 3, page, &err) == -1);
	cr_assert(strstr(err.msg, "hash") != NULL, "%s", err.msg);
	ct_snapshot_reader_close(r);
	free(data);
	free(pages);
}

Test(snapshot, flipped_bit_in_the_state_is_refused_anywhere)
{
	ct_u8 *pages = make_pages(1, 1);
	struct ct_error err = {0};
	size_t len;
	ct_u8 *data;

	write_pages(1, 1, NULL, pages, 1);
	data = get_file(below(dir, "rec.ctr/snapshots/000001/state"), &len);
	free(data);
	for (size_t at = 0; at < len; at += 7) {
		damage("state", at);
		cr_assert(ct_snapshot_open(rec, 1, &err) == NULL, "bit at %zu", at);
		damage("state", at);
	}
	ct_snapshot_reader_close(open_good(1));
	free(pages);
}

Test(snapshot, flipped_bit_in_the_page_tables_is_refused_anywhere)
{
	ct_u8 *pages = make_pages(3, 1);
	struct ct_error err = {0};
	size_t len;

	write_pages(1, 0, NULL, pages, 3);
	free(get_file(below(dir, "rec.ctr/snapshots/000001/pages"), &len));
	for (size_t at = 0; at < len; at = at == 63 ? 64 + 3 * CT_PAGE : at + 1) {
		damage("pages", at);
		cr_assert(ct_snapshot_open(rec, 1, &err) == NULL, "bit at %zu", at);
		damage("pages", at);
	}
	free(pages);
}

static void check_truncated(const char *part)
{
	ct_u8 *pages = make_pages(1, 1), *data;
	struct ct_error err = {0};
	char name[64];
	size_t len;

	write_pages(1, 1, NULL, pages, 1);
	snprintf(name, sizeof(name), "rec.ctr/snapshots/000001/%s", part);
	data = get_file(below(dir, name), &len);
	for (size_t cut = 0; cut < len; cut += cut < 200 ? 1 : 13) {
		put_file(below(dir, name), data, cut);
		cr_assert(ct_snapshot_open(rec, 1, &err) == NULL, "%s cut at %zu", part, cut);
	}
	free(data);
	free(pages);
}

Test(snapshot, truncated_state_is_refused)
{
	check_truncated("state");
}

Test(snapshot, truncated_pages_file_is_refused)
{
	check_truncated("pages");
}

Test(snapshot, unknown_version_is_refused)
{
	ct_u8 *pages = make_pages(1, 1);
	struct ct_error err = {0};

	write_pages(1, 1, NULL, pages, 1);
	damage("state", 8); /* version 1 becomes 0 */
	cr_assert(ct_snapshot_open(rec, 1, &err) == NULL);
	cr_assert(strstr(err.msg, "snapshots/000001/state: snapshot version 0; this ctbpf reads version 1") != NULL,
		  "%s", err.msg);
	free(pages);
}

Test(snapshot, missing_earlier_snapshot_is_named)
{
	ct_u8 *pages = make_pages(1, 1), page[CT_PAGE];
	struct ct_page_index *idx = ct_page_index_create();
	struct ct_snapshot_reader *r;
	struct ct_error err = {0};

	write_pages(1, 1, idx, pages, 1);
	write_pages(2, 1, idx, pages, 1);
	unlink(below(dir, "rec.ctr/snapshots/000001/pages"));
	r = open_good(2);
	cr_assert(ct_snapshot_read_page(r, 0, 0, page, &err) == -1);
	cr_assert(strstr(err.msg, "snapshots/000001/pages") != NULL, "%s", err.msg);
	ct_snapshot_reader_close(r);
	ct_page_index_destroy(idx);
	free(pages);
}

Test(snapshot, symbolic_links_are_not_followed)
{
	ct_u8 *pages = make_pages(1, 1);
	struct ct_error err = {0};

	write_pages(1, 1, NULL, pages, 1);
	cr_assert(rename(below(dir, "rec.ctr/snapshots/000001/state"), below(dir, "state")) == 0);
	cr_assert(symlink("../../../state", below(dir, "rec.ctr/snapshots/000001/state")) == 0);
	cr_assert(ct_snapshot_open(rec, 1, &err) == NULL);
	free(pages);
}

Test(snapshot, page_out_of_range_is_an_error)
{
	ct_u8 *pages = make_pages(1, 1), page[CT_PAGE];
	struct ct_snapshot_reader *r;
	struct ct_error err = {0};

	write_pages(1, 1, NULL, pages, 1);
	r = open_good(1);
	cr_assert(ct_snapshot_read_page(r, 0, 1, page, &err) == -1);
	cr_assert(ct_snapshot_read_page(r, 1, 0, page, &err) == -1);
	ct_snapshot_reader_close(r);
	free(pages);
}

/* ---- A full disk ---- */

static void limit_file_size(rlim_t bytes)
{
	struct rlimit limit = {bytes, RLIM_INFINITY};

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = bytes;
	cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

Test(snapshot, failed_write_of_pages_is_reported_and_cleaned_up)
{
	ct_u8 *pages = make_pages(200, 1);
	struct ct_error err = {0};
	struct ct_snapshot snap = plain(1, 1);
	struct ct_snapshot_writer *w = ct_snapshot_writer_create(rec, 1, 0, NULL, &err);
	int ret;

	limit_file_size(100000);
	ret = ct_snapshot_add_pages(w, 0, 0x1000, pages, 200, &err);
	cr_assert(eq(int, ret, -1));
	cr_assert(strstr(err.msg, "snapshots/000001.tmp") && strstr(err.msg, "limit"), "%s", err.msg);
	cr_assert(ct_snapshot_writer_finish(w, &snap, &err) == -1);
	cr_assert(rmdir(below(dir, "rec.ctr/snapshots")) == 0, "not empty");
	ct_snapshot_deinit(&snap);
	free(pages);
}

Test(snapshot, failed_write_at_the_end_is_reported_and_cleaned_up)
{
	ct_u8 *pages = make_pages(64, 1);
	struct ct_error err = {0};
	struct ct_snapshot snap = plain(1, 1);
	struct ct_snapshot_writer *w = ct_snapshot_writer_create(rec, 1, 0, NULL, &err);

	cr_assert(ct_snapshot_add_pages(w, 0, 0x1000, pages, 64, &err) == 0);
	limit_file_size(64 + 64 * CT_PAGE + 100);
	cr_assert(ct_snapshot_writer_finish(w, &snap, &err) == -1);
	cr_assert(strstr(err.msg, "limit") != NULL, "%s", err.msg);
	cr_assert(rmdir(below(dir, "rec.ctr/snapshots")) == 0, "not empty");
	ct_snapshot_deinit(&snap);
	free(pages);
}
