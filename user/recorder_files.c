// SPDX-License-Identifier: MIT
/* The recorder's background thread: writes snapshots and keeps the content of files, mapped ones at once, read ones
 * when the kernel side offers them. A file is kept once, whatever the number of its mappings. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "formats/dirio.h"
#include "formats/event_access.h"
#include "user/recorder_priv.h"
#include "formats/sysrule.h"
#include "record.skel.h" /* after the headers with its types */

#define BYTES_WAITING_MAX (32u << 20)

static ct_u64 kernel_dev(dev_t dev)
{
	return (ct_u64)major(dev) << 20 | minor(dev);
}

bool ct_recorder_same_file(const struct ct_file_ref *a, const struct ct_file_ref *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->ctime_s == b->ctime_s && a->ctime_ns == b->ctime_ns &&
	       a->size == b->size;
}

void ct_recorder_file_ref(struct ct_file_ref *ref, const struct stat *st)
{
	memset(ref, 0, sizeof(*ref));
	ref->dev = kernel_dev(st->st_dev);
	ref->ino = st->st_ino;
	ref->ctime_s = st->st_ctim.tv_sec;
	ref->ctime_ns = st->st_ctim.tv_nsec;
	ref->size = st->st_size;
}

/* Where it is used now. */
static ct_u32 here(const struct ct_recorder *r)
{
	return r->writing > r->stretch ? r->writing : r->stretch;
}

static bool known(struct ct_recorder *r, const struct ct_file_ref *ref, struct ct_known_file *out)
{
	bool found = false;

	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->nfiles && !found; i++) {
		if (ct_recorder_same_file(&r->files[i].ref, ref)) {
			r->files[i].idle = 0;
			if (r->files[i].last < here(r))
				r->files[i].last = here(r);
			*out = r->files[i];
			found = true;
		}
	}
	pthread_mutex_unlock(&r->lock);
	return found;
}

static void remember(struct ct_recorder *r, const struct ct_known_file *file, const char *name)
{
	struct ct_known_file *more;

	pthread_mutex_lock(&r->lock);
	more = realloc(r->files, (r->nfiles + 1) * sizeof(*more));
	if (more) {
		r->files = more;
		more += r->nfiles++;
		*more = *file;
		more->name = strdup(name);
		more->last = here(r);
	}
	pthread_mutex_unlock(&r->lock);
}

void ct_recorder_append_file(struct ct_recorder *r, const struct ct_file_ref *ref, const ct_u8 hash[16],
			     const char *name)
{
	struct ct_ev_file body = {.ref = *ref, .path_len = name ? strlen(name) : 0};

	memcpy(body.hash, hash, sizeof(body.hash));
	ct_recorder_append(r, CT_EV_FILE, 0, 0, &body, sizeof(body), name, body.path_len);
}

/* Of stores through a shared mapping only the first to a page changes the times of the file
 * (fault_dirty_shared_page()). */
static bool written_through_maps(struct ct_recorder *r, const struct ct_file_ref *ref, bool now_too)
{
	struct ct_written_file *more;
	bool found = false;

	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->nwritten && !found; i++) {
		found = r->written[i].key.dev == ref->dev && r->written[i].key.ino == ref->ino;
		if (found)
			r->written[i].idle = 0;
	}
	if (!found && now_too) {
		more = realloc(r->written, (r->nwritten + 1) * sizeof(*more));
		if (more) {
			r->written = more;
			r->written[r->nwritten++] = (struct ct_written_file){.key = {ref->dev, ref->ino}};
		}
	}
	pthread_mutex_unlock(&r->lock);
	return found || now_too;
}

