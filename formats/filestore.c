/* SPDX-License-Identifier: MIT
 * files/: content of the files a recorded process maps, each kept once under its hash.
 *
 * The hash is of what was copied, not of what was read a moment before: a kept file always is what its name says. */
#include "recording.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xxhash.h>

#include "dirio.h"

#define CHUNK (1u << 20)

struct hasher {
	XXH3_state_t *state;
	ct_u8 *chunk; /* CHUNK bytes */
	ct_u8 *zero;  /* CHUNK zero bytes, for holes */
};

void ct_hash_format(const ct_u8 hash[16], char out[33])
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++) {
		out[2 * i] = hex[hash[i] >> 4];
		out[2 * i + 1] = hex[hash[i] & 15];
	}
	out[32] = 0;
}

int ct_hash_parse(const char *name, ct_u8 hash[16])
{
	if (strlen(name) != 32 || strspn(name, "0123456789abcdef") != 32)
		return -1;
	for (int i = 0; i < 16; i++) {
		const char digits[3] = {name[2 * i], name[2 * i + 1]};

		hash[i] = (ct_u8)strtoul(digits, NULL, 16);
	}
	return 0;
}

static void hasher_deinit(struct hasher *h)
{
	XXH3_freeState(h->state);
	free(h->chunk);
	free(h->zero);
}

static int hasher_init(struct hasher *h, const char *name, struct ct_error *err)
{
	h->state = XXH3_createState();
	h->chunk = malloc(CHUNK);
	h->zero = calloc(1, CHUNK);
	if (h->state && h->chunk && h->zero)
		return 0;
	hasher_deinit(h);
	return ct_fail(err, CT_EXIT_FAILED, "%s: no memory", name);
}

/* Where the next data at or after pos starts and ends; no data left: both are size. */
static void next_data(int fd, ct_u64 pos, ct_u64 size, ct_u64 *start, ct_u64 *end)
{
	off_t data = lseek(fd, (off_t)pos, SEEK_DATA), hole;

	*start = pos;
	*end = size;
	if (data < 0) {
		/* ENXIO: only a hole up to the end. Anything else: this file system cannot tell, take it all for data.
		 */
		if (errno == ENXIO)
			*start = size;
		return;
	}
	hole = lseek(fd, data, SEEK_HOLE);
	*start = (ct_u64)data < size ? (ct_u64)data : size;
	if (hole > data && (ct_u64)hole < size)
		*end = (ct_u64)hole;
}

/* Hashes `size` bytes of `from`, holes as zeros; copies the data to `to` on the way unless that is -1. */
static int hash_and_copy(struct hasher *h, int from, int to, ct_u64 size, const char *name, ct_u8 hash[16],
			 struct ct_error *err)
{
	XXH128_canonical_t canonical;
	ct_u64 pos = 0;

	XXH3_128bits_reset(h->state);
	while (pos < size) {
		ct_u64 start, end;

		next_data(from, pos, size, &start, &end);
		for (; pos < start; pos += start - pos < CHUNK ? start - pos : CHUNK)
			XXH3_128bits_update(h->state, h->zero, start - pos < CHUNK ? (size_t)(start - pos) : CHUNK);
		while (pos < end) {
			size_t want = end - pos < CHUNK ? (size_t)(end - pos) : CHUNK;
			ssize_t n = ct_pread_full(from, h->chunk, want, pos);

			if (n < 0)
				return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot read", name);
			if (n < (ssize_t)want)
				return ct_fail(err, CT_EXIT_FAILED, "%s: became shorter while it was copied", name);
			XXH3_128bits_update(h->state, h->chunk, want);
			if (to >= 0 && ct_pwrite_full(to, h->chunk, want, pos) < 0)
				return ct_fail_write(err, "files/");
			pos += want;
		}
	}
	if (to >= 0 && ftruncate(to, (off_t)size) < 0)
		return ct_fail_write(err, "files/");
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(h->state));
	memcpy(hash, canonical.digest, 16);
	return 0;
}

