/* SPDX-License-Identifier: MIT
 * Writing a snapshot: pages as they come, the state at the end, then a rename into place.
 *
 * Pages are looked at once: zero? known content? else appended to a block, which is compressed when full. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "dirio.h"
#include "segment.h"
#include "snapshot_format.h"

struct proc_pages {
	struct snap_entry *entries;
	size_t count, room;
	ct_u64 next; /* lowest address the next page may have */
};

struct ct_snapshot_writer {
	int snapshots_fd, dirfd; /* snapshots/, snapshots/NNNNNN.tmp/ */
	int pages_fd;
	ct_u32 id;
	char name[16], tmp[24], what[64]; /* what: for error messages */
	bool failed, lazy;
	struct ct_page_index *idx;
	struct ct_page_index *own_idx; /* when the caller shares none: pages repeat within a snapshot too */
	ZSTD_CCtx *zstd;
	ct_u8 *raw, *packed;
	size_t packed_room;
	ct_u32 filled; /* pages in raw */
	struct snap_block *blocks;
	size_t nblocks, blocks_room;
	ct_u64 offset; /* where the next block goes */
	struct proc_pages *procs;
	size_t nprocs;
};

int snap_remove(int snapshots_fd, const char *name)
{
	int fd = ct_dir_openat(snapshots_fd, name);

	if (fd < 0)
		return -1;
	unlinkat(fd, "state", 0);
	unlinkat(fd, "pages", 0);
	close(fd);
	return unlinkat(snapshots_fd, name, AT_REMOVEDIR);
}

static void writer_free(struct ct_snapshot_writer *w)
{
	for (size_t i = 0; i < w->nprocs; i++)
		free(w->procs[i].entries);
	free(w->procs);
	free(w->blocks);
	free(w->raw);
	free(w->packed);
	ZSTD_freeCCtx(w->zstd);
	ct_page_index_destroy(w->own_idx);
	if (w->pages_fd >= 0)
		close(w->pages_fd);
	if (w->dirfd >= 0)
		close(w->dirfd);
	if (w->snapshots_fd >= 0)
		close(w->snapshots_fd);
	free(w);
}

static int writer_alloc(struct ct_snapshot_writer *w, int level, struct ct_page_index *idx)
{
	w->packed_room = ZSTD_compressBound(SNAP_BLOCK_RAW);
	w->raw = malloc(SNAP_BLOCK_RAW);
	w->packed = malloc(w->packed_room);
	w->own_idx = idx ? NULL : ct_page_index_create();
	w->idx = idx ? idx : w->own_idx;
	if (!w->raw || !w->packed || !w->idx)
		return -1;
	if (level == 0)
		return 0;
	w->zstd = ZSTD_createCCtx();
	return !w->zstd || ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, level)) ? -1 : 0;
}

struct ct_snapshot_writer *ct_snapshot_writer_create(int dirfd, ct_u32 id, int level, struct ct_page_index *idx,
						     struct ct_error *err)
{
	struct ct_snapshot_writer *w = calloc(1, sizeof(*w));
	struct stat st;

