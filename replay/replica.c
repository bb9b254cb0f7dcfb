// SPDX-License-Identifier: MIT
/* Replicas: making a process from a snapshot.
 * It starts as a program of one page, written into a memfd, from which everything else is unmapped. */
#include "replay/replica.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "replay/agents/agent.h"
#include "replay/inproc.h"

#define OPTIONS                                                                                                        \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |  \
	 PTRACE_O_TRACESECCOMP)
#define WAIT_MS        600000
#define LOOK_MS        20
#define UNFAIR         20 /* a thread that gets less of a CPU than one part in so many is given up */
#define MAP_FIXED_ANON (MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)

static unsigned char initial_xsave[CT_XSAVE_MAX];
static size_t initial_xsave_len;

const void *ct_initial_xsave(size_t *len)
{
	*len = initial_xsave_len;
	return initial_xsave;
}

static const unsigned char gadget[] = {0x0f, 0x05, 0xcc, 0xcc};

/* An ELF file whose only segment is the gadget page and that of inproc_code.c. */
static int make_stub(void)
{
	struct {
		Elf64_Ehdr e;
		Elf64_Phdr p;
	} h = {0};
	unsigned char page[2 * 4096] = {0};
	int fd = memfd_create("ctbpf-replica", MFD_CLOEXEC);

	memcpy(h.e.e_ident, ELFMAG, SELFMAG);
	h.e.e_ident[EI_CLASS] = ELFCLASS64;
	h.e.e_ident[EI_DATA] = ELFDATA2LSB;
	h.e.e_ident[EI_VERSION] = EV_CURRENT;
	h.e.e_type = ET_EXEC;
	h.e.e_machine = EM_X86_64;
	h.e.e_version = EV_CURRENT;
	h.e.e_entry = CT_GADGET;
	h.e.e_phoff = sizeof(h.e);
	h.e.e_ehsize = sizeof(h.e);
	h.e.e_phentsize = sizeof(h.p);
	h.e.e_phnum = 1;
	h.p.p_type = PT_LOAD;
	h.p.p_flags = PF_R | PF_X;
	h.p.p_offset = 4096;
	h.p.p_vaddr = h.p.p_paddr = CT_GADGET;
	h.p.p_filesz = h.p.p_memsz = sizeof(page);
	h.p.p_align = 4096;
	memcpy(page, gadget, sizeof(gadget));
	memcpy(page + (CT_INPROC_CODE - CT_GADGET), ct_inproc_code, ct_inproc_code_end - ct_inproc_code);
	if (fd < 0 || pwrite(fd, &h, sizeof(h), 0) != sizeof(h) ||
	    pwrite(fd, page, sizeof(page), 4096) != sizeof(page)) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static pid_t start_stub(const struct ct_inproc *in, struct ct_error *err)
{
	char *const empty[] = {NULL};
	int fd = make_stub(), status;
	pid_t pid;

	if (fd < 0) {
		ct_fail_errno(err, CT_EXIT_FAILED, "cannot make a replica");
		return -1;
	}
	pid = fork();
	if (!pid) {
		setsid(); /* no terminal, no signals meant for others */
		prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
		personality(ADDR_NO_RANDOMIZE);
		/* Any of the three may be one of these numbers already: out of the way with them first. */
		int ctl = fcntl(in->ctl_fd, F_DUPFD_CLOEXEC, CT_INPROC_TABLE_FD + 1);
		int table = fcntl(in->table_fd, F_DUPFD_CLOEXEC, CT_INPROC_TABLE_FD + 1);

		fd = fcntl(fd, F_DUPFD_CLOEXEC, CT_INPROC_TABLE_FD + 1);
		if (dup2(ctl, CT_INPROC_CTL_FD) >= 0 && dup2(table, CT_INPROC_TABLE_FD) >= 0 &&
		    !ptrace(PTRACE_TRACEME, 0, 0, 0))
			syscall(SYS_execveat, fd, "", empty, empty, AT_EMPTY_PATH);
		_exit(127);
	}
	close(fd);
	if (pid < 0 || ct_wait_stop(pid, &status, WAIT_MS) || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, pid, 0, OPTIONS)) {
		if (pid > 0)
			kill(pid, SIGKILL);
		ct_fail_errno(err, CT_EXIT_FAILED, "cannot start a replica");
		return -1;
	}
	return pid;
}