/* From now on the kernel side may log reads of it by reference. */
static void tell_kernel(struct ct_recorder *r, const struct ct_file_ref *ref, bool sites)
{
	struct ct_kept_key key = {ref->dev, ref->ino};
	struct ct_kept value = {.ctime_s = ref->ctime_s,
				.ctime_ns = ref->ctime_ns,
				.size = ref->size,
				.state = sites ? CT_KEPT_SITES : CT_KEPT_KEPT};

	if (written_through_maps(r, ref, false)) {
		if (sites)
			return;
		value.state = CT_KEPT_SHARED;
	}
	bpf_map_update_elem(bpf_map__fd(r->probes.skel->maps.kept), &key, &value, BPF_ANY);
}

/* A change within the same tick of the clock that stamps files would not show in ctime. */
bool ct_recorder_settled(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (now.tv_sec - st->st_ctim.tv_sec) * 1000 + (now.tv_nsec - st->st_ctim.tv_nsec) / 1000000 > 50;
}

/* A file's content is what was mapped as long as its size and mtime stay: ctime also changes when a name of it goes
 * away, as one's that is unlinked once it is mapped. */
static bool same_content(const struct stat *st, const struct ct_mapped_as *as)
{
	return (ct_u64)st->st_size == as->ref.size && st->st_mtim.tv_sec == as->mtime.tv_sec &&
	       st->st_mtim.tv_nsec == as->mtime.tv_nsec;
}

/* as: what it was when it was mapped, and is to be found as; NULL: what it is now. */
static int keep_content(struct ct_recorder *r, int fd, const char *name, const struct ct_mapped_as *as,
			struct ct_known_file *out, struct ct_error *err)
{
	struct stat st;
	int tries = as ? 3 : 1, ret;

	memset(out, 0, sizeof(*out));
	if (as && (as->ref.flags & CT_FILE_SHARED_WRITABLE))
		written_through_maps(r, &as->ref, true);
	do {
		if (fstat(fd, &st) || !S_ISREG(st.st_mode))
			return ct_fail(err, CT_EXIT_FAILED, "%s is not a regular file", name);
		ct_recorder_file_ref(&out->ref, &st);
		if (known(r, as ? &as->ref : &out->ref, out)) {
			if (ct_recorder_settled(&st)) /* perhaps it had not been when it was copied */
				tell_kernel(r, &out->ref, ct_probes_has_sites(&r->probes, st.st_dev, st.st_ino));
			return 0;
		}
		if (as && !same_content(&st, as))
			return ct_fail(err, CT_EXIT_FAILED, "it was changed after it had been mapped");
		if (r->redact && ct_redact_in_file(r->redact, fd))
			return ct_fail(err, CT_EXIT_FAILED, "it has something that --redact matches");
		/* It changed while it was copied, or the disk is full: the next mapping tries again. */
		ret = ct_file_keep(r->dirfd, fd, name, &out->ref, out->hash, err);
	} while (ret && --tries);
	if (ret)
		return -1;
	if (as && (fstat(fd, &st) || !same_content(&st, as)))
		return ct_fail(err, CT_EXIT_FAILED, "it was changed after it had been mapped");
	out->ref.dev = kernel_dev(st.st_dev); /* as mappings and the kernel side name it */
	if (as)
		out->ref = as->ref;
	out->ref.flags = 0;
	out->ref.offset = out->ref.len = 0;
	pthread_mutex_lock(&r->carry);
	remember(r, out, name);
	ct_recorder_append_file(r, &out->ref, out->hash, name);
	if (ct_recorder_settled(&st))
		tell_kernel(r, &out->ref, ct_probes_has_sites(&r->probes, st.st_dev, st.st_ino));
	pthread_mutex_unlock(&r->carry);
	return 0;
}

static int keep_fd(struct ct_recorder *r, int fd, const char *name, const struct ct_mapped_as *as,
		   struct ct_known_file *out, struct ct_error *err)
{
	int ret;

	ct_keep_begin(r);
	ret = keep_content(r, fd, name, as, out, err);
	ct_keep_end(r);
	return ret;
}

