// SPDX-License-Identifier: MIT
/* Files mapped shared: one copy a file for all replicas of a session, so that every mapping of it, in whatever process,
 * shows what was stored through another one. Nothing reaches the file that the program had mapped. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "replay/session_priv.h"

static struct ct_shared_file *find(const struct ct_session *s, const struct ct_file_ref *ref)
{
	for (size_t i = 0; i < s->nshared; i++)
		if (s->shared[i].ref.dev == ref->dev && s->shared[i].ref.ino == ref->ino)
			return &s->shared[i];
	return NULL;
}

/* Whether any replica has the copy mapped. */
static bool is_mapped(const struct ct_session *s, const struct stat *st)
{
	bool mapped = false;

	for (size_t i = 0; i < s->nprocs && !mapped; i++) {
		struct ct_maps maps;

		if (s->procs[i]->gone || ct_maps_read(s->procs[i]->real, &maps, NULL))
			continue;
		for (size_t k = 0; k < maps.count && !mapped; k++)
			mapped = maps.map[k].ino == st->st_ino && maps.map[k].dev_major == major(st->st_dev) &&
				 maps.map[k].dev_minor == minor(st->st_dev);
		ct_maps_deinit(&maps);
	}
	return mapped;
}

static int fill(int fd, int from)
{
	off_t at = 0;
	ssize_t n = 1;

	while (n > 0)
		n = sendfile(fd, from, &at, 1 << 30);
	return (int)n;
}

/* A memfd with the content of `from`, added to the list. -1, with errno. */
static int add(struct ct_session *s, const struct ct_file_ref *ref, int from)
{
	struct ct_shared_file *more = realloc(s->shared, (s->nshared + 1) * sizeof(*more));
	int fd = more ? memfd_create(CT_SHARED_NAME, MFD_CLOEXEC) : -1;

	if (more)
		s->shared = more;
	if (fd >= 0 && fill(fd, from)) {
		close(fd);
		return -1;
	}
	if (fd >= 0)
		s->shared[s->nshared++] = (struct ct_shared_file){*ref, fd};
	return fd;
}

/* The copy to be mapped, filled from the kept content if it has to be. */
static int copy_kept(struct ct_session *s, const ct_u8 hash[16], const struct ct_file_ref *ref, struct ct_error *err)
{
	struct ct_shared_file *f = find(s, ref);
	struct stat st;
	int from, fd = f ? f->fd : -1;

	/* While it is mapped it has what was stored through mappings. Later, another ctime or size means that the file
	 * was kept anew, as it was then; if they are the same, it was changed through mappings at most. */
	if (f && (fstat(fd, &st) || is_mapped(s, &st) ||
		  (f->ref.ctime_s == ref->ctime_s && f->ref.ctime_ns == ref->ctime_ns && f->ref.size == ref->size)))
		return fd;
	from = ct_file_open(s->files.dirfd, hash, false, err);
	if (from < 0)
		return -1;
	if (!f) {
		fd = add(s, ref, from);
	} else {
		f->ref = *ref;
		if (ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET) || fill(fd, from))
			fd = -1;
	}
	if (fd < 0)
		ct_fail_errno(err, CT_EXIT_FAILED, "cannot copy a file that was mapped shared");
	close(from);
	return fd;
}

int ct_map_shared(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_syscall *sc,
		  const struct ct_file_ref *ref, const ct_u8 hash[16], struct ct_error *err)
{
	const int flags = (int)(sc->args[3] & MAP_TYPE) == MAP_PRIVATE ? MAP_PRIVATE : MAP_SHARED;
	struct stat st;
	int fd;
	char path[64];
	long in;
	ct_s64 ret;

	if (!find(s, ref) && !(ref->flags & CT_FILE_SHARED_WRITABLE))
		return 1;
	fd = copy_kept(s, hash, ref, err);
	if (fd < 0)
		return -1;
	if (!fstat(fd, &st) && (ct_u64)st.st_size < ref->size && ftruncate(fd, (off_t)ref->size))
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot enlarge the copy of a file that was mapped shared");
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
	if (!ct_mem_write(t->proc->memfd, CT_GADGET_TEXT, path, strlen(path) + 1))
		return ct_diverged(s, t, err, "the replica died");
	in = ct_replica_call(t, SYS_open, CT_GADGET_TEXT, O_RDWR | O_CLOEXEC, 0, 0, 0, 0);
	if (in < 0)
		return ct_fail(err, CT_EXIT_FAILED, "the replica cannot open %s: %s", path, strerror((int)-in));
	ret = ct_replica_call(t, SYS_mmap, (ct_u64)sc->ret, sc->args[1], sc->args[2], (ct_u64)(flags | MAP_FIXED),
			      (ct_u64)in, sc->args[5]);
	ct_replica_call(t, SYS_close, (ct_u64)in, 0, 0, 0, 0, 0);
	return ret == sc->ret ? 0
			      : ct_diverged(s, t, err, "mmap at %#llx of a shared file gives %lld",
					    (unsigned long long)sc->ret, (long long)ret);
}

void ct_shared_free(struct ct_shared_file *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(list[i].fd);
	free(list);
}
