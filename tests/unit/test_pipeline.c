/* SPDX-License-Identifier: MIT
 * The recording pipeline: nothing lost, nothing made up, in order, whatever ring and disk do.
 *
 * Most tests feed a ring of their own; the ones named kernel_* use a real BPF ring buffer and need root. */
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "formats/event_access.h"
#include "formats/recording.h"
#include "user/pipeline_priv.h"

#define TEXT   88 /* of the usual record, which then has 136 bytes */
#define RECORD (sizeof(struct ct_event) + sizeof(struct ct_ev_text) + TEXT)

static ct_u64 now_ns(void)
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

static size_t fake_read(struct ct_source *src, struct ct_ring_rec *recs, size_t max)
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

static ct_u64 fake_produced(struct ct_source *src)
{
	return atomic_load(&((struct fake *)src)->produced);
}

/* Whoever reads a record after giving it back finds rubbish. */
static void fake_release(struct ct_source *src, ct_u64 pos)
{
	struct fake *f = (struct fake *)src;
	ct_u64 from = atomic_load(&f->released);

	cr_assert(from <= pos && pos <= src->pos);
	memset(f->data + from % src->size, 0xee, pos - from);
	atomic_store(&f->released, pos);
}

static void fake_destroy(struct ct_source *src)
{
	struct fake *f = (struct fake *)src;

	munmap(f->data, 2 * src->size);
}

static void fake_init(struct fake *f, size_t size)
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

static ct_u64 fake_number(struct fake *f)
{
	return __atomic_add_fetch(&f->seq, 1, __ATOMIC_SEQ_CST);
}

static void fake_lose(struct fake *f)
{
	__atomic_add_fetch(&f->lost, 1, __ATOMIC_SEQ_CST);
}

/* Puts record number `seq` with `text` bytes of text into the ring; false if it does not fit. */
static bool fake_put(struct fake *f, ct_u64 seq, ct_u32 text)
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
static ct_u64 fake_event(struct fake *f, ct_u32 text)
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

static void rec_dir(struct rec *r, const char *base)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->path, sizeof(r->path), "%s/ctbpf-test-XXXXXX", base);
	cr_assert(mkdtemp(r->path));
	r->dirfd = open(r->path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	cr_assert_eq(mkdirat(r->dirfd, "segments", 0700), 0);
}

static void rec_remove(struct rec *r)
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

static struct ct_pipeline_opts rec_opts(struct rec *r, struct fake *f)
{
	return (struct ct_pipeline_opts){.dirfd = r->dirfd,
					 .ring_fd = -1,
					 .kernel_seq = f ? &f->seq : NULL,
					 .kernel_lost = f ? &f->lost : NULL,
					 .level = 1,
					 .segment_size = 1ull << 30};
}

static void rec_start(struct rec *r, const struct ct_pipeline_opts *opts, struct fake *f, struct pipe_hooks hooks)
{
	hooks.source = f ? &f->src : NULL;
	r->p = ct_pipeline_create_hooked(opts, &hooks, &r->err);
	cr_assert(r->p, "%s", r->err.msg);
}

static void rec_drain(struct rec *r)
{
	cr_assert_eq(ct_pipeline_drain(r->p, 20000, &r->err), 0, "%s", r->err.msg);
}

static void rec_finish(struct rec *r, struct ct_pipeline_stats *st)
{
	cr_assert_eq(ct_pipeline_finish(r->p, st, &r->err), 0, "%s", r->err.msg);
}

static struct ct_segment *rec_segment(struct rec *r, int i)
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

static void check_note(const struct ct_event *ev)
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

static struct seen rec_read(struct rec *r, see *fn, void *ctx)
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

static void see_order(void *ctx, const struct ct_event *ev)
{
	struct order *o = ctx;
	const struct ct_ev_text *t = ct_event_payload(ev);

	if (ev->type != CT_EV_NOTE || ev->tid != 7)
		return;
	if (t->value <= o->last)
		o->wrong++;
	o->last = t->value;
}

static ct_u64 append_note(struct ct_pipeline *p)
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

/* ---- Order and numbers ---- */

