// SPDX-License-Identifier: MIT
/* A recording of its own, by hard links, of a part of what has been recorded so far: what triggers keep, and what is
 * proven while the recording goes on. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/retention.h"
#include "user/recorder_priv.h"

struct records {
	char *data;
	size_t len, room;
	ct_u64 seq, time_ns;
	bool failed;
};

static void add_record(struct records *out, unsigned type, const void *body, size_t len, const void *tail,
		       size_t tail_len)
{
	size_t size = sizeof(struct ct_event) + len + tail_len, stride = (size + 7) & ~(size_t)7;
	struct ct_event ev = {.size = size, .type = type, .seq = out->seq, .time_ns = out->time_ns};

	if (out->len + stride > CT_BLOCK_RAW_MAX)
		out->failed = true;
	if (!out->failed && out->len + stride > out->room) {
		char *more = realloc(out->data, (out->room + stride) * 2);

		out->failed = !more;
		if (more) {
			out->data = more;
			out->room = (out->room + stride) * 2;
		}
	}
	if (out->failed)
		return;
	memset(out->data + out->len + stride - 8, 0, 8);
	memcpy(out->data + out->len, &ev, sizeof(ev));
	memcpy(out->data + out->len + sizeof(ev), body, len);
	if (tail_len)
		memcpy(out->data + out->len + sizeof(ev) + len, tail, tail_len);
	out->len += stride;
	out->seq++;
}

/* The end that a copy of the log before a snapshot needs: this snapshot, to compare with, and the files whose records
 * come later only because copying a file takes its time. */
static int write_end(struct ct_recorder *r, int fd, const struct ct_part *part, ct_u32 number, struct ct_error *err)
{
	const struct ct_snapshot *snap = part->end;
	struct ct_ev_snapshot body = {.id = snap->id, .kind = CT_SNAP_FINAL, .nprocs = snap->nprocs};
	struct ct_ev_end end = {.reason = CT_END_TRIGGER, .status = -1};
	struct records out = {.seq = snap->seq, .time_ns = part->at_ns};
	int ret;

	add_record(&out, CT_EV_SNAPSHOT, &body, sizeof(body), NULL, 0);
	pthread_mutex_lock(&r->carry);
	for (size_t i = 0; i < r->nfiles; i++) {
		const char *name = r->files[i].name ?: "";
		struct ct_ev_file file = {.ref = r->files[i].ref, .path_len = strlen(name)};

		memcpy(file.hash, r->files[i].hash, sizeof(file.hash));
		add_record(&out, CT_EV_FILE, &file, sizeof(file), name, file.path_len);
	}
	pthread_mutex_unlock(&r->carry);
	add_record(&out, CT_EV_END, &end, sizeof(end), NULL, 0);
	ret = out.failed ? ct_fail(err, CT_EXIT_FAILED, "out of memory")
			 : ct_stored_append(fd, r->uuid, number, out.data, out.len, err);
	free(out.data);
	return ret;
}

int ct_recorder_link(struct ct_recorder *r, const char *path, const struct ct_part *part, const json_t *manifest,
		     struct ct_error *err)
{
	const struct ct_snapshot *end = part->end;
	const struct ct_stored_part stored = {.first_seq = part->first_seq,
					      .end_seq = end ? end->seq : UINT64_MAX,
					      .first_snapshot = part->first_snapshot,
					      .last_snapshot = end ? end->id : UINT32_MAX};
	int fd = ct_recording_create(path, err), parent, ret = -1;
	ct_u32 next;

	if (fd < 0)
		return -1;
	if (!ct_stored_link(r->dirfd, fd, &stored, &next, err) && !(end && write_end(r, fd, part, next, err)))
		ret = ct_manifest_write(fd, manifest, err);
	parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent >= 0) {
		fsync(parent);
		close(parent);
	}
	close(fd);
	if (ret)
		ct_recording_discard(path);
	return ret;
}
