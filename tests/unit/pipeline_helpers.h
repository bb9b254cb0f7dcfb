/* SPDX-License-Identifier: MIT
 * For tests of the pipeline: a ring of our own, a recording directory, and reading it back.
 *
 * Everything is static inline, as not every test needs all of it. */
#ifndef PIPELINE_HELPERS_H
#define PIPELINE_HELPERS_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "formats/event_access.h"
#include "user/pipeline_priv.h"

#define TEXT   88 /* of the usual record, which then has 136 bytes */
#define RECORD (sizeof(struct ct_event) + sizeof(struct ct_ev_text) + TEXT)

static inline ct_u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (ct_u64)ts.tv_sec * 1000000000ull + (ct_u64)ts.tv_nsec;
}

/* ---- A ring of our own, laid out and counted as the kernel's ---- */

struct fake {
	struct ct_source src;
	unsigned char *data; /* twice in a row */
	_Atomic ct_u64 produced, released;
	pthread_mutex_t reserve;
	ct_u64 seq, lost; /* what the kernel side counts; atomics of the compiler's, as they are handed out as plain */
};

static inline size_t fake_read(struct ct_source *src, struct ct_ring_rec *recs, size_t max)
{
	struct fake *f = (struct fake *)src;
	ct_u64 end = atomic_load(&f->produced);
	size_t n = 0;

	while (n < max && src->pos < end) {
		unsigned char *head = f->data + src->pos % src->size;
		ct_u32 len = __atomic_load_n((ct_u32 *)head, __ATOMIC_ACQUIRE);
		if (len & BPF_RINGBUF_BUSY_BIT)
			break;
		recs[n++] = (struct ct_ring_rec){.ev = (void *)(head + 8), .pos = src->pos, .len = len};
		src->pos += (8 + len + 7) & ~7ull;
	}
	return n;
}

static inline ct_u64 fake_produced(struct ct_source *src)
{
	return atomic_load(&((struct fake *)src)->produced);
}

/* Whoever reads a record after giving it back finds rubbish. */
static inline void fake_release(struct ct_source *src, ct_u64 pos)
{
	struct fake *f = (struct fake *)src;
	ct_u64 from = atomic_load(&f->released);

	cr_assert(from <= pos && pos <= src->pos);
	memset(f->data + from % src->size, 0xee, pos - from);
	atomic_store(&f->released, pos);
}

static inline void fake_destroy(struct ct_source *src)
{
	struct fake *f = (struct fake *)src;

	munmap(f->data, 2 * src->size);
}

