// SPDX-License-Identifier: MIT
/* Reading CPython's objects from outside. What is read may be anything: every length is bounded. */
#include "replay/agents/python_read.h"

#include <stdlib.h>
#include <string.h>

#include "replay/steps/steps.h"

#define STRING_MAX 4096
#define UNITS_MAX  (1u << 22)

static ct_u64 word(int memfd, ct_u64 addr)
{
	ct_u64 v = 0;

	return ct_mem_read(memfd, addr, &v, 8) ? v : 0;
}
static ct_u32 half(int memfd, ct_u64 addr)
{
	ct_u32 v = 0;

	return ct_mem_read(memfd, addr, &v, 4) ? v : 0;
}

size_t ct_py_utf8(const unsigned char *data, unsigned unit, size_t chars, char *out)
{
	unsigned char *p = (unsigned char *)out;

	for (size_t i = 0; i < chars; i++) {
		ct_u32 c = 0;

		memcpy(&c, data + i * unit, unit);
		if (unit == 2 && c >> 10 == 0xd800 >> 10 && i + 1 < chars) { /* UTF-16, as JavaScript has it */
			ct_u16 low;

			memcpy(&low, data + (i + 1) * 2, 2);
			if (low >> 10 == 0xdc00 >> 10) {
				c = 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
				i++;
			}
		}
		if (c < 0x80) {
			*p++ = (unsigned char)c;
		} else if (c < 0x800) {
			*p++ = (unsigned char)(0xc0 | c >> 6);
			*p++ = (unsigned char)(0x80 | (c & 63));
		} else if (c < 0x10000) {
			*p++ = (unsigned char)(0xe0 | c >> 12);
			*p++ = (unsigned char)(0x80 | (c >> 6 & 63));
			*p++ = (unsigned char)(0x80 | (c & 63));
		} else {
			*p++ = (unsigned char)(0xf0 | (c >> 18 & 7));
			*p++ = (unsigned char)(0x80 | (c >> 12 & 63));
			*p++ = (unsigned char)(0x80 | (c >> 6 & 63));
			*p++ = (unsigned char)(0x80 | (c & 63));
		}
	}
	return (size_t)((char *)p - out);
}

char *ct_py_read_str(int memfd, const struct ct_python_layout *l, ct_u64 o)
{
	ct_u64 chars = word(memfd, o + 16);
	ct_u32 state = half(memfd, o + 32), unit = state >> 2 & 7;
	unsigned char *data;
	char *text;

	if (!o || chars > STRING_MAX || !(state >> 5 & 1) || (unit != 1 && unit != 2 && unit != 4))
		return NULL;
	data = malloc(chars * unit + 1);
	text = malloc(chars * 4 + 1);
	if (!data || !text ||
	    !ct_mem_read(memfd, o + (state >> 6 & 1 ? l->off.str_ascii : l->off.str_compact), data, chars * unit)) {
		free(data);
		free(text);
		return NULL;
	}
	text[ct_py_utf8(data, unit, chars, text)] = 0;
	free(data);
	return text;
}

static char *read_cstr(int memfd, ct_u64 addr)
{
	char buf[256] = "";
	size_t n = 0;

	while (addr && n < sizeof(buf) - 1 && !memchr(buf, 0, n)) {
		const size_t page = 4096 - ((addr + n) & 4095), room = sizeof(buf) - 1 - n;

		if (!ct_mem_read(memfd, addr + n, buf + n, page < room ? page : room))
			break;
		n += page < room ? page : room;
	}
	buf[n] = 0;
	return strdup(buf);
}

/* ---- code --------------------------------------------------------------------------------------------------- */

static int read_lines(int memfd, const struct ct_python_layout *l, ct_u64 addr, struct ct_py_code *out)
{
	ct_u64 table = word(memfd, addr + l->off.co_linetable), len = word(memfd, table + 16);
	struct ct_step_code *c = &out->code;
	unsigned char *bytes, *code;

	if (!table || len > 16ull * UNITS_MAX || c->count > UNITS_MAX)
		return -1;
	bytes = malloc(len + 1);
	code = malloc(2 * (size_t)c->count + 1);
	c->lines = malloc((c->count + 1) * sizeof(*c->lines));
	if (!bytes || !code || !c->lines || !ct_mem_read(memfd, table + l->off.bytes_data, bytes, len) ||
	    !ct_mem_read(memfd, addr + l->off.co_code, code, 2 * (size_t)c->count)) {
		free(bytes);
		free(code);
		return -1;
	}
	ct_python_lines(bytes, len, (int)c->first_line, c->lines, c->count);
	for (out->start = 0; out->start < c->count && l->op[code[2 * out->start]] != CT_PYOP_RESUME;)
		out->start++;
	free(bytes);
	free(code);
	return 0;
}

