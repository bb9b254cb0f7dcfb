/* SPDX-License-Identifier: MIT
 * Recordings: creation, manifest, kept files, opening in every state, walking the events, the summary.
 *
 * Each test has its own directory. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

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

TestSuite(recording, .init = setup, .fini = teardown);
TestSuite(cursor, .init = setup, .fini = teardown);
TestSuite(summary, .init = setup, .fini = teardown);
TestSuite(files, .init = setup, .fini = teardown);

static struct ct_recording *open_good(void)
{
	struct ct_error err = {0};
	struct ct_recording *rec = ct_recording_open(below(dir, "rec.ctr"), &err);

	cr_assert(rec != NULL, "%s", err.msg);
	return rec;
}

/* Whether a problem with this text was found. */
static bool has_problem(const struct ct_recording *rec, const char *word)
{
	const char *text;

	for (size_t i = 0; (text = ct_recording_problem(rec, i)); i++)
		if (strstr(text, word))
			return true;
	return false;
}

/* ---- Creation ---- */

Test(recording, directory_is_private)
{
	struct stat st;

	fd = make_recording(dir, "recording");
	cr_assert(stat(below(dir, "rec.ctr"), &st) == 0 && (st.st_mode & 0777) == 0700);
	cr_assert(stat(below(dir, "rec.ctr/segments"), &st) == 0 && (st.st_mode & 0777) == 0700);
	cr_assert(stat(below(dir, "rec.ctr/snapshots"), &st) == 0 && (st.st_mode & 0777) == 0700);
	cr_assert(stat(below(dir, "rec.ctr/files"), &st) == 0 && (st.st_mode & 0777) == 0700);
	cr_assert(stat(below(dir, "rec.ctr/manifest.json"), &st) == 0 && (st.st_mode & 0777) == 0600);
}

Test(recording, existing_path_is_refused)
{
	struct ct_error err = {0};

	fd = make_recording(dir, "recording");
	cr_assert(ct_recording_create(below(dir, "rec.ctr"), &err) == -1);
	cr_assert(strstr(err.msg, "exists already") != NULL, "%s", err.msg);
}

Test(recording, missing_parent_is_refused)
{
	struct ct_error err = {0};

	cr_assert(ct_recording_create(below(dir, "none/rec.ctr"), &err) == -1);
	cr_assert(strstr(err.msg, "No such file") != NULL, "%s", err.msg);
}

Test(recording, uuids_are_version_7_and_differ)
{
	ct_u8 a[16], b[16];

	ct_uuid7(a);
	ct_uuid7(b);
	cr_assert(eq(u8, a[6] >> 4, 7));
	cr_assert(eq(u8, a[8] >> 6, 2));
	cr_assert(memcmp(a, b, 16) != 0);
}

Test(recording, uuid_text_round_trip)
{
	ct_u8 back[16];
	char text[37];

	ct_uuid_format(test_uuid, text);
	cr_assert(eq(str, text, (char *)"01020304-0506-7708-990a-0b0c0d0e0f10"));
	cr_assert(ct_uuid_parse(text, back) == 0);
	cr_assert(memcmp(test_uuid, back, 16) == 0);
}

Test(recording, bad_uuid_text_is_refused)
{
	ct_u8 u[16];

	cr_assert(ct_uuid_parse("", u) == -1);
	cr_assert(ct_uuid_parse("01020304-0506-7708-990a-0b0c0d0e0f1", u) == -1);
	cr_assert(ct_uuid_parse("01020304-0506-7708-990a-0b0c0d0e0f100", u) == -1);
	cr_assert(ct_uuid_parse("01020304x0506-7708-990a-0b0c0d0e0f10", u) == -1);
	cr_assert(ct_uuid_parse("0102030g-0506-7708-990a-0b0c0d0e0f10", u) == -1);
}

