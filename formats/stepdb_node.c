/* SPDX-License-Identifier: MIT
 * Values of the step database: building nodes, and walking them with every byte checked.
 *
 * stepdb_text.c shows them. */
#include <string.h>

#include "stepdb_private.h"

#define TAG_MASK    0x1f
#define HAS_ADDRESS 0x20
#define HAS_LENGTH  0x40
#define TRUNCATED   0x80

/* ---- Building ---- */

void ct_node_free(struct ct_node_builder *b)
{
	if (!b->fixed)
		free(b->data);
	*b = (struct ct_node_builder){0};
}

static ct_u8 *room(struct ct_node_builder *b, size_t need)
{
	ct_u8 *data;
	size_t cap = b->cap ? b->cap : 256;

	if (b->failed)
		return NULL;
	if (need <= b->cap - b->len)
		return b->data + b->len;
	while (cap - b->len < need && cap <= CT_NODE_MAX)
		cap *= 2;
	data = b->fixed || cap - b->len < need ? NULL : realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return NULL;
	}
	b->data = data;
	b->cap = cap;
	return data + b->len;
}

/* Header of a node with room for `more` bytes behind it; NULL if there is none. */
static ct_u8 *begin(struct ct_node_builder *b, enum ct_node_tag tag, const struct ct_node_info *info, size_t more)
{
	static const struct ct_node_info none;
	ct_u8 *p = room(b, 1 + 3 * SD_VARINT_MAX + more);

	if (!p)
		return NULL;
	info = info ? info : &none;
	*p++ = (ct_u8)(tag | (info->address ? HAS_ADDRESS : 0) | (info->length ? HAS_LENGTH : 0) |
		       (info->truncated ? TRUNCATED : 0));
	p = sd_varint(p, info->type);
	if (info->address)
		p = sd_varint(p, info->address);
	if (info->length)
		p = sd_varint(p, info->length);
	return p;
}

static void finish(struct ct_node_builder *b, const ct_u8 *p)
{
	if (p)
		b->len = (size_t)(p - b->data);
}

void ct_node_plain(struct ct_node_builder *b, enum ct_node_tag tag, const struct ct_node_info *info)
{
	finish(b, begin(b, tag, info, 0));
}

void ct_node_int(struct ct_node_builder *b, ct_s64 value, const struct ct_node_info *info)
{
	ct_u8 *p = begin(b, CT_NODE_INT, info, SD_VARINT_MAX);

	finish(b, p ? sd_varint(p, sd_zigzag((ct_u64)value)) : NULL);
}

void ct_node_float(struct ct_node_builder *b, double value, const struct ct_node_info *info)
{
	ct_u8 *p = begin(b, CT_NODE_FLOAT, info, sizeof(value));

	if (p)
		memcpy(p, &value, sizeof(value));
	finish(b, p ? p + sizeof(value) : NULL);
}

void ct_node_text(struct ct_node_builder *b, enum ct_node_tag tag, const void *text, size_t len,
		  const struct ct_node_info *info)
{
	ct_u8 *p = len <= CT_NODE_MAX ? begin(b, tag, info, SD_VARINT_MAX + len) : NULL;

	if (!p) {
		b->failed = true;
		return;
	}
	p = sd_varint(p, len);
	if (len)
		memcpy(p, text, len);
	finish(b, p + len);
}

void ct_node_pointer(struct ct_node_builder *b, ct_u64 value, const struct ct_node_info *info)
{
	ct_u8 *p = begin(b, CT_NODE_POINTER, info, SD_VARINT_MAX);

	finish(b, p ? sd_varint(p, value) : NULL);
}

void ct_node_open(struct ct_node_builder *b, enum ct_node_tag tag, const struct ct_node_info *info)
{
	ct_node_plain(b, tag, info);
}

void ct_node_field(struct ct_node_builder *b, ct_u32 name)
{
	struct ct_node_info info = {.type = name};

	ct_node_plain(b, CT_NODE_FIELD, &info);
}

void ct_node_close(struct ct_node_builder *b)
{
	ct_u8 *p = room(b, 1);

	if (p)
		*p = CT_NODE_END;
	finish(b, p ? p + 1 : NULL);
}

/* ---- Reading ---- */

static bool take_payload(const ct_u8 **p, const ct_u8 *end, struct ct_node *node)
{
	ct_u64 v;

	switch (node->tag) {
	case CT_NODE_INT:
		if (!sd_get(p, end, &v))
			return false;
		node->integer = (ct_s64)sd_unzigzag(v);
		return true;
	case CT_NODE_POINTER: return sd_get(p, end, &node->pointer);
	case CT_NODE_FLOAT:
		if ((size_t)(end - *p) < sizeof(node->real))
			return false;
		memcpy(&node->real, *p, sizeof(node->real));
		*p += sizeof(node->real);
		return true;
	case CT_NODE_NUMBER:
	case CT_NODE_STRING:
	case CT_NODE_BYTES:
	case CT_NODE_TEXT:
		if (!sd_get(p, end, &v) || v > (ct_u64)(end - *p))
			return false;
		node->text = *p;
		node->text_len = (size_t)v;
		*p += v;
		return true;
	default: return true;
	}
}

bool ct_node_next(const ct_u8 **p, const ct_u8 *end, struct ct_node *node)
{
	const ct_u8 *s = *p;
	ct_u64 type;
	ct_u8 head;

	memset(node, 0, sizeof(*node));
	if (s == end)
		return false;
	head = *s++;
	if (head == CT_NODE_END) {
		*p = s;
		return true;
	}
	if ((head & TAG_MASK) == CT_NODE_END || (head & TAG_MASK) >= CT_NODE_NTAGS)
		return false;
	node->tag = (enum ct_node_tag)(head & TAG_MASK);
	if (!sd_get(&s, end, &type) || type > UINT32_MAX)
		return false;
	node->info.type = (ct_u32)type;
	node->info.truncated = head & TRUNCATED;
	if (((head & HAS_ADDRESS) && !sd_get(&s, end, &node->info.address)) ||
	    ((head & HAS_LENGTH) && !sd_get(&s, end, &node->info.length)) || !take_payload(&s, end, node))
		return false;
	*p = s;
	return true;
}

/* What may come next depends on how many tokens its container has had. */
bool ct_node_check(const void *data, size_t len)
{
	const ct_u8 *p = data, *end = p + len;
	ct_u8 tag[CT_NODE_DEPTH + 1];
	bool odd[CT_NODE_DEPTH + 1]; /* a key or field that waits for its value */
	unsigned depth = 0;
	struct ct_node node;

	tag[0] = CT_NODE_LIST;
	odd[0] = false;
	if (!len || len > CT_NODE_MAX)
		return false;
	do {
		if (!ct_node_next(&p, end, &node))
			return false;
		if (node.tag == CT_NODE_END) {
			if (!depth || odd[depth])
				return false;
			depth--;
			continue;
		}
		if ((node.tag == CT_NODE_FIELD) != (tag[depth] == CT_NODE_OBJECT && !odd[depth]))
			return false;
		odd[depth] = (tag[depth] == CT_NODE_DICT || tag[depth] == CT_NODE_OBJECT) && !odd[depth];
		if (node.tag >= CT_NODE_LIST && node.tag != CT_NODE_FIELD) {
			if (depth == CT_NODE_DEPTH)
				return false;
			tag[++depth] = (ct_u8)node.tag;
			odd[depth] = false;
		}
	} while (depth);
	return p == end;
}
