/* SPDX-License-Identifier: MIT
 * Values as CodeTracer has them, in JSON or CBOR: maps that begin with their kind and end with their type.
 *
 * Its values do not say what they leave out: a shortened string ends with "...", a shortened container with a text. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "codetracer.h"

#define NESTING 30 /* readers take 32 levels */

struct encoder {
	struct cdt *c;
	struct sd_buf *out;
	bool cbor;
	const ct_u8 *p, *end;
};

/* ---- Types ---- */

static const struct {
	const char *name;
	enum cdt_type_kind kind;
} tags[CT_NODE_NTAGS] = {
	[CT_NODE_NULL] = {"None", CDT_NONE},
	[CT_NODE_FALSE] = {"bool", CDT_BOOL},
	[CT_NODE_TRUE] = {"bool", CDT_BOOL},
	[CT_NODE_INT] = {"int", CDT_INT},
	[CT_NODE_NUMBER] = {"number", CDT_RAW},
	[CT_NODE_FLOAT] = {"float", CDT_FLOAT},
	[CT_NODE_STRING] = {"str", CDT_STRING},
	[CT_NODE_BYTES] = {"bytes", CDT_RAW},
	[CT_NODE_TEXT] = {"text", CDT_RAW},
	[CT_NODE_POINTER] = {"pointer", CDT_RAW},
	[CT_NODE_REF] = {"object", CDT_RAW},
	[CT_NODE_UNSET] = {"None", CDT_NONE},
	[CT_NODE_LIST] = {"list", CDT_SEQUENCE},
	[CT_NODE_TUPLE] = {"tuple", CDT_TUPLE},
	[CT_NODE_SET] = {"set", CDT_SET},
	[CT_NODE_DICT] = {"dict", CDT_SEQUENCE},
	[CT_NODE_OBJECT] = {"object", CDT_SEQUENCE},
	[CT_NODE_FIELD] = {"field", CDT_TUPLE},
};

static bool define_type(struct cdt *c, ct_u32 *slot, enum cdt_type_kind kind, const char *text, size_t len, ct_u32 *id)
{
	if (!*slot) {
		*slot = ++c->ids[CT_TYPES].n;
		if (!c->ops->type(c, kind, text, len))
			return false;
	}
	*id = *slot - 1;
	return true;
}

/* By the type's name if the node has one, else by what it is. The first type is None: a value that is not known. */
static bool type_of(struct cdt *c, const struct ct_node *n, ct_u32 *id)
{
	const struct ct_name *type =
		n->tag == CT_NODE_FIELD ? NULL : ct_stepdb_name(c->src->db, CT_TYPES, n->info.type);

	if (n->tag == CT_NODE_NULL || n->tag == CT_NODE_UNSET)
		return define_type(c, &c->nothing, CDT_NONE, "None", 4, id);
	if (type && type->len)
		return define_type(c, &c->ids[CT_TYPES].id[n->info.type], tags[n->tag].kind, type->text, type->len, id);
	return define_type(c, &c->tag_type[n->tag == CT_NODE_FALSE ? CT_NODE_TRUE : n->tag], tags[n->tag].kind,
			   tags[n->tag].name, strlen(tags[n->tag].name), id);
}

/* ---- JSON and CBOR ---- */

static bool head(struct sd_buf *b, unsigned major, ct_u64 n)
{
	ct_u8 bytes[9];
	unsigned size = n < 24 ? 0 : n <= UINT8_MAX ? 1 : n <= UINT16_MAX ? 2 : n <= UINT32_MAX ? 4 : 8;

	/* What follows the first byte says how many bytes the number has: 24 to 27. */
	bytes[0] = (ct_u8)(major << 5 | (size ? 24u + (unsigned)__builtin_ctz(size) : (unsigned)n));
	for (unsigned i = 0; i < size; i++)
		bytes[1 + i] = (ct_u8)(n >> 8 * (size - 1 - i));
	return sd_put(b, bytes, 1 + size);
}

static bool put_str(struct encoder *e, const char *text)
{
	return sd_put(e->out, text, strlen(text));
}

static bool put_text(struct encoder *e, const void *text, size_t len)
{
	struct sd_buf clean = {0};
	bool ok;

	if (!e->cbor)
		return ex_json_text(e->out, text, len);
	ok = ex_utf8(&clean, text, len) && head(e->out, 3, clean.len) && sd_put(e->out, clean.data, clean.len);
	free(clean.data);
	return ok;
}

static bool key(struct encoder *e, const char *name)
{
	if (e->cbor)
		return put_text(e, name, strlen(name));
	return put_str(e, ",\"") && put_str(e, name) && put_str(e, "\":");
}

static bool begin(struct encoder *e, const char *kind, unsigned members)
{
	if (e->cbor)
		return head(e->out, 5, members) && key(e, "kind") && put_text(e, kind, strlen(kind));
	return put_str(e, "{\"kind\":\"") && put_str(e, kind) && put_str(e, "\"");
}