Test(recording, manifest_describes_the_machine)
{
	json_t *m = ct_manifest_new(test_uuid), *cpu = json_object_get(m, "cpu");
	static const char *const keys[] = {"format", "ctbpf", "uuid",    "state",  "host",
					   "kernel", "xcr0",  "boot_id", "clocks", "recorder"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		cr_assert(json_object_get(m, keys[i]) != NULL, "%s", keys[i]);
	cr_assert(eq(int, (int)json_integer_value(json_object_get(m, "format")), CT_RECORDING_VERSION));
	cr_assert(strlen(json_string_value(json_object_get(cpu, "vendor"))) == 12);
	cr_assert(gt(sz, json_array_size(json_object_get(cpu, "leaves")), 5));
	json_decref(m);
}

Test(recording, manifest_is_replaced_as_a_whole)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "recording");
	set_manifest(fd, "target", json_string("x"));
	rec = open_good();
	cr_assert(
		eq(str, (char *)json_string_value(json_object_get(ct_recording_manifest(rec), "target")), (char *)"x"));
	cr_assert(access(below(dir, "rec.ctr/manifest.json.tmp"), F_OK) == -1);
	ct_recording_close(rec);
}

Test(recording, failed_manifest_write_keeps_the_old_one)
{
	struct ct_error err = {0};
	struct rlimit limit;
	json_t *m = ct_manifest_new(test_uuid);

	fd = make_recording(dir, "complete");
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 100;
	setrlimit(RLIMIT_FSIZE, &limit);
	cr_assert(ct_manifest_write(fd, m, &err) == -1);
	json_decref(m);
	cr_assert(access(below(dir, "rec.ctr/manifest.json.tmp"), F_OK) == -1);
	ct_recording_close(open_good());
}

Test(recording, leftover_manifest_is_in_nobodys_way)
{
	fd = make_recording(dir, "complete");
	put_file(below(dir, "rec.ctr/manifest.json.tmp"), "{", 1);
	set_manifest(fd, "x", json_true());
	ct_recording_close(open_good());
}

/* ---- Opening ---- */

static void check_open_refused(const char *word)
{
	struct ct_error err = {0};

	cr_assert(ct_recording_open(below(dir, "rec.ctr"), &err) == NULL);
	cr_assert(strstr(err.msg, word) != NULL, "%s", err.msg);
}

Test(recording, nothing_there_is_refused)
{
	check_open_refused("No such file");
}

Test(recording, file_is_refused)
{
	put_file(below(dir, "rec.ctr"), "x", 1);
	check_open_refused("not a directory");
}

Test(recording, other_directory_is_refused)
{
	mkdir(below(dir, "rec.ctr"), 0700);
	check_open_refused("no manifest.json");
}

Test(recording, broken_manifest_is_refused)
{
	fd = make_recording(dir, "complete");
	put_file(below(dir, "rec.ctr/manifest.json"), "{\"format\": 1,,}", 15);
	check_open_refused("line 1");
}

Test(recording, unknown_format_is_refused)
{
	fd = make_recording(dir, "complete");
	set_manifest(fd, "format", json_integer(99));
	check_open_refused("recording format 99; this ctbpf reads format 1");
}

Test(recording, manifest_behind_a_symbolic_link_is_refused)
{
	fd = make_recording(dir, "complete");
	cr_assert(rename(below(dir, "rec.ctr/manifest.json"), below(dir, "m")) == 0);
	cr_assert(symlink("../m", below(dir, "rec.ctr/manifest.json")) == 0);
	check_open_refused("manifest.json: cannot open");
}

Test(recording, complete)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "complete");
	rec = open_good();
	cr_assert(eq(int, ct_recording_state(rec), CT_REC_COMPLETE));
	cr_assert(ct_recording_problem(rec, 0) == NULL);
	ct_recording_close(rec);
}

Test(recording, recorder_that_lives)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "recording"); /* by this very process */
	rec = open_good();
	cr_assert(eq(int, ct_recording_state(rec), CT_REC_RECORDING));
	ct_recording_close(rec);
}

Test(recording, recorder_that_is_gone)
{
	struct ct_recording *rec;
	pid_t child = fork();

	if (child == 0) {
		make_recording(dir, "recording");
		_exit(0);
	}
	waitpid(child, NULL, 0);
	rec = open_good();
	cr_assert(eq(int, ct_recording_state(rec), CT_REC_RECOVERED));
	ct_recording_close(rec);
}

Test(recording, recorder_whose_pid_is_used_again)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "recording");
	set_manifest(fd, "recorder", json_pack("{s:i,s:i}", "pid", (int)getpid(), "start_time", 1));
	rec = open_good();
	cr_assert(eq(int, ct_recording_state(rec), CT_REC_RECOVERED));
	ct_recording_close(rec);
}

Test(recording, recorder_before_a_reboot)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "recording");
	set_manifest(fd, "boot_id", json_string("00000000-0000-0000-0000-000000000000"));
	rec = open_good();
	cr_assert(eq(int, ct_recording_state(rec), CT_REC_RECOVERED));
	ct_recording_close(rec);
}

