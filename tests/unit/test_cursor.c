/* SPDX-License-Identifier: MIT
 * Walking the events of a recording, seeking, and the summary of what it holds.
 *
 * Each test has its own directory. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <sys/resource.h>

#include "tests/unit/recording_helpers.h"

static char *dir;
static int fd = -1;

static void setup(void)
{
	dir = scratch_dir();
}

static void teardown(void)
{
	if (fd >= 0)
		close(fd);
	scratch_remove(dir);
}

TestSuite(cursor, .init = setup, .fini = teardown);
TestSuite(summary, .init = setup, .fini = teardown);

/* ---- Cursor ---- */

static struct ct_cursor *cursor_on(struct ct_recording *rec)
{
	struct ct_error err = {0};
	struct ct_cursor *cur = ct_cursor_create(rec, &err);

	cr_assert(cur != NULL, "%s", err.msg);
	return cur;
}

/* The number of the next event, 0 at the end, ~0 for a damaged block. */
static ct_u64 next_seq(struct ct_cursor *cur)
{
	const struct ct_event *ev;
	struct ct_error err = {0};
	int got = ct_cursor_next(cur, &ev, &err);

	return got > 0 ? ev->seq : got == 0 ? 0 : ~0ull;
}

/* A complete recording of 10 + 10 blocks of 3 notes, 1..60. */
static struct ct_recording *sixty_notes(void)
{
	fd = make_recording(dir, "complete");
	put_notes(dir, 1, 1, 10, true);
	put_notes(dir, 2, 31, 10, true);
	return open_recording(dir);
}

Test(cursor, walks_everything)
{
	struct ct_recording *rec = sixty_notes();
	struct ct_cursor *cur = cursor_on(rec);

	for (ct_u64 i = 1; i <= 60; i++)
		cr_assert(eq(u64, next_seq(cur), i));
	cr_assert(eq(u64, next_seq(cur), 0));
	cr_assert(eq(u64, next_seq(cur), 0));
	ct_cursor_destroy(cur);
	ct_recording_close(rec);
}

Test(cursor, seeks_every_number)
{
	struct ct_recording *rec = sixty_notes();
	struct ct_cursor *cur = cursor_on(rec);

	for (ct_u64 i = 60; i >= 1; i--) {
		cr_assert(ct_cursor_seek_seq(cur, i, NULL) == 0);
		cr_assert(eq(u64, next_seq(cur), i));
		cr_assert(eq(u64, next_seq(cur), i < 60 ? i + 1 : 0));
	}
	ct_cursor_destroy(cur);
	ct_recording_close(rec);
}

Test(cursor, seek_before_the_start_and_beyond_the_end)
{
	struct ct_recording *rec = sixty_notes();
	struct ct_cursor *cur = cursor_on(rec);

	ct_cursor_seek_seq(cur, 0, NULL);
	cr_assert(eq(u64, next_seq(cur), 1));
	ct_cursor_seek_seq(cur, 61, NULL);
	cr_assert(eq(u64, next_seq(cur), 0));
	ct_cursor_destroy(cur);
	ct_recording_close(rec);
}

Test(cursor, seeks_times)
{
	struct ct_recording *rec = sixty_notes();
	struct ct_cursor *cur = cursor_on(rec);

	ct_cursor_seek_time(cur, 20000000, NULL);
	cr_assert(eq(u64, next_seq(cur), 20));
	ct_cursor_seek_time(cur, 20000001, NULL);
	cr_assert(eq(u64, next_seq(cur), 21));
	ct_cursor_seek_time(cur, 0, NULL);
	cr_assert(eq(u64, next_seq(cur), 1));
	ct_cursor_seek_time(cur, 60000001, NULL);
	cr_assert(eq(u64, next_seq(cur), 0));
	ct_cursor_destroy(cur);
	ct_recording_close(rec);
}

