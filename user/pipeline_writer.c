/* SPDX-License-Identifier: MIT
 * The pipeline's second half: zstd workers, and the writer that puts blocks into segment files in order.
 *
 * Writes go through io_uring with registered buffers and a registered file, several at a time; where the kernel or an
 * administrator forbids io_uring, through pwrite. */
#include "pipeline_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WRITER_DEPTH   8       /* block writes in flight */
#define WRITER_SYNCS   4       /* ended segments on their way to the disk */
#define WRITER_PEEK_NS 1000000 /* how often completions are looked for while waiting for the workers */
#define USER_SYNC      0x100   /* in a completion's user_data: a sync of syncing[user_data & 0xff] */

struct syncing {
	int fd;     /* -1: free */
	ct_u64 job; /* that ended the segment */
	ct_u32 index;
};

struct writer {
	struct io_uring ring;
	bool uring, fixed_bufs, fixed_file;
	int dirfd; /* segments/ */
	unsigned inflight;
	struct syncing syncing[WRITER_SYNCS];
	unsigned nsyncing;
	ct_u64 ended; /* segments ended by jobs before this one have been passed to a sync, or there were none */

	/* The open segment. */
	int fd; /* -1: none */
	ct_u32 index;
	ct_u64 off, first_seq, broken_from;
	ct_u64 before; /* bytes in the segments before it */
	struct ct_index_entry *entries;
	size_t nentries, cap;

	/* The first error; bad_off is where the first block that did not get written would have begun. */
	int err;
	const char *what;
	ct_u64 bad_off;
};

size_t pipe_out_fixed(void)
{
	return ct_block_bound(PIPE_BLOCK);
}
size_t pipe_out_cap(void)
{
	return ct_block_bound(PIPE_RAW_CAP);
}

/* ---- Workers ---- */

static void encode(struct ct_pipeline *p, struct ct_encoder *enc, struct slot *s)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	ssize_t n;

	s->stored = s->written = 0;
	if (!s->used || atomic_load(&p->failed))
		return;
	n = ct_block_encode(enc, s->raw, s->used, s->out, &s->entry, &s->err);
	s->bad = n < 0;
	s->stored = n < 0 ? 0 : (size_t)n;
	if (s->used > PIPE_BLOCK) { /* one very large record: do not keep its memory */
		size_t keep = (PIPE_BLOCK + page - 1) & ~(page - 1);
		madvise(s->raw + keep, PIPE_RAW_CAP - keep, MADV_DONTNEED);
	}
}

void *pipe_worker_main(void *arg)
{
	struct pipe_thread *self = arg;
	struct ct_pipeline *p = self->p;
	struct ct_encoder *enc = p->encoder[self - p->worker];

	pthread_setname_np(pthread_self(), "ctbpf-zstd");
	pthread_mutex_lock(&p->qlock);
	for (;;) {
		while (p->claimed == p->jobs && !p->closing)
			pthread_cond_wait(&p->c_ready, &p->qlock);
		if (p->claimed == p->jobs)
			break;
		struct slot *s = &p->slot[p->claimed++ % PIPE_SLOTS];
		s->state = SLOT_BUSY;
		pthread_mutex_unlock(&p->qlock);
		encode(p, enc, s);
		pthread_mutex_lock(&p->qlock);
		s->state = SLOT_DONE;
		pthread_cond_signal(&p->c_done);
	}
	pthread_mutex_unlock(&p->qlock);
	pipe_thread_ends(self);
	return NULL;
}

/* ---- Writing ---- */

static void note_error(struct writer *w, int err, const char *what, ct_u64 off)
{
	if (!w->err) {
		w->err = err;
		w->what = what;
	}
	if (off < w->bad_off)
		w->bad_off = off;
}

static void free_slot(struct ct_pipeline *p, struct slot *s)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (s->stored > pipe_out_fixed()) {
		size_t keep = (pipe_out_fixed() + page - 1) & ~(page - 1);
		madvise(s->out + keep, pipe_out_cap() - keep, MADV_DONTNEED);
	}
	pthread_mutex_lock(&p->qlock);
	s->state = SLOT_FREE;
	pthread_cond_signal(&p->c_free);
	pthread_mutex_unlock(&p->qlock);
}

