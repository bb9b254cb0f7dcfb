// SPDX-License-Identifier: MIT
/* The instruction before a moment, far from any event: what timeline_guess.c says it may have been is gone to at full
 * speed, and proven by executing it. */
#include <stdlib.h>
#include <string.h>

#include "replay/timeline_before.h"

#define MOST_FROM_CALLER 50
#define MOST_TRIES       20000 /* moments that look as guessed, but were not it */
#define MOST_EXITS       512
#define MOST_WAITING     512
#define SEEN_BITS        14 /* instructions of functions that are looked at: half of this many */
#define SEEN             (1u << SEEN_BITS)
#define PATIENCE         20000000000ull /* ns */
#define QUICK            30000000ull    /* ns: of a guess that is easy */

/* ---- trying --------------------------------------------------------------------------------------------------------
 */

static bool out_of_time(const struct before *b)
{
	return ct_tl_ns() - b->began > (b->quick ? QUICK : PATIENCE) ||
	       (b->tl->interrupt && b->tl->interrupt(b->tl->interrupt_ctx));
}

static int to_start(struct before *b)
{
	const struct ct_moment start = ct_tl_between(b->m->next);

	return ct_timeline_seek(b->tl, &start, b->err);
}

static bool there(struct before *b)
{
	struct ct_moment now;

	return !ct_timeline_now(b->tl, &now, b->err) && ct_moment_same(&now, b->m);
}

/* One instruction. 1; 0: it was the event; -1. */
static int step(struct before *b)
{
	b->tl->stats.steps++;
	if (ct_session_step(b->tl->s, b->err)) {
		b->tl->broken = true;
		return -1;
	}
	return ct_tl_next(b->tl) == b->m->next;
}

/* How many instructions from here on the moment is, at most `most`; 0: more; -1. */
static int distance(struct before *b, int most)
{
	struct ct_regs r;
	int ret;

	for (int i = 1; i <= most; i++) {
		ret = step(b);
		if (ret <= 0)
			return ret;
		if (ct_session_regs(b->tl->s, b->m->tid, &r, b->err))
			return -1;
		if (ct_same_position(&r, &b->m->regs) && there(b))
			return i;
	}
	return 0;
}

/* Whether the moment is reached in at most `most` instructions from here; *last is one before it then. -1. */
static int leads_there(struct before *b, int most, struct ct_moment *last)
{
	struct ct_checkpoint *cp = NULL;
	int n;

	if (most == 1)
		return ct_timeline_now(b->tl, last, b->err) ? -1 : distance(b, 1);
	cp = ct_session_checkpoint(b->tl->s, b->err);
	n = cp ? distance(b, most) : -1;
	if (n > 0) {
		int ret = ct_tl_restore(b->tl, cp, b->err);

		while (!ret && --n > 0)
			ret = step(b) > 0 ? 0 : -1;
		n = ret || ct_timeline_now(b->tl, last, b->err) ? -1 : 1;
	}
	ct_checkpoint_destroy(cp);
	return n;
}

/* To the next moment that looks like the guess. 1; 0: there is none. */
static int find_next(struct before *b, const struct guess *g)
{
	if (!(b->quick ? ct_tl_run_to_like_soon : ct_session_run_to_like)(b->tl->s, &g->regs, g->unknown, b->err))
		return 1;
	b->tl->broken = true; /* it has come to the event */
	return 0;
}

static int try_guess(struct before *b, const struct guess *g)
{
	struct ct_moment last;
	int ret;

	if (to_start(b))
		return -1;
	for (int i = 0; i < (g->steps > 1 ? MOST_FROM_CALLER : MOST_TRIES) && !out_of_time(b) && find_next(b, g) > 0;
	     i++) {
		ret = leads_there(b, g->steps, &last);
		if (ret > 0)
			return ct_timeline_seek(b->tl, &last, b->err) ? -1 : 1;
		if (ret < 0 || ct_tl_next(b->tl) != b->m->next)
			break;
	}
	b->tl->broken = true;
	return 0;
}

