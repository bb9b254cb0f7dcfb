// SPDX-License-Identifier: MIT
/* The proof: at the next snapshot, replica and recorded process are compared, page by page and register by register. */
#include <stdlib.h>
#include <string.h>

#include "replay/session_priv.h"

#define MOST_LINES 20

struct comparison {
	struct ct_session *s;
	FILE *report;
	ct_u64 differences;
};

static void differs(struct comparison *c, const char *what, ct_u64 where, ct_u64 have, ct_u64 want)
{
	if (c->differences++ < MOST_LINES && c->report)
		fprintf(c->report, "  %s %#llx: replayed %#llx, recorded %#llx\n", what, (unsigned long long)where,
			(unsigned long long)have, (unsigned long long)want);
}

static int compare_pages(struct comparison *c, struct ct_replica *p, struct ct_snapshot_reader *snap, ct_u32 index,
			 ct_u64 *pages_seen, struct ct_error *err)
{
	size_t count;
	const struct ct_snap_page *pages = ct_snapshot_pages(snap, index, &count);
	unsigned char want[CT_PAGE], have[CT_PAGE];

	for (size_t i = 0; i < count; i++) {
		memset(want, 0, sizeof(want));
		if (!(pages[i].flags & CT_PAGEF_ZERO) && ct_snapshot_read_page(snap, index, i, want, err))
			return -1;
		(*pages_seen)++;
		if (!ct_mem_read(p->memfd, pages[i].addr, have, CT_PAGE)) {
			differs(c, "unreadable page", pages[i].addr, 0, 0);
			continue;
		}
		for (int k = 0; k < (int)CT_PAGE && memcmp(want, have, CT_PAGE); k += 8)
			if (memcmp(want + k, have + k, 8)) {
				ct_u64 h, w;

				memcpy(&h, have + k, 8);
				memcpy(&w, want + k, 8);
				differs(c, "memory at", pages[i].addr + k, h, w);
				break; /* one line a page */
			}
	}
	return 0;
}

static int compare_thread(struct comparison *c, const struct ct_snap_thread *want, struct ct_error *err)
{
	struct ct_rthread *t = ct_session_thread(c->s, want->tid);
	unsigned char xsave[CT_XSAVE_MAX];
	struct ct_regs have;
	ssize_t xlen;

	if (!t) {
		differs(c, "missing thread", want->tid, 0, 0);
		return 0;
	}
	if (want->in_syscall < 0 && (long)want->regs.r[CT_ORIG_RAX] < 0 && ct_run_to(c->s, t, &want->regs, NULL, err))
		return -1;
	if (ct_get_regs(t->real, &have))
		return ct_diverged(c->s, t, err, "the replica died");
	for (int i = 0; i < CT_NREGS; i++) {
		if (i == CT_ORIG_RAX || i == CT_CS || i == CT_SS || i == CT_RFLAGS)
			continue;
		if (have.r[i] != want->regs.r[i])
			differs(c, "register number", i, have.r[i], want->regs.r[i]);
	}
	xlen = ct_get_xsave(t->real, xsave);
	if (xlen > 0 && (size_t)xlen == want->xsave_len) {
		/* Legacy area without the FPU's instruction pointers and software bytes; XINUSE; the rest as it is. */
		if (memcmp(xsave, want->xsave, 8) || memcmp(xsave + 24, want->xsave + 24, 464 - 24) ||
		    memcmp(xsave + 512, want->xsave + 512, xlen - 512))
			differs(c, "FPU state of thread", want->tid, 0, 0);
	}
	return 0;
}

int ct_session_compare(struct ct_session *s, ct_u32 id, FILE *report, struct ct_error *err)
{
	struct ct_snapshot_reader *snap = ct_snapshot_open(s->files.dirfd, id, err);
	struct comparison c = {.s = s, .report = report};
	const struct ct_snapshot *want;
	ct_u64 pages = 0;
	ct_u32 want_procs;
	int ret = 0;

	if (!snap)
		return -1;
	want = ct_snapshot_get(snap);
	want_procs = want->nprocs;
	for (ct_u32 i = 0; i < want->nprocs && !ret; i++) {
		const struct ct_snap_proc *proc = &want->procs[i];
		struct ct_replica *p = NULL;

		/* The one that ran last goes last: the others stand where the log has left them. */
		for (int last = 0; last < 2 && !ret; last++)
			for (ct_u32 k = 0; k < proc->nthreads && !ret; k++)
				if ((proc->threads[k].tid == want->current_tid) == last)
					ret = compare_thread(&c, &proc->threads[k], err);
		for (size_t k = 0; k < s->nprocs; k++)
			if (s->procs[k]->pid == proc->pid && !s->procs[k]->gone)
				p = s->procs[k];
		if (!p)
			differs(&c, "missing process", proc->pid, 0, 0);
		else if (!ret)
			ret = compare_pages(&c, p, snap, i, &pages, err);
	}
	ct_snapshot_reader_close(snap);
	if (!ret && report && c.differences > MOST_LINES)
		fprintf(report, "  ... %llu differences in all\n", (unsigned long long)c.differences);
	if (!ret && report && !c.differences && !want_procs)
		fprintf(report,
			"  every process had ended: its system calls and what it passed to them were compared\n");
	else if (!ret && report && !c.differences)
		fprintf(report, "  %llu pages, registers and FPU state identical\n", (unsigned long long)pages);
	return ret ? -1 : c.differences ? 1 : 0;
}
