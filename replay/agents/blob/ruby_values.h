/* SPDX-License-Identifier: MIT
 * Part of the agent in Ruby: an object and what is in it, written as words (CT_RBV_*). Only memory is read.
 * Included by ruby_blob.c: an image is made of one file. */
#ifndef CT_RUBY_VALUES_H
#define CT_RUBY_VALUES_H

#define T_MASK   0x1f
#define T_OBJECT 0x01
#define T_CLASS  0x02
#define T_MODULE 0x03
#define T_FLOAT  0x04
#define T_STRING 0x05
#define T_ARRAY  0x07
#define T_HASH   0x08
#define T_STRUCT 0x09
#define T_BIGNUM 0x0a
#define T_SYMBOL 0x14
#define T_IMEMO  0x1a
#define USER(n)  (1ull << (12 + (n)))
#define REMOVED  (~(ct_u64)0) /* hash of an entry that is gone */

static ct_u64 *bytes(ct_u64 *p, ct_u64 kind, ct_u64 id, ct_u64 o, ct_u64 data, ct_u64 len)
{
	ct_u64 stored = len < H.bytes ? len : H.bytes;

	p = node(p, kind, stored < len ? CT_PYV_TRUNCATED : 0, stored, id, o, len);
	return copy(p, data, stored);
}

static ct_u64 *string(ct_u64 *p, ct_u64 kind, ct_u64 id, ct_u64 o, ct_u64 s)
{
	ct_u64 flags = rd(s), len = rd(s + 16);

	if (flags & USER(1))
		return bytes(p, kind, id, o, rd(s + 24), len);
	if (H.off.str_embed_len)
		len = flags >> 14 & 31;
	return bytes(p, kind, id, o, s + H.off.str_embed, len);
}

static ct_u64 *value(ct_u64 *p, ct_u64 *end, ct_u64 o, unsigned depth);

static ct_u64 *array(ct_u64 *p, ct_u64 *end, ct_u64 id, ct_u64 o, unsigned depth)
{
	ct_u64 *head = p, flags = rd(o), len, at, count = 0;

	if (flags & USER(1)) {
		len = flags >> 15 & H.off.array_embed_mask;
		at = o + 16;
	} else {
		len = rd(o + 16);
		at = rd(o + 32);
	}
	p += 3;
	for (; depth < H.depth && count < len && count < H.items && p + 64 < end; count++)
		p = value(p, end, rd(at + 8 * count), depth + 1);
	node(head, CT_RBV_ARRAY, count < len ? CT_PYV_TRUNCATED : 0, count, id, o, len);
	return p;
}

/* Small tables have up to eight pairs; the flags say how many are in use and where they end. Others are st_tables. */
static ct_u64 *hash_table(ct_u64 *p, ct_u64 *end, ct_u64 id, ct_u64 o, unsigned depth)
{
	ct_u64 *head = p, flags = rd(o), count = 0, used, at, from = 0, to;
	const ct_u64 table = H.off.hash_table ? o + H.off.hash_table : rd(o + 16);
	const int big = (flags & USER(3)) != 0;

	if (big) {
		used = rd(table + 16);
		from = rd(table + 32);
		to = rd(table + 40);
		at = rd(table + 48);
	} else {
		used = flags >> 16 & 15;
		to = table ? flags >> 20 & 15 : 0;
		at = table + H.off.hash_pairs;
	}
	p += 3;
	for (ct_u64 i = from; depth < H.depth && i < to && count < used && count < H.items && p + 64 < end; i++) {
		ct_u64 k = big ? rd(at + 24 * i + 8) : rd(at + 16 * i);

		if (big ? rd(at + 24 * i) == REMOVED : k == H.off.undef)
			continue;
		p = value(p, end, k, depth + 1);
		p = value(p, end, big ? rd(at + 24 * i + 16) : rd(at + 16 * i + 8), depth + 1);
		count++;
	}
	node(head, CT_RBV_HASH, count < used ? CT_PYV_TRUNCATED : 0, 2 * count, id, o, used);
	return p;
}

/* Fields by their index in the words at `at`, of which there are `len`. */
static ct_u64 *fields(ct_u64 *p, ct_u64 *end, ct_u32 id, const struct ct_rba_type *t, ct_u64 o, ct_u64 at, ct_u64 len,
		      unsigned depth)
{
	const struct ct_rba_field *f = (const struct ct_rba_field *)t->fields;
	ct_u64 *head = p, count = 0, there = 0;

	p += 3;
	for (ct_u32 i = 0; i < t->nfields; i++) {
		ct_u64 v = f[i].index < len ? rd(at + 8 * f[i].index) : H.off.undef;

		if (v == H.off.undef)
			continue;
		there++;
		if (depth >= H.depth || count >= H.items || p + 64 > end)
			continue;
		p = node(p, CT_RBV_FIELD, 0, 0, 0, 0, f[i].name);
		p = value(p, end, v, depth + 1);
		count++;
	}
	node(head, CT_RBV_OBJECT, count < there ? CT_PYV_TRUNCATED : 0, 2 * count, id, o, there);
	return p;
}

