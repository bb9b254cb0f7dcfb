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

/* A memfd with the content of `from` (-1: none), added to the list. -1, with errno. */
static int add(struct ct_session *s, const struct ct_file_ref *ref, int from)
{
	struct ct_shared_file *more = realloc(s->shared, (s->nshared + 1) * sizeof(*more));
	int fd = more ? memfd_create(CT_SHARED_NAME, MFD_CLOEXEC) : -1;

	if (more)
		s->shared = more;
	if (fd >= 0 && from >= 0 && fill(fd, from)) {
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
	ct_s64 ret;
	int fd;

	if (!find(s, ref) && !(ref->flags & CT_FILE_SHARED_WRITABLE))
		return 1;
	fd = copy_kept(s, hash, ref, err);
	if (fd < 0)
		return -1;
	if (!fstat(fd, &st) && (ct_u64)st.st_size < ref->size && ftruncate(fd, (off_t)ref->size))
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot enlarge the copy of a file that was mapped shared");
	ret = ct_replica_map_fd(t, fd, (ct_u64)sc->ret, sc->args[1], sc->args[2], (ct_u64)flags, sc->args[5]);
	return ret == sc->ret ? 0
			      : ct_diverged(s, t, err, "mmap at %#llx of a shared file gives %lld",
					    (unsigned long long)sc->ret, (long long)ret);
}

int ct_shared_view(void *ctx, const struct ct_snapshot *snap, const struct ct_snap_map *map, struct ct_error *err)
{
	const off_t end = (off_t)(map->offset + map->end - map->start);
	bool writable = map->flags & CT_MAPF_ANON_SHARED;
	struct ct_session *s = ctx;
	const ct_u8 *hash = NULL;
	struct ct_shared_file *f;
	struct stat st;
	int fd, from = -1;

	if (!(map->flags & CT_MAPF_SHARED) || (map->flags & CT_MAPF_SPECIAL) || !map->file.ino)
		return CT_NOT_SHARED;
	/* A view that cannot be written is of the kept content, unless there is another one that can. */
	for (ct_u32 p = 0; p < snap->nprocs; p++)
		for (ct_u32 i = 0; i < snap->procs[p].nmaps; i++) {
			const struct ct_snap_map *m = &snap->procs[p].maps[i];

			if (!(m->flags & CT_MAPF_SHARED) || m->file.dev != map->file.dev ||
			    m->file.ino != map->file.ino)
				continue;
			writable |= m->flags & CT_MAPF_ANON_SHARED;
			if (m->flags & CT_MAPF_FILE)
				hash = m->hash;
		}
	if (!writable)
		return CT_NOT_SHARED;
	if (!(f = find(s, &map->file))) {
		if (hash && (from = ct_file_open(s->files.dirfd, hash, false, err)) < 0)
			return -1;
		fd = add(s, &map->file, from);
		if (from >= 0)
			close(from);
	} else {
		fd = f->fd;
	}
	if (fd < 0 || fstat(fd, &st) || (st.st_size < end && ftruncate(fd, end)))
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot copy %s, which was mapped shared", map->name);
	return fd;
}

void ct_shared_free(struct ct_shared_file *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		close(list[i].fd);
	free(list);
}
