/* SPDX-License-Identifier: MIT
 * Values at a moment of a step database: scopes, variables with their children, expressions, exceptions.
 *
 * A value is shown as it was recorded; what of it was left out is said, as a child of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dap_steps.h"

#define SHOWN    4096 /* bytes of a value in a list */
#define RETURNED 32   /* calls of one line whose results are shown */
#define REFS_MAX 1000000

char *dap_show(struct dap_steps *d, const ct_u8 *node, size_t len, size_t *n)
{
	struct ct_node_names names = ct_stepdb_node_names(d->db);
	char *text = malloc(SHOWN + 4);

	if (!text)
		return NULL;
	*n = ct_node_format(node, len, &names, text, SHOWN);
	if (*n >= SHOWN) { /* not within a character */
		for (*n = SHOWN - 1; *n && (text[*n - 1] & 0xc0) == 0x80;)
			(*n)--;
		*n -= *n != 0 && (text[*n - 1] & 0x80);
		strcpy(text + *n, "...");
		*n += 3;
	}
	return text;
}

/* ---- References ---- */

/* Its number, 0: no memory. */
static ct_u64 add_ref(struct dap_steps *d, const struct dap_ref *ref)
{
	if (d->nrefs == d->ref_cap) {
		size_t cap = d->ref_cap ? 2 * d->ref_cap : 64;
		struct dap_ref *more = cap <= REFS_MAX ? realloc(d->ref, cap * sizeof(*more)) : NULL;

		if (!more)
			return 0;
		d->ref = more;
		d->ref_cap = cap;
	}
	d->ref[d->nrefs++] = *ref;
	return d->nrefs;
}

static size_t count_children(struct dap_steps *d, const ct_u8 *node, size_t len, bool *indexed)
{
	struct ct_node_names names = ct_stepdb_node_names(d->db);
	struct dap_children c;
	struct dap_child child;
	size_t n = 0;

	if (!dap_children_begin(&c, node, len, &names))
		return 0;
	*indexed = c.head.tag != CT_NODE_OBJECT && c.head.tag != CT_NODE_DICT;
	while (dap_children_next(&c, &child))
		n++;
	return n + (c.head.info.truncated || c.head.info.length > n);
}

static const char *type_name(struct dap_steps *d, const ct_u8 *node, size_t len, size_t *n)
{
	const struct ct_name *type;
	struct ct_node head;

	*n = 0;
	if (!ct_node_next(&node, node + len, &head))
		return "";
	type = ct_stepdb_name(d->db, CT_TYPES, head.info.type);
	if (type) {
		*n = type->len;
		return type->text;
	}
	*n = head.tag == CT_NODE_TRUE || head.tag == CT_NODE_FALSE ? 4 : 0;
	return "bool";
}

const char *dap_exception_type(struct dap_steps *d, const ct_u8 *node, size_t len, size_t *n)
{
	const ct_u8 *p = node;
	struct ct_node head;

	/* Not made an instance yet: the class itself, shown by its name. */
	if (ct_node_next(&p, node + len, &head) && head.tag == CT_NODE_TEXT) {
		*n = head.text_len;
		return (const char *)head.text;
	}
	return type_name(d, node, len, n);
}

/* What a variable and an answer to `evaluate` have in common: `key` is what the value is called there. A value with
 * children gets a reference. */
static json_t *shown(struct dap_steps *d, const char *key, const ct_u8 *node, size_t len, const char *expression,
		     ct_u64 call)
{
	size_t n, type_len, children;
	bool indexed = false;
	char *text = dap_show(d, node, len, &n);
	const char *type = type_name(d, node, len, &type_len);
	ct_u64 reference = 0;
	json_t *o;

	children = count_children(d, node, len, &indexed);
	if (children && text) {
		struct dap_ref ref = {.kind = DAP_REF_VALUE,
				      .node = malloc(len),
				      .len = len,
				      .call = call,
				      .name = expression ? strdup(expression) : NULL};

		if (ref.node) {
			memcpy(ref.node, node, len);
			reference = add_ref(d, &ref);
		}
		if (!reference) {
			free(ref.node);
			free(ref.name);
		}
	}
	o = text ? json_pack("{s:o, s:I}", key, dap_text(text, n), "variablesReference", (json_int_t)reference) : NULL;
	if (o && type_len)
		json_object_set_new(o, "type", dap_text(type, type_len));
	if (o && reference)
		json_object_set_new(o, indexed ? "indexedVariables" : "namedVariables",
				    json_integer((json_int_t)children));
	if (o && expression)
		json_object_set_new(o, "evaluateName", dap_text(expression, strlen(expression)));
	free(text);
	return o;
}

