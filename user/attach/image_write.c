// SPDX-License-Identifier: MIT
/* Writing images: which pages of a stopped copy hold content of their own, and the files behind the others.
 * Runs in the background; the target has long gone on. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/attach/target.h"
#include "user/redact.h"

#define STEP       (2u << 20)
#define STEP_PAGES (STEP / CT_PAGE)

struct writer {
	struct ct_image *img;
	struct ct_snapshot_writer *out;
	ct_u32 proc;
	int memfd, pagemap;
	unsigned char *buf;
	const struct ct_probe_site *sites;
	size_t nsites;
	int file; /* behind the mapping being written, if it has probe sites */
	struct stat st;
	ct_u64 map_start, map_offset;
	struct ct_redact *redact;
	struct ct_snapshot_reader *base; /* where pages are that did not change, */
	ct_u32 base_proc;                /* for this process; */
	size_t range;                    /* and what has been reached of img->own */
	struct ct_error *err;
};

/* The file behind a mapping, if there may be breakpoints of ours in it: the kernel sets them in any mapping that could
 * be made executable. */
static void open_probed(struct writer *w, const struct ct_snap_map *m)
{
	char path[96];

	w->file = -1;
	if (!w->nsites || !(m->flags & CT_MAPF_FILE))
		return;
	ct_image_file_path(w->img, m, path, sizeof(path));
	w->file = open(path, O_RDONLY | O_CLOEXEC);
	w->map_start = m->start;
	w->map_offset = m->offset;
	if (w->file >= 0 && fstat(w->file, &w->st)) {
		close(w->file);
		w->file = -1;
	}
}

/* Puts the file's bytes back where our breakpoints are. True if the page is the file's own then: nothing to keep. */
static bool undo_probes(struct writer *w, ct_u64 addr, unsigned char *page)
{
	ct_u64 offset = addr - w->map_start + w->map_offset;
	unsigned char clean[CT_PAGE];
	bool ours = false;

	memset(clean, 0, sizeof(clean));
	for (size_t i = 0; i < w->nsites; i++) {
		const struct ct_probe_site *site = &w->sites[i];

		if (site->ino != w->st.st_ino || site->dev != w->st.st_dev || site->offset - offset >= CT_PAGE)
			continue;
		if (!ours && pread(w->file, clean, sizeof(clean), (off_t)offset) <= 0)
			return false;
		ours = true;
		page[site->offset - offset] = clean[site->offset - offset];
	}
	return ours && !memcmp(page, clean, sizeof(clean));
}

/* Adds pages that have been read, into memory that may be changed. */
static int add_read(struct writer *w, ct_u64 addr, unsigned char *data, size_t pages)
{
	for (size_t n = w->file >= 0 ? 1 : pages; pages; addr += n * CT_PAGE, data += n * CT_PAGE, pages -= n) {
		if (w->file >= 0 && undo_probes(w, addr, data))
			continue;
		if (w->redact)
			ct_redact_bytes(w->redact, data, n * CT_PAGE, false);
		if (ct_snapshot_add_pages(w->out, w->proc, addr, data, n, w->err))
			return -1;
	}
	return 0;
}

/* Reads a run of pages and adds it. Pages that cannot be read (beyond the end of a file) have no content. */
static int add_run(struct writer *w, ct_u64 addr, size_t pages)
{
	size_t done = 0;

	while (done < pages) {
		ssize_t got = pread(w->memfd, w->buf, (pages - done) * CT_PAGE, (off_t)(addr + done * CT_PAGE));
		size_t n = got > 0 ? got / CT_PAGE : 0;

		if (!n) {
			done++;
			continue;
		}
		if (add_read(w, addr + done * CT_PAGE, w->buf, n))
			return -1;
		done += n;
	}
	return 0;
}

static int add_child_run(struct writer *w, ct_u64 start, ct_u64 end)
{
	int ret = 0;

	for (; !ret && start < end; start += STEP)
		ret = add_run(w, start, (end - start < STEP ? end - start : STEP) / CT_PAGE);
	return ret;
}

/* What the target's own page tables said. The child's say less: zero pages that were only read are not in them. Ranges
 * may reach over the ends of mappings. */
static int write_own(struct writer *w, const struct ct_snap_map *m)
{
	const struct ct_own_pages *own = &w->img->own;
	int ret = 0;

	while (w->range < own->count && own->range[w->range].end <= m->start)
		w->range++;
	for (; !ret && w->range < own->count && own->range[w->range].start < m->end; w->range++) {
		const struct ct_own_range *r = &own->range[w->range];
		ct_u64 start = r->start > m->start ? r->start : m->start, end = r->end < m->end ? r->end : m->end;

		if (r->clean)
			ret = ct_snapshot_carry_pages(w->out, w->proc, w->base, w->base_proc, start, end, w->err);
		else if (r->data)
			ret = add_read(w, start, r->data + (start - r->start), (end - start) / CT_PAGE);
		else
			ret = add_child_run(w, start, end);
		if (r->end > m->end)
			break;
	}
	return ret;
}

