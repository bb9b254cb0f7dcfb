// SPDX-License-Identifier: MIT
/* Values of Ruby as the agent wrote them, made into trees. Strings that are no UTF-8 become bytes. */
#include <string.h>

#include "replay/steps/ruby_priv.h"

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

/* What is no UTF-8 is bytes. */
static void check_text(struct ct_value *v)
{
	size_t good = utf8_prefix((const unsigned char *)v->text.data, v->text.len);

	if (good == v->text.len)
		return;
	if ((v->flags & CT_VALUE_TRUNCATED) && v->text.len - good < 4)
		v->text.len = good; /* cut within a character */
	else
		v->tag = CT_VALUE_BYTES;
}

static size_t read_value(struct ct_step_builder *b, const ct_u64 *w, size_t words, struct ct_value *v, int depth)
{
	unsigned kind;
	size_t n, type;

	if (words < 3 || depth > CT_VALUE_DEEPEST || (w[0] & 255) >= CT_RBV_KINDS)
		return 0;
	kind = w[0] & 255;
	type = w[0] >> 32;
	memset(v, 0, sizeof(*v));
	v->tag = kinds[kind].tag;
	v->flags = w[0] >> 8 & CT_PYV_TRUNCATED ? CT_VALUE_TRUNCATED : 0;
	v->type = kinds[kind].type ? kinds[kind].type : type < b->type.count ? b->type.list[type] : "Object";
	v->address = w[1];
	v->length = w[2];
	switch (kind) {
	case CT_RBV_TRUE: v->i = 1; return 3;
	case CT_RBV_INT: v->i = (ct_s64)w[2]; return 3;
	case CT_RBV_FLOAT: memcpy(&v->f[0], &w[2], 8); return 3;
	case CT_RBV_BIG: return ct_value_bigint(b, w, words, v, 32);
	case CT_RBV_SYMBOL:
	case CT_RBV_FIELD: return ct_value_text(&b->text, w, v);
	case CT_RBV_CLASS: return ct_value_text(&b->type, w, v);
	case CT_RBV_STRING:
	case CT_RBV_DYNAMIC_SYMBOL:
		n = ct_value_bytes(b, w, words, v);
		if (n)
			check_text(v);
		return n;
	case CT_RBV_ARRAY:
	case CT_RBV_HASH:
	case CT_RBV_OBJECT: return ct_value_children(b, w, words, v, depth, read_value);
	}
	return 3;
}

size_t ct_rbsteps_value(struct ct_rbsteps *b, const ct_u64 *words, size_t count, struct ct_value *v)
{
	return read_value(&b->base, words, count, v, 0);
}

void ct_rbsteps_free_values(struct ct_rbsteps *b)
{
	ct_arena_reset(&b->base.arena);
}