Test(pipeline, stores_records_in_order)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 1 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	for (int i = 0; i < 1000; i++)
		fake_event(&f, TEXT + (ct_u32)i % 9);
	rec_drain(&r);
	rec_finish(&r, &st);
	struct order ord = {0};
	struct seen s = rec_read(&r, see_order, &ord);
	cr_assert_eq(s.notes, 1000);
	cr_assert_eq(ord.wrong, 0);
	cr_assert_eq(s.lost, 0);
	cr_assert_eq(st.events, 1000);
	cr_assert_eq(st.lost, 0);
	cr_assert_eq(st.last_seq, 1000);
	cr_assert_eq(st.first_ns, 1001);
	cr_assert_eq(st.last_ns, 2000);
	cr_assert_eq(st.segments, 1);
	cr_assert(st.cpu_ns > 0);
	rec_remove(&r);
}

Test(pipeline, an_empty_recording_has_no_segment)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 1 << 16);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	cr_assert_eq(ct_pipeline_rotate(r.p, &r.err), 0);
	rec_finish(&r, &st);
	cr_assert_eq(st.segments, 0);
	cr_assert_eq(rec_read(&r, NULL, NULL).segments, 0);
	rec_remove(&r);
}

Test(pipeline, puts_reordered_records_right)
{
	static const ct_u64 arrival[] = {2, 1, 3, 6, 5, 4, 8, 7, 10, 11, 12, 9};
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 1 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	__atomic_store_n(&f.seq, 12, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < sizeof(arrival) / sizeof(*arrival); i++) {
		fake_put(&f, arrival[i], TEXT);
		usleep(2000);
	}
	rec_drain(&r);
	rec_finish(&r, &st);
	struct order ord = {0};
	struct seen s = rec_read(&r, see_order, &ord);
	cr_assert_eq(s.events, 12);
	cr_assert_eq(ord.wrong, 0);
	cr_assert_eq(st.lost, 0);
	cr_assert_eq(st.reordered, 5);
	rec_remove(&r);
}

Test(pipeline, a_record_far_out_of_place_keeps_its_place_in_the_ring)
{
	struct rec r;
	struct fake f;

	/* 1 is lost, 2000 comes before 2..1999: all are held at once, and released in steps. */
	rec_dir(&r, "/tmp");
	fake_init(&f, 1 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	__atomic_store_n(&f.seq, 2000, __ATOMIC_SEQ_CST);
	fake_put(&f, 2000, TEXT);
	for (ct_u64 i = 2; i < 2000; i++)
		fake_put(&f, i, TEXT);
	usleep(10000);
	fake_lose(&f);
	rec_drain(&r);
	rec_finish(&r, NULL);
	struct order ord = {0};
	struct seen s = rec_read(&r, see_order, &ord);
	cr_assert_eq(s.notes, 1999);
	cr_assert_eq(s.lost, 1);
	cr_assert_eq(ord.wrong, 0);
	rec_remove(&r);
}

Test(pipeline, a_late_record_is_not_taken_for_the_lost_one)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	/* 1 has its number but not yet its place; 3 is lost. Whoever compares gap sizes with the count drops 1. */
	rec_dir(&r, "/tmp");
	fake_init(&f, 1 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	__atomic_store_n(&f.seq, 4, __ATOMIC_SEQ_CST);
	fake_lose(&f);
	fake_put(&f, 2, TEXT);
	fake_put(&f, 4, TEXT);
	usleep(50000);
	cr_assert_eq(ct_pipeline_drain(r.p, 1, &r.err), -1);
	fake_put(&f, 1, TEXT);
	rec_drain(&r);
	rec_finish(&r, &st);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.notes, 3);
	cr_assert_eq(s.lost, 1);
	cr_assert_eq(s.last, 5);
	rec_remove(&r);
}

Test(pipeline, a_gap_becomes_a_lost_record_and_ends_the_segment)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 1 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	for (int i = 0; i < 10; i++)
		fake_event(&f, TEXT);
	for (int i = 0; i < 5; i++) {
		fake_number(&f);
		fake_lose(&f);
	}
	for (int i = 0; i < 10; i++)
		fake_event(&f, TEXT);
	rec_drain(&r);
	rec_finish(&r, &st);
	cr_assert_eq(st.lost, 5);
	cr_assert_eq(st.events, 21);
	struct ct_segment *seg = rec_segment(&r, 1);
	ct_u32 blocks;
	const struct ct_index_entry *e = ct_segment_index(seg, &blocks);
	cr_assert_eq(ct_segment_broken_from(seg), 11);
	cr_assert_eq(e[blocks - 1].last_seq, 16);
	ct_segment_close(seg);
	seg = rec_segment(&r, 2);
	cr_assert_eq(ct_segment_broken_from(seg), 0);
	cr_assert_eq(ct_segment_header(seg)->first_seq, 17);
	ct_segment_close(seg);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.lost, 5);
	cr_assert_eq(s.lost_records, 1);
	rec_remove(&r);
}

