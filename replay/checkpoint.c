// SPDX-License-Identifier: MIT
/* Checkpoints: the replica processes forked where they stand, so that a session can go back there any number of times.
 * Private memory is shared by copy-on-write; shared memory, and what a fork would wipe, is copied. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "replay/inproc.h"
#include "replay/session_priv.h"

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define CHUNK        (1u << 20)

/* All that lives of a session. */
struct world {
	struct ct_replica **procs;
	size_t nprocs;
	struct ct_rthread **threads;
	size_t nthreads;
	struct ct_shared_file *files;
	size_t nfiles;
};
struct ct_checkpoint {
	struct world w;
	ct_u64 next; /* event that is executed next, 0: the log has ended */
	ct_u32 current_tid;
	bool inside;
	struct ct_session_stats stats;
};

/* ---- memory that fork does not copy ------------------------------------------------------------------------- */

/* A piece of shared memory of the originals, and the file that takes its place in the copies. */
struct shared {
	ct_u32 major, minor;
	ct_u64 ino;
	int fd;
	bool file; /* stands for a file of the recorded program's: complete, and its descriptor is the world's */
};
struct copy {
	struct shared *shared;
	size_t nshared;
	struct ct_error *err;
};

static int copy_bytes(int from, int to, ct_u64 addr, ct_u64 offset, ct_u64 len)
{
	char *buf = malloc(CHUNK);
	int ret = buf ? 0 : -1;

	for (ct_u64 done = 0; done < len && !ret;) {
		size_t n = len - done < CHUNK ? (size_t)(len - done) : CHUNK;
		ssize_t got = pread(from, buf, n, (off_t)(addr + done));

		if (got <= 0) { /* beyond the end of the object: nothing to copy */
			done += CT_PAGE - ((addr + done) & (CT_PAGE - 1));
			continue;
		}
		if (pwrite(to, buf, (size_t)got, (off_t)(offset + done)) != got)
			ret = -1;
		done += (ct_u64)got;
	}
	free(buf);
	return ret;
}

static struct shared *find_shared(const struct copy *c, const struct ct_map *m)
{
	for (size_t i = 0; i < c->nshared; i++)
		if (c->shared[i].ino == m->ino && c->shared[i].major == m->dev_major &&
		    c->shared[i].minor == m->dev_minor)
			return &c->shared[i];
	return NULL;
}

static struct shared *add_shared(struct copy *c, const struct ct_map *m)
{
	struct shared *more;

	more = realloc(c->shared, (c->nshared + 1) * sizeof(*more));
	if (!more)
		return NULL;
	c->shared = more;
	more += c->nshared;
	*more = (struct shared){m->dev_major, m->dev_minor, m->ino, memfd_create("ctbpf-checkpoint", MFD_CLOEXEC),
				false};
	if (more->fd < 0)
		return NULL;
	c->nshared++;
	return more;
}

/* The copies of the files that the program has mapped shared. */
static int copy_files(struct copy *c, struct world *to, const struct world *from)
{
	to->files = calloc(from->nfiles ? from->nfiles : 1, sizeof(*to->files));
	c->shared = calloc(from->nfiles ? from->nfiles : 1, sizeof(*c->shared));
	if (!to->files || !c->shared)
		return -1;
	for (size_t i = 0; i < from->nfiles; i++) {
		int fd = memfd_create(CT_SHARED_NAME, MFD_CLOEXEC);
		struct stat st;

		if (fd < 0)
			return -1;
		to->files[to->nfiles++] = (struct ct_shared_file){from->files[i].ref, fd};
		if (fstat(from->files[i].fd, &st) || ftruncate(fd, st.st_size) ||
		    copy_bytes(from->files[i].fd, fd, 0, 0, (ct_u64)st.st_size))
			return -1;
		c->shared[c->nshared++] = (struct shared){major(st.st_dev), minor(st.st_dev), st.st_ino, fd, true};
	}
	return 0;
}

