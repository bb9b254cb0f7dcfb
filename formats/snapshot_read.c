/* SPDX-License-Identifier: MIT
 * Reading a snapshot: state, page table, and page contents from this and earlier snapshots' files.
 *
 * Every number of the files is checked before it is used; page contents are checked when they are read. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "dirio.h"
#include "segment.h"
#include "snapshot_format.h"

#define CACHED_BLOCKS 8
#define SOURCES_MAX   64 /* open files; pages may be spread over any number of earlier snapshots */

/* A `pages` file that contents are read from. */
struct source {
	ct_u32 id;
	int fd;
	ct_u64 data_end; /* data blocks do not reach beyond */
	struct snap_block *blocks;
	ct_u32 nblocks;
};

struct cached {
	ct_u32 snapshot, block; /* snapshot 0: unused */
	ct_u64 used;
	ct_u8 *data; /* SNAP_BLOCK_RAW bytes */
	ct_u32 pages;
};

struct proc_table {
	struct ct_snap_page *pages;
	ct_u64 first; /* its first entry */
	ct_u64 count;
};

struct ct_snapshot_reader {
	int snapshots_fd;
	ct_u32 id;
	struct ct_snapshot snap;
	struct snap_entry *entries;
	struct ct_snap_page *pages;
	struct proc_table *procs;
	struct source *sources; /* [0] is this snapshot's own */
	size_t nsources;
	struct cached cache[CACHED_BLOCKS];
	ct_u64 clock;
	ct_u8 *stored; /* room for one block as stored */
	ZSTD_DCtx *zstd;
	struct ct_snapshot_stats stats;
	ct_u32 oldest;
};

static int open_part(int snapshots_fd, ct_u32 id, const char *part, struct stat *st, struct ct_error *err)
{
	char name[16];
	int dirfd, fd;

	snprintf(name, sizeof(name), "%06u", id);
	dirfd = ct_dir_openat(snapshots_fd, name);
	if (dirfd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "snapshots/%s: cannot open", name);
	fd = ct_regular_openat(dirfd, part, st);
	if (fd < 0)
		ct_fail_errno(err, CT_EXIT_FAILED, "snapshots/%s/%s: cannot open", name, part);
	close(dirfd);
	return fd;
}

static int check_header(const char *what, ct_u64 magic, ct_u64 want, ct_u16 version, ct_u32 crc, ct_u32 flags,
			ct_u32 found, ct_u32 id, struct ct_error *err)
{
	if (magic != want)
		return ct_fail(err, CT_EXIT_FAILED, "%s: not a file of a snapshot (wrong first bytes)", what);
	if (version != CT_SNAPSHOT_VERSION)
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s: snapshot version %u; this ctbpf reads version %u: use the one that recorded it",
			       what, version, CT_SNAPSHOT_VERSION);
	if (crc != found)
		return ct_fail(err, CT_EXIT_FAILED, "%s: its header is damaged (wrong CRC)", what);
	if (flags)
		return ct_fail(err, CT_EXIT_FAILED, "%s: unknown flags 0x%x; this ctbpf knows none", what, flags);
	if (id == 0)
		return ct_fail(err, CT_EXIT_FAILED, "%s: belongs to another snapshot", what);
	return 0;
}

/* ---- state ---- */

