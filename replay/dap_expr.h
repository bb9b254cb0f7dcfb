/* SPDX-License-Identifier: MIT
 * Expressions over recorded values: names, attributes, items, comparisons, a little arithmetic. Nothing is executed.
 *
 * Used for conditions, log messages, watches and hovers. A value is a node of the step database (stepdb_node.h). */
#ifndef CT_DAP_EXPR_H
#define CT_DAP_EXPR_H

#include "formats/stepdb_node.h"

enum dap_value_kind { DAP_NULL, DAP_BOOL, DAP_INT, DAP_FLOAT, DAP_BIG, DAP_STRING, DAP_OTHER };
struct dap_value {
	enum dap_value_kind kind;
	ct_s64 integer; /* INT, BOOL */
	double real;    /* FLOAT, BIG (roughly) */
	const char *text;
	size_t len;        /* of STRING, BIG */
	bool cut;          /* STRING: not all of it was recorded */
	const ct_u8 *node; /* where it is recorded; NULL: computed */
	size_t node_len;
};

struct dap_scope {
	/* 1: the variable's node, valid until the expression is done; 0: there is none; -1. */
	int (*lookup)(void *arg, const char *name, size_t len, const ct_u8 **node, size_t *node_len,
		      struct ct_error *err);
	void *arg;
	struct ct_node_names names;
};

/* Texts of a computed value are in `scratch`, to be freed; all else belongs to the scope. */
struct dap_result {
	struct dap_value value;
	char *scratch;
};
int dap_eval(const char *text, const struct dap_scope *scope, struct dap_result *result, struct ct_error *err);
bool dap_is_true(const struct dap_value *v);
/* As it is shown; malloc'ed, NULL: no memory. */
char *dap_value_text(const struct dap_value *v, const struct ct_node_names *names, size_t *len);
struct dap_value dap_value_of(const ct_u8 *node, size_t len);

/* Walks the children of a container: `name` of a field, or `key` of a pair, or their index. */
struct dap_child {
	size_t index;
	const char *name;
	size_t name_len;
	const ct_u8 *key;
	size_t key_len;
	const ct_u8 *node;
	size_t len;
};
struct dap_children {
	struct ct_node head;
	const ct_u8 *p, *end;
	const struct ct_node_names *names;
	size_t next;
};
/* False if the node is no container. */
bool dap_children_begin(struct dap_children *c, const ct_u8 *node, size_t len, const struct ct_node_names *names);
bool dap_children_next(struct dap_children *c, struct dap_child *child);
/* How many there are of it, recorded or not. */
ct_u64 dap_children_length(const struct dap_children *c, size_t recorded);

#endif