/* Writes all of it here and now. 0 or the error. */
static int write_all(int fd, const void *data, size_t len, ct_u64 off)
{
	const char *pos = data;

	while (len) {
		ssize_t n = pwrite(fd, pos, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		pos += n;
		off += (ct_u64)n;
		len -= (size_t)n;
	}
	return 0;
}

/* 0 or the error. */
static int submit(struct writer *w)
{
	int rc;

	while ((rc = io_uring_submit(&w->ring)) == -EINTR || rc == -EAGAIN || rc == -EBUSY)
		nanosleep(&(struct timespec){.tv_nsec = WRITER_PEEK_NS}, NULL);
	return rc < 0 ? -rc : 0;
}

static int submit_write(struct ct_pipeline *p, struct slot *s)
{
	struct writer *w = p->w;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring); /* never NULL: DEPTH + SYNCS entries at most are used */
	unsigned char *from = s->out + s->written;
	size_t len = s->stored - s->written;
	int fd = w->fixed_file ? 0 : w->fd;

	if (w->fixed_bufs && s->stored <= pipe_out_fixed())
		io_uring_prep_write_fixed(sqe, fd, from, (unsigned)len, s->entry.offset + s->written,
					  (int)(s - p->slot));
	else
		io_uring_prep_write(sqe, fd, from, (unsigned)len, s->entry.offset + s->written);
	if (w->fixed_file)
		sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = (ct_u64)(s - p->slot);
	return submit(w);
}

/* Blocks are on their way in `synced` order only: a later segment does not count before an earlier one. */
static void publish_synced(struct ct_pipeline *p)
{
	struct writer *w = p->w;
	ct_u64 upto = w->ended;

	for (int i = 0; i < WRITER_SYNCS; i++)
		if (w->syncing[i].fd >= 0 && w->syncing[i].job < upto)
			upto = w->syncing[i].job;
	pthread_mutex_lock(&p->qlock);
	p->synced = upto;
	pthread_cond_broadcast(&p->c_sync);
	pthread_mutex_unlock(&p->qlock);
}

static void fail_with(struct ct_pipeline *p, int err, const char *what, ct_u32 index)
{
	struct ct_error e;

	errno = err;
	ct_fail_errno(&e, CT_EXIT_FAILED, "cannot %s segments/%06u.ctseg; recording stopped there", what, index);
	pipe_fail(p, &e);
}

static void sync_done(struct ct_pipeline *p, struct syncing *sy, int res)
{
	close(sy->fd);
	sy->fd = -1;
	p->w->nsyncing--;
	if (res < 0)
		fail_with(p, -res, "get to the disk (fdatasync)", sy->index);
	publish_synced(p);
}

static void complete(struct ct_pipeline *p, struct io_uring_cqe *cqe)
{
	struct writer *w = p->w;
	struct slot *s;

	if (cqe->user_data & USER_SYNC) {
		sync_done(p, &w->syncing[cqe->user_data & 0xff], cqe->res);
		return;
	}
	s = &p->slot[cqe->user_data];
	if (cqe->res > 0)
		s->written += (size_t)cqe->res;
	if (s->written < s->stored) {
		int err = cqe->res ? -cqe->res : EIO;
		if (cqe->res > 0 || cqe->res == -EINTR || cqe->res == -EAGAIN) {
			err = submit_write(p, s);
			if (!err)
				return;
		}
		note_error(w, err, "write", s->entry.offset);
	} else {
		atomic_fetch_add_explicit(&p->s_stored, s->stored, memory_order_relaxed);
	}
	w->inflight--;
	free_slot(p, s);
}

/* Handles what has completed; with `wait`, at least one completion. */
static void reap(struct ct_pipeline *p, bool wait)
{
	struct writer *w = p->w;
	struct io_uring_cqe *cqe;

	while (w->inflight + w->nsyncing) {
		int rc = wait ? io_uring_wait_cqe(&w->ring, &cqe) : io_uring_peek_cqe(&w->ring, &cqe);
		if (rc == -EINTR)
			continue;
		if (rc)
			return;
		struct io_uring_cqe copy = *cqe;
		io_uring_cqe_seen(&w->ring, cqe);
		complete(p, &copy);
		wait = false;
	}
}

