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
#include <unistd.h>

#include "replay/session_priv.h"

static int find(const struct ct_session *s, const struct ct_file_ref *ref)
{
	for (size_t i = 0; i < s->nshared; i++)
		if (s->shared[i].dev == ref->dev && s->shared[i].ino == ref->ino)
			return s->shared[i].fd;
	return -1;
}

static int copy(struct ct_session *s, const ct_u8 hash[16], const struct ct_file_ref *ref, struct ct_error *err)
{
	struct ct_shared_file *more = realloc(s->shared, (s->nshared + 1) * sizeof(*more));
	int from = ct_file_open(s->files.dirfd, hash, false, err), fd;
	ssize_t n = 1;

	if (more)
		s->shared = more;
	if (from < 0)
		return -1;
	fd = more ? memfd_create(CT_SHARED_NAME, MFD_CLOEXEC) : -1;
	while (fd >= 0 && n > 0)
		n = sendfile(fd, from, NULL, 1 << 30);
	close(from);
	if (fd < 0 || n < 0) {
		ct_fail_errno(err, CT_EXIT_FAILED, "cannot copy a file that was mapped shared");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	s->shared[s->nshared++] = (struct ct_shared_file){ref->dev, ref->ino, fd};
	return fd;
}

int ct_map_shared(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_syscall *sc,
		  const struct ct_file_ref *ref, const ct_u8 hash[16], struct ct_error *err)
{
	const int flags = (int)(sc->args[3] & MAP_TYPE) == MAP_PRIVATE ? MAP_PRIVATE : MAP_SHARED;
	int fd = find(s, ref);
	struct stat st;
	char path[64];
	long in;
	ct_s64 ret;

	if (fd < 0 && !(ref->flags & CT_FILE_SHARED_WRITABLE))
		return 1;
	if (fd < 0)
		fd = copy(s, hash, ref, err);
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
