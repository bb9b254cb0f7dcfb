/* SPDX-License-Identifier: MIT
 * For tests and seed generators of the recording's formats: a scratch directory, event records, small segments.
 *
 * Everything is static inline; a failure ends the program, as nothing sensible can follow. */
#ifndef RECORDING_HELPERS_H
#define RECORDING_HELPERS_H

#include <assert.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/event_access.h"
#include "formats/recording.h"
#include "formats/segment.h"
#include "formats/snapshot.h"

#undef NDEBUG

static const ct_u8 test_uuid[16] = {1, 2, 3, 4, 5, 6, 0x77, 8, 0x99, 10, 11, 12, 13, 14, 15, 16};

static inline void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

/* ---- Directories ---- */

static inline char *scratch_dir(void)
{
	const char *base = getenv("TMPDIR");
	char *path = NULL;

	must(asprintf(&path, "%s/ctbpf-test-XXXXXX", base ? base : "/tmp") > 0, "asprintf");
	must(mkdtemp(path) != NULL, path);
	return path;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

/* Removes the directory and frees its name. */
static inline void scratch_remove(char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(path);
}

/* A name below a directory; valid until the fourth call from now. */
static inline const char *below(const char *dir, const char *name)
{
	static char path[4][512];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static inline void put_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0, path);
	must(write(fd, data, len) == (ssize_t)len, path);
	close(fd);
}

static inline ct_u8 *get_file(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ct_u8 *data;

	must(fd >= 0 && fstat(fd, &st) == 0, path);
	data = malloc((size_t)st.st_size + 1);
	must(data && read(fd, data, (size_t)st.st_size) == st.st_size, path);
	close(fd);
	*len = (size_t)st.st_size;
	return data;
}

static inline int memory_file(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, data, len) == (ssize_t)len, "memfd");
	return fd;
}

/* ---- Growing buffers ---- */

struct bytes {
	ct_u8 *data;
	size_t len;
};

static inline void *bytes_add(struct bytes *b, const void *data, size_t len)
{
	b->data = realloc(b->data, b->len + len + 1);
	must(b->data != NULL, "realloc");
	if (data)
		memcpy(b->data + b->len, data, len);
	else
		memset(b->data + b->len, 0, len);
	b->len += len;
	return b->data + b->len - len;
}

/* ---- Records ---- */

/* Appends a record: header, fixed payload, tail, padding. */
static inline void add_event(struct bytes *b, ct_u16 type, ct_u64 seq, ct_u64 ns, const void *payload, size_t len,
			     const void *tail, size_t tail_len)
{
	struct ct_event ev = {
		.size = (ct_u32)(sizeof(ev) + len + tail_len),
		.type = type,
		.seq = seq,
		.time_ns = ns,
		.tid = 100,
		.pid = 100,
	};

	bytes_add(b, &ev, sizeof(ev));
	bytes_add(b, payload, len);
	if (tail_len)
		bytes_add(b, tail, tail_len);
	bytes_add(b, NULL, -b->len & 7);
}

static inline void add_text(struct bytes *b, ct_u16 type, ct_u64 seq, ct_u64 ns, const char *text)
{
	struct ct_ev_text t = {
		.reason = type == CT_EV_NOTE ? 0 : CT_UNSOUND_SYSCALL,
		.text_len = (ct_u32)strlen(text),
		.value = type == CT_EV_NOTE ? 0 : 425, /* io_uring_setup */
	};

	add_event(b, type, seq, ns, &t, sizeof(t), text, t.text_len);
}

static inline void add_note(struct bytes *b, ct_u64 seq, ct_u64 ns)
{
	char text[64];

	snprintf(text, sizeof(text), "note number %llu", (unsigned long long)seq);
	add_text(b, CT_EV_NOTE, seq, ns, text);
}

static inline void add_exit(struct bytes *b, ct_u64 seq, ct_u64 ns)
{
	struct ct_ev_exit e = {0};

	add_event(b, CT_EV_EXIT, seq, ns, &e, sizeof(e), NULL, 0);
}

static inline void add_snapshot(struct bytes *b, ct_u64 seq, ct_u64 ns, ct_u32 id, ct_u32 kind)
{
	struct ct_ev_snapshot s = {.id = id, .kind = kind, .nprocs = 1};

	add_event(b, CT_EV_SNAPSHOT, seq, ns, &s, sizeof(s), NULL, 0);
}

static inline void add_lost(struct bytes *b, ct_u64 seq, ct_u64 ns, ct_u64 count)
{
	struct ct_ev_lost l = {.count = count, .reason = CT_LOST_RING_FULL};

	add_event(b, CT_EV_LOST, seq, ns, &l, sizeof(l), NULL, 0);
}

/* ---- Segments ---- */

struct segment_maker {
	struct bytes file;
	struct ct_index_entry entries[64];
	ct_u32 blocks;
	int level;
};

static inline void segment_start(struct segment_maker *m, ct_u32 index, ct_u64 first_seq, const ct_u8 uuid[16],
				 int level)
{
	struct ct_segment_header h;

	memset(m, 0, sizeof(*m));
	m->level = level;
	ct_segment_header_init(&h, index, first_seq, 1000, uuid);
	bytes_add(&m->file, &h, sizeof(h));
}

