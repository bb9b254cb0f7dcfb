/* SPDX-License-Identifier: MIT
 * Part of all agents, and of those who look at live interpreters: a value's words. They have rd() and rd8(). */
#ifndef CT_BLOB_NODE_H
#define CT_BLOB_NODE_H

static ct_u64 *node(ct_u64 *p, ct_u64 kind, ct_u64 flags, ct_u64 count, ct_u64 id, ct_u64 addr, ct_u64 n)
{
	p[0] = kind | flags << 8 | count << 16 | id << 32;
	p[1] = addr;
	p[2] = n;
	return p + 3;
}

/* len bytes into words, the last one filled up with zero. Never reads from a page that the bytes are not on. */
static ct_u64 *copy(ct_u64 *p, ct_u64 data, ct_u64 len)
{
	for (; len >= 8; len -= 8, data += 8)
		*p++ = rd(data);
	if (len) {
		ct_u64 w = 0;

		if ((data & 4095) <= 4088)
			w = rd(data) & (~(ct_u64)0 >> (64 - 8 * len));
		else
			for (ct_u64 k = 0; k < len; k++)
				w |= (ct_u64)rd8(data + k) << 8 * k;
		*p++ = w;
	}
	return p;
}

#endif
