/* SPDX-License-Identifier: MIT
 * The recording pipeline: nothing lost, nothing made up, in order, whatever the ring does.
 *
 * A ring of our own is fed here; test_pipeline_disk.c and test_pipeline_load.c have the rest. */
#include "formats/recording.h"
#include "pipeline_helpers.h"

/* ---- Order and numbers ---- */

Test(pipeline, stores_records_in_order)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_begin(&r, &f, 1 << 20, (struct pipe_hooks){0});
	for (int i = 0; i < 1000; i++)
		fake_event(&f, TEXT + (ct_u32)i % 9);
	rec_drain(&r);
	rec_finish(&r, &st);
	struct order ord = {0};
	struct seen s = rec_read(&r, see_order, &ord);
	cr_assert_eq(s.notes, 1000);
	cr_assert_eq(ord.wrong, 0);
	cr_assert_eq(s.lost, 0);
	cr_assert_eq(st.events, 1000);
	cr_assert_eq(st.lost, 0);
	cr_assert_eq(st.last_seq, 1000);
	cr_assert_eq(st.first_ns, 1001);
	cr_assert_eq(st.last_ns, 2000);
	cr_assert_eq(st.segments, 1);
	cr_assert(st.cpu_ns > 0);
	rec_remove(&r);
}

Test(pipeline, an_empty_recording_has_no_segment)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_begin(&r, &f, 1 << 16, (struct pipe_hooks){0});
	cr_assert_eq(ct_pipeline_rotate(r.p, &r.err), 0);
	rec_finish(&r, &st);
	cr_assert_eq(st.segments, 0);
	cr_assert_eq(rec_read(&r, NULL, NULL).segments, 0);
	rec_remove(&r);
}

Test(pipeline, puts_reordered_records_right)
{
	static const ct_u64 arrival[] = {2, 1, 3, 6, 5, 4, 8, 7, 10, 11, 12, 9};
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_begin(&r, &f, 1 << 20, (struct pipe_hooks){0});
	__atomic_store_n(&f.seq, 12, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < sizeof(arrival) / sizeof(*arrival); i++) {
		fake_put(&f, arrival[i], TEXT);
		usleep(2000);
	}
	rec_drain(&r);
	rec_finish(&r, &st);
	struct order ord = {0};
	struct seen s = rec_read(&r, see_order, &ord);
	cr_assert_eq(s.events, 12);
	cr_assert_eq(ord.wrong, 0);
	cr_assert_eq(st.lost, 0);
	cr_assert_eq(st.reordered, 5);
	rec_remove(&r);
}

Test(pipeline, a_record_far_out_of_place_keeps_its_place_in_the_ring)
{
	struct rec r;
	struct fake f;

	/* 1 is lost, 2000 comes before 2..1999: all are held at once, and released in steps. */
	rec_begin(&r, &f, 1 << 20, (struct pipe_hooks){0});
	__atomic_store_n(&f.seq, 2000, __ATOMIC_SEQ_CST);
	fake_put(&f, 2000, TEXT);
	for (ct_u64 i = 2; i < 2000; i++)
		fake_put(&f, i, TEXT);
	usleep(10000);
	fake_lose(&f);
	rec_drain(&r);
	rec_finish(&r, NULL);
	struct order ord = {0};
	struct seen s = rec_read(&r, see_order, &ord);
	cr_assert_eq(s.notes, 1999);
	cr_assert_eq(s.lost, 1);
	cr_assert_eq(ord.wrong, 0);
	rec_remove(&r);
}

