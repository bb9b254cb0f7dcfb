/* SPDX-License-Identifier: MIT
 * Files of the step database: a header, then blocks that carry their own checksums.
 *
 * How long a file is says the catalogue: what is behind the last commit does not exist. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dirio.h"
#include "segment.h"
#include "stepdb_private.h"

#define OUT_BYTES (256u << 10) /* written in pieces of about this size */

const char *const sd_file_names[CT_NROWS] = {"steps.ctcol", "calls.ctcol", "values.ctcol", "exits.ctcol"};

int sd_opendir(int recording_dirfd, bool create, struct ct_error *err)
{
	int fd;

	if (create && mkdirat(recording_dirfd, "steps", 0700) < 0 && errno != EEXIST)
		return ct_fail_write(err, "steps");
	fd = ct_dir_openat(recording_dirfd, "steps");
	if (fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "steps: cannot open the directory");
	return fd;
}

/* ---- Writing ---- */

int sd_file_create(struct sd_file *f, int dirfd, enum ct_rows table, const ct_u8 uuid[16], ct_u64 build,
		   struct ct_error *err)
{
	struct sd_file_header h = {
		.magic = SD_FILE_MAGIC, .version = CT_STEPDB_VERSION, .table = (ct_u16)table, .build = build};

	f->fd = ct_file_createat(dirfd, sd_file_names[table]);
	if (f->fd < 0)
		return ct_fail_write(err, sd_file_names[table]);
	memcpy(h.uuid, uuid, sizeof(h.uuid));
	h.crc = ct_crc32c(0, &h, offsetof(struct sd_file_header, crc));
	f->size = sizeof(h);
	return sd_put(&f->out, &h, sizeof(h)) ? 0 : ct_fail(err, CT_EXIT_FAILED, "out of memory");
}

static int check_header(const struct sd_file_header *h, enum ct_rows table, const ct_u8 uuid[16], ct_u64 build,
			struct ct_error *err)
{
	const char *name = sd_file_names[table];

	if (h->magic != SD_FILE_MAGIC || h->crc != ct_crc32c(0, h, offsetof(struct sd_file_header, crc)))
		return ct_fail(err, CT_EXIT_FAILED, "steps/%s: damaged header; rebuild it with `ctbpf index`", name);
	if (h->version != CT_STEPDB_VERSION || h->flags)
		return ct_fail(err, CT_EXIT_FAILED,
			       "steps/%s: version %u, flags %#x; this ctbpf reads version %u without flags: rebuild it",
			       name, h->version, h->flags, CT_STEPDB_VERSION);
	if (h->table != table || h->build != build || memcmp(h->uuid, uuid, 16) != 0)
		return ct_fail(err, CT_EXIT_FAILED,
			       "steps/%s: belongs to another step database; rebuild it with `ctbpf index`", name);
	return 0;
}

static int open_checked(int dirfd, enum ct_rows table, int flags, const ct_u8 uuid[16], ct_u64 build, ct_u64 size,
			struct ct_error *err)
{
	const char *name = sd_file_names[table];
	int fd = openat(dirfd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct sd_file_header h;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "steps/%s: cannot open", name);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		ct_fail(err, CT_EXIT_FAILED, "steps/%s: not a regular file", name);
	} else if ((ct_u64)st.st_size < size || size < sizeof(h)) {
		ct_fail(err, CT_EXIT_FAILED, "steps/%s: truncated: %llu bytes of %llu; rebuild it with `ctbpf index`",
			name, (unsigned long long)st.st_size, (unsigned long long)size);
	} else if ((n = ct_pread_full(fd, &h, sizeof(h), 0)) != (ssize_t)sizeof(h)) {
		ct_fail_errno(err, CT_EXIT_FAILED, "steps/%s: cannot read", name);
	} else if (check_header(&h, table, uuid, build, err) == 0) {
		return fd;
	}
	close(fd);
	return -1;
}

int sd_file_reopen(struct sd_file *f, int dirfd, enum ct_rows table, const ct_u8 uuid[16], ct_u64 build, ct_u64 size,
		   struct ct_error *err)
{
	f->fd = open_checked(dirfd, table, O_RDWR, uuid, build, size, err);
	if (f->fd < 0)
		return -1;
	f->size = size;
	if (ftruncate(f->fd, (off_t)size) < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "steps/%s: cannot cut off what was not committed",
				     sd_file_names[table]);
	return 0;
}

int sd_file_flush(struct sd_file *f, struct ct_error *err)
{
	if (f->out.len && ct_pwrite_full(f->fd, f->out.data, f->out.len, f->size - f->out.len) < 0)
		return ct_fail_write(err, "the step database");
	f->out.len = 0;
	return 0;
}

int sd_file_block(struct sd_file *f, struct sd_block *h, const void *data, struct ct_error *err)
{
	static const ct_u8 zeros[8];

	h->magic = SD_BLOCK_MAGIC;
	h->crc = ct_crc32c(0, data, h->stored);
	h->header_crc = ct_crc32c(0, h, offsetof(struct sd_block, header_crc));
	if (!sd_put(&f->out, h, sizeof(*h)) || !sd_put(&f->out, data, h->stored) ||
	    !sd_put(&f->out, zeros, sd_block_size(h->stored) - sizeof(*h) - h->stored))
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	f->size += sd_block_size(h->stored);
	return f->out.len >= OUT_BYTES ? sd_file_flush(f, err) : 0;
}

void sd_file_close(struct sd_file *f)
{
	free(f->out.data);
	f->out = (struct sd_buf){0};
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* ---- Reading ---- */

int sd_file_open(int dirfd, enum ct_rows table, const ct_u8 uuid[16], ct_u64 build, ct_u64 size, struct ct_error *err)
{
	return open_checked(dirfd, table, O_RDONLY, uuid, build, size, err);
}

ct_u8 *sd_block_read(int fd, enum ct_rows table, ct_u64 offset, ct_u64 limit, enum sd_block_kind kind,
		     struct sd_block *h, struct ct_error *err)
{
	const char *name = sd_file_names[table];
	ct_u8 *data = NULL;

	if (limit >= sizeof(*h) && ct_pread_full(fd, h, sizeof(*h), offset) == (ssize_t)sizeof(*h) &&
	    h->magic == SD_BLOCK_MAGIC && h->header_crc == ct_crc32c(0, h, offsetof(struct sd_block, header_crc)) &&
	    h->kind == kind && h->table == table && !h->flags && h->raw <= SD_RAW_MAX && h->stored <= SD_RAW_MAX &&
	    sd_block_size(h->stored) <= limit) {
		data = ct_pread_alloc(fd, h->stored, offset + sizeof(*h), name, err);
		if (!data)
			return NULL;
		if (h->crc == ct_crc32c(0, data, h->stored))
			return data;
	}
	free(data);
	ct_fail(err, CT_EXIT_FAILED, "steps/%s: damaged at offset %llu; rebuild it with `ctbpf index`", name,
		(unsigned long long)offset);
	return NULL;
}

ct_u8 *sd_block_unpack(ZSTD_DCtx *zstd, ct_u8 *stored, const struct sd_block *h, struct ct_error *err)
{
	ct_u8 *raw = malloc(h->raw ? h->raw : 1);

	if (raw && ZSTD_decompressDCtx(zstd, raw, h->raw, stored, h->stored) == h->raw) {
		free(stored);
		return raw;
	}
	ct_fail(err, CT_EXIT_FAILED, "steps/%s: an index cannot be unpacked; rebuild it with `ctbpf index`",
		sd_file_names[h->table < CT_NROWS ? h->table : 0]);
	free(stored);
	free(raw);
	return NULL;
}