/* Pages of a private mapping that had become the process's own. */
static int copy_own(int from, int to, const struct ct_map *m)
{
	char have[CT_PAGE], want[CT_PAGE];

	for (ct_u64 at = m->start; at < m->end; at += CT_PAGE)
		if (ct_mem_read(from, at, want, CT_PAGE) && ct_mem_read(to, at, have, CT_PAGE) &&
		    memcmp(have, want, CT_PAGE) && !ct_mem_write(to, at, want, CT_PAGE))
			return -1;
	return 0;
}

/* Puts a copy of what is behind a mapping in place of it; processes that shared the original share the copy. */
static int replace(struct copy *c, struct ct_rthread *t, int from, const struct ct_map *m)
{
	struct shared *sh = find_shared(c, m);
	const ct_u64 len = m->end - m->start;
	char path[64];
	long fd, ret;

	if (!sh && !(sh = add_shared(c, m)))
		return -1;
	if (!sh->file) {
		off_t size = lseek(sh->fd, 0, SEEK_END);

		if (((ct_u64)size < m->offset + len && ftruncate(sh->fd, (off_t)(m->offset + len))) ||
		    copy_bytes(from, sh->fd, m->start, m->offset, len))
			return -1;
	}
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), sh->fd);
	if (!ct_mem_write(t->proc->memfd, CT_GADGET_TEXT, path, strlen(path) + 1))
		return -1;
	fd = ct_replica_call(t, SYS_open, CT_GADGET_TEXT, O_RDWR | O_CLOEXEC, 0, 0, 0, 0);
	if (fd < 0)
		return -1;
	ret = ct_replica_call(t, SYS_mmap, m->start, len, m->prot,
			      (m->shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED | MAP_NORESERVE, (ct_u64)fd,
			      m->offset);
	ct_replica_call(t, SYS_close, (ct_u64)fd, 0, 0, 0, 0, 0);
	if ((ct_u64)ret != m->start)
		return -1;
	return m->shared ? 0 : copy_own(from, t->proc->memfd, m);
}

/* Ranges that are marked MADV_WIPEONFORK, from smaps: copied into the fork. */
static int refill_wiped(pid_t from_pid, int from, int to)
{
	char path[64], *text, *line, *save = NULL;
	unsigned long long start = 0, end = 0;
	int ret = 0;

	snprintf(path, sizeof(path), "/proc/%d/smaps", from_pid);
	text = ct_read_file(path, NULL);
	if (!text)
		return -1;
	for (line = strtok_r(text, "\n", &save); line && !ret; line = strtok_r(NULL, "\n", &save)) {
		unsigned long long a, b;

		if (sscanf(line, "%llx-%llx ", &a, &b) == 2) {
			start = a;
			end = b;
		} else if (!strncmp(line, "VmFlags:", 8) && strstr(line, " wf")) {
			ret = copy_bytes(from, to, start, start, end - start);
		}
	}
	free(text);
	return ret;
}

static int copy_memory(struct copy *c, const struct ct_replica *from, struct ct_rthread *t)
{
	struct ct_maps maps;
	int ret = 0;

	if (ct_maps_read(from->real, &maps, c->err))
		return -1;
	for (size_t i = 0; i < maps.count && !ret; i++)
		if ((maps.map[i].shared || (maps.map[i].ino && find_shared(c, &maps.map[i]))) &&
		    !ct_mm_is_ours(from->mm, maps.map[i].start))
			ret = replace(c, t, from->memfd, &maps.map[i]);
	ct_maps_deinit(&maps);
	return ret || (from->wipes && refill_wiped(from->real, from->memfd, t->proc->memfd)) ? -1 : 0;
}

/* ---- processes and threads ---------------------------------------------------------------------------------- */

static bool has_live_thread(struct ct_rthread *const *threads, size_t n, const struct ct_replica *p)
{
	for (size_t i = 0; i < n; i++)
		if (threads[i]->live && threads[i]->proc == p)
			return true;
	return false;
}

static int push(void ***list, size_t *n, void *item)
{
	void **more = realloc(*list, (*n + 1) * sizeof(*more));

	if (!more)
		return -1;
	*list = more;
	more[(*n)++] = item;
	return 0;
}

