/* SPDX-License-Identifier: MIT
 * Expressions over recorded values: parsed and evaluated in one go, without a tree.
 *
 * Operators and their order are Python's, with Ruby's and C's spellings of the logical ones. What is not known because
 * it was not recorded is an error, never a guess. */
#include "replay/dap_expr.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEEPEST 64 /* parentheses */

struct parser {
	const char *p;
	const struct dap_scope *scope;
	char *scratch; /* texts of literals; they are no longer than the expression */
	size_t used;
	unsigned depth;
	unsigned skip; /* the value does not count: nothing is looked up, nothing is wrong */
	struct ct_error *err;
};

static int bad(struct parser *ps, const char *what)
{
	return ct_fail(ps->err, CT_EXIT_USAGE, "%s at '%.40s'", what, ps->p);
}

static void space(struct parser *ps)
{
	while (isspace((unsigned char)*ps->p))
		ps->p++;
}

static bool name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (c & 0x80);
}

/* An operator; one made of letters ends where a name would. */
static bool take(struct parser *ps, const char *token)
{
	size_t n;

	space(ps);
	if (*ps->p != *token)
		return false;
	n = strlen(token);
	if (strncmp(ps->p, token, n) != 0 || (name_char(token[0]) && name_char(ps->p[n])))
		return false;
	ps->p += n;
	return true;
}

static struct dap_value of_bool(bool b)
{
	return (struct dap_value){.kind = DAP_BOOL, .integer = b};
}

/* ---- Comparing ---- */

static bool is_number(const struct dap_value *v)
{
	return v->kind == DAP_INT || v->kind == DAP_BOOL || v->kind == DAP_FLOAT || v->kind == DAP_BIG;
}
static bool is_integer(const struct dap_value *v)
{
	return v->kind == DAP_INT || v->kind == DAP_BOOL;
}
static double as_real(const struct dap_value *v)
{
	return is_integer(v) ? (double)v->integer : v->real;
}

static int compare_texts(struct parser *ps, const struct dap_value *a, const struct dap_value *b, int *order)
{
	size_t n = a->len < b->len ? a->len : b->len;
	int d = n ? memcmp(a->text, b->text, n) : 0;

	if (!d && (a->cut || b->cut) && !(a->cut && !b->cut && b->len < a->len) &&
	    !(b->cut && !a->cut && a->len < b->len))
		return ct_fail(ps->err, CT_EXIT_FAILED,
			       "only the first %zu bytes of the text were recorded; `ctbpf index --bytes N` keeps more",
			       a->cut ? a->len : b->len);
	*order = d ? d : (a->len > b->len) - (a->len < b->len);
	return 0;
}

static ct_u64 identity(const struct dap_value *v)
{
	const ct_u8 *p = v->node;
	struct ct_node n;

	return p && ct_node_next(&p, v->node + v->node_len, &n) ? n.info.address : 0;
}

enum { LESS = 1, EQUAL = 2, GREATER = 4 };

/* `want`: the orders that make it true; EQUAL alone, and LESS | GREATER, are for any values. */
static int compare(struct parser *ps, const struct dap_value *a, const struct dap_value *b, unsigned want, bool *is)
{
	bool ordering = want != EQUAL && want != (LESS | GREATER);
	int order = 1;

	if (is_integer(a) && is_integer(b)) {
		order = (a->integer > b->integer) - (a->integer < b->integer);
	} else if (a->kind == DAP_BIG && b->kind == DAP_BIG && a->len == b->len && !memcmp(a->text, b->text, a->len)) {
		order = 0;
	} else if (is_number(a) && is_number(b)) {
		double x = as_real(a), y = as_real(b);

		if (isnan(x) || isnan(y)) {
			*is = want == (LESS | GREATER);
			return 0;
		}
		order = (x > y) - (x < y);
		/* Rounded, a large number may look like another. */
		if (!order && (a->kind == DAP_BIG || b->kind == DAP_BIG))
			return ct_fail(ps->err, CT_EXIT_FAILED, "these large numbers are too close to be compared");
	} else if (a->kind == DAP_STRING && b->kind == DAP_STRING) {
		if (compare_texts(ps, a, b, &order))
			return -1;
	} else if (a->kind == DAP_NULL && b->kind == DAP_NULL) {
		order = 0;
	} else if (ordering) {
		return ct_fail(ps->err, CT_EXIT_FAILED, "these values have no order");
	} else if (a->kind == DAP_OTHER && b->kind == DAP_OTHER) {
		if (!identity(a) || identity(a) != identity(b))
			return ct_fail(ps->err, CT_EXIT_FAILED,
				       "containers and objects cannot be compared, only what is in them");
		order = 0;
	}
	*is = want & (order < 0 ? LESS : order > 0 ? GREATER : EQUAL);
	return 0;
}

