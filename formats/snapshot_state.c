/* SPDX-License-Identifier: MIT
 * The `state` file of a snapshot: struct ct_snapshot to sections and back.
 *
 * Order: SNAPSHOT, then for each process PROC, its THREADs, its MAPs, its FDs. */
#include <stdlib.h>
#include <string.h>

#include "snapshot_format.h"

/* ---- Encoding ---- */

struct out {
	ct_u8 *data;
	size_t len, room;
	size_t section; /* where the open one starts */
	ct_u32 sections;
	bool failed;
};

static void put(struct out *o, const void *data, size_t len)
{
	if (o->failed || len == 0)
		return;
	if (len > o->room - o->len) {
		size_t room = o->room * 2 > o->len + len ? o->room * 2 : o->len + len + 65536;
		ct_u8 *grown = realloc(o->data, room);

		if (!grown) {
			o->failed = true;
			return;
		}
		o->data = grown;
		o->room = room;
	}
	memcpy(o->data + o->len, data, len);
	o->len += len;
}

static void section_begin(struct out *o, enum snap_tag tag)
{
	struct snap_section s = {.tag = tag};

	o->section = o->len;
	put(o, &s, sizeof(s));
}

static void section_end(struct out *o)
{
	static const ct_u8 zero[8];
	ct_u32 size = (ct_u32)(o->len - o->section - sizeof(struct snap_section));

	if (o->failed)
		return;
	memcpy(o->data + o->section + offsetof(struct snap_section, size), &size, sizeof(size));
	put(o, zero, -o->len & 7);
	o->sections++;
}

static ct_u32 text_len(const char *text)
{
	return text ? (ct_u32)strlen(text) : 0;
}

static void put_thread(struct out *o, const struct ct_snap_thread *t)
{
	struct snap_d_thread d = {
		.tid = t->tid,
		.ns_tid = t->ns_tid,
		.regs = t->regs,
		.in_syscall = t->in_syscall,
		.flags = t->flags,
		.sigmask = t->sigmask,
		.pending = t->pending,
		.altstack_sp = t->altstack_sp,
		.altstack_size = t->altstack_size,
		.altstack_flags = t->altstack_flags,
		.restart_nr = t->restart_nr,
		.clear_child_tid = t->clear_child_tid,
		.robust_list = t->robust_list,
		.robust_len = t->robust_len,
		.rseq = t->rseq,
		.policy = t->policy,
		.priority = t->priority,
		.xsave_len = t->xsave_len,
	};

	memcpy(d.comm, t->comm, sizeof(d.comm));
	section_begin(o, SNAP_TAG_THREAD);
	put(o, &d, sizeof(d));
	put(o, t->xsave, t->xsave_len);
	section_end(o);
}

static void put_map(struct out *o, const struct ct_snap_map *m)
{
	struct snap_d_map d = {
		.start = m->start,
		.end = m->end,
		.prot = m->prot,
		.flags = m->flags,
		.offset = m->offset,
		.file = m->file,
		.name_len = text_len(m->name),
	};

	memcpy(d.hash, m->hash, sizeof(d.hash));
	section_begin(o, SNAP_TAG_MAP);
	put(o, &d, sizeof(d));
	put(o, m->name, d.name_len);
	section_end(o);
}

static void put_fd(struct out *o, const struct ct_snap_fd *f)
{
	struct snap_d_fd d = {.fd = f->fd, .flags = f->flags, .pos = f->pos, .target_len = text_len(f->target)};

	section_begin(o, SNAP_TAG_FD);
	put(o, &d, sizeof(d));
	put(o, f->target, d.target_len);
	section_end(o);
}

