// SPDX-License-Identifier: MIT
/* The proof: at the next snapshot, replica and recorded process are compared: threads, registers, FPU state, mappings,
 * the pages that were kept, and those that were not because they should be zero or as in their file. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "replay/inproc.h"
#include "replay/session_priv.h"

#define MOST_LINES 20
/* CF PF AF ZF SF DF OF, AC, ID: what user code sets. RF, TF and IF are the kernel's and the tracer's. */
#define USER_FLAGS 0x240cd5ull

const char *const ct_compare_masks[] = {
	"[vvar], [vsyscall], [uprobes]: the kernel's own pages, other at every moment",
	"the recorder's page at 0x7fffffffe000 or 0x20000 in the process and the replay's below 0x200000 and where it "
	"has moved code to: "
	"not the "
	"program's",
	"how far a stack's mapping reaches down below what was used: the kernel grows it by what it touches itself",
	"whether a file is mapped shared or private where nothing can be written through it: kept files are mapped "
	"privately",
	"registers orig_rax, cs, ss, ds, es, fs, gs (the bases of fs and gs are compared), and of rflags what user "
	"code "
	"cannot set: the kernel's",
	"the x87 unit's last instruction and operand address (bytes 8 to 23 of the XSAVE image), and its bytes 464 to "
	"511, "
	"which are the kernel's",
	"state inside of the kernel: descriptors, signal handlers and masks, timers, credentials; what programs learn "
	"of it "
	"are results of system calls, and these come from the log",
	"where a program that has registered rseq while it was recorded has its NUMA node and concurrency number: the "
	"kernel "
	"writes them when it likes",
	"processes and threads that have ended: what they did is compared call by call",
	NULL};

struct comparison {
	struct ct_session *s;
	FILE *report;
	struct ct_comparison n;
};

