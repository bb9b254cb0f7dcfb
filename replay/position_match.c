// SPDX-License-Identifier: MIT
/* Whether a thread is at a recorded position: by its registers, its ticks if they are counted, and what its fingerprint
 * says of memory. */
#include <string.h>
#include <sys/mman.h>

#include "replay/clock.h"
#include "replay/position.h"

bool ct_same_position(const struct ct_regs *a, const struct ct_regs *b)
{
	for (int i = 0; i < CT_ORIG_RAX; i++)
		if (a->r[i] != b->r[i])
			return false;
	return a->r[CT_RIP] == b->r[CT_RIP] && a->r[CT_RSP] == b->r[CT_RSP] &&
	       !((a->r[CT_RFLAGS] ^ b->r[CT_RFLAGS]) & CT_USER_FLAGS);
}

bool ct_search_same_regs(const struct ct_search *q, const struct ct_regs *r)
{
	struct ct_regs known = *r;

	for (int i = 0; i < CT_NREGS && q->unknown; i++)
		if (q->unknown >> i & 1)
			known.r[i] = q->regs->r[i];
	return ct_same_position(&known, q->regs);
}

/* Code was sampled with the recorder's breakpoints in it. It does not change, and so tells no passes apart. */
static bool is_code(struct ct_search *q, ct_u64 addr)
{
	const struct ct_map *m;

	if (!q->maps.count && ct_maps_read(q->t->real, &q->maps, NULL))
		return false;
	m = ct_maps_find(&q->maps, addr);
	return m && (m->prot & PROT_EXEC) && !(m->prot & PROT_WRITE);
}

/* One sample of the fingerprint. What cannot be read here is no memory of the program's (the time page of the vDSO, the
 * recorder's own): its mappings are those it had then, since they change by system calls only. */
static bool same_sample(struct ct_search *q, ct_u64 addr, const ct_u8 *want, size_t len)
{
	unsigned char have[CT_FP_STACK];
	const struct ct_trampoline *tr = q->tr;
	bool hidden;

	if (!ct_replica_read(q->t->proc, addr, have, len))
		return true;
	hidden = ct_rseq_hide(q->s, q->t->proc->pid, addr, have, want, len);
	for (size_t i = 0; tr && i < CT_TRAMPOLINE_JUMP; i++) { /* what the jumps hide */
		if (i < tr->jump && tr->ip + i >= addr && tr->ip + i < addr + len)
			have[tr->ip + i - addr] = tr->orig[i];
		if (tr->slot && tr->slot + i >= addr && tr->slot + i < addr + len)
			have[tr->slot + i - addr] = tr->slot_orig[i];
	}
	for (size_t i = 0; i < len; i++)
		if (have[i] != want[i] && !is_code(q, addr + i)) {
			size_t word = i & ~(size_t)7;

			q->differs = addr + i;
			if (word + 8 > len)
				word = len - 8;
			q->hint = addr + word;
			memcpy(&q->want, want + word, 8);
			/* The code does not see what is hidden here, or by the jump. */
			if (hidden ||
			    (tr && ((q->hint + 8 > tr->ip && q->hint < tr->ip + tr->jump) ||
				    (tr->slot && q->hint + 8 > tr->slot && q->hint < tr->slot + CT_TRAMPOLINE_JUMP))))
				q->hint = 0;
			return false;
		}
	return true;
}

struct ct_search ct_search_for(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *regs,
			       const struct ct_regs *recorded, const struct ct_fingerprint *fp)
{
	struct ct_search q = {.s = s, .t = t, .regs = regs, .recorded = recorded, .fp = fp};

	/* The counter of a fingerprint that was taken late has counted others, too. */
	q.ticked =
		fp && (fp->flags & (CT_FPF_TICKS | CT_FPF_LATE)) == CT_FPF_TICKS && t->clock->counts && t->ticks_known;
	return q;
}

/* Only called where the registers are right. */
bool ct_search_same_memory(struct ct_search *q)
{
	const struct ct_fingerprint *fp = q->fp;
	const struct ct_regs *regs = q->regs;

	if (q->ticked && q->t->ticks != fp->ticks) {
		q->other_ticks++;
		q->other = q->t->ticks;
		return false;
	}
	if (!fp || (fp->flags & CT_FPF_LATE))
		return true;
	q->near++;
	for (ct_u32 i = 0; i < fp->noperands && i < CT_FP_HARVEST; i++)
		if (!same_sample(q, fp->operand[i].addr, fp->operand[i].data, sizeof(fp->operand[i].data)))
			return false;
	if ((fp->mask & 1) && !same_sample(q, regs->r[CT_RSP] - 128, fp->stack, CT_FP_STACK))
		return false;
	for (int k = 0; k < CT_FP_GPRS; k++)
		if ((fp->mask >> (k + 1) & 1) &&
		    !same_sample(q, q->recorded->r[k < 10 ? k : k + 1] & ~7ull, fp->gpr[k], CT_FP_GPR))
			return false;
	return true;
}

bool ct_at_position(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *now, const struct ct_regs *regs,
		    const struct ct_fingerprint *fp)
{
	struct ct_regs want = *regs;
	struct ct_search q = ct_search_for(s, t, &want, regs, fp);
	bool same;

	ct_agents_expected(t->proc, &want);
	same = ct_same_position(now, &want) && ct_search_same_memory(&q);
	ct_maps_deinit(&q.maps);
	return same;
}
