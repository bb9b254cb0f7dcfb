// SPDX-License-Identifier: MIT
/* The stack machine of breakpoints' conditions: looking at registers and memory, arithmetic, jumps. Tracepoints'
 * operations and floating point are not among them: gdb evaluates such a condition itself. */
#include "replay/gdb_cond.h"

#include <string.h>

#define STACK      100   /* as gdbserver has it */
#define MOST_STEPS 10000 /* a loop is no condition */
#define MOST_CODE  1024

enum { OP_IF_GOTO = 0x20, OP_GOTO = 0x21, OP_CONST8 = 0x22, OP_REG = 0x26, OP_END = 0x27 };

struct machine {
	const struct ct_gdb_machine *m;
	const unsigned char *code;
	size_t len, at;
	ct_u64 stack[STACK];
	size_t n;
};

static bool push(struct machine *s, ct_u64 value)
{
	if (s->n == STACK)
		return false;
	s->stack[s->n++] = value;
	return true;
}

static bool immediate(struct machine *s, size_t bytes, ct_u64 *value)
{
	if (s->len - s->at < bytes)
		return false;
	for (*value = 0; bytes; bytes--)
		*value = *value << 8 | s->code[s->at++];
	return true;
}

static ct_u64 shift_right(ct_u64 a, ct_u64 by, bool sign)
{
	const ct_u64 fill = sign && a >> 63 ? ~0ull : 0;

	return by > 63 ? fill : by ? a >> by | (fill << (64 - by)) : a;
}

/* The low `bits` bits of a number. */
static ct_u64 extend(ct_u64 a, ct_u64 bits, bool sign)
{
	const ct_u64 mask = bits < 64 ? (1ull << bits) - 1 : ~0ull;

	if (!bits || bits > 63)
		return a;
	return sign && a >> (bits - 1) & 1 ? a | ~mask : a & mask;
}

/* Of two operands, `b` the upper one. */
static bool two(unsigned op, ct_u64 a, ct_u64 b, ct_u64 *to)
{
	const ct_s64 sa = (ct_s64)a, sb = (ct_s64)b;

	if (op >= 0x05 && op <= 0x08 && !b)
		return false;
	switch (op) {
	case 0x02: *to = a + b; return true;
	case 0x03: *to = a - b; return true;
	case 0x04: *to = a * b; return true;
	case 0x05: *to = sb == -1 ? -a : (ct_u64)(sa / sb); return true;
	case 0x06: *to = a / b; return true;
	case 0x07: *to = sb == -1 ? 0 : (ct_u64)(sa % sb); return true;
	case 0x08: *to = a % b; return true;
	case 0x09: *to = b > 63 ? 0 : a << b; return true;
	case 0x0a: *to = shift_right(a, b, true); return true;
	case 0x0b: *to = shift_right(a, b, false); return true;
	case 0x0f: *to = a & b; return true;
	case 0x10: *to = a | b; return true;
	case 0x11: *to = a ^ b; return true;
	case 0x13: *to = a == b; return true;
	case 0x14: *to = sa < sb; return true;
	case 0x15: *to = a < b; return true;
	}
	return false;
}

static bool load(struct machine *s, size_t bytes)
{
	ct_u64 value = 0;

	if (!s->n || !s->m->read(s->m->ctx, s->stack[s->n - 1], &value, bytes))
		return false;
	s->stack[s->n - 1] = value;
	return true;
}

/* Those that move what is on the stack, or change its top. */
static bool on_top(struct machine *s, unsigned op)
{
	ct_u64 *top = s->stack + s->n, n, kept;

	switch (op) {
	case 0x0e: return s->n && (top[-1] = !top[-1], true);
	case 0x12: return s->n && (top[-1] = ~top[-1], true);
	case 0x16: return s->n && immediate(s, 1, &n) && (top[-1] = extend(top[-1], n, true), true);
	case 0x2a: return s->n && immediate(s, 1, &n) && (top[-1] = extend(top[-1], n, false), true);
	case 0x28: return s->n && push(s, top[-1]);
	case 0x29: return s->n && s->n--;
	case 0x2b: return s->n > 1 && (kept = top[-1], top[-1] = top[-2], top[-2] = kept, true);
	case 0x32: return immediate(s, 1, &n) && n < s->n && push(s, s->stack[s->n - 1 - n]);
	case 0x33:
		if (s->n < 3)
			return false;
		kept = top[-1];
		top[-1] = top[-2];
		top[-2] = top[-3];
		top[-3] = kept;
		return true;
	case 0x17: return load(s, 1);
	case 0x18: return load(s, 2);
	case 0x19: return load(s, 4);
	case 0x1a: return load(s, 8);
	}
	return false;
}

static bool one(struct machine *s, unsigned op)
{
	ct_u64 value;

	switch (op) {
	case OP_IF_GOTO:
	case OP_GOTO:
		if (!immediate(s, 2, &value) || value > s->len)
			return false;
		if (op == OP_GOTO)
			s->at = value;
		else if (!s->n)
			return false;
		else if (s->stack[--s->n])
			s->at = value;
		return true;
	case OP_CONST8:
	case OP_CONST8 + 1:
	case OP_CONST8 + 2:
	case OP_CONST8 + 3: return immediate(s, (size_t)1 << (op - OP_CONST8), &value) && push(s, value);
	case OP_REG: return immediate(s, 2, &value) && s->m->reg(s->m->ctx, value, &value) && push(s, value);
	}
	if (s->n > 1 && two(op, s->stack[s->n - 2], s->stack[s->n - 1], &value)) {
		s->stack[--s->n - 1] = value;
		return true;
	}
	return on_top(s, op);
}

enum ct_gdb_truth ct_gdb_evaluate(const unsigned char *code, size_t len, const struct ct_gdb_machine *m)
{
	struct machine s = {.m = m, .code = code, .len = len};

	for (unsigned step = 0; s.at < len && step < MOST_STEPS; step++) {
		const unsigned op = code[s.at++];

		if (op == OP_END)
			return !s.n ? CT_GDB_UNKNOWN : s.stack[s.n - 1] ? CT_GDB_TRUE : CT_GDB_FALSE;
		if (!one(&s, op))
			return CT_GDB_UNKNOWN;
	}
	return CT_GDB_UNKNOWN;
}

bool ct_gdb_conditions_met(struct ct_gdb_text list, const struct ct_gdb_machine *m)
{
	unsigned char code[MOST_CODE];
	bool any = false;

	while (ct_gdb_word(&list, ";") || ct_gdb_word(&list, "X")) {
		struct ct_gdb_text hex;
		ct_u64 want;
		size_t len;

		ct_gdb_word(&list, "X");
		if (!ct_gdb_hex(&list, &want) || !ct_gdb_word(&list, ",") || want > sizeof(code) ||
		    (size_t)(list.end - list.p) < 2 * want)
			return true;
		hex = (struct ct_gdb_text){list.p, list.p + 2 * want};
		list.p = hex.end;
		if (!ct_gdb_bytes(&hex, code, sizeof(code), &len) || len != want ||
		    ct_gdb_evaluate(code, len, m) != CT_GDB_FALSE)
			return true;
		any = true;
	}
	return !any;
}