Test(pipeline, records_lost_at_the_very_end_are_counted)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 1 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	fake_event(&f, TEXT);
	for (int i = 0; i < 3; i++) {
		fake_number(&f);
		fake_lose(&f);
	}
	rec_drain(&r);
	ct_pipeline_stats(r.p, &st);
	cr_assert_eq(st.lost, 3);
	rec_finish(&r, &st);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.notes, 1);
	cr_assert_eq(s.lost, 3);
	rec_remove(&r);
}

Test(pipeline, a_number_that_never_comes_does_not_hold_up_the_log)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 1 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){.stuck_ns = 50000000});
	fake_number(&f); /* 1: neither arrives nor is counted */
	fake_event(&f, TEXT);
	rec_drain(&r);
	fake_put(&f, 1, TEXT); /* too late: it has been stored as lost */
	fake_number(&f);
	fake_lose(&f);
	fake_event(&f, TEXT);
	rec_drain(&r);
	rec_finish(&r, &st);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.notes, 2);
	cr_assert_eq(s.lost, 2);
	cr_assert_eq(s.lost_records, 2);
	rec_remove(&r);
}

Test(pipeline, many_gaps_do_not_make_many_segments)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 1 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){.loss_end_ns = 20 * 1000000000ull});
	for (int i = 0; i < 1000; i++) {
		fake_event(&f, TEXT);
		fake_number(&f);
		fake_lose(&f);
	}
	rec_drain(&r);
	rec_finish(&r, &st);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.notes, 1000);
	cr_assert_eq(s.lost, 1000);
	cr_assert_eq(s.segments, 2);
	cr_assert_eq(s.broken, 2);
	rec_remove(&r);
}

Test(pipeline, what_is_settled_does_not_wait_for_what_is_not)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	/* 1 is lost, 2 still on its way when 3 arrives. */
	rec_dir(&r, "/tmp");
	fake_init(&f, 1 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	fake_number(&f);
	fake_lose(&f);
	rec_drain(&r);
	fake_number(&f);
	fake_event(&f, TEXT);
	usleep(20000);
	ct_pipeline_stats(r.p, &st);
	cr_assert_eq(st.lost, 1);
	fake_put(&f, 2, TEXT);
	rec_drain(&r);
	rec_finish(&r, &st);
	cr_assert_eq(st.lost, 1);
	cr_assert_eq(rec_read(&r, NULL, NULL).notes, 2);
	rec_remove(&r);
}

Test(pipeline, a_recording_is_read_back_by_its_cursor)
{
	struct rec r;
	struct fake f;
	ct_u8 uuid[16];
	char path[128];

	rec_dir(&r, "/tmp");
	snprintf(path, sizeof(path), "%s/a.ctr", r.path);
	int dirfd = ct_recording_create(path, &r.err);
	cr_assert(dirfd >= 0, "%s", r.err.msg);
	ct_uuid7(uuid);
	json_t *manifest = ct_manifest_new(uuid);
	json_object_set_new(manifest, "state", json_string("complete"));
	cr_assert_eq(ct_manifest_write(dirfd, manifest, &r.err), 0, "%s", r.err.msg);
	json_decref(manifest);
	fake_init(&f, 8 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	o.dirfd = dirfd;
	memcpy(o.uuid, uuid, sizeof(uuid));
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	for (int i = 0; i < 5000; i++) {
		if (i == 2500) {
			rec_drain(&r);
			cr_assert_eq(ct_pipeline_rotate(r.p, &r.err), 0);
		}
		fake_event(&f, TEXT);
	}
	rec_drain(&r);
	rec_finish(&r, NULL);
	struct ct_recording *rec = ct_recording_open(path, &r.err);
	cr_assert(rec, "%s", r.err.msg);
	cr_assert_eq(ct_recording_segments(rec), 2);
	struct ct_cursor *cur = ct_cursor_create(rec, &r.err);
	const struct ct_event *ev;
	ct_u64 n = 0;
	int rc;
	while ((rc = ct_cursor_next(cur, &ev, &r.err)) == 1)
		cr_assert_eq(ev->seq, ++n);
	cr_assert_eq(rc, 0, "%s", r.err.msg);
	cr_assert_eq(n, 5000);
	ct_cursor_destroy(cur);
	ct_recording_close(rec);
	close(dirfd);
	char cmd[160];
	snprintf(cmd, sizeof(cmd), "rm -r '%s'", path);
	cr_assert_eq(system(cmd), 0);
	rec_remove(&r);
}

/* ---- Appending, tap ---- */

Test(pipeline, append_comes_after_what_was_drained)
{
	struct rec r;
	struct fake f;

	rec_dir(&r, "/tmp");
	fake_init(&f, 1 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	cr_assert_eq(append_note(r.p), 1);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 100; i++)
			fake_event(&f, TEXT);
		rec_drain(&r);
		cr_assert_eq(append_note(r.p), (ct_u64)(round + 1) * 101 + 1);
	}
	rec_finish(&r, NULL);
	cr_assert_eq(rec_read(&r, NULL, NULL).events, 2021);
	rec_remove(&r);
}