static bool put_uint(struct encoder *e, ct_u64 v)
{
	char text[24];

	return e->cbor ? head(e->out, 0, v)
		       : sd_put(e->out, text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)v));
}

static bool finish(struct encoder *e, ct_u32 type)
{
	return key(e, "type_id") && put_uint(e, type) && (e->cbor || put_str(e, "}"));
}

static bool put_bool(struct encoder *e, bool v)
{
	return e->cbor ? sd_put(e->out, v ? "\xf5" : "\xf4", 1) : put_str(e, v ? "true" : "false");
}

static bool put_array(struct encoder *e, ct_u64 n)
{
	return e->cbor ? head(e->out, 4, n) : put_str(e, "[");
}

static bool put_int(struct encoder *e, ct_s64 v, ct_u32 type)
{
	char text[24];

	if (!begin(e, "Int", 3) || !key(e, "i"))
		return false;
	if (e->cbor ? !head(e->out, v < 0, v < 0 ? ~(ct_u64)v : (ct_u64)v)
		    : !sd_put(e->out, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)v)))
		return false;
	return finish(e, type);
}

/* JSON has no infinities: the loader takes a text, for all of them. */
static bool put_float(struct encoder *e, double v, ct_u32 type)
{
	ct_u8 bytes[9] = {0xfb};
	char text[40];
	ct_u64 bits;

	if (!begin(e, "Float", 3) || !key(e, "f"))
		return false;
	memcpy(&bits, &v, sizeof(bits));
	for (unsigned i = 0; i < 8; i++)
		bytes[1 + i] = (ct_u8)(bits >> (56 - 8 * i));
	snprintf(text, sizeof(text), isnan(v) ? "NaN" : "%.17g", v);
	return (e->cbor ? sd_put(e->out, bytes, sizeof(bytes)) : put_text(e, text, strlen(text))) && finish(e, type);
}

static bool put_named(struct encoder *e, const char *kind, const char *member, const void *text, size_t len,
		      ct_u32 type)
{
	return begin(e, kind, 3) && key(e, member) && put_text(e, text, len) && finish(e, type);
}

/* ---- Nodes ---- */

static bool raw_text(struct cdt *c, const ct_u8 *node, size_t len, struct sd_buf *out)
{
	struct ct_node_names names = ct_stepdb_node_names(c->src->db);
	size_t need = ct_node_format(node, len, &names, NULL, 0);

	if (!sd_reserve(out, need + 1))
		return false;
	ct_node_format(node, len, &names, (char *)out->data + out->len, need + 1);
	out->len += need;
	return true;
}

/* The text a person would see; for what has no kind of its own. */
static bool put_raw(struct encoder *e, const ct_u8 *node, size_t len, ct_u32 type)
{
	struct sd_buf text = {0};
	bool ok = raw_text(e->c, node, len, &text) && put_named(e, "Raw", "r", text.data, text.len, type);

	free(text.data);
	return ok;
}

static bool put_string(struct encoder *e, const struct ct_node *n, ct_u32 type)
{
	struct sd_buf text = {0};
	bool ok = sd_put(&text, n->text, n->text_len) && (!n->info.truncated || sd_put(&text, "...", 3)) &&
		  put_named(e, "String", "text", text.data, text.len, type);

	free(text.data);
	return ok;
}

/* Moves p behind a value of which the first node has been taken. */
static bool skip(const ct_u8 **p, const ct_u8 *end, const struct ct_node *first)
{
	unsigned depth = first->tag >= CT_NODE_LIST && first->tag <= CT_NODE_OBJECT;
	struct ct_node n;

	while (depth && ct_node_next(p, end, &n))
		depth = n.tag == CT_NODE_END                               ? depth - 1
			: n.tag >= CT_NODE_LIST && n.tag <= CT_NODE_OBJECT ? depth + 1
									   : depth;
	return depth == 0;
}

/* Children of the container that begins at p; a key or field counts as one, its value as another. */
static ct_u64 children(const ct_u8 *p, const ct_u8 *end)
{
	struct ct_node n;
	ct_u64 count = 0;

	while (ct_node_next(&p, end, &n) && n.tag != CT_NODE_END) {
		count++;
		if (!skip(&p, end, &n))
			break;
	}
	return count;
}

static bool put_value(struct encoder *e, unsigned depth);

