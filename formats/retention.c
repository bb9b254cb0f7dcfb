/* SPDX-License-Identifier: MIT
 * Recordings that keep only their newest part: listing, removing and linking what is stored.
 *
 * Names that a recorder does not make are left alone. */
#include "retention.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dirio.h"
#include "recording.h"
#include "snapshot_format.h"

static DIR *list_dir(int dirfd, const char *name)
{
	int fd = ct_dir_openat(dirfd, name);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (!d && fd >= 0)
		close(fd);
	return d;
}

static int fd_of(DIR *d)
{
	return dirfd(d);
}

static int fail_dir(struct ct_error *err, const char *name)
{
	return ct_fail_errno(err, CT_EXIT_FAILED, "%s/: cannot list", name);
}

/* ---- what is stored ---- */

static int by_number(const void *a, const void *b)
{
	ct_u32 x = ((const struct ct_stored_segment *)a)->number, y = ((const struct ct_stored_segment *)b)->number;

	return x < y ? -1 : x > y;
}

static bool read_header(int dirfd, const char *name, struct ct_stored_segment *seg)
{
	struct ct_segment_header h;
	struct stat st;
	int fd = ct_regular_openat(dirfd, name, &st);
	bool whole = fd >= 0 && ct_pread_full(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) &&
		     h.magic == CT_SEGMENT_MAGIC && h.crc == ct_crc32c(0, &h, offsetof(struct ct_segment_header, crc));

	if (fd >= 0)
		close(fd);
	if (!whole)
		return false;
	seg->first_seq = h.first_seq;
	seg->bytes = (ct_u64)st.st_blocks * 512;
	return true;
}

int ct_stored_segments(int dirfd, struct ct_stored_segment **list, size_t *count, struct ct_error *err)
{
	DIR *d = list_dir(dirfd, "segments");
	struct dirent *de;
	size_t room = 0;

	*list = NULL;
	*count = 0;
	if (!d)
		return fail_dir(err, "segments");
	while ((de = readdir(d))) {
		struct ct_stored_segment seg = {.number = ct_numbered_name(de->d_name, ".ctseg")};

		if (!seg.number || !read_header(fd_of(d), de->d_name, &seg))
			continue;
		if (*count == room) {
			struct ct_stored_segment *more = realloc(*list, (room ? room * 2 : 64) * sizeof(*more));

			if (!more) {
				closedir(d);
				free(*list);
				*list = NULL;
				return ct_fail(err, CT_EXIT_FAILED, "segments/: no memory for its list");
			}
			room = room ? room * 2 : 64;
			*list = more;
		}
		(*list)[(*count)++] = seg;
	}
	closedir(d);
	if (*count)
		qsort(*list, *count, sizeof(**list), by_number);
	return 0;
}