static void wait_writes(struct ct_pipeline *p)
{
	while (p->w->inflight)
		reap(p, true);
}

/* ---- Segments ---- */

static int open_segment(struct ct_pipeline *p, const struct slot *s)
{
	struct writer *w = p->w;
	struct ct_segment_header h;
	char name[32];
	int err;

	w->index++;
	w->off = w->bad_off = 0;
	w->nentries = 0;
	w->broken_from = 0;
	w->first_seq = s->entry.first_seq;
	snprintf(name, sizeof(name), "%06u.ctseg", w->index);
	w->fd = openat(w->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w->fd < 0) {
		note_error(w, errno, "create", 0);
		return -1;
	}
	ct_segment_header_init(&h, w->index, s->entry.first_seq, s->entry.first_ns, p->opts.uuid);
	err = write_all(w->fd, &h, sizeof(h), 0);
	if (err) {
		note_error(w, err, "write", 0);
		return -1;
	}
	w->off = sizeof(h);
	w->bad_off = UINT64_MAX;
	if (w->uring && w->fixed_file && io_uring_register_files_update(&w->ring, 0, &w->fd, 1) != 1)
		w->fixed_file = false;
	atomic_fetch_add_explicit(&p->s_segments, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->s_stored, sizeof(h), memory_order_relaxed);
	return 0;
}

/* 0 or the error. On error the file is as long as before. */
static int write_footer(struct ct_pipeline *p)
{
	struct writer *w = p->w;
	size_t len = ct_footer_size((ct_u32)w->nentries);
	void *footer = malloc(len);
	int err;

	if (!footer)
		return ENOMEM;
	ct_footer_encode(w->entries, (ct_u32)w->nentries, w->off, w->broken_from, footer);
	err = write_all(w->fd, footer, len, w->off);
	free(footer);
	if (!err)
		atomic_fetch_add_explicit(&p->s_stored, len, memory_order_relaxed);
	else if (ftruncate(w->fd, (off_t)w->off))
		return errno;
	return err;
}

/* What the finished segment holds, for the statistics after a failure. */
static void count_segment(struct ct_pipeline *p)
{
	struct writer *w = p->w;

	for (size_t i = 0; i < w->nentries; i++) {
		const struct ct_index_entry *e = &w->entries[i];
		atomic_fetch_add_explicit(&p->d_events, e->events, memory_order_relaxed);
		atomic_fetch_add_explicit(&p->d_raw, e->raw, memory_order_relaxed);
		atomic_store_explicit(&p->d_last_ns, e->last_ns, memory_order_relaxed);
		atomic_store_explicit(&p->d_last_seq, e->last_seq, memory_order_relaxed);
	}
}

/* Leaves the open segment with its complete blocks and gives up writing. */
static void give_up(struct ct_pipeline *p)
{
	struct writer *w = p->w;
	ct_u64 dropped = 0, stored = w->before;

	wait_writes(p);
	while (w->nentries && w->entries[w->nentries - 1].offset >= w->bad_off) {
		dropped += w->entries[--w->nentries].events;
		w->off = w->entries[w->nentries].offset;
	}
	if (w->fd >= 0) {
		if (w->off > w->bad_off)
			w->off = w->bad_off;
		if (!w->broken_from || !w->nentries || w->broken_from > w->entries[w->nentries - 1].last_seq)
			w->broken_from = w->nentries ? w->entries[w->nentries - 1].last_seq + 1 : w->first_seq;
		if (ftruncate(w->fd, (off_t)w->off) == 0 && w->nentries && write_footer(p) == 0)
			stored += ct_footer_size((ct_u32)w->nentries);
		stored += w->off;
		fdatasync(w->fd);
		close(w->fd);
		w->fd = -1;
		if (!w->nentries) { /* not one block: there is nothing to keep */
			char name[32];
			snprintf(name, sizeof(name), "%06u.ctseg", w->index);
			stored = w->before;
			if (unlinkat(w->dirfd, name, 0) == 0 && w->off)
				atomic_fetch_sub_explicit(&p->s_segments, 1, memory_order_relaxed);
		}
	}
	atomic_store_explicit(&p->s_stored, stored, memory_order_relaxed);
	count_segment(p);
	atomic_fetch_add_explicit(&p->s_dropped, dropped, memory_order_relaxed);
	fail_with(p, w->err, w->what, w->index);
}