static int load_state(struct ct_snapshot_reader *r, struct ct_error *err)
{
	struct snap_state_header h;
	char what[64];
	struct stat st;
	int fd = open_part(r->snapshots_fd, r->id, "state", &st, err), ret = -1;
	void *data = NULL;

	if (fd < 0)
		return -1;
	snprintf(what, sizeof(what), "snapshots/%06u/state", r->id);
	if (ct_pread_full(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h)) {
		ct_fail(err, CT_EXIT_FAILED, "%s: shorter than its header", what);
		goto out;
	}
	if (check_header(what, h.magic, SNAP_STATE_MAGIC, h.version, h.crc, h.flags,
			 ct_crc32c(0, &h, offsetof(struct snap_state_header, crc)), h.id == r->id ? h.id : 0, err) < 0)
		goto out;
	if (h.size > SNAP_STATE_MAX || h.size != (ct_u64)st.st_size - sizeof(h)) {
		ct_fail(err, CT_EXIT_FAILED, "%s: %lld bytes long, which is not what its header says (truncated?)",
			what, (long long)st.st_size);
		goto out;
	}
	data = ct_pread_alloc(fd, (size_t)h.size, sizeof(h), what, err);
	if (!data)
		goto out;
	if (ct_crc32c(0, data, (size_t)h.size) != h.sections_crc) {
		ct_fail(err, CT_EXIT_FAILED, "%s: damaged (wrong CRC)", what);
		goto out;
	}
	if (snap_state_decode(data, (size_t)h.size, h.sections, &r->snap, err) < 0) {
		ct_fail_prefix(err, "%s", what);
		goto out;
	}
	if (r->snap.id != r->id) {
		ct_fail(err, CT_EXIT_FAILED, "%s: says it is snapshot %u", what, r->snap.id);
		goto out;
	}
	r->stats.bytes += (ct_u64)st.st_size;
	ret = 0;
out:
	free(data);
	close(fd);
	return ret;
}

/* ---- pages: the tables ---- */

static int check_blocks(const struct source *s, const char *what, struct ct_error *err)
{
	ct_u64 end = sizeof(struct snap_pages_header);

	for (ct_u32 i = 0; i < s->nblocks; i++) {
		const struct snap_block *b = &s->blocks[i];
		size_t raw = (size_t)b->pages * CT_PAGE;

		if (b->codec != CT_CODEC_NONE && b->codec != CT_CODEC_ZSTD)
			return ct_fail(err, CT_EXIT_FAILED, "%s: block %u has the unknown codec %u", what, i, b->codec);
		if (b->pages == 0 || b->pages > SNAP_BLOCK_PAGES || b->stored == 0 || b->stored > raw ||
		    (b->codec == CT_CODEC_NONE && b->stored != raw) || b->offset < end || b->offset > s->data_end ||
		    b->stored > s->data_end - b->offset)
			return ct_fail(err, CT_EXIT_FAILED, "%s: block %u has impossible sizes", what, i);
		end = b->offset + b->stored;
	}
	return 0;
}

/* Opens a `pages` file and reads its block table. Leaves the header in *h and adds the source. */
static struct source *add_source(struct ct_snapshot_reader *r, ct_u32 id, struct snap_pages_header *h,
				 struct ct_error *err)
{
	struct source s = {.id = id}, *grown;
	ct_u64 index_len;
	char what[64];
	struct stat st;

	snprintf(what, sizeof(what), "snapshots/%06u/pages", id);
	s.fd = open_part(r->snapshots_fd, id, "pages", &st, err);
	if (s.fd < 0)
		return NULL;
	if (ct_pread_full(s.fd, h, sizeof(*h), 0) != (ssize_t)sizeof(*h)) {
		ct_fail(err, CT_EXIT_FAILED, "%s: shorter than its header", what);
		goto fail;
	}
	if (check_header(what, h->magic, SNAP_PAGES_MAGIC, h->version, h->crc, h->flags,
			 ct_crc32c(0, h, offsetof(struct snap_pages_header, crc)), h->id == id ? id : 0, err) < 0)
		goto fail;
	/* None of these sums can overflow: all terms are far below 2^62 after the first two checks. */
	index_len = (ct_u64)h->nblocks * sizeof(struct snap_block) + (ct_u64)h->nprocs * sizeof(ct_u64);
	if (h->npages > SNAP_PAGES_MAX || h->nblocks > SNAP_BLOCKS_MAX || h->nprocs > SNAP_PROCS_MAX ||
	    h->index_offset < sizeof(*h) || h->index_offset > (ct_u64)st.st_size ||
	    (ct_u64)st.st_size - h->index_offset != index_len + h->npages * sizeof(struct snap_entry)) {
		ct_fail(err, CT_EXIT_FAILED, "%s: %lld bytes long, which is not what its header says (truncated?)",
			what, (long long)st.st_size);
		goto fail;
	}
	s.data_end = h->index_offset;
	s.nblocks = h->nblocks;
	s.blocks = ct_pread_alloc(s.fd, (size_t)s.nblocks * sizeof(*s.blocks), h->index_offset, what, err);
	if (!s.blocks)
		goto fail;
	if (ct_crc32c(0, s.blocks, (size_t)s.nblocks * sizeof(*s.blocks)) != h->blocks_crc) {
		ct_fail(err, CT_EXIT_FAILED, "%s: its table of blocks is damaged (wrong CRC)", what);
		goto fail;
	}
	if (check_blocks(&s, what, err) < 0)
		goto fail;
	grown = realloc(r->sources, (r->nsources + 1) * sizeof(*grown));
	if (!grown) {
		ct_fail(err, CT_EXIT_FAILED, "%s: no memory", what);
		goto fail;
	}
	r->sources = grown;
	r->sources[r->nsources] = s;
	return &r->sources[r->nsources++];
fail:
	free(s.blocks);
	close(s.fd);
	return NULL;
}