static void add_variable(struct dap_steps *d, json_t *list, const char *name, size_t name_len, const ct_u8 *node,
			 size_t len, const char *expression, ct_u64 call)
{
	json_t *o = shown(d, "value", node, len, expression, call);

	if (o)
		json_object_set_new(o, "name", dap_text(name, name_len));
	if (o)
		json_array_append_new(list, o);
}

/* ---- Scopes ---- */

struct listing {
	struct dap_steps *d;
	json_t *list;
	ct_u64 call;
	const char *what; /* RETURNED: the name */
};

static int list_one(void *arg, const struct ct_local *local)
{
	struct listing *l = arg;
	const struct ct_name *v = ct_stepdb_name(l->d->db, CT_VARIABLES, local->variable);
	const struct ct_name *name = ct_stepdb_name(l->d->db, CT_STRINGS, v->v[CT_VAR_NAME]);

	if (dap_is_unset(local->node, local->len))
		return 0;
	if (l->what)
		add_variable(l->d, l->list, l->what, strlen(l->what), local->node, local->len, NULL, 0);
	else if (name)
		add_variable(l->d, l->list, name->text, name->len, local->node, local->len, name->text, l->call);
	return 0;
}

/* What the line before gave back: results of the calls that it made itself. */
static int list_returned(struct dap_steps *d, const struct dap_frame *f, json_t *list, struct ct_error *err)
{
	struct ct_scan_spec spec = {.table = CT_CALLS, .nranges = 2};
	struct listing l = {.d = d, .list = list};
	struct dap_row cause;
	struct ct_scan *scan;
	char name[200];
	ct_u64 step, id, row[CT_CALL_NCOLS];
	int got;

	if (d->exception && d->at.cause && dap_get_row(d, d->at.cause, &cause, err) == 0) {
		add_variable(d, list, "(exception)", 11, cause.node, cause.len, NULL, 0);
		free(cause.node);
	}
	if (d->at.row) {
		l.what = "(return value)";
		if (ct_stepdb_latest(d->db, f->call, d->at.end, DAP_KIND(CT_VALUE_RETURN), list_one, &l, err) < 0)
			return -1;
	}
	got = dap_next_step(d, 0, f->call, f->call, d->at.row ? d->at.step + 1 : d->at.step, true, &step, err);
	if (got <= 0)
		return got;
	spec.range[0] = (struct ct_range){CT_CALL_FROM_STEP, step, step};
	spec.range[1] = (struct ct_range){CT_CALL_PARENT, f->call, f->call};
	scan = ct_scan_open(d->db, &spec, err);
	got = scan ? 1 : -1;
	for (unsigned n = 0; got > 0 && n < RETURNED && (got = ct_scan_next(scan, &id, err)) > 0; n++) {
		if (!ct_stepdb_call_row(d->db, id, row, err)) {
			got = -1;
			break;
		}
		const struct ct_name *function = ct_stepdb_name(d->db, CT_FUNCTIONS, row[CT_CALL_FUNCTION]);

		snprintf(name, sizeof(name), "%.180s()", function ? function->text : "?");
		l.what = name;
		if (ct_stepdb_latest(d->db, id, d->at.end, DAP_KIND(CT_VALUE_RETURN), list_one, &l, err) < 0)
			got = -1;
	}
	ct_scan_close(scan);
	return got < 0 ? -1 : 0;
}

static int add_scope(struct dap_steps *d, json_t *list, const struct dap_ref *ref, const char *name, const char *hint)
{
	ct_u64 reference = add_ref(d, ref);

	return reference ? json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:b}", "name", name,
								 "presentationHint", hint, "variablesReference",
								 (json_int_t)reference, "expensive", 0))
			 : -1;
}

json_t *dap_steps_scopes(struct dap_debuggee *base, ct_u64 frame, struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	const struct dap_frame *f = dap_get_frame(d, frame, err);
	struct dap_ref ref = {.kind = DAP_REF_LOCALS};
	ct_u64 module, step = 0, row[CT_STEP_NCOLS] = {0};
	json_t *list = f ? json_array() : NULL;
	char name[160];

	if (!f)
		return NULL;
	ref.frame = *f;
	if (dap_module_of(d, f->function, d->at.end, &module, err) < 0)
		goto fail;
	if (add_scope(d, list, &ref, "Locals", "locals") < 0)
		goto no_memory;
	if (ref.frame.call == d->at.call) {
		json_t *any = json_array();
		int ret = list_returned(d, &ref.frame, any, err);
		size_t n = json_array_size(any);

		json_decref(any);
		if (ret < 0)
			goto fail;
		ref.kind = DAP_REF_RETURNED;
		if (n && add_scope(d, list, &ref, "Returned", "returnValue") < 0)
			goto no_memory;
	}
	if (!module)
		return list;
	/* Globals were looked at when the module's own lines began: later changes are not known. */
	if (dap_next_step(d, 0, module, module, d->at.step + 1, true, &step, err) < 0 ||
	    (step && !ct_stepdb_step_row(d->db, step, row, err)))
		goto fail;
	if (!step)
		return list;
	const struct ct_name *l = ct_stepdb_name(d->db, CT_LOCATIONS, row[CT_STEP_LOCATION]);

	snprintf(name, sizeof(name), "Globals as of <module> line %llu (step %llu)",
		 (unsigned long long)(l ? l->v[CT_LOC_LINE] : 0), (unsigned long long)step);
	ref = (struct dap_ref){.kind = DAP_REF_GLOBALS, .frame = {.call = module}};
	if (add_scope(d, list, &ref, name, "globals") == 0)
		return list;
no_memory:
	dap_no_memory(err);
fail:
	json_decref(list);
	return NULL;
}