Test(pipeline, a_late_record_is_not_taken_for_the_lost_one)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	/* 1 has its number but not yet its place; 3 is lost. Whoever compares gap sizes with the count drops 1. */
	rec_begin(&r, &f, 1 << 20, (struct pipe_hooks){0});
	__atomic_store_n(&f.seq, 4, __ATOMIC_SEQ_CST);
	fake_lose(&f);
	fake_put(&f, 2, TEXT);
	fake_put(&f, 4, TEXT);
	usleep(50000);
	cr_assert_eq(ct_pipeline_drain(r.p, 1, &r.err), -1);
	fake_put(&f, 1, TEXT);
	rec_drain(&r);
	rec_finish(&r, &st);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.notes, 3);
	cr_assert_eq(s.lost, 1);
	cr_assert_eq(s.last, 5);
	rec_remove(&r);
}

Test(pipeline, a_gap_becomes_a_lost_record_and_ends_the_segment)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_begin(&r, &f, 1 << 20, (struct pipe_hooks){0});
	for (int i = 0; i < 10; i++)
		fake_event(&f, TEXT);
	for (int i = 0; i < 5; i++) {
		fake_number(&f);
		fake_lose(&f);
	}
	for (int i = 0; i < 10; i++)
		fake_event(&f, TEXT);
	rec_drain(&r);
	rec_finish(&r, &st);
	cr_assert_eq(st.lost, 5);
	cr_assert_eq(st.events, 21);
	struct ct_segment *seg = rec_segment(&r, 1);
	ct_u32 blocks;
	const struct ct_index_entry *e = ct_segment_index(seg, &blocks);
	cr_assert_eq(ct_segment_broken_from(seg), 11);
	cr_assert_eq(e[blocks - 1].last_seq, 16);
	ct_segment_close(seg);
	seg = rec_segment(&r, 2);
	cr_assert_eq(ct_segment_broken_from(seg), 0);
	cr_assert_eq(ct_segment_header(seg)->first_seq, 17);
	ct_segment_close(seg);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.lost, 5);
	cr_assert_eq(s.lost_records, 1);
	rec_remove(&r);
}

Test(pipeline, records_lost_at_the_very_end_are_counted)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_begin(&r, &f, 1 << 20, (struct pipe_hooks){0});
	fake_event(&f, TEXT);
	for (int i = 0; i < 3; i++) {
		fake_number(&f);
		fake_lose(&f);
	}
	rec_drain(&r);
	ct_pipeline_stats(r.p, &st);
	cr_assert_eq(st.lost, 3);
	rec_finish(&r, &st);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.notes, 1);
	cr_assert_eq(s.lost, 3);
	rec_remove(&r);
}

Test(pipeline, a_number_that_never_comes_does_not_hold_up_the_log)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_begin(&r, &f, 1 << 20, (struct pipe_hooks){.stuck_ns = 50000000});
	fake_number(&f); /* 1: neither arrives nor is counted */
	fake_event(&f, TEXT);
	rec_drain(&r);
	fake_put(&f, 1, TEXT); /* too late: it has been stored as lost */
	fake_number(&f);
	fake_lose(&f);
	fake_event(&f, TEXT);
	rec_drain(&r);
	rec_finish(&r, &st);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.notes, 2);
	cr_assert_eq(s.lost, 2);
	cr_assert_eq(s.lost_records, 2);
	rec_remove(&r);
}

Test(pipeline, many_gaps_do_not_make_many_segments)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_begin(&r, &f, 1 << 20, (struct pipe_hooks){.loss_end_ns = 20 * 1000000000ull});
	for (int i = 0; i < 1000; i++) {
		fake_event(&f, TEXT);
		fake_number(&f);
		fake_lose(&f);
	}
	rec_drain(&r);
	rec_finish(&r, &st);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.notes, 1000);
	cr_assert_eq(s.lost, 1000);
	cr_assert_eq(s.segments, 2);
	cr_assert_eq(s.broken, 2);
	rec_remove(&r);
}