/* Segment `number` with notes first..first+blocks*3-1, three a block, one a millisecond. */
static void add_segment(ct_u32 number, ct_u64 first, ct_u32 blocks, bool close_it)
{
	struct segment_maker m;

	segment_start(&m, number, first, test_uuid, 1);
	for (ct_u32 b = 0; b < blocks; b++) {
		struct bytes records = {0};

		for (int i = 0; i < 3; i++, first++)
			add_note(&records, first, first * 1000000);
		segment_block(&m, &records);
	}
	if (close_it)
		segment_end(&m, 0);
	put_segment(dir, number, &m);
}

Test(recording, segments_are_opened_in_order)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "complete");
	add_segment(2, 10, 1, true);
	add_segment(10, 13, 1, true);
	add_segment(1, 1, 3, true);
	rec = open_good();
	cr_assert(eq(sz, ct_recording_segments(rec), 3));
	cr_assert(eq(u32, ct_segment_header(ct_recording_segment(rec, 0))->index, 1));
	cr_assert(eq(u32, ct_segment_header(ct_recording_segment(rec, 2))->index, 10));
	cr_assert(has_problem(rec, "3 to 9 missing"));
	ct_recording_close(rec);
}

Test(recording, damaged_segment_is_a_problem_and_the_rest_opens)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "complete");
	add_segment(1, 1, 1, true);
	put_file(below(dir, "rec.ctr/segments/000002.ctseg"), "rubbish", 7);
	add_segment(3, 7, 1, true);
	rec = open_good();
	cr_assert(eq(sz, ct_recording_segments(rec), 2));
	cr_assert(has_problem(rec, "000002.ctseg"));
	ct_recording_close(rec);
}

Test(recording, segment_of_another_recording_is_left_out)
{
	static const ct_u8 other[16] = {9};
	struct segment_maker m;
	struct ct_recording *rec;

	fd = make_recording(dir, "complete");
	segment_start(&m, 1, 1, other, 0);
	segment_end(&m, 0);
	put_segment(dir, 1, &m);
	rec = open_good();
	cr_assert(eq(sz, ct_recording_segments(rec), 0));
	cr_assert(has_problem(rec, "another recording"));
	ct_recording_close(rec);
}

Test(recording, unclosed_segment_of_a_complete_recording_is_a_problem)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "complete");
	add_segment(1, 1, 2, false);
	rec = open_good();
	cr_assert(has_problem(rec, "2 complete blocks recovered"));
	ct_recording_close(rec);
}

Test(recording, unclosed_last_segment_of_a_live_recording_is_none)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "recording");
	add_segment(1, 1, 2, true);
	add_segment(2, 7, 2, false);
	rec = open_good();
	cr_assert(ct_recording_problem(rec, 0) == NULL, "%s", ct_recording_problem(rec, 0));
	cr_assert(eq(sz, ct_recording_segments(rec), 2));
	ct_recording_close(rec);
}

Test(recording, symbolic_link_for_a_segment_is_not_followed)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "complete");
	add_segment(1, 1, 1, true);
	cr_assert(rename(below(dir, "rec.ctr/segments/000001.ctseg"), below(dir, "s")) == 0);
	cr_assert(symlink("../../s", below(dir, "rec.ctr/segments/000001.ctseg")) == 0);
	rec = open_good();
	cr_assert(eq(sz, ct_recording_segments(rec), 0));
	cr_assert(has_problem(rec, "000001.ctseg: cannot open"));
	ct_recording_close(rec);
}

Test(recording, missing_directories_are_problems)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "complete");
	rmdir(below(dir, "rec.ctr/segments"));
	rmdir(below(dir, "rec.ctr/snapshots"));
	rec = open_good();
	cr_assert(has_problem(rec, "segments/: cannot open"));
	cr_assert(has_problem(rec, "snapshots/: cannot open"));
	ct_recording_close(rec);
}