Test(cursor, seeks_times_that_step_back)
{
	struct segment_maker m;
	struct ct_recording *rec;
	struct ct_cursor *cur;
	static const ct_u64 times[] = {10, 50, 30, 40, 60};

	fd = make_recording(dir, "complete");
	segment_start(&m, 1, 1, test_uuid, 0);
	for (ct_u64 i = 0; i < 5; i++) {
		struct bytes records = {0};

		add_note(&records, i + 1, times[i]);
		segment_block(&m, &records);
	}
	segment_end(&m, 0);
	put_segment(dir, 1, &m);
	rec = open_recording(dir);
	cur = cursor_on(rec);
	ct_cursor_seek_time(cur, 35, NULL);
	cr_assert(eq(u64, next_seq(cur), 2));
	ct_cursor_seek_time(cur, 55, NULL);
	cr_assert(eq(u64, next_seq(cur), 5));
	ct_cursor_destroy(cur);
	ct_recording_close(rec);
}

/* Makes a bit of the data of block 2 (events 4..6) wrong. */
static void damage_block(void)
{
	const char *path = below(dir, "rec.ctr/segments/000001.ctseg");
	const struct ct_block_header *h;
	size_t len;
	ct_u8 *data = get_file(path, &len);

	h = (void *)(data + 64);
	data[64 + 64 + ((h->stored + 7) & ~7u) + 64 + 5] ^= 1;
	put_file(path, data, len);
	free(data);
}

Test(cursor, damaged_block_is_reported_once_and_skipped)
{
	struct ct_recording *rec = sixty_notes();
	struct ct_cursor *cur;

	damage_block();
	cur = cursor_on(rec);
	cr_assert(eq(u64, next_seq(cur), 1));
	cr_assert(eq(u64, next_seq(cur), 2));
	cr_assert(eq(u64, next_seq(cur), 3));
	cr_assert(eq(u64, next_seq(cur), ~0ull));
	cr_assert(eq(u64, next_seq(cur), 7));
	ct_cursor_destroy(cur);
	ct_recording_close(rec);
}

Test(cursor, seek_into_a_damaged_block_goes_on_after_it)
{
	struct ct_recording *rec = sixty_notes();
	struct ct_cursor *cur;

	damage_block();
	cur = cursor_on(rec);
	ct_cursor_seek_seq(cur, 5, NULL);
	cr_assert(eq(u64, next_seq(cur), ~0ull));
	cr_assert(eq(u64, next_seq(cur), 7));
	ct_cursor_destroy(cur);
	ct_recording_close(rec);
}

Test(cursor, more_segments_than_files_may_be_open)
{
	struct rlimit limit;
	struct ct_recording *rec;
	struct ct_cursor *cur;

	fd = make_recording(dir, "complete");
	for (ct_u32 i = 1; i <= 400; i++)
		put_notes(dir, i, 3 * (i - 1) + 1, 1, true);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 320;
	setrlimit(RLIMIT_NOFILE, &limit);
	rec = open_recording(dir);
	cr_assert(ct_recording_problem(rec, 0) == NULL, "%s", ct_recording_problem(rec, 0));
	cur = cursor_on(rec);
	for (ct_u64 i = 1; i <= 1200; i++)
		cr_assert(eq(u64, next_seq(cur), i));
	ct_cursor_destroy(cur);
	ct_recording_close(rec);
}

/* ---- Summary ---- */

/* The recording's one segment: a start snapshot, `middle`, a final snapshot, END. */
static void whole_recording(const char *state, void (*middle)(struct bytes *, ct_u64 *))
{
	struct segment_maker m;
	struct bytes records = {0};
	struct ct_ev_end end = {.reason = CT_END_SIGNAL};
	ct_u64 seq = 1;

	fd = make_recording(dir, state);
	put_snapshot(fd, 1, CT_SNAP_ATTACH, 1);
	add_snapshot(&records, seq++, 1000, 1, CT_SNAP_ATTACH);
	if (middle)
		middle(&records, &seq);
	add_exit(&records, seq, seq * 1000);
	seq++;
	put_snapshot(fd, 2, CT_SNAP_FINAL, seq);
	add_snapshot(&records, seq, seq * 1000, 2, CT_SNAP_FINAL);
	seq++;
	add_event(&records, CT_EV_END, seq, seq * 1000, &end, sizeof(end), NULL, 0);
	segment_start(&m, 1, 1, test_uuid, 1);
	segment_block(&m, &records);
	segment_end(&m, 0);
	put_segment(dir, 1, &m);
}

