// SPDX-License-Identifier: MIT
/* What a returned system call does in the replay: results and buffers from the log; mappings, threads and processes are
 * really made, at the recorded addresses. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "replay/inproc.h"
#include "replay/session_priv.h"

#define PAGE_UP(x) (((x) + CT_PAGE - 1) & ~(ct_u64)(CT_PAGE - 1))

bool ct_file_content(struct ct_session *s, const struct ct_file_ref *ref, void *buf, size_t len)
{
	const size_t room = sizeof(s->open_files) / sizeof(*s->open_files);
	const ct_u8 *hash = ct_replay_file(&s->files, ref);
	size_t i = 0;
	int fd;

	if (!hash)
		return false;
	while (i < room && (!s->open_files[i].fd || memcmp(s->open_files[i].hash, hash, 16)))
		i++;
	if (i == room) {
		fd = ct_file_open(s->files.dirfd, hash, false, NULL);
		if (fd < 0)
			return false;
		i = s->next_open++ % room;
		if (s->open_files[i].fd)
			close(s->open_files[i].fd - 1);
		s->open_files[i].fd = fd + 1;
		memcpy(s->open_files[i].hash, hash, 16);
	}
	return pread(s->open_files[i].fd - 1, buf, len, (off_t)ref->offset) == (ssize_t)len;
}

static int copy_file(struct ct_session *s, struct ct_rthread *t, const struct ct_buf *buf,
		     const struct ct_file_ref *ref, struct ct_error *err)
{
	unsigned char *data;
	int ret = 0;

	if (!ct_replay_file(&s->files, ref))
		return ct_fail(err, CT_EXIT_FAILED, "event %llu: the file it was read from is not kept",
			       (unsigned long long)s->ev->seq);
	data = malloc(buf->want);
	if (!data || !ct_file_content(s, ref, data, buf->want) ||
	    !ct_mem_write(t->proc->memfd, buf->addr, data, buf->want))
		ret = ct_diverged(s, t, err, "file content for %#llx cannot be read or written",
				  (unsigned long long)buf->addr);
	free(data);
	return ret;
}

int ct_apply_bufs(struct ct_session *s, struct ct_rthread *t, struct ct_error *err)
{
	struct ct_buf_iter it = ct_buf_iter(s->ev);

	while (ct_buf_next(&it)) {
		/* Of what was passed in, pages that the call did not come to look at need not have been there. */
		if (it.buf->kind == CT_BUF_FAULT &&
		    (s->ev->type != CT_EV_SYSCALL ||
		     ((const struct ct_ev_syscall *)ct_event_payload(s->ev))->flags & CT_SYSF_FAULT))
			return ct_diverged(s, t, err, "a buffer could not be recorded");
		if (it.buf->kind == CT_BUF_FILE && it.buf->want && s->ev->type == CT_EV_SYSCALL &&
		    ((const struct ct_ev_syscall *)ct_event_payload(s->ev))->nr != SYS_mmap) {
			struct ct_file_ref ref;

			memcpy(&ref, it.data, sizeof(ref));
			if (copy_file(s, t, it.buf, &ref, err))
				return -1;
		}
		if (it.buf->kind == CT_BUF_OUT && it.buf->len &&
		    !ct_mem_write(t->proc->memfd, it.buf->addr, it.data, it.buf->len))
			return ct_diverged(s, t, err, "buffer %#llx cannot be written",
					   (unsigned long long)it.buf->addr);
	}
	return 0;
}

/* Advice that changes what the program, or a child of it, will read; the rest depends on the machine. */
static bool changes_content(ct_u64 advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_REMOVE:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
	case 24:  /* MADV_DONTNEED_LOCKED */
	case 102: /* MADV_GUARD_INSTALL */
	case 103: /* MADV_GUARD_REMOVE */ return true;
	}
	return false;
}

