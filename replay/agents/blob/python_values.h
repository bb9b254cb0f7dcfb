/* SPDX-License-Identifier: MIT
 * Part of the agent in CPython: an object and what is in it, written as words (CT_PYV_*). Only memory is read.
 * Included by python_blob.c: an image is made of one file. And by python_digest.h, with other names. */

static ct_u64 *text(ct_u64 *p, ct_u64 kind, ct_u64 id, ct_u64 o, ct_u64 data, ct_u64 len, ct_u64 stored)
{
	p = node(p, kind, stored < len ? CT_PYV_TRUNCATED : 0, stored, id, o, len);
	return copy(p, data, stored);
}

static ct_u64 *str(ct_u64 *p, ct_u64 id, ct_u64 o)
{
	ct_u64 len = rd(o + 16), stored, unit, data;
	ct_u32 state = rd32(o + 32);

	unit = state >> 2 & 7;          /* kind: bytes a character */
	if (!(state >> 5 & 1) || !unit) /* not compact: made by old interfaces, its data is elsewhere */
		return node(p, CT_PYK_STR, CT_PYV_TRUNCATED, 0, id, o, len);
	data = o + (state >> 6 & 1 ? H.off.str_ascii : H.off.str_compact);
	stored = len < H.bytes ? len : H.bytes;
	p = node(p, CT_PYK_STR, (stored < len ? CT_PYV_TRUNCATED : 0) | unit << 4, stored, id, o, len);
	return copy(p, data, stored * unit);
}

static ct_u64 *value(ct_u64 *p, ct_u64 *end, ct_u64 o, unsigned depth);

static ct_u64 *key(ct_u64 *p, ct_u64 *end, ct_u64 o, unsigned depth);

#ifndef CT_PYTHON_VALUES_H
#define CT_PYTHON_VALUES_H

struct keys {
	ct_u64 n, at, step;
	int unicode; /* no hash in front of key and value */
};

static struct keys read_keys(ct_u64 keys)
{
	struct keys k;
	ct_u64 size;

	if (H.off.dict_log) {
		k.n = rd(keys + 24);
		k.at = keys + 32 + (1ull << rd8(keys + 9));
		k.unicode = rd8(keys + 10) != 0;
	} else {
		size = rd(keys + 8);
		k.n = rd(keys + 32);
		k.at = keys + 40 + size * (size <= 0xff ? 1 : size <= 0xffff ? 2 : size <= 0xffffffff ? 4 : 8);
		k.unicode = 0;
	}
	k.step = k.unicode ? 16 : 24;
	return k;
}

#endif

/* Entries of a dict's keys, with the values beside them or in `values`; at most H.items. */
static ct_u64 *entries(ct_u64 *p, ct_u64 *end, ct_u64 keys, ct_u64 values, unsigned depth, ct_u64 *count, int *more)
{
	const struct keys e = read_keys(keys);

	for (ct_u64 i = 0; i < e.n; i++) {
		ct_u64 k = rd(e.at + i * e.step + (e.unicode ? 0 : 8));
		ct_u64 v = values ? rd(values + 8 * i) : rd(e.at + i * e.step + (e.unicode ? 8 : 16));

		if (!k || !v)
			continue;
		if (*count + 2 > 2ull * H.items || p + 64 > end) {
			*more = 1;
			break;
		}
		p = key(p, end, k, depth + 1);
		p = value(p, end, v, depth + 1);
		*count += 2;
	}
	return p;
}

static ct_u64 *dict(ct_u64 *p, ct_u64 *end, const struct ct_pya_type *t, ct_u64 o, unsigned depth)
{
	ct_u64 *head = p, count = 0, values = rd(o + H.off.dict_values);
	int more = 0;

	p = entries(p + 3, end, rd(o + H.off.dict_keys), values ? values + H.off.values_data : 0, depth, &count, &more);
	node(head, CT_PYK_DICT, more ? CT_PYV_TRUNCATED : 0, count, t->id, o, rd(o + H.off.dict_used));
	return p;
}

static ct_u64 *set(ct_u64 *p, ct_u64 *end, const struct ct_pya_type *t, ct_u64 o, unsigned depth)
{
	ct_u64 *head = p, count = 0, mask = rd(o + 32), at = rd(o + 40), used = rd(o + 24);

	p += 3;
	for (ct_u64 i = 0; i <= mask && count < used && count < H.items && p + 64 < end; i++) {
		ct_u64 k = rd(at + 16 * i);

		if (!k || (rd(at + 16 * i + 8) == (ct_u64)-1)) /* empty, or the mark of a removed one */
			continue;
		p = value(p, end, k, depth + 1);
		count++;
	}
	node(head, CT_PYK_SET, count < used ? CT_PYV_TRUNCATED : 0, count, t->id, o, used);
	return p;
}

static ct_u64 *sequence(ct_u64 *p, ct_u64 *end, const struct ct_pya_type *t, ct_u64 o, ct_u64 at, unsigned depth)
{
	ct_u64 *head = p, count = 0, len = rd(o + 16);

	p += 3;
	for (; count < len && count < H.items && p + 64 < end; count++) {
		ct_u64 v = rd(at + 8 * count);

		if (!v)
			break;
		p = value(p, end, v, depth + 1);
	}
	node(head, t->kind, count < len ? CT_PYV_TRUNCATED : 0, count, t->id, o, len);
	return p;
}