Test(pipeline, what_is_settled_does_not_wait_for_what_is_not)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	/* 1 is lost, 2 still on its way when 3 arrives. */
	rec_begin(&r, &f, 1 << 20, (struct pipe_hooks){0});
	fake_number(&f);
	fake_lose(&f);
	rec_drain(&r);
	fake_number(&f);
	fake_event(&f, TEXT);
	usleep(20000);
	ct_pipeline_stats(r.p, &st);
	cr_assert_eq(st.lost, 1);
	fake_put(&f, 2, TEXT);
	rec_drain(&r);
	rec_finish(&r, &st);
	cr_assert_eq(st.lost, 1);
	cr_assert_eq(rec_read(&r, NULL, NULL).notes, 2);
	rec_remove(&r);
}

Test(pipeline, a_recording_is_read_back_by_its_cursor)
{
	struct rec r;
	struct fake f;
	ct_u8 uuid[16];
	char path[128];

	rec_dir(&r, "/tmp");
	snprintf(path, sizeof(path), "%s/a.ctr", r.path);
	int dirfd = ct_recording_create(path, &r.err);
	cr_assert(dirfd >= 0, "%s", r.err.msg);
	ct_uuid7(uuid);
	json_t *manifest = ct_manifest_new(uuid);
	json_object_set_new(manifest, "state", json_string("complete"));
	cr_assert_eq(ct_manifest_write(dirfd, manifest, &r.err), 0, "%s", r.err.msg);
	json_decref(manifest);
	fake_init(&f, 8 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	o.dirfd = dirfd;
	memcpy(o.uuid, uuid, sizeof(uuid));
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	for (int i = 0; i < 5000; i++) {
		if (i == 2500) {
			rec_drain(&r);
			cr_assert_eq(ct_pipeline_rotate(r.p, &r.err), 0);
		}
		fake_event(&f, TEXT);
	}
	rec_drain(&r);
	rec_finish(&r, NULL);
	struct ct_recording *rec = ct_recording_open(path, &r.err);
	cr_assert(rec, "%s", r.err.msg);
	cr_assert_eq(ct_recording_segments(rec), 2);
	struct ct_cursor *cur = ct_cursor_create(rec, &r.err);
	const struct ct_event *ev;
	ct_u64 n = 0;
	int rc;
	while ((rc = ct_cursor_next(cur, &ev, &r.err)) == 1)
		cr_assert_eq(ev->seq, ++n);
	cr_assert_eq(rc, 0, "%s", r.err.msg);
	cr_assert_eq(n, 5000);
	ct_cursor_destroy(cur);
	ct_recording_close(rec);
	close(dirfd);
	char cmd[160];
	snprintf(cmd, sizeof(cmd), "rm -r '%s'", path);
	cr_assert_eq(system(cmd), 0);
	rec_remove(&r);
}

/* ---- Appending, tap ---- */

Test(pipeline, append_comes_after_what_was_drained)
{
	struct rec r;
	struct fake f;

	rec_begin(&r, &f, 1 << 20, (struct pipe_hooks){0});
	cr_assert_eq(append_note(r.p), 1);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 100; i++)
			fake_event(&f, TEXT);
		rec_drain(&r);
		cr_assert_eq(append_note(r.p), (ct_u64)(round + 1) * 101 + 1);
	}
	rec_finish(&r, NULL);
	cr_assert_eq(rec_read(&r, NULL, NULL).events, 2021);
	rec_remove(&r);
}

Test(pipeline, a_tap_may_append)
{
	struct rec r;
	struct fake f;
	struct tapped t = {0};

	rec_dir(&r, "/tmp");
	fake_init(&f, 8 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	o.tap = tap;
	o.tap_ctx = &t;
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	t.p = r.p;
	for (int i = 0; i < 20000; i++)
		fake_event(&f, TEXT);
	rec_drain(&r);
	rec_finish(&r, NULL);
	cr_assert_eq(t.calls, 20000); /* ring records only */
	cr_assert_eq(t.appended, 2000);
	cr_assert_eq(t.wrong, 0);
	cr_assert_eq(rec_read(&r, NULL, NULL).events, 22000);
	rec_remove(&r);
}
