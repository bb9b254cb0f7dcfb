/* SPDX-License-Identifier: MIT
 * Snapshots: what writer and reader share. Ownership, sanity, and the index of page contents.
 *
 * The index is an open hash table over 128-bit content hashes; 24 bytes an entry. */
#include <stdlib.h>
#include <string.h>

#include "snapshot_format.h"

void ct_snap_proc_deinit(struct ct_snap_proc *proc)
{
	for (ct_u32 i = 0; proc->threads && i < proc->nthreads; i++)
		free(proc->threads[i].xsave);
	for (ct_u32 i = 0; proc->maps && i < proc->nmaps; i++)
		free(proc->maps[i].name);
	for (ct_u32 i = 0; proc->fds && i < proc->nfds; i++)
		free(proc->fds[i].target);
	free(proc->threads);
	free(proc->maps);
	free(proc->fds);
	free(proc->exe);
	free(proc->cwd);
	free(proc->root);
	free(proc->auxv);
	memset(proc, 0, sizeof(*proc));
}

void ct_snapshot_deinit(struct ct_snapshot *snap)
{
	if (!snap)
		return;
	for (ct_u32 p = 0; snap->procs && p < snap->nprocs; p++)
		ct_snap_proc_deinit(&snap->procs[p]);
	free(snap->procs);
	memset(snap, 0, sizeof(*snap));
}

int snap_check(const struct ct_snapshot *snap, struct ct_error *err)
{
	if (snap->nprocs > SNAP_PROCS_MAX)
		return ct_fail(err, CT_EXIT_FAILED, "%u processes in a snapshot", snap->nprocs);
	for (ct_u32 p = 0; p < snap->nprocs; p++) {
		const struct ct_snap_proc *proc = &snap->procs[p];
		ct_u64 end = 0;

		for (ct_u32 i = 0; i < proc->nmaps; i++) {
			const struct ct_snap_map *m = &proc->maps[i];

			if (m->start % CT_PAGE || m->end % CT_PAGE || m->start >= m->end || m->start < end)
				return ct_fail(
					err, CT_EXIT_FAILED,
					"process %u: mapping %u (%llx-%llx) is empty, not page-aligned or not above "
					"the one before",
					proc->pid, i, (unsigned long long)m->start, (unsigned long long)m->end);
			end = m->end;
		}
	}
	return 0;
}

/* ---- Page index ---- */

struct slot {
	ct_u64 hi, lo;
	struct page_where where; /* snapshot 0: empty */
};

struct ct_page_index {
	struct slot *slots;
	size_t mask; /* slots - 1, a power of two less one */
	size_t used;
};

struct ct_page_index *ct_page_index_create(void)
{
	struct ct_page_index *idx = calloc(1, sizeof(*idx));

	if (!idx)
		return NULL;
	idx->mask = 4095;
	idx->slots = calloc(idx->mask + 1, sizeof(*idx->slots));
	if (idx->slots)
		return idx;
	free(idx);
	return NULL;
}

void ct_page_index_destroy(struct ct_page_index *idx)
{
	if (!idx)
		return;
	free(idx->slots);
	free(idx);
}

/* The slot that holds this hash, or the empty one where it belongs. There always is an empty one. */
static struct slot *probe(struct slot *slots, size_t mask, ct_u64 hi, ct_u64 lo)
{
	size_t i = lo & mask;

	while (slots[i].where.snapshot && (slots[i].lo != lo || slots[i].hi != hi))
		i = (i + 1) & mask;
	return &slots[i];
}

const struct page_where *page_index_find(const struct ct_page_index *idx, ct_u64 hi, ct_u64 lo)
{
	const struct slot *s = probe(idx->slots, idx->mask, hi, lo);

	return s->where.snapshot ? &s->where : NULL;
}

/* Moves the entries with first <= snapshot, != except, to a table of mask+1 slots. */
static int rehash(struct ct_page_index *idx, size_t mask, ct_u32 first, ct_u32 except)
{
	struct slot *slots = calloc(mask + 1, sizeof(*slots));

	if (!slots)
		return -1;
	idx->used = 0;
	for (size_t i = 0; i <= idx->mask; i++) {
		const struct slot *s = &idx->slots[i];

		if (!s->where.snapshot || s->where.snapshot < first || s->where.snapshot == except)
			continue;
		*probe(slots, mask, s->hi, s->lo) = *s;
		idx->used++;
	}
	free(idx->slots);
	idx->slots = slots;
	idx->mask = mask;
	return 0;
}

int page_index_add(struct ct_page_index *idx, ct_u64 hi, ct_u64 lo, struct page_where where)
{
	struct slot *s;

	if (idx->used >= idx->mask / 4 * 3 && rehash(idx, idx->mask * 2 + 1, 0, 0) < 0)
		return -1;
	s = probe(idx->slots, idx->mask, hi, lo);
	if (!s->where.snapshot)
		idx->used++;
	*s = (struct slot){hi, lo, where};
	return 0;
}

/* Without memory for a smaller table, forgetting everything is right too: it only costs space on disk. */
static void drop(struct ct_page_index *idx, ct_u32 first, ct_u32 except)
{
	if (rehash(idx, idx->mask, first, except) == 0)
		return;
	memset(idx->slots, 0, (idx->mask + 1) * sizeof(*idx->slots));
	idx->used = 0;
}

void page_index_undo(struct ct_page_index *idx, ct_u32 id)
{
	drop(idx, 0, id);
}

void ct_page_index_forget(struct ct_page_index *idx, ct_u32 first)
{
	drop(idx, first, 0);
}