int ct_real_call(const struct ct_event *ev, const struct ct_ev_syscall *sc, ct_u64 *brk, struct ct_real_call *call)
{
	struct ct_buf_iter it = ct_buf_iter(ev);
	ct_u64 old = PAGE_UP(*brk), now = PAGE_UP((ct_u64)sc->ret);

	call->nr = (ct_u64)sc->nr;
	call->ret = sc->ret;
	memcpy(call->args, sc->args, sizeof(call->args));
	switch (sc->nr) {
	case SYS_mmap:
		while (ct_buf_next(&it))
			if (it.buf->kind == CT_BUF_FILE)
				return CT_REAL_OTHER;
		call->args[0] = (ct_u64)sc->ret;
		call->args[3] &= ~(ct_u64)(MAP_FIXED_NOREPLACE | MAP_HUGETLB | MAP_POPULATE | MAP_LOCKED);
		call->args[3] |= MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE;
		call->args[4] = (ct_u64)-1;
		call->args[5] = 0;
		return CT_REAL_CALL;
	case SYS_brk:
		*brk = (ct_u64)sc->ret;
		if (now == old)
			return CT_REAL_NONE;
		call->nr = now > old ? SYS_mmap : SYS_munmap;
		call->args[0] = now > old ? old : now;
		call->args[1] = now > old ? now - old : old - now;
		call->args[2] = PROT_READ | PROT_WRITE;
		call->args[3] = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
		call->args[4] = (ct_u64)-1;
		call->args[5] = 0;
		call->ret = now > old ? (ct_s64)old : 0;
		return CT_REAL_CALL;
	case SYS_mremap:
		call->args[3] = (ct_u64)sc->ret == sc->args[0] ? sc->args[3] & ~3ull
							       : sc->args[3] | MREMAP_MAYMOVE | MREMAP_FIXED;
		call->args[4] = (ct_u64)sc->ret == sc->args[0] ? 0 : (ct_u64)sc->ret;
		return CT_REAL_CALL;
	case SYS_mlock:
	case SYS_munlock:
	case SYS_mlockall:
	case SYS_munlockall:
	case SYS_mlock2:
	case SYS_msync: return CT_REAL_NONE; /* no effect on content; limits may differ here */
	case SYS_madvise: return changes_content(sc->args[2]) ? CT_REAL_CALL : CT_REAL_NONE;
	case SYS_process_madvise:
	case SYS_personality: return CT_REAL_OTHER;
	}
	return CT_REAL_CALL;
}

static int map_file(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_syscall *sc, struct ct_error *err)
{
	struct ct_buf_iter it = ct_buf_iter(s->ev);
	struct ct_file_ref ref;
	const ct_u8 *hash;
	int ret;

	while (ct_buf_next(&it) && it.buf->kind != CT_BUF_FILE)
		;
	memcpy(&ref, it.data, sizeof(ref));
	hash = ct_replay_file(&s->files, &ref);
	if (!hash)
		return ct_fail(err, CT_EXIT_FAILED, "event %llu: the mapped file is not kept",
			       (unsigned long long)s->ev->seq);
	ct_mm_before_change(t, (ct_u64)sc->ret, sc->args[1]);
	ret = ct_map_shared(s, t, sc, &ref, hash, err);
	if (ret <= 0)
		return ret;
	if (ct_replica_map_file(t, &s->files, hash, sc->ret, sc->args[1], (int)sc->args[2], sc->args[5]))
		return ct_diverged(s, t, err, "kept file cannot be mapped at %#llx", (unsigned long long)sc->ret);
	return ct_agents_look(s->agents, t, true, err);
}

/* The kernel allows advice that changes content for the caller's own memory only. */
static int do_process_madvise(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_syscall *sc,
			      struct ct_error *err)
{
	ct_u64 left = (ct_u64)sc->ret, iov[2];

	for (ct_u64 i = 0; i < sc->args[2] && left && changes_content(sc->args[3]); i++) {
		ct_u64 len;

		if (!ct_mem_read(t->proc->memfd, sc->args[1] + i * sizeof(iov), iov, sizeof(iov)))
			return ct_diverged(s, t, err, "the list of ranges cannot be read");
		len = iov[1] < left ? iov[1] : left;
		left -= len;
		ct_mm_before_change(t, iov[0], len);
		if (ct_replica_advise(t, iov[0], len, sc->args[3]))
			return ct_diverged(s, t, err, "madvise of %#llx fails", (unsigned long long)iov[0]);
	}
	return 0;
}

static int execute_other(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_syscall *sc,
			 struct ct_error *err)
{
	switch (sc->nr) {
	case SYS_mmap: return map_file(s, t, sc, err);
	case SYS_process_madvise: return do_process_madvise(s, t, sc, err);
	}
	/* personality: asking changes nothing; what is set stays without random addresses, which a replica never has.
	 */
	if ((ct_u32)sc->args[0] != 0xffffffffu)
		ct_replica_call(t, SYS_personality, sc->args[0] | ADDR_NO_RANDOMIZE, 0, 0, 0, 0, 0);
	return 0;
}