/* ---- Children ---- */

/* An expression for a child, NULL if there is none. */
static char *child_name(struct dap_steps *d, const struct dap_ref *ref, const struct dap_children *c,
			const struct dap_child *child)
{
	char *text = NULL, *key;
	size_t n;
	int ret = -1;

	if (!ref->name || c->head.tag == CT_NODE_SET)
		return NULL;
	if (c->head.tag == CT_NODE_OBJECT)
		ret = asprintf(&text, "%s.%.*s", ref->name, (int)child->name_len, child->name ? child->name : "");
	else if (!child->key)
		ret = asprintf(&text, "%s[%zu]", ref->name, child->index);
	else if ((key = dap_show(d, child->key, child->key_len, &n))) {
		ret = asprintf(&text, "%s[%s]", ref->name, key);
		free(key);
	}
	return ret < 0 ? NULL : text;
}

static void list_children(struct dap_steps *d, const struct dap_ref *ref, size_t start, size_t count, json_t *list)
{
	struct ct_node_names names = ct_stepdb_node_names(d->db);
	struct dap_children c;
	struct dap_child child;
	char text[64];
	size_t n = 0, len;

	if (!dap_children_begin(&c, ref->node, ref->len, &names))
		return;
	for (; dap_children_next(&c, &child); n++) {
		char *expression, *key = NULL;
		const char *name = child.name;

		if (n < start || (count && n - start >= count))
			continue;
		expression = child_name(d, ref, &c, &child);
		len = child.name_len;
		if (child.key) {
			name = key = dap_show(d, child.key, child.key_len, &len);
		} else if (!name) {
			len = (size_t)snprintf(text, sizeof(text), "%zu", n);
			name = text;
		}
		if (name)
			add_variable(d, list, name, len, child.node, child.len, expression, ref->call);
		free(expression);
		free(key);
	}
	if (n < start || (count && n - start >= count) || !(c.head.info.truncated || c.head.info.length > n))
		return;
	if (c.head.info.length > n)
		snprintf(text, sizeof(text), "%llu more, not recorded", (unsigned long long)(c.head.info.length - n));
	else
		snprintf(text, sizeof(text), "more, not recorded");
	json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:{s:[s]}}", "name", "...", "value", text,
					      "variablesReference", 0, "presentationHint", "attributes", "readOnly"));
}

json_t *dap_steps_variables(struct dap_debuggee *base, ct_u64 reference, size_t start, size_t count,
			    struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	struct listing l = {.d = d};
	struct dap_ref ref;
	int ret = 0;

	if (!reference || reference > d->nrefs) {
		ct_fail(err, CT_EXIT_USAGE, "there are no variables %llu: the program has moved on",
			(unsigned long long)reference);
		return NULL;
	}
	ref = d->ref[reference - 1]; /* the list may move */
	l.list = json_array();
	l.call = ref.frame.call;
	switch (ref.kind) {
	case DAP_REF_LOCALS:
	case DAP_REF_GLOBALS:
		ret = ct_stepdb_latest(d->db, ref.frame.call, d->at.end, DAP_VARIABLES, list_one, &l, err);
		break;
	case DAP_REF_RETURNED: ret = list_returned(d, &ref.frame, l.list, err); break;
	case DAP_REF_VALUE: list_children(d, &ref, start, count, l.list); break;
	}
	if (ret == 0)
		return l.list;
	json_decref(l.list);
	return NULL;
}

/* ---- Expressions ---- */

json_t *dap_steps_evaluate(struct dap_debuggee *base, ct_u64 frame, const char *text, struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	const struct dap_frame *f = dap_get_frame(d, frame, err);
	struct dap_moment m = {.d = d, .call = f ? f->call : 0, .end = d->at.end};
	struct dap_scope scope = dap_moment_scope(&m);
	struct dap_result result = {0};
	json_t *o = NULL;
	char *value;
	size_t n;

	if (!f || dap_eval(text, &scope, &result, err) < 0)
		goto out;
	if (result.value.node) {
		o = shown(d, "result", result.value.node, result.value.node_len, text, m.call);
	} else if ((value = dap_value_text(&result.value, &scope.names, &n))) {
		o = json_pack("{s:o, s:i}", "result", dap_text(value, n), "variablesReference", 0);
		free(value);
	}
	if (!o)
		dap_no_memory(err);
out:
	free(result.scratch);
	dap_moment_deinit(&m);
	return o;
}

