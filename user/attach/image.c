// SPDX-License-Identifier: MIT
/* The image of a stopped process: a copy-on-write child, made by injected calls, that the target's own wait() never
 * sees. It is written in the background while the target runs on.
 *
 * A (clone with CLONE_VM: shares everything, costs nothing) makes B (the copy) and exits, and the target reaps A at
 * once. So B is nobody's child but init's, and no zombie stays. CLONE_FILES keeps B from holding files open: a dup of
 * the table would keep closed sockets from telling their peers. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/attach/target.h"

/* ---- what /proc tells of the process ------------------------------------------------------------------- */

static char *read_link(pid_t pid, const char *name)
{
	char path[64], target[4096];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	n = readlink(path, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = 0;
	return strdup(target);
}

static ct_u64 status_field(const char *status, const char *name, int base)
{
	const char *p = strstr(status, name);

	return p ? strtoull(p + strlen(name), NULL, base) : 0;
}

static void describe_fds(struct ct_snap_proc *proc, pid_t pid, size_t most)
{
	char path[96], link[64];

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	proc->fds = calloc(most, sizeof(*proc->fds));
	for (size_t fd = 0, misses = 0; proc->fds && proc->nfds < most && misses < 64; fd++) {
		struct ct_snap_fd *f = &proc->fds[proc->nfds];
		char *info;

		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%zu", pid, fd);
		info = ct_read_file(path, NULL);
		if (!info) {
			misses++;
			continue;
		}
		misses = 0;
		snprintf(link, sizeof(link), "fd/%zu", fd);
		f->fd = fd;
		f->pos = status_field(info, "pos:", 10);
		f->flags = status_field(info, "flags:", 8);
		f->target = read_link(pid, link);
		free(info);
		if (f->target)
			proc->nfds++;
	}
}

static bool is_wiped(const struct ct_target *t, ct_u64 addr)
{
	for (size_t i = 0; i < t->nwiped; i++)
		if (addr >= t->wiped[i].start && addr < t->wiped[i].end)
			return true;
	return false;
}

static void describe_maps(struct ct_snap_proc *proc, const struct ct_target *t)
{
	proc->maps = calloc(t->maps.count + 1, sizeof(*proc->maps));
	for (size_t i = 0; proc->maps && i < t->maps.count; i++) {
		const struct ct_map *m = &t->maps.map[i];
		struct ct_snap_map *out = &proc->maps[proc->nmaps++];

		out->start = m->start;
		out->end = m->end;
		out->prot = m->prot;
		out->offset = m->offset;
		out->name = strdup(m->name);
		out->flags = m->shared ? CT_MAPF_SHARED : 0;
		if (!strncmp(m->name, "[vvar", 5) || !strcmp(m->name, "[vsyscall]") ||
		    !strncmp(m->name, "[uprobes", 8) || (t->own_page && m->start == t->own_page))
			out->flags |= CT_MAPF_SPECIAL;
		else if (!strcmp(m->name, "[vdso]"))
			out->flags |= CT_MAPF_VDSO;
		else if (!strncmp(m->name, "[stack", 6))
			out->flags |= CT_MAPF_GROWSDOWN;
		else if (m->name[0] == '/' && m->ino) {
			bool memory = !strncmp(m->name, "/memfd:", 7) || !strncmp(m->name, "/dev/zero", 9) ||
				      !strncmp(m->name, "/SYSV", 5) || !strncmp(m->name, "/dev/shm/", 9);

			if (strncmp(m->name, "/memfd:", 7) == 0 && strstr(m->name, "hugetlb"))
				out->flags |= CT_MAPF_HUGE;
			if (!strncmp(m->name, "/anon_hugepage", 14))
				out->flags |= CT_MAPF_HUGE;
			/* Pages of a writable shared file are the process's to change: they are kept with it. */
			if (m->shared && (memory || (m->prot & PROT_WRITE)))
				out->flags |= CT_MAPF_ANON_SHARED;
			else if (!strncmp(m->name, "/anon_hugepage", 14))
				;
			else
				out->flags |= CT_MAPF_FILE;
			out->file.dev = (ct_u64)m->dev_major << 20 | m->dev_minor;
			out->file.ino = m->ino;
		} else if (m->shared) {
			out->flags |= CT_MAPF_ANON_SHARED;
		}
		if (is_wiped(t, m->start))
			out->flags |= CT_MAPF_WIPEONFORK;
	}
}

static void describe_thread(struct ct_snap_thread *out, struct ct_target *t, struct ct_thread *th)
{
	char path[64], *comm;
	long ax = (long)th->regs.r[CT_RAX];

	out->tid = th->tid;
	out->ns_tid = th->state.ns_tid;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", t->pid, th->tid);
	comm = ct_read_file(path, NULL);
	if (comm) {
		comm[strcspn(comm, "\n")] = 0;
		snprintf(out->comm, sizeof(out->comm), "%.15s", comm);
		free(comm);
	}
	out->regs = th->regs;
	out->in_syscall =
		(long)th->regs.r[CT_ORIG_RAX] >= 0 && ax <= -512 && ax >= -516 ? (ct_s32)th->regs.r[CT_ORIG_RAX] : -1;
	out->restart_nr = out->in_syscall >= 0 && ax == -516 ? out->in_syscall : -1;
	out->flags = th->reissue ? CT_THREADF_REISSUE : 0;
	out->sigmask = th->sigmask;
	out->pending = th->state.pending;
	out->altstack_sp = th->state.altstack_sp;
	out->altstack_size = th->state.altstack_size;
	out->altstack_flags = th->state.altstack_flags;
	out->clear_child_tid = th->state.clear_child_tid;
	out->robust_list = th->state.robust_list;
	out->robust_len = th->state.robust_list ? 24 : 0;
	out->rseq = th->rseq;
	out->rseq.flags = th->rseq.addr && !th->rseq_off; /* still registered */
	out->policy = th->policy;
	out->priority = th->priority;
	out->xsave = malloc(th->xsave_len);
	if (out->xsave) {
		memcpy(out->xsave, th->xsave, th->xsave_len);
		out->xsave_len = th->xsave_len;
	}
}

static void describe(struct ct_snap_proc *proc, struct ct_target *t)
{
	const struct ct_task_state *s = &t->threads[0].state;
	char path[64], *text;
	size_t len = 0, n = 0;

	proc->pid = t->pid;
	memcpy(proc->comm, t->comm, sizeof(proc->comm));
	proc->start_time = t->start_time;
	proc->exe = read_link(t->pid, "exe");
	proc->cwd = read_link(t->pid, "cwd");
	proc->root = read_link(t->pid, "root");
	proc->vdso = t->vdso;
	snprintf(path, sizeof(path), "/proc/%d/status", t->pid);
	text = ct_read_file(path, NULL);
	if (text) {
		proc->ppid = status_field(text, "\nPPid:", 10);
		proc->umask = status_field(text, "\nUmask:", 8);
		proc->rss_bytes = status_field(text, "\nVmRSS:", 10) << 10;
		free(text);
	}
	snprintf(path, sizeof(path), "/proc/%d/auxv", t->pid);
	proc->auxv = (ct_u8 *)ct_read_file(path, &len);
	proc->auxv_len = proc->auxv ? len : 0;
	proc->threads = calloc(t->nthreads, sizeof(*proc->threads));
	for (size_t i = 0; proc->threads && i < t->nthreads; i++) {
		if (t->threads[i].stopped) {
			if (t->threads[i].tid == t->pid)
				s = &t->threads[i].state;
			describe_thread(&proc->threads[n++], t, &t->threads[i]);
		}
	}
	proc->nthreads = n;
	proc->ns_pid = s->ns_pid;
	proc->personality = s->personality;
	proc->pending = s->shared_pending;
	proc->start_code = s->start_code, proc->end_code = s->end_code;
	proc->start_data = s->start_data, proc->end_data = s->end_data;
	proc->start_brk = s->start_brk, proc->brk = s->brk, proc->start_stack = s->start_stack;
	proc->arg_start = s->arg_start, proc->arg_end = s->arg_end;
	proc->env_start = s->env_start, proc->env_end = s->env_end;
	for (int i = 0; i < 64; i++) {
		proc->sigaction[i].handler = s->action[i].handler;
		proc->sigaction[i].flags = s->action[i].flags;
		proc->sigaction[i].restorer = s->action[i].restorer;
		proc->sigaction[i].mask = s->action[i].mask;
	}
	describe_maps(proc, t);
	describe_fds(proc, t->pid, 512);
}

/* ---- the child ------------------------------------------------------------------------------------------- */

static void kill_stopped(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	ct_wait_stop_fairly(pid, &status, 5000);
}

/* B directly, for a target to which orphans fall: it would get B back with a SIGCHLD. B stays its child, invisible to
 * an ordinary wait() (no exit signal), and is reaped in a later stop. */
static int clone_direct(struct ct_inject *in, pid_t *b, pid_t *b_ns, struct ct_error *err)
{
	return ct_inject_clone(in, CLONE_FILES | CLONE_FS, b, b_ns, err);
}

static int clone_twice(struct ct_inject *in, pid_t *b, struct ct_error *err)
{
	struct ct_inject in_a;
	ct_u64 args[6] = {0};
	pid_t a = 0, a_ns = 0, b_ns;
	long ret = -1;
	int status, bad;

	if (ct_inject_clone(in, CLONE_VM | CLONE_FILES | CLONE_FS, &a, &a_ns, err))
		return -1;
	in_a = *in;
	in_a.tid = a;
	bad = ct_inject_clone(&in_a, CLONE_FILES | CLONE_FS, b, &b_ns, err);
	kill(a, SIGKILL); /* it shares the target's memory, but is a process of its own */
	ct_wait_stop_fairly(a, &status, 5000);
	args[0] = a_ns;
	args[2] = 0x40000000; /* __WALL: it has no exit signal */
	if (ct_inject_call(in, SYS_wait4, args, &ret, bad ? NULL : err))
		bad = -1;
	return bad;
}

static int make_child(struct ct_image *img, struct ct_target *t, struct ct_error *err)
{
	bool direct = t->threads[0].state.reaper;
	struct ct_inject in;
	pid_t b = 0, b_ns = 0;
	int bad;

	if (ct_inject_somewhere(&in, t, err))
		return -1;
	bad = direct ? clone_direct(&in, &b, &b_ns, err) : clone_twice(&in, &b, err);
	if (!bad && b) {
		img->patch_addr = in.frame;
		img->patch_len = in.frame_len;
		img->patch = malloc(in.frame_len);
		if (img->patch)
			memcpy(img->patch, in.saved, in.frame_len);
	}
	if (ct_inject_end(&in, bad ? NULL : err))
		bad = -1;
	if (b && direct)
		img->reap = b_ns;
	if (bad || !b) {
		if (b)
			kill_stopped(b);
		return -1;
	}
	img->child = b;
	return 0;
}

/* Children that only a recorder can have made: dead, without an exit signal. */
static size_t find_leftovers(pid_t pid, pid_t *ns_pids, size_t most)
{
	char path[64], *children, *save = NULL;
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	children = ct_read_file(path, NULL);
	for (char *p = children ? strtok_r(children, " ", &save) : NULL; p && n < most;
	     p = strtok_r(NULL, " ", &save)) {
		pid_t child = atoi(p);
		char *status, *ns;

		if (ct_proc_stat(child, child, 3) != 'Z' || ct_proc_stat(child, child, 38) != 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/status", child);
		status = ct_read_file(path, NULL);
		ns = status ? strstr(status, "\nNSpid:") : NULL;
		if (ns) {
			char *end = strchr(ns + 1, '\n');

			if (end)
				*end = 0;
			ns = strrchr(ns, '\t');
			ns_pids[n++] = ns ? atoi(ns + 1) : child;
		}
		free(status);
	}
	free(children);
	return n;
}

int ct_image_reap(struct ct_target *t, pid_t reap, struct ct_error *err)
{
	ct_u64 args[6] = {0, 0, 0x40000001}; /* __WALL | WNOHANG */
	pid_t left[16];
	struct ct_inject in;
	size_t n = 1;
	long ret;
	int bad = 0;

	left[0] = reap;
	if (!reap)
		n = find_leftovers(t->pid, left, 16);
	if (!n)
		return 0;
	if (ct_inject_somewhere(&in, t, err))
		return -1;
	for (size_t i = 0; i < n && !bad; i++) {
		args[0] = left[i];
		bad = ct_inject_call(&in, SYS_wait4, args, &ret, err);
	}
	if (ct_inject_end(&in, bad ? NULL : err))
		bad = -1;
	return bad;
}

/* ---- copies made while the target stands still ----------------------------------------------------------- */

static int copy_range(struct ct_image *img, struct ct_target *t, ct_u64 start, ct_u64 end, struct ct_error *err)
{
	struct ct_shared_copy *c = realloc(img->copies, (img->ncopies + 1) * sizeof(*c));

	if (!c)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	img->copies = c;
	c += img->ncopies;
	c->addr = start;
	c->len = end - start;
	c->data = mmap(NULL, c->len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c->data == MAP_FAILED)
		return ct_fail(err, CT_EXIT_FAILED, "no memory for %llu MB that %d (%s) shares with others",
			       (unsigned long long)(c->len >> 20), t->pid, t->comm);
	img->ncopies++;
	for (ct_u64 at = start; at < end;) {
		ct_u64 n = end - at > (1u << 20) ? 1u << 20 : end - at;
		ssize_t got = pread(t->memfd, c->data + (at - start), n, (off_t)at);

		if (got <= 0)
			got = CT_PAGE; /* beyond the file's end, or a hole: stays zero */
		at += got;
	}
	return 0;
}

/* Not from a child: the pages of [start, end) that are the process's own, not the page cache's. */
static int copy_own(struct ct_image *img, struct ct_target *t, const struct ct_snap_map *m, struct ct_error *err)
{
	const size_t most = 4096;
	ct_u64 *entry = malloc(most * 8), run = 0;
	char path[64];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", t->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (ct_u64 at = m->start; !ret && at < m->end; at += most * CT_PAGE) {
		size_t n = (m->end - at) / CT_PAGE < most ? (m->end - at) / CT_PAGE : most;
		bool known = entry && fd >= 0 && pread(fd, entry, n * 8, (off_t)(at / CT_PAGE * 8)) == (ssize_t)(n * 8);

		for (size_t i = 0; i < n && !ret; i++) {
			bool own = !known || (m->flags & (CT_MAPF_VDSO | CT_MAPF_HUGE)) || ct_page_is_own(entry[i]);

			if (own && !run)
				run = at + i * CT_PAGE;
			if (!own && run) {
				ret = copy_range(img, t, run, at + i * CT_PAGE, err);
				run = 0;
			}
		}
	}
	if (!ret && run)
		ret = copy_range(img, t, run, m->end, err);
	if (fd >= 0)
		close(fd);
	free(entry);
	return ret;
}

static int copy_now(struct ct_image *img, struct ct_target *t, bool all, struct ct_error *err)
{
	for (ct_u32 i = 0; i < img->proc.nmaps; i++) {
		const struct ct_snap_map *m = &img->proc.maps[i];
		int ret = 0;

		if (m->flags & CT_MAPF_SPECIAL)
			continue;
		/* What the child shares with it, does not have, or has as zeroes. Of private memory only what is there:
		 * V8 keeps a gigabyte of address space from its children, nearly all of it never touched. */
		if (m->flags & CT_MAPF_ANON_SHARED)
			ret = copy_range(img, t, m->start, m->end, err);
		else if (!img->own.copied && (all || m->flags & (CT_MAPF_DONTFORK | CT_MAPF_WIPEONFORK)))
			ret = copy_own(img, t, m, err);
		if (ret)
			return -1;
	}
	return 0;
}

/* Areas marked MADV_DONTFORK are missing in the child. */
static int mark_dontfork(struct ct_image *img, struct ct_error *err)
{
	struct ct_maps child;

	if (ct_maps_read(img->child, &child, err))
		return -1;
	for (ct_u32 i = 0; i < img->proc.nmaps; i++)
		if (!ct_maps_find(&child, img->proc.maps[i].start) && !(img->proc.maps[i].flags & CT_MAPF_SPECIAL))
			img->proc.maps[i].flags |= CT_MAPF_DONTFORK;
	ct_maps_deinit(&child);
	return 0;
}

/* Mappings go with the process, or are other ones by the time that their files are looked at. */
static int hold_files(struct ct_image *img, struct ct_error *err)
{
	char path[96];

	img->files = calloc(img->proc.nmaps + 1, sizeof(*img->files));
	if (!img->files)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (ct_u32 i = 0; i < img->proc.nmaps; i++) {
		const struct ct_snap_map *m = &img->proc.maps[i];
		struct ct_image_file *f = NULL;

		if (!(m->flags & CT_MAPF_FILE))
			continue;
		for (size_t k = img->nfiles; k-- > 0 && !f;)
			if (img->files[k].ino == m->file.ino && img->files[k].dev == m->file.dev)
				f = &img->files[k];
		if (f)
			continue;
		snprintf(path, sizeof(path), "/proc/%u/map_files/%llx-%llx", img->proc.pid,
			 (unsigned long long)m->start, (unsigned long long)m->end);
		f = &img->files[img->nfiles++];
		f->dev = m->file.dev;
		f->ino = m->file.ino;
		f->fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	return 0;
}

void ct_image_file_path(const struct ct_image *img, const struct ct_snap_map *m, char *path, size_t len)
{
	for (size_t k = 0; k < img->nfiles; k++)
		if (img->files[k].ino == m->file.ino && img->files[k].dev == m->file.dev) {
			snprintf(path, len, "/proc/self/fd/%d", img->files[k].fd);
			return;
		}
	snprintf(path, len, "/proc/%d/map_files/%llx-%llx", img->child ? img->child : (pid_t)img->proc.pid,
		 (unsigned long long)m->start, (unsigned long long)m->end);
}

/* Without a child: what changed since the last snapshot is copied now, as it is little. */
static int copy_changed(struct ct_image *img, struct ct_target *t, struct ct_error *err)
{
	describe(&img->proc, t);
	return hold_files(img, err) || copy_now(img, t, false, err) ? -1 : 0;
}

int ct_image_begin(struct ct_image *img, struct ct_target *t, struct ct_error *err)
{
	struct ct_error why;
	bool alone;

	memset(img, 0, sizeof(*img));
	img->child_memfd = -1;
	ct_track_look(t, &img->own);
	if (ct_track_copy(t, &img->own)) {
		if (!copy_changed(img, t, err))
			return 0;
		ct_image_deinit(img);
		return -1;
	}
	alone = make_child(img, t, &why) != 0;
	describe(&img->proc, t);
	if (alone) {
		/* Seccomp, a process limit, tiny stacks: then everything is copied now; the pause is longer. */
		img->child = 0;
	} else {
		img->child_memfd = ct_mem_open(img->child);
		if (img->child_memfd < 0)
			ct_fail_errno(err, CT_EXIT_FAILED, "cannot read the snapshot child of %d (%s)", t->pid,
				      t->comm);
		if (img->child_memfd < 0 || mark_dontfork(img, err)) {
			ct_image_deinit(img);
			return -1;
		}
	}
	if (copy_now(img, t, alone, err)) {
		ct_image_deinit(img);
		return -1;
	}
	return 0;
}

void ct_image_end(struct ct_image *img)
{
	if (img->child)
		kill_stopped(img->child);
	img->child = 0;
	if (img->child_memfd >= 0)
		close(img->child_memfd);
	img->child_memfd = -1;
	ct_own_pages_deinit(&img->own);
	for (size_t i = 0; i < img->nfiles; i++)
		if (img->files[i].fd >= 0)
			close(img->files[i].fd);
	free(img->files);
	img->files = NULL;
	img->nfiles = 0;
	for (size_t i = 0; i < img->ncopies; i++)
		munmap(img->copies[i].data, img->copies[i].len);
	free(img->copies);
	img->copies = NULL;
	img->ncopies = 0;
	free(img->patch);
	img->patch = NULL;
}

void ct_image_deinit(struct ct_image *img)
{
	ct_image_end(img);
	ct_snap_proc_deinit(&img->proc);
}