static int write_child_map(struct writer *w, const struct ct_snap_map *m)
{
	static __thread ct_u64 entry[STEP_PAGES];

	for (ct_u64 at = m->start; at < m->end; at += STEP) {
		size_t pages = (m->end - at < STEP ? m->end - at : STEP) / CT_PAGE, first;
		bool all = m->flags & (CT_MAPF_VDSO | CT_MAPF_HUGE);

		if (pread(w->pagemap, entry, pages * 8, (off_t)(at / CT_PAGE * 8)) != (ssize_t)(pages * 8))
			all = true;
		for (size_t i = 0; i < pages; i = first) {
			bool own = all || ct_page_is_own(entry[i]);

			for (first = i + 1; first < pages; first++)
				if (own != (all || ct_page_is_own(entry[first])))
					break;
			if (own && add_run(w, at + i * CT_PAGE, first - i))
				return -1;
		}
	}
	return 0;
}

static int write_pages(struct writer *w)
{
	const struct ct_snap_proc *proc = &w->img->proc;
	size_t next = 0;

	for (ct_u32 i = 0; i < proc->nmaps; i++) {
		const struct ct_snap_map *m = &proc->maps[i];
		bool copied = false;

		for (; next < w->img->ncopies && w->img->copies[next].addr < m->end; next++) {
			const struct ct_shared_copy *c = &w->img->copies[next];

			copied = true;
			if (w->redact)
				ct_redact_bytes(w->redact, c->data, c->len, false);
			if (ct_snapshot_add_pages(w->out, w->proc, c->addr, c->data, c->len / CT_PAGE, w->err))
				return -1;
		}
		if (!copied && !(m->flags & CT_MAPF_SPECIAL) && (w->memfd >= 0 || w->img->own.copied)) {
			int ret;

			open_probed(w, m);
			ret = w->img->own.count ? write_own(w, m) : write_child_map(w, m);
			if (w->file >= 0)
				close(w->file);
			w->file = -1;
			if (ret)
				return -1;
		}
	}
	return 0;
}

static int keep_files(struct ct_image *img, ct_keep_file *keep, void *ctx)
{
	struct ct_snap_proc *proc = &img->proc;
	struct ct_error err;
	char path[96];

	for (ct_u32 i = 0; i < proc->nmaps; i++) {
		struct ct_snap_map *m = &proc->maps[i];

		if (!(m->flags & CT_MAPF_FILE))
			continue;
		ct_image_file_path(img, m, path, sizeof(path));
		if (keep(ctx, path, m->name, &m->file, m->hash, &err))
			m->flags |= CT_MAPF_NO_CONTENT;
	}
	return 0;
}

/* The snapshot that says what the pages are that did not change. */
static int open_base(struct writer *w, int dirfd)
{
	const struct ct_snapshot *base;

	w->range = 0;
	if (!w->img->own.base)
		return 0;
	if (!w->base || ct_snapshot_get(w->base)->id != w->img->own.base) {
		ct_snapshot_reader_close(w->base);
		w->base = ct_snapshot_open(dirfd, w->img->own.base, w->err);
	}
	if (!w->base)
		return -1;
	base = ct_snapshot_get(w->base);
	for (w->base_proc = 0; w->base_proc < base->nprocs; w->base_proc++)
		if (base->procs[w->base_proc].pid == w->img->proc.pid)
			return 0;
	return ct_fail(w->err, CT_EXIT_FAILED, "snapshot %u, which this one goes by, does not have process %u",
		       base->id, w->img->proc.pid);
}

int ct_images_write(struct ct_image *imgs, size_t count, struct ct_snapshot *snap, int dirfd, int level,
		    struct ct_page_index *index, ct_keep_file *keep, void *keep_ctx, const struct ct_probe_site *sites,
		    size_t nsites, struct ct_redact *redact, struct ct_error *err)
{
	struct ct_snapshot_writer *out = ct_snapshot_writer_create(dirfd, snap->id, level, index, err);
	struct writer w = {.out = out,
			   .err = err,
			   .pagemap = -1,
			   .memfd = -1,
			   .file = -1,
			   .sites = sites,
			   .nsites = nsites,
			   .redact = redact};
	char path[64];
	int ret = out ? 0 : -1;

	w.buf = malloc(STEP);
	snap->procs = calloc(count ? count : 1, sizeof(*snap->procs));
	if (!ret && (!w.buf || !snap->procs))
		ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (size_t i = 0; i < count && !ret; i++) {
		w.img = &imgs[i];
		w.proc = i;
		w.memfd = imgs[i].child_memfd;
		w.pagemap = -1;
		if (imgs[i].child) {
			/* The child was made while a frame of ours lay on the stack. */
			if (imgs[i].patch)
				ct_mem_write(w.memfd, imgs[i].patch_addr, imgs[i].patch, imgs[i].patch_len);
			snprintf(path, sizeof(path), "/proc/%d/pagemap", imgs[i].child);
			w.pagemap = open(path, O_RDONLY | O_CLOEXEC);
		}
		ret = open_base(&w, dirfd) || write_pages(&w) ? -1 : 0;
		if (!ret)
			ret = keep_files(&imgs[i], keep, keep_ctx);
		if (w.pagemap >= 0)
			close(w.pagemap);
		ct_image_end(&imgs[i]);
	}
	free(w.buf);
	ct_snapshot_reader_close(w.base);
	for (size_t i = 0; snap->procs && i < count; i++) {
		snap->procs[snap->nprocs++] = imgs[i].proc; /* taken over */
		memset(&imgs[i].proc, 0, sizeof(imgs[i].proc));
	}
	if (!out)
		return -1;
	if (ret) {
		ct_snapshot_writer_abort(out);
		return -1;
	}
	return ct_snapshot_writer_finish(out, snap, err);
}