Test(recording, snapshots_are_listed_in_order)
{
	struct ct_recording *rec;
	const ct_u32 *ids;
	size_t n;

	fd = make_recording(dir, "complete");
	put_snapshot(fd, 11, CT_SNAP_PERIODIC, 1);
	put_snapshot(fd, 2, CT_SNAP_PERIODIC, 1);
	mkdir(below(dir, "rec.ctr/snapshots/000012.tmp"), 0700);
	put_file(below(dir, "rec.ctr/snapshots/000013"), "", 0);
	rec = open_good();
	ids = ct_recording_snapshots(rec, &n);
	cr_assert(eq(sz, n, 2));
	cr_assert(ids[0] == 2 && ids[1] == 11);
	cr_assert(has_problem(rec, "000012.tmp: unfinished"));
	cr_assert(has_problem(rec, "000013: not a directory"));
	ct_recording_close(rec);
}

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
	add_segment(1, 1, 10, true);
	add_segment(2, 31, 10, true);
	return open_good();
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
	rec = open_good();
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
		add_segment(i, 3 * (i - 1) + 1, 1, true);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 320;
	setrlimit(RLIMIT_NOFILE, &limit);
	rec = open_good();
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
	struct ct_recording *rec = open_good();
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
	add_segment(1, 1, 1, true);
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
	rec = open_good();
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

/* ---- Kept files ---- */

/* Keeps DIR/name; returns what ct_file_keep does. */
static int keep(const char *name, struct ct_file_ref *ref, ct_u8 hash[16], struct ct_error *err)
{
	int from = open(below(dir, name), O_RDONLY | O_CLOEXEC), ret;

	cr_assert(from >= 0);
	ret = ct_file_keep(fd, from, name, ref, hash, err);
	close(from);
	return ret;
}

Test(files, content_comes_back)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 hash[16];
	char name[33], text[32] = "", path[80];
	struct stat st, kept;
	int in;

	fd = make_recording(dir, "recording");
	put_file(below(dir, "lib"), "hello, file", 11);
	stat(below(dir, "lib"), &st);
	cr_assert(keep("lib", &ref, hash, &err) == 0, "%s", err.msg);
	cr_assert(eq(u64, ref.size, 11));
	cr_assert(eq(u64, ref.ino, st.st_ino));
	cr_assert(ref.ctime_s == st.st_ctim.tv_sec && ref.ctime_ns == st.st_ctim.tv_nsec);
	in = ct_file_open(fd, hash, true, &err);
	cr_assert(in >= 0, "%s", err.msg);
	cr_assert(read(in, text, sizeof(text)) == 11);
	cr_assert(eq(str, text, (char *)"hello, file"));
	close(in);
	ct_hash_format(hash, name);
	snprintf(path, sizeof(path), "rec.ctr/files/%s", name);
	cr_assert(stat(below(dir, path), &kept) == 0 && (kept.st_mode & 0777) == 0600);
}

Test(files, name_is_the_known_hash)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 hash[16];
	char name[33];

	/* XXH3-128 of nothing, canonical. */
	fd = make_recording(dir, "recording");
	put_file(below(dir, "empty"), "", 0);
	cr_assert(keep("empty", &ref, hash, &err) == 0, "%s", err.msg);
	ct_hash_format(hash, name);
	cr_assert(eq(str, name, (char *)"99aa06d3014798d86001c324468d497f"));
}

Test(files, same_content_is_kept_once)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 a[16], b[16];
	struct stat st;

	fd = make_recording(dir, "recording");
	put_file(below(dir, "one"), "same", 4);
	put_file(below(dir, "two"), "same", 4);
	cr_assert(keep("one", &ref, a, &err) == 0);
	cr_assert(keep("two", &ref, b, &err) == 0);
	cr_assert(memcmp(a, b, 16) == 0);
	cr_assert(stat(below(dir, "rec.ctr/files"), &st) == 0);
}

Test(files, sparse_file_stays_sparse_and_whole)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 hash[16];
	struct stat st;
	char text[8] = "";
	int out, in;

	fd = make_recording(dir, "recording");
	out = open(below(dir, "sparse"), O_RDWR | O_CREAT, 0600);
	cr_assert(pwrite(out, "begin", 5, 0) == 5);
	cr_assert(pwrite(out, "middle", 6, 32 << 20) == 6);
	cr_assert(ftruncate(out, 64 << 20) == 0);
	close(out);
	cr_assert(keep("sparse", &ref, hash, &err) == 0, "%s", err.msg);
	in = ct_file_open(fd, hash, true, &err);
	cr_assert(in >= 0, "%s", err.msg);
	cr_assert(fstat(in, &st) == 0);
	cr_assert(eq(u64, (ct_u64)st.st_size, 64u << 20));
	cr_assert(lt(u64, (ct_u64)st.st_blocks * 512, 1u << 20));
	cr_assert(pread(in, text, 6, 32 << 20) == 6);
	cr_assert(eq(str, text, (char *)"middle"));
	close(in);
}