static struct ct_summary summary_of(void)
{
	struct ct_recording *rec = open_recording(dir);
	struct ct_error err = {0};
	struct ct_summary sum;

	cr_assert(ct_recording_summary(rec, &sum, &err) == 0, "%s", err.msg);
	ct_recording_close(rec);
	return sum;
}

static void check_not_replayable(const char *word)
{
	struct ct_summary sum = summary_of();

	cr_assert(not(sum.replayable));
	cr_assert(strstr(sum.reason, word) != NULL, "%s", sum.reason);
}

Test(summary, counts_events)
{
	struct ct_summary sum;

	whole_recording("complete", NULL);
	sum = summary_of();
	cr_assert(eq(u64, sum.events, 4));
	cr_assert(eq(u64, sum.per_type[CT_EV_SNAPSHOT], 2));
	cr_assert(eq(u64, sum.per_type[CT_EV_EXIT], 1));
	cr_assert(eq(u64, sum.first_seq, 1));
	cr_assert(eq(u64, sum.last_seq, 4));
	cr_assert(eq(u64, sum.first_ns, 1000));
	cr_assert(eq(u64, sum.last_ns, 4000));
	cr_assert(eq(u32, sum.segments, 1));
	cr_assert(eq(u32, sum.snapshots, 2));
	cr_assert(eq(u32, sum.threads, 1));
	cr_assert(eq(u32, sum.processes, 1));
	cr_assert(gt(u64, sum.bytes, 0));
	cr_assert(gt(u64, sum.raw_bytes, 0));
}

Test(summary, whole_recording_is_replayable)
{
	struct ct_summary sum;

	whole_recording("complete", NULL);
	sum = summary_of();
	cr_assert(sum.replayable, "%s", sum.reason);
	cr_assert(eq(chr, sum.reason[0], 0));
}

static void kept_file_first(struct bytes *records, ct_u64 *seq)
{
	records->len = 0; /* before the snapshot instead of after it */
	add_note(records, 1, 1000);
	add_snapshot(records, 2, 1000, 1, CT_SNAP_ATTACH);
	*seq = 3;
}

Test(summary, notes_may_come_before_the_first_snapshot)
{
	struct ct_summary sum;

	whole_recording("complete", kept_file_first);
	sum = summary_of();
	cr_assert(sum.replayable, "%s", sum.reason);
}

static void lose_some(struct bytes *records, ct_u64 *seq)
{
	*seq += 5;
	add_lost(records, *seq, *seq * 1000, 5);
	(*seq)++;
}

Test(summary, lost_events_are_counted_once)
{
	struct ct_summary sum;

	whole_recording("complete", lose_some);
	sum = summary_of();
	cr_assert(eq(u64, sum.lost, 5));
	cr_assert(not(sum.replayable));
	cr_assert(strstr(sum.reason, "5 events are lost, the first is 2") != NULL, "%s", sum.reason);
}

static void jump(struct bytes *records, ct_u64 *seq)
{
	(void)records;
	*seq += 3;
}

Test(summary, jump_without_a_record_is_loss)
{
	whole_recording("complete", jump);
	check_not_replayable("3 events are lost");
}

static void unsound(struct bytes *records, ct_u64 *seq)
{
	add_text(records, CT_EV_UNSOUND, *seq, *seq * 1000, "io_uring_setup was called");
	(*seq)++;
}

Test(summary, unsound_record_gives_the_reason)
{
	struct ct_summary sum;

	whole_recording("complete", unsound);
	sum = summary_of();
	cr_assert(eq(u32, sum.unsound, 1));
	cr_assert(not(sum.replayable));
	cr_assert(strstr(sum.reason, "event 2: io_uring_setup was called") != NULL, "%s", sum.reason);
}

