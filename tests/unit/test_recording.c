/* SPDX-License-Identifier: MIT
 * Recordings: creation, the manifest, opening in every state.
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
	rec = open_recording(dir);
	cr_assert(
		eq(str, (char *)json_string_value(json_object_get(ct_recording_manifest(rec), "target")), (char *)"x"));
	cr_assert(access(below(dir, "rec.ctr/manifest.json.tmp"), F_OK) == -1);
	ct_recording_close(rec);
}

Test(recording, altered_manifest_is_a_problem)
{
	const char *const path = strdup(below(dir, "rec.ctr/manifest.json"));
	size_t len;
	ct_u8 *text;

	fd = make_recording(dir, "complete");
	set_manifest(fd, "target", json_string("x"));
	set_manifest(fd, "target", json_string("y")); /* written again with a new checksum, not two */
	text = get_file(path, &len);
	for (size_t at = 0; at < len; at++) {
		struct ct_recording *rec;

		text[at] ^= 1 << at % 8;
		put_file(path, text, len);
		text[at] ^= 1 << at % 8;
		rec = ct_recording_open(below(dir, "rec.ctr"), NULL); /* many are no JSON any more */
		if (rec)
			cr_assert(ct_recording_problem(rec, 0) && strstr(ct_recording_problem(rec, 0), "manifest.json"),
				  "a bit of byte %zu of %zu is not noticed", at, len);
		ct_recording_close(rec);
		at += len > 4096 && at > 256 && at < len - 256 ? 37 : 0; /* all of the ends, some of the middle */
	}
	put_file(path, text, len);
	ct_recording_close(open_recording(dir));
	free(text);
	free((void *)path);
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
	ct_recording_close(open_recording(dir));
}

Test(recording, leftover_manifest_is_in_nobodys_way)
{
	fd = make_recording(dir, "complete");
	put_file(below(dir, "rec.ctr/manifest.json.tmp"), "{", 1);
	set_manifest(fd, "x", json_true());
	ct_recording_close(open_recording(dir));
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
	rec = open_recording(dir);
	cr_assert(eq(int, ct_recording_state(rec), CT_REC_COMPLETE));
	cr_assert(ct_recording_problem(rec, 0) != NULL);
	cr_assert(strstr(ct_recording_problem(rec, 0), "segments/: empty") != NULL);
	cr_assert(ct_recording_problem(rec, 1) == NULL);
	ct_recording_close(rec);
}

Test(recording, recorder_that_lives)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "recording"); /* by this very process */
	rec = open_recording(dir);
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
	rec = open_recording(dir);
	cr_assert(eq(int, ct_recording_state(rec), CT_REC_RECOVERED));
	ct_recording_close(rec);
}

Test(recording, recorder_whose_pid_is_used_again)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "recording");
	set_manifest(fd, "recorder", json_pack("{s:i,s:i}", "pid", (int)getpid(), "start_time", 1));
	rec = open_recording(dir);
	cr_assert(eq(int, ct_recording_state(rec), CT_REC_RECOVERED));
	ct_recording_close(rec);
}

Test(recording, recorder_before_a_reboot)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "recording");
	set_manifest(fd, "boot_id", json_string("00000000-0000-0000-0000-000000000000"));
	rec = open_recording(dir);
	cr_assert(eq(int, ct_recording_state(rec), CT_REC_RECOVERED));
	ct_recording_close(rec);
}

Test(recording, segments_are_opened_in_order)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "complete");
	put_notes(dir, 2, 10, 1, true);
	put_notes(dir, 10, 13, 1, true);
	put_notes(dir, 1, 1, 3, true);
	rec = open_recording(dir);
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
	put_notes(dir, 1, 1, 1, true);
	put_file(below(dir, "rec.ctr/segments/000002.ctseg"), "rubbish", 7);
	put_notes(dir, 3, 7, 1, true);
	rec = open_recording(dir);
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
	rec = open_recording(dir);
	cr_assert(eq(sz, ct_recording_segments(rec), 0));
	cr_assert(has_problem(rec, "another recording"));
	ct_recording_close(rec);
}

Test(recording, unclosed_segment_of_a_complete_recording_is_a_problem)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "complete");
	put_notes(dir, 1, 1, 2, false);
	rec = open_recording(dir);
	cr_assert(has_problem(rec, "2 complete blocks recovered"));
	ct_recording_close(rec);
}

Test(recording, unclosed_last_segment_of_a_live_recording_is_none)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "recording");
	put_notes(dir, 1, 1, 2, true);
	put_notes(dir, 2, 7, 2, false);
	rec = open_recording(dir);
	cr_assert(ct_recording_problem(rec, 0) == NULL, "%s", ct_recording_problem(rec, 0));
	cr_assert(eq(sz, ct_recording_segments(rec), 2));
	ct_recording_close(rec);
}

Test(recording, symbolic_link_for_a_segment_is_not_followed)
{
	struct ct_recording *rec;

	fd = make_recording(dir, "complete");
	put_notes(dir, 1, 1, 1, true);
	cr_assert(rename(below(dir, "rec.ctr/segments/000001.ctseg"), below(dir, "s")) == 0);
	cr_assert(symlink("../../s", below(dir, "rec.ctr/segments/000001.ctseg")) == 0);
	rec = open_recording(dir);
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
	rec = open_recording(dir);
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
	rec = open_recording(dir);
	ids = ct_recording_snapshots(rec, &n);
	cr_assert(eq(sz, n, 2));
	cr_assert(ids[0] == 2 && ids[1] == 11);
	cr_assert(has_problem(rec, "000012.tmp: unfinished"));
	cr_assert(has_problem(rec, "000013: not a directory"));
	ct_recording_close(rec);
}
