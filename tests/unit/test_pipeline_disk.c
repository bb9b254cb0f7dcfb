/* SPDX-License-Identifier: MIT
 * The recording pipeline and the disk: blocks and segments, and a disk that does not play along.
 *
 * One test mounts a small file system and needs root. */
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "pipeline_helpers.h"

/* ---- Blocks and segments ---- */

Test(pipeline, rotate_ends_the_segment_on_disk)
{
	struct rec r;
	struct fake f;
	struct stat st;

	rec_begin(&r, &f, 1 << 20, (struct pipe_hooks){0});
	for (int i = 1; i <= 3; i++) {
		fake_event(&f, TEXT);
		rec_drain(&r);
		cr_assert_eq(ct_pipeline_rotate(r.p, &r.err), 0);
		cr_assert_eq(ct_pipeline_rotate(r.p, &r.err), 0); /* nothing to end */
		struct ct_segment *seg = rec_segment(&r, i);
		cr_assert(seg);
		cr_assert(!ct_segment_recovered(seg));
		ct_segment_close(seg);
	}
	cr_assert_eq(fstatat(r.dirfd, "segments/000001.ctseg", &st, 0), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	rec_finish(&r, NULL);
	cr_assert_eq(rec_read(&r, NULL, NULL).segments, 3);
	rec_remove(&r);
}

Test(pipeline, a_record_may_begin_a_segment)
{
	struct ct_event mark = {.size = sizeof(mark), .type = CT_EV_END};
	struct ct_segment *seg;
	struct rec r;
	struct fake f;

	rec_begin(&r, &f, 1 << 20, (struct pipe_hooks){0});
	cr_assert_eq(ct_pipeline_settle(r.p, &r.err), 0); /* nothing has been ended: nothing to wait for */
	for (int i = 1; i <= 3; i++) {
		fake_event(&f, TEXT);
		rec_drain(&r);
		cr_assert_eq(ct_pipeline_begin_segment(r.p, &mark), 2 * (ct_u64)i);
		cr_assert_eq(ct_pipeline_settle(r.p, &r.err), 0);
		seg = rec_segment(&r, i);
		cr_assert(seg);
		cr_assert(!ct_segment_recovered(seg));
		cr_assert_eq(ct_segment_header(seg)->first_seq, i == 1 ? 1 : 2 * (ct_u64)(i - 1));
		ct_segment_close(seg);
	}
	rec_finish(&r, NULL);
	seg = rec_segment(&r, 4);
	cr_assert(seg);
	cr_assert_eq(ct_segment_header(seg)->first_seq, 6);
	ct_segment_close(seg);
	rec_remove(&r);
}

Test(pipeline, a_full_segment_is_followed_by_another)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 8 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	o.segment_size = 256 << 10;
	o.level = 0;
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	for (int i = 0; i < 20000; i++)
		fake_event(&f, TEXT);
	rec_drain(&r);
	rec_finish(&r, &st);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.notes, 20000);
	cr_assert_eq(s.segments, st.segments);
	cr_assert(s.segments >= 5 && s.segments <= 11, "%llu segments", (unsigned long long)s.segments);
	rec_remove(&r);
}

Test(pipeline, a_block_does_not_wait_long)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;
	ct_u64 start;

	rec_begin(&r, &f, 1 << 20, (struct pipe_hooks){0});
	fake_event(&f, TEXT);
	start = now_ns();
	do {
		usleep(1000);
		ct_pipeline_stats(r.p, &st);
	} while (!st.stored_bytes && now_ns() - start < 5000000000ull);
	cr_assert(now_ns() - start < 1000000000ull);
	struct ct_segment *seg = NULL;
	ct_u32 blocks = 0;
	for (int i = 0; i < 1000 && !blocks; i++) { /* the header is counted first */
		usleep(1000);
		ct_segment_close(seg);
		seg = rec_segment(&r, 1);
		cr_assert(seg, "%s", r.err.msg);
		ct_segment_index(seg, &blocks);
	}
	cr_assert_eq(blocks, 1);
	cr_assert(ct_segment_recovered(seg)); /* as after kill -9 */
	ct_segment_close(seg);
	rec_finish(&r, NULL);
	rec_remove(&r);
}

Test(pipeline, very_large_records_pass)
{
	static const ct_u32 sizes[] = {1, 300000, 5, CT_EVENT_MAX - 48, 7, CT_EVENT_MAX - 49, 100, 1 << 20};
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_begin(&r, &f, 16 << 20, (struct pipe_hooks){0});
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
			fake_event(&f, sizes[i]);
		rec_drain(&r);
	}
	fake_event(&f, CT_EVENT_MAX - 47); /* one byte too many */
	rec_drain(&r);
	rec_finish(&r, &st);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.notes, 24);
	cr_assert_eq(s.lost, 1);
	rec_remove(&r);
}

/* ---- A disk that does not play along ---- */

