/* SPDX-License-Identifier: MIT
 * Fuzzing the manifest and positions: the input is manifest.json, a NUL, and a position.
 *
 * The recording around it is a good one with a segment and a snapshot. */
#include "tests/unit/recording_helpers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *dir;

static void clean_up(void)
{
	scratch_remove(dir);
}

static void prepare(void)
{
	struct segment_maker m;
	int fd;

	if (dir)
		return;
	if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
	dir = scratch_dir();
	atexit(clean_up);
	fd = make_recording(dir, "complete");
	segment_of_notes(&m, 2, 2, 1);
	put_segment(dir, 1, &m);
	put_snapshot(fd, 1, CT_SNAP_ATTACH, 1);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ct_u8 *nul = memchr(data, 0, size);
	size_t len = nul ? (size_t)(nul - data) : size, rest = nul ? size - len - 1 : 0;
	char *text = calloc(1, rest + 1);
	struct ct_recording *rec;
	struct ct_summary sum;
	struct ct_error err;
	struct ct_pos pos;
	ct_u8 uuid[16];

	prepare();
	memcpy(text, data + size - rest, rest);
	ct_uuid_parse(text, uuid);
	put_file(below(dir, "rec.ctr/manifest.json"), data, len);
	rec = ct_recording_open(below(dir, "rec.ctr"), &err);
	if (rec) {
		ct_pos_parse(rec, text, &pos, &err);
		ct_recording_summary(rec, &sum, &err);
	}
	ct_recording_close(rec);
	free(text);
	return 0;
}