/* Name and value of a field, or key and value: a tuple of two. */
static bool put_pair(struct encoder *e, unsigned depth)
{
	struct ct_node n, field = {.tag = CT_NODE_FIELD}, string = {.tag = CT_NODE_STRING};
	const ct_u8 *at = e->p;
	const struct ct_name *name;
	ct_u32 type, text_type;

	if (!ct_node_next(&at, e->end, &n) || !type_of(e->c, &field, &type) || !begin(e, "Tuple", 3) ||
	    !key(e, "elements") || !put_array(e, 2))
		return false;
	if (n.tag == CT_NODE_FIELD) {
		e->p = at;
		name = ex_name(e->c->src, CT_STRINGS, n.info.type);
		if (!type_of(e->c, &string, &text_type) ||
		    !put_named(e, "String", "text", name->text, name->len, text_type))
			return false;
	} else if (!put_value(e, depth + 1)) {
		return false;
	}
	return (e->cbor || put_str(e, ",")) && put_value(e, depth + 1) && (e->cbor || put_str(e, "]")) &&
	       finish(e, type);
}

static bool put_container(struct encoder *e, const struct ct_node *n, ct_u32 type, unsigned depth)
{
	bool pairs = n->tag == CT_NODE_DICT || n->tag == CT_NODE_OBJECT, tuple = n->tag == CT_NODE_TUPLE;
	ct_u64 count = children(e->p, e->end) / (pairs ? 2 : 1), missing;
	struct ct_node text = {.tag = CT_NODE_TEXT}, end;
	char more[64];
	ct_u32 text_type;

	missing = n->info.truncated && n->info.length > count ? n->info.length - count : 0;
	if (!begin(e, tuple ? "Tuple" : "Sequence", tuple ? 3 : 4) || !key(e, "elements") ||
	    !put_array(e, count + n->info.truncated))
		return false;
	for (ct_u64 i = 0; i < count; i++)
		if ((i && !e->cbor && !put_str(e, ",")) || !(pairs ? put_pair(e, depth + 1) : put_value(e, depth + 1)))
			return false;
	ct_node_next(&e->p, e->end, &end);
	if (n->info.truncated) {
		if (missing)
			snprintf(more, sizeof(more), "... %llu more", (unsigned long long)missing);
		else
			strcpy(more, "...");
		if ((count && !e->cbor && !put_str(e, ",")) || !type_of(e->c, &text, &text_type) ||
		    !put_named(e, "Raw", "r", more, strlen(more), text_type))
			return false;
	}
	return (e->cbor || put_str(e, "]")) && (tuple || (key(e, "is_slice") && put_bool(e, false))) && finish(e, type);
}

static bool put_value(struct encoder *e, unsigned depth)
{
	const ct_u8 *at = e->p;
	struct ct_node n;
	ct_u32 type;

	if (!ct_node_next(&e->p, e->end, &n) || !type_of(e->c, &n, &type))
		return false;
	switch (n.tag) {
	case CT_NODE_NULL:
	case CT_NODE_UNSET: return begin(e, "None", 2) && finish(e, type);
	case CT_NODE_FALSE:
	case CT_NODE_TRUE:
		return begin(e, "Bool", e->cbor ? 4 : 3) && key(e, "b") && put_bool(e, n.tag == CT_NODE_TRUE) &&
		       (!e->cbor || (key(e, "text") && put_text(e, n.tag == CT_NODE_TRUE ? "true" : "false",
								4 + (n.tag != CT_NODE_TRUE)))) &&
		       finish(e, type);
	case CT_NODE_INT: return put_int(e, n.integer, type);
	case CT_NODE_FLOAT: return put_float(e, n.real, type);
	case CT_NODE_STRING: return put_string(e, &n, type);
	case CT_NODE_LIST:
	case CT_NODE_TUPLE:
	case CT_NODE_SET:
	case CT_NODE_DICT:
	case CT_NODE_OBJECT:
		if (depth < NESTING)
			return put_container(e, &n, type, depth);
		if (!skip(&e->p, e->end, &n))
			return false;
		/* fall through */
	default: return put_raw(e, at, (size_t)(e->p - at), type);
	}
}

bool cdt_encode(struct cdt *c, const ct_u8 *node, size_t len, struct sd_buf *out)
{
	struct encoder e = {c, out, c->ops->cbor, node, node + len};

	out->len = 0;
	return cdt_check(c, put_value(&e, 0));
}

bool cdt_encode_none(struct cdt *c, struct sd_buf *out)
{
	static const ct_u8 none[] = {CT_NODE_NULL, 0};

	return cdt_encode(c, none, sizeof(none), out);
}

bool cdt_encode_error(struct cdt *c, const void *text, size_t len, struct sd_buf *out)
{
	struct encoder e = {c, out, c->ops->cbor, NULL, NULL};
	ct_u32 type;

	out->len = 0;
	return define_type(c, &c->exception, CDT_ERROR, "exception", 9, &type) &&
	       cdt_check(c, put_named(&e, "Error", "msg", text, len, type));
}

bool cdt_text(struct cdt *c, const ct_u8 *node, size_t len, struct sd_buf *out)
{
	out->len = 0;
	return cdt_check(c, raw_text(c, node, len, out));
}
