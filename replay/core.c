// SPDX-License-Identifier: MIT
/* Writing a core file: notes as fs/binfmt_elf.c of the kernel writes them, then all memory that can be read. Pages of
 * zeroes become holes. */
#include "replay/core.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/user.h>
#include <unistd.h>

#include "formats/event_access.h"
#include "replay/kept.h"
#include "replay/tracee.h"

#define CHUNK  (1u << 20)
#define FXSAVE 512

struct notes {
	char *data;
	size_t len, room;
	bool failed;
};

struct core {
	struct ct_timeline *tl;
	struct ct_session *s;
	ct_u32 pid;
	int fd;
	struct ct_session_thread *threads; /* all processes' */
	size_t nthreads;
	ct_u32 first; /* the thread that a debugger shows first */
	siginfo_t si; /* si_signo 0: no signal */
	struct ct_maps maps;
	struct ct_kept_files paths;
	struct ct_snapshot_reader *snap;
	const struct ct_snap_proc *proc; /* NULL: it was made after the snapshot */
	struct notes notes;
};

/* ---- the crash ------------------------------------------------------------------------------------------------- */

/* Signals whose default is not to end the process. */
static bool harmless(int sig)
{
	return sig == SIGCHLD || sig == SIGCONT || sig == SIGURG || sig == SIGWINCH || sig == SIGSTOP ||
	       sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

static bool is_among(const ct_u32 *list, size_t n, ct_u32 pid)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == pid)
			return true;
	return false;
}

int ct_core_find_crash(struct ct_recording *rec, ct_u32 *pid, ct_u64 *seq, struct ct_error *err)
{
	struct ct_cursor *cur = ct_cursor_create(rec, err);
	ct_u32 found = 0, *dead = NULL;
	const struct ct_event *ev;
	size_t ndead = 0;

	if (!cur)
		return -1;
	/* What cannot be read is the replay's to complain of. */
	for (int got; (got = ct_cursor_next(cur, &ev, NULL)) != 0;) {
		const struct ct_ev_signal *sig = got > 0 ? ct_event_payload(ev) : NULL;

		ct_u32 *more;

		if (!sig || ev->type != CT_EV_SIGNAL || sig->handler || harmless(sig->sig) ||
		    (*pid && ev->pid != *pid) || is_among(dead, ndead, ev->pid))
			continue;
		/* The process's other threads get a SIGKILL then (get_signal() in kernel/signal.c). */
		more = realloc(dead, (ndead + 1) * sizeof(*dead));
		if (more) {
			dead = more;
			dead[ndead++] = ev->pid;
		}
		found = ev->pid;
		*seq = ev->seq;
	}
	free(dead);
	ct_cursor_destroy(cur);
	if (!found)
		return 0;
	*pid = found;
	return 1;
}

/* The signal that is about to be delivered at this moment, if one is. */
static void find_signal(struct core *c)
{
	struct ct_cursor *cur = ct_cursor_create(ct_timeline_recording(c->tl), NULL);
	const struct ct_event *ev;
	struct ct_moment now;

	if (cur && !ct_timeline_now(c->tl, &now, NULL) && !now.tid && !ct_cursor_seek_seq(cur, now.next - 1, NULL) &&
	    ct_cursor_next(cur, &ev, NULL) > 0 && ev->type == CT_EV_SIGNAL && ev->pid == c->pid) {
		const struct ct_ev_signal *sig = ct_event_payload(ev);

		c->si.si_signo = sig->sig;
		c->si.si_code = sig->code;
		if (sig->flags & CT_SIGF_SYNC)
			c->si.si_addr = (void *)(uintptr_t)sig->fault_addr;
		c->first = ev->tid;
	}
	ct_cursor_destroy(cur);
}

/* ---- notes ----------------------------------------------------------------------------------------------------- */

