// SPDX-License-Identifier: MIT
/* Where the building of a step database can be gone on from: what is kept with each commit, and how variables that the
 * agent tells of again, because it is a new one, are told from variables that have changed. */
#include <stdlib.h>
#include <string.h>

#include "replay/agents/agent.h"
#include "user/index_store_priv.h"

#define POSITION 0x3158444e49425443ull /* "CTBINDX1" */

/* ---- position ----------------------------------------------------------------------------------------------- */

int ct_index_position(const struct ct_index_store *s, ct_u64 seq, void **position, size_t *len, struct ct_error *err)
{
	ct_u64 *state, *p, *begin;
	size_t words, count;

	if (ct_agents_save(s->agents, &state, &words, err))
		return -1;
	count = words + 5 + 5 * s->nthreads + 2 * s->sleeping.count;
	for (size_t i = 0; i < s->nthreads; i++)
		count += 2 * s->thread[i].depth;
	*position = begin = p = malloc(count * sizeof(*p));
	*len = ct_agents_resumable(s->agents) && count * sizeof(*p) <= CT_STEPDB_POSITION ? count * sizeof(*p) : 0;
	if (!p) {
		free(state);
		return ct_fail_memory(err);
	}
	*p++ = POSITION;
	*p++ = seq;
	*p++ = words;
	memcpy(p, state, words * sizeof(*p));
	p += words;
	free(state);
	*p++ = s->nthreads;
	for (size_t i = 0; i < s->nthreads; i++) {
		const struct index_thread *t = &s->thread[i];

		*p++ = t->tid;
		*p++ = t->id;
		*p++ = t->raised;
		*p++ = t->type;
		*p++ = t->depth;
		for (size_t k = 0; k < t->depth; k++) {
			*p++ = t->stack[k].run;
			*p++ = t->stack[k].call;
		}
	}
	*p++ = s->sleeping.count;
	for (const struct index_run *r = NULL; (r = ct_keyed_next(&s->sleeping, r));) {
		*p++ = r->run;
		*p++ = r->call;
	}
	return (size_t)(p - begin) == count ? 0 : ct_fail(err, CT_EXIT_FAILED, "the position has another length");
}

static int load_thread(struct ct_index_store *s, const ct_u64 **p, const ct_u64 *end, struct ct_error *err)
{
	struct index_thread *more = realloc(s->thread, (s->nthreads + 1) * sizeof(*more)), *t;

	if (!more)
		return ct_fail_memory(err);
	s->thread = more;
	t = &more[s->nthreads++];
	*t = (struct index_thread){.tid = (ct_u32)(*p)[0],
				   .id = (ct_u32)(*p)[1],
				   .raised = (*p)[2],
				   .type = (ct_u32)(*p)[3],
				   .seq = UINT64_MAX};
	t->room = (*p)[4] <= (ct_u64)(end - *p - 5) / 2 ? (size_t)(*p)[4] : 0;
	if (t->room != (*p)[4])
		return ct_fail(err, CT_EXIT_FAILED, "steps: where it stood makes no sense");
	*p += 5;
	t->stack = malloc((t->room + 1) * sizeof(*t->stack));
	if (!t->stack)
		return ct_fail_memory(err);
	for (; t->depth < t->room; *p += 2) {
		t->stack[t->depth++] = (struct index_run){(*p)[0], (*p)[1]};
		if (ct_index_know(s, (*p)[1], err))
			return -1;
	}
	return 0;
}

static int compare_known(const void *a, const void *b)
{
	const ct_u64 x = ((const struct index_known *)a)->call, y = ((const struct index_known *)b)->call;

	return (x > y) - (x < y);
}

int ct_index_load(struct ct_index_store *s, const void *position, size_t len, ct_u64 *seq, const ct_u64 **state,
		  size_t *words, struct ct_error *err)
{
	const ct_u64 *p = position, *end = p + len / sizeof(*p);
	ct_u64 n;

	if (end - p < 5 || p[0] != POSITION || p[2] > (ct_u64)(end - p - 5))
		return ct_fail(err, CT_EXIT_FAILED, "steps: nothing says where it stood");
	*seq = p[1];
	*words = p[2];
	*state = p + 3;
	p += 3 + p[2];
	for (n = *p++; n; n--)
		if (end - p < 6 || load_thread(s, &p, end, err))
			return end - p < 6 ? ct_fail(err, CT_EXIT_FAILED, "steps: where it stood makes no sense") : -1;
	n = *p++;
	if (n != (ct_u64)(end - p) / 2)
		return ct_fail(err, CT_EXIT_FAILED, "steps: where it stood makes no sense");
	for (; n; n--, p += 2) {
		if (!ct_keyed_put(&s->sleeping, &(struct index_run){p[0], p[1]}))
			return ct_fail_memory(err);
		if (ct_index_know(s, p[1], err))
			return -1;
	}
	if (s->nknown)
		qsort(s->known, s->nknown, sizeof(*s->known), compare_known);
	return 0;
}