static inline void fake_init(struct fake *f, size_t size)
{
	int fd = memfd_create("ring", MFD_CLOEXEC);

	memset(f, 0, sizeof(*f));
	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	f->data = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mmap(f->data, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	mmap(f->data + size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	close(fd);
	pthread_mutex_init(&f->reserve, NULL);
	f->src = (struct ct_source){.size = size,
				    .read = fake_read,
				    .produced = fake_produced,
				    .release = fake_release,
				    .destroy = fake_destroy};
}

static inline ct_u64 fake_number(struct fake *f)
{
	return __atomic_add_fetch(&f->seq, 1, __ATOMIC_SEQ_CST);
}

static inline void fake_lose(struct fake *f)
{
	__atomic_add_fetch(&f->lost, 1, __ATOMIC_SEQ_CST);
}

/* Puts record number `seq` with `text` bytes of text into the ring; false if it does not fit. */
static inline bool fake_put(struct fake *f, ct_u64 seq, ct_u32 text)
{
	ct_u32 len = (ct_u32)(sizeof(struct ct_event) + sizeof(struct ct_ev_text)) + text;
	ct_u64 room = (8 + (ct_u64)len + 7) & ~7ull;

	pthread_mutex_lock(&f->reserve);
	ct_u64 pos = atomic_load(&f->produced);
	if (pos + room - atomic_load(&f->released) > f->src.size) {
		pthread_mutex_unlock(&f->reserve);
		return false;
	}
	unsigned char *head = f->data + pos % f->src.size;
	__atomic_store_n((ct_u32 *)head, len | BPF_RINGBUF_BUSY_BIT, __ATOMIC_RELAXED);
	atomic_store(&f->produced, pos + room);
	pthread_mutex_unlock(&f->reserve);

	struct ct_event ev = {.size = len, .type = CT_EV_NOTE, .seq = seq, .time_ns = 1000 + seq, .tid = 7, .pid = 7};
	struct ct_ev_text t = {.text_len = text, .value = seq};
	memcpy(head + 8, &ev, sizeof(ev));
	memcpy(head + 8 + sizeof(ev), &t, sizeof(t));
	memset(head + 8 + sizeof(ev) + sizeof(t), (int)('a' + seq % 26), text);
	memset(head + 8 + len, 0xaa, room - 8 - len); /* what was there before */
	__atomic_store_n((ct_u32 *)head, len, __ATOMIC_RELEASE);
	return true;
}

/* As the kernel side does: number first, then the ring. */
static inline ct_u64 fake_event(struct fake *f, ct_u32 text)
{
	ct_u64 seq = fake_number(f);

	if (!fake_put(f, seq, text))
		fake_lose(f);
	return seq;
}

/* ---- A recording directory and reading it back ---- */

struct rec {
	char path[64];
	int dirfd;
	struct ct_pipeline *p;
	struct ct_error err;
};

static inline void rec_dir(struct rec *r, const char *base)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->path, sizeof(r->path), "%s/ctbpf-test-XXXXXX", base);
	cr_assert(mkdtemp(r->path));
	r->dirfd = open(r->path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	cr_assert_eq(mkdirat(r->dirfd, "segments", 0700), 0);
}

static inline void rec_remove(struct rec *r)
{
	char name[64];

	for (int i = 1; i < 10000; i++) {
		snprintf(name, sizeof(name), "segments/%06d.ctseg", i);
		if (unlinkat(r->dirfd, name, 0))
			break;
	}
	unlinkat(r->dirfd, "segments", AT_REMOVEDIR);
	close(r->dirfd);
	rmdir(r->path);
}

static inline struct ct_pipeline_opts rec_opts(struct rec *r, struct fake *f)
{
	return (struct ct_pipeline_opts){.dirfd = r->dirfd,
					 .ring_fd = -1,
					 .kernel_seq = f ? &f->seq : NULL,
					 .kernel_lost = f ? &f->lost : NULL,
					 .level = 1,
					 .segment_size = 1ull << 30};
}

static inline void rec_start(struct rec *r, const struct ct_pipeline_opts *opts, struct fake *f,
			     struct pipe_hooks hooks)
{
	hooks.source = f ? &f->src : NULL;
	r->p = ct_pipeline_create_hooked(opts, &hooks, &r->err);
	cr_assert(r->p, "%s", r->err.msg);
}

/* A directory and a ring, and the pipeline between them. */
static inline void rec_begin(struct rec *r, struct fake *f, size_t ring, struct pipe_hooks hooks)
{
	rec_dir(r, "/tmp");
	fake_init(f, ring);
	struct ct_pipeline_opts o = rec_opts(r, f);
	rec_start(r, &o, f, hooks);
}

static inline void rec_drain(struct rec *r)
{
	cr_assert_eq(ct_pipeline_drain(r->p, 20000, &r->err), 0, "%s", r->err.msg);
}

static inline void rec_finish(struct rec *r, struct ct_pipeline_stats *st)
{
	cr_assert_eq(ct_pipeline_finish(r->p, st, &r->err), 0, "%s", r->err.msg);
}

static inline struct ct_segment *rec_segment(struct rec *r, int i)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "segments/%06d.ctseg", i);
	fd = openat(r->dirfd, name, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? NULL : ct_segment_open(fd, name, &r->err);
}

typedef void see(void *ctx, const struct ct_event *ev);

/* Walks all segments, checking what must hold for any recording: numbers dense, a jump followed by a LOST record with
 * exactly its size, payloads as they were fed. */