static void *add_room(struct notes *n, size_t len)
{
	if (n->len + len > n->room) {
		char *more = realloc(n->data, (n->len + len) * 2);

		n->failed |= !more;
		if (!more)
			return NULL;
		n->data = more;
		n->room = (n->len + len) * 2;
	}
	memset(n->data + n->len, 0, len);
	n->len += len;
	return n->data + n->len - len;
}

static void add_note(struct notes *n, unsigned type, const void *desc, size_t len)
{
	const char *name = type == NT_X86_XSTATE ? "LINUX" : "CORE";
	size_t name_len = strlen(name) + 1, name_room = (name_len + 3) & ~(size_t)3;
	Elf64_Nhdr *h = n->failed ? NULL : add_room(n, sizeof(*h) + name_room + ((len + 3) & ~(size_t)3));

	if (!h)
		return;
	h->n_namesz = name_len;
	h->n_descsz = len;
	h->n_type = type;
	memcpy(h + 1, name, name_len);
	memcpy((char *)(h + 1) + name_room, desc, len);
}

static int add_status(struct core *c, ct_u32 tid, struct ct_error *err)
{
	struct elf_prstatus st = {0};
	struct ct_regs regs;

	if (ct_session_regs(c->s, tid, &regs, err))
		return -1;
	st.pr_info.si_signo = st.pr_cursig = c->si.si_signo;
	st.pr_info.si_code = c->si.si_code;
	st.pr_pid = (pid_t)tid;
	st.pr_ppid = c->proc ? (pid_t)c->proc->ppid : 0;
	st.pr_pgrp = st.pr_sid = (pid_t)c->pid;
	/* struct user_regs_struct has the same order, and ds, es, fs, gs behind. */
	memcpy(st.pr_reg, regs.r, sizeof(regs.r));
	st.pr_fpvalid = 1;
	add_note(&c->notes, NT_PRSTATUS, &st, sizeof(st));
	return 0;
}

static int add_fpu(struct core *c, ct_u32 tid, struct ct_error *err)
{
	static __thread unsigned char xsave[CT_XSAVE_MAX];
	ssize_t len = ct_session_xsave(c->s, tid, xsave, err);

	if (len < 0)
		return -1;
	add_note(&c->notes, NT_FPREGSET, xsave, FXSAVE);
	add_note(&c->notes, NT_X86_XSTATE, xsave, (size_t)len);
	return 0;
}

static void add_psinfo(struct core *c)
{
	struct elf_prpsinfo ps = {.pr_sname = 'R', .pr_pid = (pid_t)c->pid};
	size_t len;

	if (c->proc) {
		ps.pr_ppid = (pid_t)c->proc->ppid;
		memcpy(ps.pr_fname, c->proc->comm, sizeof(ps.pr_fname));
		len = c->proc->arg_end - c->proc->arg_start;
		if (len >= sizeof(ps.pr_psargs))
			len = sizeof(ps.pr_psargs) - 1;
		if (ct_session_read(c->s, c->pid, c->proc->arg_start, ps.pr_psargs, len, NULL))
			len = 0;
		for (size_t i = 0; i < len; i++) /* the arguments' ends */
			if (!ps.pr_psargs[i])
				ps.pr_psargs[i] = ' ';
		ps.pr_psargs[len] = 0;
	}
	ps.pr_pgrp = ps.pr_sid = (pid_t)c->pid;
	add_note(&c->notes, NT_PRPSINFO, &ps, sizeof(ps));
}

/* The path that a mapping of the replay had in the recorded process; NULL: it is of no file. */
static const char *path_of(const struct core *c, const struct ct_map *m)
{
	const char *name = strrchr(m->name, '/');
	ct_u8 hash[16];

	if (!name || ct_hash_parse(name + 1, hash))
		return NULL;
	for (size_t i = 0; i < c->paths.n; i++)
		if (!memcmp(c->paths.list[i].hash, hash, 16) && c->paths.list[i].path[0] == '/')
			return c->paths.list[i].path;
	return NULL;
}