/* ---- ways out of a function
 * ------------------------------------------------------------------------------------------ */

/* Returns and indirect jumps of a called function, and of those it jumps to; what an indirect jump leads to is found by
 * going there (switches, stubs of the dynamic linker, tail calls). */
struct exits {
	struct ct_stop stop[MOST_EXITS];
	unsigned n;
	ct_u64 seen[SEEN], waiting[MOST_WAITING]; /* a hash table of addresses; those still to be looked at */
	unsigned nseen, nwaiting;
};

static bool is_new(struct exits *x, ct_u64 at)
{
	size_t i = (at * 0x9e3779b97f4a7c15ull) >> (64 - SEEN_BITS);

	for (; x->seen[i]; i = (i + 1) % SEEN)
		if (x->seen[i] == at)
			return false;
	if (++x->nseen > SEEN / 2)
		return false;
	x->seen[i] = at;
	return true;
}

static void explore(struct before *b, struct exits *x, ct_u64 entry)
{
	struct code c;

	x->waiting[x->nwaiting++] = entry;
	while (x->nwaiting) {
		ct_u64 at = x->waiting[--x->nwaiting];

		for (; is_new(x, at) && ct_before_decode(b, at, &c); at += c.insn.length) {
			const ct_u64 to = ct_before_target(&c, at);
			const bool jump = c.insn.meta.category == ZYDIS_CATEGORY_UNCOND_BR;

			if (c.insn.meta.category == ZYDIS_CATEGORY_RET || (jump && !to)) {
				if (x->n < MOST_EXITS)
					x->stop[x->n++] = (struct ct_stop){CT_STOP_EXEC, at, 1};
				break;
			}
			if ((jump || c.insn.meta.category == ZYDIS_CATEGORY_COND_BR) && x->nwaiting < MOST_WAITING - 1)
				x->waiting[x->nwaiting++] = to;
			if (jump)
				break;
		}
	}
}

/* At one of them. 1: it leads to the moment, *last is here; 0: it does not; -1. */
static int look_at_exit(struct before *b, struct exits *x, struct ct_moment *last)
{
	const ct_u64 slot = b->m->regs.r[CT_RSP] - 8;
	struct ct_session *s = b->tl->s;
	struct ct_regs regs;
	unsigned before = x->n;
	struct code c;
	int ret;

	if (ct_session_regs(s, b->m->tid, &regs, b->err) || !ct_before_decode(b, regs.r[CT_RIP], &c))
		return -1;
	if (c.insn.meta.category == ZYDIS_CATEGORY_RET)
		return regs.r[CT_RSP] == slot ? leads_there(b, 1, last) : 0;
	ret = leads_there(b, 1, last);
	if (ret || ct_session_regs(s, b->m->tid, &regs, b->err))
		return ret ? ret : -1;
	explore(b, x, regs.r[CT_RIP]);
	return x->n > before && ct_session_set_stops(s, b->tl->pid, x->stop, x->n, b->err) ? -1 : 0;
}

/* From a call on: the instruction that leads to the moment. 1; 0; -1. */
static int find_exit(struct before *b, struct exits *x)
{
	struct ct_session *s = b->tl->s;
	struct ct_moment last;
	struct ct_regs regs;
	int ret = leads_there(b, 1, &last);

	if (ret > 0)
		return ct_timeline_seek(b->tl, &last, b->err) ? -1 : 1;
	if (ret < 0 || ct_session_regs(s, b->m->tid, &regs, b->err))
		return -1;
	memset(x, 0, sizeof(*x));
	explore(b, x, regs.r[CT_RIP]);
	ret = x->n && ct_session_set_stops(s, b->tl->pid, x->stop, x->n, b->err) ? -1 : 0;
	while (!ret && x->n && !out_of_time(b)) {
		ret = ct_tl_advance(b->tl, b->m->next + 1, b->err);
		if (ret <= 0 || ct_tl_next(b->tl) != b->m->next) {
			ret = ret < 0 ? -1 : 0;
			break;
		}
		ret = look_at_exit(b, x, &last);
		ct_session_pass_stop(s);
	}
	ct_session_set_stops(s, b->tl->pid, NULL, 0, NULL);
	if (ret > 0)
		return ct_timeline_seek(b->tl, &last, b->err) ? -1 : 1;
	return ret;
}

