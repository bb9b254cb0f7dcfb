/* SPDX-License-Identifier: MIT
 * Names of Lua functions. They have none of their own: as Lua's messages do, a function is called by the name that its
 * caller has for it, which the caller's instructions tell (funcnamefromcode in ldebug.c). The process is only read. */
#include <stdio.h>
#include <string.h>

#include "formats/event_access.h"
#include "replay/tracee.h"
#include "user/calls.h"

/* Proto, TString, Upvaldesc, LocVar of 5.4.4. */
#define PROTO_LOCALS_N 36
#define PROTO_K        56
#define PROTO_CODE     64
#define PROTO_UPVALUES 80
#define PROTO_LOCALS   104
#define TS_KIND        8
#define TS_IS_LONG     16
#define TS_SHORT_LEN   11
#define TS_LEN         16
#define TS_TEXT        24
#define KIND_STRING    4 /* of a value, in its four low bits */

#define CODE_MAX   65536 /* instructions before the call */
#define LOCALS_MAX 256
#define MOVES_MAX  8 /* from one local variable to the next */
#define NAME_MAX   64
#define FILE_MAX   60 /* of text that is no file's name */

/* Opcodes of 5.4. */
enum {
	MOVE,
	LOADNIL = 8,
	GETUPVAL,
	GETTABUP = 11,
	GETTABLE,
	GETI,
	GETFIELD,
	SETTABUP,
	SETTABLE,
	SETI,
	SETFIELD,
	SELF = 20,
	MMBIN = 46,
	MMBINI,
	MMBINK,
	UNM,
	BNOT,
	LEN = 52,
	CONCAT,
	CLOSE,
	JMP = 56,
	EQ,
	LT,
	LE,
	LTI = 62,
	LEI,
	GTI,
	GEI,
	CALL = 68,
	TAILCALL,
	RETURN,
	TFORCALL = 76
};
/* Those that set register A (opmode in lopcodes.c), a bit each. */
static const ct_u64 sets_a[2] = {0x003e3ffffff87bff, 0x3a638};

#define OP(i) ((i)&127)
#define A(i)  ((i) >> 7 & 255)
#define K(i)  ((i) >> 15 & 1)
#define B(i)  ((i) >> 16 & 255)
#define C(i)  ((i) >> 24)

struct reading {
	int memfd;
	ct_u64 proto;
	ct_u32 code[CODE_MAX];
	unsigned calls; /* the instruction that does */
};

static ct_u64 word(const struct reading *r, ct_u64 addr)
{
	ct_u64 v = 0;

	return ct_mem_read(r->memfd, addr, &v, sizeof(v)) ? v : 0;
}

static bool read_string(const struct reading *r, ct_u64 str, char name[NAME_MAX])
{
	ct_u8 kind, len;
	ct_u64 n;

	if (!str || !ct_mem_read(r->memfd, str + TS_KIND, &kind, 1) || (kind & 15) != KIND_STRING ||
	    !ct_mem_read(r->memfd, str + TS_SHORT_LEN, &len, 1))
		return false;
	n = kind & TS_IS_LONG ? word(r, str + TS_LEN) : len;
	if (!n || n >= NAME_MAX || !ct_mem_read(r->memfd, str + TS_TEXT, name, n))
		return false;
	name[n] = 0;
	return strlen(name) == n;
}

static bool constant(const struct reading *r, unsigned i, char name[NAME_MAX])
{
	const ct_u64 k = word(r, r->proto + PROTO_K) + 16ull * i;
	ct_u8 kind;

	return ct_mem_read(r->memfd, k + 8, &kind, 1) && (kind & 15) == KIND_STRING && read_string(r, word(r, k), name);
}

/* The local variable that is in the register at this instruction. */
static bool local(const struct reading *r, unsigned reg, unsigned at, char name[NAME_MAX])
{
	struct {
		ct_u64 name;
		ct_u32 from, to;
	} v;
	ct_u32 n;

	if (!ct_mem_read(r->memfd, r->proto + PROTO_LOCALS_N, &n, sizeof(n)))
		return false;
	for (ct_u32 i = 0; i < n && i < LOCALS_MAX; i++) {
		if (!ct_mem_read(r->memfd, word(r, r->proto + PROTO_LOCALS) + 16ull * i, &v, sizeof(v)) || v.from > at)
			return false;
		if (at < v.to && !reg--)
			return read_string(r, v.name, name);
	}
	return false;
}

/* The last instruction before `at` that has set the register, whatever way was taken; -1: it cannot be told. */
static int setter(const struct reading *r, unsigned reg, unsigned at)
{
	unsigned target = 0;
	int found = -1;

	for (unsigned pc = 0; pc < at; pc++) {
		const ct_u32 i = r->code[pc], op = OP(i), a = A(i);
		bool sets;

		switch (op) {
		case LOADNIL: sets = reg >= a && reg <= a + B(i); break;
		case TFORCALL: sets = reg >= a + 2; break;
		case CALL:
		case TAILCALL: sets = reg >= a; break;
		case JMP: {
			const long to = (long)pc + 1 + (long)(i >> 7) - 0xffffff;

			if (to > (long)pc && to <= (long)at && to > (long)target)
				target = (unsigned)to;
			sets = false;
			break;
		}
		default: sets = reg == a && op < 83 && (sets_a[op / 64] >> op % 64 & 1);
		}
		if (sets)
			found = pc < target ? -1 : (int)pc;
	}
	return found;
}

