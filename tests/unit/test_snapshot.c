/* SPDX-License-Identifier: MIT
 * Snapshots: all state and every page comes back, pages are stored once, damage is found.
 *
 * Also what happens when the disk is full. */
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

/* ---- State ---- */

static struct ct_snap_thread make_thread(ct_u32 tid, ct_u32 xsave_len)
{
	struct ct_snap_thread t = {
		.tid = tid,
		.ns_tid = tid + 1,
		.comm = "worker",
		.in_syscall = 202,
		.flags = 3,
		.sigmask = 0x1122334455667788,
		.pending = 4,
		.altstack_sp = 0x7000,
		.altstack_size = 0x4000,
		.altstack_flags = 2,
		.restart_nr = -1,
		.clear_child_tid = 0x7f0000001000,
		.robust_list = 0x7f0000002000,
		.robust_len = 24,
		.rseq = {.addr = 0x7f0000003000, .size = 32, .sig = 0x53053053, .flags = 1},
		.policy = 2,
		.priority = 5,
		.xsave = malloc(xsave_len),
		.xsave_len = xsave_len,
	};

	for (int i = 0; i < CT_NREGS; i++)
		t.regs.r[i] = tid * 1000ull + (ct_u64)i;
	memset(t.xsave, (int)tid, xsave_len);
	return t;
}

static struct ct_snap_map make_map(ct_u64 start, const char *name)
{
	struct ct_snap_map m = {
		.start = start,
		.end = start + 0x3000,
		.prot = 5,
		.flags = CT_MAPF_FILE,
		.offset = 0x1000,
		.file = {.dev = 0x800001,
			 .ino = 77,
			 .ctime_s = -5,
			 .ctime_ns = 6,
			 .flags = 1,
			 .size = 9,
			 .offset = 1,
			 .len = 2},
		.name = strdup(name),
	};

	memset(m.hash, 0xab, sizeof(m.hash));
	return m;
}

static struct ct_snap_proc make_proc(ct_u32 pid, ct_u32 nthreads, ct_u32 nmaps, ct_u32 nfds)
{
	struct ct_snap_proc p = {
		.pid = pid,
		.ns_pid = 1,
		.ppid = 7,
		.flags = 8,
		.comm = "server",
		.exe = strdup("/usr/bin/server"),
		.cwd = strdup("/srv"),
		.root = strdup("/"),
		.start_time = 123456,
		.start_code = 1,
		.end_code = 2,
		.start_data = 3,
		.end_data = 4,
		.start_brk = 5,
		.brk = 6,
		.start_stack = 7,
		.arg_start = 8,
		.arg_end = 9,
		.env_start = 10,
		.env_end = 11,
		.vdso = 0x7ffff000,
		.personality = 0x40000,
		.pending = 0x80,
		.rss_bytes = 1 << 20,
		.umask = 022,
		.dumpable = 1,
		.auxv = malloc(320),
		.auxv_len = 320,
		.nthreads = nthreads,
		.nmaps = nmaps,
		.nfds = nfds,
		.threads = calloc(nthreads + 1, sizeof(struct ct_snap_thread)),
		.maps = calloc(nmaps + 1, sizeof(struct ct_snap_map)),
		.fds = calloc(nfds + 1, sizeof(struct ct_snap_fd)),
	};

	memset(p.auxv, 0x5a, 320);
	for (int i = 0; i < 64; i++)
		p.sigaction[i] = (struct ct_snap_sigaction){(ct_u64)i, 2, 3, 4};
	for (ct_u32 i = 0; i < nthreads; i++)
		p.threads[i] = make_thread(pid + i, 832 + 13 * i);
	for (ct_u32 i = 0; i < nmaps; i++)
		p.maps[i] = make_map(0x400000 + 0x10000ull * i, i ? "/usr/lib/libc.so.6" : "");
	for (ct_u32 i = 0; i < nfds; i++)
		p.fds[i] = (struct ct_snap_fd){
			.fd = (ct_s32)i, .flags = 2, .pos = i * 10ull, .target = strdup("pipe:[1]")};
	return p;
}

static struct ct_snapshot make_state(ct_u32 id)
{
	struct ct_snapshot snap = plain(id, 2);

	snap.kind = CT_SNAP_PERIODIC;
	snap.seq = 4711;
	snap.mono_ns = 111;
	snap.real_ns = 222;
	snap.current_tid = 101;
	snap.procs[0] = make_proc(100, 3, 4, 5);
	snap.procs[1] = make_proc(200, 1, 0, 1);
	return snap;
}

/* Writes the state and opens it again. */
static struct ct_snapshot_reader *round_trip(const struct ct_snapshot *snap)
{
	struct ct_error err = {0};
	struct ct_snapshot_writer *w = ct_snapshot_writer_create(rec, snap->id, 1, NULL, &err);

	cr_assert(w != NULL, "%s", err.msg);
	cr_assert(ct_snapshot_writer_finish(w, snap, &err) == 0, "%s", err.msg);
	return open_good(snap->id);
}

Test(snapshot, head_comes_back)
{
	struct ct_snapshot snap = make_state(3);
	struct ct_snapshot_reader *r = round_trip(&snap);
	const struct ct_snapshot *got = ct_snapshot_get(r);

	cr_assert(eq(u32, got->id, 3));
	cr_assert(eq(u32, got->kind, CT_SNAP_PERIODIC));
	cr_assert(eq(u64, got->seq, 4711));
	cr_assert(eq(u64, got->mono_ns, 111));
	cr_assert(eq(u64, got->real_ns, 222));
	cr_assert(eq(u32, got->current_tid, 101));
	cr_assert(eq(u32, got->nprocs, 2));
	ct_snapshot_reader_close(r);
	ct_snapshot_deinit(&snap);
}