static int check_entry(struct ct_snapshot_reader *r, const struct snap_entry *e)
{
	ct_u32 flags = (ct_u32)(e->addr & (CT_PAGE - 1));
	const struct source *own = &r->sources[0];

	if (flags & ~CT_PAGEF_ZERO)
		return -1;
	if (flags & CT_PAGEF_ZERO) {
		r->stats.zero++;
		return e->snapshot || e->block_slot ? -1 : 0;
	}
	if (e->snapshot == 0 || e->snapshot > r->id)
		return -1;
	if (e->snapshot < r->id) {
		r->stats.shared++;
		if (e->snapshot < r->oldest)
			r->oldest = e->snapshot;
		return 0; /* checked against that file when it is opened */
	}
	if (e->block_slot >> SNAP_SLOT_BITS >= own->nblocks ||
	    (e->block_slot & (SNAP_BLOCK_PAGES - 1)) >= own->blocks[e->block_slot >> SNAP_SLOT_BITS].pages)
		return -1;
	return 0;
}

/* Fills the pages of one process from its entries. */
static int take_entries(struct ct_snapshot_reader *r, ct_u32 proc, struct ct_error *err)
{
	struct proc_table *t = &r->procs[proc];
	ct_u64 next = 0;

	for (ct_u64 i = 0; i < t->count; i++) {
		const struct snap_entry *e = &r->entries[t->first + i];
		ct_u64 addr = e->addr & ~(ct_u64)(CT_PAGE - 1);

		if (addr < next || addr > UINT64_MAX - 2 * CT_PAGE || check_entry(r, e) < 0)
			return ct_fail(err, CT_EXIT_FAILED,
				       "snapshots/%06u/pages: entry %llu of process %u (address %llx) is not valid",
				       r->id, (unsigned long long)i, proc, (unsigned long long)addr);
		next = addr + CT_PAGE;
		t->pages[i] = (struct ct_snap_page){.addr = addr, .flags = (ct_u32)(e->addr & CT_PAGEF_ZERO)};
	}
	return 0;
}

static int load_pages(struct ct_snapshot_reader *r, struct ct_error *err)
{
	struct snap_pages_header h;
	struct source *own = add_source(r, r->id, &h, err);
	ct_u64 *counts, pos, sum = 0;
	size_t counts_len, entries_len;
	ct_u32 crc;
	char what[64];

	if (!own)
		return -1;
	snprintf(what, sizeof(what), "snapshots/%06u/pages", r->id);
	if (h.nprocs != r->snap.nprocs)
		return ct_fail(err, CT_EXIT_FAILED, "%s: has %u processes, the state %u", what, h.nprocs,
			       r->snap.nprocs);
	for (ct_u32 i = 0; i < own->nblocks; i++)
		r->stats.stored += own->blocks[i].pages;
	pos = h.index_offset + (ct_u64)own->nblocks * sizeof(struct snap_block);
	counts_len = (size_t)h.nprocs * sizeof(*counts);
	entries_len = (size_t)h.npages * sizeof(struct snap_entry);
	r->stats.pages = h.npages;
	r->stats.bytes += pos + counts_len + entries_len;
	counts = ct_pread_alloc(own->fd, counts_len, pos, what, err);
	if (!counts)
		return -1;
	r->entries = ct_pread_alloc(own->fd, entries_len, pos + counts_len, what, err);
	r->pages = calloc(h.npages ? (size_t)h.npages : 1, sizeof(*r->pages));
	r->procs = calloc(h.nprocs ? h.nprocs : 1, sizeof(*r->procs));
	if (!r->entries || !r->pages || !r->procs) {
		free(counts);
		return r->entries ? ct_fail(err, CT_EXIT_FAILED, "%s: no memory for %llu pages", what,
					    (unsigned long long)h.npages)
				  : -1;
	}
	crc = ct_crc32c(ct_crc32c(0, counts, counts_len), r->entries, entries_len);
	for (ct_u32 p = 0; p < h.nprocs && counts[p] <= h.npages - sum; p++) {
		r->procs[p] = (struct proc_table){.pages = r->pages + sum, .first = sum, .count = counts[p]};
		sum += counts[p];
	}
	free(counts);
	if (crc != h.pages_crc)
		return ct_fail(err, CT_EXIT_FAILED, "%s: its table of pages is damaged (wrong CRC)", what);
	if (sum != h.npages)
		return ct_fail(err, CT_EXIT_FAILED, "%s: the processes' pages do not add up to %llu", what,
			       (unsigned long long)h.npages);
	for (ct_u32 p = 0; p < h.nprocs; p++)
		if (take_entries(r, p, err) < 0)
			return -1;
	return 0;
}