bool ct_replica_expect_stops(void)
{
	struct sigaction sa;
	sigset_t chld, old;

	/* Who ignores it is not sent it. */
	if (!sigaction(SIGCHLD, NULL, &sa) && (sa.sa_handler == SIG_IGN || (sa.sa_flags & SA_NOCLDSTOP))) {
		sa.sa_flags &= ~SA_NOCLDSTOP;
		if (sa.sa_handler == SIG_IGN)
			sa.sa_handler = SIG_DFL;
		sigaction(SIGCHLD, &sa, NULL);
	}
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	return !pthread_sigmask(SIG_BLOCK, &chld, &old) && !sigismember(&old, SIGCHLD);
}

void ct_replica_expect_no_stops(bool was_open)
{
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	if (was_open)
		pthread_sigmask(SIG_UNBLOCK, &chld, NULL);
}

static unsigned patience = WAIT_MS;
static bool given_up; /* the last one that was waited for */

const char *ct_replica_lost(void)
{
	return given_up ? "the replica runs on and on" : "the replica died";
}

unsigned ct_replica_patience(unsigned ms)
{
	const unsigned before = patience;

	if (ms)
		patience = ms;
	return before;
}

/* In milliseconds: of CPU (what /proc counts in ticks adds up to all it had: cputime_adjust() in
 * kernel/sched/cputime.c). */
static ct_u64 cpu_time(pid_t tid)
{
	return (ct_proc_stat(tid, tid, 14) + ct_proc_stat(tid, tid, 15)) * 1000 / (ct_u64)sysconf(_SC_CLK_TCK);
}

/* Waits without using the CPU, which is the one that the replica needs: a stop is announced by SIGCHLD, which the
 * session has blocked. The limit is for a replay that has gone astray and loops: what counts is the CPU it has had, and
 * time when it did not even want any. Waiting for others to leave it a CPU does not count, up to a point. */
int ct_replica_wait(pid_t tid, int *status)
{
	const struct timespec now_and_then = {.tv_nsec = LOOK_MS * 1000000};
	ct_u64 began = 0, looks = 0, idle = 0;
	sigset_t chld;

	given_up = false;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	for (;;) {
		/* A signal may go to somebody else. */
		const bool look = sigtimedwait(&chld, NULL, &now_and_then) < 0 && errno == EAGAIN;
		const pid_t got = waitpid(tid, status, __WALL | WNOHANG);

		if (got == tid)
			return 0;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (!look)
			continue;
		if (!looks++)
			began = cpu_time(tid);
		if (ct_proc_stat(tid, tid, 3) != 'R')
			idle += LOOK_MS;
		if (idle + cpu_time(tid) - began >= patience || looks * LOOK_MS >= (ct_u64)patience * UNFAIR) {
			given_up = true;
			return -ETIMEDOUT;
		}
	}
}

long ct_replica_call(struct ct_rthread *t, long nr, ct_u64 a0, ct_u64 a1, ct_u64 a2, ct_u64 a3, ct_u64 a4, ct_u64 a5)
{
	struct ct_regs saved, r;
	int status;

	if (ct_get_regs(t->real, &saved))
		return -ESRCH;
	r = saved;
	r.r[CT_RAX] = nr;
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	r.r[CT_RDI] = a0, r.r[CT_RSI] = a1, r.r[CT_RDX] = a2;
	r.r[CT_R10] = a3, r.r[CT_R8] = a4, r.r[CT_R9] = a5;
	r.r[CT_RIP] = CT_GADGET;
	r.r[CT_RFLAGS] &= ~0x500ull;
	if (ct_set_regs(t->real, &r))
		return -ESRCH;
	do { /* a step out of a SYSEMU stop reports before it has executed anything */
		if (ptrace(PTRACE_SINGLESTEP, t->real, 0, 0) || ct_replica_wait(t->real, &status) ||
		    !WIFSTOPPED(status) || ct_get_regs(t->real, &r))
			return -ESRCH;
	} while (r.r[CT_RIP] == CT_GADGET || status >> 16 == PTRACE_EVENT_SECCOMP);
	saved.r[CT_ORIG_RAX] = (ct_u64)-1;
	ct_set_regs(t->real, &saved);
	return (long)r.r[CT_RAX];
}

