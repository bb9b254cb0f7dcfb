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
	struct ct_error *err;
};

/* The file behind a mapping, if there may be breakpoints of ours in it: the kernel sets them in any mapping that could
 * be made executable. */
static void open_probed(struct writer *w, const struct ct_snap_map *m)
{
	char path[96];

	w->file = -1;
	if (!w->nsites || !w->img->child || !(m->flags & CT_MAPF_FILE))
		return;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", w->img->child, (unsigned long long)m->start,
		 (unsigned long long)m->end);
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
		if (w->file >= 0) {
			n = 1;
			if (undo_probes(w, addr + done * CT_PAGE, w->buf)) {
				done++;
				continue;
			}
		}
		if (w->redact)
			ct_redact_bytes(w->redact, w->buf, n * CT_PAGE, false);
		if (ct_snapshot_add_pages(w->out, w->proc, addr + done * CT_PAGE, w->buf, n, w->err))
			return -1;
		done += n;
	}
	return 0;
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
		if (!copied && !(m->flags & CT_MAPF_SPECIAL) && w->memfd >= 0) {
			int ret;

			open_probed(w, m);
			ret = write_child_map(w, m);
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
	pid_t pid = img->child ? img->child : (pid_t)proc->pid;
	struct ct_error err;
	char path[96];

	for (ct_u32 i = 0; i < proc->nmaps; i++) {
		struct ct_snap_map *m = &proc->maps[i];

		if (!(m->flags & CT_MAPF_FILE))
			continue;
		/* The link leads to the very file that is mapped, even if its name is gone or leads elsewhere now. */
		snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid, (unsigned long long)m->start,
			 (unsigned long long)m->end);
		if (keep(ctx, path, m->name, &m->file, m->hash, &err))
			m->flags |= CT_MAPF_NO_CONTENT;
	}
	return 0;
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
		ret = write_pages(&w);
		if (!ret)
			ret = keep_files(&imgs[i], keep, keep_ctx);
		if (w.pagemap >= 0)
			close(w.pagemap);
		ct_image_end(&imgs[i]);
	}
	free(w.buf);
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