struct seen {
	ct_u64 events, notes, lost, last, segments, broken, lost_records;
};

static inline void check_note(const struct ct_event *ev)
{
	const struct ct_ev_text *t = ct_event_payload(ev);
	const char *text = (const char *)(t + 1);

	if (ev->tid != 7)
		return; /* appended */
	cr_assert_eq(ev->size, sizeof(*ev) + sizeof(*t) + t->text_len);
	for (ct_u32 i = 0; i < t->text_len; i++)
		if (text[i] != (char)('a' + t->value % 26))
			cr_assert_fail("record %llu is damaged", (unsigned long long)ev->seq);
}

static inline struct seen rec_read(struct rec *r, see *fn, void *ctx)
{
	struct seen s = {0};
	struct ct_segment *seg;

	while ((seg = rec_segment(r, (int)s.segments + 1))) {
		ct_u32 blocks;
		const struct ct_index_entry *e = ct_segment_index(seg, &blocks);
		cr_assert(!ct_segment_recovered(seg));
		cr_assert_eq(ct_segment_header(seg)->first_seq, e[0].first_seq);
		s.segments++;
		if (ct_segment_broken_from(seg))
			s.broken++;
		for (ct_u32 b = 0; b < blocks; b++) {
			void *data;
			size_t raw;
			cr_assert_eq(ct_segment_block(seg, b, &data, &raw, &r->err), 0, "%s", r->err.msg);
			for (size_t pos = 0; pos < raw;) {
				const struct ct_event *ev = (void *)((char *)data + pos);
				for (size_t i = ev->size; i < ct_event_stride(ev); i++)
					if (((const char *)ev)[i])
						cr_assert_fail("padding of record %llu", (unsigned long long)ev->seq);
				if (ev->seq != s.last + 1) {
					cr_assert_eq(ev->type, CT_EV_LOST);
					const struct ct_ev_lost *l = ct_event_payload(ev);
					cr_assert_eq(l->count, ev->seq - s.last - 1);
					s.lost += l->count;
					s.lost_records++;
				} else {
					cr_assert_neq(ev->type, CT_EV_LOST);
				}
				s.last = ev->seq;
				s.events++;
				if (ev->type == CT_EV_NOTE) {
					s.notes++;
					check_note(ev);
				}
				if (fn)
					fn(ctx, ev);
				pos += ct_event_stride(ev);
			}
			free(data);
		}
		ct_segment_close(seg);
	}
	return s;
}

/* The kernel numbers of the records, in the order stored. */
struct order {
	ct_u64 last;
	ct_u64 wrong;
};

static inline void see_order(void *ctx, const struct ct_event *ev)
{
	struct order *o = ctx;
	const struct ct_ev_text *t = ct_event_payload(ev);

	if (ev->type != CT_EV_NOTE || ev->tid != 7)
		return;
	if (t->value <= o->last)
		o->wrong++;
	o->last = t->value;
}

static inline ct_u64 append_note(struct ct_pipeline *p)
{
	struct {
		struct ct_event ev;
		struct ct_ev_text t;
	} rec = {.ev = {.size = sizeof(rec), .type = CT_EV_NOTE, .tid = 9}};
	ct_u64 seq = ct_pipeline_append(p, &rec.ev);

	cr_assert_eq(seq, rec.ev.seq);
	cr_assert(rec.ev.time_ns);
	return seq;
}

/* Counts what it sees, and with `p` set appends a note after every tenth record. */
struct tapped {
	struct ct_pipeline *p;
	ct_u64 calls, last, appended, wrong;
};

static inline void tap(void *ctx, const struct ct_event *ev)
{
	struct tapped *t = ctx;

	t->calls++;
	if (ev->seq <= t->last)
		t->wrong++;
	t->last = ev->seq;
	if (t->calls % 10 == 0 && t->p) {
		if (append_note(t->p) != ev->seq + 1)
			t->wrong++;
		t->appended++;
	}
}

#endif