/* ---- Items and attributes ---- */

static int not_recorded(struct parser *ps, const char *what, size_t recorded, ct_u64 all)
{
	return ct_fail(ps->err, CT_EXIT_FAILED,
		       "%s was not recorded: only %zu of %llu were; `ctbpf index --items N` keeps more", what, recorded,
		       (unsigned long long)all);
}

static int item(struct parser *ps, struct dap_value *v, struct dap_value *index)
{
	struct dap_children c;
	struct dap_child child;
	ct_s64 at = index->integer;
	ct_u64 all;
	size_t n = 0;

	if (v->kind != DAP_OTHER || !dap_children_begin(&c, v->node, v->node_len, &ps->scope->names) ||
	    c.head.tag == CT_NODE_OBJECT || c.head.tag == CT_NODE_SET)
		return ct_fail(ps->err, CT_EXIT_FAILED, "the value has no items, or they were not recorded");
	if (c.head.tag != CT_NODE_DICT && !is_integer(index))
		return ct_fail(ps->err, CT_EXIT_FAILED, "the index is no whole number");
	if (c.head.tag != CT_NODE_DICT && at < 0) {
		struct dap_children count = c;

		while (dap_children_next(&count, &child))
			n++;
		at += (ct_s64)dap_children_length(&c, n);
		n = 0;
	}
	for (; dap_children_next(&c, &child); n++) {
		bool same = c.head.tag != CT_NODE_DICT && (ct_s64)n == at;

		if (c.head.tag == CT_NODE_DICT) {
			struct dap_value key = dap_value_of(child.key, child.key_len);
			struct parser quiet = {.err = NULL};

			same = compare(&quiet, &key, index, EQUAL, &same) == 0 && same;
		}
		if (same) {
			*v = dap_value_of(child.node, child.len);
			return 0;
		}
	}
	all = dap_children_length(&c, n);
	if (all > n && (c.head.tag == CT_NODE_DICT || (at >= 0 && (ct_u64)at < all)))
		return not_recorded(ps, "this item", n, all);
	return ct_fail(ps->err, CT_EXIT_FAILED, "there is no such item: the value has %llu", (unsigned long long)all);
}

static int attribute(struct parser *ps, struct dap_value *v, const char *name, size_t len)
{
	struct dap_children c;
	struct dap_child child;
	size_t n = 0;

	if (v->kind != DAP_OTHER || !dap_children_begin(&c, v->node, v->node_len, &ps->scope->names) ||
	    c.head.tag != CT_NODE_OBJECT)
		return ct_fail(
			ps->err, CT_EXIT_FAILED,
			"no attributes of this value were recorded, so '%.*s' is not known; `ctbpf index --depth "
			"N` looks deeper",
			(int)len, name);
	for (; dap_children_next(&c, &child); n++)
		if (child.name && child.name_len == len && !memcmp(child.name, name, len)) {
			*v = dap_value_of(child.node, child.len);
			return 0;
		}
	if (c.head.info.truncated)
		return not_recorded(ps, "this attribute", n, dap_children_length(&c, n));
	return ct_fail(ps->err, CT_EXIT_FAILED, "the object has no attribute '%.*s' of its own", (int)len, name);
}