static void put_proc(struct out *o, const struct ct_snap_proc *p)
{
	struct snap_d_proc d = {
		.pid = p->pid,
		.ns_pid = p->ns_pid,
		.ppid = p->ppid,
		.flags = p->flags,
		.start_time = p->start_time,
		.start_code = p->start_code,
		.end_code = p->end_code,
		.start_data = p->start_data,
		.end_data = p->end_data,
		.start_brk = p->start_brk,
		.brk = p->brk,
		.start_stack = p->start_stack,
		.arg_start = p->arg_start,
		.arg_end = p->arg_end,
		.env_start = p->env_start,
		.env_end = p->env_end,
		.vdso = p->vdso,
		.personality = p->personality,
		.pending = p->pending,
		.rss_bytes = p->rss_bytes,
		.umask = p->umask,
		.dumpable = p->dumpable,
		.nthreads = p->nthreads,
		.nmaps = p->nmaps,
		.nfds = p->nfds,
		.exe_len = text_len(p->exe),
		.cwd_len = text_len(p->cwd),
		.root_len = text_len(p->root),
		.auxv_len = p->auxv_len,
	};

	memcpy(d.comm, p->comm, sizeof(d.comm));
	memcpy(d.sigaction, p->sigaction, sizeof(d.sigaction));
	section_begin(o, SNAP_TAG_PROC);
	put(o, &d, sizeof(d));
	put(o, p->exe, d.exe_len);
	put(o, p->cwd, d.cwd_len);
	put(o, p->root, d.root_len);
	put(o, p->auxv, d.auxv_len);
	section_end(o);
	for (ct_u32 i = 0; i < p->nthreads; i++)
		put_thread(o, &p->threads[i]);
	for (ct_u32 i = 0; i < p->nmaps; i++)
		put_map(o, &p->maps[i]);
	for (ct_u32 i = 0; i < p->nfds; i++)
		put_fd(o, &p->fds[i]);
}

int snap_state_encode(const struct ct_snapshot *snap, void **data, size_t *size, ct_u32 *sections, struct ct_error *err)
{
	struct snap_d_snapshot d = {
		.id = snap->id,
		.kind = snap->kind,
		.seq = snap->seq,
		.mono_ns = snap->mono_ns,
		.real_ns = snap->real_ns,
		.current_tid = snap->current_tid,
		.nprocs = snap->nprocs,
	};
	struct out o = {0};

	section_begin(&o, SNAP_TAG_SNAPSHOT);
	put(&o, &d, sizeof(d));
	section_end(&o);
	for (ct_u32 i = 0; i < snap->nprocs; i++)
		put_proc(&o, &snap->procs[i]);
	if (o.failed || o.len > SNAP_STATE_MAX) {
		free(o.data);
		return ct_fail(err, CT_EXIT_FAILED, o.failed ? "no memory for the state" : "the state exceeds 1 GiB");
	}
	*data = o.data;
	*size = o.len;
	*sections = o.sections;
	return 0;
}

/* ---- Decoding ---- */

struct in {
	const ct_u8 *pos;
	size_t left;
	ct_u32 sections;
	/* the current section's part that is still to be taken */
	const ct_u8 *body;
	size_t body_left;
	struct ct_error *err;
};

/* Enters the next section, which must have this tag, and copies its fixed part. */
static int section_take(struct in *in, enum snap_tag tag, void *fixed, size_t len)
{
	struct snap_section s;
	size_t padded;

	if (in->left < sizeof(s))
		return ct_fail(in->err, CT_EXIT_FAILED, "section %u is missing", in->sections);
	memcpy(&s, in->pos, sizeof(s));
	padded = ((size_t)s.size + 7) & ~(size_t)7;
	if (s.tag != tag)
		return ct_fail(in->err, CT_EXIT_FAILED, "section %u has tag %u instead of %d", in->sections, s.tag,
			       tag);
	if (s.size < len || padded > in->left - sizeof(s))
		return ct_fail(in->err, CT_EXIT_FAILED, "section %u has the impossible size %u", in->sections, s.size);
	memcpy(fixed, in->pos + sizeof(s), len);
	in->body = in->pos + sizeof(s) + len;
	in->body_left = s.size - len;
	in->pos += sizeof(s) + padded;
	in->left -= sizeof(s) + padded;
	in->sections++;
	return 0;
}

