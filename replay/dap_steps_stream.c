/* SPDX-License-Identifier: MIT
 * Values along the way: the variables of a condition, followed through the rows while steps are walked through.
 *
 * What was seen of a call is kept in a small table; what was not, or was replaced there, is looked up. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dap_steps.h"

#define NAMES 8
#define CALLS 1024 /* a power of two */
#define SMALL 48   /* bytes of a value that need no memory of their own */

struct slot {
	enum { UNKNOWN, ABSENT, THERE } state;
	ct_u8 *large;
	ct_u8 small[SMALL];
	size_t len;
};
struct dap_known {
	ct_u64 call;
	struct slot slot[NAMES];
};

static struct dap_known *entry(struct dap_stream *s, ct_u64 call)
{
	struct dap_known *k = &s->known[call & (CALLS - 1)];

	if (k->call != call) {
		for (size_t i = 0; i < s->nnames; i++)
			free(k->slot[i].large);
		*k = (struct dap_known){.call = call};
	}
	return k;
}

static bool put(struct slot *slot, const ct_u8 *node, size_t len)
{
	free(slot->large);
	slot->large = NULL;
	if (len > SMALL && !(slot->large = malloc(len))) {
		slot->state = UNKNOWN;
		return false;
	}
	memcpy(slot->large ? slot->large : slot->small, node, len);
	slot->len = len;
	slot->state = (node[0] & 0x1f) == CT_NODE_UNSET ? ABSENT : THERE;
	return true;
}

/* Takes rows in as long as they were there before the step. 1: it is at one that was not; 0: no more; -1. */
static int take_row(struct dap_stream *s, struct ct_error *err)
{
	const struct ct_name *v = ct_stepdb_name(s->d->db, CT_VARIABLES, s->of_variable);
	ct_u64 kind = v ? v->v[CT_VAR_KIND] : 0;
	const ct_u8 *node;
	size_t len;

	/* Behind a return or the like with a step of its own, values are what the line did. */
	if (s->of_step >= s->step && (s->of_step > s->step || s->of_call != s->call || kind == CT_VALUE_RETURN ||
				      kind == CT_VALUE_YIELD || kind == CT_VALUE_EXCEPTION))
		return 1;
	for (size_t i = 0; v && i < s->nnames; i++)
		if (s->name[i] == v->v[CT_VAR_NAME]) {
			if (ct_scan_node(s->scan, &node, &len, err) < 0)
				return -1;
			if (!put(&entry(s, s->of_call)->slot[i], node, len))
				return dap_no_memory(err);
		}
	return 0;
}

int dap_stream_to(struct dap_stream *s, ct_u64 call, ct_u64 step, struct ct_error *err)
{
	int got;

	s->call = call;
	s->step = step;
	while (s->scan) {
		ct_u64 variable;

		if (!s->pending) {
			got = ct_scan_next(s->scan, &s->row, err);
			if (got == 0) {
				ct_scan_close(s->scan);
				s->scan = NULL;
				return 0;
			}
			if (got < 0 || ct_scan_get(s->scan, CT_VALUE_STEP, &s->of_step, err) < 0 ||
			    ct_scan_get(s->scan, CT_VALUE_CALL, &s->of_call, err) < 0 ||
			    ct_scan_get(s->scan, CT_VALUE_VARIABLE, &variable, err) < 0)
				return -1;
			s->of_variable = (ct_u32)variable;
		}
		got = take_row(s, err);
		s->pending = got > 0;
		if (got)
			return got < 0 ? -1 : 0;
	}
	return 0;
}

static int lookup(void *arg, const char *name, size_t len, const ct_u8 **node, size_t *node_len, struct ct_error *err)
{
	struct dap_stream *s = arg;
	struct slot *slot = NULL;
	struct dap_scope all;
	int got;

	for (size_t i = 0; i < s->nnames && !slot; i++) {
		const struct ct_name *text = ct_stepdb_name(s->d->db, CT_STRINGS, s->name[i]);

		if (text->len == len && memcmp(text->text, name, len) == 0)
			slot = &entry(s, s->call)->slot[i];
	}
	if (!slot || slot->state != THERE) {
		dap_moment_deinit(&s->moment);
		s->moment = (struct dap_moment){.d = s->d, .call = s->call};
		if (ct_stepdb_values_at(s->d->db, s->step, &s->moment.end, err) < 0)
			return -1;
	}
	if (slot && slot->state == UNKNOWN) {
		ct_u8 *found = NULL;
		size_t n = 0;

		got = dap_value_before(s->d, s->call, s->moment.end, name, len, &found, &n, err);
		slot->state = ABSENT;
		if (got > 0 && !put(slot, found, n))
			got = dap_no_memory(err);
		free(found);
		if (got < 0)
			return -1;
	}
	if (slot && slot->state == THERE) {
		*node = slot->large ? slot->large : slot->small;
		*node_len = slot->len;
		return 1;
	}
	all = dap_moment_scope(&s->moment); /* not the call's: a global, or nothing */
	return all.lookup(all.arg, name, len, node, node_len, err);
}