int ct_recorder_keep(void *ctx, const char *path, const char *name, struct ct_file_ref *ref, ct_u8 hash[16],
		     struct ct_error *err)
{
	struct ct_recorder *r = ctx;
	struct ct_known_file file;
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;
	ct_u64 dev = ref->dev;

	if (fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot open %s", name);
	ret = keep_fd(r, fd, name, NULL, &file, err);
	close(fd);
	if (ret) {
		ct_recorder_note(r, CT_EV_UNSOUND, CT_UNSOUND_FILE, 0, 0, "content of %s not kept: %s", name, err->msg);
		return -1;
	}
	*ref = file.ref;
	ref->dev = dev;
	memcpy(hash, file.hash, 16);
	return 0;
}

/* ---- the thread ------------------------------------------------------------------------------------------ */

static void keep_offered(struct ct_recorder *r, struct ct_job *job)
{
	struct ct_known_file file;
	struct ct_error err;
	struct stat st;

	if (job->mapped) {
		if (keep_fd(r, job->fd, job->name, &job->as, &file, &err))
			ct_recorder_note(r, CT_EV_UNSOUND, CT_UNSOUND_FILE, job->pid, 0, "content of %s not kept: %s",
					 job->name, err.msg);
	} else if (!fstat(job->fd, &st) && ct_recorder_settled(&st)) {
		keep_fd(r, job->fd, job->name, NULL, &file, &err); /* if not, its bytes go on being copied */
	}
	close(job->fd);
}

/* Content without a file: its name in the log is its hash. If it cannot be kept it goes on being copied. */
static void keep_bytes(struct ct_recorder *r, struct ct_job *job)
{
	int fd = memfd_create("ctbpf-bytes", MFD_CLOEXEC);
	struct ct_file_ref ref;
	struct ct_error err;
	ct_u8 hash[16];

	ct_keep_begin(r);
	if (fd >= 0 && ct_pwrite_full(fd, job->bytes, job->len, 0) >= 0 &&
	    !ct_file_keep(r->dirfd, fd, "content read twice", &ref, hash, &err)) {
		ct_dedup_ref(&ref, hash, job->len);
		pthread_mutex_lock(&r->carry);
		ct_keep_bytes_named(r, hash);
		ct_recorder_append_file(r, &ref, hash, NULL);
		ct_dedup_kept(r->dedup, job->bytes, job->len, hash);
		pthread_mutex_unlock(&r->carry);
	}
	ct_keep_end(r);
	if (fd >= 0)
		close(fd);
	atomic_fetch_sub(&r->bytes_waiting, job->len);
	free(job->bytes);
}

void ct_recorder_keep_bytes(void *ctx, const void *data, size_t len)
{
	struct ct_recorder *r = ctx;
	struct ct_job *job;

	/* The disk may be slower than the program. */
	if (!r->worker_on || atomic_load(&r->bytes_waiting) > BYTES_WAITING_MAX)
		return;
	job = calloc(1, sizeof(*job));
	if (job)
		job->bytes = malloc(len);
	if (!job || !job->bytes) {
		free(job);
		return;
	}
	memcpy(job->bytes, data, len);
	job->len = len;
	atomic_fetch_add(&r->bytes_waiting, len);
	ct_recorder_worker_add(r, job);
}

static void write_snapshot(struct ct_recorder *r, struct ct_job *job)
{
	struct ct_error err = {0};
	pid_t reap[64][2];
	size_t nreap = 0, nsites;
	/* The probing thread finds more meanwhile; what the image has was known when it was made. */
	struct ct_probe_site *sites = ct_probes_sites(&r->probes, &nsites);

	for (size_t i = 0; i < job->nimages && nreap < 64; i++) {
		if (!job->images[i].reap)
			continue;
		reap[nreap][0] = job->images[i].proc.pid;
		reap[nreap++][1] = job->images[i].reap;
	}
	pthread_mutex_lock(&r->lock);
	r->writing = job->snap.id;
	pthread_mutex_unlock(&r->lock);
	if ((nsites && !sites && ct_fail(&err, CT_EXIT_FAILED, "out of memory for a snapshot")) ||
	    ct_images_write(job->images, job->nimages, &job->snap, r->dirfd, r->opts->level ? 1 : 0, r->index,
			    ct_recorder_keep, r, sites, sites ? nsites : 0, r->redact, &err)) {
		ct_triggers_keep(r, job->triggers, NULL, 0, &err);
		pthread_mutex_lock(&r->lock);
		if (!r->worker_failed)
			r->worker_err = err;
		r->worker_failed = true;
		pthread_mutex_unlock(&r->lock);
	} else {
		ct_keep_written(r, &job->snap, job->at_ns);
		ct_triggers_keep(r, job->triggers, &job->snap, job->at_ns, NULL);
	}
	pthread_mutex_lock(&r->lock);
	r->writing = 0;
	pthread_mutex_unlock(&r->lock);
	atomic_fetch_sub(&r->snapshots_waiting, 1);
	free(sites);
	ct_snapshot_deinit(&job->snap);
	free(job->images);
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < nreap; i++) {
		void *more = realloc(r->reaps, (r->nreaps + 1) * sizeof(*r->reaps));

		if (!more)
			break;
		r->reaps = more;
		r->reaps[r->nreaps].pid = reap[i][0];
		r->reaps[r->nreaps++].child = reap[i][1];
	}
	pthread_mutex_unlock(&r->lock);
}