	if (!w) {
		ct_fail(err, CT_EXIT_FAILED, "snapshot %u: no memory", id);
		return NULL;
	}
	w->snapshots_fd = w->dirfd = w->pages_fd = -1;
	w->id = id;
	w->offset = sizeof(struct snap_pages_header);
	snprintf(w->name, sizeof(w->name), "%06u", id);
	snprintf(w->tmp, sizeof(w->tmp), "%06u.tmp", id);
	snprintf(w->what, sizeof(w->what), "snapshots/%s", w->tmp);
	if (id == 0) {
		ct_fail(err, CT_EXIT_FAILED, "snapshot 0: numbers start at 1");
		goto fail;
	}
	if (writer_alloc(w, level, idx) < 0) {
		ct_fail(err, CT_EXIT_FAILED, "snapshot %u: no memory for the writer", id);
		goto fail;
	}
	w->snapshots_fd = ct_dir_openat(dirfd, "snapshots");
	if (w->snapshots_fd < 0) {
		ct_fail_errno(err, CT_EXIT_FAILED, "snapshots/: cannot open");
		goto fail;
	}
	if (fstatat(w->snapshots_fd, w->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		ct_fail(err, CT_EXIT_FAILED, "snapshots/%s: exists already", w->name);
		goto fail;
	}
	snap_remove(w->snapshots_fd, w->tmp);
	if (mkdirat(w->snapshots_fd, w->tmp, 0700) < 0) {
		ct_fail_write(err, w->what);
		goto fail;
	}
	w->dirfd = ct_dir_openat(w->snapshots_fd, w->tmp);
	w->pages_fd = w->dirfd < 0 ? -1 : ct_file_createat(w->dirfd, "pages");
	if (w->pages_fd < 0) {
		ct_fail_write(err, w->what);
		snap_remove(w->snapshots_fd, w->tmp);
		goto fail;
	}
	return w;
fail:
	writer_free(w);
	return NULL;
}

void ct_snapshot_writer_abort(struct ct_snapshot_writer *w)
{
	if (!w)
		return;
	if (!w->own_idx)
		page_index_undo(w->idx, w->id);
	snap_remove(w->snapshots_fd, w->tmp);
	writer_free(w);
}

/* ---- Pages ---- */

static bool page_is_zero(const void *page)
{
	const ct_u8 *p = page;

	/* Most pages that are not zero show it in their first bytes; the rest goes 64 bytes at a time, which the
	 * compiler turns into vector instructions. */
	for (size_t i = 0; i < CT_PAGE; i += 64) {
		ct_u64 w[8], any;

		memcpy(w, p + i, sizeof(w));
		any = (w[0] | w[1] | w[2] | w[3]) | (w[4] | w[5] | w[6] | w[7]);
		if (any)
			return false;
	}
	return true;
}

/* Room for one more element; doubles. */
static int grow(void *array, size_t count, size_t *room, size_t element)
{
	void *old, *grown;

	if (count < *room)
		return 0;
	memcpy(&old, array, sizeof(old));
	grown = realloc(old, (*room ? *room * 2 : 256) * element);
	if (!grown)
		return -1;
	memcpy(array, &grown, sizeof(grown));
	*room = *room ? *room * 2 : 256;
	return 0;
}

static int fail_memory(const struct ct_snapshot_writer *w, struct ct_error *err)
{
	return ct_fail(err, CT_EXIT_FAILED, "%s: no memory for the index of its pages", w->what);
}

static int flush_block(struct ct_snapshot_writer *w, struct ct_error *err)
{
	size_t len = (size_t)w->filled * CT_PAGE, packed = len;
	struct snap_block block = {.offset = w->offset, .pages = (ct_u16)w->filled, .codec = CT_CODEC_NONE};
	const void *from = w->raw;

	if (w->filled == 0)
		return 0;
	if (w->zstd) {
		packed = ZSTD_compress2(w->zstd, w->packed, w->packed_room, w->raw, len);
		if (ZSTD_isError(packed))
			return ct_fail(err, CT_EXIT_FAILED, "%s: cannot compress: %s", w->what,
				       ZSTD_getErrorName(packed));
		if (packed < len) {
			block.codec = CT_CODEC_ZSTD;
			from = w->packed;
		} else {
			packed = len;
		}
	}
	block.stored = (ct_u32)packed;
	block.crc = ct_crc32c(0, from, packed);
	if (grow(&w->blocks, w->nblocks, &w->blocks_room, sizeof(*w->blocks)) < 0)
		return fail_memory(w, err);
	if (ct_pwrite_full(w->pages_fd, from, packed, w->offset) < 0)
		return ct_fail_write(err, w->what);
	w->blocks[w->nblocks++] = block;
	w->offset += packed;
	w->filled = 0;
	return 0;
}

/* Where the content of this page is going to be. */
static int store_page(struct ct_snapshot_writer *w, const void *page, XXH128_hash_t hash, struct snap_entry *e,
		      struct ct_error *err)
{
	struct page_where where;

	if (w->filled == SNAP_BLOCK_PAGES && flush_block(w, err) < 0)
		return -1;
	if (w->nblocks >= SNAP_BLOCKS_MAX)
		return ct_fail(err, CT_EXIT_FAILED, "%s: more than 16 TiB of memory", w->what);
	where = (struct page_where){w->id, (ct_u32)(w->nblocks << SNAP_SLOT_BITS | w->filled)};
	if (page_index_add(w->idx, hash.high64, hash.low64, where) < 0)
		return fail_memory(w, err);
	memcpy(w->raw + (size_t)w->filled++ * CT_PAGE, page, CT_PAGE);
	e->snapshot = where.snapshot;
	e->block_slot = where.block_slot;
	return 0;
}

/* Whether an earlier page has the same content, which then needs not be stored. */
static bool known_page(const struct ct_snapshot_writer *w, XXH128_hash_t hash, struct snap_entry *e)
{
	const struct page_where *known = page_index_find(w->idx, hash.high64, hash.low64);

	if (known) {
		e->snapshot = known->snapshot;
		e->block_slot = known->block_slot;
	}
	return known;
}

static int place_page(struct ct_snapshot_writer *w, const void *page, struct snap_entry *e, struct ct_error *err)
{
	XXH128_hash_t hash = XXH3_128bits(page, CT_PAGE);
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, hash);
	memcpy(e->hash, canonical.digest, sizeof(e->hash));
	return known_page(w, hash, e) ? 0 : store_page(w, page, hash, e, err);
}