static int length(struct parser *ps, struct dap_value *v)
{
	struct dap_children c;
	struct dap_child child;
	const ct_u8 *p = v->node;
	struct ct_node n;
	ct_u64 count = 0;

	if (v->kind == DAP_OTHER && dap_children_begin(&c, v->node, v->node_len, NULL) &&
	    c.head.tag != CT_NODE_OBJECT) {
		while (dap_children_next(&c, &child))
			count++;
		count = dap_children_length(&c, count);
	} else if (v->kind == DAP_STRING) {
		if (p && ct_node_next(&p, v->node + v->node_len, &n) && n.info.length) {
			count = n.info.length;
		} else { /* in characters, unless it is bytes */
			for (size_t i = 0; i < v->len; i++)
				count += (p && n.tag == CT_NODE_BYTES) || (v->text[i] & 0xc0) != 0x80;
		}
	} else {
		return ct_fail(ps->err, CT_EXIT_FAILED, "the value has no length");
	}
	*v = (struct dap_value){.kind = DAP_INT, .integer = (ct_s64)count};
	return 0;
}

/* ---- Parsing ---- */

static int any(struct parser *ps, struct dap_value *v);

static int number(struct parser *ps, struct dap_value *v)
{
	size_t n = strspn(ps->p, "0123456789");
	const char *begin = ps->p;
	char *end;

	if ((ps->p[0] == '0' && (ps->p[1] | 32) == 'x') || (ps->p[n] != '.' && (ps->p[n] | 32) != 'e')) {
		unsigned long long u = strtoull(begin, &end, begin[0] == '0' && (begin[1] | 32) == 'x' ? 16 : 10);

		if (u > INT64_MAX)
			return bad(ps, "this number is too large");
		*v = (struct dap_value){.kind = DAP_INT, .integer = (ct_s64)u};
	} else {
		*v = (struct dap_value){.kind = DAP_FLOAT, .real = strtod(begin, &end)};
	}
	ps->p = end;
	return name_char(*end) ? bad(ps, "this is no number") : 0;
}

static int string(struct parser *ps, struct dap_value *v)
{
	static const char from[] = "ntr0", to[] = "\n\t\r";
	char quote = *ps->p++, *out = ps->scratch + ps->used;
	size_t n = 0;

	while (*ps->p && *ps->p != quote) {
		const char *escape;

		if (*ps->p == '\\' && ps->p[1]) {
			ps->p++;
			escape = strchr(from, *ps->p);
			out[n++] = escape ? to[escape - from] : *ps->p;
			ps->p++;
		} else {
			out[n++] = *ps->p++;
		}
	}
	if (!*ps->p)
		return bad(ps, "a text without an end");
	ps->p++;
	ps->used += n;
	*v = (struct dap_value){.kind = DAP_STRING, .text = out, .len = n};
	return 0;
}

static int calls(struct parser *ps)
{
	space(ps);
	return *ps->p != '(' ? 0
			     : ct_fail(ps->err, CT_EXIT_USAGE,
				       "this is a recording: its code cannot be run, so nothing can be called. Names, "
				       "attributes, [items], len() and comparisons can be asked");
}

static int name(struct parser *ps, struct dap_value *v)
{
	static const struct {
		const char *name;
		struct dap_value value;
	} constants[] = {{"None", {.kind = DAP_NULL}},
			 {"nil", {.kind = DAP_NULL}},
			 {"null", {.kind = DAP_NULL}},
			 {"True", {.kind = DAP_BOOL, .integer = 1}},
			 {"true", {.kind = DAP_BOOL, .integer = 1}},
			 {"False", {.kind = DAP_BOOL}},
			 {"false", {.kind = DAP_BOOL}}};
	const char *begin = ps->p;
	const ct_u8 *node;
	size_t n = 0, len;
	int got;

	while (begin[n] == '@' || begin[n] == '$')
		n++;
	while (name_char(begin[n]))
		n++;
	if (!n)
		return bad(ps, *begin ? "a name, number or text is expected" : "the expression ends too soon");
	for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++)
		if (strlen(constants[i].name) == n && !memcmp(constants[i].name, begin, n)) {
			ps->p += n;
			*v = constants[i].value;
			return 0;
		}
	if (n == 3 && !memcmp(begin, "len", 3) && begin[3] == '(') {
		ps->p += 4;
		if (any(ps, v))
			return -1;
		if (!take(ps, ")"))
			return bad(ps, "')' is missing");
		return ps->skip ? 0 : length(ps, v);
	}
	ps->p += n;
	*v = (struct dap_value){.kind = DAP_NULL};
	if (calls(ps))
		return -1;
	if (ps->skip)
		return 0;
	got = ps->scope->lookup(ps->scope->arg, begin, n, &node, &len, ps->err);
	if (got == 0 && ps->p[0] == '.') { /* fields that were recorded by a name of their own, "self.x" */
		while (name_char(begin[n + 1]))
			n++;
		n++;
		got = ps->scope->lookup(ps->scope->arg, begin, n, &node, &len, ps->err);
		ps->p = got > 0 ? begin + n : ps->p;
		n = got > 0 ? n : (size_t)(ps->p - begin);
	}
	if (got == 0)
		return ct_fail(ps->err, CT_EXIT_FAILED, "no value of '%.*s' is recorded here", (int)n, begin);
	if (got > 0)
		*v = dap_value_of(node, len);
	return got < 0 ? -1 : 0;
}