/* Copies `len` bytes of the section's variable part to new memory, with a NUL behind them. */
static int section_bytes(struct in *in, ct_u32 len, void *out)
{
	char *copy;

	if (len > in->body_left)
		return ct_fail(in->err, CT_EXIT_FAILED, "section %u is too short for what it announces",
			       in->sections - 1);
	copy = malloc((size_t)len + 1);
	if (!copy)
		return ct_fail(in->err, CT_EXIT_FAILED, "no memory for the state");
	memcpy(copy, in->body, len);
	copy[len] = 0;
	memcpy(out, &copy, sizeof(copy));
	in->body += len;
	in->body_left -= len;
	return 0;
}

static int section_done(const struct in *in)
{
	if (in->body_left)
		return ct_fail(in->err, CT_EXIT_FAILED, "section %u has %zu bytes too many", in->sections - 1,
			       in->body_left);
	return 0;
}

/* An array for `count` further sections of at least `fixed` bytes: not more than can be there. */
static void *array_for(struct in *in, ct_u32 count, size_t fixed, size_t element)
{
	void *array = NULL;

	if (count > in->left / (sizeof(struct snap_section) + fixed)) {
		ct_fail(in->err, CT_EXIT_FAILED, "section %u announces %u more, for which there is no room",
			in->sections - 1, count);
		return NULL;
	}
	array = calloc(count ? count : 1, element);
	if (!array)
		ct_fail(in->err, CT_EXIT_FAILED, "no memory for the state");
	return array;
}

static int take_thread(struct in *in, struct ct_snap_thread *t)
{
	struct snap_d_thread d;

	if (section_take(in, SNAP_TAG_THREAD, &d, sizeof(d)) < 0)
		return -1;
	*t = (struct ct_snap_thread){
		.tid = d.tid,
		.ns_tid = d.ns_tid,
		.regs = d.regs,
		.in_syscall = d.in_syscall,
		.flags = d.flags,
		.sigmask = d.sigmask,
		.pending = d.pending,
		.altstack_sp = d.altstack_sp,
		.altstack_size = d.altstack_size,
		.altstack_flags = d.altstack_flags,
		.restart_nr = d.restart_nr,
		.clear_child_tid = d.clear_child_tid,
		.robust_list = d.robust_list,
		.robust_len = d.robust_len,
		.rseq = d.rseq,
		.policy = d.policy,
		.priority = d.priority,
		.xsave_len = d.xsave_len,
	};
	memcpy(t->comm, d.comm, sizeof(t->comm));
	t->comm[sizeof(t->comm) - 1] = 0;
	return section_bytes(in, d.xsave_len, &t->xsave) < 0 ? -1 : section_done(in);
}

static int take_map(struct in *in, struct ct_snap_map *m)
{
	struct snap_d_map d;

	if (section_take(in, SNAP_TAG_MAP, &d, sizeof(d)) < 0)
		return -1;
	m->start = d.start;
	m->end = d.end;
	m->prot = d.prot;
	m->flags = d.flags;
	m->offset = d.offset;
	m->file = d.file;
	memcpy(m->hash, d.hash, sizeof(m->hash));
	return section_bytes(in, d.name_len, &m->name) < 0 ? -1 : section_done(in);
}

static int take_fd(struct in *in, struct ct_snap_fd *f)
{
	struct snap_d_fd d;

	if (section_take(in, SNAP_TAG_FD, &d, sizeof(d)) < 0)
		return -1;
	f->fd = d.fd;
	f->flags = d.flags;
	f->pos = d.pos;
	return section_bytes(in, d.target_len, &f->target) < 0 ? -1 : section_done(in);
}