json_t *dap_steps_exception(struct dap_debuggee *base, ct_u32 thread, struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	struct dap_row row;
	size_t n, type_len;
	const char *type;
	char *text;
	json_t *o;

	if (!d->exception || (thread && thread != d->at.thread)) {
		ct_fail(err, CT_EXIT_USAGE, "the thread does not stand at an exception");
		return NULL;
	}
	if (dap_get_row(d, d->at.cause, &row, err) < 0)
		return NULL;
	type = dap_exception_type(d, row.node, row.len, &type_len);
	text = dap_show(d, row.node, row.len, &n);
	o = text ? json_pack("{s:o, s:o, s:s, s:{s:o, s:o}}", "exceptionId", dap_text(type, type_len), "description",
			     dap_text(text, n), "breakMode", d->exception == DAP_UNCAUGHT ? "unhandled" : "always",
			     "details", "typeName", dap_text(type, type_len), "message", dap_text(text, n))
		 : NULL;
	free(text);
	free(row.node);
	if (!o)
		dap_no_memory(err);
	return o;
}

/* ---- Data breakpoints ---- */

static json_t *no_data(const char *why)
{
	return json_pack("{s:n, s:s}", "dataId", "description", why);
}

/* The name an expression begins with. */
static size_t first_name(const char *text)
{
	size_t n = strcspn(text, ".[ +-*/%<>=!()\"'&|");

	return text[n] == '.' || text[n] == '[' || !text[n] ? n : 0;
}

json_t *dap_steps_data_info(struct dap_debuggee *base, ct_u64 reference, ct_u64 frame, const char *name,
			    struct ct_error *err)
{
	struct dap_steps *d = dap_steps_of(base);
	const struct dap_frame *f = NULL;
	char *path = NULL, *id = NULL, *text = NULL;
	const struct dap_ref *ref = reference && reference <= d->nrefs ? &d->ref[reference - 1] : NULL;
	ct_u64 call = 0;
	json_t *o;

	if (reference && !ref) {
		ct_fail(err, CT_EXIT_USAGE, "there are no variables %llu: the program has moved on",
			(unsigned long long)reference);
		return NULL;
	}
	if (ref && ref->kind == DAP_REF_VALUE && ref->name) {
		struct ct_node_names names = ct_stepdb_node_names(d->db);
		struct dap_children c;
		struct dap_child child;

		call = ref->call;
		if (dap_children_begin(&c, ref->node, ref->len, &names))
			while (!path && dap_children_next(&c, &child)) {
				char index[32];
				size_t n = child.name_len;
				char *key = child.key ? dap_show(d, child.key, child.key_len, &n) : NULL;
				const char *is = child.name ? child.name : key ? key : index;

				if (is == index)
					n = (size_t)snprintf(index, sizeof(index), "%zu", child.index);
				if (strlen(name) == n && memcmp(is, name, n) == 0)
					path = child_name(d, ref, &c, &child);
				free(key);
			}
	} else if (ref && (ref->kind == DAP_REF_LOCALS || ref->kind == DAP_REF_GLOBALS)) {
		call = ref->frame.call;
		path = strdup(name);
	} else if (!ref && strchr(name, ':') && !strchr(name, '[')) {
		return json_pack("{s:s, s:s, s:[s], s:b}", "dataId", name, "description", name, "accessTypes", "write",
				 "canPersist", 1);
	} else if (!ref) {
		f = dap_get_frame(d, frame, err);
		if (!f)
			return NULL;
		call = f->call;
		path = strdup(name);
	}
	if (!path || !call || !first_name(path)) {
		free(path);
		return no_data(
			"only variables of a frame, their items and attributes can be watched, or FUNCTION:VARIABLE");
	}
	if (dap_ask(&(struct dap_moment){.d = d, .call = call, .end = d->at.end}, path, &text, NULL) < 0 &&
	    path[first_name(path)]) {
		free(path);
		return no_data("this value is not recorded here");
	}
	if (asprintf(&id, "%llu/%.*s/%s", (unsigned long long)call, (int)first_name(path), path, path) < 0)
		id = NULL;
	o = id ? json_pack("{s:o, s:o, s:[s], s:b}", "dataId", dap_text(id, strlen(id)), "description",
			   dap_text(path, strlen(path)), "accessTypes", "write", "canPersist", 0)
	       : NULL;
	free(text);
	free(path);
	free(id);
	if (!o)
		dap_no_memory(err);
	return o;
}
