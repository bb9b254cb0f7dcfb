/* SPDX-License-Identifier: MIT
 * Reading a BPF ring buffer through its memory map, and putting its records in order.
 *
 * Relies on the layout in the kernel's kernel/bpf/ringbuf.c and include/uapi/linux/bpf.h, fixed since 5.8. */
#include "ring.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* How far the ring is read on before an attempt to settle is given up: room for producers that were about to reserve.
 */
#define SETTLE_SLACK (256u << 10)
/* Programs take microseconds from their number to the ring, and cannot be preempted in between. */
#define PATIENCE_NS  (20 * 1000000ull)

/* What lies in the ring before each record: the length with two flag bits on top, then the kernel's page offset. */
struct ring_head {
	ct_u32 len;
	ct_u32 pg_off;
};

/* Offset 0 of the map is the consumer's page (writable: it holds consumer_pos), the next page is the producers'
 * (read only), then come the data pages, mapped twice in a row so that no record is ever split at the end. Both
 * positions only grow; the ring's size, a power of two, reduces them to offsets. */
struct ring {
	struct ct_source src;
	size_t page;
	ct_u64 *consumer_pos;
	const ct_u64 *producer_pos;
	const unsigned char *data;
	ct_u64 seen; /* producer_pos when last read: it is a cache line the producers write all the time */
};

static size_t ring_read(struct ct_source *src, struct ct_ring_rec *recs, size_t max)
{
	struct ring *r = (struct ring *)src;
	const ct_u64 mask = src->size - 1;
	ct_u64 pos = src->pos;
	size_t n = 0;

	while (n < max) {
		if (pos == r->seen) {
			r->seen = __atomic_load_n(r->producer_pos, __ATOMIC_ACQUIRE);
			if (pos == r->seen)
				break;
		}
		const struct ring_head *head = (const void *)(r->data + (pos & mask));
		/* Reserved by one CPU while others went on: nothing behind it may be read yet. Pairs with the
		 * kernel's xchg in bpf_ringbuf_commit. */
		ct_u32 len = __atomic_load_n(&head->len, __ATOMIC_ACQUIRE);
		if (len & BPF_RINGBUF_BUSY_BIT)
			break;
		ct_u64 start = pos;
		ct_u32 bytes = len & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		pos += (sizeof(*head) + (ct_u64)bytes + 7) & ~7ull;
		if (len & BPF_RINGBUF_DISCARD_BIT)
			continue;
		recs[n].ev = (const void *)(head + 1);
		recs[n].pos = start;
		recs[n].len = bytes;
		n++;
	}
	src->pos = pos;
	return n;
}

static ct_u64 ring_produced(struct ct_source *src)
{
	return __atomic_load_n(((struct ring *)src)->producer_pos, __ATOMIC_ACQUIRE);
}

static void ring_release(struct ct_source *src, ct_u64 pos)
{
	/* Only after all reads of the records: the kernel overwrites them as soon as it sees this. */
	__atomic_store_n(((struct ring *)src)->consumer_pos, pos, __ATOMIC_RELEASE);
}

static void ring_destroy(struct ct_source *src)
{
	struct ring *r = (struct ring *)src;

	if (r->consumer_pos)
		munmap(r->consumer_pos, r->page);
	if (r->producer_pos)
		munmap((void *)r->producer_pos, r->page + 2 * src->size);
	free(r);
}

struct ct_source *ct_ring_open(int map_fd, struct ct_error *err)
{
	struct bpf_map_info info = {0};
	ct_u32 info_len = sizeof(info);
	struct ring *r = NULL;
	void *map;

