/* SPDX-License-Identifier: MIT
 * Which descriptors are standard output and standard error.
 *
 * A descriptor is followed by number: calls that make, copy or close one are few. Sockets and pipes count as much as
 * terminals and files do. */
#include "output_track.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

struct entry {
	ct_s32 fd;
	ct_u8 stream; /* 1, 2 */
	bool cloexec;
};
struct table {
	struct entry *list;
	size_t count;
};
struct process {
	ct_u32 pid;
	struct table table;
};
struct ct_output_track {
	struct process *procs;
	size_t count;
};

struct ct_output_track *ct_output_track_create(void)
{
	return calloc(1, sizeof(struct ct_output_track));
}

static void forget_all(struct ct_output_track *ot)
{
	for (size_t i = 0; i < ot->count; i++)
		free(ot->procs[i].table.list);
	ot->count = 0;
}

void ct_output_track_destroy(struct ct_output_track *ot)
{
	if (!ot)
		return;
	forget_all(ot);
	free(ot->procs);
	free(ot);
}

static struct process *find(const struct ct_output_track *ot, ct_u32 pid)
{
	for (size_t i = 0; i < ot->count; i++)
		if (ot->procs[i].pid == pid)
			return &ot->procs[i];
	return NULL;
}

static struct entry *find_fd(const struct table *t, ct_s32 fd)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->list[i].fd == fd)
			return &t->list[i];
	return NULL;
}

static void forget_fd(struct table *t, ct_s32 fd)
{
	struct entry *e = find_fd(t, fd);

	if (e)
		*e = t->list[--t->count];
}

static int add_fd(struct table *t, ct_s32 fd, ct_u8 stream, bool cloexec)
{
	struct entry *more;

	forget_fd(t, fd);
	more = realloc(t->list, (t->count + 1) * sizeof(*more));
	if (!more)
		return -1;
	t->list = more;
	t->list[t->count++] = (struct entry){fd, stream, cloexec};
	return 0;
}

/* A process with an empty table; of this number there may have been one before. */
static struct process *add_process(struct ct_output_track *ot, ct_u32 pid)
{
	struct process *p = find(ot, pid), *more;

	if (p) {
		p->table.count = 0;
		return p;
	}
	more = realloc(ot->procs, (ot->count + 1) * sizeof(*more));
	if (!more)
		return NULL;
	ot->procs = more;
	more[ot->count] = (struct process){.pid = pid};
	return &more[ot->count++];
}

static const char *target_of(const struct ct_snap_proc *proc, ct_s32 fd)
{
	for (ct_u32 i = 0; i < proc->nfds; i++)
		if (proc->fds[i].fd == fd)
			return proc->fds[i].target;
	return NULL;
}

int ct_output_track_begin(struct ct_output_track *ot, const struct ct_snapshot *snap)
{
	const char *out, *err;

	forget_all(ot);
	if (!snap->nprocs)
		return 0;
	out = target_of(&snap->procs[0], 1);
	err = target_of(&snap->procs[0], 2);
	for (ct_u32 i = 0; i < snap->nprocs; i++) {
		const struct ct_snap_proc *proc = &snap->procs[i];
		struct process *p = add_process(ot, proc->pid);

		if (!p)
			return -1;
		for (ct_u32 k = 0; k < proc->nfds; k++) {
			const struct ct_snap_fd *f = &proc->fds[k];
			bool is_out = out && !strcmp(f->target, out), is_err = err && !strcmp(f->target, err);

			if ((is_out || is_err) &&
			    add_fd(&p->table, f->fd, !is_out || (is_err && f->fd == 2) ? 2 : 1, f->flags & O_CLOEXEC))
				return -1;
		}
	}
	return 0;
}

/* A descriptor that is a copy of another. */
static int copy_fd(struct table *t, ct_s32 from, ct_s32 to, bool cloexec)
{
	const struct entry *e = find_fd(t, from);

	if (e && from != to)
		return add_fd(t, to, e->stream, cloexec);
	if (!e)
		forget_fd(t, to);
	return 0;
}

