// SPDX-License-Identifier: MIT
/* PAGEMAP_SCAN and userfaultfd, see track.h. What is not known for sure counts as changed.
 *
 * The target makes the userfaultfd, as it belongs to its maker's address space; the recorder takes it over, and the
 * target's descriptor is closed before it runs on. With the recorder's end the kernel takes back all of it. */
#include "user/attach/track.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "user/attach/target.h"

/* linux/fs.h has these since Linux 6.7. */
#define IS_WPALLOWED (1u << 0) /* the area is registered for this */
#define IS_WRITTEN   (1u << 1) /* not write-protected by it */
#define IS_FILE      (1u << 2)
#define IS_PRESENT   (1u << 3)
#define IS_SWAPPED   (1u << 4) /* or on its way to another place of memory */
#define IS_HUGE      (1u << 6)
#define WP_MATCHING  (1u << 0) /* protects what it finds */
struct region {
	ct_u64 start, end, categories;
};
struct scan {
	ct_u64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
	ct_u64 category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan)

/* linux/userfaultfd.h has these since Linux 6.4 and 6.7. */
#define FEATURE_WP_UNPOPULATED (1u << 13)
#define FEATURE_WP_ASYNC       (1u << 15)

#define REGIONS     2048           /* of one call */
#define LEAST_BYTES (16ull << 20)  /* of anonymous memory: a copy of less costs less than this */
#define LEAST_AREA  (256ull << 10) /* a registered area is not merged with one beside it that is not */
#define COPY_PART   20             /* copying one page costs as much as a fork of so many */
#define COPY_PAGES  16384u         /* at most, at once */
#define BATCH       256

/* What scans of one area find. */
struct found {
	struct region *region;
	size_t count, room;
};

static int add_region(struct found *f, const struct region *r)
{
	if (f->count == f->room) {
		size_t room = f->room ? f->room * 2 : REGIONS;
		struct region *more = realloc(f->region, room * sizeof(*more));

		if (!more)
			return -1;
		f->region = more;
		f->room = room;
	}
	f->region[f->count++] = *r;
	return 0;
}

/* `what` says which pages of [start, end); f gets them. */
static int scan(int pagemap, struct scan what, ct_u64 start, ct_u64 end, struct found *f)
{
	static __thread struct region vec[REGIONS];

	f->count = 0;
	what.size = sizeof(what);
	what.vec = (ct_u64)(uintptr_t)vec;
	what.vec_len = REGIONS;
	what.end = end;
	for (what.start = start; what.start < end; what.start = what.walk_end) {
		int n = ioctl(pagemap, SCAN_IOCTL, &what);

		if (n < 0 || what.walk_end <= what.start)
			return -1;
		for (int i = 0; i < n; i++)
			if (add_region(f, &vec[i]))
				return -1;
	}
	return 0;
}

/* ---- is it there? ---------------------------------------------------------------------------------------------- */

static int start_api(int fd)
{
	struct uffdio_api api = {.api = UFFD_API, .features = FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED};

	return ioctl(fd, UFFDIO_API, &api);
}

bool ct_track_supported(char *what, size_t len)
{
	struct scan none = {.category_mask = IS_PRESENT, .return_mask = IS_PRESENT};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ct_u64 page = (ct_u64)(uintptr_t)&none & ~(ct_u64)(CT_PAGE - 1);
	struct found f = {0};
	bool ret = false;

	if (fd < 0 || start_api(fd))
		snprintf(what, len, "userfaultfd with asynchronous write-protection: %s", strerror(errno));
	else if (pagemap < 0 || scan(pagemap, none, page, page + CT_PAGE, &f))
		snprintf(what, len, "PAGEMAP_SCAN: %s", strerror(errno));
	else
		ret = true;
	free(f.region);
	if (fd >= 0)
		close(fd);
	if (pagemap >= 0)
		close(pagemap);
	return ret;
}

/* ---- the target's userfaultfd ------------------------------------------------------------------------------------ */

static int take_over(struct ct_target *t, int theirs)
{
	int pidfd = (int)syscall(SYS_pidfd_open, t->pid, 0);
	int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, theirs, 0);

	if (pidfd >= 0)
		close(pidfd);
	return fd;
}