struct tapped {
	struct ct_pipeline *p;
	ct_u64 calls, last, appended, wrong;
};

static void tap(void *ctx, const struct ct_event *ev)
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

Test(pipeline, a_tap_may_append)
{
	struct rec r;
	struct fake f;
	struct tapped t = {0};

	rec_dir(&r, "/tmp");
	fake_init(&f, 8 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	o.tap = tap;
	o.tap_ctx = &t;
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	t.p = r.p;
	for (int i = 0; i < 20000; i++)
		fake_event(&f, TEXT);
	rec_drain(&r);
	rec_finish(&r, NULL);
	cr_assert_eq(t.calls, 20000); /* ring records only */
	cr_assert_eq(t.appended, 2000);
	cr_assert_eq(t.wrong, 0);
	cr_assert_eq(rec_read(&r, NULL, NULL).events, 22000);
	rec_remove(&r);
}

/* ---- Blocks and segments ---- */

Test(pipeline, rotate_ends_the_segment_on_disk)
{
	struct rec r;
	struct fake f;
	struct stat st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 1 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	for (int i = 1; i <= 3; i++) {
		fake_event(&f, TEXT);
		rec_drain(&r);
		cr_assert_eq(ct_pipeline_rotate(r.p, &r.err), 0);
		cr_assert_eq(ct_pipeline_rotate(r.p, &r.err), 0); /* nothing to end */
		struct ct_segment *seg = rec_segment(&r, i);
		cr_assert(seg);
		cr_assert(!ct_segment_recovered(seg));
		ct_segment_close(seg);
	}
	cr_assert_eq(fstatat(r.dirfd, "segments/000001.ctseg", &st, 0), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	rec_finish(&r, NULL);
	cr_assert_eq(rec_read(&r, NULL, NULL).segments, 3);
	rec_remove(&r);
}

Test(pipeline, a_full_segment_is_followed_by_another)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 8 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	o.segment_size = 256 << 10;
	o.level = 0;
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	for (int i = 0; i < 20000; i++)
		fake_event(&f, TEXT);
	rec_drain(&r);
	rec_finish(&r, &st);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.notes, 20000);
	cr_assert_eq(s.segments, st.segments);
	cr_assert(s.segments >= 5 && s.segments <= 11, "%llu segments", (unsigned long long)s.segments);
	rec_remove(&r);
}

Test(pipeline, a_block_does_not_wait_long)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;
	ct_u64 start;

	rec_dir(&r, "/tmp");
	fake_init(&f, 1 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	fake_event(&f, TEXT);
	start = now_ns();
	do {
		usleep(1000);
		ct_pipeline_stats(r.p, &st);
	} while (!st.stored_bytes && now_ns() - start < 5000000000ull);
	cr_assert(now_ns() - start < 1000000000ull);
	struct ct_segment *seg = NULL;
	ct_u32 blocks = 0;
	for (int i = 0; i < 1000 && !blocks; i++) { /* the header is counted first */
		usleep(1000);
		ct_segment_close(seg);
		seg = rec_segment(&r, 1);
		cr_assert(seg, "%s", r.err.msg);
		ct_segment_index(seg, &blocks);
	}
	cr_assert_eq(blocks, 1);
	cr_assert(ct_segment_recovered(seg)); /* as after kill -9 */
	ct_segment_close(seg);
	rec_finish(&r, NULL);
	rec_remove(&r);
}

