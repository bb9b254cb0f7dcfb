/* SPDX-License-Identifier: MIT
 * steps/output: a header, then records {event, stream, length, checksum, bytes}. docs/stepdb.md has its layout. */
#include "stepdb_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dirio.h"
#include "segment.h"
#include "stepdb_private.h"

#define MAGIC 0x54554f4650425443ull /* the bytes "CTBPFOUT" */

struct header { /* 40 bytes */
	ct_u64 magic;
	ct_u16 version;
	ct_u16 reserved;
	ct_u32 flags;
	ct_u8 uuid[16];
	ct_u32 zero;
	ct_u32 crc;
};
struct record { /* 24 bytes, then `len` bytes */
	ct_u64 seq;
	ct_u32 len;
	ct_u32 stream;
	ct_u32 crc; /* of the bytes */
	ct_u32 header_crc;
};

/* ---- Writing ---- */

struct ct_output_writer {
	FILE *f;
	int error;
};

struct ct_output_writer *ct_output_create(int recording_dirfd, const ct_u8 uuid[16], struct ct_error *err)
{
	struct header h = {.magic = MAGIC, .version = 1};
	struct ct_output_writer *w = calloc(1, sizeof(*w));
	int dirfd = sd_opendir(recording_dirfd, false, err), fd = -1;

	if (w && dirfd >= 0) {
		unlinkat(dirfd, "output", 0);
		fd = ct_file_createat(dirfd, "output");
		if (fd < 0)
			ct_fail_write(err, "steps/output");
		else if (!(w->f = fdopen(fd, "w")))
			close(fd);
	}
	if (dirfd >= 0)
		close(dirfd);
	if (!w || !w->f) {
		if (!w || fd >= 0)
			ct_fail(err, CT_EXIT_FAILED, "out of memory");
		free(w);
		return NULL;
	}
	memcpy(h.uuid, uuid, sizeof(h.uuid));
	h.crc = ct_crc32c(0, &h, offsetof(struct header, crc));
	if (fwrite(&h, sizeof(h), 1, w->f) != 1)
		w->error = errno;
	return w;
}

void ct_output_put(struct ct_output_writer *w, ct_u64 seq, unsigned stream, const void *data, size_t len)
{
	const char *p = data;

	while (len && !w->error) {
		size_t n = len < CT_OUTPUT_MAX ? len : CT_OUTPUT_MAX;
		struct record r = {.seq = seq, .len = (ct_u32)n, .stream = stream, .crc = ct_crc32c(0, p, n)};

		r.header_crc = ct_crc32c(0, &r, offsetof(struct record, header_crc));
		if (fwrite(&r, sizeof(r), 1, w->f) != 1 || fwrite(p, 1, n, w->f) != n)
			w->error = errno;
		p += n;
		len -= n;
	}
}

int ct_output_finish(struct ct_output_writer *w, struct ct_error *err)
{
	int error = w->error;

	if (fclose(w->f) && !error)
		error = errno;
	free(w);
	errno = error;
	return error ? ct_fail_write(err, "steps/output") : 0;
}

/* ---- Reading ---- */

struct ct_output_reader {
	int fd;
	ct_u64 at, size, seq;
	char *data;
};

static int damaged(const struct ct_output_reader *r, struct ct_error *err)
{
	return ct_fail(err, CT_EXIT_FAILED, "steps/output: damaged at offset %llu; rebuild it with `ctbpf index`",
		       (unsigned long long)r->at);
}

struct ct_output_reader *ct_output_open(int recording_dirfd, const ct_u8 uuid[16], struct ct_error *err)
{
	struct ct_output_reader *r = calloc(1, sizeof(*r));
	int dirfd = sd_opendir(recording_dirfd, false, err);
	struct header h;
	struct stat st;

	if (!r || dirfd < 0 || (r->fd = ct_regular_openat(dirfd, "output", &st)) < 0) {
		if (r && dirfd >= 0 && errno != ENOENT)
			ct_fail_errno(err, CT_EXIT_FAILED, "steps/output");
		free(r);
		r = NULL;
	}
	if (dirfd >= 0)
		close(dirfd);
	if (!r)
		return NULL;
	r->size = (ct_u64)st.st_size;
	if (ct_pread_full(r->fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) || h.magic != MAGIC || h.version != 1 ||
	    h.flags || h.crc != ct_crc32c(0, &h, offsetof(struct header, crc)) ||
	    memcmp(h.uuid, uuid, sizeof(h.uuid)) != 0) {
		damaged(r, err);
		ct_output_reader_close(r);
		return NULL;
	}
	r->at = sizeof(h);
	return r;
}

void ct_output_reader_close(struct ct_output_reader *r)
{
	if (!r)
		return;
	close(r->fd);
	free(r->data);
	free(r);
}

int ct_output_next(struct ct_output_reader *r, struct ct_output_record *record, struct ct_error *err)
{
	struct record h;

	if (r->size - r->at < sizeof(h)) /* whoever writes it is still at it */
		return 0;
	if (ct_pread_full(r->fd, &h, sizeof(h), r->at) != (ssize_t)sizeof(h) ||
	    h.header_crc != ct_crc32c(0, &h, offsetof(struct record, header_crc)) || h.len > CT_OUTPUT_MAX || !h.len ||
	    h.stream < 1 || h.stream > 2 || h.seq < r->seq) {
		damaged(r, err);
		r->at = r->size;
		return -1;
	}
	if (h.len > r->size - r->at - sizeof(h))
		return 0;
	free(r->data);
	r->data = ct_pread_alloc(r->fd, h.len, r->at + sizeof(h), "steps/output", err);
	if (!r->data || ct_crc32c(0, r->data, h.len) != h.crc) {
		damaged(r, err);
		r->at = r->size;
		return -1;
	}
	r->seq = h.seq;
	r->at += sizeof(h) + h.len;
	*record = (struct ct_output_record){h.seq, h.stream, r->data, h.len};
	return 1;
}