static struct proc_pages *proc_pages(struct ct_snapshot_writer *w, ct_u32 proc)
{
	struct proc_pages *grown;

	if (proc < w->nprocs)
		return &w->procs[proc];
	if (proc >= SNAP_PROCS_MAX)
		return NULL;
	grown = realloc(w->procs, ((size_t)proc + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	memset(grown + w->nprocs, 0, (proc + 1 - w->nprocs) * sizeof(*grown));
	w->procs = grown;
	w->nprocs = (size_t)proc + 1;
	return &w->procs[proc];
}

/* Pages of `proc` from `addr` on may be added. Until that has worked the writer counts as failed. */
static struct proc_pages *begin_pages(struct ct_snapshot_writer *w, ct_u32 proc, ct_u64 addr, ct_u64 npages,
				      struct ct_error *err)
{
	struct proc_pages *pp = proc_pages(w, proc);

	if (w->failed) {
		ct_fail(err, CT_EXIT_FAILED, "%s: given up after an earlier error", w->what);
		return NULL;
	}
	w->failed = true;
	if (!pp)
		fail_memory(w, err);
	else if (addr % CT_PAGE || addr < pp->next || npages > (UINT64_MAX - addr) / CT_PAGE)
		ct_fail(err, CT_EXIT_FAILED, "%s: page address %llx is not aligned or not above the one before",
			w->what, (unsigned long long)addr);
	else
		return pp;
	return NULL;
}

static int add_entry(struct ct_snapshot_writer *w, struct proc_pages *pp, const struct snap_entry *e,
		     struct ct_error *err)
{
	if (grow(&pp->entries, pp->count, &pp->room, sizeof(*pp->entries)) < 0)
		return fail_memory(w, err);
	pp->entries[pp->count++] = *e;
	pp->next = (e->addr & ~(ct_u64)(CT_PAGE - 1)) + CT_PAGE;
	return 0;
}

int ct_snapshot_add_pages(struct ct_snapshot_writer *w, ct_u32 proc, ct_u64 addr, const void *data, size_t npages,
			  struct ct_error *err)
{
	struct proc_pages *pp = begin_pages(w, proc, addr, npages, err);

	if (!pp)
		return -1;
	for (size_t i = 0; i < npages; i++) {
		const ct_u8 *page = (const ct_u8 *)data + i * CT_PAGE;
		struct snap_entry e = {.addr = addr + i * CT_PAGE};

		if (page_is_zero(page))
			e.addr |= CT_PAGEF_ZERO;
		else if (place_page(w, page, &e, err) < 0)
			return -1;
		if (add_entry(w, pp, &e, err) < 0)
			return -1;
	}
	w->failed = false;
	return 0;
}

/* The first page of `base` that is not below `addr`. */
static size_t find_page(const struct ct_snap_page *pages, size_t count, ct_u64 addr)
{
	size_t low = 0;

	while (low < count) {
		size_t mid = low + (count - low) / 2;

		if (pages[mid].addr < addr)
			low = mid + 1;
		else
			count = mid;
	}
	return low;
}

int ct_snapshot_carry_pages(struct ct_snapshot_writer *w, ct_u32 proc, struct ct_snapshot_reader *base,
			    ct_u32 base_proc, ct_u64 start, ct_u64 end, struct ct_error *err)
{
	struct proc_pages *pp = begin_pages(w, proc, start, (end - start) / CT_PAGE, err);
	const struct ct_snap_page *pages;
	const struct snap_entry *entries;
	size_t count, i;

	if (!pp)
		return -1;
	pages = ct_snapshot_pages(base, base_proc, &count);
	entries = pages ? snap_entries(base, base_proc) : NULL;
	i = pages ? find_page(pages, count, start) : 0;
	for (ct_u64 addr = start; addr < end; addr += CT_PAGE, i++) {
		XXH128_canonical_t canonical;
		struct snap_entry e;
		ct_u8 page[CT_PAGE];
		XXH128_hash_t hash;

		if (i >= count || pages[i].addr != addr)
			return ct_fail(err, CT_EXIT_FAILED,
				       "%s: page %llx is not in the snapshot before, snapshots/%06u", w->what,
				       (unsigned long long)addr, ct_snapshot_get(base)->id);
		e = entries[i];
		memcpy(canonical.digest, e.hash, sizeof(e.hash));
		hash = XXH128_hashFromCanonical(&canonical);
		/* Contents of snapshots that are to go are not known any more: they are stored again. */
		if (!(e.addr & CT_PAGEF_ZERO) && !known_page(w, hash, &e) &&
		    (ct_snapshot_read_page(base, base_proc, i, page, err) < 0 ||
		     store_page(w, page, hash, &e, err) < 0))
			return -1;
		if (add_entry(w, pp, &e, err) < 0)
			return -1;
	}
	w->failed = false;
	return 0;
}

/* ---- The end ---- */

/* A build makes hundreds of snapshots behind execve, faster than a disk can sync them one by one. After a power cut one
 * of them may be damaged, which its checksums show. */
static int sync_fd(const struct ct_snapshot_writer *w, int fd)
{
	return w->lazy ? 0 : fsync(fd);
}

/* Appends to `pages` at w->offset, adding to the CRC. */
static int append(struct ct_snapshot_writer *w, const void *data, size_t len, ct_u32 *crc, struct ct_error *err)
{
	if (len == 0)
		return 0;
	*crc = ct_crc32c(*crc, data, len);
	if (ct_pwrite_full(w->pages_fd, data, len, w->offset) < 0)
		return ct_fail_write(err, w->what);
	w->offset += len;
	return 0;
}

static int finish_pages(struct ct_snapshot_writer *w, ct_u32 nprocs, struct ct_error *err)
{
	struct snap_pages_header h = {
		.magic = SNAP_PAGES_MAGIC,
		.version = CT_SNAPSHOT_VERSION,
		.id = w->id,
		.nprocs = nprocs,
	};
	if (flush_block(w, err) < 0)
		return -1;
	h.index_offset = w->offset;
	h.nblocks = (ct_u32)w->nblocks;
	if (append(w, w->blocks, w->nblocks * sizeof(*w->blocks), &h.blocks_crc, err) < 0)
		return -1;
	for (ct_u32 i = 0; i < nprocs; i++) {
		ct_u64 count = i < w->nprocs ? w->procs[i].count : 0;

		h.npages += count;
		if (append(w, &count, sizeof(count), &h.pages_crc, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < w->nprocs; i++)
		if (append(w, w->procs[i].entries, w->procs[i].count * sizeof(struct snap_entry), &h.pages_crc, err) <
		    0)
			return -1;
	h.crc = ct_crc32c(0, &h, offsetof(struct snap_pages_header, crc));
	if (ct_pwrite_full(w->pages_fd, &h, sizeof(h), 0) < 0 || sync_fd(w, w->pages_fd) < 0)
		return ct_fail_write(err, w->what);
	return 0;
}

static int write_state(const struct ct_snapshot_writer *w, const struct ct_snapshot *snap, struct ct_error *err)
{
	struct snap_state_header h = {
		.magic = SNAP_STATE_MAGIC,
		.version = CT_SNAPSHOT_VERSION,
		.id = w->id,
	};
	void *data;
	size_t size;
	int fd, ret = 0;

	if (snap_state_encode(snap, &data, &size, &h.sections, err) < 0)
		return ct_fail_prefix(err, "%s", w->what);
	h.size = size;
	h.sections_crc = ct_crc32c(0, data, size);
	h.crc = ct_crc32c(0, &h, offsetof(struct snap_state_header, crc));
	fd = ct_file_createat(w->dirfd, "state");
	if (fd < 0 || ct_pwrite_full(fd, &h, sizeof(h), 0) < 0 || ct_pwrite_full(fd, data, size, sizeof(h)) < 0 ||
	    sync_fd(w, fd) < 0)
		ret = ct_fail_write(err, w->what);
	if (fd >= 0)
		close(fd);
	free(data);
	return ret;
}

int ct_snapshot_writer_finish(struct ct_snapshot_writer *w, const struct ct_snapshot *snap, struct ct_error *err)
{
	if (w->failed) {
		ct_fail(err, CT_EXIT_FAILED, "%s: given up after an earlier error", w->what);
		goto fail;
	}
	if (snap->id != w->id || w->nprocs > snap->nprocs) {
		ct_fail(err, CT_EXIT_FAILED,
			"%s: the state is of snapshot %u with %u processes, the pages of %u with %zu", w->what,
			snap->id, snap->nprocs, w->id, w->nprocs);
		goto fail;
	}
	if (snap_check(snap, err) < 0) {
		ct_fail_prefix(err, "%s", w->what);
		goto fail;
	}
	w->lazy = snap->kind == CT_SNAP_EXEC;
	if (finish_pages(w, snap->nprocs, err) < 0 || write_state(w, snap, err) < 0)
		goto fail;
	if (sync_fd(w, w->dirfd) < 0 || renameat(w->snapshots_fd, w->tmp, w->snapshots_fd, w->name) < 0 ||
	    sync_fd(w, w->snapshots_fd) < 0) {
		ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot put it in place", w->what);
		goto fail;
	}
	writer_free(w);
	return 0;
fail:
	ct_snapshot_writer_abort(w);
	return -1;
}