Test(pipeline, very_large_records_pass)
{
	static const ct_u32 sizes[] = {1, 300000, 5, CT_EVENT_MAX - 48, 7, CT_EVENT_MAX - 49, 100, 1 << 20};
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 16 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
			fake_event(&f, sizes[i]);
		rec_drain(&r);
	}
	fake_event(&f, CT_EVENT_MAX - 47); /* one byte too many */
	rec_drain(&r);
	rec_finish(&r, &st);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.notes, 24);
	cr_assert_eq(s.lost, 1);
	rec_remove(&r);
}

/* ---- A disk that does not play along ---- */

/* Feeds until the pipeline has failed, and some more; checks that the target would never have been held up. */
static void fill_up(struct rec *r, struct fake *f, bool no_uring)
{
	struct ct_pipeline_stats st, end;
	struct ct_error err;
	int more = 20000;
	struct tapped t = {0};

	struct ct_pipeline_opts o = rec_opts(r, f);
	o.level = 0;
	o.segment_size = 600 << 10;
	o.tap = tap;
	o.tap_ctx = &t;
	r->p = ct_pipeline_create_hooked(&o, &(struct pipe_hooks){.source = &f->src, .no_uring = no_uring}, &r->err);
	cr_assert(r->p);
	for (int i = 0; i < 2000000 && more; i++) {
		fake_event(f, TEXT);
		if (i % 100 == 0 || f->lost) {
			ct_u64 read_to = atomic_load(&f->produced);
			for (int k = 0; k < 20000 && atomic_load(&f->released) < read_to; k++)
				usleep(100);
			cr_assert(atomic_load(&f->released) >= read_to, "the ring is not drained any more");
		}
		if (ct_pipeline_error(r->p, &err))
			more--;
	}
	cr_assert_eq(more, 0);
	cr_assert_eq(ct_pipeline_append(r->p, &(struct ct_event){.size = sizeof(struct ct_event), .type = CT_EV_END}),
		     0);
	cr_assert_eq(ct_pipeline_drain(r->p, 1000, &r->err), -1);
	cr_assert_eq(ct_pipeline_rotate(r->p, &r->err), -1);
	ct_pipeline_stats(r->p, &st);
	cr_assert(st.failed);
	cr_assert_eq(ct_pipeline_finish(r->p, &end, &r->err), -1);
	cr_assert(strstr(r->err.msg, "segments/"), "%s", r->err.msg);
	cr_assert_eq(t.calls, f->seq - f->lost);
	struct seen s = rec_read(r, NULL, NULL);
	cr_assert(s.events > 0);
	cr_assert_eq(s.events, end.events);
	cr_assert_eq(s.last, end.last_seq);
	cr_assert_eq(s.segments, end.segments);
	cr_assert_eq(end.events + end.lost, f->seq); /* every number is accounted for */
	ct_u64 size = 0;
	for (ct_u64 i = 1; i <= s.segments; i++) {
		char name[64];
		struct stat sb;
		snprintf(name, sizeof(name), "segments/%06llu.ctseg", (unsigned long long)i);
		cr_assert_eq(fstatat(r->dirfd, name, &sb, 0), 0);
		size += (ct_u64)sb.st_size;
	}
	cr_assert_eq(size, end.stored_bytes);
}

Test(pipeline, a_full_disk_leaves_whole_blocks_and_a_free_ring)
{
	struct rec r;
	struct fake f;

	cr_assert_eq(unshare(CLONE_NEWNS), 0, "this test needs root");
	cr_assert_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	cr_assert_eq(mount("ctbpf-test", "/mnt", "tmpfs", 0, "size=2M"), 0);
	rec_dir(&r, "/mnt");
	fake_init(&f, 4 << 20);
	fill_up(&r, &f, false);
	cr_assert(strstr(r.err.msg, strerror(ENOSPC)), "%s", r.err.msg);
	rec_remove(&r);
	umount("/mnt");
}

Test(pipeline, a_file_size_limit_is_an_error_not_a_signal)
{
	struct rec r;
	struct fake f;
	struct rlimit lim = {.rlim_cur = 900 << 10, .rlim_max = RLIM_INFINITY};

	rec_dir(&r, "/tmp");
	fake_init(&f, 4 << 20);
	setrlimit(RLIMIT_FSIZE, &lim);
	fill_up(&r, &f, false);
	cr_assert(strstr(r.err.msg, strerror(EFBIG)), "%s", r.err.msg);
	rec_remove(&r);
}