	if (bpf_obj_get_info_by_fd(map_fd, &info, &info_len)) {
		ct_fail_errno(err, CT_EXIT_FAILED, "ring buffer: descriptor %d is not a BPF map we may ask about",
			      map_fd);
		return NULL;
	}
	if (info.type != BPF_MAP_TYPE_RINGBUF) {
		ct_fail(err, CT_EXIT_FAILED, "ring buffer: BPF map %s is of type %u, not a ring buffer", info.name,
			info.type);
		return NULL;
	}
	r = calloc(1, sizeof(*r));
	if (!r) {
		ct_fail_errno(err, CT_EXIT_FAILED, "ring buffer: no memory");
		return NULL;
	}
	r->page = (size_t)sysconf(_SC_PAGESIZE);
	r->src.size = info.max_entries;
	r->src.read = ring_read;
	r->src.produced = ring_produced;
	r->src.release = ring_release;
	r->src.destroy = ring_destroy;
	map = mmap(NULL, r->page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (map == MAP_FAILED)
		goto fail;
	r->consumer_pos = map;
	map = mmap(NULL, r->page + 2 * r->src.size, PROT_READ, MAP_SHARED, map_fd, (off_t)r->page);
	if (map == MAP_FAILED)
		goto fail;
	r->producer_pos = map;
	r->data = (const unsigned char *)map + r->page;
	r->src.pos = __atomic_load_n(r->consumer_pos, __ATOMIC_RELAXED);
	r->seen = r->src.pos;
	return &r->src;
fail:
	ct_fail_errno(err, CT_EXIT_FAILED, "ring buffer: cannot map %zu bytes of BPF map %s", r->src.size, info.name);
	ring_destroy(&r->src);
	return NULL;
}

/* ---- In order ---- */

static void take(struct ct_order *o, const struct ct_event *ev)
{
	o->next++;
	if (__builtin_expect(ev != NULL, 1))
		o->record(o->ctx, ev);
	else
		o->lost(o->ctx, 1, CT_LOST_TOO_LARGE);
}

static void hold(struct ct_order *o, ct_u64 seq, const struct ct_event *ev, ct_u64 pos)
{
	struct ct_held *h = o->held + o->held_at, *at;
	size_t n = o->held_n;

	if (o->held_at + n == 2 * o->held_cap) {
		memmove(o->held, h, n * sizeof(*h));
		o->held_at = 0;
		h = o->held;
	}
	for (at = h + n; at > h && at[-1].seq > seq; at--)
		;
	memmove(at + 1, at, (size_t)(h + n - at) * sizeof(*h));
	*at = (struct ct_held){.seq = seq, .ev = ev, .pos = pos};
	o->held_n++;
}

static void release_to(struct ct_order *o, ct_u64 pos)
{
	if (pos <= o->released)
		return;
	o->released = pos;
	o->src->release(o->src, pos);
}

/* All numbers from the next one to `last` are lost. */
static void declare(struct ct_order *o, ct_u64 last)
{
	ct_u64 count = last + 1 - o->next;

	o->next = last + 1;
	o->accounted += count;
	o->lost(o->ctx, count, CT_LOST_RING_FULL);
}

/* Takes what is now in order: up to the first number that is missing and not settled. */
static void advance(struct ct_order *o)
{
	unsigned since = 0;

	while (o->held_n) {
		struct ct_held *h = o->held + o->held_at;
		if (h->seq == o->next) {
			take(o, h->ev);
			o->held_at++;
			o->held_n--;
			/* A whole ring may be held: let producers go on. pos is the smallest of those to come only
			 * after settling, which is the only case with many. */
			if (++since % CT_ORDER_BATCH == 0 && o->held_n && o->settled >= h[1].seq)
				release_to(o, o->held[o->held_at].pos);
		} else if (h->seq < o->next) { /* the same number twice */
			o->held_at++;
			o->held_n--;
		} else if (o->settled >= o->next) {
			declare(o, o->settled < h->seq ? o->settled : h->seq - 1);
		} else {
			break;
		}
	}
	if (!o->held_n) {
		o->held_at = 0;
		if (o->settled >= o->next)
			declare(o, o->settled);
	}
}

static void accept(struct ct_order *o, const struct ct_ring_rec *rec)
{
	const struct ct_event *ev = rec->ev;
	ct_u64 seq;

	if (__builtin_expect(rec->len < sizeof(*ev), 0))
		return; /* not even a number: will be missed and found lost */
	seq = ev->seq;
	if (__builtin_expect(ev->size < sizeof(*ev) || ev->size > rec->len || ev->size > CT_EVENT_MAX, 0))
		ev = NULL;
	if (__builtin_expect(seq > o->max_seen, 1))
		o->max_seen = seq;
	else
		o->reordered++;
	if (__builtin_expect(seq < o->next, 0))
		return; /* was given up: counted as lost already */
	if (__builtin_expect(o->snap, 0) && seq <= o->snap_seq)
		o->snap_open--;
	if (__builtin_expect(seq == o->next, 1)) {
		take(o, ev);
		if (__builtin_expect(o->held_n, 0))
			advance(o);
	} else {
		hold(o, seq, ev, rec->pos);
	}
}

static void settle_to(struct ct_order *o, ct_u64 seq)
{
	struct ct_held *h = o->held + o->held_at;
	ct_u64 low = UINT64_MAX;

	/* Sorted by number, nearly so by place: from here on .pos tells how far the ring may be released before it. */
	for (size_t i = o->held_n; i-- > 0;) {
		if (h[i].pos < low)
			low = h[i].pos;
		h[i].pos = low;
	}
	if (seq > o->settled)
		o->settled = seq;
	o->snap = false;
	advance(o);
}

/* How many numbers up to `seq` are missing. */
static ct_u64 missing(const struct ct_order *o, ct_u64 seq)
{
	const struct ct_held *h = o->held + o->held_at;
	size_t low = 0, high = o->held_n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (h[mid].seq <= seq)
			low = mid + 1;
		else
			high = mid;
	}
	return seq + 1 - o->next - low;
}

