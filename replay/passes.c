// SPDX-License-Identifier: MIT
/* Positions that are passed more than once with the same registers and the same memory around: which pass it was shows
 * only later, when the replay goes another way. Then it goes back and takes a later pass, until it does not. */
#include "replay/passes.h"

#include <stdlib.h>
#include <string.h>

#include "replay/session_priv.h"

#define AT_END       UINT64_MAX /* where the comparison's own position is, and what differs at the end */
#define TRIES        240        /* in all */
#define SECONDS      60         /* of CPU for one divergence, at most */
#define MOST_SKIPPED 4096
#define BACK         8    /* positions before a divergence that may be the cause of it */
#define WAIT_MS      2000 /* a try that went another way may never come to a stop */
#define FIRST_MS     10000
#define SLOWER       50 /* times than what was recorded, between two stops: passes of a place in a loop take longer */

_Static_assert(BACK < CT_RECENT, "those tried are known");

/* ---- in a session ------------------------------------------------------------------------------------------------ */

static unsigned *chosen(struct ct_passes *p, ct_u64 seq, bool add)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->list[i].seq == seq)
			return &p->list[i].skip;
	if (!add || p->count == CT_PASSES)
		return NULL;
	p->list[p->count] = (struct ct_pass){.seq = seq};
	return &p->list[p->count++].skip;
}

int ct_run_to_pass(struct ct_session *s, struct ct_rthread *t, const struct ct_regs *regs,
		   const struct ct_fingerprint *fp, struct ct_error *err)
{
	const ct_u64 seq = s->sought ? AT_END : s->ev->seq;
	const unsigned *skip = chosen(&s->passes, seq, false);
	int ret;

	while (s->nrecent && s->recent[s->nrecent - 1] >= seq) /* from before it went back */
		s->nrecent--;
	if (s->nrecent == CT_RECENT)
		memmove(s->recent, s->recent + 1, --s->nrecent * sizeof(*s->recent));
	s->recent[s->nrecent++] = seq;
	s->skip = skip ? *skip : 0;
	ret = ct_run_to(s, t, regs, fp, err);
	s->skip = 0;
	return ret;
}

static void recall(struct ct_session *s, ct_u32 from, const char *name)
{
	const json_t *proof = json_object_get(ct_recording_manifest(s->rec), name);
	const json_t *stretch, *pass;
	size_t i, k;

	json_array_foreach (json_object_get(proof, "stretches"), i, stretch) {
		if (json_integer_value(json_object_get(stretch, "from")) != from)
			continue;
		json_array_foreach (json_object_get(stretch, "later_passes"), k, pass) {
			const json_int_t skip = json_integer_value(json_array_get(pass, 1));
			unsigned *to = chosen(&s->passes, (ct_u64)json_integer_value(json_array_get(pass, 0)), true);

			if (to && skip > 0 && skip <= MOST_SKIPPED)
				*to = (unsigned)skip;
		}
	}
}

void ct_passes_recall(struct ct_session *s, ct_u32 from)
{
	recall(s, from, "proven"); /* while it was recorded */
	recall(s, from, "verify");
}

/* ---- the search -------------------------------------------------------------------------------------------------- */

struct prover {
	struct ct_session *s;
	const struct ct_proof_of *of;
	struct ct_proof *proof;
	struct ct_error *err;
	double seconds;             /* of CPU that were used to find a way */
	struct ct_checkpoint *base; /* before all positions that may still be changed; NULL: the stretch's beginning */
};

/* How far one way through the stretch led. */
struct outcome {
	int ret;
	ct_u64 at;
};

static struct outcome run_to_end(struct prover *p)
{
	struct ct_proof *proof = p->proof;
	struct ct_session *s = p->s;
	struct outcome o = {.at = AT_END};
	size_t len;
	FILE *lines;

	const double before = s->stats.cpu_seconds;

	memset(p->err, 0, sizeof(*p->err));
	o.ret = ct_session_run(s, p->of->end, p->err);
	p->seconds += s->stats.cpu_seconds - before;
	if (o.ret) {
		o.at = s->ev ? s->ev->seq : 0;
		return o;
	}
	if (!p->of->to)
		return o;
	free(proof->differences);
	proof->differences = NULL;
	lines = open_memstream(&proof->differences, &len);
	proof->compared = (struct ct_comparison){0};
	o.ret = lines ? ct_session_compare(s, p->of->to, lines, &proof->compared, p->err)
		      : ct_fail(p->err, CT_EXIT_FAILED, "out of memory");
	if (lines)
		fclose(lines);
	if (o.ret < 0)
		o.at = AT_END - 1;
	return o;
}

/* Whether another pass could help. */
static bool went_wrong(const struct prover *p, const struct outcome *o)
{
	return o->ret > 0 || (o->ret < 0 && p->err->status == CT_EXIT_DIVERGED);
}

static int go_back(struct prover *p, const struct ct_checkpoint *cp)
{
	const struct ct_passes passes = p->s ? p->s->passes : (struct ct_passes){0};
	const bool again = p->s;

	if (cp)
		return ct_session_restore(p->s, cp, p->err);
	if (p->s)
		ct_session_destroy(p->s);
	p->s = ct_session_create(p->of->rec, p->of->from, p->of->opts, p->err);
	if (p->s && again)
		p->s->passes = passes;
	return p->s ? 0 : -1;
}