static int try_call(struct before *b, const struct guess *g)
{
	struct exits *x = malloc(sizeof(*x));
	struct ct_checkpoint *cp = NULL;
	int ret = x && !to_start(b) ? 0 : -1;

	/* The last call that looks like it may be a later one than the first. */
	for (unsigned i = 0; i < 64 && !ret && !out_of_time(b) && find_next(b, g) > 0; i++) {
		ct_checkpoint_destroy(cp);
		cp = ct_session_checkpoint(b->tl->s, b->err);
		ret = cp ? find_exit(b, x) : -1;
		if (ret > 0)
			break;
		if (cp && ct_tl_restore(b->tl, cp, b->err))
			ret = -1;
		else
			ret = ct_session_step(b->tl->s, b->err) ? -1 : 0; /* off it, to the next */
	}
	ct_checkpoint_destroy(cp);
	free(x);
	if (ret <= 0)
		b->tl->broken = true;
	return ret;
}

/* Before an event that begins with a system call: the instruction that makes it. 1; 0: it is another event; -1. */
static int to_call(struct before *b)
{
	struct guess g = {.unknown = BIT(CT_RCX) | BIT(CT_R11)};
	struct ct_session *s = b->tl->s;
	struct ct_rthread *t;

	if (to_start(b) || !(t = ct_session_thread(s, ct_session_current(s))))
		return -1;
	if (t->at_entry || ct_run_to_syscall(s, t, b->err) || ct_get_regs(t->real, &g.regs)) {
		b->tl->broken = true;
		return 0;
	}
	g.regs.r[CT_RIP] -= 2;
	g.regs.r[CT_RAX] = g.regs.r[CT_ORIG_RAX];
	b->tl->broken = true; /* the session does not know that it is there */
	return to_start(b) ? -1 : find_next(b, &g);
}

static struct before *begin(struct ct_timeline *tl, const struct ct_moment *m, struct ct_error *err)
{
	struct before *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->tl = tl;
	b->m = m;
	b->err = err;
	b->began = ct_tl_ns();
	ZydisDecoderInit(&b->dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return b;
}

unsigned ct_tl_callers(struct ct_timeline *tl, const struct ct_moment *m, struct ct_regs call[CT_CALLERS])
{
	struct before *b = begin(tl, m, NULL);
	unsigned n = 0;

	if (!b)
		return 0;
	for (ct_guess_callers(b); n < b->n; n++)
		call[n] = b->guess[n].regs;
	free(b);
	return n;
}

int ct_tl_predict(struct ct_timeline *tl, const struct ct_moment *m, bool quick, struct ct_error *err)
{
	struct before *b = begin(tl, m, err);
	int ret = 0;

	if (!b)
		return 2;
	b->quick = quick;
	/* The code, and the return address, as they are at the moment. */
	if (!m->tid) {
		ret = to_call(b);
	} else if (!ct_timeline_seek(tl, m, err)) {
		b->near_at = m->regs.r[CT_RIP] - AROUND;
		for (size_t at = 0; at < sizeof(b->near); at += 16) /* what is not mapped stays 0 */
			ct_session_read(tl->s, tl->pid, b->near_at + at, b->near + at, 16, NULL);
		ct_guess_round(b, m->regs.r[CT_RIP]);
		ct_guess_linear(b);
		ct_guess_jumps(b);
		if (!quick) {
			ct_guess_call(b);
			ct_guess_callers(b);
		}
	}
	for (unsigned i = 0; i < b->n && !ret; i++) {
		ret = b->guess[i].call ? try_call(b, &b->guess[i]) : try_guess(b, &b->guess[i]);
		if (ret < 0)
			ret = 0; /* a guess went wrong; the next one starts anew */
	}
	free(b);
	memset(err, 0, sizeof(*err));
	return ret > 0 ? 0 : 2;
}
