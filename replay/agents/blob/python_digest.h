/* SPDX-License-Identifier: MIT
 * Part of the agent in CPython: what tells a value from the one before. The code that writes values is included again;
 * what it would have written is mixed into a sum instead, so that one that has not changed costs no stores.
 * Included by python_blob.c: an image is made of one file. */
#ifndef CT_PYTHON_DIGEST_H
#define CT_PYTHON_DIGEST_H

#define STR_HASH 24 /* in PyASCIIObject, in all versions */

static ct_u64 digest_sum;

static ct_u64 fold(ct_u64 a, ct_u64 b)
{
	const unsigned __int128 product = (unsigned __int128)a * b;

	return (ct_u64)product ^ (ct_u64)(product >> 64);
}

/* Parts of the sum do not wait for each other; `p`, where a word would have been, tells their order. */
static ct_u64 place(const ct_u64 *p)
{
	return (ct_u64)p * 0x9e3779b97f4a7c15ull;
}

static ct_u64 *digest_node(ct_u64 *p, ct_u64 kind, ct_u64 flags, ct_u64 count, ct_u64 id, ct_u64 addr, ct_u64 n)
{
	const ct_u64 salt = place(p);

	digest_sum += fold((kind | flags << 8 | count << 16 | id << 32) ^ salt, addr ^ 0xc4ceb9fe1a85ec53ull) +
		      fold(n ^ 0xff51afd7ed558ccdull, ~salt);
	return p + 3;
}

static ct_u64 *digest_copy(ct_u64 *p, ct_u64 data, ct_u64 len)
{
	for (; len >= 8; len -= 8, data += 8, p++)
		digest_sum += fold(rd(data) ^ 0xc4ceb9fe1a85ec53ull, place(p));
	if (len) {
		ct_u64 w;

		copy(&w, data, len);
		digest_sum += fold(w ^ 0xc4ceb9fe1a85ec53ull, place(p++));
	}
	return p;
}

#define node     digest_node
#define copy     digest_copy
#define text     digest_text
#define str      digest_str
#define key      digest_key
#define value    digest_value
#define entries  digest_entries
#define dict     digest_dict
#define set      digest_set
#define sequence digest_sequence
#define object   digest_object
#define integer  digest_integer
#include "replay/agents/blob/python_values.h"
#undef node
#undef copy
#undef text
#undef str
#undef key
#undef value
#undef entries
#undef dict
#undef set
#undef sequence
#undef object
#undef integer

/* A dict has asked its keys for their hashes, and a str keeps that: 64 bits of what is in it. */
static ct_u64 *digest_key(ct_u64 *p, ct_u64 *end, ct_u64 o, unsigned depth)
{
	const struct ct_pya_type *t = find_type(rd(o + 8));
	const ct_u64 hashed = t->kind == CT_PYK_STR ? rd(o + STR_HASH) : (ct_u64)-1;

	return hashed == (ct_u64)-1 ? digest_value(p, end, o, depth)
				    : digest_node(p, CT_PYK_STR, 0, 0, t->id, o, hashed);
}

/* Of a value, and of a str that is its name, if there is one. Never 0. */
static ct_u64 digest_of(ct_u64 name, ct_u64 o)
{
	ct_u64 *const begin = (ct_u64 *)H.base, *p = begin; /* never followed */

	digest_sum = 0;
	if (name)
		p = digest_str(p, 0, name);
	digest_value(p, begin + CT_PYA_VALUE_MAX / 8 - 2, o, 0);
	return hash(digest_sum) | 1;
}

#endif
