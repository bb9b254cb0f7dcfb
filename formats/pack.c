/* SPDX-License-Identifier: MIT
 * Packing a recording: the manifest, then segments, snapshots and kept files, as members of a tar archive (POSIX
 * ustar; sizes of 8 GiB and more in base 256, which every tar reads).
 *
 * Only regular files of the names that a recorder makes are taken. */
#include "pack.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "dirio.h"
#include "recording_private.h"
#include "retention.h"

#define BLOCK 512
#define CHUNK (1u << 20)

struct tar_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
	char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
static_assert(sizeof(struct tar_header) == BLOCK, "a header is one block");

struct packer {
	int fd;
	ZSTD_CCtx *zstd; /* NULL: as it is */
	unsigned char *in, *out;
	size_t out_room;
	char prefix[156]; /* of all names: the recording's own */
	struct ct_error *err;
	int ret; /* of the files so far */
};

static int write_all(struct packer *p, const unsigned char *data, size_t len)
{
	while (len) {
		ssize_t n = write(p->fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ct_fail_write(p->err, "the archive");
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int emit(struct packer *p, const void *data, size_t len, ZSTD_EndDirective how)
{
	ZSTD_inBuffer in = {data, len, 0};
	size_t left;

	if (!p->zstd)
		return write_all(p, data, len);
	do {
		ZSTD_outBuffer out = {p->out, p->out_room, 0};

		left = ZSTD_compressStream2(p->zstd, &out, &in, how);
		if (ZSTD_isError(left))
			return ct_fail(p->err, CT_EXIT_FAILED, "cannot compress: %s", ZSTD_getErrorName(left));
		if (write_all(p, p->out, out.pos))
			return -1;
	} while (how == ZSTD_e_end ? left != 0 : in.pos < in.size);
	return 0;
}

static void octal(char *field, size_t room, ct_u64 value)
{
	if (value >> (3 * (room - 1))) { /* base 256, marked by the highest bit */
		for (size_t i = room; i-- > 0; value >>= 8)
			field[i] = (char)value;
		field[0] |= (char)0x80;
	} else {
		snprintf(field, room, "%0*llo", (int)room - 1, (unsigned long long)value);
	}
}

static int put_header(struct packer *p, const char *name, char type, ct_u64 size, time_t mtime)
{
	struct tar_header h = {.type = type, .magic = "ustar", .version = {'0', '0'}};
	unsigned sum = 0;

	if (strlen(name) > sizeof(h.name))
		return ct_fail(p->err, CT_EXIT_FAILED, "%s: too long a name for an archive", name);
	memcpy(h.name, name, strlen(name));
	memcpy(h.prefix, p->prefix, strlen(p->prefix));
	octal(h.mode, sizeof(h.mode), type == '5' ? 0700 : 0600);
	octal(h.uid, sizeof(h.uid), 0);
	octal(h.gid, sizeof(h.gid), 0);
	octal(h.size, sizeof(h.size), size);
	octal(h.mtime, sizeof(h.mtime), mtime > 0 ? (ct_u64)mtime : 0);
	memset(h.checksum, ' ', sizeof(h.checksum));
	for (size_t i = 0; i < sizeof(h); i++)
		sum += ((unsigned char *)&h)[i];
	snprintf(h.checksum, sizeof(h.checksum), "%06o", sum);
	return emit(p, &h, sizeof(h), ZSTD_e_continue);
}

static int put_dir(struct packer *p, const char *name)
{
	return put_header(p, name, '5', 0, 0);
}

/* The file `base` below dirfd, as `name`. */
static int put_file(struct packer *p, int dirfd, const char *base, const char *name)
{
	static const char zero[BLOCK];
	struct stat st;
	int fd = ct_regular_openat(dirfd, base, &st), ret;

	if (fd < 0)
		return ct_fail_errno(p->err, CT_EXIT_FAILED, "%s: cannot open", name);
	ret = put_header(p, name, '0', (ct_u64)st.st_size, st.st_mtime);
	for (ct_u64 at = 0; at < (ct_u64)st.st_size && !ret; at += CHUNK) {
		size_t want = (ct_u64)st.st_size - at < CHUNK ? (size_t)((ct_u64)st.st_size - at) : CHUNK;

		if (ct_pread_full(fd, p->in, want, at) != (ssize_t)want)
			ret = ct_fail(p->err, CT_EXIT_FAILED, "%s: cannot be read to its end", name);
		else
			ret = emit(p, p->in, want, ZSTD_e_continue);
	}
	close(fd);
	return ret ? ret : emit(p, zero, -(size_t)st.st_size % BLOCK, ZSTD_e_continue);
}

static int put_snapshot(struct packer *p, int snapshots_fd, ct_u32 id)
{
	static const char *const parts[] = {"state", "pages"};
	char base[16], name[64];
	int fd, ret;

	snprintf(base, sizeof(base), "%06u", id);
	snprintf(name, sizeof(name), "snapshots/%s", base);
	fd = ct_dir_openat(snapshots_fd, base);
	if (fd < 0)
		return ct_fail_errno(p->err, CT_EXIT_FAILED, "%s: cannot open", name);
	ret = put_dir(p, name);
	for (size_t i = 0; i < 2 && !ret; i++) {
		snprintf(name, sizeof(name), "snapshots/%s/%s", base, parts[i]);
		ret = put_file(p, fd, parts[i], name);
	}
	close(fd);
	return ret;
}

static void put_kept(void *ctx, int files_fd, const ct_u8 hash[16])
{
	char name[6 + 33] = "files/";
	struct packer *p = ctx;

	ct_hash_format(hash, name + 6);
	if (!p->ret)
		p->ret = put_file(p, files_fd, name + 6, name);
}

static int put_all(struct packer *p, struct ct_recording *rec)
{
	static const char *const dirs[] = {"segments", "snapshots", "files"};
	int fd, ret = put_file(p, rec->dirfd, "manifest.json", "manifest.json");
	static const char end[2 * BLOCK];

	for (size_t i = 0; i < 3 && !ret; i++)
		ret = put_dir(p, dirs[i]);
	for (size_t i = 0; i < rec->nsegments && !ret; i++) {
		const char *name = ct_segment_name(rec->segments[i]);

		ret = put_file(p, rec->segments_dirfd, name + strlen("segments/"), name);
	}
	fd = ct_dir_openat(rec->dirfd, "snapshots");
	if (fd < 0 && !ret)
		ret = ct_fail_errno(p->err, CT_EXIT_FAILED, "snapshots/: cannot open");
	for (size_t i = 0; i < rec->nsnapshots && !ret; i++)
		ret = put_snapshot(p, fd, rec->snapshots[i]);
	if (fd >= 0)
		close(fd);
	if (!ret)
		ret = ct_stored_files(rec->dirfd, put_kept, p, p->err) || p->ret ? -1 : 0;
	return ret ? ret : emit(p, end, sizeof(end), ZSTD_e_end);
}

/* The archive's top directory is called as the recording is. */
static void take_name(struct packer *p, const char *path)
{
	size_t len = strlen(path), start;

	while (len && path[len - 1] == '/')
		len--;
	for (start = len; start && path[start - 1] != '/'; start--)
		;
	snprintf(p->prefix, sizeof(p->prefix), "%.*s", (int)(len - start), path + start);
	if (!p->prefix[0] || !strcmp(p->prefix, ".") || !strcmp(p->prefix, ".."))
		snprintf(p->prefix, sizeof(p->prefix), "recording.ctr");
}

int ct_pack(struct ct_recording *rec, int fd, int zstd, struct ct_error *err)
{
	struct packer p = {.fd = fd, .err = err, .in = malloc(CHUNK), .out_room = ZSTD_CStreamOutSize()};
	int ret;

	p.zstd = zstd ? ZSTD_createCCtx() : NULL;
	p.out = malloc(p.out_room);
	if (!p.in || !p.out || (zstd && !p.zstd) ||
	    (zstd && ZSTD_isError(ZSTD_CCtx_setParameter(p.zstd, ZSTD_c_compressionLevel, zstd)))) {
		ret = ct_fail(err, CT_EXIT_FAILED, "no memory for an archive");
	} else {
		if (zstd)
			ZSTD_CCtx_setParameter(p.zstd, ZSTD_c_checksumFlag, 1);
		take_name(&p, rec->path);
		ret = put_all(&p, rec);
	}
	free(p.in);
	free(p.out);
	ZSTD_freeCCtx(p.zstd);
	return ret;
}
