/* SPDX-License-Identifier: MIT
 * Values of the step database: nodes {tag, type, address, length, truncated, payload or children} as bytes.
 *
 * A builder that appends to a buffer, a checked walk over the tokens, and the value as text or JSON. */
#ifndef CT_STEPDB_NODE_H
#define CT_STEPDB_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "event.h"

#define CT_NODE_MAX   (256u << 10) /* most bytes of one value */
#define CT_NODE_DEPTH 64           /* containers inside each other */

enum ct_node_tag {
	CT_NODE_END = 0, /* of the innermost container */
	CT_NODE_NULL,    /* None, nil, a null pointer */
	CT_NODE_FALSE,
	CT_NODE_TRUE,
	CT_NODE_INT,    /* signed 64 bits */
	CT_NODE_NUMBER, /* any other number, as text: large integers, decimals, complex */
	CT_NODE_FLOAT,  /* IEEE double */
	CT_NODE_STRING, /* UTF-8 */
	CT_NODE_BYTES,
	CT_NODE_TEXT,    /* shown as it is: a repr, a symbol, an enumerator */
	CT_NODE_POINTER, /* a machine address */
	CT_NODE_REF,     /* an object told elsewhere in this value, or not looked into: its address */
	CT_NODE_UNSET,   /* the variable is gone, or has no value yet */
	CT_NODE_LIST,    /* containers: children up to END */
	CT_NODE_TUPLE,
	CT_NODE_SET,
	CT_NODE_DICT,   /* key, value, key, value ... */
	CT_NODE_OBJECT, /* FIELD, value, FIELD, value ... */
	CT_NODE_FIELD,  /* name of the value that follows; the name is a string's id, in place of the type */
	CT_NODE_NTAGS
};

/* ---- Building ---- */

struct ct_node_builder {
	ct_u8 *data; /* malloc'ed, or the caller's if `fixed` */
	size_t len, cap;
	bool fixed;  /* never grows */
	bool failed; /* out of room or memory: do not use it */
};
static inline void ct_node_reset(struct ct_node_builder *b)
{
	b->len = 0;
	b->failed = false;
}
void ct_node_free(struct ct_node_builder *b);

/* What comes with any node. Zeroes are left out on disk. */
struct ct_node_info {
	ct_u32 type;    /* ct_stepdb_type, 0: said by the tag */
	ct_u64 address; /* identity of the object, 0: not given */
	ct_u64 length;  /* of all of it, when less is given; 0: what is given */
	bool truncated; /* not all of it is given */
};
/* info may be NULL everywhere. */
void ct_node_plain(struct ct_node_builder *b, enum ct_node_tag tag, const struct ct_node_info *info);
void ct_node_int(struct ct_node_builder *b, ct_s64 value, const struct ct_node_info *info);
void ct_node_float(struct ct_node_builder *b, double value, const struct ct_node_info *info);
void ct_node_text(struct ct_node_builder *b, enum ct_node_tag tag, const void *text, size_t len,
		  const struct ct_node_info *info); /* NUMBER STRING BYTES TEXT */
void ct_node_pointer(struct ct_node_builder *b, ct_u64 value, const struct ct_node_info *info);
void ct_node_open(struct ct_node_builder *b, enum ct_node_tag tag, const struct ct_node_info *info);
void ct_node_field(struct ct_node_builder *b, ct_u32 name);
void ct_node_close(struct ct_node_builder *b);

/* ---- Reading ---- */

struct ct_node {
	enum ct_node_tag tag;
	struct ct_node_info info; /* FIELD: type is the name */
	union {
		ct_s64 integer;
		ct_u64 pointer;
		double real;
	};
	const ct_u8 *text; /* NUMBER STRING BYTES TEXT */
	size_t text_len;
};
/* The token at *p; moves *p behind it. False at the end of the bytes, and if they make no sense. */
bool ct_node_next(const ct_u8 **p, const ct_u8 *end, struct ct_node *node);
/* Exactly one value, containers closed, fields and pairs complete? */
bool ct_node_check(const void *data, size_t len);

/* Names for type and string ids; NULL if unknown. */
struct ct_node_names {
	const char *(*type)(void *arg, ct_u32 id, size_t *len);
	const char *(*string)(void *arg, ct_u32 id, size_t *len);
	void *arg;
};
/* The value (checked before) as text, much like Python's repr, or as JSON. At most `cap` bytes are written, always
 * terminated; returns the length it would have needed. */
size_t ct_node_format(const void *data, size_t len, const struct ct_node_names *names, char *out, size_t cap);
size_t ct_node_json(const void *data, size_t len, const struct ct_node_names *names, char *out, size_t cap);

#endif