long ct_replica_advise(struct ct_rthread *t, ct_u64 addr, ct_u64 len, ct_u64 advice)
{
	t->proc->wipes |= advice == MADV_WIPEONFORK;
	return ct_replica_call(t, SYS_madvise, addr, len, advice, 0, 0, 0);
}

pid_t ct_replica_clone(struct ct_rthread *t, unsigned long flags)
{
	struct ct_regs saved, r;
	unsigned long child = 0;
	int status;

	if (ct_get_regs(t->real, &saved))
		return -1;
	r = saved;
	r.r[CT_RAX] = SYS_clone;
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	r.r[CT_RDI] = flags;
	r.r[CT_RSI] = r.r[CT_RDX] = r.r[CT_R10] = r.r[CT_R8] = 0;
	r.r[CT_RIP] = CT_GADGET;
	r.r[CT_RFLAGS] &= ~0x500ull;
	if (ct_set_regs(t->real, &r))
		return -1;
	do {
		if (ptrace(PTRACE_SINGLESTEP, t->real, 0, 0) || ct_replica_wait(t->real, &status) ||
		    !WIFSTOPPED(status))
			return -1;
		if (status >> 16 && status >> 16 != PTRACE_EVENT_SECCOMP)
			ptrace(PTRACE_GETEVENTMSG, t->real, 0, &child);
		if (ct_get_regs(t->real, &r))
			return -1;
	} while (r.r[CT_RIP] == CT_GADGET || (status >> 16));
	saved.r[CT_ORIG_RAX] = (ct_u64)-1;
	ct_set_regs(t->real, &saved);
	if (!child || ct_wait_stop((pid_t)child, &status, WAIT_MS) || !WIFSTOPPED(status))
		return -1;
	ptrace(PTRACE_SETOPTIONS, (pid_t)child, 0, OPTIONS);
	ct_set_regs((pid_t)child, &saved);
	return (pid_t)child;
}

/* ---- files ------------------------------------------------------------------------------------------------ */

int ct_replay_files_init(struct ct_replay_files *files, struct ct_recording *rec, struct ct_error *err)
{
	struct ct_cursor *cur = ct_cursor_create(rec, err);
	const struct ct_event *ev;
	int ret;

	memset(files, 0, sizeof(*files));
	files->dirfd = ct_recording_dirfd(rec);
	if (!cur)
		return -1;
	if (!realpath(ct_recording_path(rec), files->path)) {
		ct_cursor_destroy(cur);
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot find %s", ct_recording_path(rec));
	}
	while ((ret = ct_cursor_next(cur, &ev, err)) > 0) {
		const struct ct_ev_file *f = (const void *)(ev + 1);
		void *more;

		if (ev->type != CT_EV_FILE)
			continue;
		more = realloc(files->file, (files->count + 1) * sizeof(*files->file));
		if (!more) {
			ct_cursor_destroy(cur);
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		}
		files->file = more;
		files->file[files->count].ref = f->ref;
		memcpy(files->file[files->count].hash, f->hash, 16);
		files->count++;
	}
	ct_cursor_destroy(cur);
	return ret;
}

void ct_replay_files_deinit(struct ct_replay_files *files)
{
	free(files->file);
}

const ct_u8 *ct_replay_file(const struct ct_replay_files *files, const struct ct_file_ref *ref)
{
	for (size_t i = 0; i < files->count; i++) {
		const struct ct_file_ref *f = &files->file[i].ref;

		if (f->dev == ref->dev && f->ino == ref->ino && f->ctime_s == ref->ctime_s &&
		    f->ctime_ns == ref->ctime_ns && f->size == ref->size)
			return files->file[i].hash;
	}
	return NULL;
}

