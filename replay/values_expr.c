// SPDX-License-Identifier: MIT
/* Expressions as in C: variables, $registers, numbers, members, items, pointers, arithmetic and comparisons. */
#include <ctype.h>
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "replay/values.h"

#define MOST_NAME 256
#define DEEPEST   64

struct parse {
	struct ct_symbols *sy;
	const struct ct_frame *frame;
	const char *p;
	unsigned depth;
	struct ct_error *err;
};

static int expression(struct parse *x, int least, struct ct_value *v);

static void skip(struct parse *x)
{
	while (isspace((unsigned char)*x->p))
		x->p++;
}

static bool word(struct parse *x, const char *text)
{
	skip(x);
	if (strncmp(x->p, text, strlen(text)) != 0)
		return false;
	x->p += strlen(text);
	return true;
}

static int wrong(struct parse *x)
{
	return *x->p ? ct_fail(x->err, CT_EXIT_USAGE, "'%s' is not understood", x->p)
		     : ct_fail(x->err, CT_EXIT_USAGE, "something is missing at the end");
}

static struct ct_value number(ct_u64 n)
{
	struct ct_value v = {0};

	memcpy(v.bytes, &n, sizeof(n));
	return v;
}

static bool name(struct parse *x, char out[MOST_NAME])
{
	size_t n = 0;

	skip(x);
	while ((isalnum((unsigned char)x->p[n]) || x->p[n] == '_') && n < MOST_NAME - 1)
		n++;
	if (!n || isdigit((unsigned char)*x->p))
		return false;
	memcpy(out, x->p, n);
	out[n] = 0;
	x->p += n;
	return true;
}

static int reg(struct parse *x, struct ct_value *v)
{
	static const struct {
		const char *name;
		int reg;
	} names[] = {{"rax", CT_RAX},       {"rbx", CT_RBX},         {"rcx", CT_RCX},        {"rdx", CT_RDX},
		     {"rsi", CT_RSI},       {"rdi", CT_RDI},         {"rbp", CT_RBP},        {"rsp", CT_RSP},
		     {"r8", CT_R8},         {"r9", CT_R9},           {"r10", CT_R10},        {"r11", CT_R11},
		     {"r12", CT_R12},       {"r13", CT_R13},         {"r14", CT_R14},        {"r15", CT_R15},
		     {"rip", CT_RIP},       {"pc", CT_RIP},          {"sp", CT_RSP},         {"eflags", CT_RFLAGS},
		     {"rflags", CT_RFLAGS}, {"fs_base", CT_FS_BASE}, {"gs_base", CT_GS_BASE}};
	char text[MOST_NAME];

	if (!name(x, text))
		return wrong(x);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(names[i].name, text) != 0)
			continue;
		if (!x->frame || !(x->frame->known >> names[i].reg & 1))
			return ct_fail(x->err, CT_EXIT_FAILED, "register %s is not known in this frame", text);
		*v = number(x->frame->regs.r[names[i].reg]);
		return 0;
	}
	return ct_fail(x->err, CT_EXIT_USAGE, "there is no register %s", text);
}

static int scalar(struct parse *x, const struct ct_value *v, ct_u64 *n)
{
	return ct_value_number(x->sy, v, n, x->err);
}

/* What item `index` behind the address or array is. */
static int item(struct parse *x, struct ct_value *v, ct_u64 index)
{
	struct ct_value to = {.in_memory = true, .has_type = true};
	bool is_array = false;
	ct_u64 size;

	if (!ct_value_target(v, &to.type, &is_array)) {
		if (v->has_type)
			return ct_fail(x->err, CT_EXIT_USAGE, "it points to nothing that is known");
		to.has_type = false; /* a number: the 8 bytes there */
	}
	if (is_array && !v->in_memory)
		return ct_fail(x->err, CT_EXIT_FAILED, "this array is not in memory");
	if (is_array)
		to.addr = v->addr;
	else if (scalar(x, v, &to.addr))
		return -1;
	size = ct_value_size(&to);
	to.addr += index * (size ? size : 1);
	*v = to;
	return 0;
}

static int postfix(struct parse *x, struct ct_value *v)
{
	char text[MOST_NAME];

	for (;;) {
		if (word(x, "->")) {
			if (item(x, v, 0))
				return -1;
		} else if (word(x, "[")) {
			struct ct_value index;
			ct_u64 n;

			if (expression(x, 0, &index) || scalar(x, &index, &n))
				return -1;
			if (!word(x, "]"))
				return wrong(x);
			if (item(x, v, n))
				return -1;
			continue;
		} else if (!word(x, ".")) {
			return 0;
		}
		if (!name(x, text))
			return wrong(x);
		if (ct_value_member(v, text, v, x->err))
			return -1;
	}
}

static int primary(struct parse *x, struct ct_value *v)
{
	char text[MOST_NAME], *end;

	if (word(x, "(")) {
		if (expression(x, 0, v))
			return -1;
		return word(x, ")") ? 0 : wrong(x);
	}
	if (word(x, "$"))
		return reg(x, v);
	if (*x->p == '\'' && x->p[1] && x->p[2] == '\'') {
		*v = number((unsigned char)x->p[1]);
		x->p += 3;
		return 0;
	}
	if (isdigit((unsigned char)*x->p)) {
		*v = number(strtoull(x->p, &end, 0));
		x->p = end;
		return 0;
	}
	if (!name(x, text))
		return wrong(x);
	if (ct_value_variable(x->sy, x->frame, text, v, x->err)) {
		ct_u64 addr;

		/* A function is its address. */
		if (x->err->status != CT_EXIT_USAGE || !ct_symbols_entry(x->sy, text, &addr))
			return -1;
		*v = number(addr);
	}
	return 0;
}