static int primary(struct parser *ps, struct dap_value *v)
{
	space(ps);
	if (isdigit((unsigned char)*ps->p))
		return number(ps, v);
	if (*ps->p == '"' || *ps->p == '\'')
		return string(ps, v);
	if (*ps->p != '(')
		return name(ps, v);
	ps->p++;
	if (any(ps, v))
		return -1;
	return take(ps, ")") ? 0 : bad(ps, "')' is missing");
}

static int postfix(struct parser *ps, struct dap_value *v)
{
	struct dap_value index;
	const char *begin;
	size_t n;

	if (primary(ps, v))
		return -1;
	for (;;) {
		space(ps);
		if (*ps->p == '.') {
			ps->p++;
			space(ps);
			for (n = 0; name_char(ps->p[n]);)
				n++;
			if (!n)
				return bad(ps, "an attribute's name is expected");
			begin = ps->p;
			ps->p += n;
			if (calls(ps) || (!ps->skip && attribute(ps, v, begin, n)))
				return -1;
		} else if (*ps->p == '[') {
			ps->p++;
			if (any(ps, &index))
				return -1;
			if (!take(ps, "]"))
				return bad(ps, "']' is missing");
			if (!ps->skip && item(ps, v, &index))
				return -1;
		} else {
			return 0;
		}
	}
}

static int arithmetic(struct parser *ps, struct dap_value *a, const struct dap_value *b, char op)
{
	double x = as_real(a), y = as_real(b);
	ct_s64 n = 0;

	if (ps->skip)
		return 0;
	if (!is_number(a) || !is_number(b) || a->kind == DAP_BIG || b->kind == DAP_BIG)
		return ct_fail(ps->err, CT_EXIT_FAILED, "only numbers can be calculated with");
	if ((op == '/' || op == '%' || op == 'f') && y == 0)
		return ct_fail(ps->err, CT_EXIT_FAILED, "division by zero");
	if (is_integer(a) && is_integer(b) && op != '/' &&
	    !(b->integer == -1 && a->integer == INT64_MIN && (op == '%' || op == 'f'))) {
		bool over = false;

		switch (op) {
		case '+': over = __builtin_add_overflow(a->integer, b->integer, &n); break;
		case '-': over = __builtin_sub_overflow(a->integer, b->integer, &n); break;
		case '*': over = __builtin_mul_overflow(a->integer, b->integer, &n); break;
		default: /* rounded down, as Python and Ruby have it */
			n = a->integer / b->integer - (a->integer % b->integer && (a->integer < 0) != (b->integer < 0));
			if (op == '%')
				n = a->integer - n * b->integer;
		}
		if (!over) {
			*a = (struct dap_value){.kind = DAP_INT, .integer = n};
			return 0;
		}
	}
	switch (op) {
	case '+': x += y; break;
	case '-': x -= y; break;
	case '*': x *= y; break;
	case '/': x /= y; break;
	case 'f': x = floor(x / y); break;
	default: x -= floor(x / y) * y;
	}
	*a = (struct dap_value){.kind = DAP_FLOAT, .real = x};
	return 0;
}