struct ct_snapshot_reader *ct_snapshot_open(int dirfd, ct_u32 id, struct ct_error *err)
{
	struct ct_snapshot_reader *r = calloc(1, sizeof(*r));

	if (!r) {
		ct_fail(err, CT_EXIT_FAILED, "snapshot %u: no memory", id);
		return NULL;
	}
	r->id = id;
	r->oldest = id;
	r->snapshots_fd = ct_dir_openat(dirfd, "snapshots");
	if (r->snapshots_fd < 0)
		ct_fail_errno(err, CT_EXIT_FAILED, "snapshots/: cannot open");
	else if (load_state(r, err) == 0 && load_pages(r, err) == 0)
		return r;
	ct_snapshot_reader_close(r);
	return NULL;
}

void ct_snapshot_reader_close(struct ct_snapshot_reader *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->nsources; i++) {
		free(r->sources[i].blocks);
		close(r->sources[i].fd);
	}
	for (size_t i = 0; i < CACHED_BLOCKS; i++)
		free(r->cache[i].data);
	free(r->sources);
	free(r->entries);
	free(r->pages);
	free(r->procs);
	free(r->stored);
	ZSTD_freeDCtx(r->zstd);
	ct_snapshot_deinit(&r->snap);
	if (r->snapshots_fd >= 0)
		close(r->snapshots_fd);
	free(r);
}

const struct ct_snapshot *ct_snapshot_get(const struct ct_snapshot_reader *r)
{
	return &r->snap;
}

const struct ct_snap_page *ct_snapshot_pages(const struct ct_snapshot_reader *r, ct_u32 proc, size_t *count)
{
	if (proc >= r->snap.nprocs) {
		*count = 0;
		return NULL;
	}
	*count = (size_t)r->procs[proc].count;
	return r->procs[proc].pages;
}

const struct snap_entry *snap_entries(const struct ct_snapshot_reader *r, ct_u32 proc)
{
	return r->entries + r->procs[proc].first;
}

ct_u32 ct_snapshot_oldest_needed(const struct ct_snapshot_reader *r)
{
	return r->oldest;
}

void ct_snapshot_stats(const struct ct_snapshot_reader *r, struct ct_snapshot_stats *stats)
{
	*stats = r->stats;
}

/* ---- pages: contents ---- */

static struct source *find_source(struct ct_snapshot_reader *r, ct_u32 id, struct ct_error *err)
{
	struct snap_pages_header h;

	for (size_t i = 0; i < r->nsources; i++)
		if (r->sources[i].id == id)
			return &r->sources[i];
	if (r->nsources == SOURCES_MAX) {
		struct source *oldest = &r->sources[1]; /* [0] stays */

		free(oldest->blocks);
		close(oldest->fd);
		r->nsources--;
		memmove(oldest, oldest + 1, (r->nsources - 1) * sizeof(*oldest));
	}
	return add_source(r, id, &h, err);
}