static ct_u64 *object(ct_u64 *p, ct_u64 *end, const struct ct_rba_type *t, ct_u64 o, unsigned depth)
{
	ct_u64 flags = rd(o);

	if ((flags & T_MASK) == T_STRUCT) {
		ct_u64 len = flags >> 13 & H.off.struct_embed_mask;

		if (len)
			return fields(p, end, t->id, t, o, o + 16, len, depth);
		return fields(p, end, t->id, t, o, rd(o + 24), rd(o + 16), depth);
	}
	if (H.off.object_ivars == 2) {
		const ct_u32 id = t->id;
		const struct ct_rba_type *shape = find_type(flags >> 32 << 8 | CT_RBA_SHAPE);

		return fields(p, end, id, shape, o, flags & USER(1) ? o + 16 : rd(o + 16), 512, depth);
	}
	if (flags & USER(1))
		return fields(p, end, t->id, t, o, o + 16, 3, depth);
	return fields(p, end, t->id, t, o, rd(o + 24), rd32(o + 16), depth);
}

/* The two low bits are 10; the exponent's top is left out of the word, and it is turned by three. */
static ct_u64 flonum(ct_u64 v)
{
	ct_u64 b;

	if (v == 0x8000000000000002ull)
		return 0;
	b = (2 - (v >> 63)) | (v & ~(ct_u64)3);
	return b >> 3 | b << 61;
}

static ct_u64 *value(ct_u64 *p, ct_u64 *end, ct_u64 o, unsigned depth)
{
	const struct ct_rba_type *t;
	ct_u64 flags, len, *head;

	if (o & 1)
		return node(p, CT_RBV_INT, 0, 0, 0, 0, (ct_u64)((ct_s64)o >> 1));
	if ((o & 3) == 2)
		return node(p, CT_RBV_FLOAT, 0, 0, 0, 0, flonum(o));
	if (o == H.off.nil || o == H.off.undef)
		return node(p, CT_RBV_NIL, 0, 0, 0, 0, 0);
	if (!o || o == 0x14)
		return node(p, o ? CT_RBV_TRUE : CT_RBV_FALSE, 0, 0, 0, 0, 0);
	if ((o & 0xff) == CT_RBA_SYMBOL)
		return node(p, CT_RBV_SYMBOL, 0, 0, 0, 0, find_type(o)->id);
	if (o & 7)
		return node(p, CT_RBV_NIL, CT_PYV_TRUNCATED, 0, 0, 0, 0);
	flags = rd(o);
	if (!rd(o + 8) || !(flags & T_MASK) || (flags & T_MASK) == T_IMEMO) /* the interpreter's own */
		return node(p, CT_RBV_OPAQUE, 0, 0, 0, o, 0);
	t = find_type((flags & T_MASK) == T_CLASS || (flags & T_MASK) == T_MODULE ? o : rd(o + 8));
	switch (flags & T_MASK) {
	case T_FLOAT: return node(p, CT_RBV_FLOAT, 0, 0, t->id, 0, rd(o + 16));
	case T_STRING: return string(p, CT_RBV_STRING, t->id, o, o);
	case T_SYMBOL: return string(p, CT_RBV_DYNAMIC_SYMBOL, t->id, 0, rd(o + 24));
	case T_BIGNUM:
		len = flags & USER(2) ? flags >> 15 & 7 : rd(o + 16);
		head = p;
		p = bytes(p, CT_RBV_BIG, t->id, 0, flags & USER(2) ? o + 16 : rd(o + 24),
			  4 * len < H.bytes ? 4 * len : H.bytes & ~3u);
		head[2] = flags & USER(1) ? len : -len;
		return p;
	case T_ARRAY: return array(p, end, t->id, o, depth);
	case T_HASH: return hash_table(p, end, t->id, o, depth);
	case T_CLASS:
	case T_MODULE: return node(p, CT_RBV_CLASS, 0, 0, 0, o, t->id);
	case T_STRUCT:
	case T_OBJECT: return object(p, end, t, o, depth);
	}
	return node(p, CT_RBV_OPAQUE, 0, 0, t->id, o, 0);
}

#endif