int ct_replica_map_file(struct ct_rthread *t, const struct ct_replay_files *files, const ct_u8 hash[16], ct_u64 addr,
			ct_u64 len, int prot, ct_u64 offset)
{
	char path[sizeof(files->path) + 64], name[33];
	long fd, ret;

	ct_hash_format(hash, name);
	snprintf(path, sizeof(path), "%s/files/%s", files->path, name);
	if (strlen(path) + 1 > 4096 - (CT_GADGET_TEXT - CT_GADGET) ||
	    !ct_mem_write(t->proc->memfd, CT_GADGET_TEXT, path, strlen(path) + 1))
		return -1;
	fd = ct_replica_call(t, SYS_open, CT_GADGET_TEXT, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, 0, 0, 0);
	if (fd < 0)
		return -1;
	ret = ct_replica_call(t, SYS_mmap, addr, len, prot, MAP_PRIVATE | MAP_FIXED, fd, offset);
	ct_replica_call(t, SYS_close, fd, 0, 0, 0, 0, 0);
	return (ct_u64)ret == addr ? 0 : -1;
}

long ct_replica_map_fd(struct ct_rthread *t, int fd, ct_u64 addr, ct_u64 len, ct_u64 prot, ct_u64 flags, ct_u64 offset)
{
	char path[64];
	long in, ret;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
	if (!ct_mem_write(t->proc->memfd, CT_GADGET_TEXT, path, strlen(path) + 1))
		return -ESRCH;
	in = ct_replica_call(t, SYS_open, CT_GADGET_TEXT, O_RDWR | O_CLOEXEC, 0, 0, 0, 0);
	if (in < 0)
		return in;
	ret = ct_replica_call(t, SYS_mmap, addr, len, prot, flags | MAP_FIXED, (ct_u64)in, offset);
	ct_replica_call(t, SYS_close, (ct_u64)in, 0, 0, 0, 0, 0);
	return ret;
}

/* ---- restoring ---------------------------------------------------------------------------------------------- */

static int clear(struct ct_rthread *t, struct ct_error *err)
{
	struct ct_maps maps;

	if (ct_maps_read(t->real, &maps, err))
		return -1;
	for (size_t i = 0; i < maps.count; i++)
		if (maps.map[i].start != CT_GADGET && strcmp(maps.map[i].name, "[vsyscall]"))
			ct_replica_call(t, SYS_munmap, maps.map[i].start, maps.map[i].end - maps.map[i].start, 0, 0, 0,
					0);
	ct_maps_deinit(&maps);
	return 0;
}

/* 1: done; 0: it is a mapping like others; -1. */
static int restore_shared(struct ct_rthread *t, const struct ct_replay_files *files, const struct ct_snapshot *snap,
			  const struct ct_snap_map *m, struct ct_error *err)
{
	int fd = files->shared ? files->shared(files->shared_ctx, snap, m, err) : CT_NOT_SHARED;
	long ret;

	if (fd < 0)
		return fd == CT_NOT_SHARED ? 0 : -1;
	ret = ct_replica_map_fd(t, fd, m->start, m->end - m->start, m->prot | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
				m->offset);
	return (ct_u64)ret == m->start ? 1
				       : ct_fail(err, CT_EXIT_FAILED, "cannot map %#llx (%s) in the replica: error %ld",
						 (unsigned long long)m->start, m->name, -ret);
}

/* Not even a tracer writes to shared memory that is mapped read-only, so that it becomes when it has its pages. */
static int protect_shared(struct ct_rthread *t, const struct ct_snap_proc *proc, struct ct_error *err)
{
	for (ct_u32 i = 0; i < proc->nmaps; i++) {
		const struct ct_snap_map *m = &proc->maps[i];

		if ((m->flags & CT_MAPF_SHARED) && !(m->flags & CT_MAPF_SPECIAL) && !(m->prot & PROT_WRITE) &&
		    ct_replica_call(t, SYS_mprotect, m->start, m->end - m->start, m->prot, 0, 0, 0))
			return ct_fail(err, CT_EXIT_FAILED, "cannot protect %#llx (%s) in the replica",
				       (unsigned long long)m->start, m->name);
	}
	return 0;
}