static int make_fd(struct ct_target *t)
{
	ct_u64 args[6] = {O_CLOEXEC | UFFD_USER_MODE_ONLY};
	struct ct_inject in;
	int fd = -1, bad;
	long ret;

	if (ct_inject_somewhere(&in, t, NULL))
		return -1;
	bad = ct_inject_call(&in, SYS_userfaultfd, args, &ret, NULL);
	if (!bad && ret >= 0) {
		fd = take_over(t, (int)ret);
		args[0] = (ct_u64)ret;
		bad = ct_inject_call(&in, SYS_close, args, &ret, NULL);
	}
	if (ct_inject_end(&in, NULL))
		bad = -1;
	if (fd >= 0 && (bad || start_api(fd))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void ct_track_end(struct ct_track *track)
{
	if (track->fd >= 0)
		close(track->fd);
	track->fd = -1;
	track->base = 0;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

struct look {
	struct ct_target *t;
	int pagemap;
	struct ct_own_pages *own;
	bool first;                /* nothing can be registered by this userfaultfd */
	struct found written, all; /* of the area being looked at */
};

static int add_range(struct ct_own_pages *own, ct_u64 start, ct_u64 end, bool clean)
{
	struct ct_own_range *last = own->count ? &own->range[own->count - 1] : NULL;

	if (clean)
		own->clean += (end - start) / CT_PAGE;
	else
		own->changed += (end - start) / CT_PAGE;
	if (last && last->end == start && last->clean == clean) {
		last->end = end;
		return 0;
	}
	if (own->count == own->room) {
		size_t room = own->room ? own->room * 2 : 1024;
		struct ct_own_range *more = realloc(own->range, room * sizeof(*more));

		if (!more)
			return -1;
		own->range = more;
		own->room = room;
	}
	own->range[own->count++] = (struct ct_own_range){.start = start, .end = end, .clean = clean};
	return 0;
}

/* Private memory without a file, but for the stack of the first thread, which is small and always written to. */
static bool is_tracked_kind(const struct ct_target *t, const struct ct_map *m)
{
	return !m->shared && !m->ino && m->end - m->start >= LEAST_AREA && m->start != t->own_page &&
	       (!*m->name || !strcmp(m->name, "[heap]") || !strncmp(m->name, "[anon:", 6));
}

/* 1: its writes have been noticed since the last look. 0: from now on. -1: not at all. -2: by somebody else: a process
 * that has the same memory (CLONE_VM), whose looks would hide writes from this one's. */
static int register_area(struct look *l, const struct ct_map *m)
{
	struct uffdio_register reg = {.range = {m->start, m->end - m->start}, .mode = UFFDIO_REGISTER_MODE_WP};
	struct uffdio_writeprotect none = {.range = reg.range};
	const struct scan registered = {.category_mask = IS_WPALLOWED, .return_mask = IS_WPALLOWED};
	const struct scan huge = {.category_mask = IS_HUGE, .return_mask = IS_HUGE, .max_pages = 1};

	if (scan(l->pagemap, registered, m->start, m->start + CT_PAGE, &l->all))
		return -1;
	if (l->all.count)
		return l->first ? -2 : 1;
	/* Write-protected, a huge page would be split at the next write. */
	if (!(m->prot & PROT_WRITE) || scan(l->pagemap, huge, m->start, m->end, &l->all) || l->all.count)
		return -1;
	if (ioctl(l->t->track.fd, UFFDIO_REGISTER, &reg))
		return -1;
	/* Before Linux 6.14, mremap() left marks of a registration in the page table that went with the pages. */
	return ioctl(l->t->track.fd, UFFDIO_WRITEPROTECT, &none) ? -1 : 0;
}

/* What `all` says is there and protected, without what was written to and is protected only since this look. */
static int add_area(struct look *l, bool known)
{
	size_t w = 0;

	for (size_t i = 0; i < l->all.count; i++) {
		const struct region *r = &l->all.region[i];
		bool clean = known && (r->categories & (IS_PRESENT | IS_WPALLOWED)) == (IS_PRESENT | IS_WPALLOWED) &&
			     !(r->categories & (IS_WRITTEN | IS_SWAPPED | IS_FILE));

		if (!(r->categories & IS_SWAPPED) && r->categories & IS_FILE)
			continue;
		for (ct_u64 at = r->start; at < r->end;) {
			const struct region *next;
			ct_u64 stop = r->end;
			bool changed;

			while (w < l->written.count && l->written.region[w].end <= at)
				w++;
			next = w < l->written.count ? &l->written.region[w] : NULL;
			changed = next && next->start <= at;
			if (changed && next->end < stop)
				stop = next->end;
			else if (!changed && next && next->start < stop)
				stop = next->start;
			if (add_range(l->own, at, stop, clean && !changed))
				return -1;
			at = stop;
		}
	}
	return 0;
}

static int look_at(struct look *l, const struct ct_map *m)
{
	/* A page on its way to another place is not protected here: protection may be lost on the way, or the right to
	 * write kept beside it. */
	const struct scan protect = {.flags = WP_MATCHING,
				     .category_inverted = IS_HUGE,
				     .category_mask = IS_PRESENT | IS_WRITTEN | IS_HUGE,
				     .return_mask = IS_PRESENT};
	/* Whether a page is a file's takes a look at its struct page: ten times as long as all the rest. */
	const struct scan list = {.category_anyof_mask = IS_PRESENT | IS_SWAPPED,
				  .return_mask =
					  IS_WPALLOWED | IS_WRITTEN | (m->ino ? IS_FILE : 0) | IS_PRESENT | IS_SWAPPED};
	int known = is_tracked_kind(l->t, m) ? register_area(l, m) : -1;

	l->written.count = 0;
	if (known < -1)
		return -1;
	if (known >= 0 && scan(l->pagemap, protect, m->start, m->end, &l->written))
		return -1;
	if (scan(l->pagemap, list, m->start, m->end, &l->all))
		return -1;
	return add_area(l, l->own->base && known > 0);
}

static bool is_kernels(const struct ct_target *t, const struct ct_map *m)
{
	return !strncmp(m->name, "[vvar", 5) || !strcmp(m->name, "[vsyscall]") || !strncmp(m->name, "[uprobes", 8) ||
	       (t->own_page && m->start == t->own_page);
}

/* Of memory of hugetlbfs, /proc says other things. */
static bool is_hugetlb(const struct ct_map *m)
{
	return !strncmp(m->name, "/anon_hugepage", 14) || strstr(m->name, "hugetlb") || strstr(m->name, "hugepages");
}

void ct_track_look(struct ct_target *t, struct ct_own_pages *own)
{
	struct look l = {.t = t, .pagemap = -1, .own = own};
	char path[64];
	bool bad;

	own->base = t->track.base;
	t->track.base = 0; /* until the snapshot that this is for is there */
	if (!t->track.wanted || t->track.refused)
		return;
	if ((ct_proc_status(t->pid, "RssAnon:", 10) << 10) < LEAST_BYTES) {
		ct_track_end(&t->track);
		own->base = 0;
		return;
	}
	l.first = t->track.fd < 0;
	if (l.first)
		t->track.fd = make_fd(t);
	snprintf(path, sizeof(path), "/proc/%d/pagemap", t->pid);
	l.pagemap = t->track.fd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	bad = l.pagemap < 0;
	for (size_t i = 0; i < t->maps.count && !bad; i++) {
		const struct ct_map *m = &t->maps.map[i];

		if (!m->shared && !is_kernels(t, m))
			bad = is_hugetlb(m) || look_at(&l, m);
	}
	if (l.pagemap >= 0)
		close(l.pagemap);
	free(l.written.region);
	free(l.all.region);
	if (bad) {
		ct_own_pages_deinit(own);
		ct_track_end(&t->track);
		t->track.refused = true;
	}
}

/* ---- copying ----------------------------------------------------------------------------------------------------- */

/* One by one, whatever may be read there: a page that cannot be has no content. */
static int copy_pages(struct ct_target *t, struct ct_own_pages *to, const struct ct_own_range *r, unsigned char *data)
{
	for (ct_u64 at = r->start; at < r->end; at += CT_PAGE, data += CT_PAGE) {
		if (pread(t->memfd, data, CT_PAGE, (off_t)at) != CT_PAGE)
			continue;
		if (add_range(to, at, at + CT_PAGE, false))
			return -1;
		if (to->range[to->count - 1].start == at)
			to->range[to->count - 1].data = data;
	}
	return 0;
}

/* Ranges from `first` on that are to be copied, and where to: as many as one call takes. */
static size_t next_batch(const struct ct_own_pages *own, size_t *first, struct iovec *from, size_t *bytes)
{
	size_t n = 0;

	*bytes = 0;
	for (; *first < own->count && n < BATCH; ++*first) {
		const struct ct_own_range *r = &own->range[*first];

		if (r->clean)
			continue;
		from[n].iov_base = (void *)(uintptr_t)r->start;
		from[n++].iov_len = r->end - r->start;
		*bytes += r->end - r->start;
	}
	return n;
}

bool ct_track_copy(struct ct_target *t, struct ct_own_pages *own)
{
	struct ct_own_pages to = {.base = own->base};
	struct iovec from[BATCH];
	size_t at = 0, bytes, next;
	bool ok;

	if (!own->clean || own->changed > COPY_PAGES || own->changed > (own->clean + own->changed) / COPY_PART)
		return false;
	to.copied_len = own->changed ? own->changed * CT_PAGE : CT_PAGE;
	to.copied =
		mmap(NULL, to.copied_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (to.copied == MAP_FAILED)
		return false;
	ok = true;
	for (size_t first = 0, done = 0; ok && first < own->count; first = next) {
		size_t n;
		bool all;

		next = first;
		n = next_batch(own, &next, from, &bytes);
		all = n && process_vm_readv(t->pid, &(struct iovec){to.copied + done, bytes}, 1, from, n, 0) ==
				   (ssize_t)bytes;
		for (; first < next && ok; first++) {
			const struct ct_own_range *r = &own->range[first];

			at = to.count;
			if (r->clean || all)
				ok = !add_range(&to, r->start, r->end, r->clean);
			else
				ok = !copy_pages(t, &to, r, to.copied + done);
			if (r->clean)
				continue;
			if (ok && all && to.count > at)
				to.range[at].data = to.copied + done;
			done += r->end - r->start;
		}
	}
	if (!ok) {
		ct_own_pages_deinit(&to);
		return false;
	}
	free(own->range);
	*own = to;
	return true;
}

void ct_own_pages_deinit(struct ct_own_pages *own)
{
	if (own->copied)
		munmap(own->copied, own->copied_len);
	free(own->range);
	memset(own, 0, sizeof(*own));
}