/* Later passes at this position, for as long as there is one; later ones are chosen anew. */
static bool try_later(struct prover *p, const struct ct_checkpoint *cp, ct_u64 seq, unsigned least, unsigned most,
		      unsigned *tries, struct outcome *best)
{
	const struct ct_passes before = p->s->passes;
	struct ct_passes with = {0};
	unsigned *skip;

	for (unsigned i = 0; i < before.count; i++)
		if (before.list[i].seq <= seq)
			with.list[with.count++] = before.list[i];
	skip = chosen(&with, seq, true);
	if (skip)
		*skip += least;
	for (unsigned n = least; skip && n < most && *tries < TRIES && p->seconds < SECONDS; n++) {
		struct outcome o;

		++*skip;
		++*tries;
		p->proof->tries++;
		if (go_back(p, cp))
			break;
		p->s->passes = with;
		o = run_to_end(p);
		if (o.ret < 0 && p->err->status != CT_EXIT_DIVERGED)
			break;
		if (!o.ret || o.at > best->at) {
			*best = o;
			return true;
		}
		if (o.ret < 0 && (o.at == seq || (seq == AT_END && o.at == AT_END - 1)))
			break; /* no such pass */
	}
	p->s->passes = before;
	return false;
}

/* Goes back before the last positions, then changes one of them, the last ones and the next passes first. */
static bool get_further(struct prover *p, struct outcome *best)
{
	struct ct_checkpoint *cp[BACK] = {0};
	ct_u64 seq[BACK];
	unsigned n = 0, tries = 0;
	bool further = false;

	for (unsigned i = p->s->nrecent > BACK ? p->s->nrecent - BACK : 0; i < p->s->nrecent; i++)
		seq[n++] = p->s->recent[i];
	if (!n || go_back(p, p->base))
		return false;
	for (unsigned i = 0; i < n; i++)
		if (ct_session_run(p->s, seq[i] == AT_END ? p->of->end : seq[i], p->err) ||
		    !(cp[i] = ct_session_checkpoint(p->s, p->err)))
			break;
	p->seconds = 0;
	for (unsigned least = 0, most = 2; most <= 128 && cp[n - 1] && !further; least = most, most *= 8)
		for (unsigned i = n; i > 0 && !further; i--)
			further = try_later(p, cp[i - 1], seq[i - 1], least, most, &tries, best);
	if (further && cp[0]) {
		ct_checkpoint_destroy(p->base);
		p->base = cp[0];
		cp[0] = NULL;
	}
	for (unsigned i = 0; i < n; i++)
		ct_checkpoint_destroy(cp[i]);
	return further;
}

static ct_u64 taken_at(const struct ct_proof_of *of, ct_u32 id)
{
	struct ct_snapshot_reader *snap = ct_snapshot_open(ct_recording_dirfd(of->rec), id, NULL);
	ct_u64 ns = snap ? ct_snapshot_get(snap)->mono_ns : 0;

	ct_snapshot_reader_close(snap);
	return ns;
}

/* How much CPU a thread may use without a stop before it is taken to have gone astray: one that has missed its place
 * may loop for ever. When it was recorded it had no more than the stretch is long, and all threads together no more
 * than the recording says. */
static unsigned first_patience(const struct ct_proof_of *of, unsigned most)
{
	const ct_u64 from = taken_at(of, of->from), to = of->to ? taken_at(of, of->to) : 0;
	const json_t *counters = json_object_get(ct_recording_manifest(of->rec), "counters");
	const double all = json_number_value(json_object_get(counters, "target_cpu_s")) * 1e3;
	double ms = ((double)to - (double)from) / 1e6;

	if (!from || to <= from)
		return most;
	if (all > 0 && ms > all)
		ms = all;
	ms = FIRST_MS + ms * SLOWER;
	return ms < most ? (unsigned)ms : most;
}

int ct_session_prove(const struct ct_proof_of *of, struct ct_session **s, struct ct_proof *proof, struct ct_error *err)
{
	struct prover p = {.of = of, .proof = proof, .err = err};
	struct outcome o = {.ret = -1};
	const unsigned before = ct_replica_patience(0);

	memset(proof, 0, sizeof(*proof));
	ct_replica_patience(first_patience(of, before));
	if (!go_back(&p, NULL))
		o = run_to_end(&p);
	if (p.s && p.s->passes.count && went_wrong(&p, &o)) { /* what was stored is of no use */
		p.s->passes.count = 0;
		o.ret = go_back(&p, NULL);
		if (!o.ret)
			o = run_to_end(&p);
	}
	if (p.s && went_wrong(&p, &o) && !of->damaged) {
		bool further;

		ct_replica_patience(WAIT_MS);
		do
			further = get_further(&p, &o);
		while (further && went_wrong(&p, &o));
		ct_replica_patience(first_patience(of, before));
		/* No way leads on: what is reported is where the best one ended. */
		if (!further && p.s) {
			o.ret = -1;
			if (!go_back(&p, p.base))
				o = run_to_end(&p);
		}
	}
	proof->later = p.s ? calloc(CT_PASSES, sizeof(*proof->later)) : NULL;
	for (unsigned i = 0; proof->later && i < p.s->passes.count; i++)
		if (p.s->passes.list[i].skip)
			proof->later[proof->later_passes++] = p.s->passes.list[i];
	ct_checkpoint_destroy(p.base);
	ct_replica_patience(before);
	*s = p.s;
	return o.ret;
}
