/* SPDX-License-Identifier: MIT
 * Recorded values as debuggers show them: children of containers, and the text of a value. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dap_expr.h"

/* The bytes behind the value at p, NULL if it makes no sense. */
static const ct_u8 *dap_node_skip(const ct_u8 *p, const ct_u8 *end)
{
	unsigned depth = 0;
	struct ct_node node;

	do {
		if (!ct_node_next(&p, end, &node))
			return NULL;
		if (node.tag == CT_NODE_END) {
			if (!depth)
				return NULL;
			depth--;
		} else if (node.tag >= CT_NODE_LIST && node.tag <= CT_NODE_OBJECT) {
			depth++;
		}
	} while (depth);
	return p;
}

bool dap_children_begin(struct dap_children *c, const ct_u8 *node, size_t len, const struct ct_node_names *names)
{
	*c = (struct dap_children){.p = node, .end = node + len, .names = names};
	return ct_node_next(&c->p, c->end, &c->head) && c->head.tag >= CT_NODE_LIST && c->head.tag <= CT_NODE_OBJECT;
}

bool dap_children_next(struct dap_children *c, struct dap_child *child)
{
	const ct_u8 *p = c->p, *begin;
	struct ct_node node;

	*child = (struct dap_child){.index = c->next};
	if (c->head.tag == CT_NODE_OBJECT) {
		if (!ct_node_next(&p, c->end, &node) || node.tag != CT_NODE_FIELD)
			return false;
		child->name = c->names ? c->names->string(c->names->arg, node.info.type, &child->name_len) : NULL;
	} else if (c->head.tag == CT_NODE_DICT) {
		begin = p;
		p = dap_node_skip(p, c->end);
		if (!p)
			return false;
		child->key = begin;
		child->key_len = (size_t)(p - begin);
	}
	begin = p;
	p = dap_node_skip(p, c->end); /* NULL at the container's end, too */
	if (!p)
		return false;
	child->node = begin;
	child->len = (size_t)(p - begin);
	c->p = p;
	c->next++;
	return true;
}

ct_u64 dap_children_length(const struct dap_children *c, size_t recorded)
{
	return c->head.info.length > recorded ? c->head.info.length : recorded;
}

struct dap_value dap_value_of(const ct_u8 *node, size_t len)
{
	struct dap_value v = {.kind = DAP_OTHER, .node = node, .node_len = len};
	const ct_u8 *p = node;
	char text[64];
	struct ct_node n;

	if (!ct_node_next(&p, node + len, &n))
		return v;
	v.text = (const char *)n.text;
	v.len = n.text_len;
	v.cut = n.info.truncated;
	switch (n.tag) {
	case CT_NODE_NULL: v.kind = DAP_NULL; break;
	case CT_NODE_FALSE:
	case CT_NODE_TRUE:
		v.kind = DAP_BOOL;
		v.integer = n.tag == CT_NODE_TRUE;
		break;
	case CT_NODE_INT:
		v.kind = DAP_INT;
		v.integer = n.integer;
		break;
	case CT_NODE_FLOAT:
		v.kind = DAP_FLOAT;
		v.real = n.real;
		break;
	case CT_NODE_NUMBER:
		if (v.cut || v.len >= sizeof(text))
			break;
		memcpy(text, v.text, v.len);
		text[v.len] = 0;
		v.kind = DAP_BIG;
		v.real = strtod(text, NULL);
		break;
	case CT_NODE_STRING:
	case CT_NODE_BYTES:
	case CT_NODE_TEXT: v.kind = DAP_STRING; break;
	default: break;
	}
	return v;
}

char *dap_value_text(const struct dap_value *v, const struct ct_node_names *names, size_t *len)
{
	struct ct_node_builder b = {0};
	const ct_u8 *node = v->node;
	size_t n = v->node_len;
	char *text = NULL;

	if (!node) {
		switch (v->kind) {
		case DAP_BOOL: ct_node_plain(&b, v->integer ? CT_NODE_TRUE : CT_NODE_FALSE, NULL); break;
		case DAP_INT: ct_node_int(&b, v->integer, NULL); break;
		case DAP_FLOAT: ct_node_float(&b, v->real, NULL); break;
		case DAP_STRING: ct_node_text(&b, CT_NODE_STRING, v->text, v->len, NULL); break;
		default: ct_node_plain(&b, CT_NODE_NULL, NULL);
		}
		node = b.data;
		n = b.len;
	}
	if (!b.failed) {
		*len = ct_node_format(node, n, names, NULL, 0);
		text = malloc(*len + 1);
		if (text)
			ct_node_format(node, n, names, text, *len + 1);
	}
	ct_node_free(&b);
	return text;
}

bool dap_is_true(const struct dap_value *v)
{
	struct dap_children c;
	struct dap_child child;

	switch (v->kind) {
	case DAP_NULL: return false;
	case DAP_BOOL:
	case DAP_INT: return v->integer != 0;
	case DAP_FLOAT:
	case DAP_BIG: return v->real != 0;
	case DAP_STRING: return v->len || v->cut;
	case DAP_OTHER: break;
	}
	/* An empty container is false; any other object counts as true. */
	return !dap_children_begin(&c, v->node, v->node_len, NULL) || c.head.tag == CT_NODE_OBJECT ||
	       c.head.info.length || dap_children_next(&c, &child);
}
