/* SPDX-License-Identifier: MIT
 * Fuzzing snapshots: four bytes length of `state`, then `state`, the rest is `pages`, of snapshot 2.
 *
 * Snapshot 1 is a good one that pages may refer to. Tried as it is and with all checksums made right. */
#include "formats/snapshot_format.h"
#include "tests/unit/recording_helpers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *dir;

static void clean_up(void)
{
	scratch_remove(dir);
}

/* The recording's descriptor; made at the first call. */
static int recording(void)
{
	static int fd = -1;

	if (fd >= 0)
		return fd;
	if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
	dir = scratch_dir();
	atexit(clean_up);
	fd = make_recording(dir, "recording");
	put_snapshot(fd, 1, CT_SNAP_ATTACH, 1);
	must(mkdir(below(dir, "rec.ctr/snapshots/000002"), 0700) == 0, "mkdir");
	return fd;
}

static void fix_checksums(ct_u8 *state, size_t state_len, ct_u8 *pages, size_t pages_len)
{
	struct snap_state_header *s = (void *)state;
	struct snap_pages_header *p = (void *)pages;
	size_t blocks_len, table;

	if (state_len >= sizeof(*s)) {
		s->size = state_len - sizeof(*s);
		s->sections_crc = ct_crc32c(0, s + 1, (size_t)s->size);
		s->crc = ct_crc32c(0, s, offsetof(struct snap_state_header, crc));
	}
	if (pages_len < sizeof(*p))
		return;
	blocks_len = (size_t)p->nblocks * sizeof(struct snap_block);
	/* An index that lies over the header would change what is read from there. */
	if (p->index_offset >= sizeof(*p) && p->index_offset <= pages_len &&
	    blocks_len <= pages_len - p->index_offset) {
		table = (size_t)p->index_offset + blocks_len;
		for (size_t i = 0; i < p->nblocks; i++) {
			struct snap_block b;
			ct_u8 *at = pages + p->index_offset + i * sizeof(b);

			memcpy(&b, at, sizeof(b));
			if (b.offset <= pages_len && b.stored <= pages_len - b.offset)
				b.crc = ct_crc32c(0, pages + b.offset, b.stored);
			memcpy(at, &b, sizeof(b));
		}
		p->blocks_crc = ct_crc32c(0, pages + p->index_offset, blocks_len);
		p->pages_crc = ct_crc32c(0, pages + table, pages_len - table);
	}
	p->crc = ct_crc32c(0, p, offsetof(struct snap_pages_header, crc));
}

static void read_all(const ct_u8 *state, size_t state_len, const ct_u8 *pages, size_t pages_len)
{
	int fd = recording();
	struct ct_snapshot_reader *r;
	struct ct_snapshot_stats stats;
	struct ct_error err;

	put_file(below(dir, "rec.ctr/snapshots/000002/state"), state, state_len);
	put_file(below(dir, "rec.ctr/snapshots/000002/pages"), pages, pages_len);
	r = ct_snapshot_open(fd, 2, &err);
	if (!r)
		return;
	ct_snapshot_stats(r, &stats);
	for (ct_u32 p = 0; p < ct_snapshot_get(r)->nprocs; p++) {
		ct_u8 page[CT_PAGE];
		size_t n;

		ct_snapshot_pages(r, p, &n);
		for (size_t i = 0; i < n && i < 64; i++)
			ct_snapshot_read_page(r, p, i, page, &err);
	}
	ct_snapshot_reader_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ct_u32 state_len;
	size_t pages_len;
	ct_u8 *state, *pages;

	if (size < 4)
		return 0;
	memcpy(&state_len, data, 4);
	size -= 4;
	if (state_len > size)
		state_len = (ct_u32)size;
	pages_len = size - state_len;
	/* Of their own, so that reading beyond an end is noticed, and aligned. */
	state = malloc(state_len + 1);
	pages = malloc(pages_len + 1);
	memcpy(state, data + 4, state_len);
	memcpy(pages, data + 4 + state_len, pages_len);
	read_all(state, state_len, pages, pages_len);
	fix_checksums(state, state_len, pages, pages_len);
	read_all(state, state_len, pages, pages_len);
	free(state);
	free(pages);
	return 0;
}