Test(pipeline, a_failed_write_without_io_uring_is_handled_alike)
{
	struct rec r;
	struct fake f;
	struct rlimit lim = {.rlim_cur = 900 << 10, .rlim_max = RLIM_INFINITY};

	rec_dir(&r, "/tmp");
	fake_init(&f, 4 << 20);
	setrlimit(RLIMIT_FSIZE, &lim);
	fill_up(&r, &f, true);
	cr_assert(strstr(r.err.msg, strerror(EFBIG)), "%s", r.err.msg);
	rec_remove(&r);
}

Test(pipeline, works_without_io_uring)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 8 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){.no_uring = true});
	for (int i = 0; i < 20000; i++)
		fake_event(&f, TEXT);
	rec_drain(&r);
	cr_assert_eq(ct_pipeline_rotate(r.p, &r.err), 0);
	fake_event(&f, TEXT);
	rec_finish(&r, &st);
	struct seen s = rec_read(&r, NULL, NULL);
	cr_assert_eq(s.notes, 20001);
	cr_assert_eq(s.segments, 2);
	rec_remove(&r);
}

Test(pipeline, refuses_a_directory_without_segments)
{
	struct rec r;
	struct fake f;

	rec_dir(&r, "/tmp");
	unlinkat(r.dirfd, "segments", AT_REMOVEDIR);
	fake_init(&f, 1 << 16);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	cr_assert_null(ct_pipeline_create_hooked(&o, &(struct pipe_hooks){.source = &f.src}, &r.err));
	cr_assert(strstr(r.err.msg, "segments"));
	rec_remove(&r);
}

Test(pipeline, never_overwrites_a_segment)
{
	struct rec r;
	struct fake f;

	rec_dir(&r, "/tmp");
	close(openat(r.dirfd, "segments/000001.ctseg", O_CREAT | O_WRONLY, 0600));
	fake_init(&f, 1 << 16);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	fake_event(&f, TEXT);
	cr_assert_eq(ct_pipeline_finish(r.p, NULL, &r.err), -1);
	cr_assert(strstr(r.err.msg, strerror(EEXIST)), "%s", r.err.msg);
	rec_remove(&r);
}

/* ---- Stress ---- */

struct producer {
	struct fake *f;
	pthread_t thread;
	int count;
	bool lossless; /* wait for room instead of losing */
	bool race;     /* let others overtake, and give the consumer a chance now and then */
};

static void *produce(void *arg)
{
	struct producer *pr = arg;

	for (int i = 0; i < pr->count; i++) {
		ct_u64 seq = fake_number(pr->f);
		if (pr->race && seq % 5 == 0)
			sched_yield();
		if (pr->race && seq % 1000 == 0)
			usleep(500);
		while (!fake_put(pr->f, seq, TEXT)) {
			if (!pr->lossless) {
				fake_lose(pr->f);
				break;
			}
			sched_yield();
		}
	}
	return NULL;
}

static void run_producers(struct producer *pr, int n)
{
	for (int i = 0; i < n; i++)
		cr_assert_eq(pthread_create(&pr[i].thread, NULL, produce, &pr[i]), 0);
	for (int i = 0; i < n; i++)
		pthread_join(pr[i].thread, NULL);
}

Test(pipeline, five_million_records_come_back_whole, .timeout = 300)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 64 << 20);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	o.segment_size = 16 << 20;
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	struct producer pr = {.f = &f, .count = 5000000, .lossless = true};
	run_producers(&pr, 1);
	rec_drain(&r);
	rec_finish(&r, &st);
	struct order ord = {0};
	struct seen s = rec_read(&r, see_order, &ord);
	cr_assert_eq(s.notes, 5000000);
	cr_assert_eq(s.lost, 0);
	cr_assert_eq(ord.wrong, 0);
	cr_assert_eq(st.events, 5000000);
	rec_remove(&r);
}

Test(pipeline, racing_producers_that_lose_are_accounted_for_exactly, .timeout = 300)
{
	struct rec r;
	struct fake f;
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	fake_init(&f, 256 << 10);
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	rec_start(&r, &o, &f, (struct pipe_hooks){0});
	struct producer pr[3];
	for (int i = 0; i < 3; i++)
		pr[i] = (struct producer){.f = &f, .count = 300000, .race = true};
	run_producers(pr, 3);
	rec_drain(&r);
	rec_finish(&r, &st);
	struct order ord = {0};
	struct seen s = rec_read(&r, see_order, &ord);
	cr_assert_eq(ord.wrong, 0);
	cr_assert_eq(s.notes + s.lost, f.seq);
	/* More only if a producer slept so long between number and ring that it was given up. */
	cr_assert(s.lost >= f.lost && f.lost > 0);
	cr_assert(st.reordered > 0);
	cr_assert_eq(st.lost, s.lost);
	rec_remove(&r);
}