static int follow_call(struct table *t, const struct ct_ev_syscall *sc)
{
	const ct_u64 *a = sc->args;
	struct entry *e;

	if (sc->nr == SYS_close) { /* the descriptor is gone even if that fails */
		forget_fd(t, (ct_s32)a[0]);
		return 0;
	}
	if (sc->ret < 0)
		return 0;
	switch (sc->nr) {
	case SYS_dup: return copy_fd(t, (ct_s32)a[0], (ct_s32)sc->ret, false);
	case SYS_dup2: return copy_fd(t, (ct_s32)a[0], (ct_s32)a[1], false);
	case SYS_dup3: return copy_fd(t, (ct_s32)a[0], (ct_s32)a[1], a[2] & O_CLOEXEC);
	case SYS_fcntl:
		if (a[1] == F_DUPFD || a[1] == F_DUPFD_CLOEXEC)
			return copy_fd(t, (ct_s32)a[0], (ct_s32)sc->ret, a[1] == F_DUPFD_CLOEXEC);
		e = a[1] == F_SETFD ? find_fd(t, (ct_s32)a[0]) : NULL;
		if (e)
			e->cloexec = a[2] & FD_CLOEXEC;
		return 0;
	case SYS_close_range:
		for (size_t i = t->count; i > 0; i--)
			if ((ct_u32)t->list[i - 1].fd >= (ct_u32)a[0] && (ct_u32)t->list[i - 1].fd <= (ct_u32)a[1]) {
				if (a[2] & 4) /* CLOSE_RANGE_CLOEXEC */
					t->list[i - 1].cloexec = true;
				else
					t->list[i - 1] = t->list[--t->count];
			}
		return 0;
	default: return 0;
	}
}

static int follow_fork(struct ct_output_track *ot, const struct ct_event *ev)
{
	const struct ct_ev_fork *f = ct_event_payload(ev);
	struct process *parent = find(ot, ev->pid), *child;

	if (f->child_pid == ev->pid || !parent)
		return 0;
	/* vfork and posix_spawn share memory, not descriptors; whoever shares these does so by CLONE_FILES, which the
	 * log does not tell at this moment. It is rare enough between processes. */
	child = add_process(ot, f->child_pid);
	parent = find(ot, ev->pid);
	for (size_t i = 0; child && i < parent->table.count; i++) {
		const struct entry *e = &parent->table.list[i];

		if (add_fd(&child->table, e->fd, e->stream, e->cloexec))
			return -1;
	}
	return child ? 0 : -1;
}

int ct_output_track_event(struct ct_output_track *ot, const struct ct_event *ev)
{
	struct process *p = find(ot, ev->pid);

	switch (ev->type) {
	case CT_EV_SYSCALL: return p ? follow_call(&p->table, ct_event_payload(ev)) : 0;
	case CT_EV_FORK: return follow_fork(ot, ev);
	case CT_EV_EXEC:
		for (size_t i = p ? p->table.count : 0; i > 0; i--)
			if (p->table.list[i - 1].cloexec)
				p->table.list[i - 1] = p->table.list[--p->table.count];
		return 0;
	default: return 0;
	}
}

int ct_output_of(const struct ct_output_track *ot, const struct ct_event *ev, enum ct_output_form *form)
{
	const struct ct_ev_syscall *sc = ct_event_payload(ev);
	const struct process *p;
	const struct entry *e;
	int fd = 0;

	if (ev->type != CT_EV_SYSCALL || sc->ret <= 0 || !(p = find(ot, ev->pid)))
		return 0;
	*form = CT_OUTPUT_BYTES;
	switch (sc->nr) {
	case SYS_write:
	case SYS_pwrite64:
	case SYS_sendto: break;
	case SYS_writev:
	case SYS_pwritev:
	case SYS_pwritev2: *form = CT_OUTPUT_IOVEC; break;
	case SYS_sendmsg: *form = CT_OUTPUT_MSGHDR; break;
	case SYS_sendfile: *form = CT_OUTPUT_NO_MEMORY; break;
	case SYS_splice:
	case SYS_copy_file_range:
		*form = CT_OUTPUT_NO_MEMORY;
		fd = 2;
		break;
	case SYS_tee:
	case SYS_vmsplice:
		*form = CT_OUTPUT_NO_MEMORY;
		fd = sc->nr == SYS_tee ? 1 : 0;
		break;
	default: return 0;
	}
	e = find_fd(&p->table, (ct_s32)sc->args[fd]);
	return e ? e->stream : 0;
}