/* Depth: how many directories there may be below. */
static ct_u64 bytes_below(int dirfd, const char *name, int depth)
{
	DIR *d = list_dir(dirfd, name);
	struct dirent *de;
	ct_u64 sum = 0;

	while (d && (de = readdir(d))) {
		struct stat st;

		if (de->d_name[0] == '.' || fstatat(fd_of(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		sum += (ct_u64)st.st_blocks * 512;
		if (S_ISDIR(st.st_mode) && depth)
			sum += bytes_below(fd_of(d), de->d_name, depth - 1);
	}
	if (d)
		closedir(d);
	return sum;
}

ct_u64 ct_stored_bytes(int dirfd)
{
	return bytes_below(dirfd, ".", 2);
}

int ct_stored_sync(int dirfd, struct ct_error *err)
{
	static const char *const dirs[] = {"segments", "snapshots", "files"};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		int fd = ct_dir_openat(dirfd, dirs[i]), bad = fd < 0 || fsync(fd);

		if (fd >= 0)
			close(fd);
		if (bad)
			return ct_fail_errno(err, CT_EXIT_FAILED, "%s/: cannot sync", dirs[i]);
	}
	return 0;
}

/* ---- removing ---- */

static int drop_segments(int dirfd, ct_u64 seq, struct ct_error *err)
{
	struct ct_stored_segment *list;
	int fd = ct_dir_openat(dirfd, "segments"), ret = 0;
	size_t count;

	if (fd < 0)
		return fail_dir(err, "segments");
	if (ct_stored_segments(dirfd, &list, &count, err)) {
		close(fd);
		return -1;
	}
	for (size_t i = 0; i < count && list[i].first_seq < seq && !ret; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%06u.ctseg", list[i].number);
		if (unlinkat(fd, name, 0))
			ret = ct_fail_errno(err, CT_EXIT_FAILED, "segments/%s: cannot remove", name);
	}
	free(list);
	close(fd);
	return ret;
}

static int drop_snapshots(int dirfd, ct_u32 before, struct ct_error *err)
{
	DIR *d = list_dir(dirfd, "snapshots");
	struct dirent *de;
	int ret = 0;

	if (!d)
		return fail_dir(err, "snapshots");
	while ((de = readdir(d))) {
		ct_u32 id = ct_numbered_name(de->d_name, "");

		if (id && id < before && snap_remove(fd_of(d), de->d_name))
			ret = ct_fail_errno(err, CT_EXIT_FAILED, "snapshots/%s: cannot remove", de->d_name);
	}
	closedir(d);
	return ret;
}

int ct_stored_drop(int dirfd, ct_u64 seq, ct_u32 snapshot, struct ct_error *err)
{
	return drop_segments(dirfd, seq, err) || drop_snapshots(dirfd, snapshot, err) ? -1 : 0;
}

int ct_stored_files(int dirfd, void (*each)(void *ctx, int files_fd, const ct_u8 hash[16]), void *ctx,
		    struct ct_error *err)
{
	DIR *d = list_dir(dirfd, "files");
	struct dirent *de;

	if (!d)
		return fail_dir(err, "files");
	while ((de = readdir(d))) {
		ct_u8 hash[16];

		if (ct_hash_parse(de->d_name, hash) == 0)
			each(ctx, fd_of(d), hash);
	}
	closedir(d);
	return 0;
}

void ct_stored_drop_file(int files_fd, const ct_u8 hash[16])
{
	char name[33];

	ct_hash_format(hash, name);
	unlinkat(files_fd, name, 0);
}

/* ---- keeping for good ---- */

static int link_one(int from, int to, const char *dir, const char *name, struct ct_error *err)
{
	if (linkat(from, name, to, name, 0) == 0)
		return 0;
	return ct_fail_errno(err, CT_EXIT_FAILED, "%s/%s: cannot make a hard link to it", dir, name);
}

static int link_files(int from, int to, struct ct_error *err)
{
	DIR *d = list_dir(from, "files");
	int to_fd = ct_dir_openat(to, "files"), ret = 0;
	struct dirent *de;

	if (!d || to_fd < 0)
		ret = fail_dir(err, "files");
	while (!ret && (de = readdir(d))) {
		ct_u8 hash[16];

		if (ct_hash_parse(de->d_name, hash) == 0)
			ret = link_one(fd_of(d), to_fd, "files", de->d_name, err);
	}
	if (d)
		closedir(d);
	if (to_fd >= 0)
		close(to_fd);
	return ret;
}

static int link_segments(int from, int to, ct_u64 first, ct_u64 end, ct_u32 *next, struct ct_error *err)
{
	int from_fd = ct_dir_openat(from, "segments"), to_fd = ct_dir_openat(to, "segments"), ret;
	struct ct_stored_segment *list = NULL;
	size_t count = 0;

	*next = 1;
	if (from_fd < 0 || to_fd < 0)
		ret = fail_dir(err, "segments");
	else
		ret = ct_stored_segments(from, &list, &count, err);
	for (size_t i = 0; i < count && list[i].first_seq < end && !ret; i++) {
		char name[32];

		if (list[i].first_seq < first)
			continue;
		snprintf(name, sizeof(name), "%06u.ctseg", list[i].number);
		ret = link_one(from_fd, to_fd, "segments", name, err);
		*next = list[i].number + 1;
	}
	free(list);
	if (from_fd >= 0)
		close(from_fd);
	if (to_fd >= 0)
		close(to_fd);
	return ret;
}

static int link_snapshot(int from, int to, const char *name, struct ct_error *err)
{
	int from_fd = ct_dir_openat(from, name), to_fd, ret = -1;

	if (from_fd < 0 || mkdirat(to, name, 0700)) {
		ct_fail_errno(err, CT_EXIT_FAILED, "snapshots/%s: cannot make a copy of it", name);
		if (from_fd >= 0)
			close(from_fd);
		return -1;
	}
	to_fd = ct_dir_openat(to, name);
	if (to_fd < 0 || link_one(from_fd, to_fd, name, "state", err) || link_one(from_fd, to_fd, name, "pages", err))
		ret = to_fd < 0 ? fail_dir(err, name) : -1;
	else
		ret = fsync(to_fd) ? ct_fail_errno(err, CT_EXIT_FAILED, "snapshots/%s: cannot sync", name) : 0;
	if (to_fd >= 0)
		close(to_fd);
	close(from_fd);
	return ret;
}

static int link_snapshots(int from, int to, ct_u32 first, ct_u32 last, struct ct_error *err)
{
	DIR *d = list_dir(from, "snapshots");
	int to_fd = ct_dir_openat(to, "snapshots"), ret = 0;
	struct dirent *de;

	if (!d || to_fd < 0)
		ret = fail_dir(err, "snapshots");
	while (!ret && (de = readdir(d))) {
		ct_u32 id = ct_numbered_name(de->d_name, "");

		if (id && id >= first && id <= last)
			ret = link_snapshot(fd_of(d), to_fd, de->d_name, err);
	}
	if (d)
		closedir(d);
	if (to_fd >= 0)
		close(to_fd);
	return ret;
}

int ct_stored_link(int from, int to, const struct ct_stored_part *part, ct_u32 *next, struct ct_error *err)
{
	if (link_segments(from, to, part->first_seq, part->end_seq, next, err) ||
	    link_snapshots(from, to, part->first_snapshot, part->last_snapshot, err) || link_files(from, to, err))
		return -1;
	return ct_stored_sync(to, err);
}

int ct_stored_append(int dirfd, const ct_u8 uuid[16], ct_u32 number, const void *records, size_t len,
		     struct ct_error *err)
{
	struct ct_encoder *enc = ct_encoder_create(1);
	void *out = malloc(ct_block_bound(len) + ct_footer_size(1));
	int dir = ct_dir_openat(dirfd, "segments"), fd = -1, ret = -1;
	struct ct_segment_header h;
	struct ct_index_entry entry;
	char name[32], what[48];
	ssize_t n;

	snprintf(name, sizeof(name), "%06u.ctseg", number);
	snprintf(what, sizeof(what), "segments/%s", name);
	if (!enc || !out) {
		ct_fail(err, CT_EXIT_FAILED, "%s: no memory", what);
		goto out;
	}
	n = ct_block_encode(enc, records, len, out, &entry, err);
	if (n < 0)
		goto out;
	entry.offset = sizeof(h);
	ct_segment_header_init(&h, number, entry.first_seq, entry.first_ns, uuid);
	ct_footer_encode(&entry, 1, sizeof(h) + (ct_u64)n, 0, (ct_u8 *)out + n);
	fd = dir < 0 ? -1 : ct_file_createat(dir, name);
	if (fd < 0 || ct_pwrite_full(fd, &h, sizeof(h), 0) < 0 ||
	    ct_pwrite_full(fd, out, (size_t)n + ct_footer_size(1), sizeof(h)) < 0 || fsync(fd) || fsync(dir))
		ct_fail_write(err, what);
	else
		ret = 0;
out:
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
	free(out);
	ct_encoder_destroy(enc);
	return ret;
}