static void proc_fixed(struct ct_snap_proc *p, const struct snap_d_proc *d)
{
	*p = (struct ct_snap_proc){
		.pid = d->pid,
		.ns_pid = d->ns_pid,
		.ppid = d->ppid,
		.flags = d->flags,
		.start_time = d->start_time,
		.start_code = d->start_code,
		.end_code = d->end_code,
		.start_data = d->start_data,
		.end_data = d->end_data,
		.start_brk = d->start_brk,
		.brk = d->brk,
		.start_stack = d->start_stack,
		.arg_start = d->arg_start,
		.arg_end = d->arg_end,
		.env_start = d->env_start,
		.env_end = d->env_end,
		.vdso = d->vdso,
		.personality = d->personality,
		.pending = d->pending,
		.rss_bytes = d->rss_bytes,
		.umask = d->umask,
		.dumpable = d->dumpable,
		.auxv_len = d->auxv_len,
	};
	memcpy(p->comm, d->comm, sizeof(p->comm));
	p->comm[sizeof(p->comm) - 1] = 0;
	memcpy(p->sigaction, d->sigaction, sizeof(p->sigaction));
}

/* On failure *p is left so that ct_snapshot_deinit frees it. */
static int take_proc(struct in *in, struct ct_snap_proc *p)
{
	struct snap_d_proc d;

	if (section_take(in, SNAP_TAG_PROC, &d, sizeof(d)) < 0)
		return -1;
	proc_fixed(p, &d);
	if (section_bytes(in, d.exe_len, &p->exe) < 0 || section_bytes(in, d.cwd_len, &p->cwd) < 0 ||
	    section_bytes(in, d.root_len, &p->root) < 0 || section_bytes(in, d.auxv_len, &p->auxv) < 0 ||
	    section_done(in) < 0)
		return -1;
	p->threads = array_for(in, d.nthreads, sizeof(struct snap_d_thread), sizeof(*p->threads));
	if (!p->threads)
		return -1;
	p->nthreads = d.nthreads;
	for (ct_u32 i = 0; i < d.nthreads; i++)
		if (take_thread(in, &p->threads[i]) < 0)
			return -1;
	p->maps = array_for(in, d.nmaps, sizeof(struct snap_d_map), sizeof(*p->maps));
	if (!p->maps)
		return -1;
	p->nmaps = d.nmaps;
	for (ct_u32 i = 0; i < d.nmaps; i++)
		if (take_map(in, &p->maps[i]) < 0)
			return -1;
	p->fds = array_for(in, d.nfds, sizeof(struct snap_d_fd), sizeof(*p->fds));
	if (!p->fds)
		return -1;
	p->nfds = d.nfds;
	for (ct_u32 i = 0; i < d.nfds; i++)
		if (take_fd(in, &p->fds[i]) < 0)
			return -1;
	return 0;
}

int snap_state_decode(const void *data, size_t size, ct_u32 sections, struct ct_snapshot *snap, struct ct_error *err)
{
	struct in in = {.pos = data, .left = size, .err = err};
	struct snap_d_snapshot d;

	memset(snap, 0, sizeof(*snap));
	if (section_take(&in, SNAP_TAG_SNAPSHOT, &d, sizeof(d)) < 0 || section_done(&in) < 0)
		return -1;
	snap->procs = array_for(&in, d.nprocs, sizeof(struct snap_d_proc), sizeof(*snap->procs));
	if (!snap->procs)
		return -1;
	snap->id = d.id;
	snap->kind = d.kind;
	snap->seq = d.seq;
	snap->mono_ns = d.mono_ns;
	snap->real_ns = d.real_ns;
	snap->current_tid = d.current_tid;
	snap->nprocs = d.nprocs;
	for (ct_u32 i = 0; i < d.nprocs; i++)
		if (take_proc(&in, &snap->procs[i]) < 0)
			goto fail;
	if (in.left || in.sections != sections) {
		ct_fail(err, CT_EXIT_FAILED, "%zu bytes and %u sections where %u were announced", in.left, in.sections,
			sections);
		goto fail;
	}
	if (snap_check(snap, err) < 0)
		goto fail;
	return 0;
fail:
	ct_snapshot_deinit(snap);
	return -1;
}
