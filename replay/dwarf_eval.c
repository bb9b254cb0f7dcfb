/* SPDX-License-Identifier: MIT
 * Debug information: expressions over variables, registers and memory, as C writes them.
 *
 * Parsed and evaluated in one go. Nothing is called or changed; what cannot be known is an error. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dwarf_priv.h"

#define DEEPEST 64

struct parser {
	const char *p;
	const struct ct_dwarf_place *place;
	unsigned depth;
	unsigned skip; /* the value does not count: nothing of it is wrong */
	struct ct_error *err;
};
typedef struct ct_dwarf_value value;

static const char no_calls[] = "functions cannot be called: the program is not running";

static int bad(struct parser *ps, const char *what)
{
	return ct_fail(ps->err, CT_EXIT_USAGE, "%s at '%.40s'", what, ps->p);
}

static void space(struct parser *ps)
{
	while (isspace((unsigned char)*ps->p))
		ps->p++;
}

static bool name_start(char c)
{
	return isalpha((unsigned char)c) || c == '_' || (c & 0x80);
}
static bool name_char(char c)
{
	return name_start(c) || isdigit((unsigned char)c);
}

static bool take(struct parser *ps, const char *token)
{
	const size_t n = strlen(token);

	space(ps);
	if (strncmp(ps->p, token, n) != 0)
		return false;
	/* Of operators the longest one is meant: a & b is not the beginning of a && b. */
	if (n == 1 && strchr("&|<>=", *token) && (ps->p[1] == *token || (ps->p[1] == '=' && *token != '&')))
		return false;
	if (n == 1 && *token == '!' && ps->p[1] == '=')
		return false;
	ps->p += n;
	return true;
}

static int number_of(struct parser *ps, const value *v, struct ct_dwarf_number *n)
{
	if (!ps->skip)
		return ct_dwarf_number(ps->place, v, n, ps->err);
	*n = (struct ct_dwarf_number){.cls = CT_DWARF_SIGNED, .u = 1};
	return 0;
}

static value real(double f)
{
	value v = ct_dwarf_integer(0, true);

	v.is_real = true;
	memcpy(v.held, &f, sizeof(f));
	return v;
}

/* ---- operands ---- */

static int expression(struct parser *ps, value *v);
static int unary(struct parser *ps, value *v);

static int register_named(struct parser *ps, value *v)
{
	static const char *const names[CT_DW_REGS] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8",
						      "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip"};
	const struct ct_dwarf_stack *s = ps->place->stack;
	const char *begin = ++ps->p;
	size_t n = 0;

	while (name_char(begin[n]))
		n++;
	ps->p += n;
	*v = ct_dwarf_integer(0, false);
	for (unsigned i = 0; i < CT_DW_REGS; i++) {
		if (strncmp(begin, names[i], n) != 0 || names[i][n])
			continue;
		if (ps->skip)
			return 0;
		if (!s || ps->place->frame >= s->n || !(s->frame[ps->place->frame].regs.known >> i & 1))
			return ct_fail(ps->err, CT_EXIT_FAILED,
				       "$%s was overwritten by a call: not known in this frame", names[i]);
		*v = ct_dwarf_integer(s->frame[ps->place->frame].regs.r[i], false);
		return 0;
	}
	ps->p = begin - 1;
	return bad(ps, "there is no such register");
}

static int character(struct parser *ps, value *v)
{
	static const char letters[] = "abtnvfr0", codes[] = "\a\b\t\n\v\f\r";
	const char *e;
	char c = *++ps->p;

	if (c == '\\') {
		c = *++ps->p;
		e = c ? strchr(letters, c) : NULL;
		if (e)
			c = codes[e - letters];
	}
	if (!*ps->p || ps->p[1] != '\'')
		return bad(ps, "a character has no end");
	ps->p += 2;
	*v = ct_dwarf_integer((ct_u64)(ct_s64)c, true);
	return 0;
}