static bool object(const struct reading *r, unsigned reg, unsigned at, char name[NAME_MAX])
{
	for (int moves = 0; moves < MOVES_MAX; moves++) {
		int pc;
		ct_u32 i;

		if (local(r, reg, at, name))
			return true;
		pc = setter(r, reg, at);
		if (pc < 0)
			return false;
		i = r->code[pc];
		switch (OP(i)) {
		case MOVE:
			if (B(i) >= A(i))
				return false;
			reg = B(i);
			at = (unsigned)pc;
			continue;
		case GETUPVAL: return read_string(r, word(r, word(r, r->proto + PROTO_UPVALUES) + 16ull * B(i)), name);
		case GETTABUP:
		case GETFIELD: return constant(r, C(i), name);
		case SELF:
			if (K(i))
				return constant(r, C(i), name);
			pc = setter(r, C(i), (unsigned)pc);
			return pc >= 0 && OP(r->code[pc]) == 3 && constant(r, r->code[pc] >> 15, name); /* LOADK */
		default: return false;
		}
	}
	return false;
}

static const char *metamethod(ct_u32 i)
{
	/* enum TMS from TM_ADD, 6, on */
	static const char *const arithmetic[] = {"__add",  "__sub",  "__mul", "__mod",  "__pow", "__div",
						 "__idiv", "__band", "__bor", "__bxor", "__shl", "__shr"};

	switch (OP(i)) {
	case SELF:
	case GETTABUP:
	case GETTABLE:
	case GETI:
	case GETFIELD: return "__index";
	case SETTABUP:
	case SETTABLE:
	case SETI:
	case SETFIELD: return "__newindex";
	case MMBIN:
	case MMBINI:
	case MMBINK: return C(i) >= 6 && C(i) < 18 ? arithmetic[C(i) - 6] : NULL;
	case UNM: return "__unm";
	case BNOT: return "__bnot";
	case LEN: return "__len";
	case CONCAT: return "__concat";
	case EQ: return "__eq";
	case LT:
	case LTI:
	case GTI: return "__lt";
	case LE:
	case LEI:
	case GEI: return "__le";
	case CLOSE:
	case RETURN: return "__close";
	default: return NULL;
	}
}

static bool name_of(int memfd, const struct ct_lua_name *n, char name[NAME_MAX])
{
	static struct reading r; /* too large for a stack; one thread reads */
	const char *meta;
	ct_u64 from;
	ct_u32 i;

	r.memfd = memfd;
	r.proto = n->caller;
	from = n->caller ? word(&r, n->caller + PROTO_CODE) : 0;
	if (!from || n->next <= from || (n->next - from) / 4 > CODE_MAX)
		return false;
	r.calls = (unsigned)((n->next - from) / 4 - 1);
	if (!ct_mem_read(memfd, from, r.code, (r.calls + 1) * 4))
		return false;
	i = r.code[r.calls];
	if (OP(i) == CALL || OP(i) == TAILCALL)
		return object(&r, A(i), r.calls, name);
	meta = OP(i) == TFORCALL ? "for iterator" : metamethod(i);
	if (meta)
		snprintf(name, NAME_MAX, "%s", meta);
	return meta != NULL;
}

/* "@shop.lua" is a file, "=stdin" something else with a name, the rest is the text itself. */
static int put_source(char *to, size_t max, const char *source, size_t len)
{
	const char *end = memchr(source, '\n', len);
	size_t n = end ? (size_t)(end - source) : len;

	if (len && (*source == '@' || *source == '='))
		return snprintf(to, max, "%.*s", (int)len - 1, source + 1);
	return snprintf(to, max, "[string \"%.*s%s\"]", (int)(n < FILE_MAX ? n : FILE_MAX), source,
			n < len || n > FILE_MAX ? "..." : "");
}

const struct ct_event *ct_lua_rewrite(int memfd, void *buf, const struct ct_event *ev)
{
	struct ct_event *out = buf;
	struct ct_ev_function *f = (struct ct_ev_function *)(out + 1);
	const struct ct_ev_function *g = ct_event_payload(ev);
	char *to = (char *)(f + 1), file[CT_CALL_FILE_MAX + 16], name[NAME_MAX];
	struct ct_lua_name more;
	const char *source;
	int len, file_len;

	ct_event_function(ev, &source);
	if (ev->size < sizeof(*ev) + sizeof(*g) + g->name_len + g->file_len + sizeof(more))
		return ev;
	memcpy(&more, source + g->file_len, sizeof(more));
	*out = *ev;
	*f = *g;
	f->flags &= (ct_u16)~CT_FNF_UNITS;
	file_len = put_source(file, sizeof(file), source, g->file_len);
	if (!f->line)
		len = sprintf(to, "main chunk");
	else if (memfd >= 0 && name_of(memfd, &more, name))
		len = sprintf(to, "%s", name);
	else
		len = sprintf(to, "function <%s:%u>", file, f->line);
	f->name_len = (ct_u16)len;
	f->file_len = (ct_u16)file_len;
	len += sprintf(to + len, "%slua", file);
	out->size = (ct_u32)(sizeof(*out) + sizeof(*f) + (size_t)len);
	return out;
}