int ct_py_read_code(int memfd, const struct ct_python_layout *l, ct_u64 addr, struct ct_py_code *out)
{
	ct_u64 names = word(memfd, addr + l->co_localsplusnames);
	ct_u32 flags = half(memfd, addr + l->off.co_flags);
	struct ct_step_code *c = &out->code;

	memset(out, 0, sizeof(*out));
	if (l->off.f_lasti) {
		if (!ct_py_read_old_code(memfd, l, addr, out))
			return 0;
		ct_step_code_deinit(c);
		return -1;
	}
	c->count = (ct_u32)word(memfd, addr + 16);
	c->first_line = half(memfd, addr + l->off.co_firstlineno);
	c->nvars = half(memfd, addr + l->off.co_nlocalsplus);
	/* CO_OPTIMIZED 1: locals in slots. CO_VARARGS 4, CO_VARKEYWORDS 8. */
	out->module = !(flags & 1);
	c->nargs =
		half(memfd, addr + l->co_argcount) + half(memfd, addr + l->co_kwonly) + !!(flags & 4) + !!(flags & 8);
	if (c->nvars > 65536)
		return -1;
	c->file = ct_py_read_str(memfd, l, word(memfd, addr + l->off.co_filename));
	c->name = ct_py_read_str(memfd, l, word(memfd, addr + l->off.co_qualname));
	c->variable = calloc(c->nvars + 1, sizeof(*c->variable));
	if (!c->file || !c->name || !c->variable || read_lines(memfd, l, addr, out)) {
		ct_step_code_deinit(c);
		return -1;
	}
	for (ct_u32 i = 0; i < c->nvars; i++)
		c->variable[i] = ct_py_read_str(memfd, l, word(memfd, names + l->off.tuple_items + 8ull * i));
	return 0;
}

/* ---- types -------------------------------------------------------------------------------------------------- */

/* Bits of tp_flags. */
#define INLINE_VALUES (1ul << 2)
#define MANAGED_DICT  (1ul << 4)
#define HEAP_TYPE     (1ul << 9)
#define SUBCLASS_BITS 24 /* long, list, tuple, bytes, str, dict, exception, type */

static int kind_by_name(const char *name)
{
	static const struct {
		const char *name;
		int kind;
	} known[] = {
		{"NoneType", CT_PYK_NONE},
		{"bool", CT_PYK_BOOL},
		{"float", CT_PYK_FLOAT},
		{"complex", CT_PYK_COMPLEX},
		{"set", CT_PYK_SET},
		{"frozenset", CT_PYK_SET},
		{"cell", CT_PYK_CELL},
		{"bytearray", CT_PYK_BYTEARRAY},
		{"function", CT_PYK_FUNCTION},
		{"module", CT_PYK_OPAQUE},
		{"code", CT_PYK_OPAQUE},
		{"generator", CT_PYK_OPAQUE},
		{"builtin_function_or_method", CT_PYK_CFUNCTION},
		{"method_descriptor", CT_PYK_METHODDESC},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(name, known[i].name))
			return known[i].kind;
	return -1;
}

static void read_slots(int memfd, const struct ct_python_layout *l, ct_u64 type, struct ct_py_type *t)
{
	ct_u64 member = word(memfd, type + l->type_members);

	for (unsigned i = 0; member && i < CT_PY_SLOTS && t->nslots < CT_PY_SLOTS; i++, member += 40) {
		ct_u64 name = word(memfd, member);

		if (!name)
			break;
		if (half(memfd, member + 8) != 16) /* T_OBJECT_EX: what __slots__ makes */
			continue;
		t->slot[t->nslots].name = read_cstr(memfd, name);
		t->slot[t->nslots++].offset = word(memfd, member + 16);
	}
}