static int literal(struct parser *ps, value *v)
{
	char *end, *end_of_real;
	ct_u64 n;
	double f;

	errno = 0;
	n = strtoull(ps->p, &end, 0);
	f = strtod(ps->p, &end_of_real);
	if (end_of_real > end && strncmp(ps->p, "0x", 2) != 0) {
		ps->p = end_of_real;
		*v = real(f);
		return 0;
	}
	if (errno)
		return bad(ps, "the number is too large");
	ps->p = end;
	while (*ps->p && strchr("uUlL", *ps->p))
		ps->p++;
	*v = ct_dwarf_integer(n, n <= INT64_MAX);
	return 0;
}

/* A function stands for its address; *ps->err says already that there is no variable of this name. */
static int function_named(struct parser *ps, const char *begin, value *v)
{
	char name[256];
	const size_t n = (size_t)snprintf(name, sizeof(name), "%.*s", (int)(ps->p - begin), begin);
	const ct_u64 addr = n < sizeof(name) ? ct_dwarf_symbol(ps->place->d, name) : 0;

	*v = ct_dwarf_integer(addr, false);
	return addr ? 0 : -1;
}

static int variable(struct parser *ps, value *v)
{
	const char *begin = ps->p;

	while (name_char(*ps->p) || (ps->p[0] == ':' && ps->p[1] == ':' && name_start(ps->p[2]))) {
		if (*ps->p == ':')
			ps->p++;
		ps->p++;
	}
	*v = ct_dwarf_integer(0, true);
	if ((size_t)(ps->p - begin) == 4 && !memcmp(begin, "true", 4)) {
		*v = ct_dwarf_integer(1, true);
		return 0;
	}
	if (((size_t)(ps->p - begin) == 5 && !memcmp(begin, "false", 5)) ||
	    ((size_t)(ps->p - begin) == 4 && !memcmp(begin, "NULL", 4)) ||
	    ((size_t)(ps->p - begin) == 7 && !memcmp(begin, "nullptr", 7)))
		return 0;
	if (ps->skip || !ct_dwarf_find_variable(ps->place, begin, (size_t)(ps->p - begin), v, ps->err))
		return 0;
	space(ps);
	if (*ps->p == '(')
		return bad(ps, no_calls);
	return function_named(ps, begin, v);
}

static int primary(struct parser *ps, value *v)
{
	space(ps);
	if (*ps->p == '$')
		return register_named(ps, v);
	if (*ps->p == '\'')
		return character(ps, v);
	if (isdigit((unsigned char)*ps->p) || (*ps->p == '.' && isdigit((unsigned char)ps->p[1])))
		return literal(ps, v);
	if (take(ps, "(")) {
		if (expression(ps, v))
			return -1;
		return take(ps, ")") ? 0 : bad(ps, "a ')' is missing");
	}
	if (name_start(*ps->p))
		return variable(ps, v);
	return bad(ps, *ps->p ? "this is no expression" : "something is missing");
}

static int postfix(struct parser *ps, value *v)
{
	if (primary(ps, v))
		return -1;
	for (;;) {
		struct ct_dwarf_number n;
		value index, object = *v;
		const char *name;

		if (take(ps, "[")) {
			if (expression(ps, &index))
				return -1;
			if (!take(ps, "]"))
				return bad(ps, "a ']' is missing");
			if (number_of(ps, &index, &n) ||
			    (!ps->skip && ct_dwarf_element(ps->place, &object, (ct_s64)n.u, v, ps->err)))
				return -1;
		} else if (take(ps, "->") || take(ps, ".")) {
			space(ps);
			name = ps->p;
			while (name_char(*ps->p))
				ps->p++;
			if (ps->p == name)
				return bad(ps, "a member's name is missing");
			if (!ps->skip && ct_dwarf_member(ps->place, &object, name, (size_t)(ps->p - name), v, ps->err))
				return -1;
		} else if (take(ps, "(")) {
			return bad(ps, no_calls);
		} else {
			return 0;
		}
	}
}