/* Calls of the memory family and a few that change what later ones or user code see. */
static int execute(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_syscall *sc, struct ct_error *err)
{
	struct ct_real_call c;
	long ret;

	s->stats.executed++;
	switch (ct_real_call(s->ev, sc, &t->proc->brk, &c)) {
	case CT_REAL_NONE: return 0;
	case CT_REAL_OTHER: return execute_other(s, t, sc, err);
	}
	switch (c.nr) {
	case SYS_mremap: ct_mm_before_change(t, (ct_u64)sc->ret, c.args[2]); /* fallthrough */
	case SYS_mmap:
	case SYS_munmap:
	case SYS_mprotect:
	case SYS_pkey_mprotect:
	case SYS_madvise: ct_mm_before_change(t, c.args[0], c.args[1]); break;
	}
	ret = c.nr == SYS_madvise ? ct_replica_advise(t, c.args[0], c.args[1], c.args[2])
				  : ct_replica_call(t, (long)c.nr, c.args[0], c.args[1], c.args[2], c.args[3],
						    c.args[4], c.args[5]);
	if (ret != c.ret)
		return ct_diverged(s, t, err, "call %d really made gives %ld, recorded was %lld", sc->nr, ret,
				   (long long)c.ret);
	/* The dynamic linker protects what it has relocated: now an interpreter's tables are filled. */
	return sc->nr == SYS_mprotect ? ct_agents_look(s->agents, t, true, err) : 0;
}

/* The one limit that the replica's own kernel enforces without a call: how far a stack grows when it is touched. */
static void limit_stack(struct ct_rthread *t, const struct ct_ev_syscall *sc)
{
	ct_u64 limit = 0;

	if (sc->nr == SYS_setrlimit && sc->args[0] == RLIMIT_STACK)
		limit = sc->args[1];
	else if (sc->nr == SYS_prlimit64 && sc->args[1] == RLIMIT_STACK &&
		 (!sc->args[0] || sc->args[0] == t->proc->pid))
		limit = sc->args[2];
	if (limit)
		ct_replica_call(t, SYS_prlimit64, 0, RLIMIT_STACK, limit, 0, 0, 0);
}

bool ct_renames(const struct ct_ev_syscall *sc)
{
	return sc->nr == SYS_prctl && (ct_u32)sc->args[0] == PR_SET_NAME && sc->ret == 0;
}

/* As long as the kernel keeps of it. */
static void rename_thread(struct ct_session *s, struct ct_rthread *t)
{
	struct ct_buf_iter it = ct_buf_iter(s->ev);

	while (ct_buf_next(&it))
		if (it.buf->kind == CT_BUF_IN) {
			memset(t->comm, 0, sizeof(t->comm));
			memcpy(t->comm, it.data,
			       strnlen((const char *)it.data,
				       it.buf->len < sizeof(t->comm) ? it.buf->len : sizeof(t->comm) - 1));
		}
}

int ct_emulate(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_syscall *sc, struct ct_error *err)
{
	const struct ct_syscall *row = ct_syscall(sc->nr);
	struct ct_regs r;

	if (row && row->rules.action == CT_ACT_EXECUTE && sc->ret >= 0 && execute(s, t, sc, err))
		return -1;
	if (sc->ret == 0)
		limit_stack(t, sc); /* before the old limit may be stored where the new one is */
	if (ct_apply_bufs(s, t, err) || ct_get_regs(t->real, &r))
		return -1;
	if (sc->nr == SYS_rseq && sc->ret == 0 && ct_rseq_called(s, t, sc))
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	t->at_entry = false;
	r.r[CT_RAX] = sc->ret;
	r.r[CT_RCX] = sc->ip;
	r.r[CT_R11] = sc->rflags;
	r.r[CT_RFLAGS] = sc->rflags;
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	if (sc->ret == 0 && sc->nr == SYS_arch_prctl) {
		if (sc->args[0] == 0x1002) /* ARCH_SET_FS */
			r.r[CT_FS_BASE] = sc->args[1];
		else if (sc->args[0] == 0x1001) /* ARCH_SET_GS */
			r.r[CT_GS_BASE] = sc->args[1];
	}
	if (ct_renames(sc))
		rename_thread(s, t);
	if (sc->nr == SYS_set_tid_address)
		t->clear_tid = sc->args[0];
	if (sc->nr == SYS_set_robust_list && sc->ret == 0)
		t->robust = sc->args[0];
	if (sc->nr == SYS_sigaltstack && sc->ret == 0)
		ct_replica_call(t, SYS_sigaltstack, sc->args[0], 0, 0, 0, 0, 0); /* rt_sigreturn looks at it */
	if (sc->ret <= -512 && sc->ret >= -516)
		t->restart = (ct_s32)sc->ret;
	return ct_set_regs(t->real, &r) ? ct_diverged(s, t, err, "registers cannot be set") : 0;
}