static bool is_kept(int files_fd, const ct_u8 hash[16], ct_u64 size)
{
	char name[33];
	struct stat st;

	ct_hash_format(hash, name);
	return fstatat(files_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       (ct_u64)st.st_size == size;
}

static int unchanged(int fd, const struct stat *before, const char *name, struct ct_error *err)
{
	struct stat now;

	if (fstat(fd, &now) < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot stat", name);
	if (now.st_size == before->st_size && now.st_ctim.tv_sec == before->st_ctim.tv_sec &&
	    now.st_ctim.tv_nsec == before->st_ctim.tv_nsec)
		return 0;
	return ct_fail(err, CT_EXIT_FAILED, "%s: was changed while it was copied", name);
}

/* Makes files/<tmp> a copy of fd and hashes it. 1: the content is kept already, there is no files/<tmp>. */
static int make_copy(struct hasher *h, int files_fd, int fd, const struct stat *st, const char *tmp, const char *name,
		     ct_u8 hash[16], struct ct_error *err)
{
	ct_u64 size = (ct_u64)st->st_size;
	int out, ret = -1;

	unlinkat(files_fd, tmp, 0);
	out = ct_file_createat(files_fd, tmp);
	if (out < 0)
		return ct_fail_write(err, "files/");
	if (ioctl(out, FICLONE, fd) == 0) {
		struct stat copy;

		/* Blocks are shared now: reading the clone says what is kept, whatever happens to the original. */
		if (fstat(out, &copy) < 0 || copy.st_size != st->st_size)
			ct_fail(err, CT_EXIT_FAILED, "%s: was changed while it was copied", name);
		else
			ret = hash_and_copy(h, out, -1, size, name, hash, err);
		if (ret == 0)
			ret = is_kept(files_fd, hash, size);
	} else {
		/* Hash first: copying a file that is kept already would be a waste. */
		ret = hash_and_copy(h, fd, -1, size, name, hash, err);
		if (ret == 0)
			ret = is_kept(files_fd, hash, size);
		if (ret == 0)
			ret = hash_and_copy(h, fd, out, size, name, hash, err);
	}
	if (ret == 0 && fsync(out) < 0)
		ret = ct_fail_write(err, "files/");
	close(out);
	if (ret != 0)
		unlinkat(files_fd, tmp, 0);
	return ret;
}

int ct_file_keep(int dirfd, int fd, const char *name, struct ct_file_ref *ref, ct_u8 hash[16], struct ct_error *err)
{
	char tmp[64], final[33];
	struct hasher h;
	struct stat st;
	off_t offset;
	int files_fd, ret;

	if (fstat(fd, &st) < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot stat", name);
	if (!S_ISREG(st.st_mode))
		return ct_fail(err, CT_EXIT_FAILED, "%s: not a regular file: its content cannot be kept", name);
	files_fd = ct_dir_openat(dirfd, "files");
	if (files_fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "files/: cannot open");
	if (hasher_init(&h, name, err) < 0) {
		close(files_fd);
		return -1;
	}
	offset = lseek(fd, 0, SEEK_CUR);
	/* The thread is in the name so that two may keep files at once. */
	snprintf(tmp, sizeof(tmp), "%ld.tmp", (long)gettid());
	ret = make_copy(&h, files_fd, fd, &st, tmp, name, hash, err);
	if (ret >= 0 && unchanged(fd, &st, name, err) < 0) {
		if (ret == 0)
			unlinkat(files_fd, tmp, 0);
		ret = -1;
	}
	if (ret == 0) {
		ct_hash_format(hash, final);
		if (renameat(files_fd, tmp, files_fd, final) < 0) {
			ret = ct_fail_errno(err, CT_EXIT_FAILED, "files/%s: cannot put it in place", final);
			unlinkat(files_fd, tmp, 0);
		}
	}
	/* Looking for holes moves the file position, which is the caller's. */
	if (offset >= 0)
		lseek(fd, offset, SEEK_SET);
	hasher_deinit(&h);
	close(files_fd);
	if (ret < 0)
		return -1;
	*ref = (struct ct_file_ref){
		.dev = (ct_u64)major(st.st_dev) << 20 | minor(st.st_dev),
		.ino = st.st_ino,
		.ctime_s = st.st_ctim.tv_sec,
		.ctime_ns = (ct_u32)st.st_ctim.tv_nsec,
		.size = (ct_u64)st.st_size,
	};
	return 0;
}

int ct_file_open(int dirfd, const ct_u8 hash[16], bool verify, struct ct_error *err)
{
	char name[33], what[48];
	ct_u8 found[16];
	struct hasher h;
	struct stat st;
	int files_fd = ct_dir_openat(dirfd, "files"), fd, ret;

	ct_hash_format(hash, name);
	snprintf(what, sizeof(what), "files/%s", name);
	if (files_fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "files/: cannot open");
	fd = ct_regular_openat(files_fd, name, &st);
	close(files_fd);
	if (fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot open", what);
	if (!verify)
		return fd;
	ret = hasher_init(&h, what, err);
	if (ret == 0) {
		ret = hash_and_copy(&h, fd, -1, (ct_u64)st.st_size, what, found, err);
		hasher_deinit(&h);
	}
	if (ret == 0 && memcmp(found, hash, 16) != 0)
		ret = ct_fail(err, CT_EXIT_FAILED, "%s: damaged: its content does not have this hash", what);
	if (ret == 0 && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	close(fd);
	return -1;
}
