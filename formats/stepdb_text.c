/* SPDX-License-Identifier: MIT
 * Values of the step database as text, much like Python's repr, and as JSON.
 *
 * The bytes have passed ct_node_check; what is cut short says so by "...". */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "stepdb_private.h"

struct text {
	char *out;
	size_t cap, len;
	const struct ct_node_names *names;
};

static void put(struct text *t, const char *s, size_t n)
{
	if (t->len < t->cap) {
		size_t fits = t->cap - t->len < n ? t->cap - t->len : n;

		memcpy(t->out + t->len, s, fits);
	}
	t->len += n;
}

static void put_str(struct text *t, const char *s)
{
	put(t, s, strlen(s));
}

__attribute__((format(printf, 2, 3))) static void put_fmt(struct text *t, const char *fmt, ...)
{
	char buf[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	put_str(t, buf);
}

unsigned sd_utf8_len(const ct_u8 *s, size_t left)
{
	unsigned n = *s < 0x80                 ? 1
		     : *s >= 0xc2 && *s < 0xe0 ? 2
		     : *s >= 0xe0 && *s < 0xf0 ? 3
		     : *s >= 0xf0 && *s < 0xf5 ? 4
					       : 0;

	if (!n || n > left)
		return 0;
	for (unsigned i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if (n == 3 && ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] >= 0xa0)))
		return 0;
	if (n == 4 && ((*s == 0xf0 && s[1] < 0x90) || (*s == 0xf4 && s[1] >= 0x90)))
		return 0;
	return n;
}

static void put_escaped(struct text *t, const ct_u8 *s, size_t len, char quote, bool bytes)
{
	for (size_t i = 0; i < len;) {
		unsigned n = bytes ? *s < 0x80 : sd_utf8_len(s, len - i);

		if (quote && (*s == (ct_u8)quote || *s == '\\'))
			put_fmt(t, "\\%c", *s);
		else if (*s == '\n')
			put_str(t, "\\n");
		else if (*s == '\t')
			put_str(t, "\\t");
		else if (*s == '\r')
			put_str(t, "\\r");
		else if (!n || *s < 0x20 || *s == 0x7f)
			put_fmt(t, "\\x%02x", *s), n = 1;
		else
			put(t, (const char *)s, n);
		n = n ? n : 1;
		s += n;
		i += n;
	}
}

/* JSON has no bytes that are not UTF-8: they become U+FFFD. */
static void put_json_string(struct text *t, const ct_u8 *s, size_t len)
{
	put_str(t, "\"");
	for (size_t i = 0; i < len;) {
		unsigned n = sd_utf8_len(s, len - i);

		if (*s == '"' || *s == '\\')
			put_fmt(t, "\\%c", *s);
		else if (!n)
			put_str(t, "\\ufffd");
		else if (*s < 0x20)
			put_fmt(t, "\\u%04x", *s);
		else
			put(t, (const char *)s, n);
		n = n ? n : 1;
		s += n;
		i += n;
	}
	put_str(t, "\"");
}

static const char *name_of(const struct text *t, bool string, ct_u32 id, size_t *len)
{
	const char *name = NULL;

	if (id && t->names)
		name = string ? t->names->string(t->names->arg, id, len) : t->names->type(t->names->arg, id, len);
	if (!name)
		*len = 0;
	return name;
}

static void put_double(struct text *t, double v, bool json)
{
	char buf[40];

	if (json && !isfinite(v)) {
		put_fmt(t, "\"%s\"", isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
		return;
	}
	/* As few digits as give the same number back. */
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(buf, sizeof(buf), "%.*g", digits, v);
		if (strtod(buf, NULL) == v)
			break;
	}
	put_str(t, buf);
	if (!strpbrk(buf, ".en"))
		put_str(t, ".0");
}

/* ---- As Python would have it ---- */