static int address_of(struct parser *ps, value *v)
{
	value to = *v;

	if (ps->skip)
		return 0;
	if (v->where != CT_DWARF_IN_MEMORY)
		return ct_fail(ps->err, CT_EXIT_FAILED, "this is not in memory: %s",
			       v->where == CT_DWARF_HELD ? "it is in a register" : v->why);
	to.where = CT_DWARF_HELD;
	memset(to.held, 0, sizeof(to.held));
	memcpy(to.held, &v->addr, 8);
	to.held_known = 0xff;
	to.pointers++;
	*v = to;
	return 0;
}

static int apply_unary(struct parser *ps, char op, value *v)
{
	struct ct_dwarf_number n;

	if (number_of(ps, v, &n))
		return -1;
	if (op == '!') {
		*v = ct_dwarf_integer(n.cls == CT_DWARF_FLOAT ? n.f == 0 : n.u == 0, true);
		return 0;
	}
	if (n.cls == CT_DWARF_FLOAT && op != '~')
		*v = real(op == '-' ? -n.f : n.f);
	else if (n.cls == CT_DWARF_FLOAT)
		return ct_fail(ps->err, CT_EXIT_FAILED, "a floating point number has no bits to turn round");
	else
		*v = ct_dwarf_integer(op == '-' ? -n.u : op == '~' ? ~n.u : n.u, op == '-' || n.cls == CT_DWARF_SIGNED);
	return 0;
}

static int unary(struct parser *ps, value *v)
{
	static const char ops[] = "!~-+";
	value from;
	int ret = -1;

	if (++ps->depth > DEEPEST) {
		ps->depth--;
		return bad(ps, "this is too deep");
	}
	space(ps);
	if (*ps->p && strchr(ops, *ps->p) && !(ps->p[0] == '!' && ps->p[1] == '=')) {
		const char op = *ps->p++;

		if (!unary(ps, v))
			ret = apply_unary(ps, op, v);
	} else if (take(ps, "*")) {
		if (!unary(ps, &from))
			ret = ps->skip ? (*v = from, 0) : ct_dwarf_dereference(ps->place, &from, v, ps->err);
	} else if (take(ps, "&")) {
		if (!unary(ps, v))
			ret = address_of(ps, v);
	} else if (!strncmp(ps->p, "sizeof", 6) && !name_char(ps->p[6])) {
		ps->p += 6;
		if (!unary(ps, v)) {
			*v = ct_dwarf_integer(ct_dwarf_size_at(ps->place, v), false);
			ret = 0;
		}
	} else {
		ret = postfix(ps, v);
	}
	ps->depth--;
	return ret;
}

/* ---- operators ---- */

enum op { OR, AND, BIT_OR, BIT_XOR, BIT_AND, EQ, NE, LE, GE, LT, GT, SHL, SHR, ADD, SUB, MUL, DIV, MOD };
static const struct {
	const char *token;
	enum op op;
	int level;
} operators[] = {{"||", OR, 0}, {"&&", AND, 1}, {"|", BIT_OR, 2}, {"^", BIT_XOR, 3}, {"&", BIT_AND, 4}, {"==", EQ, 5},
		 {"!=", NE, 5}, {"<=", LE, 6},  {">=", GE, 6},    {"<<", SHL, 7},    {">>", SHR, 7},    {"<", LT, 6},
		 {">", GT, 6},  {"+", ADD, 8},  {"-", SUB, 8},    {"*", MUL, 9},     {"/", DIV, 9},     {"%", MOD, 9}};
#define LEVELS 10

static double as_real(const struct ct_dwarf_number *n)
{
	return n->cls == CT_DWARF_FLOAT ? n->f : n->cls == CT_DWARF_SIGNED ? (double)(ct_s64)n->u : (double)n->u;
}

