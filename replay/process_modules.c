/* SPDX-License-Identifier: MIT
 * The files that are mapped in a recorded process: those of a snapshot, and those that the log says are mapped later.
 *
 * Recorded addresses are those of the replay, so that all of it is known from the beginning on. */
#include "replay/process_modules.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "formats/event_access.h"
#include "formats/snapshot.h"
#include "replay/kept.h"

struct modules {
	struct ct_dwarf *d;
	int dirfd;
	struct ct_kept_files kept;
	ct_u64 *start; /* where something has been added */
	size_t nstart;
};

static const struct ct_kept *find(const struct modules *m, const struct ct_file_ref *ref)
{
	for (size_t i = 0; i < m->kept.n; i++) {
		const struct ct_file_ref *k = &m->kept.list[i].ref;

		if (k->dev == ref->dev && k->ino == ref->ino && k->ctime_s == ref->ctime_s &&
		    k->ctime_ns == ref->ctime_ns && k->size == ref->size)
			return &m->kept.list[i];
	}
	return NULL;
}

static void add(struct modules *m, const ct_u8 hash[16], const char *path, ct_u64 start)
{
	ct_u64 *more;
	int fd;

	for (size_t i = 0; i < m->nstart; i++)
		if (m->start[i] == start)
			return;
	more = realloc(m->start, (m->nstart + 1) * sizeof(*more));
	if (!more)
		return;
	m->start = more;
	fd = ct_file_open(m->dirfd, hash, false, NULL);
	/* Most of what is mapped is no program. */
	if (fd >= 0 && !ct_dwarf_add(m->d, path, fd, start))
		more[m->nstart++] = start;
}

static void add_snapshot(struct modules *m, const struct ct_snap_proc *p)
{
	for (ct_u32 i = 0; i < p->nmaps; i++) {
		const struct ct_snap_map *map = &p->maps[i];

		if ((map->flags & CT_MAPF_FILE) && !map->offset && map->name[0] == '/')
			add(m, map->hash, map->name, map->start);
	}
}

/* The loader maps all of a library from its beginning on, and then its parts over that. */
static void add_mapped(struct modules *m, const struct ct_event *ev)
{
	const struct ct_ev_syscall *sc = ct_event_payload(ev);
	struct ct_buf_iter it = ct_buf_iter(ev);
	struct ct_file_ref ref;

	if (sc->nr != SYS_mmap || sc->ret < 0 || sc->args[5])
		return;
	while (ct_buf_next(&it))
		if (it.buf->kind == CT_BUF_FILE && it.buf->len >= sizeof(ref)) {
			const struct ct_kept *k;

			memcpy(&ref, it.data, sizeof(ref));
			k = find(m, &ref);
			if (k)
				add(m, k->hash, k->path, (ct_u64)sc->ret);
		}
}

int ct_process_modules(struct ct_dwarf *d, struct ct_recording *rec, ct_u32 id, ct_u32 pid, struct ct_error *err)
{
	struct modules m = {.d = d, .dirfd = ct_recording_dirfd(rec)};
	struct ct_snapshot_reader *snap = ct_snapshot_open(m.dirfd, id, err);
	struct ct_cursor *cur = snap ? ct_cursor_create(rec, err) : NULL;
	const struct ct_event *ev;
	int ret = cur ? 0 : -1;

	ct_dwarf_begin(d);
	for (ct_u32 i = 0; snap && i < ct_snapshot_get(snap)->nprocs; i++)
		if (ct_snapshot_get(snap)->procs[i].pid == pid)
			add_snapshot(&m, &ct_snapshot_get(snap)->procs[i]);
	ct_kept_in_log(&m.kept, rec);
	if (!ret && cur && !(ret = ct_cursor_seek_seq(cur, ct_snapshot_get(snap)->seq, err)))
		while (ct_cursor_next(cur, &ev, NULL) > 0)
			if (ev->type == CT_EV_SYSCALL && ev->pid == pid)
				add_mapped(&m, ev);
	ct_dwarf_end(d);
	ct_cursor_destroy(cur);
	ct_snapshot_reader_close(snap);
	ct_kept_free(&m.kept);
	free(m.start);
	return ret;
}