Test(files, holes_hash_as_zeros)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 a[16], b[16];
	ct_u8 *zeros = calloc(1, 3 << 20);

	fd = make_recording(dir, "recording");
	put_file(below(dir, "hole"), "", 0);
	cr_assert(truncate(below(dir, "hole"), 3 << 20) == 0);
	put_file(below(dir, "zeros"), zeros, 3 << 20);
	cr_assert(keep("hole", &ref, a, &err) == 0);
	cr_assert(keep("zeros", &ref, b, &err) == 0);
	cr_assert(memcmp(a, b, 16) == 0);
	free(zeros);
}

Test(files, position_of_the_descriptor_stays)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 hash[16];
	int from;

	fd = make_recording(dir, "recording");
	put_file(below(dir, "lib"), "hello, file", 11);
	from = open(below(dir, "lib"), O_RDONLY);
	lseek(from, 3, SEEK_SET);
	cr_assert(ct_file_keep(fd, from, "lib", &ref, hash, &err) == 0);
	cr_assert(lseek(from, 0, SEEK_CUR) == 3);
	close(from);
}

Test(files, file_that_changes_meanwhile_is_refused)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 hash[16], *data = calloc(1, 8 << 20);
	pid_t child;
	bool refused = false;

	fd = make_recording(dir, "recording");
	data[0] = 1;
	put_file(below(dir, "busy"), data, 8 << 20);
	child = fork();
	if (child == 0) {
		int to = open(below(dir, "busy"), O_RDWR);
		for (int i = 0;; i++)
			if (pwrite(to, &i, sizeof(i), 4 << 20) != sizeof(i))
				_exit(1);
	}
	for (int i = 0; i < 100 && !refused; i++)
		refused = keep("busy", &ref, hash, &err) < 0;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	cr_assert(refused);
	cr_assert(strstr(err.msg, "changed") != NULL, "%s", err.msg);
	free(data);
}

Test(files, only_regular_files_are_kept)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 hash[16];
	int dev = open("/dev/null", O_RDONLY);

	fd = make_recording(dir, "recording");
	cr_assert(ct_file_keep(fd, dev, "/dev/null", &ref, hash, &err) == -1);
	cr_assert(strstr(err.msg, "/dev/null: not a regular file") != NULL, "%s", err.msg);
	close(dev);
}

Test(files, damaged_content_is_found)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	ct_u8 hash[16];
	char name[33], path[80];
	int in;

	fd = make_recording(dir, "recording");
	put_file(below(dir, "lib"), "hello, file", 11);
	cr_assert(keep("lib", &ref, hash, &err) == 0);
	ct_hash_format(hash, name);
	snprintf(path, sizeof(path), "rec.ctr/files/%s", name);
	put_file(below(dir, path), "hello. file", 11);
	cr_assert(ct_file_open(fd, hash, true, &err) == -1);
	cr_assert(strstr(err.msg, "damaged") != NULL, "%s", err.msg);
	in = ct_file_open(fd, hash, false, &err);
	cr_assert(in >= 0);
	close(in);
}

Test(files, unknown_hash_is_an_error)
{
	struct ct_error err = {0};
	ct_u8 hash[16] = {1};

	fd = make_recording(dir, "recording");
	cr_assert(ct_file_open(fd, hash, true, &err) == -1);
	cr_assert(strstr(err.msg, "files/01000000") != NULL, "%s", err.msg);
}

Test(files, full_disk_is_reported_and_cleaned_up)
{
	struct ct_error err = {0};
	struct ct_file_ref ref;
	struct rlimit limit;
	ct_u8 hash[16], *data = malloc(1 << 20);
	int ret;

	fd = make_recording(dir, "recording");
	memset(data, 7, 1 << 20);
	put_file(below(dir, "lib"), data, 1 << 20);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 1000;
	setrlimit(RLIMIT_FSIZE, &limit);
	ret = keep("lib", &ref, hash, &err);
	/* Where the file system can share blocks there is nothing to write. */
	if (ret < 0) {
		cr_assert(strstr(err.msg, "files/") != NULL, "%s", err.msg);
		cr_assert(rmdir(below(dir, "rec.ctr/files")) == 0, "not empty");
	}
	free(data);
}