/* Arguments of clone and clone3 alike. */
struct clone_call {
	ct_u64 flags, stack, tls, child_tid, parent_tid;
};

static void read_clone(struct ct_rthread *t, const struct ct_regs *r, struct clone_call *c)
{
	ct_u64 a[8] = {
		0}; /* struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls */

	memset(c, 0, sizeof(*c));
	if (t->nr == SYS_clone) {
		c->flags = r->r[CT_RDI];
		c->stack = r->r[CT_RSI];
		c->child_tid = r->r[CT_R10];
		c->parent_tid = r->r[CT_RDX];
		c->tls = r->r[CT_R8];
	} else if (t->nr == 435) {
		ct_mem_read(t->proc->memfd, r->r[CT_RDI], a, sizeof(a));
		c->flags = a[0];
		c->child_tid = a[2];
		c->parent_tid = a[3];
		c->stack = a[5] ? a[5] + a[6] : 0;
		c->tls = a[7];
	} else if (t->nr == SYS_vfork) {
		c->flags = CLONE_VM | CLONE_VFORK;
	}
}

int ct_emulate_fork(struct ct_session *s, struct ct_rthread *t, const struct ct_ev_fork *f, struct ct_error *err)
{
	struct ct_rthread child = {
		.tid = f->child_tid, .live = true, .nr = CT_NR_NEW, .proc = t->proc, .ticks_known = true};
	unsigned char xsave[CT_XSAVE_MAX];
	struct clone_call c;
	struct ct_regs r;
	ssize_t xlen;

	if (ct_run_to_syscall(s, t, err) || ct_get_regs(t->real, &r))
		return -1;
	if (!(f->flags & CT_FORKF_FOLLOWED))
		return 0;
	memcpy(child.comm, t->comm, sizeof(child.comm));
	read_clone(t, &r, &c);
	xlen = ct_get_xsave(t->real, xsave);
	if (f->child_pid == t->proc->pid) {
		child.real = ct_replica_clone(t, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
							 CLONE_SYSVSEM);
	} else {
		struct ct_replica *p = calloc(1, sizeof(*p)), **more;

		more = realloc(s->procs, (s->nprocs + 1) * sizeof(*more));
		if (!p || !more)
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		s->procs = more;
		child.real = ct_replica_clone(t, c.flags & CLONE_VM);
		p->pid = f->child_pid;
		p->real = child.real;
		p->brk = t->proc->brk;
		p->vdso = t->proc->vdso;
		p->vdso_end = t->proc->vdso_end;
		p->inproc = t->proc->inproc;
		p->wipes = t->proc->wipes;
		p->mm = c.flags & CLONE_VM ? ct_mm_share(t->proc->mm) : ct_mm_fork(t->proc->mm);
		p->memfd = child.real > 0 ? ct_mem_open(child.real) : -1;
		child.proc = p;
		s->procs[s->nprocs++] = p;
		if (ct_rseq_forked(s, t->proc->pid, p->pid))
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		ct_agents_fork(t->proc, p, f->child_tid, c.flags & CLONE_VM);
	}
	if (child.real < 0)
		return ct_diverged(s, t, err, "thread %u cannot be made", f->child_tid);
	/* Stored before the child runs, and glibc's threads look at it; the parent's record comes when its call
	 * returns. */
	if ((c.flags & CLONE_PARENT_SETTID) && c.parent_tid)
		ct_mem_write(t->proc->memfd, c.parent_tid, &f->child_tid, sizeof(f->child_tid));
	r.r[CT_RAX] = 0;
	r.r[CT_RCX] = r.r[CT_RIP];
	r.r[CT_R11] = r.r[CT_RFLAGS];
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	if (c.stack)
		r.r[CT_RSP] = c.stack;
	if (c.flags & CLONE_SETTLS)
		r.r[CT_FS_BASE] = c.tls;
	if (c.flags & CLONE_CHILD_CLEARTID)
		child.clear_tid = c.child_tid;
	if (xlen > 0)
		ct_set_xsave(child.real, xsave, xlen);
	if (ct_set_regs(child.real, &r) || !ct_session_add(s, &child))
		return ct_diverged(s, t, err, "thread %u cannot be made", f->child_tid);
	return 0;
}