/* Strings' ids of whatever may be a name in the expression. */
static void find_names(struct dap_stream *s, const char *p)
{
	while (*p && s->nnames < NAMES) {
		size_t n = 0;

		while (isalnum((unsigned char)p[n]) || p[n] == '_' || p[n] == '@' || p[n] == '$' || (p[n] & 0x80))
			n++;
		for (ct_u32 id = 1; n && !isdigit((unsigned char)*p) && id <= ct_stepdb_names(s->d->db, CT_STRINGS);
		     id++) {
			const struct ct_name *text = ct_stepdb_name(s->d->db, CT_STRINGS, id);
			bool known = false;

			if (text->len != n || memcmp(text->text, p, n) != 0)
				continue;
			for (size_t i = 0; i < s->nnames; i++)
				known = known || s->name[i] == id;
			if (!known)
				s->name[s->nnames++] = id;
			break;
		}
		p += n ? n : 1;
	}
}

/* Their variables in the functions of these locations, and what ends a line. */
static ct_u32 *find_keys(struct dap_stream *s, const ct_u32 *locations, size_t n, size_t *nkeys)
{
	ct_u32 all = ct_stepdb_names(s->d->db, CT_VARIABLES), *keys = malloc(((size_t)all + 1) * sizeof(*keys));

	for (ct_u32 id = 1; keys && id <= all; id++) {
		const ct_u64 *v = ct_stepdb_name(s->d->db, CT_VARIABLES, id)->v;
		bool here = false, wanted = v[CT_VAR_KIND] == CT_VALUE_RETURN || v[CT_VAR_KIND] == CT_VALUE_YIELD ||
					    v[CT_VAR_KIND] == CT_VALUE_EXCEPTION;

		for (size_t i = 0; i < n && !here; i++)
			here = ct_stepdb_name(s->d->db, CT_LOCATIONS, locations[i])->v[CT_LOC_FUNCTION] ==
			       v[CT_VAR_FUNCTION];
		for (size_t i = 0; i < s->nnames && !wanted; i++)
			wanted = s->name[i] == v[CT_VAR_NAME] && v[CT_VAR_KIND] < 32 &&
				 (DAP_VARIABLES >> v[CT_VAR_KIND] & 1);
		if (here && wanted)
			keys[(*nkeys)++] = id;
	}
	return keys;
}

struct dap_stream *dap_stream_open(struct dap_steps *d, const ct_u32 *locations, size_t n, const char *expression,
				   ct_u64 step, struct ct_error *err)
{
	struct dap_stream *s = calloc(1, sizeof(*s));
	struct ct_scan_spec spec = {.table = CT_VALUES};
	ct_u32 *keys = NULL;

	if (s) {
		s->d = d;
		s->scope = (struct dap_scope){lookup, s, ct_stepdb_node_names(d->db)};
		s->name = calloc(NAMES, sizeof(*s->name));
		s->known = calloc(CALLS, sizeof(*s->known));
		if (s->name) {
			find_names(s, expression);
			keys = find_keys(s, locations, n, &spec.nkeys);
		}
	}
	spec.keys = keys;
	if (!s || !s->name || !s->known || !keys)
		dap_no_memory(err);
	else if (ct_stepdb_values_at(d->db, step, &spec.first, err) == 0 &&
		 (spec.first > d->values || (s->scan = ct_scan_open(d->db, &spec, err)))) {
		free(keys);
		return s;
	}
	free(keys);
	dap_stream_close(s);
	return NULL;
}

void dap_stream_close(struct dap_stream *s)
{
	if (!s)
		return;
	for (size_t c = 0; s->known && c < CALLS; c++)
		for (size_t i = 0; i < s->nnames; i++)
			free(s->known[c].slot[i].large);
	ct_scan_close(s->scan);
	dap_moment_deinit(&s->moment);
	free(s->known);
	free(s->name);
	free(s);
}
