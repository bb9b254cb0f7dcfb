// SPDX-License-Identifier: MIT
/* Values of Ruby as the agent wrote them, made into trees. Strings that are no UTF-8 become bytes, Bignums decimal. */
#include <stdlib.h>
#include <string.h>

#include "replay/steps/ruby_priv.h"

#define DEEPEST 64

static const struct {
	unsigned char tag;
	const char *type; /* NULL: the agent says */
} kinds[CT_RBV_KINDS] = {
	[CT_RBV_NIL] = {CT_VALUE_NONE, "NilClass"},
	[CT_RBV_TRUE] = {CT_VALUE_BOOL, "TrueClass"},
	[CT_RBV_FALSE] = {CT_VALUE_BOOL, "FalseClass"},
	[CT_RBV_INT] = {CT_VALUE_INT, "Integer"},
	[CT_RBV_BIG] = {CT_VALUE_BIGINT, "Integer"},
	[CT_RBV_FLOAT] = {CT_VALUE_FLOAT, "Float"},
	[CT_RBV_STRING] = {CT_VALUE_STRING, NULL},
	[CT_RBV_SYMBOL] = {CT_VALUE_STRING, "Symbol"},
	[CT_RBV_DYNAMIC_SYMBOL] = {CT_VALUE_STRING, "Symbol"},
	[CT_RBV_ARRAY] = {CT_VALUE_SEQUENCE, NULL},
	[CT_RBV_HASH] = {CT_VALUE_TABLE, NULL},
	[CT_RBV_OBJECT] = {CT_VALUE_STRUCT, NULL},
	[CT_RBV_CLASS] = {CT_VALUE_TYPE, "Class"},
	[CT_RBV_OPAQUE] = {CT_VALUE_RAW, NULL},
	[CT_RBV_FIELD] = {CT_VALUE_STRING, "String"},
};

/* Little-endian digits of 32 bits to decimal: divided by 10^9 again and again. */
static bool decimal(struct ct_rbsteps *b, const void *digits, size_t n, bool negative, struct ct_value *v)
{
	size_t size = n * 10 + 16;
	char *out = ct_arena_alloc(&b->arena, size), *p = out + size;
	ct_u32 *d = ct_arena_alloc(&b->arena, (n + 1) * sizeof(*d));

	if (!out || !d)
		return false;
	memcpy(d, digits, n * sizeof(*d));
	while (n && !d[n - 1])
		n--;
	while (n) {
		ct_u64 rest = 0;

		for (size_t i = n; i-- > 0;) {
			rest = rest << 32 | d[i];
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
	v->text.data = p;
	v->text.len = (size_t)(out + size - p);
	return true;
}

/* The length of the longest beginning that is UTF-8. */
static size_t utf8_prefix(const unsigned char *s, size_t len)
{
	size_t i = 0;

	while (i < len) {
		size_t more = s[i] < 0x80                   ? 0
			      : s[i] >= 0xc2 && s[i] < 0xe0 ? 1
			      : s[i] >= 0xe0 && s[i] < 0xf0 ? 2
			      : s[i] >= 0xf0 && s[i] < 0xf5 ? 3
							    : len;

		if (more >= len - i)
			break;
		for (size_t k = 1; k <= more; k++)
			if ((s[i + k] & 0xc0) != 0x80)
				return i;
		i += more + 1;
	}
	return i;
}

static void text(struct ct_value *v, const char *data, size_t len)
{
	size_t good = utf8_prefix((const unsigned char *)data, len);

	v->text.data = data;
	v->text.len = len;
	if (good == len)
		return;
	if ((v->flags & CT_VALUE_TRUNCATED) && len - good < 4)
		v->text.len = good; /* cut within a character */
	else
		v->tag = CT_VALUE_BYTES;
}

static size_t read_value(struct ct_rbsteps *b, const ct_u64 *w, size_t words, struct ct_value *v, int depth)
{
	size_t count, n, type;
	unsigned kind;
	char *copy;

	if (words < 3 || depth > DEEPEST || (w[0] & 255) >= CT_RBV_KINDS)
		return 0;
	kind = w[0] & 255;
	count = w[0] >> 16 & 0xffff;
	type = w[0] >> 32;
	memset(v, 0, sizeof(*v));
	v->tag = kinds[kind].tag;
	v->flags = w[0] >> 8 & CT_PYV_TRUNCATED ? CT_VALUE_TRUNCATED : 0;
	v->type = kinds[kind].type ? kinds[kind].type : type < b->ntype ? b->type[type] : "Object";
	v->address = w[1];
	v->length = w[2];
	switch (kind) {
	case CT_RBV_TRUE: v->i = 1; return 3;
	case CT_RBV_INT: v->i = (ct_s64)w[2]; return 3;
	case CT_RBV_FLOAT: memcpy(&v->f[0], &w[2], 8); return 3;
	case CT_RBV_BIG:
		n = (count + 7) / 8;
		if (n > words - 3)
			return 0;
		v->length = (ct_s64)w[2] < 0 ? -w[2] : w[2];
		v->flags = count / 4 < v->length ? CT_VALUE_TRUNCATED : 0;
		return decimal(b, w + 3, count / 4, (ct_s64)w[2] < 0, v) ? 3 + n : 0;
	case CT_RBV_SYMBOL:
	case CT_RBV_FIELD:
	case CT_RBV_CLASS: {
		char **list = kind == CT_RBV_CLASS ? b->type : b->text;

		if (w[2] >= (kind == CT_RBV_CLASS ? b->ntype : b->ntext))
			return 0;
		v->text.data = list[w[2]];
		v->length = v->text.len = strlen(list[w[2]]);
		return 3;
	}
	case CT_RBV_STRING:
	case CT_RBV_DYNAMIC_SYMBOL:
		n = (count + 7) / 8;
		copy = n <= words - 3 ? ct_arena_alloc(&b->arena, count + 1) : NULL;
		if (!copy)
			return 0;
		memcpy(copy, w + 3, count);
		text(v, copy, count);
		return 3 + n;
	case CT_RBV_ARRAY:
	case CT_RBV_HASH:
	case CT_RBV_OBJECT:
		v->child.count = count;
		v->child.list = ct_arena_alloc(&b->arena, (count + 1) * sizeof(struct ct_value));
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

size_t ct_rbsteps_value(struct ct_rbsteps *b, const ct_u64 *words, size_t count, struct ct_value *v)
{
	return read_value(b, words, count, v, 0);
}

void ct_rbsteps_free_values(struct ct_rbsteps *b)
{
	ct_arena_reset(&b->arena);
}