static void end_segment(struct ct_pipeline *p, ct_u64 job)
{
	struct writer *w = p->w;
	int i, err;

	wait_writes(p);
	if (w->err)
		return;
	w->ended = job + 1;
	if (w->fd < 0) {
		publish_synced(p);
		return;
	}
	err = write_footer(p);
	if (err) {
		note_error(w, err, "write the index of", w->off);
		return;
	}
	w->before += w->off + ct_footer_size((ct_u32)w->nentries);
	count_segment(p);
	while (w->nsyncing == WRITER_SYNCS)
		reap(p, true);
	for (i = 0; w->syncing[i].fd >= 0; i++)
		;
	w->syncing[i] = (struct syncing){.fd = w->fd, .job = job, .index = w->index};
	w->nsyncing++;
	w->nentries = 0;
	w->fd = -1;
	if (w->uring) {
		/* Not here: a disk may take a second for a large segment, and the next one should not have to wait. */
		struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);
		io_uring_prep_fsync(sqe, w->syncing[i].fd, IORING_FSYNC_DATASYNC);
		sqe->user_data = USER_SYNC | (unsigned)i;
		err = submit(w);
		if (err)
			sync_done(p, &w->syncing[i], -err);
	} else {
		sync_done(p, &w->syncing[i], fdatasync(w->syncing[i].fd) ? -errno : 0);
	}
}

static int add_entry(struct writer *w, const struct ct_index_entry *entry)
{
	if (w->nentries == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 1024;
		void *mem = realloc(w->entries, cap * sizeof(*w->entries));
		if (!mem)
			return -1;
		w->entries = mem;
		w->cap = cap;
	}
	w->entries[w->nentries++] = *entry;
	return 0;
}

static void write_block(struct ct_pipeline *p, struct slot *s)
{
	struct writer *w = p->w;
	int err = 0;

	if (s->bad) {
		pipe_fail(p, &s->err);
		note_error(w, EIO, "write", w->off);
	} else if (w->fd < 0) {
		open_segment(p, s);
	}
	s->entry.offset = w->off;
	if (!w->err && add_entry(w, &s->entry))
		note_error(w, ENOMEM, "index", w->off);
	if (w->err) { /* not in the index: not counted there */
		atomic_fetch_add_explicit(&p->s_dropped, s->events, memory_order_relaxed);
		free_slot(p, s);
		return;
	}
	w->off += s->stored;
	if (s->broken_from && !w->broken_from)
		w->broken_from = s->broken_from;
	if (w->uring) {
		err = submit_write(p, s);
		if (!err) {
			w->inflight++;
			return;
		}
	} else {
		err = write_all(w->fd, s->out, s->stored, s->entry.offset);
	}
	if (err)
		note_error(w, err, "write", s->entry.offset);
	else
		atomic_fetch_add_explicit(&p->s_stored, s->stored, memory_order_relaxed);
	free_slot(p, s);
}

/* The next block in order, waiting if there is nothing else to do. NULL: look at the completions first. */
static struct slot *next_block(struct ct_pipeline *p)
{
	struct slot *s = &p->slot[p->written % PIPE_SLOTS];
	struct writer *w = p->w;
	bool ready;