/* For when settle() gets nowhere. While the ring is full, what is on its way to it is lost, too, and with enough
 * producers something always is: then numbers given out a long while ago and covered by the count are taken for lost.
 * After a longer while so are those that are not covered: a number that never turns up must not hold up the log for
 * ever. Nothing is made up by that: should the record come after all, it is dropped. */
static void give_up_old(struct ct_order *o, ct_u64 now)
{
	ct_u64 lost, age = now - o->old_at;

	if (o->next > o->old_seq) {
		o->old_seq = __atomic_load_n(o->kernel_seq, __ATOMIC_ACQUIRE);
		o->old_at = now;
		return;
	}
	if (age < PATIENCE_NS || o->src->produced(o->src) != o->src->pos)
		return;
	lost = __atomic_load_n(o->kernel_lost, __ATOMIC_ACQUIRE);
	if (lost - o->accounted >= missing(o, o->old_seq) || age >= o->stuck_ns) {
		settle_to(o, o->old_seq);
		if (o->accounted > lost)
			o->accounted = lost;
	}
}

/* Finds out which missing numbers are lost. `drained`: the ring was just found without a finished record.
 *
 * First *kernel_lost is read, then *kernel_seq = G: every loss counted so far is of a number <= G. If after that no
 * more numbers <= G are missing than were counted as lost, then the missing ones are the lost ones. Merely comparing
 * the size of the first gap with the count would be wrong: the count may speak of a later number. */
static void settle(struct ct_order *o, ct_u64 now, bool drained)
{
	ct_u64 lost, given;

	if (!o->held_n && !drained)
		return;
	if (o->snap && o->snap_open != 0 && (drained || o->src->pos >= o->snap_mark))
		o->snap = false;
	if (!o->snap) {
		lost = __atomic_load_n(o->kernel_lost, __ATOMIC_ACQUIRE);
		given = __atomic_load_n(o->kernel_seq, __ATOMIC_ACQUIRE);
		if (given < o->next)
			return;
		o->snap = true;
		o->snap_seq = given;
		o->snap_open = (ct_s64)(given - (o->next - 1) - o->held_n) - (ct_s64)(lost - o->accounted);
		o->snap_mark = o->src->produced(o->src) + SETTLE_SLACK;
		if (o->snap_open < 0) { /* numbers given up below were counted after all */
			o->accounted -= (ct_u64)o->snap_open;
			o->snap_open = 0;
		}
	}
	if (o->snap_open == 0) {
		settle_to(o, o->snap_seq);
		return;
	}
	give_up_old(o, now);
}

size_t ct_order_batch(struct ct_order *o, ct_u64 now)
{
	struct ct_ring_rec recs[CT_ORDER_BATCH];
	size_t n = o->src->read(o->src, recs, CT_ORDER_BATCH);

	for (size_t i = 0; i < n; i++)
		accept(o, &recs[i]);
	settle(o, now, n == 0);
	if (!o->held_n)
		release_to(o, o->src->pos);
	return n;
}

void ct_order_give_up(struct ct_order *o, ct_u64 seq)
{
	if (o->next <= seq)
		settle_to(o, seq);
}

int ct_order_init(struct ct_order *o)
{
	void *mem;

	/* The smallest record with its head takes 40 bytes of ring. Twice that many entries, so that there is always
	 * room to move them to the front; pages that are never needed take no memory. */
	o->held_cap = o->src->size / 32 + 1;
	mem = mmap(NULL, 2 * o->held_cap * sizeof(*o->held), PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		return -1;
	o->held = mem;
	o->next = 1;
	o->released = o->src->pos;
	return 0;
}

void ct_order_free(struct ct_order *o)
{
	if (o->held)
		munmap(o->held, 2 * o->held_cap * sizeof(*o->held));
	o->held = NULL;
}
