/* SPDX-License-Identifier: MIT
 * Positions as people write them.
 *
 * The recording holds events 1..60 from 1.001 s on, one a millisecond; its clocks say that monotonic 1 s was
 * 2026-11-22T12:10:05 UTC. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/unit/recording_helpers.h"

#define S  1000000000ull
#define MS 1000000ull

static char *dir;
static int fd;
static struct ct_recording *rec;

static void setup(void)
{
	struct segment_maker m;
	struct ct_error err = {0};

	dir = scratch_dir();
	fd = make_recording(dir, "complete");
	segment_start(&m, 1, 1, test_uuid, 1);
	for (ct_u64 seq = 1; seq <= 60;) {
		struct bytes records = {0};

		for (int i = 0; i < 20; i++, seq++)
			add_note(&records, seq, S + seq * MS);
		segment_block(&m, &records);
	}
	segment_end(&m, 0);
	put_segment(dir, 1, &m);
	rec = ct_recording_open(below(dir, "rec.ctr"), &err);
	must(rec != NULL, err.msg);
}

static void teardown(void)
{
	ct_recording_close(rec);
	close(fd);
	scratch_remove(dir);
}

TestSuite(position, .init = setup, .fini = teardown);

static void check(const char *text, enum ct_pos_kind kind, ct_u64 value)
{
	struct ct_pos pos;
	struct ct_error err = {0};

	cr_assert(ct_pos_parse(rec, text, &pos, &err) == 0, "%s", err.msg);
	cr_assert(eq(int, pos.kind, kind), "%s", text);
	cr_assert(eq(u64, pos.value, value), "%s", text);
}

static void check_refused(const char *text, const char *word)
{
	struct ct_pos pos;
	struct ct_error err = {0};

	cr_assert(ct_pos_parse(rec, text, &pos, &err) == -1, "%s", text);
	cr_assert(strstr(err.msg, word) != NULL, "%s", err.msg);
	cr_assert(text[0] == 0 || strstr(err.msg, text) != NULL, "%s", err.msg);
	cr_assert(eq(int, err.status, CT_EXIT_USAGE));
}

Test(position, event)
{
	check("e:42", CT_POS_SEQ, 42);
}

Test(position, bare_number)
{
	check("42", CT_POS_SEQ, 42);
}

Test(position, largest_number)
{
	check("e:18446744073709551615", CT_POS_SEQ, UINT64_MAX);
}

Test(position, start)
{
	check("start", CT_POS_SEQ, 1);
}

Test(position, end)
{
	check("end", CT_POS_SEQ, 60);
}

Test(position, seconds_from_the_start)
{
	check("t:+1.25s", CT_POS_TIME, S + 1 * MS + 1250 * MS);
	check("t:+1.25", CT_POS_TIME, S + 1 * MS + 1250 * MS);
	check("t:+0", CT_POS_TIME, S + 1 * MS);
}

Test(position, other_units)
{
	check("t:+3ms", CT_POS_TIME, S + 1 * MS + 3 * MS);
	check("t:+2.5us", CT_POS_TIME, S + 1 * MS + 2500);
	check("t:+7ns", CT_POS_TIME, S + 1 * MS + 7);
	check("t:+1.5m", CT_POS_TIME, S + 1 * MS + 90 * S);
	check("t:+2h", CT_POS_TIME, S + 1 * MS + 7200 * S);
}

Test(position, time_of_day)
{
	check("t:12:10:06.5", CT_POS_TIME, 2 * S + 500 * MS);
}

Test(position, time_of_day_without_seconds)
{
	check("t:12:11", CT_POS_TIME, S + 55 * S);
}

Test(position, time_of_day_that_had_passed_is_the_next_day)
{
	check("t:12:10:04", CT_POS_TIME, S + 86399 * S);
}

Test(position, date_and_time)
{
	check("t:2026-11-22T12:10:06", CT_POS_TIME, 2 * S);
	check("t:2026-11-22 12:10:06.25Z", CT_POS_TIME, 2 * S + 250 * MS);
	check("t:2026-11-23T12:10:05", CT_POS_TIME, S + 86400 * S);
}

Test(position, date_before_the_boot_is_zero)
{
	check("t:2020-01-01T00:00:00", CT_POS_TIME, 0);
}

Test(position, rubbish_is_refused)
{
	static const char *const bad[] = {
		"",      "e:",    "x",    "e:1x",  "e:-1",    "e: 1",    "t:",   "t:+",    "t:+x",   "t:+1y",
		"t:+1.", "t:+.5", "t:12", "t:1:2", "t:12:60", "t:24:00", "t:-1", "starts", "t:12:1", "12:10:00"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_refused(bad[i], "write e:SEQ");
}

Test(position, impossible_date_is_refused)
{
	check_refused("t:2026-02-30T00:00:00", "date");
	check_refused("t:2026-13-01T00:00:00", "date");
	check_refused("t:2026-1-1T00:00:00", "date");
}

Test(position, too_large_numbers_are_refused)
{
	check_refused("e:18446744073709551616", "too large");
	check_refused("t:+18446744073709551615h", "too large");
	check_refused("t:+18446744073s", "too large");
}

Test(position, step_says_what_it_needs)
{
	check_refused("s:12", "step database");
}

Test(position, message_says_what_it_needs)
{
	check_refused("m:12", "markers");
}

Test(position, empty_recording_has_no_start)
{
	struct ct_recording *empty;
	struct ct_pos pos;
	struct ct_error err = {0};

	unlink(below(dir, "rec.ctr/segments/000001.ctseg"));
	empty = ct_recording_open(below(dir, "rec.ctr"), &err);
	cr_assert(ct_pos_parse(empty, "start", &pos, &err) == -1);
	cr_assert(strstr(err.msg, "no events") != NULL, "%s", err.msg);
	ct_recording_close(empty);
}