	pthread_mutex_lock(&p->qlock);
	while (!(ready = p->written < p->jobs && s->state == SLOT_DONE)) {
		struct timespec ts;
		if (!(w->inflight + w->nsyncing)) {
			pthread_cond_wait(&p->c_done, &p->qlock);
			continue;
		}
		/* There is no waiting for a worker and for the ring in one; with buffered writes the latter is
		 * nearly always done by now. */
		clock_gettime(CLOCK_MONOTONIC, &ts);
		ts.tv_nsec += WRITER_PEEK_NS;
		if (ts.tv_nsec >= 1000000000) {
			ts.tv_nsec -= 1000000000;
			ts.tv_sec++;
		}
		pthread_cond_timedwait(&p->c_done, &p->qlock, &ts);
		ready = p->written < p->jobs && s->state == SLOT_DONE;
		break;
	}
	if (ready) {
		p->written++;
		s->state = SLOT_WRITING;
	}
	pthread_mutex_unlock(&p->qlock);
	return ready ? s : NULL;
}

void *pipe_writer_main(void *arg)
{
	struct pipe_thread *self = arg;
	struct ct_pipeline *p = self->p;
	struct writer *w = p->w;
	bool given_up = false, final = false;

	pthread_setname_np(pthread_self(), "ctbpf-write");
	while (!final) {
		struct slot *s = NULL;
		reap(p, w->inflight == WRITER_DEPTH);
		if (!w->err || given_up) {
			s = next_block(p);
			reap(p, false);
		}
		if (s) {
			unsigned flags = s->flags;
			ct_u64 job = s->job;
			/* Also after a failed sync: nothing may follow a segment that may not be whole. */
			if (atomic_load(&p->failed) && !w->err)
				note_error(w, EIO, "write", w->off);
			if (!s->used) {
				free_slot(p, s);
			} else if (w->err) {
				atomic_fetch_add_explicit(&p->s_dropped, s->events, memory_order_relaxed);
				free_slot(p, s);
			} else {
				write_block(p, s);
			}
			final = flags & SLOT_FINAL;
			if (!w->err && ((flags & SLOT_END) || (p->opts.segment_size && w->off >= p->opts.segment_size)))
				end_segment(p, job);
		}
		if (w->err && !given_up) {
			give_up(p);
			given_up = true;
		}
	}
	while (w->nsyncing)
		reap(p, true);
	pipe_thread_ends(self);
	return NULL;
}

/* ---- Creation ---- */

static void set_up_uring(struct ct_pipeline *p, struct writer *w)
{
	struct iovec iov[PIPE_SLOTS];
	int none = -1;

	if (p->hooks.no_uring || io_uring_queue_init(4 * WRITER_DEPTH, &w->ring, 0))
		return; /* old kernel, kernel.io_uring_disabled, seccomp: pwrite it is */
	w->uring = true;
	for (int i = 0; i < PIPE_SLOTS; i++)
		iov[i] = (struct iovec){.iov_base = p->slot[i].out, .iov_len = pipe_out_fixed()};
	/* Both only save work: without (RLIMIT_MEMLOCK, ...) everything goes on as it is. */
	w->fixed_bufs = io_uring_register_buffers(&w->ring, iov, PIPE_SLOTS) == 0;
	w->fixed_file = io_uring_register_files(&w->ring, &none, 1) == 0;
	/* The kernel's helper threads must stay off the target's CPU, too. */
	if (p->opts.cpus)
		io_uring_register_iowq_aff(&w->ring, p->opts.cpus_len, p->opts.cpus);
}

struct writer *pipe_writer_create(struct ct_pipeline *p, struct ct_error *err)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w) {
		ct_fail_errno(err, CT_EXIT_FAILED, "recorder: no memory");
		return NULL;
	}
	w->fd = -1;
	w->bad_off = UINT64_MAX;
	for (int i = 0; i < WRITER_SYNCS; i++)
		w->syncing[i].fd = -1;
	w->dirfd = openat(p->opts.dirfd, "segments", O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (w->dirfd < 0) {
		ct_fail_errno(err, CT_EXIT_FAILED, "recording: cannot open its directory segments/");
		free(w);
		return NULL;
	}
	set_up_uring(p, w);
	return w;
}

void pipe_writer_destroy(struct writer *w)
{
	if (!w)
		return;
	if (w->uring)
		io_uring_queue_exit(&w->ring);
	close(w->dirfd);
	free(w->entries);
	free(w);
}