/* ---- variables of calls from before --------------------------------------------------------------------------- */

int ct_index_know(struct ct_index_store *s, ct_u64 call, struct ct_error *err)
{
	if (!(s->nknown & (s->nknown - 1))) {
		void *more = realloc(s->known, (s->nknown ? s->nknown * 2 : 1) * sizeof(*s->known));

		if (!more)
			return ct_fail_memory(err);
		s->known = more;
	}
	s->known[s->nknown++] = (struct index_known){.call = call};
	return 0;
}

static void forget_variable(struct index_known *k, size_t i)
{
	free(k->variable[i].node);
	k->variable[i] = k->variable[--k->count];
}

void ct_index_forget(struct ct_index_store *s)
{
	for (size_t i = 0; i < s->nknown; i++) {
		while (s->known[i].count)
			forget_variable(&s->known[i], s->known[i].count - 1);
		free(s->known[i].variable);
	}
	free(s->known);
	s->known = NULL;
	s->nknown = 0;
	if (s->before)
		ct_stepdb_close(s->before);
	s->before = NULL;
}

struct learner {
	struct ct_stepdb *db;
	struct index_known *k;
};

static int learn(void *arg, const struct ct_local *local)
{
	struct learner *l = arg;
	struct index_known *k = l->k;
	const struct ct_name *variable = ct_stepdb_name(l->db, CT_VARIABLES, local->variable);
	void *more;

	if (!variable || !local->len || (local->node[0] & 31) == CT_NODE_UNSET)
		return 0;
	more = realloc(k->variable, (k->count + 1) * sizeof(*k->variable));
	if (more)
		k->variable = more;
	if (!more || !(more = malloc(local->len)))
		return -1;
	memcpy(more, local->node, local->len);
	k->variable[k->count++] = (struct index_variable){(ct_u32)variable->v[CT_VAR_NAME], more, local->len};
	return 0;
}

/* 1: *found is what is known of the call. */
static int find(struct ct_index_store *s, ct_u64 call, struct index_known **found, struct ct_error *err)
{
	const struct index_known key = {.call = call};
	struct index_known *k = bsearch(&key, s->known, s->nknown, sizeof(key), compare_known);
	struct learner l = {s->before, k};

	if (!k || k->settled)
		return 0;
	if (!k->read && ct_stepdb_locals(s->before, call, UINT64_MAX, learn, &l, err) < 0)
		return *err->msg ? -1 : ct_fail_memory(err);
	k->read = true;
	*found = k;
	return 1;
}

int ct_index_unchanged(struct ct_index_store *s, ct_u64 call, ct_u32 name, const ct_u8 *node, size_t len,
		       struct ct_error *err)
{
	struct index_known *k = NULL;

	if (find(s, call, &k, err) < 0)
		return -1;
	for (size_t i = 0; k && i < k->count; i++) {
		struct index_variable *v = &k->variable[i];
		bool same;

		if (v->name != name)
			continue;
		same = v->len == len && !memcmp(v->node, node, len);
		forget_variable(k, i);
		return same;
	}
	return 0;
}

int ct_index_settle(struct ct_index_store *s, ct_u64 call, int (*gone)(void *ctx, ct_u32 name), void *ctx,
		    struct ct_error *err)
{
	struct index_known *k = NULL;
	int ret = find(s, call, &k, err);

	if (ret <= 0)
		return ret;
	while (k->count) {
		ct_u32 name = k->variable[k->count - 1].name;

		forget_variable(k, k->count - 1);
		if (gone(ctx, name))
			return -1;
	}
	k->settled = true;
	if (++s->nsettled == s->nknown)
		ct_index_forget(s);
	return 0;
}