static int decode_block(struct ct_snapshot_reader *r, const struct source *s, ct_u32 block, struct cached *c,
			struct ct_error *err)
{
	const struct snap_block *b = &s->blocks[block];
	size_t raw = (size_t)b->pages * CT_PAGE, n;

	if (!c->data)
		c->data = malloc(SNAP_BLOCK_RAW);
	if (!r->stored)
		r->stored = malloc(SNAP_BLOCK_RAW);
	if (!r->zstd)
		r->zstd = ZSTD_createDCtx();
	if (!c->data || !r->stored || !r->zstd)
		return ct_fail(err, CT_EXIT_FAILED, "no memory");
	if (ct_pread_full(s->fd, r->stored, b->stored, b->offset) != (ssize_t)b->stored)
		return ct_fail(err, CT_EXIT_FAILED, "cannot read it");
	if (ct_crc32c(0, r->stored, b->stored) != b->crc)
		return ct_fail(err, CT_EXIT_FAILED, "damaged (wrong CRC)");
	if (b->codec == CT_CODEC_NONE) {
		memcpy(c->data, r->stored, raw);
	} else {
		n = ZSTD_decompressDCtx(r->zstd, c->data, raw, r->stored, b->stored);
		if (ZSTD_isError(n))
			return ct_fail(err, CT_EXIT_FAILED, "cannot decompress it: %s", ZSTD_getErrorName(n));
		if (n != raw)
			return ct_fail(err, CT_EXIT_FAILED, "decompresses to %zu bytes instead of %zu", n, raw);
	}
	c->snapshot = s->id;
	c->block = block;
	c->pages = b->pages;
	return 0;
}

static const struct cached *get_block(struct ct_snapshot_reader *r, ct_u32 snapshot, ct_u32 block, struct ct_error *err)
{
	struct cached *victim = &r->cache[0];
	struct source *s;

	for (size_t i = 0; i < CACHED_BLOCKS; i++) {
		struct cached *c = &r->cache[i];

		if (c->snapshot == snapshot && c->block == block) {
			c->used = ++r->clock;
			return c;
		}
		if (c->used < victim->used)
			victim = c;
	}
	s = find_source(r, snapshot, err);
	if (!s)
		return NULL;
	if (block >= s->nblocks) {
		ct_fail(err, CT_EXIT_FAILED, "snapshots/%06u/pages: has no block %u", snapshot, block);
		return NULL;
	}
	victim->snapshot = 0;
	if (decode_block(r, s, block, victim, err) < 0) {
		ct_fail_prefix(err, "snapshots/%06u/pages: block %u", snapshot, block);
		return NULL;
	}
	victim->used = ++r->clock;
	return victim;
}

int ct_snapshot_read_page(struct ct_snapshot_reader *r, ct_u32 proc, size_t i, void *out, struct ct_error *err)
{
	const struct snap_entry *e;
	const struct cached *c;
	XXH128_canonical_t canonical;
	ct_u32 slot;

	if (proc >= r->snap.nprocs || i >= r->procs[proc].count)
		return ct_fail(err, CT_EXIT_FAILED, "snapshot %u: no page %zu of process %u", r->id, i, proc);
	if (r->procs[proc].pages[i].flags & CT_PAGEF_ZERO) {
		memset(out, 0, CT_PAGE);
		return 0;
	}
	e = &r->entries[r->procs[proc].first + i];
	slot = e->block_slot & (SNAP_BLOCK_PAGES - 1);
	c = get_block(r, e->snapshot, e->block_slot >> SNAP_SLOT_BITS, err);
	if (!c)
		return ct_fail_prefix(err, "snapshot %u: page %llx", r->id,
				      (unsigned long long)r->procs[proc].pages[i].addr);
	if (slot < c->pages) {
		memcpy(out, c->data + (size_t)slot * CT_PAGE, CT_PAGE);
		XXH128_canonicalFromHash(&canonical, XXH3_128bits(out, CT_PAGE));
		if (memcmp(canonical.digest, e->hash, sizeof(e->hash)) == 0)
			return 0;
	}
	return ct_fail(err, CT_EXIT_FAILED,
		       "snapshot %u: page %llx: its content in snapshots/%06u/pages is not the one it had (wrong hash)",
		       r->id, (unsigned long long)r->procs[proc].pages[i].addr, e->snapshot);
}