Test(snapshot, processes_come_back)
{
	struct ct_snapshot snap = make_state(1);
	struct ct_snapshot_reader *r = round_trip(&snap);

	for (ct_u32 p = 0; p < 2; p++) {
		const struct ct_snap_proc *a = &snap.procs[p], *b = &ct_snapshot_get(r)->procs[p];
		struct ct_snap_proc x = *a, y = *b;

		cr_assert(eq(str, a->exe, b->exe));
		cr_assert(eq(str, a->cwd, b->cwd));
		cr_assert(eq(str, a->root, b->root));
		cr_assert(memcmp(a->auxv, b->auxv, a->auxv_len) == 0);
		x.exe = x.cwd = x.root = y.exe = y.cwd = y.root = NULL;
		x.auxv = y.auxv = NULL;
		x.threads = y.threads = NULL;
		x.maps = y.maps = NULL;
		x.fds = y.fds = NULL;
		/* Whatever is no pointer, padding aside, is equal. */
		cr_assert(memcmp(x.comm, y.comm, 16) == 0);
		cr_assert(memcmp(&x.start_time, &y.start_time,
				 offsetof(struct ct_snap_proc, auxv) - offsetof(struct ct_snap_proc, start_time)) == 0);
		cr_assert(x.pid == y.pid && x.ns_pid == y.ns_pid && x.ppid == y.ppid && x.flags == y.flags);
		cr_assert(x.nthreads == y.nthreads && x.nmaps == y.nmaps && x.nfds == y.nfds);
	}
	ct_snapshot_reader_close(r);
	ct_snapshot_deinit(&snap);
}

Test(snapshot, threads_come_back)
{
	struct ct_snapshot snap = make_state(1);
	struct ct_snapshot_reader *r = round_trip(&snap);

	for (ct_u32 i = 0; i < 3; i++) {
		struct ct_snap_thread a = snap.procs[0].threads[i], b = ct_snapshot_get(r)->procs[0].threads[i];

		cr_assert(eq(u32, a.xsave_len, b.xsave_len));
		cr_assert(memcmp(a.xsave, b.xsave, a.xsave_len) == 0);
		a.xsave = b.xsave = NULL;
		cr_assert(memcmp(&a, &b, sizeof(a)) == 0, "thread %u", i);
	}
	ct_snapshot_reader_close(r);
	ct_snapshot_deinit(&snap);
}

Test(snapshot, maps_come_back)
{
	struct ct_snapshot snap = make_state(1);
	struct ct_snapshot_reader *r = round_trip(&snap);

	for (ct_u32 i = 0; i < 4; i++) {
		struct ct_snap_map a = snap.procs[0].maps[i], b = ct_snapshot_get(r)->procs[0].maps[i];

		cr_assert(eq(str, a.name, b.name));
		a.name = b.name = NULL;
		cr_assert(memcmp(&a, &b, sizeof(a)) == 0, "map %u", i);
	}
	ct_snapshot_reader_close(r);
	ct_snapshot_deinit(&snap);
}

Test(snapshot, descriptors_come_back)
{
	struct ct_snapshot snap = make_state(1);
	struct ct_snapshot_reader *r = round_trip(&snap);

	for (ct_u32 i = 0; i < 5; i++) {
		const struct ct_snap_fd *a = &snap.procs[0].fds[i], *b = &ct_snapshot_get(r)->procs[0].fds[i];

		cr_assert(a->fd == b->fd && a->flags == b->flags && a->pos == b->pos);
		cr_assert(eq(str, a->target, b->target));
	}
	ct_snapshot_reader_close(r);
	ct_snapshot_deinit(&snap);
}

Test(snapshot, missing_strings_come_back_empty)
{
	struct ct_snapshot snap = plain(1, 1);
	struct ct_snapshot_reader *r = round_trip(&snap);

	cr_assert(eq(str, ct_snapshot_get(r)->procs[0].exe, (char *)""));
	ct_snapshot_reader_close(r);
	ct_snapshot_deinit(&snap);
}

Test(snapshot, overlapping_maps_are_refused)
{
	struct ct_snapshot snap = plain(1, 1);
	struct ct_error err = {0};
	struct ct_snapshot_writer *w = ct_snapshot_writer_create(rec, 1, 1, NULL, &err);

	snap.procs[0].nmaps = 2;
	snap.procs[0].maps = calloc(2, sizeof(struct ct_snap_map));
	snap.procs[0].maps[0] = make_map(0x2000, "");
	snap.procs[0].maps[1] = make_map(0x4000, "");
	cr_assert(ct_snapshot_writer_finish(w, &snap, &err) == -1);
	cr_assert(strstr(err.msg, "mapping 1") != NULL, "%s", err.msg);
	ct_snapshot_deinit(&snap);
}

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
	struct ct_snapshot snap = plain(1, 1);
	struct ct_error err = {0};
	size_t len;
	ct_u8 *data;

	ct_snapshot_reader_close(round_trip(&snap));
	data = get_file(below(dir, "rec.ctr/snapshots/000001/state"), &len);
	free(data);
	for (size_t at = 0; at < len; at += 7) {
		damage("state", at);
		cr_assert(ct_snapshot_open(rec, 1, &err) == NULL, "bit at %zu", at);
		damage("state", at);
	}
	ct_snapshot_reader_close(open_good(1));
	ct_snapshot_deinit(&snap);
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