static int on_reals(struct parser *ps, enum op op, double a, double b, value *v)
{
	switch (op) {
	case EQ: *v = ct_dwarf_integer(a == b, true); return 0;
	case NE: *v = ct_dwarf_integer(a != b, true); return 0;
	case LT: *v = ct_dwarf_integer(a < b, true); return 0;
	case LE: *v = ct_dwarf_integer(a <= b, true); return 0;
	case GT: *v = ct_dwarf_integer(a > b, true); return 0;
	case GE: *v = ct_dwarf_integer(a >= b, true); return 0;
	case ADD: *v = real(a + b); return 0;
	case SUB: *v = real(a - b); return 0;
	case MUL: *v = real(a * b); return 0;
	case DIV: *v = real(a / b); return 0;
	default: return ct_fail(ps->err, CT_EXIT_FAILED, "this cannot be done with floating point numbers");
	}
}

static int on_integers(struct parser *ps, enum op op, ct_u64 a, ct_u64 b, bool is_signed, value *v)
{
	const ct_s64 x = (ct_s64)a, y = (ct_s64)b;
	ct_u64 r = 0;

	if ((op == DIV || op == MOD) && (!b || (is_signed && x == INT64_MIN && y == -1)))
		return ct_fail(ps->err, CT_EXIT_FAILED, "a division by zero, or one whose result is too large");
	switch (op) {
	case BIT_OR: r = a | b; break;
	case BIT_XOR: r = a ^ b; break;
	case BIT_AND: r = a & b; break;
	case EQ: r = a == b; break;
	case NE: r = a != b; break;
	case LT: r = is_signed ? x < y : a < b; break;
	case LE: r = is_signed ? x <= y : a <= b; break;
	case GT: r = is_signed ? x > y : a > b; break;
	case GE: r = is_signed ? x >= y : a >= b; break;
	case SHL: r = b < 64 ? a << b : 0; break;
	case SHR: r = is_signed ? (ct_u64)(x >> (b < 63 ? b : 63)) : b < 64 ? a >> b : 0; break;
	case ADD: r = a + b; break;
	case SUB: r = a - b; break;
	case MUL: r = a * b; break;
	case DIV: r = is_signed ? (ct_u64)(x / y) : a / b; break;
	case MOD: r = is_signed ? (ct_u64)(x % y) : a % b; break;
	default: break;
	}
	*v = ct_dwarf_integer(r, is_signed || (op >= EQ && op <= GT));
	return 0;
}

/* p + n, p - n, p - q. */
static int on_pointers(struct parser *ps, enum op op, const value *a, const struct ct_dwarf_number *x, const value *b,
		       const struct ct_dwarf_number *y, value *v)
{
	const bool left = x->cls == CT_DWARF_POINTER;
	value element;
	ct_u64 size = 1;
	ct_u64 addr;

	if (!ct_dwarf_element(ps->place, left ? a : b, 0, &element, NULL))
		size = ct_dwarf_size_at(ps->place, &element);
	size = size ? size : 1;
	if (op == SUB && y->cls == CT_DWARF_POINTER) {
		*v = ct_dwarf_integer((ct_u64)((ct_s64)(x->u - y->u) / (ct_s64)size), true);
		return 0;
	}
	if (op == SUB)
		addr = x->u - y->u * size;
	else
		addr = left ? x->u + y->u * size : y->u + x->u * size;
	*v = left ? *a : *b;
	if (ct_dwarf_tag(v) == DW_TAG_array_type) { /* it decays */
		*v = element;
		v->pointers = 1;
	}
	v->where = CT_DWARF_HELD;
	memcpy(v->held, &addr, 8);
	v->held_known = 0xff;
	return 0;
}

static int apply(struct parser *ps, enum op op, const value *a, const value *b, value *v)
{
	struct ct_dwarf_number x, y;

	if (ps->skip) {
		*v = ct_dwarf_integer(1, true);
		return 0;
	}
	if (number_of(ps, a, &x) || number_of(ps, b, &y))
		return -1;
	if ((op == ADD || op == SUB) && (x.cls == CT_DWARF_POINTER || (y.cls == CT_DWARF_POINTER && op == ADD)))
		return on_pointers(ps, op, a, &x, b, &y, v);
	if (x.cls == CT_DWARF_FLOAT || y.cls == CT_DWARF_FLOAT)
		return on_reals(ps, op, as_real(&x), as_real(&y), v);
	/* All are of 64 bits here, so that a signed one and an unsigned one of less bits compare by their values. */
	return on_integers(ps, op, x.u, y.u, x.cls == CT_DWARF_SIGNED || y.cls == CT_DWARF_SIGNED, v);
}