int ct_py_read_type(int memfd, const struct ct_python_layout *l, ct_u64 addr, struct ct_py_type *t)
{
	static const unsigned char by_bit[8] = {CT_PYK_INT, CT_PYK_LIST, CT_PYK_TUPLE,  CT_PYK_BYTES,
						CT_PYK_STR, CT_PYK_DICT, CT_PYK_OBJECT, CT_PYK_TYPE};
	ct_u64 flags = word(memfd, addr + l->type_flags), base = addr;
	int kind = -1;

	memset(t, 0, sizeof(*t));
	t->name = read_cstr(memfd, word(memfd, addr + l->off.type_name));
	if (!t->name)
		return -1;
	t->dictoffset = (ct_s32)word(memfd, addr + l->type_dictoffset);
	t->basicsize = (ct_u32)word(memfd, addr + l->type_basicsize);
	for (int depth = 0; base && depth < 100 && kind < 0; depth++, base = word(memfd, base + l->type_base)) {
		char *name = read_cstr(memfd, word(memfd, base + l->off.type_name));

		if (name && !(word(memfd, base + l->type_flags) & HEAP_TYPE))
			kind = kind_by_name(name);
		free(name);
	}
	for (int bit = 0; bit < 8 && kind < 0; bit++)
		if (flags >> (SUBCLASS_BITS + bit) & 1)
			kind = by_bit[bit];
	base = addr;
	for (int depth = 0; base && depth < 100 && (kind < 0 || kind == CT_PYK_OBJECT); depth++) {
		if (word(memfd, base + l->type_flags) & HEAP_TYPE)
			read_slots(memfd, l, base, t);
		base = word(memfd, base + l->type_base);
	}
	if (flags >> (SUBCLASS_BITS + 6) & 1 && t->nslots < CT_PY_SLOTS) { /* exceptions: dict, then args */
		t->slot[t->nslots].name = strdup("args");
		t->slot[t->nslots++].offset = 24;
	}
	if (kind < 0 && ((flags & (HEAP_TYPE | MANAGED_DICT)) || t->dictoffset > 0))
		kind = CT_PYK_OBJECT;
	t->kind = kind < 0 ? CT_PYK_OPAQUE : (ct_u32)kind;
	t->flags = (flags & MANAGED_DICT ? CT_PYTF_MANAGED : 0) | (flags & INLINE_VALUES ? CT_PYTF_INLINE : 0);
	t->cached_keys = flags & HEAP_TYPE ? l->type_cached_keys : 0;
	t->named = l->function_name ? l->function_name : 40; /* func_qualname */
	return 0;
}

void ct_py_type_deinit(struct ct_py_type *t)
{
	for (ct_u32 i = 0; i < t->nslots; i++)
		free(t->slot[i].name);
	free(t->name);
}

char *ct_py_read_native(int memfd, const struct ct_python_layout *l, const struct ct_pya_native *n)
{
	char *name = read_cstr(memfd, word(memfd, n->def)), *owner = NULL, *both = NULL;

	if (n->owner)
		owner = n->module ? ct_py_read_str(memfd, l, n->owner)
				  : read_cstr(memfd, word(memfd, n->owner + l->off.type_name));
	if (!name || !owner)
		both = name, name = NULL;
	else if (asprintf(&both, "%s.%s", owner, name) < 0)
		both = NULL;
	free(owner);
	free(name);
	return both;
}

/* ---- frames ------------------------------------------------------------------------------------------------- */

size_t ct_py_read_frames(int memfd, const struct ct_python_layout *l, ct_u64 runtime, struct ct_py_frame *list,
			 size_t most)
{
	ct_u64 interp = word(memfd, runtime + l->interp_head);
	size_t n = 0;

	for (int i = 0; interp && i < 1000; i++, interp = word(memfd, interp + l->interp_next)) {
		ct_u64 tstate = word(memfd, interp + l->threads_head);

		for (int k = 0; tstate && k < 100000; k++, tstate = word(memfd, tstate + l->tstate_next)) {
			ct_u64 f = l->tstate_frame
					   ? word(memfd, tstate + l->tstate_frame)
					   : word(memfd, word(memfd, tstate + l->tstate_cframe) + l->cframe_frame);
			const ct_u64 thread = word(memfd, tstate + l->tstate_tid);
			const ct_u32 tid = l->tid_in_pthread ? half(memfd, thread + l->tid_in_pthread) : (ct_u32)thread;

			for (; f && n < most; f = word(memfd, f + l->off.f_previous)) {
				unsigned char owner = 0;

				ct_mem_read(memfd, f + l->off.f_owner, &owner, 1);
				if (l->off.owner_c && owner >= l->off.owner_c)
					continue;
				list[n++] = (struct ct_py_frame){
					tid, f, word(memfd, f + l->off.f_code) & ~(ct_u64)l->off.ref_mask};
			}
		}
	}
	return n;
}