/* A copy of thread `t` in process `p`; by the first one of the process if there is one already. */
static struct ct_rthread *copy_thread(struct world *w, struct ct_rthread *t, struct ct_replica *p,
				      struct ct_rthread *by, pid_t real)
{
	struct ct_rthread *copy = malloc(sizeof(*copy));
	unsigned char xsave[CT_XSAVE_MAX];
	struct ct_regs regs;
	ct_u64 mask;
	ssize_t len = ct_get_xsave(t->real, xsave);

	if (!copy || len < 0 || ct_get_regs(t->real, &regs) || ct_get_sigmask(t->real, &mask)) {
		free(copy);
		return NULL;
	}
	if (by)
		real = ct_replica_clone(by, THREAD_FLAGS);
	*copy = *t;
	copy->real = real;
	copy->proc = p;
	/* Not inside of a call any more as far as the kernel knows; what t->at_entry means is ours alone. */
	regs.r[CT_ORIG_RAX] = (ct_u64)-1;
	if (real <= 0 || ct_set_xsave(real, xsave, (size_t)len) || ct_set_sigmask(real, mask) ||
	    ct_set_regs(real, &regs) || push((void ***)&w->threads, &w->nthreads, copy)) {
		free(copy);
		return NULL;
	}
	return copy;
}

/* Replicas that share memory (vfork) must do so as copies, too. */
static struct ct_rthread *sharer(const struct world *made, struct ct_replica *const *copy_of, const struct world *from,
				 size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (!copy_of[i] || syscall(SYS_kcmp, from->procs[i]->real, from->procs[index]->real, KCMP_VM, 0, 0))
			continue;
		for (size_t k = 0; k < made->nthreads; k++)
			if (made->threads[k]->proc == copy_of[i])
				return made->threads[k];
	}
	return NULL;
}

static int copy_process(struct copy *c, struct world *to, struct ct_replica *p, const struct world *from,
			struct ct_replica *original, struct ct_rthread *shares)
{
	struct ct_rthread *first = NULL, *made = NULL;

	*p = *original;
	p->memfd = -1;
	p->real = -1;
	p->mm = NULL;
	/* The leader makes the process, if it lives; the copy's leader is whoever that is. */
	for (size_t i = 0; i < from->nthreads; i++)
		if (from->threads[i]->live && from->threads[i]->proc == original &&
		    (!first || from->threads[i]->real == original->real))
			first = from->threads[i];
	/* A child of ours, not of the original: then waiting for its end leaves no zombie with anybody. */
	p->real = ct_replica_clone(shares ? shares : first, CLONE_PARENT | (shares ? CLONE_VM : 0));
	if (p->real < 0)
		return -1;
	p->memfd = ct_mem_open(p->real);
	if (original->mm && !(p->mm = shares ? ct_mm_share(shares->proc->mm) : ct_mm_fork(original->mm)))
		return -1;
	made = p->memfd < 0 ? NULL : copy_thread(to, first, p, NULL, p->real);
	if (!made || (!shares && copy_memory(c, original, made)))
		return -1;
	for (size_t i = 0; i < from->nthreads; i++)
		if (from->threads[i] != first && from->threads[i]->live && from->threads[i]->proc == original &&
		    !copy_thread(to, from->threads[i], p, made, 0))
			return -1;
	return 0;
}

static void end_world(struct world *w)
{
	ct_kill_replicas(w->procs, w->nprocs, w->threads, w->nthreads);
	ct_shared_free(w->files, w->nfiles);
}