/* Feeds until the pipeline has failed, and some more; checks that the target would never have been held up. */
static void fill_up(struct rec *r, struct fake *f, bool no_uring)
{
	struct ct_pipeline_stats st, end;
	struct ct_error err;
	int more = 20000;
	struct tapped t = {0};

	struct ct_pipeline_opts o = rec_opts(r, f);
	o.level = 0;
	o.segment_size = 600 << 10;
	o.tap = tap;
	o.tap_ctx = &t;
	r->p = ct_pipeline_create_hooked(&o, &(struct pipe_hooks){.source = &f->src, .no_uring = no_uring}, &r->err);
	cr_assert(r->p);
	for (int i = 0; i < 2000000 && more; i++) {
		fake_event(f, TEXT);
		if (i % 100 == 0 || f->lost) {
			ct_u64 read_to = atomic_load(&f->produced);
			for (int k = 0; k < 20000 && atomic_load(&f->released) < read_to; k++)
				usleep(100);
			cr_assert(atomic_load(&f->released) >= read_to, "the ring is not drained any more");
		}
		if (ct_pipeline_error(r->p, &err))
			more--;
	}
	cr_assert_eq(more, 0);
	cr_assert_eq(ct_pipeline_append(r->p, &(struct ct_event){.size = sizeof(struct ct_event), .type = CT_EV_END}),
		     0);
	cr_assert_eq(ct_pipeline_drain(r->p, 1000, &r->err), -1);
	cr_assert_eq(ct_pipeline_rotate(r->p, &r->err), -1);
	ct_pipeline_stats(r->p, &st);
	cr_assert(st.failed);
	cr_assert_eq(ct_pipeline_finish(r->p, &end, &r->err), -1);
	cr_assert(strstr(r->err.msg, "segments/"), "%s", r->err.msg);
	cr_assert_eq(t.calls, f->seq - f->lost);
	struct seen s = rec_read(r, NULL, NULL);
	cr_assert(s.events > 0);
	cr_assert_eq(s.events, end.events);
	cr_assert_eq(s.last, end.last_seq);
	cr_assert_eq(s.segments, end.segments);
	cr_assert_eq(end.events + end.lost, f->seq); /* every number is accounted for */
	ct_u64 size = 0;
	for (ct_u64 i = 1; i <= s.segments; i++) {
		char name[64];
		struct stat sb;
		snprintf(name, sizeof(name), "segments/%06llu.ctseg", (unsigned long long)i);
		cr_assert_eq(fstatat(r->dirfd, name, &sb, 0), 0);
		size += (ct_u64)sb.st_size;
	}
	cr_assert_eq(size, end.stored_bytes);
}

Test(pipeline, a_full_disk_leaves_whole_blocks_and_a_free_ring)
{
	struct rec r;
	struct fake f;

	cr_assert_eq(unshare(CLONE_NEWNS), 0, "this test needs root");
	cr_assert_eq(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL), 0);
	cr_assert_eq(mount("ctbpf-test", "/mnt", "tmpfs", 0, "size=2M"), 0);
	rec_dir(&r, "/mnt");
	fake_init(&f, 4 << 20);
	fill_up(&r, &f, false);
	cr_assert(strstr(r.err.msg, strerror(ENOSPC)), "%s", r.err.msg);
	rec_remove(&r);
	umount("/mnt");
}

Test(pipeline, a_file_size_limit_is_an_error_not_a_signal)
{
	struct rec r;
	struct fake f;
	struct rlimit lim = {.rlim_cur = 900 << 10, .rlim_max = RLIM_INFINITY};

	rec_dir(&r, "/tmp");
	fake_init(&f, 4 << 20);
	setrlimit(RLIMIT_FSIZE, &lim);
	fill_up(&r, &f, false);
	cr_assert(strstr(r.err.msg, strerror(EFBIG)), "%s", r.err.msg);
	rec_remove(&r);
}

Test(pipeline, a_failed_write_without_io_uring_is_handled_alike)
{
	struct rec r;
	struct fake f;
	struct rlimit lim = {.rlim_cur = 900 << 10, .rlim_max = RLIM_INFINITY};

	rec_dir(&r, "/tmp");
	fake_init(&f, 4 << 20);
	setrlimit(RLIMIT_FSIZE, &lim);
	fill_up(&r, &f, true);
	cr_assert(strstr(r.err.msg, strerror(EFBIG)), "%s", r.err.msg);
	rec_remove(&r);
}

Test(pipeline, works_without_io_uring)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_begin(&r, &f, 8 << 20, (struct pipe_hooks){.no_uring = true});
	for (int i = 0; i < 20000; i++)
		fake_event(&f, TEXT);
	rec_drain(&r);
	cr_assert_eq(ct_pipeline_rotate(r.p, &r.err), 0);
	fake_event(&f, TEXT);
	rec_finish(&r, &st);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.notes, 20001);
	cr_assert_eq(s.segments, 2);
	rec_remove(&r);
}

Test(pipeline, refuses_a_directory_without_segments)
{
	struct rec r;
	struct fake f;

	rec_dir(&r, "/tmp");
	unlinkat(r.dirfd, "segments", AT_REMOVEDIR);
	fake_init(&f, 1 << 16);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	cr_assert_null(ct_pipeline_create_hooked(&o, &(struct pipe_hooks){.source = &f.src}, &r.err));
	cr_assert(strstr(r.err.msg, "segments"));
	rec_remove(&r);
}

Test(pipeline, never_overwrites_a_segment)
{
	struct rec r;
	struct fake f;

	rec_dir(&r, "/tmp");
	close(openat(r.dirfd, "segments/000001.ctseg", O_CREAT | O_WRONLY, 0600));
	fake_init(&f, 1 << 16);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	fake_event(&f, TEXT);
	cr_assert_eq(ct_pipeline_finish(r.p, NULL, &r.err), -1);
	cr_assert(strstr(r.err.msg, strerror(EEXIST)), "%s", r.err.msg);
	rec_remove(&r);
}
