/* SPDX-License-Identifier: MIT
 * Asking for values at a moment of a step database: a row, a variable by its name, an expression. */
#include <stdlib.h>
#include <string.h>

#include "replay/dap_steps.h"

bool dap_is_unset(const ct_u8 *node, size_t len)
{
	struct ct_node n;

	return !ct_node_next(&node, node + len, &n) || n.tag == CT_NODE_UNSET;
}

int dap_get_row(struct dap_steps *d, ct_u64 id, struct dap_row *row, struct ct_error *err)
{
	struct ct_scan_spec spec = {.table = CT_VALUES, .first = id, .last = id};
	struct ct_scan *scan = ct_scan_open(d->db, &spec, err);
	const ct_u8 *node;
	ct_u64 variable;
	int ret = -1;

	*row = (struct dap_row){0};
	if (scan && ct_scan_next(scan, &id, err) > 0 && ct_scan_get(scan, CT_VALUE_STEP, &row->step, err) == 0 &&
	    ct_scan_get(scan, CT_VALUE_CALL, &row->call, err) == 0 &&
	    ct_scan_get(scan, CT_VALUE_VARIABLE, &variable, err) == 0 &&
	    ct_scan_node(scan, &node, &row->len, err) == 0) {
		row->variable = (ct_u32)variable;
		row->node = malloc(row->len);
		if (!row->node)
			dap_no_memory(err);
		else if (!ct_stepdb_name(d->db, CT_VARIABLES, variable))
			ct_fail(err, CT_EXIT_FAILED, "steps/values.ctcol: value %llu is of no variable",
				(unsigned long long)id);
		else
			ret = 0;
		if (ret == 0)
			memcpy(row->node, node, row->len);
	}
	ct_scan_close(scan);
	if (ret < 0) {
		free(row->node);
		row->node = NULL;
	}
	return ret;
}

/* ---- A variable by its name ---- */

struct wanted {
	struct dap_steps *d;
	const char *name;
	size_t len;
	ct_u8 *node;
	size_t node_len;
	bool found, no_memory;
};

static int take(void *arg, const struct ct_local *local)
{
	struct wanted *w = arg;
	const struct ct_name *v = ct_stepdb_name(w->d->db, CT_VARIABLES, local->variable);
	const struct ct_name *name = ct_stepdb_name(w->d->db, CT_STRINGS, v->v[CT_VAR_NAME]);

	if (w->name && (!name || name->len != w->len || memcmp(name->text, w->name, w->len) != 0))
		return 0;
	free(w->node);
	w->node = malloc(local->len);
	if (!w->node) {
		w->no_memory = true;
		return -1;
	}
	memcpy(w->node, local->node, local->len);
	w->node_len = local->len;
	w->found = true;
	return 0;
}

static int latest(struct dap_steps *d, ct_u64 call, ct_u64 end, unsigned kinds, struct wanted *w, struct ct_error *err)
{
	w->d = d;
	if (ct_stepdb_latest(d->db, call, end, kinds, take, w, err) < 0)
		return w->no_memory ? dap_no_memory(err) : -1;
	if (w->found && !dap_is_unset(w->node, w->node_len))
		return 1;
	free(w->node);
	w->node = NULL;
	return 0;
}

int dap_value_before(struct dap_steps *d, ct_u64 call, ct_u64 end, const char *name, size_t len, ct_u8 **node,
		     size_t *node_len, struct ct_error *err)
{
	struct wanted w = {.name = name, .len = len};
	int got = latest(d, call, end, DAP_VARIABLES, &w, err);

	*node = w.node;
	*node_len = w.node_len;
	return got;
}

int dap_module_of(struct dap_steps *d, ct_u32 function, ct_u64 end, ct_u64 *module, struct ct_error *err)
{
	const struct ct_name *f = ct_stepdb_name(d->db, CT_FUNCTIONS, function);
	struct ct_scan_spec spec = {.table = CT_CALLS, .backwards = true, .nkeys = 1};
	ct_u64 id, row[CT_CALL_NCOLS], known;
	struct ct_scan *scan;
	ct_u32 key = 0;
	int got;

	*module = 0;
	for (ct_u32 i = 1; f && !key && i <= ct_stepdb_names(d->db, CT_FUNCTIONS); i++) {
		const struct ct_name *m = ct_stepdb_name(d->db, CT_FUNCTIONS, i);

		if (m->v[CT_FN_FILE] == f->v[CT_FN_FILE] && strcmp(m->text, "<module>") == 0)
			key = i;
	}
	if (!key || key == function)
		return 0;
	spec.keys = &key;
	scan = ct_scan_open(d->db, &spec, err);
	got = scan ? 1 : -1;
	while (got > 0 && !*module && (got = ct_scan_next(scan, &id, err)) > 0) {
		if (!ct_stepdb_call_row(d->db, id, row, err))
			got = -1;
		else if (end > d->values)
			*module = id;
		else if (row[CT_CALL_FROM_STEP] &&
			 (got = ct_stepdb_values_at(d->db, row[CT_CALL_FROM_STEP], &known, err)) < 0)
			break;
		else if (!row[CT_CALL_FROM_STEP] || known <= end)
			*module = id;
		got = got < 0 ? -1 : 1;
	}
	ct_scan_close(scan);
	return got < 0 ? -1 : 0;
}

static int moment_lookup(void *arg, const char *name, size_t len, const ct_u8 **node, size_t *node_len,
			 struct ct_error *err)
{
	struct dap_moment *m = arg;
	ct_u64 row[CT_CALL_NCOLS], module;
	ct_u8 *found;
	int got;

	if (m->nheld == sizeof(m->held) / sizeof(m->held[0]))
		return ct_fail(err, CT_EXIT_USAGE, "the expression has too many names");
	if (!m->call)
		return 0;
	if (m->name && strlen(m->name) == len && memcmp(m->name, name, len) == 0) {
		*node = m->known;
		*node_len = m->known_len;
		return !dap_is_unset(m->known, m->known_len);
	}
	got = dap_value_before(m->d, m->call, m->end, name, len, &found, node_len, err);
	if (got == 0) {
		if (!ct_stepdb_call_row(m->d->db, m->call, row, err) ||
		    dap_module_of(m->d, (ct_u32)row[CT_CALL_FUNCTION], m->end, &module, err) < 0)
			return -1;
		if (module)
			got = dap_value_before(m->d, module, m->end, name, len, &found, node_len, err);
	}
	if (got > 0)
		*node = m->held[m->nheld++] = found;
	return got;
}

struct dap_scope dap_moment_scope(struct dap_moment *m)
{
	return (struct dap_scope){moment_lookup, m, ct_stepdb_node_names(m->d->db)};
}

void dap_moment_deinit(struct dap_moment *m)
{
	for (unsigned i = 0; i < m->nheld; i++)
		free(m->held[i]);
	m->nheld = 0;
}

int dap_ask(struct dap_moment *m, const char *expression, char **text, struct ct_error *err)
{
	struct dap_scope scope = dap_moment_scope(m);
	struct dap_result result = {0};
	int ret = dap_eval(expression, &scope, &result, err);
	size_t n;

	*text = NULL;
	if (ret == 0) {
		*text = dap_value_text(&result.value, &scope.names, &n);
		if (!*text)
			ret = dap_no_memory(err);
	}
	free(result.scratch);
	dap_moment_deinit(m);
	return ret;
}
