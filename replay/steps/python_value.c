// SPDX-License-Identifier: MIT
/* Values of CPython as the agent wrote them, made into trees. Texts become UTF-8, long ints decimal. */
#include <stdlib.h>
#include <string.h>

#include "replay/steps/python_priv.h"

#define DEEPEST 64

void *ct_pysteps_alloc(struct ct_pysteps *b, size_t size)
{
	struct ct_arena *a = b->arena;
	void *p;

	size = (size + 15) & ~(size_t)15;
	if (!a || a->used + size > a->size) {
		size_t room = size > 65536 ? size : 65536;

		a = malloc(sizeof(*a) + room);
		if (!a)
			return NULL;
		a->next = b->arena;
		a->size = room;
		a->used = 0;
		b->arena = a;
	}
	p = a->data + a->used;
	a->used += size;
	return p;
}

/* Keeps one piece for next time. */
void ct_pysteps_free_all(struct ct_pysteps *b)
{
	while (b->arena && b->arena->next) {
		struct ct_arena *next = b->arena->next;

		free(b->arena);
		b->arena = next;
	}
	if (b->arena)
		b->arena->used = 0;
}

/* Little-endian digits of 30 bits to decimal: divided by 10^9 again and again. */
static bool decimal(struct ct_pysteps *b, const unsigned char *digits, size_t n, bool negative, struct ct_value *v)
{
	size_t size = n * 10 + 16;
	char *out = ct_pysteps_alloc(b, size), *p = out + size;
	ct_u32 *d = ct_pysteps_alloc(b, (n + 1) * sizeof(*d));

	if (!out || !d)
		return false;
	memcpy(d, digits, n * sizeof(*d));
	while (n) {
		ct_u64 rest = 0;

		for (size_t i = n; i-- > 0;) {
			rest = rest << 30 | d[i];
			d[i] = (ct_u32)(rest / 1000000000);
			rest %= 1000000000;
		}
		while (n && !d[n - 1])
			n--;
		for (int i = 0; i < 9 && (n || rest); i++, rest /= 10)
			*--p = (char)('0' + rest % 10);
	}
	if (negative)
		*--p = '-';
	v->tag = CT_VALUE_BIGINT;
	v->text.data = p;
	v->text.len = (size_t)(out + size - p);
	return true;
}

static const unsigned char tags[] = {
	[CT_PYK_OPAQUE] = CT_VALUE_RAW,        [CT_PYK_NONE] = CT_VALUE_NONE,       [CT_PYK_BOOL] = CT_VALUE_BOOL,
	[CT_PYK_INT] = CT_VALUE_INT,           [CT_PYK_FLOAT] = CT_VALUE_FLOAT,     [CT_PYK_STR] = CT_VALUE_STRING,
	[CT_PYK_BYTES] = CT_VALUE_BYTES,       [CT_PYK_BYTEARRAY] = CT_VALUE_BYTES, [CT_PYK_LIST] = CT_VALUE_SEQUENCE,
	[CT_PYK_TUPLE] = CT_VALUE_TUPLE,       [CT_PYK_DICT] = CT_VALUE_TABLE,      [CT_PYK_SET] = CT_VALUE_SET,
	[CT_PYK_OBJECT] = CT_VALUE_STRUCT,     [CT_PYK_CELL] = CT_VALUE_RAW,        [CT_PYK_TYPE] = CT_VALUE_TYPE,
	[CT_PYK_FUNCTION] = CT_VALUE_FUNCTION, [CT_PYK_COMPLEX] = CT_VALUE_COMPLEX, [CT_PYK_TEXT] = CT_VALUE_STRING,
};

static size_t read_value(struct ct_pysteps *b, const ct_u64 *w, size_t words, struct ct_value *v, int depth)
{
	unsigned kind, flags;
	size_t count, n, type;
	char *text;

	if (words < 3 || depth > DEEPEST)
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
	v->type = type < b->ntype ? b->type[type] : "?";
	v->address = w[1];
	v->length = w[2];
	switch (kind) {
	case CT_PYK_BOOL: v->i = w[2] != 0; return 3;
	case CT_PYK_INT:
		if (!(flags & CT_PYV_BIG)) {
			v->i = (ct_s64)w[2];
			return 3;
		}
		n = (count + 7) / 8;
		if (n > words - 3)
			return 0;
		v->length = (ct_s64)w[2] < 0 ? -w[2] : w[2];
		return decimal(b, (const void *)(w + 3), count / 4, (ct_s64)w[2] < 0, v) ? 3 + n : 0;
	case CT_PYK_FLOAT: memcpy(&v->f[0], &w[2], 8); return 3;
	case CT_PYK_COMPLEX:
		if (words < 5)
			return 0;
		memcpy(v->f, w + 3, 16);
		return 5;
	case CT_PYK_TEXT:
		if (w[2] >= b->ntext)
			return 0;
		v->type = "str";
		v->text.data = b->text[w[2]];
		v->length = v->text.len = strlen(v->text.data);
		return 3;
	case CT_PYK_STR: {
		unsigned unit = flags >> 4 ? flags >> 4 : 1;

		if (unit != 1 && unit != 2 && unit != 4)
			return 0;
		n = (count * unit + 7) / 8;
		text = n <= words - 3 ? ct_pysteps_alloc(b, count * 4 + 1) : NULL;
		if (!text)
			return 0;
		v->text.data = text;
		v->text.len = ct_py_utf8((const void *)(w + 3), unit, count, text);
		return 3 + n;
	}
	case CT_PYK_BYTES:
	case CT_PYK_BYTEARRAY:
	case CT_PYK_TYPE:
		n = (count + 7) / 8;
		text = n <= words - 3 ? ct_pysteps_alloc(b, count + 1) : NULL;
		if (!text)
			return 0;
		memcpy(text, w + 3, count);
		v->text.data = text;
		v->text.len = count;
		return 3 + n;
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
	case CT_PYK_OBJECT:
		v->child.count = count;
		v->child.list = ct_pysteps_alloc(b, (count + 1) * sizeof(struct ct_value));
		if (!v->child.list)
			return 0;
		n = 3;
		for (size_t i = 0; i < count; i++) {
			size_t took = read_value(b, w + n, words - n, &v->child.list[i], depth + 1);

			if (!took)
				return 0;
			n += took;
		}
		return n;
	}
	return 3;
}

size_t ct_pysteps_value(struct ct_pysteps *b, const ct_u64 *words, size_t count, struct ct_value *v)
{
	return read_value(b, words, count, v, 0);
}