static int unary(struct parser *ps, struct dap_value *v)
{
	struct dap_value zero = {.kind = DAP_INT};

	if (!take(ps, "-"))
		return postfix(ps, v);
	if (++ps->depth > DEEPEST)
		return bad(ps, "the expression is too deep");
	if (unary(ps, v) || arithmetic(ps, &zero, v, '-'))
		return -1;
	ps->depth--;
	*v = zero;
	return 0;
}

static int term(struct parser *ps, struct dap_value *v)
{
	struct dap_value other;

	if (unary(ps, v))
		return -1;
	for (;;) {
		char op = take(ps, "//") ? 'f' : take(ps, "*") ? '*' : take(ps, "/") ? '/' : take(ps, "%") ? '%' : 0;

		if (!op)
			return 0;
		if (unary(ps, &other) || arithmetic(ps, v, &other, op))
			return -1;
	}
}

static int sum(struct parser *ps, struct dap_value *v)
{
	struct dap_value other;

	if (term(ps, v))
		return -1;
	for (;;) {
		char op = take(ps, "+") ? '+' : take(ps, "-") ? '-' : 0;

		if (!op)
			return 0;
		if (term(ps, &other) || arithmetic(ps, v, &other, op))
			return -1;
	}
}

static unsigned comparison_operator(struct parser *ps)
{
	static const struct {
		const char *token;
		unsigned want;
	} ops[] = {{"==", EQUAL}, {"!=", LESS | GREATER}, {"<=", LESS | EQUAL}, {">=", GREATER | EQUAL},
		   {"<", LESS},   {">", GREATER}};

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (take(ps, ops[i].token))
			return ops[i].want;
	if (take(ps, "is"))
		return take(ps, "not") ? LESS | GREATER : EQUAL;
	return 0;
}

/* a < b < c is a < b and b < c. */
static int comparison(struct parser *ps, struct dap_value *v)
{
	struct dap_value left, right;
	bool all = true, is;
	unsigned want;

	if (sum(ps, v))
		return -1;
	left = *v;
	while ((want = comparison_operator(ps))) {
		is = true;
		if (sum(ps, &right) || (!ps->skip && compare(ps, &left, &right, want, &is)))
			return -1;
		all = all && is;
		left = right;
		*v = of_bool(all);
	}
	return 0;
}

static int negation(struct parser *ps, struct dap_value *v)
{
	space(ps);
	if (!take(ps, "not") && !(ps->p[0] == '!' && ps->p[1] != '=' && take(ps, "!")))
		return comparison(ps, v);
	if (++ps->depth > DEEPEST)
		return bad(ps, "the expression is too deep");
	if (negation(ps, v))
		return -1;
	ps->depth--;
	*v = of_bool(!dap_is_true(v));
	return 0;
}

static int logical(struct parser *ps, struct dap_value *v, bool is_or)
{
	struct dap_value other;

	if (is_or ? logical(ps, v, false) : negation(ps, v))
		return -1;
	while (is_or ? take(ps, "or") || take(ps, "||") : take(ps, "and") || take(ps, "&&")) {
		bool decided = dap_is_true(v) == is_or;

		ps->skip += decided;
		if (is_or ? logical(ps, &other, false) : negation(ps, &other))
			return -1;
		ps->skip -= decided;
		if (!decided)
			*v = other;
	}
	return 0;
}

static int any(struct parser *ps, struct dap_value *v)
{
	if (++ps->depth > DEEPEST)
		return bad(ps, "the expression is too deep");
	if (logical(ps, v, true))
		return -1;
	ps->depth--;
	return 0;
}

int dap_eval(const char *text, const struct dap_scope *scope, struct dap_result *result, struct ct_error *err)
{
	struct parser ps = {.p = text, .scope = scope, .err = err};

	*result = (struct dap_result){.scratch = malloc(strlen(text) + 1)};
	ps.scratch = result->scratch;
	if (!ps.scratch)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	if (any(&ps, &result->value) == 0) {
		space(&ps);
		if (!*ps.p)
			return 0;
		if (*ps.p == '=')
			ct_fail(err, CT_EXIT_USAGE, "nothing can be changed in a recording");
		else
			bad(&ps, "this cannot be understood");
	}
	free(result->scratch);
	result->scratch = NULL;
	return -1;
}