static int restore_maps(struct ct_rthread *t, const struct ct_replay_files *files, const struct ct_snapshot *snap,
			const struct ct_snap_proc *proc, struct ct_error *err)
{
	for (ct_u32 i = 0; i < proc->nmaps; i++) {
		const struct ct_snap_map *m = &proc->maps[i];
		int flags = MAP_FIXED_ANON | (m->flags & CT_MAPF_GROWSDOWN ? MAP_GROWSDOWN : 0);
		long ret;

		if (m->flags & CT_MAPF_VDSO) {
			t->proc->vdso = m->start;
			t->proc->vdso_end = m->end;
		}
		if (m->flags & CT_MAPF_SPECIAL)
			continue;
		if (m->flags & CT_MAPF_NO_CONTENT)
			return ct_fail(err, CT_EXIT_FAILED, "the content of %s was not kept", m->name);
		if ((ret = restore_shared(t, files, snap, m, err))) {
			if (ret < 0)
				return -1;
			continue;
		}
		if (m->flags & CT_MAPF_FILE) {
			if (ct_replica_map_file(t, files, m->hash, m->start, m->end - m->start, m->prot, m->offset))
				return ct_fail(err, CT_EXIT_FAILED, "cannot map the kept content of %s", m->name);
			continue;
		}
		if (m->flags & CT_MAPF_SHARED) /* forked replicas share it as the recorded processes did */
			flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED;
		ret = ct_replica_call(t, SYS_mmap, m->start, m->end - m->start,
				      m->prot | (m->flags & CT_MAPF_SHARED ? PROT_WRITE : 0), flags | MAP_NORESERVE, -1,
				      0);
		if ((ct_u64)ret != m->start)
			return ct_fail(err, CT_EXIT_FAILED, "cannot map %#llx-%#llx (%s) in the replica: error %ld",
				       (unsigned long long)m->start, (unsigned long long)m->end, m->name, -ret);
		if (m->flags & CT_MAPF_WIPEONFORK) /* forks are real ones here, too */
			ct_replica_advise(t, m->start, m->end - m->start, MADV_WIPEONFORK);
	}
	return 0;
}

static int restore_pages(struct ct_rthread *t, struct ct_snapshot_reader *snap, ct_u32 index, struct ct_error *err)
{
	static const unsigned char zero[CT_PAGE];
	size_t count;
	const struct ct_snap_page *pages = ct_snapshot_pages(snap, index, &count);
	unsigned char page[CT_PAGE];
	const struct ct_snap_proc *proc = &ct_snapshot_get(snap)->procs[index];
	ct_u32 m = 0;

	for (size_t i = 0; i < count; i++) {
		while (m < proc->nmaps && proc->maps[m].end <= pages[i].addr)
			m++;
		if (pages[i].flags & CT_PAGEF_ZERO) {
			/* Fresh anonymous memory is zero; over a file it has to be written. */
			if (m < proc->nmaps && !(proc->maps[m].flags & CT_MAPF_FILE))
				continue;
			if (!ct_mem_write(t->proc->memfd, pages[i].addr, zero, CT_PAGE))
				goto fail;
			continue;
		}
		if (ct_snapshot_read_page(snap, index, i, page, err))
			return -1;
		if (!ct_mem_write(t->proc->memfd, pages[i].addr, page, CT_PAGE))
			goto fail;
		continue;
	fail:
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot write page %#llx of the replica",
				     (unsigned long long)pages[i].addr);
	}
	return 0;
}