static void format_scalar(struct text *t, const struct ct_node *n)
{
	size_t len;
	const char *type = name_of(t, false, n->info.type, &len);

	switch (n->tag) {
	case CT_NODE_NULL: put_str(t, "None"); break;
	case CT_NODE_FALSE: put_str(t, "False"); break;
	case CT_NODE_TRUE: put_str(t, "True"); break;
	case CT_NODE_INT: put_fmt(t, "%lld", (long long)n->integer); break;
	case CT_NODE_FLOAT: put_double(t, n->real, false); break;
	case CT_NODE_STRING:
	case CT_NODE_BYTES:
		put_str(t, n->tag == CT_NODE_BYTES ? "b'" : "'");
		put_escaped(t, n->text, n->text_len, '\'', n->tag == CT_NODE_BYTES);
		put_str(t, n->info.truncated ? "'..." : "'");
		break;
	case CT_NODE_NUMBER:
	case CT_NODE_TEXT:
		put_escaped(t, n->text, n->text_len, 0, false);
		if (n->info.truncated)
			put_str(t, "...");
		break;
	case CT_NODE_POINTER: put_fmt(t, "%#llx", (unsigned long long)n->pointer); break;
	case CT_NODE_REF:
		put_str(t, "<");
		put(t, type ? type : "object", type ? len : 6);
		if (n->info.address)
			put_fmt(t, " at %#llx", (unsigned long long)n->info.address);
		put_str(t, ">");
		break;
	default: put_str(t, "<unset>");
	}
}

struct level {
	ct_u8 tag;
	ct_u32 children;
	bool truncated;
	ct_u64 length;
};

static void open_container(struct text *t, const struct ct_node *n)
{
	size_t len;
	const char *type = name_of(t, false, n->info.type, &len);

	switch (n->tag) {
	case CT_NODE_LIST: put_str(t, "["); break;
	case CT_NODE_SET:
	case CT_NODE_DICT: put_str(t, "{"); break;
	case CT_NODE_OBJECT: put(t, type ? type : "object", type ? len : 6); /* fall through */
	default: put_str(t, "(");
	}
}

static void close_container(struct text *t, const struct level *l)
{
	bool pairs = l->tag == CT_NODE_DICT || l->tag == CT_NODE_OBJECT;
	ct_u64 given = pairs ? l->children / 2 : l->children;

	if (l->truncated) {
		put_str(t, l->children ? ", ..." : "...");
		if (l->length > given)
			put_fmt(t, " %llu more", (unsigned long long)(l->length - given));
	}
	switch (l->tag) {
	case CT_NODE_LIST: put_str(t, "]"); break;
	case CT_NODE_SET:
	case CT_NODE_DICT: put_str(t, "}"); break;
	case CT_NODE_TUPLE: put_str(t, l->children == 1 && !l->truncated ? ",)" : ")"); break;
	default: put_str(t, ")");
	}
}

/* What stands between the children of a container. */
static void separate(struct text *t, struct level *l, const char *pair)
{
	bool pairs = l->tag == CT_NODE_DICT || l->tag == CT_NODE_OBJECT;

	if (pairs && l->children % 2)
		put_str(t, pair ? pair : l->tag == CT_NODE_DICT ? ": " : "=");
	else if (l->children)
		put_str(t, ", ");
	l->children++;
}

static size_t finish(struct text *t)
{
	if (t->cap)
		t->out[t->len < t->cap ? t->len : t->cap - 1] = 0;
	return t->len;
}

size_t ct_node_format(const void *data, size_t len, const struct ct_node_names *names, char *out, size_t cap)
{
	struct text t = {out, cap, 0, names};
	const ct_u8 *p = data, *end = p + len;
	struct level level[CT_NODE_DEPTH + 1] = {{.tag = CT_NODE_LIST}};
	unsigned depth = 0;
	struct ct_node n;

	while (ct_node_next(&p, end, &n)) {
		size_t name_len;
		const char *name;

		if (n.tag == CT_NODE_END) {
			close_container(&t, &level[depth]);
			if (depth)
				depth--;
			continue;
		}
		separate(&t, &level[depth], NULL);
		if (n.tag == CT_NODE_FIELD) {
			name = name_of(&t, true, n.info.type, &name_len);
			put(&t, name ? name : "?", name ? name_len : 1);
		} else if (n.tag >= CT_NODE_LIST && depth < CT_NODE_DEPTH) {
			open_container(&t, &n);
			level[++depth] = (struct level){(ct_u8)n.tag, 0, n.info.truncated, n.info.length};
		} else {
			format_scalar(&t, &n);
		}
	}
	return finish(&t);
}