static void *worker_main(void *arg)
{
	struct ct_recorder *r = arg;

	pthread_setname_np(pthread_self(), "ctbpf-snapshot");
	setpriority(PRIO_PROCESS, gettid(), 10); /* per thread on Linux */
	pthread_mutex_lock(&r->lock);
	for (;;) {
		struct ct_job *job = r->jobs;

		if (!job) {
			r->worker_busy = false;
			pthread_cond_broadcast(&r->idle);
			if (r->worker_quit)
				break;
			pthread_cond_wait(&r->wake, &r->lock);
			continue;
		}
		r->jobs = job->next;
		if (!r->jobs)
			r->jobs_end = &r->jobs;
		r->worker_busy = true;
		pthread_mutex_unlock(&r->lock);
		if (job->images)
			write_snapshot(r, job);
		else if (job->proof)
			ct_prover_go_on(r);
		else if (job->bytes)
			keep_bytes(r, job);
		else
			keep_offered(r, job);
		free(job);
		pthread_mutex_lock(&r->lock);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

int ct_recorder_worker_start(struct ct_recorder *r, struct ct_error *err)
{
	pthread_mutex_init(&r->lock, NULL);
	pthread_mutex_init(&r->carry, NULL);
	pthread_cond_init(&r->wake, NULL);
	pthread_cond_init(&r->idle, NULL);
	r->jobs_end = &r->jobs;
	if (pthread_create(&r->worker, NULL, worker_main, r))
		return ct_fail(err, CT_EXIT_FAILED, "cannot start a thread");
	r->worker_on = r->worker_started = true;
	return 0;
}

void ct_recorder_worker_add(struct ct_recorder *r, struct ct_job *job)
{
	if (job->images)
		atomic_fetch_add(&r->snapshots_waiting, 1);
	pthread_mutex_lock(&r->lock);
	job->next = NULL;
	*r->jobs_end = job;
	r->jobs_end = &job->next;
	r->worker_busy = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

int ct_recorder_worker_wait(struct ct_recorder *r, bool quit, struct ct_error *err)
{
	int ret = 0;

	if (!r->worker_on)
		return 0;
	pthread_mutex_lock(&r->lock);
	while (r->jobs || r->worker_busy)
		pthread_cond_wait(&r->idle, &r->lock);
	r->worker_quit = quit;
	pthread_cond_signal(&r->wake);
	if (r->worker_failed) {
		*err = r->worker_err;
		ret = -1;
	}
	pthread_mutex_unlock(&r->lock);
	if (quit) {
		pthread_join(r->worker, NULL);
		r->worker_on = false;
	}
	return ret;
}

/* ---- offers and holds -------------------------------------------------------------------------------------- */

void ct_recorder_offer(struct ct_recorder *r, const struct ct_event *ev)
{
	const struct ct_ev_syscall *s = ct_event_payload(ev);
	struct ct_buf_iter it = ct_buf_iter(ev);
	struct ct_job *job;
	struct ct_file_ref ref, now;
	struct stat st;
	char path[64];
	ssize_t n;

	while (ct_buf_next(&it)) {
		if (it.buf->kind != CT_BUF_FILE || it.buf->want || it.buf->len != sizeof(ref))
			continue;
		memcpy(&ref, it.data, sizeof(ref));
		job = calloc(1, sizeof(*job));
		if (!job)
			return;
		/* The descriptor may be another file's by now: then the identity differs. */
		snprintf(path, sizeof(path), "/proc/%u/fd/%d", ev->pid, (int)s->args[0]);
		job->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (job->fd >= 0 && !fstat(job->fd, &st)) {
			ct_recorder_file_ref(&now, &st);
			if (ct_recorder_same_file(&now, &ref)) {
				snprintf(path, sizeof(path), "/proc/self/fd/%d", job->fd);
				n = readlink(path, job->name, sizeof(job->name) - 1);
				job->name[n > 0 ? n : 0] = 0;
				ct_recorder_worker_add(r, job);
				continue;
			}
		}
		if (job->fd >= 0)
			close(job->fd);
		free(job);
	}
}

void ct_recorder_truncated(struct ct_recorder *r, const struct ct_event *ev)
{
	struct ct_buf_iter it = ct_buf_iter(ev);
	struct ct_maps maps;
	struct stat st, of;
	char path[4200];
	bool mapped = false;
	int len;

	if (!ct_buf_next(&it) || it.buf->kind != CT_BUF_IN || !it.buf->len)
		return;
	len = (int)strnlen((const char *)it.data, it.buf->len);
	snprintf(path, sizeof(path), "/proc/%u/%s/%.*s", ev->pid, *(const char *)it.data == '/' ? "root" : "cwd", len,
		 (const char *)it.data);
	if (stat(path, &st) || ct_maps_read((pid_t)ev->pid, &maps, NULL))
		return;
	for (size_t i = 0; i < maps.count && !mapped; i++) {
		if (maps.map[i].ino != st.st_ino)
			continue;
		snprintf(path, sizeof(path), "/proc/%u/map_files/%llx-%llx", ev->pid,
			 (unsigned long long)maps.map[i].start, (unsigned long long)maps.map[i].end);
		mapped = !stat(path, &of) && of.st_dev == st.st_dev && of.st_ino == st.st_ino;
	}
	ct_maps_deinit(&maps);
	if (mapped)
		ct_recorder_note(r, CT_EV_UNSOUND, CT_UNSOUND_WRITTEN, ev->pid, 0,
				 "it resized a file that is mapped, which changes memory: %.*s", len,
				 (const char *)it.data);
}

void ct_recorder_keep_mapped(struct ct_recorder *r, int fd, const struct ct_mapped_as *as, const char *name, pid_t pid,
			     bool now)
{
	struct ct_job *job = calloc(1, sizeof(*job));

	if (!job) {
		close(fd);
		return;
	}
	/* The open descriptor holds its content; that nobody has changed it is checked after copying. */
	snprintf(job->name, sizeof(job->name), "%s", name);
	job->fd = fd;
	job->mapped = true;
	job->as = *as;
	job->pid = pid;
	if (!now) {
		ct_recorder_worker_add(r, job);
		return;
	}
	keep_offered(r, job);
	free(job);
}
