// SPDX-License-Identifier: MIT
/* Which buffers have been seen before: a small set-associative table of content hashes, forgotten at random.
 * Hashes are seeded with a secret, so that nobody can make a program return bytes that are taken for others. */
#include "user/dedup.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "formats/event_access.h"

#define SETS       4096u
#define WAYS       4u
#define BUFS       64u /* of a record; the others are left alone */
/* What is kept at most in one recording: a log that grows is better than files/ that grow as fast. */
#define KEEP_BYTES (256ull << 20)

enum state { SEEN, ASKED, KEPT };

struct entry {
	XXH128_hash_t key;
	size_t len; /* 0: free */
	enum state state;
	ct_u8 hash[16]; /* KEPT: the name in files/ */
};

struct ct_dedup {
	pthread_mutex_t lock; /* of the table */
	struct entry table[SETS][WAYS];
	ct_u64 secret, asked;
	unsigned victim;
	ct_dedup_keep *keep;
	void *ctx;
	bool named[BUFS]; /* of the record being rewritten: buffers that are kept, and as what */
	ct_u8 names[BUFS][16];
	_Alignas(8) unsigned char record[CT_EVENT_MAX];
};

struct ct_dedup *ct_dedup_create(ct_dedup_keep *keep, void *ctx)
{
	struct ct_dedup *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	if (getrandom(&d->secret, sizeof(d->secret), 0) != sizeof(d->secret)) {
		free(d);
		return NULL;
	}
	pthread_mutex_init(&d->lock, NULL);
	d->keep = keep;
	d->ctx = ctx;
	return d;
}

void ct_dedup_destroy(struct ct_dedup *d)
{
	if (!d)
		return;
	pthread_mutex_destroy(&d->lock);
	free(d);
}

void ct_dedup_ref(struct ct_file_ref *ref, const ct_u8 hash[16], size_t len)
{
	memset(ref, 0, sizeof(*ref));
	memcpy(&ref->ino, hash, 8);
	memcpy(&ref->ctime_s, hash + 8, 8);
	ref->size = len;
}

void ct_dedup_forget(struct ct_dedup *d)
{
	pthread_mutex_lock(&d->lock);
	memset(d->table, 0, sizeof(d->table));
	d->asked = 0;
	pthread_mutex_unlock(&d->lock);
}

static struct entry *find(struct ct_dedup *d, XXH128_hash_t key, size_t len)
{
	struct entry *set = d->table[key.low64 % SETS];

	for (unsigned i = 0; i < WAYS; i++)
		if (set[i].len == len && XXH128_isEqual(set[i].key, key))
			return &set[i];
	return NULL;
}

static struct entry *add(struct ct_dedup *d, XXH128_hash_t key, size_t len)
{
	struct entry *set = d->table[key.low64 % SETS], *e = NULL;

	for (unsigned i = 0; i < WAYS && !e; i++)
		if (!set[i].len)
			e = &set[i];
	for (unsigned i = 0; i < WAYS && !e; i++) /* what is kept stays known as long as possible */
		if (set[(i + d->victim) % WAYS].state == SEEN)
			e = &set[(i + d->victim) % WAYS];
	if (!e)
		e = &set[d->victim % WAYS];
	d->victim++;
	*e = (struct entry){.key = key, .len = len, .state = SEEN};
	return e;
}

void ct_dedup_kept(struct ct_dedup *d, const void *data, size_t len, const ct_u8 hash[16])
{
	XXH128_hash_t key = XXH3_128bits_withSeed(data, len, d->secret);
	struct entry *e;

	pthread_mutex_lock(&d->lock);
	e = find(d, key, len);
	if (!e)
		e = add(d, key, len);
	memcpy(e->hash, hash, 16);
	e->state = KEPT;
	pthread_mutex_unlock(&d->lock);
}

/* Whether the bytes are kept under *hash. Asks for them to be, the second time. */
static bool known(struct ct_dedup *d, const void *data, size_t len, ct_u8 hash[16])
{
	XXH128_hash_t key = XXH3_128bits_withSeed(data, len, d->secret);
	bool kept = false, ask = false;
	struct entry *e;

	pthread_mutex_lock(&d->lock);
	e = find(d, key, len);
	if (!e) {
		add(d, key, len);
	} else if (e->state == KEPT) {
		memcpy(hash, e->hash, 16);
		kept = true;
	} else if (e->state == SEEN && d->asked + len <= KEEP_BYTES) {
		e->state = ASKED;
		d->asked += len;
		ask = true;
	}
	pthread_mutex_unlock(&d->lock);
	if (ask)
		d->keep(d->ctx, data, len);
	return kept;
}

static bool may_repeat(const struct ct_buf *b)
{
	return b->kind == CT_BUF_OUT && b->len >= CT_DEDUP_MIN && !b->flags;
}

const struct ct_event *ct_dedup_rewrite(struct ct_dedup *d, const struct ct_event *ev)
{
	const size_t fixed = sizeof(*ev) + sizeof(struct ct_ev_syscall);
	struct ct_event *copy = (struct ct_event *)d->record;
	unsigned i = 0, found = 0;
	struct ct_buf_iter it;
	size_t at = fixed;

	if (ev->type != CT_EV_SYSCALL || ev->size < fixed + CT_DEDUP_MIN || ev->size > CT_EVENT_MAX)
		return ev;
	for (it = ct_buf_iter(ev); i < BUFS && ct_buf_next(&it); i++) {
		d->named[i] = may_repeat(it.buf) && known(d, it.data, it.buf->len, d->names[i]);
		found += d->named[i];
	}
	if (!found)
		return ev;
	memcpy(d->record, ev, fixed);
	it = ct_buf_iter(ev);
	for (i = 0; ct_buf_next(&it); i++) {
		struct ct_buf buf = *it.buf;
		const void *data = it.data;
		struct ct_file_ref ref;

		if (i < BUFS && d->named[i]) {
			ct_dedup_ref(&ref, d->names[i], buf.len);
			ref.len = buf.len;
			buf.kind = CT_BUF_FILE;
			buf.len = sizeof(ref);
			data = &ref;
		}
		memcpy(d->record + at, &buf, sizeof(buf));
		memcpy(d->record + at + sizeof(buf), data, buf.len);
		at += sizeof(buf) + buf.len;
		for (; at & 7; at++)
			d->record[at] = 0;
	}
	copy->size = at;
	return copy;
}
