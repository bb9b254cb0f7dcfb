// SPDX-License-Identifier: MIT
/* The fingerprint of a thread that a snapshot found in user code: nobody took one when it was stopped, but the snapshot
 * has all of its memory. Samples the same places as bpf/fingerprint.bpf.c does. */
#include <stdlib.h>
#include <string.h>

#include "replay/inproc.h"
#include "replay/session_priv.h"

#define BEFORE 72  /* bytes of code looked at before rip ... */
#define CODE   144 /* ... and in all */

struct memory {
	struct ct_snapshot_reader *snap;
	ct_u32 index;
	const struct ct_snap_page *pages;
	size_t count;
	size_t have;                   /* page in `page`, count: none */
	const struct ct_replica *live; /* its memory instead, if not NULL */
	unsigned char page[CT_PAGE];
};

/* False if the snapshot does not have all of it: pages of files that nobody changed are not in it. */
static bool read_memory(struct memory *m, ct_u64 addr, void *buf, size_t len)
{
	if (m->live) /* our own memory is other in each replay */
		return !ct_mm_touches(m->live->mm, addr, len) && ct_replica_read(m->live, addr, buf, len);
	while (len) {
		size_t lo = 0, hi = m->count, n = CT_PAGE - addr % CT_PAGE;
		struct ct_error ignored;

		if (n > len)
			n = len;
		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;

			if (m->pages[mid].addr <= addr)
				lo = mid + 1;
			else
				hi = mid;
		}
		if (!lo || addr - m->pages[lo - 1].addr >= CT_PAGE)
			return false;
		if (m->have != lo - 1) {
			memset(m->page, 0, sizeof(m->page));
			m->have = m->count;
			if (!(m->pages[lo - 1].flags & CT_PAGEF_ZERO) &&
			    ct_snapshot_read_page(m->snap, m->index, lo - 1, m->page, &ignored))
				return false;
			m->have = lo - 1;
		}
		memcpy(buf, m->page + addr % CT_PAGE, n);
		buf = (char *)buf + n;
		addr += n;
		len -= n;
	}
	return true;
}

/* The memory operand that the ModRM byte code[i] would have, 0: none, or nothing to sample. */
static ct_u64 operand(const unsigned char *code, int i, const struct ct_regs *regs)
{
	const unsigned mod = code[i] >> 6, rm = code[i] & 7, rex = (code[i - 2] & 0xf0) == 0x40 ? code[i - 2] : 0;
	const int disp_at = i + 1 + (rm == 4);
	ct_s32 disp32;
	ct_s64 disp;
	ct_u64 addr;

	memcpy(&disp32, code + disp_at, 4);
	disp = mod == 1 ? (signed char)code[disp_at] : mod == 2 ? disp32 : 0;
	if (mod == 3 || (mod == 0 && rm != 4 && rm != 5))
		return 0;
	if (mod == 0 && rm == 5)
		return regs->r[CT_RIP] - BEFORE + i + 5 + disp32;
	if (rm != 4)
		return regs->r[ct_reg_index(rm | (rex & 1) << 3)] + disp;
	if (mod == 0 && (code[i + 1] & 7) == 5)
		return 0;
	addr = regs->r[ct_reg_index((code[i + 1] & 7) | (rex & 1) << 3)] + disp;
	if ((code[i + 1] & 0x38) != 0x20 || (rex & 2))
		addr += regs->r[ct_reg_index((code[i + 1] >> 3 & 7) | (rex & 2) << 2)] << (code[i + 1] >> 6);
	return addr;
}

static void harvest(struct ct_fingerprint *fp, struct memory *m, const struct ct_regs *regs, int memfd)
{
	const ct_u64 from = regs->r[CT_RIP] - BEFORE;
	const size_t left = CT_PAGE - from % CT_PAGE, first = left < CODE ? left : CODE;
	unsigned char code[CODE + 8] = {0};

	/* Either page may not be there; zeros are no operands. */
	ct_mem_read(memfd, from, code, first);
	ct_mem_read(memfd, from + first, code + first, CODE - first);
	for (int k = 0; k < 2 * BEFORE - 8 && fp->noperands < CT_FP_HARVEST; k++) { /* nearest to rip first */
		const int i = k & 1 ? BEFORE + (k + 1) / 2 : BEFORE - k / 2;
		struct ct_fp_operand *op = &fp->operand[fp->noperands];

		if (i < 2 || i >= CODE - 6)
			continue;
		op->addr = operand(code, i, regs) & ~7ull;
		if (op->addr && read_memory(m, op->addr, op->data, sizeof(op->data)))
			fp->noperands++;
	}
}

static void take(struct ct_fingerprint *fp, struct memory *m, const struct ct_regs *regs, int memfd)
{
	if (read_memory(m, regs->r[CT_RSP] - 128, fp->stack, CT_FP_STACK))
		fp->mask |= 1;
	for (int k = 0; k < CT_FP_GPRS; k++)
		if (read_memory(m, regs->r[k < 10 ? k : k + 1] & ~7ull, fp->gpr[k], CT_FP_GPR))
			fp->mask |= 2u << k;
	harvest(fp, m, regs, memfd);
}

void ct_live_fingerprint(const struct ct_replica *p, const struct ct_regs *regs, struct ct_fingerprint *fp)
{
	struct memory m = {.live = p};

	memset(fp, 0, sizeof(*fp));
	take(fp, &m, regs, p->memfd);
}

bool ct_same_fingerprint(const struct ct_fingerprint *a, const struct ct_fingerprint *b)
{
	if ((a->mask & b->mask & 1) && memcmp(a->stack, b->stack, CT_FP_STACK))
		return false;
	for (int k = 0; k < CT_FP_GPRS; k++)
		if ((a->mask & b->mask) >> (k + 1) & 1 && memcmp(a->gpr[k], b->gpr[k], CT_FP_GPR))
			return false;
	for (ct_u32 i = 0; i < a->noperands; i++)
		for (ct_u32 k = 0; k < b->noperands; k++)
			if (a->operand[i].addr == b->operand[k].addr &&
			    memcmp(a->operand[i].data, b->operand[k].data, sizeof(a->operand[i].data)))
				return false;
	return true;
}

struct ct_fingerprint *ct_stop_fingerprint(struct ct_snapshot_reader *snap, ct_u32 index, const struct ct_regs *regs,
					   int memfd)
{
	struct ct_fingerprint *fp = calloc(1, sizeof(*fp));
	struct memory *m = calloc(1, sizeof(*m));

	if (fp && m) {
		m->snap = snap;
		m->index = index;
		m->pages = ct_snapshot_pages(snap, index, &m->count);
		m->have = m->count;
		take(fp, m, regs, memfd);
	}
	free(m);
	return fp;
}