/* Encodes the records as one block and empties them. */
static inline void segment_block(struct segment_maker *m, struct bytes *records)
{
	struct ct_encoder *enc = ct_encoder_create(m->level);
	size_t at = m->file.len, bound = ct_block_bound(records->len);
	struct ct_index_entry *e = &m->entries[m->blocks++];
	struct ct_error err = {0};
	ssize_t n;

	must(enc != NULL && m->blocks <= 64, "encoder");
	bytes_add(&m->file, NULL, bound);
	n = ct_block_encode(enc, records->data, records->len, m->file.data + at, e, &err);
	if (n < 0)
		fprintf(stderr, "%s\n", err.msg);
	must(n > 0 && n % 8 == 0 && (size_t)n <= bound, "ct_block_encode");
	m->file.len = at + (size_t)n;
	e->offset = at;
	ct_encoder_destroy(enc);
	free(records->data);
	*records = (struct bytes){0};
}

static inline void segment_end(struct segment_maker *m, ct_u64 broken_from)
{
	ct_u64 offset = m->file.len;

	ct_footer_encode(m->entries, m->blocks, offset, broken_from,
			 bytes_add(&m->file, NULL, ct_footer_size(m->blocks)));
}

/* `blocks` blocks of `per_block` notes, numbered from 1, a microsecond apart from 1 ms on; with a footer. */
static inline void segment_of_notes(struct segment_maker *m, ct_u32 blocks, ct_u32 per_block, int level)
{
	ct_u64 seq = 1;

	segment_start(m, 1, 1, test_uuid, level);
	for (ct_u32 b = 0; b < blocks; b++) {
		struct bytes records = {0};

		for (ct_u32 i = 0; i < per_block; i++, seq++)
			add_note(&records, seq, 1000000 + seq * 1000);
		segment_block(m, &records);
	}
	segment_end(m, 0);
}

/* ---- Recordings ---- */

/* Makes DIR/rec.ctr with this state and a recorder that is this process; returns the descriptor. */
static inline int make_recording(const char *dir, const char *state)
{
	struct ct_error err = {0};
	int fd = ct_recording_create(below(dir, "rec.ctr"), &err);
	json_t *m = ct_manifest_new(test_uuid);

	must(fd >= 0 && m, err.msg);
	json_object_set_new(m, "state", json_string(state));
	json_object_set_new(m, "clocks",
			    json_pack("{s:I,s:I,s:I}", "realtime_ns", (json_int_t)1795349405000000000, "monotonic_ns",
				      (json_int_t)1000000000, "boottime_ns", (json_int_t)1000000000));
	must(ct_manifest_write(fd, m, &err) == 0, err.msg);
	json_decref(m);
	return fd;
}

/* Changes one field of the manifest. */
static inline void set_manifest(int dirfd, const char *key, json_t *value)
{
	int fd = openat(dirfd, "manifest.json", O_RDONLY | O_CLOEXEC);
	json_t *m = fd >= 0 ? json_loadfd(fd, 0, NULL) : NULL;
	struct ct_error err = {0};

	must(m != NULL, "manifest.json");
	close(fd);
	json_object_set_new(m, key, value);
	must(ct_manifest_write(dirfd, m, &err) == 0, err.msg);
	json_decref(m);
}

static inline void put_segment(const char *dir, ct_u32 number, struct segment_maker *m)
{
	char name[64];

	snprintf(name, sizeof(name), "rec.ctr/segments/%06u.ctseg", number);
	put_file(below(dir, name), m->file.data, m->file.len);
	free(m->file.data);
	m->file = (struct bytes){0};
}

/* Segment `number` with notes first..first+blocks*3-1, three a block, one a millisecond. */
static inline void put_notes(const char *dir, ct_u32 number, ct_u64 first, ct_u32 blocks, bool close_it)
{
	struct segment_maker m;

	segment_start(&m, number, first, test_uuid, 1);
	for (ct_u32 b = 0; b < blocks; b++) {
		struct bytes records = {0};

		for (int i = 0; i < 3; i++, first++)
			add_note(&records, first, first * 1000000);
		segment_block(&m, &records);
	}
	if (close_it)
		segment_end(&m, 0);
	put_segment(dir, number, &m);
}

/* Opens DIR/rec.ctr, which must work. */
static inline struct ct_recording *open_recording(const char *dir)
{
	struct ct_error err = {0};
	struct ct_recording *rec = ct_recording_open(below(dir, "rec.ctr"), &err);

	must(rec != NULL, err.msg);
	return rec;
}

/* A snapshot of one process with one page. */
static inline void put_snapshot(int dirfd, ct_u32 id, ct_u32 kind, ct_u64 seq)
{
	static ct_u8 page[CT_PAGE] = "content of a page";
	struct ct_snap_thread thread = {.tid = 100, .in_syscall = -1, .restart_nr = -1};
	struct ct_snap_proc proc = {.pid = 100, .nthreads = 1, .threads = &thread};
	struct ct_snapshot snap = {.id = id, .kind = kind, .seq = seq, .nprocs = 1, .procs = &proc};
	struct ct_error err = {0};
	struct ct_snapshot_writer *w = ct_snapshot_writer_create(dirfd, id, 1, NULL, &err);

	must(w && ct_snapshot_add_pages(w, 0, 0x10000, page, 1, &err) == 0 &&
		     ct_snapshot_writer_finish(w, &snap, &err) == 0,
	     err.msg);
}

#endif