/* Count, page size, {start, end, offset in pages} each, then the names. */
static void add_files(struct core *c)
{
	struct notes n = {0};
	unsigned long *head = add_room(&n, 2 * sizeof(*head)), count = 0;

	for (size_t i = 0; i < c->maps.count && !n.failed; i++) {
		const struct ct_map *m = &c->maps.map[i];
		unsigned long *at = path_of(c, m) ? add_room(&n, 3 * sizeof(*at)) : NULL;

		if (!at)
			continue;
		at[0] = m->start;
		at[1] = m->end;
		at[2] = m->offset / CT_PAGE;
		count++;
	}
	for (size_t i = 0; i < c->maps.count && !n.failed; i++) {
		const char *path = path_of(c, &c->maps.map[i]);
		char *at = path ? add_room(&n, strlen(path) + 1) : NULL;

		if (at)
			memcpy(at, path, strlen(path) + 1);
	}
	c->notes.failed |= n.failed;
	if (!n.failed) {
		memcpy(n.data, &count, sizeof(count));
		memcpy(n.data + sizeof(count), &(unsigned long){CT_PAGE}, sizeof(count));
		add_note(&c->notes, NT_FILE, n.data, n.len);
	}
	free(n.data);
}

static int add_notes(struct core *c, struct ct_error *err)
{
	if (add_status(c, c->first, err))
		return -1;
	add_psinfo(c);
	if (c->si.si_signo)
		add_note(&c->notes, NT_SIGINFO, &c->si, sizeof(c->si));
	if (c->proc && c->proc->auxv_len)
		add_note(&c->notes, NT_AUXV, c->proc->auxv, c->proc->auxv_len);
	add_files(c);
	if (add_fpu(c, c->first, err))
		return -1;
	for (size_t i = 0; i < c->nthreads; i++) {
		const struct ct_session_thread *t = &c->threads[i];

		if (t->pid == c->pid && t->tid != c->first && (add_status(c, t->tid, err) || add_fpu(c, t->tid, err)))
			return -1;
	}
	return c->notes.failed ? ct_fail(err, CT_EXIT_FAILED, "out of memory") : 0;
}

/* ---- the file -------------------------------------------------------------------------------------------------- */

static bool is_stored(const struct ct_map *m)
{
	return m->prot && strcmp(m->name, "[vvar]") && strcmp(m->name, "[vvar_vclock]") &&
	       strcmp(m->name, "[vsyscall]");
}

