/* SPDX-License-Identifier: MIT
 * Recordings that keep only their newest part: what is left out, removed and linked, and what an interrupted removal
 * leaves. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "formats/retention.h"
#include "tests/unit/recording_helpers.h"

static char *dir;
static int fd = -1;
static const ct_u8 kept_hash[16] = {0xab, 1}, old_hash[16] = {0xcd, 2};

static void put_kept(const ct_u8 hash[16])
{
	char name[64] = "rec.ctr/files/";

	ct_hash_format(hash, name + strlen(name));
	put_file(below(dir, name), "content", 7);
}

/* Segments 1 to 3 with notes 1 to 6, 7 to 12, 13 to 18; snapshots 1 and 2; two files. */
static void setup(void)
{
	dir = scratch_dir();
	fd = make_recording(dir, "complete");
	put_notes(dir, 1, 1, 2, true);
	put_notes(dir, 2, 7, 2, true);
	put_notes(dir, 3, 13, 2, true);
	put_snapshot(fd, 1, CT_SNAP_ATTACH, 1);
	put_snapshot(fd, 2, CT_SNAP_PERIODIC, 7);
	put_kept(kept_hash);
	put_kept(old_hash);
}

static void teardown(void)
{
	close(fd);
	scratch_remove(dir);
}

TestSuite(retention, .init = setup, .fini = teardown);

static bool exists(const char *name)
{
	return access(below(dir, name), F_OK) == 0;
}

static void say_kept(ct_u64 seq)
{
	set_manifest(fd, "kept", json_pack("{s:i, s:I}", "snapshot", 2, "seq", (json_int_t)seq));
}

/* ---- Reading ---- */

Test(retention, what_is_about_to_be_removed_is_left_out)
{
	struct ct_summary sum;
	struct ct_error err = {0};
	struct ct_recording *rec;

	say_kept(7);
	rec = open_recording(dir);
	cr_assert_null(ct_recording_problem(rec, 0));
	cr_assert_eq(ct_recording_segments(rec), 2);
	cr_assert_eq(ct_recording_summary(rec, &sum, &err), 0);
	cr_assert_eq(sum.first_seq, 7);
	cr_assert_eq(sum.last_seq, 18);
	cr_assert_eq(sum.lost, 0);
	ct_recording_close(rec);
}

Test(retention, a_first_segment_of_a_higher_number_is_no_hole)
{
	struct ct_recording *rec;

	cr_assert_eq(unlink(below(dir, "rec.ctr/segments/000001.ctseg")), 0);
	rec = open_recording(dir);
	cr_assert_null(ct_recording_problem(rec, 0));
	cr_assert_eq(ct_recording_segments(rec), 2);
	ct_recording_close(rec);
}

Test(retention, an_impossible_number_hides_everything_but_is_survived)
{
	struct ct_recording *rec;

	say_kept(1ull << 62);
	rec = open_recording(dir);
	cr_assert_eq(ct_recording_segments(rec), 0);
	ct_recording_close(rec);
	set_manifest(fd, "kept", json_string("nonsense"));
	rec = open_recording(dir);
	cr_assert_eq(ct_recording_segments(rec), 3);
	ct_recording_close(rec);
}

/* ---- Removing ---- */

Test(retention, segments_are_listed_by_number)
{
	struct ct_stored_segment *list;
	struct ct_error err = {0};
	size_t count;

	put_file(below(dir, "rec.ctr/segments/000004.ctseg"), "being made", 10);
	cr_assert_eq(ct_stored_segments(fd, &list, &count, &err), 0);
	cr_assert_eq(count, 3);
	for (size_t i = 0; i < count; i++) {
		cr_assert_eq(list[i].number, i + 1);
		cr_assert_eq(list[i].first_seq, 6 * i + 1);
		cr_assert_gt(list[i].bytes, 0);
	}
	free(list);
}

Test(retention, the_oldest_goes_and_foreign_names_stay)
{
	struct ct_error err = {0};
	ct_u64 before = ct_stored_bytes(fd);

	put_file(below(dir, "rec.ctr/segments/note.txt"), "mine", 4);
	cr_assert_eq(ct_stored_drop(fd, 7, 2, &err), 0);
	cr_assert_not(exists("rec.ctr/segments/000001.ctseg"));
	cr_assert_not(exists("rec.ctr/snapshots/000001"));
	cr_assert(exists("rec.ctr/segments/000002.ctseg"));
	cr_assert(exists("rec.ctr/segments/000003.ctseg"));
	cr_assert(exists("rec.ctr/snapshots/000002/pages"));
	cr_assert(exists("rec.ctr/segments/note.txt"));
	cr_assert_lt(ct_stored_bytes(fd), before);
	cr_assert_eq(ct_stored_drop(fd, 7, 2, &err), 0); /* nothing is left to do */
}

static void drop_old(void *ctx, int files_fd, const ct_u8 hash[16])
{
	++*(int *)ctx;
	if (!memcmp(hash, old_hash, 16))
		ct_stored_drop_file(files_fd, hash);
}

Test(retention, files_are_asked_about)
{
	struct ct_error err = {0};
	int asked = 0;

	put_file(below(dir, "rec.ctr/files/4242.tmp"), "unfinished", 10);
	cr_assert_eq(ct_stored_files(fd, drop_old, &asked, &err), 0);
	cr_assert_eq(asked, 2);
	asked = 0;
	cr_assert_eq(ct_stored_files(fd, drop_old, &asked, &err), 0);
	cr_assert_eq(asked, 1);
	cr_assert(exists("rec.ctr/files/4242.tmp"));
}

/* ---- Keeping for good ---- */

Test(retention, a_linked_part_outlives_the_whole)
{
	struct bytes records = {0};
	struct ct_error err = {0};
	struct ct_recording *rec;
	struct ct_summary sum;
	json_t *manifest;
	ct_u32 next;
	int to;

	to = ct_recording_create(below(dir, "part.ctr"), &err);
	cr_assert_geq(to, 0);
	cr_assert_eq(ct_stored_link(fd, to, &(struct ct_stored_part){.end_seq = 13, .last_snapshot = 2}, &next, &err),
		     0, "%s", err.msg);
	cr_assert_eq(next, 3);
	add_snapshot(&records, 13, 13000000, 2, CT_SNAP_FINAL);
	add_note(&records, 14, 13000000);
	cr_assert_eq(ct_stored_append(to, test_uuid, next, records.data, records.len, &err), 0, "%s", err.msg);
	free(records.data);
	rec = open_recording(dir);
	manifest = json_deep_copy(ct_recording_manifest(rec));
	ct_recording_close(rec);
	cr_assert_eq(ct_manifest_write(to, manifest, &err), 0);
	json_decref(manifest);
	close(to);
	ct_recording_discard(below(dir, "rec.ctr"));

	rec = ct_recording_open(below(dir, "part.ctr"), &err);
	cr_assert_not_null(rec);
	cr_assert_null(ct_recording_problem(rec, 0));
	cr_assert_eq(ct_recording_summary(rec, &sum, &err), 0);
	cr_assert_eq(sum.segments, 3);
	cr_assert_eq(sum.first_seq, 1);
	cr_assert_eq(sum.last_seq, 14);
	cr_assert_eq(sum.snapshots, 2);
	cr_assert_eq(sum.lost, 0);
	cr_assert(exists("part.ctr/files/ab010000000000000000000000000000"));
	ct_recording_close(rec);
}