static void wordless(struct bytes *records, ct_u64 *seq)
{
	add_text(records, CT_EV_UNSOUND, *seq, *seq * 1000, "");
	(*seq)++;
}

Test(summary, unsound_record_without_text_gives_the_reason)
{
	whole_recording("complete", wordless);
	check_not_replayable("event 2: system call io_uring_setup cannot be replayed");
}

/* ---- Stretches ---- */

static void next_snapshot(struct bytes *records, ct_u64 *seq, ct_u32 id, ct_u32 kind)
{
	put_snapshot(fd, id, kind, *seq);
	add_snapshot(records, *seq, *seq * 1000, id, kind);
	(*seq)++;
}

static void check_stretches(ct_u32 all, ct_u32 sound)
{
	struct ct_summary sum = summary_of();

	cr_assert(eq(u32, sum.stretches, all));
	cr_assert(eq(u32, sum.sound_stretches, sound));
}

static void three_more(struct bytes *records, ct_u64 *seq)
{
	next_snapshot(records, seq, 10, CT_SNAP_PERIODIC);
	unsound(records, seq);
	unsound(records, seq);
	next_snapshot(records, seq, 11, CT_SNAP_LOSS);
	next_snapshot(records, seq, 12, CT_SNAP_EXEC);
	lose_some(records, seq);
	next_snapshot(records, seq, 13, CT_SNAP_LOSS);
}

Test(summary, whole_recording_is_one_sound_stretch)
{
	whole_recording("complete", NULL);
	check_stretches(1, 1);
}

Test(summary, what_is_unsound_or_lost_spoils_its_stretch_only)
{
	whole_recording("complete", three_more);
	check_stretches(4, 2);
	check_not_replayable("5 events are lost");
}

static void one_exec(struct bytes *records, ct_u64 *seq)
{
	next_snapshot(records, seq, 10, CT_SNAP_EXEC);
}

Test(summary, snapshot_after_execve_ends_no_stretch)
{
	whole_recording("complete", one_exec);
	check_stretches(1, 1);
}

Test(summary, stretch_without_its_snapshot_is_not_sound)
{
	whole_recording("complete", three_more);
	cr_assert(rename(below(dir, "rec.ctr/snapshots/000013"), below(dir, "gone")) == 0);
	check_stretches(4, 1);
}

Test(summary, log_without_a_snapshot_has_no_stretch)
{
	fd = make_recording(dir, "complete");
	put_notes(dir, 1, 1, 1, true);
	check_stretches(0, 0);
}

Test(summary, crashed_recording_is_not_replayable)
{
	whole_recording("recovered", NULL);
	check_not_replayable("recorder died");
}

Test(summary, live_recording_is_not_replayable)
{
	whole_recording("recording", NULL);
	check_not_replayable("still being recorded");
}

Test(summary, no_events)
{
	fd = make_recording(dir, "complete");
	check_not_replayable("no events");
}

Test(summary, no_start_snapshot)
{
	fd = make_recording(dir, "complete");
	put_notes(dir, 1, 1, 1, true);
	check_not_replayable("does not start with a snapshot");
}

Test(summary, missing_snapshot_is_named)
{
	whole_recording("complete", NULL);
	cr_assert(rename(below(dir, "rec.ctr/snapshots/000001"), below(dir, "gone")) == 0);
	check_not_replayable("snapshots/000001");
}

Test(summary, damaged_block_is_counted)
{
	struct ct_recording *rec;
	struct ct_summary sum;

	ct_recording_close(sixty_notes());
	damage_block();
	rec = open_recording(dir);
	cr_assert(ct_recording_summary(rec, &sum, NULL) == 0);
	cr_assert(eq(u32, sum.damaged_blocks, 1));
	cr_assert(eq(u64, sum.events, 57));
	cr_assert(eq(u64, sum.lost, 0));
	ct_recording_close(rec);
}

Test(summary, manifest_may_forbid_replay)
{
	whole_recording("complete", NULL);
	set_manifest(fd, "replayable", json_false());
	set_manifest(fd, "replayable_reason", json_string("recorded with --no-replay"));
	check_not_replayable("recorded with --no-replay");
}