static int put(struct core *c, const void *data, size_t len, ct_u64 at, struct ct_error *err)
{
	while (len) {
		ssize_t n = pwrite(c->fd, data, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ct_fail_errno(err, CT_EXIT_FAILED, "cannot write the core file");
		data = (const char *)data + n;
		at += (ct_u64)n;
		len -= (size_t)n;
	}
	return 0;
}

static int put_memory(struct core *c, const struct ct_map *m, ct_u64 at, struct ct_error *err)
{
	static const char zero[CT_PAGE];
	char *buf = malloc(CHUNK);
	int ret = buf ? 0 : ct_fail(err, CT_EXIT_FAILED, "out of memory");

	for (ct_u64 addr = m->start; addr < m->end && !ret; addr += CHUNK) {
		size_t len = m->end - addr < CHUNK ? m->end - addr : CHUNK;
		bool whole = !ct_session_read(c->s, c->pid, addr, buf, len, NULL);

		for (size_t k = 0; k < len && !ret; k += CT_PAGE) {
			/* Beyond the end of a file there is nothing to read. */
			if (!whole && ct_session_read(c->s, c->pid, addr + k, buf + k, CT_PAGE, NULL))
				continue;
			if (memcmp(buf + k, zero, CT_PAGE) != 0)
				ret = put(c, buf + k, CT_PAGE, at + (addr - m->start) + k, err);
		}
	}
	free(buf);
	return ret;
}

static int put_file(struct core *c, struct ct_error *err)
{
	size_t n = c->maps.count + 1;
	Elf64_Phdr *ph = calloc(n, sizeof(*ph));
	Elf64_Ehdr eh = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			 .e_type = ET_CORE,
			 .e_machine = EM_X86_64,
			 .e_version = EV_CURRENT,
			 .e_phoff = sizeof(eh),
			 .e_ehsize = sizeof(eh),
			 .e_phentsize = sizeof(*ph),
			 .e_phnum = (Elf64_Half)n};
	ct_u64 at = sizeof(eh) + n * sizeof(*ph);
	int ret = 0;

	if (!ph || n >= PN_XNUM) {
		free(ph);
		return ct_fail(err, CT_EXIT_FAILED, "process %u has too many mappings for a core file", c->pid);
	}
	ph[0] = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = at, .p_filesz = c->notes.len, .p_align = 4};
	ret = put(c, c->notes.data, c->notes.len, at, err);
	at += c->notes.len;
	for (size_t i = 0; i < c->maps.count && !ret; i++) {
		const struct ct_map *m = &c->maps.map[i];
		Elf64_Phdr *p = &ph[i + 1];

		at = (at + CT_PAGE - 1) & ~(ct_u64)(CT_PAGE - 1);
		*p = (Elf64_Phdr){.p_type = PT_LOAD,
				  .p_flags = (m->prot & 1 ? PF_R : 0) | (m->prot & 2 ? PF_W : 0) |
					     (m->prot & 4 ? PF_X : 0),
				  .p_offset = at,
				  .p_vaddr = m->start,
				  .p_memsz = m->end - m->start,
				  .p_align = CT_PAGE};
		if (!is_stored(m))
			continue;
		p->p_filesz = p->p_memsz;
		ret = put_memory(c, m, at, err);
		at += p->p_filesz;
	}
	if (!ret && (put(c, &eh, sizeof(eh), 0, err) || put(c, ph, n * sizeof(*ph), sizeof(eh), err)))
		ret = -1;
	if (!ret && ftruncate(c->fd, (off_t)at))
		ret = ct_fail_errno(err, CT_EXIT_FAILED, "cannot write the core file");
	free(ph);
	return ret;
}

static void find_process(struct core *c)
{
	const ct_u32 id = ct_timeline_snapshot(c->tl);
	const struct ct_snapshot *snap;

	ct_kept_in_snapshot(&c->paths, ct_timeline_recording(c->tl), id);
	ct_kept_append(&c->paths, ct_timeline_kept(c->tl));
	c->snap = ct_snapshot_open(ct_recording_dirfd(ct_timeline_recording(c->tl)), id, NULL);
	snap = c->snap ? ct_snapshot_get(c->snap) : NULL;
	for (ct_u32 i = 0; snap && i < snap->nprocs; i++)
		if (snap->procs[i].pid == c->pid)
			c->proc = &snap->procs[i];
	/* A forked child has its parent's auxiliary vector and names. */
	if (snap && !c->proc && snap->nprocs)
		c->proc = &snap->procs[0];
}

int ct_core_write(struct ct_timeline *tl, int fd, struct ct_error *err)
{
	struct core c = {.tl = tl, .s = ct_timeline_session(tl), .pid = ct_timeline_pid(tl), .fd = fd};
	int ret = -1;

	if (ct_session_threads(c.s, &c.threads, &c.nthreads, err))
		return -1;
	for (size_t i = 0; i < c.nthreads; i++)
		if (c.threads[i].pid == c.pid && (!c.first || c.threads[i].current))
			c.first = c.threads[i].tid;
	if (!c.first) {
		ct_fail(err, CT_EXIT_FAILED, "process %u does not live at this position", c.pid);
	} else if (!ct_session_maps(c.s, c.pid, &c.maps, err)) {
		find_signal(&c);
		find_process(&c);
		ret = add_notes(&c, err) || put_file(&c, err) ? -1 : 0;
		ct_maps_deinit(&c.maps);
		ct_kept_free(&c.paths);
		ct_snapshot_reader_close(c.snap);
	}
	free(c.notes.data);
	free(c.threads);
	return ret;
}