/* ---- JSON: {"t": tag, "type": ..., "v": value or [children]} ---- */

static void json_scalar(struct text *t, const struct ct_node *n)
{
	switch (n->tag) {
	case CT_NODE_FALSE: put_str(t, "false"); break;
	case CT_NODE_TRUE: put_str(t, "true"); break;
	/* Beyond 2^53 most readers would round. */
	case CT_NODE_INT:
		put_fmt(t, n->integer > 1ll << 53 || n->integer < -(1ll << 53) ? "\"%lld\"" : "%lld",
			(long long)n->integer);
		break;
	case CT_NODE_FLOAT: put_double(t, n->real, true); break;
	case CT_NODE_BYTES:
		put_str(t, "\"");
		for (size_t i = 0; i < n->text_len; i++)
			put_fmt(t, "%02x", n->text[i]);
		put_str(t, "\"");
		break;
	case CT_NODE_NUMBER:
	case CT_NODE_STRING:
	case CT_NODE_TEXT: put_json_string(t, n->text, n->text_len); break;
	case CT_NODE_POINTER: put_fmt(t, "\"%#llx\"", (unsigned long long)n->pointer); break;
	default: put_str(t, "null");
	}
}

static void json_head(struct text *t, const struct ct_node *n)
{
	static const char *const tags[CT_NODE_NTAGS] = {NULL,    "null",   "bool",  "bool", "int",     "number",
							"float", "string", "bytes", "text", "pointer", "ref",
							"unset", "list",   "tuple", "set",  "dict",    "object"};
	size_t len;
	const char *type = name_of(t, false, n->info.type, &len);

	put_fmt(t, "{\"tag\":\"%s\"", tags[n->tag] ? tags[n->tag] : "?");
	if (type) {
		put_str(t, ",\"type\":");
		put_json_string(t, (const ct_u8 *)type, len);
	}
	if (n->info.address)
		put_fmt(t, ",\"address\":\"%#llx\"", (unsigned long long)n->info.address);
	if (n->info.length)
		put_fmt(t, ",\"length\":%llu", (unsigned long long)n->info.length);
	if (n->info.truncated)
		put_str(t, ",\"truncated\":true");
	put_str(t, ",\"value\":");
}

size_t ct_node_json(const void *data, size_t len, const struct ct_node_names *names, char *out, size_t cap)
{
	struct text t = {out, cap, 0, names};
	const ct_u8 *p = data, *end = p + len;
	struct level level[CT_NODE_DEPTH + 1] = {{.tag = CT_NODE_LIST}};
	unsigned depth = 0;
	struct ct_node n;

	while (ct_node_next(&p, end, &n)) {
		struct level *l = &level[depth];
		bool pairs = l->tag == CT_NODE_DICT || l->tag == CT_NODE_OBJECT;
		size_t name_len;
		const char *name;

		if (n.tag == CT_NODE_END) {
			put_str(&t, "]}");
			if (depth)
				depth--;
			if (depth && (level[depth].tag == CT_NODE_DICT || level[depth].tag == CT_NODE_OBJECT) &&
			    level[depth].children % 2 == 0)
				put_str(&t, "]");
			continue;
		}
		separate(&t, l, ",");
		if (pairs && l->children % 2) /* a pair is [key, value] */
			put_str(&t, "[");
		if (n.tag == CT_NODE_FIELD) {
			name = name_of(&t, true, n.info.type, &name_len);
			put_json_string(&t, (const ct_u8 *)(name ? name : "?"), name ? name_len : 1);
			continue;
		}
		json_head(&t, &n);
		if (n.tag >= CT_NODE_LIST && depth < CT_NODE_DEPTH) {
			put_str(&t, "[");
			level[++depth] = (struct level){(ct_u8)n.tag, 0, n.info.truncated, n.info.length};
			continue;
		}
		json_scalar(&t, &n);
		put_str(&t, "}");
		if (pairs && l->children % 2 == 0)
			put_str(&t, "]");
	}
	return finish(&t);
}