/* Copies everything that lives. If that fails nothing is left of it. */
static int copy_world(struct world *to, const struct world *from, struct ct_error *err)
{
	struct ct_replica **copy_of = calloc(from->nprocs ? from->nprocs : 1, sizeof(struct ct_replica *));
	struct copy c = {.err = err};
	int ret = copy_of ? 0 : -1;

	memset(to, 0, sizeof(*to));
	if (!ret)
		ret = copy_files(&c, to, from);
	for (size_t i = 0; i < from->nprocs && !ret; i++) {
		struct ct_replica *p;

		if (from->procs[i]->gone || !has_live_thread(from->threads, from->nthreads, from->procs[i]))
			continue;
		p = calloc(1, sizeof(*p));
		if (!p || push((void ***)&to->procs, &to->nprocs, p)) {
			free(p);
			ret = -1;
			break;
		}
		p->memfd = -1;
		ret = copy_process(&c, to, p, from, from->procs[i], sharer(to, copy_of, from, i));
		copy_of[i] = p;
	}
	if (ret) {
		ct_fail_errno(err, CT_EXIT_FAILED, "cannot copy the replayed processes");
		end_world(to);
	}
	for (size_t i = 0; i < c.nshared; i++)
		if (!c.shared[i].file)
			close(c.shared[i].fd);
	free(c.shared);
	free(copy_of);
	return ret ? -1 : 0;
}

/* ---- the public part ---------------------------------------------------------------------------------------- */

void ct_checkpoint_destroy(struct ct_checkpoint *cp)
{
	if (cp)
		end_world(&cp->w);
	free(cp);
}

bool ct_checkpoint_registers_differ(const struct ct_session *s, const struct ct_checkpoint *cp)
{
	struct ct_regs was, is;

	for (size_t i = 0; i < cp->w.nthreads; i++)
		for (size_t k = 0; k < s->nthreads; k++)
			if (s->threads[k]->tid == cp->w.threads[i]->tid && s->threads[k]->live &&
			    (ct_get_regs(cp->w.threads[i]->real, &was) || ct_get_regs(s->threads[k]->real, &is) ||
			     !ct_same_position(&was, &is)))
				return true;
	return false;
}

ct_u64 ct_checkpoint_bytes(const struct ct_checkpoint *cp)
{
	unsigned long long kb, all = 0;

	for (size_t i = 0; i < cp->w.nprocs; i++) {
		char path[64], *text, *line;

		snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", cp->w.procs[i]->real);
		text = ct_read_file(path, NULL);
		line = text ? strstr(text, "Pss_Anon:") : NULL; /* a page that several have counts in parts */
		if (line && sscanf(line, "Pss_Anon: %llu", &kb) == 1)
			all += kb << 10;
		free(text);
	}
	return all;
}

static struct world world_of(const struct ct_session *s)
{
	return (struct world){s->procs, s->nprocs, s->threads, s->nthreads, s->shared, s->nshared};
}

struct ct_checkpoint *ct_session_checkpoint(struct ct_session *s, struct ct_error *err)
{
	struct ct_checkpoint *cp = calloc(1, sizeof(*cp));
	const struct world now = world_of(s);
	const struct ct_event *ev;

	if (!cp) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return NULL;
	}
	if (s->agents) { /* what they have told of cannot be taken back */
		free(cp);
		ct_fail(err, CT_EXIT_FAILED, "a session whose interpreters are watched cannot have checkpoints");
		return NULL;
	}
	if (ct_session_next(s, &ev, err) < 0 || copy_world(&cp->w, &now, err)) {
		free(cp);
		return NULL;
	}
	cp->next = ev ? ev->seq : 0;
	cp->current_tid = s->current_tid;
	cp->inside = s->inside;
	cp->stats = s->stats;
	return cp;
}

int ct_session_restore(struct ct_session *s, const struct ct_checkpoint *cp, struct ct_error *err)
{
	struct world now, old = world_of(s);

	/* The checkpoint itself stays, so that one can come back again: the session gets a copy of it. */
	if (copy_world(&now, &cp->w, err))
		return -1;
	if (ct_cursor_seek_seq(s->cursor, cp->next ? cp->next : UINT64_MAX, err)) {
		end_world(&now);
		return -1;
	}
	end_world(&old);
	s->procs = now.procs;
	s->nprocs = now.nprocs;
	s->threads = now.threads;
	s->nthreads = now.nthreads;
	s->shared = now.files;
	s->nshared = now.nfiles;
	s->current_tid = cp->current_tid;
	s->inside = cp->inside;
	s->stops.hit = NULL;
	s->stats = cp->stats;
	s->held = false;
	s->ev = NULL;
	free(s->divergence.ev);
	memset(&s->divergence, 0, sizeof(s->divergence));
	return 0;
}