static int level(struct parser *ps, int at, value *v);

/* Compares with a text in quotes. */
static int compare_text(struct parser *ps, enum op op, value *v)
{
	char text[512], have[600];
	size_t n = 0;

	for (ps->p++; *ps->p && *ps->p != '"' && n < sizeof(text) - 3; ps->p++)
		text[n++] = *ps->p;
	if (*ps->p != '"')
		return bad(ps, "a text has no end");
	ps->p++;
	text[n] = 0;
	if (ps->skip)
		return 0;
	ct_dwarf_text(ps->place, v, have, sizeof(have));
	{
		const char *quoted = strchr(have, '"');
		const size_t len = quoted ? strlen(quoted) : 0;
		const bool same = len == n + 2 && !memcmp(quoted + 1, text, n);

		if (!quoted)
			return ct_fail(ps->err, CT_EXIT_FAILED, "this is no text: %.80s", have);
		*v = ct_dwarf_integer(op == EQ ? same : !same, true);
	}
	return 0;
}

static int logical(struct parser *ps, enum op op, int at, value *v)
{
	struct ct_dwarf_number x, y;
	bool left, right = false;
	value b;

	if (number_of(ps, v, &x))
		return -1;
	left = x.cls == CT_DWARF_FLOAT ? x.f != 0 : x.u != 0;
	ps->skip += op == OR ? left : !left;
	if (level(ps, at + 1, &b) || number_of(ps, &b, &y))
		return -1;
	ps->skip -= op == OR ? left : !left;
	right = y.cls == CT_DWARF_FLOAT ? y.f != 0 : y.u != 0;
	*v = ct_dwarf_integer(op == OR ? left || right : left && right, true);
	return 0;
}

static int level(struct parser *ps, int at, value *v)
{
	if (at == LEVELS)
		return unary(ps, v);
	if (level(ps, at + 1, v))
		return -1;
	for (;;) {
		enum op op = OR;
		bool found = false;
		value a = *v, b;

		for (size_t i = 0; i < sizeof(operators) / sizeof(*operators) && !found; i++)
			if (operators[i].level == at && take(ps, operators[i].token)) {
				op = operators[i].op;
				found = true;
			}
		if (!found)
			return 0;
		space(ps);
		if (op == OR || op == AND) {
			if (logical(ps, op, at, v))
				return -1;
		} else if ((op == EQ || op == NE) && *ps->p == '"') {
			if (compare_text(ps, op, v))
				return -1;
		} else if (level(ps, at + 1, &b) || apply(ps, op, &a, &b, v)) {
			return -1;
		}
	}
}

static int expression(struct parser *ps, value *v)
{
	int ret;

	if (++ps->depth > DEEPEST) {
		ps->depth--;
		return bad(ps, "this is too deep");
	}
	ret = level(ps, 0, v);
	ps->depth--;
	return ret;
}

int ct_dwarf_eval(const struct ct_dwarf_place *p, const char *text, struct ct_dwarf_value *v, struct ct_error *err)
{
	struct parser ps = {.p = text, .place = p, .err = err};

	if (expression(&ps, v))
		return -1;
	space(&ps);
	if (*ps.p == '=')
		return bad(&ps, "nothing can be changed in a recording; to compare, write ==,");
	return *ps.p ? bad(&ps, "this was not expected") : 0;
}

int ct_dwarf_test(const struct ct_dwarf_place *p, const char *text, bool *is, struct ct_error *err)
{
	struct ct_dwarf_value v;
	struct ct_dwarf_number n;

	if (ct_dwarf_eval(p, text, &v, err) || ct_dwarf_number(p, &v, &n, err))
		return -1;
	*is = n.cls == CT_DWARF_FLOAT ? n.f != 0 : n.u != 0;
	return 0;
}