static ct_u64 *object(ct_u64 *p, ct_u64 *end, const struct ct_pya_type *t, ct_u64 o, unsigned depth)
{
	ct_u64 *head = p, count = 0, attributes = 0, keys = 0, values = 0;
	const struct ct_pya_slot *slot = (const struct ct_pya_slot *)t->slots;
	int more = 0;

	p += 3;
	for (ct_u32 i = 0; i < t->nslots; i++) {
		ct_u64 v = rd(o + slot[i].offset);

		if (!v)
			continue;
		if (count + 2 > 2ull * H.items || p + 64 > end) {
			more = 1;
			break;
		}
		p = node(p, CT_PYK_TEXT, 0, 0, 0, 0, slot[i].name);
		p = value(p, end, v, depth + 1);
		count += 2;
	}
	if (t->flags & CT_PYTF_MANAGED) {
		ct_u64 w = rd(o - 24);

		if (H.off.managed == 1) {
			attributes = w;
			values = attributes ? 0 : rd(o - 32);
		} else if (H.off.managed == 2) {
			if (w & 1)
				values = w + 1;
			else
				attributes = w;
		} else {
			attributes = w;
			if (!attributes && (t->flags & CT_PYTF_INLINE) && rd8(o + t->basicsize + 3))
				values = o + t->basicsize;
		}
		if (values && t->cached_keys)
			keys = rd(rd(o + 8) + t->cached_keys);
	} else if (t->dictoffset > 0) {
		attributes = rd(o + t->dictoffset);
	}
	if (values && keys)
		p = entries(p, end, keys, values + H.off.values_data, depth, &count, &more);
	else if (attributes)
		p = entries(p, end, rd(attributes + H.off.dict_keys),
			    rd(attributes + H.off.dict_values) ? rd(attributes + H.off.dict_values) + H.off.values_data
							       : 0,
			    depth, &count, &more);
	node(head, CT_PYK_OBJECT, more ? CT_PYV_TRUNCATED : 0, count, t->id, o, count / 2);
	return p;
}

static ct_u64 *integer(ct_u64 *p, const struct ct_pya_type *t, ct_u64 o)
{
	ct_u64 tag = rd(o + 16), n, v = 0, stored;
	int negative;

	if (H.off.int_tagged) {
		n = tag >> 3;
		negative = (tag & 3) == 2;
	} else {
		negative = (ct_s64)tag < 0;
		n = negative ? -tag : tag;
	}
	if (n <= 2) {
		if (n > 0)
			v = rd32(o + 24);
		if (n > 1)
			v |= (ct_u64)rd32(o + 28) << 30;
		return node(p, t->kind, 0, 0, t->id, o, negative ? -v : v);
	}
	stored = 4 * n < H.bytes ? 4 * n : H.bytes & ~3u;
	p = node(p, CT_PYK_INT, CT_PYV_BIG | (stored < 4 * n ? CT_PYV_TRUNCATED : 0), stored, t->id, o,
		 negative ? -n : n);
	return copy(p, o + 24, stored);
}

static ct_u64 *value(ct_u64 *p, ct_u64 *end, ct_u64 o, unsigned depth)
{
	const struct ct_pya_type *t = find_type(rd(o + 8));
	ct_u64 len;

	switch (t->kind) {
	case CT_PYK_NONE: return node(p, CT_PYK_NONE, 0, 0, t->id, o, 0);
	case CT_PYK_BOOL:
	case CT_PYK_INT: return integer(p, t, o);
	case CT_PYK_FLOAT: return node(p, CT_PYK_FLOAT, 0, 0, t->id, o, rd(o + 16));
	case CT_PYK_STR: return str(p, t->id, o);
	case CT_PYK_BYTES:
		len = rd(o + 16);
		return text(p, CT_PYK_BYTES, t->id, o, o + H.off.bytes_data, len, len < H.bytes ? len : H.bytes);
	case CT_PYK_BYTEARRAY:
		len = rd(o + 16);
		return text(p, CT_PYK_BYTEARRAY, t->id, o, rd(o + 40), len, len < H.bytes ? len : H.bytes);
	case CT_PYK_COMPLEX: return text(p, CT_PYK_COMPLEX, t->id, o, o + 16, 16, 16);
	case CT_PYK_TYPE: {
		ct_u64 name = rd(o + H.off.type_name);

		for (len = 0; len < 200 && rd8(name + len);)
			len++;
		return text(p, CT_PYK_TYPE, t->id, o, name, len, len);
	}
	case CT_PYK_FUNCTION: {
		ct_u64 *head = p, name = rd(o + t->named);

		if (!name)
			return node(p, CT_PYK_OPAQUE, 0, 0, t->id, o, 0);
		p = str(p + 3, 0, name);
		node(head, CT_PYK_FUNCTION, 0, 1, t->id, o, 1);
		return p;
	}
	case CT_PYK_CFUNCTION:
	case CT_PYK_METHODDESC:
	case CT_PYK_OPAQUE: return node(p, CT_PYK_OPAQUE, 0, 0, t->id, o, 0);
	case CT_PYK_CELL: return node(p, t->kind, 0, 0, t->id, o, 0);
	}
	if (depth >= H.depth) {
		len = t->kind == CT_PYK_OBJECT ? 0 : t->kind == CT_PYK_SET ? rd(o + 24) : rd(o + 16);
		return node(p, t->kind, CT_PYV_DEEP | (len || t->kind == CT_PYK_OBJECT ? CT_PYV_TRUNCATED : 0), 0,
			    t->id, o, len);
	}
	switch (t->kind) {
	case CT_PYK_LIST: return sequence(p, end, t, o, rd(o + 24), depth);
	case CT_PYK_TUPLE: return sequence(p, end, t, o, o + H.off.tuple_items, depth);
	case CT_PYK_DICT: return dict(p, end, t, o, depth);
	case CT_PYK_SET: return set(p, end, t, o, depth);
	default: return object(p, end, t, o, depth);
	}
}

#ifndef key
static ct_u64 *key(ct_u64 *p, ct_u64 *end, ct_u64 o, unsigned depth)
{
	return value(p, end, o, depth);
}
#endif