static int restore_thread(struct ct_rthread *t, const struct ct_snap_thread *s, struct ct_error *err)
{
	struct ct_regs r = s->regs;
	long ax = (long)r.r[CT_RAX];

	t->tid = s->tid;
	memcpy(t->comm, s->comm, sizeof(t->comm));
	t->live = true;
	t->clear_tid = s->clear_child_tid;
	t->robust = s->robust_list;
	t->nr = s->in_syscall;
	t->trapped = s->pending >> (SIGTRAP - 1) & 1;
	if (s->in_syscall >= 0 && ax <= -512 && ax >= -516) {
		t->restart = (ct_s32)ax;
	} else if (s->flags & CT_THREADF_REISSUE) {
		r.r[CT_RIP] -= 2;
		r.r[CT_RAX] = r.r[CT_ORIG_RAX];
	}
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	r.r[CT_CS] = 0x33;
	r.r[CT_SS] = 0x2b;
	if (ct_set_xsave(t->real, s->xsave, s->xsave_len))
		return ct_fail_errno(
			err, CT_EXIT_FAILED,
			"the FPU state of thread %u cannot be restored (recorded on a CPU with other features?)",
			s->tid);
	if (ct_set_regs(t->real, &r))
		return ct_fail_errno(err, CT_EXIT_FAILED, "the registers of thread %u cannot be restored", s->tid);
	return 0;
}

struct ct_replica *ct_replica_create(const struct ct_replay_files *files, struct ct_snapshot_reader *snap, ct_u32 index,
				     struct ct_rthread **threads, size_t *nthreads, struct ct_error *err)
{
	const struct ct_snap_proc *proc = &ct_snapshot_get(snap)->procs[index];
	struct ct_replica *p = calloc(1, sizeof(*p));
	struct ct_rthread *t = calloc(proc->nthreads ? proc->nthreads : 1, sizeof(*t));
	ssize_t xlen;
	int ret;

	if (!p || !t) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		goto fail;
	}
	p->memfd = -1;
	p->pid = proc->pid;
	p->brk = proc->brk;
	p->real = start_stub(files->inproc, err);
	if (p->real < 0)
		goto fail;
	xlen = ct_get_xsave(p->real, initial_xsave);
	if (xlen > 0)
		initial_xsave_len = xlen;
	p->memfd = ct_mem_open(p->real);
	t[0].real = p->real;
	t[0].proc = p;
	if (p->memfd < 0 || clear(&t[0], err))
		goto fail;
	ret = ct_inproc_map(&t[0], proc, files->bare);
	if (ret < 0 || (!ret && !(p->mm = ct_mm_create(files->inproc)))) {
		ct_fail_errno(err, CT_EXIT_FAILED, "cannot map memory to share with a replica");
		goto fail;
	}
	p->inproc = files->inproc;
	if (restore_maps(&t[0], files, ct_snapshot_get(snap), proc, err) || restore_pages(&t[0], snap, index, err) ||
	    protect_shared(&t[0], proc, err))
		goto fail;
	if (ct_inproc_filter(&t[0])) {
		ct_fail_errno(err, CT_EXIT_MISSING,
			      "cannot filter the system calls of a replica (kernel without seccomp filters?)");
		goto fail;
	}
	for (ct_u32 i = 1; i < proc->nthreads; i++) {
		t[i].proc = p;
		t[i].real = ct_replica_clone(&t[0], CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
							    CLONE_SYSVSEM);
		if (t[i].real < 0) {
			ct_fail_errno(err, CT_EXIT_FAILED, "cannot make thread %u of the replica",
				      proc->threads[i].tid);
			goto fail;
		}
	}
	for (ct_u32 i = 0; i < proc->nthreads; i++)
		if (restore_thread(&t[i], &proc->threads[i], err))
			goto fail;
	*threads = t;
	*nthreads = proc->nthreads;
	return p;
fail:
	if (p)
		ct_replica_kill(p);
	free(t);
	return NULL;
}

bool ct_replica_read(const struct ct_replica *p, ct_u64 addr, void *buf, size_t len)
{
	if (!ct_mem_read(p->memfd, addr, buf, len))
		return false;
	ct_stops_mask(p, addr, buf, len);
	ct_mm_mask(p->mm, addr, buf, len);
	ct_agents_mask(p, addr, buf, len);
	return true;
}

void ct_replica_kill(struct ct_replica *p)
{
	int status;

	if (p->real > 0) {
		kill(p->real, SIGKILL);
		while (waitpid(p->real, &status, __WALL) == p->real && !WIFEXITED(status) && !WIFSIGNALED(status))
			;
	}
	ct_agents_gone(p);
	if (p->memfd >= 0)
		close(p->memfd);
	ct_mm_release(p->mm);
	free(p);
}