static int unary(struct parse *x, struct ct_value *v)
{
	char op;
	ct_u64 n;

	skip(x);
	op = *x->p;
	if (!op || !strchr("*&-!~", op))
		return primary(x, v) ? -1 : postfix(x, v);
	x->p++;
	if (++x->depth > DEEPEST)
		return ct_fail(x->err, CT_EXIT_USAGE, "the expression is too deep");
	if (unary(x, v))
		return -1;
	x->depth--;
	if (op == '*')
		return item(x, v, 0);
	if (op == '&') {
		if (!v->in_memory || v->bit_size)
			return ct_fail(x->err, CT_EXIT_FAILED, "it has no address");
		*v = number(v->addr);
		return 0;
	}
	if (scalar(x, v, &n))
		return -1;
	*v = number(op == '-' ? -n : op == '!' ? !n : ~n);
	return 0;
}

enum op { MUL, DIV, MOD, ADD, SUB, SHL, SHR, LE, GE, LT, GT, EQ, NE, LAND, LOR, AND, XOR, OR };
static const struct {
	const char *text;
	int level; /* how strongly it binds */
	enum op op;
} operators[] = {{"*", 10, MUL}, {"/", 10, DIV},  {"%", 10, MOD}, {"+", 9, ADD}, {"-", 9, SUB}, {"<<", 8, SHL},
		 {">>", 8, SHR}, {"<=", 7, LE},   {">=", 7, GE},  {"<", 7, LT},  {">", 7, GT},  {"==", 6, EQ},
		 {"!=", 6, NE},  {"&&", 2, LAND}, {"||", 1, LOR}, {"&", 5, AND}, {"^", 4, XOR}, {"|", 3, OR}};

static int apply(struct parse *x, enum op op, ct_u64 a, ct_u64 b, ct_u64 *r)
{
	const ct_s64 sa = (ct_s64)a, sb = (ct_s64)b;

	switch (op) {
	case MUL: *r = a * b; return 0;
	case DIV:
	case MOD:
		if (!b || (sb == -1 && sa == INT64_MIN))
			return ct_fail(x->err, CT_EXIT_USAGE, "division by %lld", (long long)sb);
		*r = (ct_u64)(op == DIV ? sa / sb : sa % sb);
		return 0;
	case ADD: *r = a + b; return 0;
	case SUB: *r = a - b; return 0;
	case SHL: *r = b < 64 ? a << b : 0; return 0;
	case SHR: *r = b < 64 ? a >> b : 0; return 0;
	case LE: *r = sa <= sb; return 0;
	case GE: *r = sa >= sb; return 0;
	case LT: *r = sa < sb; return 0;
	case GT: *r = sa > sb; return 0;
	case EQ: *r = a == b; return 0;
	case NE: *r = a != b; return 0;
	case LAND: *r = a && b; return 0;
	case LOR: *r = a || b; return 0;
	case AND: *r = a & b; return 0;
	case XOR: *r = a ^ b; return 0;
	case OR: *r = a | b; return 0;
	}
	return wrong(x);
}

/* A pointer and a number: by items. */
static int move_pointer(struct parse *x, struct ct_value *v, ct_u64 by)
{
	Dwarf_Die ignored;
	bool is_array;

	if (!ct_value_target(v, &ignored, &is_array))
		return 1;
	if (item(x, v, by))
		return -1;
	*v = number(v->addr);
	return 0;
}

static int expression(struct parse *x, int least, struct ct_value *v)
{
	if (++x->depth > DEEPEST)
		return ct_fail(x->err, CT_EXIT_USAGE, "the expression is too deep");
	if (unary(x, v))
		return -1;
	for (;;) {
		struct ct_value right;
		ct_u64 a, b, r = 0;
		size_t i = 0;
		int ret;

		skip(x);
		while (i < sizeof(operators) / sizeof(*operators) &&
		       strncmp(x->p, operators[i].text, strlen(operators[i].text)) != 0)
			i++;
		if (i < sizeof(operators) / sizeof(*operators) && operators[i].op == AND && x->p[1] == '&')
			i = (size_t)(&operators[13] - operators);
		if (i == sizeof(operators) / sizeof(*operators) || operators[i].level <= least)
			break;
		x->p += strlen(operators[i].text);
		if (expression(x, operators[i].level, &right) || scalar(x, &right, &b))
			return -1;
		if (operators[i].op == ADD || operators[i].op == SUB) {
			ret = move_pointer(x, v, operators[i].op == ADD ? b : -b);
			if (ret < 0)
				return -1;
			if (!ret)
				continue;
		}
		if (scalar(x, v, &a) || apply(x, operators[i].op, a, b, &r))
			return -1;
		*v = number(r);
	}
	x->depth--;
	return 0;
}

int ct_value_eval(struct ct_symbols *sy, const struct ct_frame *frame, const char *text, struct ct_value *value,
		  struct ct_error *err)
{
	struct parse x = {sy, frame, text, 0, err};

	if (expression(&x, 0, value))
		return -1;
	skip(&x);
	return *x.p ? wrong(&x) : 0;
}
