// SPDX-License-Identifier: MIT
/* Values of CPython as the agent wrote them, made into trees. Texts become UTF-8. */
#include <string.h>

#include "replay/steps/python_priv.h"

static const unsigned char tags[] = {
	[CT_PYK_OPAQUE] = CT_VALUE_RAW,        [CT_PYK_NONE] = CT_VALUE_NONE,       [CT_PYK_BOOL] = CT_VALUE_BOOL,
	[CT_PYK_INT] = CT_VALUE_INT,           [CT_PYK_FLOAT] = CT_VALUE_FLOAT,     [CT_PYK_STR] = CT_VALUE_STRING,
	[CT_PYK_BYTES] = CT_VALUE_BYTES,       [CT_PYK_BYTEARRAY] = CT_VALUE_BYTES, [CT_PYK_LIST] = CT_VALUE_SEQUENCE,
	[CT_PYK_TUPLE] = CT_VALUE_TUPLE,       [CT_PYK_DICT] = CT_VALUE_TABLE,      [CT_PYK_SET] = CT_VALUE_SET,
	[CT_PYK_OBJECT] = CT_VALUE_STRUCT,     [CT_PYK_CELL] = CT_VALUE_RAW,        [CT_PYK_TYPE] = CT_VALUE_TYPE,
	[CT_PYK_FUNCTION] = CT_VALUE_FUNCTION, [CT_PYK_COMPLEX] = CT_VALUE_COMPLEX, [CT_PYK_TEXT] = CT_VALUE_STRING,
};

/* The last word is filled up with zeros. */
static bool is_ascii(const ct_u64 *w, size_t n)
{
	ct_u64 any = 0;

	for (size_t i = 0; i < n; i++)
		any |= w[i];
	return !(any & 0x8080808080808080ull);
}

static size_t read_value(struct ct_step_builder *b, const ct_u64 *w, size_t words, struct ct_value *v, int depth)
{
	unsigned kind, flags;
	size_t count, n, type;
	char *text;

	if (words < 3 || depth > CT_VALUE_DEEPEST)
		return 0;
	kind = w[0] & 255;
	flags = w[0] >> 8 & 255;
	count = w[0] >> 16 & 0xffff;
	type = w[0] >> 32;
	if (kind >= sizeof(tags))
		return 0;
	memset(v, 0, sizeof(*v));
	v->tag = tags[kind];
	v->flags = flags & CT_PYV_TRUNCATED ? CT_VALUE_TRUNCATED : 0;
	v->type = type < b->type.count ? b->type.list[type] : "?";
	v->address = w[1];
	v->length = w[2];
	switch (kind) {
	case CT_PYK_BOOL: v->i = w[2] != 0; return 3;
	case CT_PYK_INT:
		if (!(flags & CT_PYV_BIG)) {
			v->i = (ct_s64)w[2];
			return 3;
		}
		return ct_value_bigint(b, w, words, v, 30);
	case CT_PYK_FLOAT: memcpy(&v->f[0], &w[2], 8); return 3;
	case CT_PYK_COMPLEX:
		if (words < 5)
			return 0;
		memcpy(v->f, w + 3, 16);
		return 5;
	case CT_PYK_TEXT: v->type = "str"; return ct_value_text(&b->text, w, v);
	case CT_PYK_STR: {
		unsigned unit = flags >> 4 ? flags >> 4 : 1;

		if (unit != 1 && unit != 2 && unit != 4)
			return 0;
		n = (count * unit + 7) / 8;
		if (unit == 1 && n <= words - 3 && is_ascii(w + 3, n))
			return ct_value_bytes(b, w, words, v);
		text = n <= words - 3 ? ct_arena_alloc(&b->arena, count * 4 + 1) : NULL;
		if (!text)
			return 0;
		v->text.data = text;
		v->text.len = ct_py_utf8((const void *)(w + 3), unit, count, text);
		return 3 + n;
	}
	case CT_PYK_BYTES:
	case CT_PYK_BYTEARRAY:
	case CT_PYK_TYPE: return ct_value_bytes(b, w, words, v);
	case CT_PYK_FUNCTION: {
		struct ct_value name;

		n = read_value(b, w + 3, words - 3, &name, depth + 1);
		if (!n || name.tag != CT_VALUE_STRING)
			return 0;
		v->text = name.text;
		return 3 + n;
	}
	case CT_PYK_LIST:
	case CT_PYK_TUPLE:
	case CT_PYK_DICT:
	case CT_PYK_SET:
	case CT_PYK_OBJECT: return ct_value_children(b, w, words, v, depth, read_value);
	}
	return 3;
}

size_t ct_pysteps_value(struct ct_pysteps *b, const ct_u64 *words, size_t count, struct ct_value *v)
{
	return read_value(&b->base, words, count, v, 0);
}

void ct_pysteps_free_all(struct ct_pysteps *b)
{
	ct_arena_reset(&b->base.arena);
}