/* ---- The kernel's ring ---- */

struct counters { /* value of a mappable array map */
	ct_u64 seq, lost;
};

struct kernel {
	int ring, globals, prog;
	struct counters *c;
};

#define INSN(c, d, s, o, i) ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define MOV_IMM(d, i)       INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOV_REG(d, s)       INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define ADD_IMM(d, i)       INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define STORE(o, s)         INSN(BPF_STX | BPF_MEM | BPF_DW, 10, s, (short)(o), 0)
#define STORE_IMM(sz, o, i) INSN(BPF_ST | BPF_MEM | (sz), 10, 0, (short)(o), i)
#define LD_MAP(d, kind, fd) INSN(BPF_LD | BPF_IMM | BPF_DW, d, kind, 0, fd), INSN(0, 0, 0, 0, 0)
#define CALL(f)             INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define PER_RUN             1000

/* What the real programs do, in the same order: take a number, output the record, or count the loss. */
static void kernel_init(struct kernel *k, unsigned size)
{
	LIBBPF_OPTS(bpf_map_create_opts, mapped, .map_flags = BPF_F_MMAPABLE);
	LIBBPF_OPTS(bpf_prog_load_opts, sleepable, .prog_flags = BPF_F_SLEEPABLE);
	const int at = -(int)RECORD; /* the record on the program's stack */

	k->ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ct_test_ring", 0, 0, size, NULL);
	cr_assert(k->ring >= 0, "no BPF ring buffer: %s; this test needs root", strerror(errno));
	k->globals = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ct_test_data", 4, sizeof(struct counters), 1, &mapped);
	cr_assert(k->globals >= 0);
	k->c = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, k->globals, 0);
	cr_assert_neq(k->c, MAP_FAILED);

	struct bpf_insn insns[128], *i = insns;
	for (int off = at; off < -TEXT; off += 8)
		*i++ = STORE_IMM(BPF_DW, off, 0);
	*i++ = MOV_IMM(7, 0);
	struct bpf_insn *loop = i;
	struct bpf_insn body[] = {
		LD_MAP(8, BPF_PSEUDO_MAP_VALUE, k->globals),
		MOV_IMM(9, 1),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 8, 9, 0, BPF_ADD | BPF_FETCH),
		ADD_IMM(9, 1),
		STORE_IMM(BPF_W, at, RECORD),
		STORE_IMM(BPF_W, at + 4, CT_EV_NOTE),
		STORE(at + 8, 9),
		STORE_IMM(BPF_W, at + 24, 7), /* tid */
		STORE_IMM(BPF_W, at + 36, TEXT),
		STORE(at + 40, 9), /* value */
		CALL(BPF_FUNC_ktime_get_ns),
		STORE(at + 16, 0),
		/* The text: 'a' + number % 26, eight at a time. */
		INSN(BPF_ALU64 | BPF_MOD | BPF_K, 9, 0, 0, 26),
		ADD_IMM(9, 'a'),
		MOV_REG(1, 9),
		INSN(BPF_ALU64 | BPF_LSH | BPF_K, 1, 0, 0, 8),
		INSN(BPF_ALU64 | BPF_OR | BPF_X, 9, 1, 0, 0),
		MOV_REG(1, 9),
		INSN(BPF_ALU64 | BPF_LSH | BPF_K, 1, 0, 0, 16),
		INSN(BPF_ALU64 | BPF_OR | BPF_X, 9, 1, 0, 0),
		MOV_REG(1, 9),
		INSN(BPF_ALU64 | BPF_LSH | BPF_K, 1, 0, 0, 32),
		INSN(BPF_ALU64 | BPF_OR | BPF_X, 9, 1, 0, 0),
	};
	memcpy(i, body, sizeof(body));
	i += sizeof(body) / sizeof(*body);
	for (int off = -TEXT; off < 0; off += 8)
		*i++ = STORE(off, 9);
	struct bpf_insn out[] = {
		LD_MAP(1, BPF_PSEUDO_MAP_FD, k->ring),
		MOV_REG(2, 10),
		ADD_IMM(2, at),
		MOV_IMM(3, RECORD),
		MOV_IMM(4, BPF_RB_NO_WAKEUP),
		CALL(BPF_FUNC_ringbuf_output),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2, 0),
		MOV_IMM(1, 1),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 8, 1, 8, BPF_ADD),
		ADD_IMM(7, 1),
	};
	memcpy(i, out, sizeof(out));
	i += sizeof(out) / sizeof(*out);
	*i = INSN(BPF_JMP | BPF_JLT | BPF_K, 7, 0, (short)(loop - (i + 1)), PER_RUN);
	i++;
	*i++ = MOV_IMM(0, 0);
	*i++ = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	char log[8192] = "";
	sleepable.log_buf = log;
	sleepable.log_size = sizeof(log);
	k->prog = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "ct_test", "GPL", insns, (size_t)(i - insns), &sleepable);
	cr_assert(k->prog >= 0, "%s: %s", strerror(errno), log);
}

