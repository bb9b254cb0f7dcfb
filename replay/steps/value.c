// SPDX-License-Identifier: MIT
/* The parts of values that the agents of all languages write alike, made into those of trees. */
#include <stdlib.h>
#include <string.h>

#include "replay/steps/builder.h"

static size_t count_of(const ct_u64 *w)
{
	return w[0] >> 16 & 0xffff;
}

size_t ct_value_children(struct ct_step_builder *b, const ct_u64 *w, size_t words, struct ct_value *v, int depth,
			 ct_value_reader *read)
{
	size_t n = 3;

	v->child.count = count_of(w);
	v->child.list = ct_arena_alloc(&b->arena, (v->child.count + 1) * sizeof(struct ct_value));
	if (!v->child.list)
		return 0;
	for (size_t i = 0; i < v->child.count; i++) {
		size_t took = read(b, w + n, words - n, &v->child.list[i], depth + 1);

		if (!took)
			return 0;
		n += took;
	}
	return n;
}

size_t ct_value_bytes(struct ct_step_builder *b, const ct_u64 *w, size_t words, struct ct_value *v)
{
	const size_t len = count_of(w), n = (len + 7) / 8;
	char *text;

	if (n > words - 3)
		return 0;
	v->text.data = (const char *)(w + 3);
	v->text.len = len;
	if (b->in_place)
		return 3 + n;
	text = ct_arena_alloc(&b->arena, len + 1);
	if (!text)
		return 0;
	memcpy(text, w + 3, len);
	v->text.data = text;
	return 3 + n;
}

/* To decimal: divided by 10^9 again and again. */
size_t ct_value_bigint(struct ct_step_builder *b, const ct_u64 *w, size_t words, struct ct_value *v, unsigned bits)
{
	const size_t took = 3 + (count_of(w) + 7) / 8;
	const bool negative = (ct_s64)w[2] < 0;
	size_t n = count_of(w) / 4, size = n * 10 + 16;
	char *out, *p;
	ct_u32 *d;

	if (took > words)
		return 0;
	out = ct_arena_alloc(&b->arena, size);
	d = ct_arena_alloc(&b->arena, (n + 1) * sizeof(*d));
	if (!out || !d)
		return 0;
	v->tag = CT_VALUE_BIGINT;
	v->length = negative ? -w[2] : w[2];
	v->flags = n < v->length ? CT_VALUE_TRUNCATED : 0;
	memcpy(d, w + 3, n * sizeof(*d));
	p = out + size;
	while (n) {
		ct_u64 rest = 0;

		for (size_t i = n; i-- > 0;) {
			rest = rest << bits | d[i];
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
	return took;
}

size_t ct_value_text(const struct ct_step_texts *t, const ct_u64 *w, struct ct_value *v)
{
	if (w[2] >= t->count)
		return 0;
	v->text.data = t->list[w[2]];
	v->length = v->text.len = strlen(v->text.data);
	return 3;
}