static void differs(struct comparison *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void differs(struct comparison *c, const char *fmt, ...)
{
	va_list args;

	if (c->n.differences++ >= MOST_LINES || !c->report)
		return;
	va_start(args, fmt);
	vfprintf(c->report, fmt, args);
	va_end(args);
	fputc('\n', c->report);
}

/* ---- pages -------------------------------------------------------------------------------------------------- */

static const char *map_name(const struct ct_snap_proc *proc, ct_u64 addr)
{
	for (ct_u32 i = 0; i < proc->nmaps; i++)
		if (addr >= proc->maps[i].start && addr < proc->maps[i].end)
			return *proc->maps[i].name ? proc->maps[i].name : "anonymous memory";
	return "no mapping";
}

static bool is_shared(const struct ct_snap_proc *proc, ct_u64 addr)
{
	for (ct_u32 i = 0; i < proc->nmaps; i++)
		if (addr >= proc->maps[i].start && addr < proc->maps[i].end)
			return proc->maps[i].flags & CT_MAPF_SHARED;
	return false;
}

static void compare_page(struct comparison *c, const struct ct_snap_proc *proc, ct_u64 addr, unsigned char *have,
			 unsigned char *want)
{
	unsigned bytes = 0, first = CT_PAGE;
	ct_u64 h, w;

	if (memcmp(have, want, CT_PAGE))
		ct_rseq_hide(c->s, proc->pid, addr, have, want, CT_PAGE);
	if (!memcmp(have, want, CT_PAGE))
		return;
	for (unsigned i = 0; i < CT_PAGE; i++)
		if (have[i] != want[i]) {
			bytes++;
			if (first == CT_PAGE)
				first = i & ~7u;
		}
	memcpy(&h, have + first, 8);
	memcpy(&w, want + first, 8);
	differs(c, "page %#llx of process %u (%s): %u bytes differ, first at %#llx: replayed %016llx, recorded %016llx",
		(unsigned long long)addr, proc->pid, map_name(proc, addr), bytes, (unsigned long long)(addr + first),
		(unsigned long long)h, (unsigned long long)w);
}

static int compare_kept(struct comparison *c, struct ct_replica *p, struct ct_snapshot_reader *snap, ct_u32 index,
			struct ct_error *err)
{
	const struct ct_snap_proc *proc = &ct_snapshot_get(snap)->procs[index];
	size_t count;
	const struct ct_snap_page *pages = ct_snapshot_pages(snap, index, &count);
	static const unsigned char zeroes[CT_PAGE];
	unsigned char want[CT_PAGE], have[CT_PAGE];

	for (size_t i = 0; i < count; i++) {
		if (ct_snapshot_read_page(snap, index, i, want, err))
			return -1;
		c->n.pages++;
		if (ct_replica_read(p, pages[i].addr, have, CT_PAGE))
			compare_page(c, proc, pages[i].addr, have, want);
		else if (memcmp(want, zeroes, CT_PAGE) || !is_shared(proc, pages[i].addr)) /* beyond the file's end */
			differs(c, "page %#llx of process %u (%s): not there in the replay",
				(unsigned long long)pages[i].addr, proc->pid, map_name(proc, pages[i].addr));
	}
	return 0;
}

/* Present or swapped out, and neither page cache nor shared memory (Documentation/admin-guide/mm/pagemap.rst). */
static bool is_own(ct_u64 entry)
{
	return entry >> 62 & 1 || (entry >> 63 && !(entry >> 61 & 1));
}

struct extra {
	struct comparison *c;
	struct ct_replica *p;
	const struct ct_snap_proc *proc;
	const struct ct_snap_page *pages; /* kept ones, which have been compared */
	size_t count, next;
	int pagemap;
};

/* Pages of [start, end) that the replica has of its own although the snapshot keeps none there. */
static int compare_extra(struct extra *x, const struct ct_snap_map *m, ct_u64 start, ct_u64 end, struct ct_error *err)
{
	unsigned char want[CT_PAGE], have[CT_PAGE];
	int fd = -1, ret = 0;
	ct_u64 entry[512];

	if (m->flags & CT_MAPF_ANON_SHARED)
		return 0; /* all of its pages are kept */
	if ((m->flags & CT_MAPF_FILE) && (fd = ct_file_open(x->c->s->files.dirfd, m->hash, false, err)) < 0)
		return -1;
	for (ct_u64 at = start; at < end && !ret; at += sizeof(entry) / 8 * CT_PAGE) {
		size_t n = (end - at) / CT_PAGE < sizeof(entry) / 8 ? (end - at) / CT_PAGE : sizeof(entry) / 8;

		if (pread(x->pagemap, entry, n * 8, (off_t)(at / CT_PAGE * 8)) != (ssize_t)(n * 8)) {
			ret = ct_fail_errno(err, CT_EXIT_FAILED, "cannot read the replica's pagemap");
			break;
		}
		for (size_t i = 0; i < n; i++) {
			ct_u64 addr = at + i * CT_PAGE;

			while (x->next < x->count && x->pages[x->next].addr < addr)
				x->next++;
			if (!is_own(entry[i]) || (x->next < x->count && x->pages[x->next].addr == addr) ||
			    !ct_replica_read(x->p, addr, have, CT_PAGE))
				continue;
			memset(want, 0, CT_PAGE);
			if (fd >= 0 && pread(fd, want, CT_PAGE, (off_t)(addr - m->start + m->offset)) < 0) {
				ret = ct_fail_errno(err, CT_EXIT_FAILED, "cannot read the kept content of %s", m->name);
				break;
			}
			x->c->n.extra_pages++;
			compare_page(x->c, x->proc, addr, have, want);
		}
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

/* ---- mappings ----------------------------------------------------------------------------------------------- */

static const char *prot_text(ct_u32 prot, char out[4])
{
	out[0] = prot & PROT_READ ? 'r' : '-';
	out[1] = prot & PROT_WRITE ? 'w' : '-';
	out[2] = prot & PROT_EXEC ? 'x' : '-';
	out[3] = 0;
	return out;
}

/* The file itself, or the replay's copy of it if it has been mapped shared. */
static bool is_kept_file(const struct ct_map *h, const ct_u8 hash[16])
{
	size_t len = strlen(h->name);
	char want[33];

	if (!strncmp(h->name, "/memfd:" CT_SHARED_NAME, strlen("/memfd:" CT_SHARED_NAME)))
		return true;
	ct_hash_format(hash, want);
	return len > 32 && !strcmp(h->name + len - 32, want);
}

/* Both have something there. */
static void compare_range(struct comparison *c, ct_u32 pid, const struct ct_map *h, const struct ct_snap_map *w,
			  ct_u64 start, ct_u64 end)
{
	const unsigned long long from = start, to = end;
	char a[4], b[4];

	if (h->prot != w->prot)
		differs(c, "mapping %#llx-%#llx of process %u (%s): replayed %s, recorded %s", from, to, pid, w->name,
			prot_text(h->prot, a), prot_text(w->prot, b));
	if ((w->flags & CT_MAPF_FILE) &&
	    (!is_kept_file(h, w->hash) || start - h->start + h->offset != start - w->start + w->offset))
		differs(c, "mapping %#llx-%#llx of process %u: replayed %s from %#llx, recorded %s from %#llx", from,
			to, pid, *h->name ? h->name : "anonymous memory",
			(unsigned long long)(start - h->start + h->offset), w->name,
			(unsigned long long)(start - w->start + w->offset));
	else if (!(w->flags & (CT_MAPF_FILE | CT_MAPF_ANON_SHARED)) && h->shared)
		differs(c, "mapping %#llx-%#llx of process %u (%s): replayed shared, recorded private", from, to, pid,
			w->name);
}

/* Mappings without those that are compared by nobody, in place. */
static void drop_own_maps(struct ct_maps *maps, const struct ct_replica *p)
{
	size_t n = 0;

	for (size_t i = 0; i < maps->count; i++)
		if (!ct_mm_is_ours(p->mm, maps->map[i].start) && strcmp(maps->map[i].name, "[vsyscall]") &&
		    !ct_agents_map(p, maps->map[i].start))
			maps->map[n++] = maps->map[i];
	maps->count = n;
}

/* One way through both lists, split wherever either begins or ends: the kernel merges and splits as it likes. */
static int compare_maps(struct extra *x, const struct ct_maps *have, struct ct_error *err)
{
	const struct ct_snap_proc *proc = x->proc;
	ct_u64 at = 0;
	size_t i = 0;
	ct_u32 k = 0;

	for (;;) {
		const struct ct_map *h;
		const struct ct_snap_map *w;
		bool in_h, in_w;
		ct_u64 next = UINT64_MAX;

		while (i < have->count && have->map[i].end <= at)
			i++;
		while (k < proc->nmaps && (proc->maps[k].end <= at || (proc->maps[k].flags & CT_MAPF_SPECIAL)))
			k++;
		h = i < have->count ? &have->map[i] : NULL;
		w = k < proc->nmaps ? &proc->maps[k] : NULL;
		if (!h && !w)
			return 0;
		in_h = h && h->start <= at;
		in_w = w && w->start <= at;
		if (h)
			next = in_h ? h->end : h->start;
		if (w && (in_w ? w->end : w->start) < next)
			next = in_w ? w->end : w->start;
		if (in_h && in_w) {
			x->c->n.maps++;
			compare_range(x->c, proc->pid, h, w, at, next);
			if (compare_extra(x, w, at, next, err))
				return -1;
		} else if (in_h && !(w && w->start == next && (w->flags & CT_MAPF_GROWSDOWN))) {
			differs(x->c, "mapping %#llx-%#llx of process %u (%s): only in the replay",
				(unsigned long long)at, (unsigned long long)next, proc->pid,
				*h->name ? h->name : "anonymous memory");
		} else if (in_w && !(h && h->start == next && (w->flags & CT_MAPF_GROWSDOWN))) {
			differs(x->c, "mapping %#llx-%#llx of process %u (%s): missing in the replay",
				(unsigned long long)at, (unsigned long long)next, proc->pid,
				*w->name ? w->name : "anonymous memory");
		}
		at = next;
	}
}

/* ---- threads ------------------------------------------------------------------------------------------------ */

static void compare_regs(struct comparison *c, ct_u32 tid, const struct ct_regs *have, const struct ct_regs *want)
{
	static const char *const name[CT_NREGS] = {
		"r15", "r14", "r13", "r12",      "rbp", "rbx", "r11",    "r10", "r9", "r8",      "rax",    "rcx",
		"rdx", "rsi", "rdi", "orig_rax", "rip", "cs",  "rflags", "rsp", "ss", "fs_base", "gs_base"};

	for (int i = 0; i < CT_NREGS; i++) {
		ct_u64 x = have->r[i] ^ want->r[i];

		if (i == CT_ORIG_RAX || i == CT_CS || i == CT_SS || !(i == CT_RFLAGS ? x & USER_FLAGS : x))
			continue;
		differs(c, "register %s of thread %u: replayed %#llx, recorded %#llx", name[i], tid,
			(unsigned long long)have->r[i], (unsigned long long)want->r[i]);
	}
}

static void compare_xsave(struct comparison *c, struct ct_rthread *t, const struct ct_snap_thread *want)
{
	unsigned char have[CT_XSAVE_MAX];
	ssize_t len = ct_get_xsave(t->real, have);

	if (len < 0 || (size_t)len != want->xsave_len) {
		differs(c, "FPU state of thread %u: %zd bytes here, %u where it was recorded", want->tid, len,
			want->xsave_len);
		return;
	}
	/* Without the FPU's instruction pointers and software bytes of the legacy area, and without XSTATE_BV: ptrace
	 * shows a component that is not in use with its initial values, so contents say it all, and whether one that
	 * holds them counts as in use is up to the CPU and the hypervisor (seen: both, for vector registers that are
	 * zero). */
	for (ssize_t i = 0; i < len; i++) {
		if ((i >= 8 && i < 24) || (i >= 464 && i < 520) || have[i] == want->xsave[i])
			continue;
		differs(c, "FPU state of thread %u (byte %zd of its XSAVE image): replayed %#x, recorded %#x",
			want->tid, i, have[i], want->xsave[i]);
		break; /* one line a thread */
	}
}

/* Where it was stopped in user code, the snapshot's memory tells which pass of a loop that was. Only for the thread
 * that ran last: that memory is of its moment. The others stand where their last records put them. */
static int run_to_stop(struct comparison *c, struct ct_rthread *t, struct ct_snapshot_reader *snap, ct_u32 index,
		       const struct ct_snap_thread *want, struct ct_error *err)
{
	struct ct_fingerprint *fp = NULL;
	int ret;

	if (want->tid == ct_snapshot_get(snap)->current_tid) {
		fp = ct_stop_fingerprint(snap, index, &want->regs, t->proc->memfd);
		if (!fp)
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	}
	ret = fp ? ct_run_to_pass(c->s, t, &want->regs, fp, err) : ct_run_to(c->s, t, &want->regs, fp, err);
	free(fp);
	return ret;
}

static int compare_thread(struct comparison *c, struct ct_snapshot_reader *snap, ct_u32 index,
			  const struct ct_snap_thread *want, struct ct_error *err)
{
	struct ct_rthread *t = ct_session_thread(c->s, want->tid);
	struct ct_regs have;

	if (!t) {
		differs(c, "thread %u: has ended in the replay", want->tid);
		return 0;
	}
	if (want->in_syscall < 0 && (long)want->regs.r[CT_ORIG_RAX] < 0) {
		int ret;

		c->s->sought = &want->regs;
		ret = run_to_stop(c, t, snap, index, want, err);
		c->s->sought = NULL;
		if (ret)
			return -1;
	}
	if (ct_get_regs(t->real, &have))
		return ct_diverged(c->s, t, err, "%s", ct_replica_lost());
	ct_agents_original(t->proc, &have);
	c->n.threads++;
	compare_regs(c, want->tid, &have, &want->regs);
	compare_xsave(c, t, want);
	return 0;
}

/* Who lives in the replay must live in the snapshot. */
static void find_survivors(struct comparison *c, const struct ct_snapshot *want)
{
	for (size_t i = 0; i < c->s->nthreads; i++) {
		const struct ct_rthread *t = c->s->threads[i];
		bool found = !t->live || t->proc->gone;

		for (ct_u32 p = 0; p < want->nprocs && !found; p++)
			for (ct_u32 k = 0; k < want->procs[p].nthreads && !found; k++)
				found = want->procs[p].threads[k].tid == t->tid;
		if (!found)
			differs(c, "thread %u: lives on in the replay", t->tid);
	}
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

static int compare_process(struct comparison *c, struct ct_snapshot_reader *snap, ct_u32 index, struct ct_error *err)
{
	const struct ct_snap_proc *proc = &ct_snapshot_get(snap)->procs[index];
	struct extra x = {.c = c, .proc = proc};
	struct ct_maps maps;
	char path[64];
	int ret;

	for (size_t k = 0; k < c->s->nprocs; k++)
		if (c->s->procs[k]->pid == proc->pid && !c->s->procs[k]->gone)
			x.p = c->s->procs[k];
	if (!x.p) {
		differs(c, "process %u: has ended in the replay", proc->pid);
		return 0;
	}
	c->n.processes++;
	if (compare_kept(c, x.p, snap, index, err) || ct_maps_read(x.p->real, &maps, err))
		return -1;
	drop_own_maps(&maps, x.p);
	x.pages = ct_snapshot_pages(snap, index, &x.count);
	snprintf(path, sizeof(path), "/proc/%d/pagemap", x.p->real);
	x.pagemap = open(path, O_RDONLY | O_CLOEXEC);
	ret = x.pagemap < 0 ? ct_fail_errno(err, CT_EXIT_FAILED, "cannot open the replica's pagemap")
			    : compare_maps(&x, &maps, err);
	if (x.pagemap >= 0)
		close(x.pagemap);
	ct_maps_deinit(&maps);
	return ret;
}

int ct_session_compare(struct ct_session *s, ct_u32 id, FILE *report, struct ct_comparison *result,
		       struct ct_error *err)
{
	struct ct_snapshot_reader *snap = ct_snapshot_open(s->files.dirfd, id, err);
	struct comparison c = {.s = s, .report = report};
	const struct ct_snapshot *want;
	int ret = 0;

	if (!snap)
		return -1;
	want = ct_snapshot_get(snap);
	ct_session_bury(s);
	/* The one that ran last goes last: the others stand where the log has left them. All of them before any page: a
	 * process may share memory with another. */
	for (int last = 0; last < 2; last++)
		for (ct_u32 i = 0; i < want->nprocs; i++)
			for (ct_u32 k = 0; k < want->procs[i].nthreads && !ret; k++)
				if ((want->procs[i].threads[k].tid == want->current_tid) == last)
					ret = compare_thread(&c, snap, i, &want->procs[i].threads[k], err);
	if (!ret)
		find_survivors(&c, want);
	for (ct_u32 i = 0; i < want->nprocs && !ret; i++)
		ret = compare_process(&c, snap, i, err);
	ct_snapshot_reader_close(snap);
	if (!ret && report && c.n.differences > MOST_LINES)
		fprintf(report, "... %llu differences in all\n", (unsigned long long)c.n.differences);
	if (result)
		*result = c.n;
	return ret ? -1 : c.n.differences ? 1 : 0;
}