static void kernel_close(struct kernel *k)
{
	munmap(k->c, (size_t)sysconf(_SC_PAGESIZE));
	close(k->prog);
	close(k->globals);
	close(k->ring);
}

struct runner {
	struct kernel *k;
	pthread_t thread;
	int runs;
};

static void *run_program(void *arg)
{
	struct runner *ru = arg;

	for (int i = 0; i < ru->runs; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, opts);
		if (bpf_prog_test_run_opts(ru->k->prog, &opts))
			abort();
	}
	return NULL;
}

static void kernel_case(unsigned ring, int threads, int runs, bool may_lose)
{
	struct rec r;
	struct kernel k;
	struct runner ru[4];
	struct ct_pipeline_stats st;

	rec_dir(&r, "/tmp");
	kernel_init(&k, ring);
	struct ct_pipeline_opts o = rec_opts(&r, NULL);
	o.ring_fd = k.ring;
	o.kernel_seq = &k.c->seq;
	o.kernel_lost = &k.c->lost;
	r.p = ct_pipeline_create(&o, &r.err);
	cr_assert(r.p, "%s", r.err.msg);
	for (int i = 0; i < threads; i++) {
		ru[i] = (struct runner){.k = &k, .runs = runs};
		cr_assert_eq(pthread_create(&ru[i].thread, NULL, run_program, &ru[i]), 0);
	}
	for (int i = 0; i < threads; i++)
		pthread_join(ru[i].thread, NULL);
	rec_drain(&r);
	append_note(r.p);
	rec_finish(&r, &st);
	struct order ord = {0};
	struct seen s = rec_read(&r, see_order, &ord);
	ct_u64 made = (ct_u64)threads * (ct_u64)runs * PER_RUN;
	cr_assert_eq(k.c->seq, made);
	cr_assert_eq(ord.wrong, 0);
	cr_assert(s.lost >= k.c->lost); /* see above: this kind of program may be preempted */
	cr_assert_eq(s.notes - 1 + s.lost, made);
	cr_assert_eq(st.lost, s.lost);
	cr_assert(may_lose || !s.lost, "%llu of %llu lost", (unsigned long long)s.lost, (unsigned long long)made);
	cr_assert(st.ring_bytes_max > 0 && st.ring_bytes_max <= ring);
	cr_assert_eq(s.last, st.last_seq);
	rec_remove(&r);
	kernel_close(&k);
}

Test(pipeline, kernel_ring_is_read_completely)
{
	kernel_case(64 << 20, 1, 300, false);
}
Test(pipeline, kernel_ring_with_two_producers_is_put_in_order)
{
	kernel_case(64 << 20, 2, 1000, true);
}
Test(pipeline, kernel_ring_that_overflows_is_accounted_for_exactly)
{
	kernel_case(64 << 10, 2, 500, true);
}

Test(pipeline, kernel_ring_wants_a_ring_buffer)
{
	struct rec r;
	struct fake f = {0};
	int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ct_test", 4, 8, 1, NULL);

	cr_assert(map >= 0, "this test needs root");
	rec_dir(&r, "/tmp");
	struct ct_pipeline_opts o = rec_opts(&r, &f);
	o.ring_fd = map;
	cr_assert_null(ct_pipeline_create(&o, &r.err));
	cr_assert(strstr(r.err.msg, "not a ring buffer"));
	o.ring_fd = -1;
	cr_assert_null(ct_pipeline_create(&o, &r.err));
	rec_remove(&r);
	close(map);
}
