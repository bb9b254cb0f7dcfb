/* SPDX-License-Identifier: MIT
 * Debug information: values as a person reads them. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dwarf_priv.h"

#define DEEPEST  3   /* objects in objects */
#define ELEMENTS 16  /* of an array */
#define STRING   200 /* characters */

struct out {
	const struct ct_dwarf_place *p;
	char *text;
	size_t n, len;
};

static void put(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct out *o, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(o->text + o->n, o->len - o->n, fmt, args);
	va_end(args);
	o->n = n > 0 && o->n + (size_t)n < o->len ? o->n + (size_t)n : o->len - 1;
}

static void put_character(struct out *o, unsigned char c, char quote)
{
	static const char escapes[] = "\a\b\t\n\v\f\r\033", letters[] = "abtnvfre";
	const char *e = c ? strchr(escapes, c) : NULL;

	if (c == (unsigned char)quote || c == '\\')
		put(o, "\\%c", c);
	else if (e)
		put(o, "\\%c", letters[e - escapes]);
	else if (c < 32 || c == 127)
		put(o, "\\%03o", c);
	else
		put(o, "%c", c);
}

static void put_string(struct out *o, const char *text, size_t n, bool cut)
{
	put(o, "\"");
	for (size_t i = 0; i < n; i++)
		put_character(o, (unsigned char)text[i], '"');
	put(o, "\"%s", cut ? "..." : "");
}

static bool is_character(const struct ct_dwarf_value *v)
{
	Dwarf_Attribute attr;
	Dwarf_Word encoding;
	Dwarf_Die type;

	return ct_dwarf_peel(v, &type) && dwarf_tag(&type) == DW_TAG_base_type && ct_dwarf_size(v) == 1 &&
	       dwarf_attr(&type, DW_AT_encoding, &attr) && !dwarf_formudata(&attr, &encoding) &&
	       (encoding == DW_ATE_signed_char || encoding == DW_ATE_unsigned_char || encoding == DW_ATE_UTF);
}

/* Text at an address: to its NUL, or `len` bytes if that is not 0. False: it cannot be read. */
static bool put_text_at(struct out *o, ct_u64 addr, ct_u64 len, bool ends_by_nul)
{
	char text[STRING];
	size_t n = 0;
	bool whole = false;

	while (n < sizeof(text) && (ends_by_nul || n < len)) {
		if (!o->p->mem->read(o->p->mem->ctx, addr + n, &text[n], 1))
			return false;
		if (ends_by_nul && !text[n]) {
			whole = true;
			break;
		}
		n++;
	}
	put_string(o, text, n, ends_by_nul ? !whole : n < len);
	return true;
}

static void put_enumerator(struct out *o, Dwarf_Die *type, const struct ct_dwarf_number *n)
{
	Dwarf_Die child;
	ct_u64 left = n->u;
	bool any = false;

	if (!dwarf_child(type, &child))
		do {
			Dwarf_Attribute attr;
			Dwarf_Sword value;

			if (dwarf_tag(&child) == DW_TAG_enumerator && dwarf_attr(&child, DW_AT_const_value, &attr) &&
			    !dwarf_formsdata(&attr, &value) && (ct_u64)value == n->u) {
				put(o, "%s", dwarf_diename(&child));
				return;
			}
		} while (!dwarf_siblingof(&child, &child));
	/* Flags: each name that is a bit of it. */
	if (!dwarf_child(type, &child))
		do {
			Dwarf_Attribute attr;
			Dwarf_Sword value;

			if (dwarf_tag(&child) == DW_TAG_enumerator && dwarf_attr(&child, DW_AT_const_value, &attr) &&
			    !dwarf_formsdata(&attr, &value) && value > 0 && !(value & (value - 1)) &&
			    (left & (ct_u64)value)) {
				put(o, "%s%s", any ? " | " : "(", dwarf_diename(&child));
				left &= ~(ct_u64)value;
				any = true;
			}
		} while (!dwarf_siblingof(&child, &child));
	if (any && left)
		put(o, " | %#llx)", (unsigned long long)left);
	else if (any)
		put(o, ")");
	else
		put(o, "%lld", (long long)n->u);
}

static void put_real(struct out *o, double f, ct_u64 size)
{
	char text[40];

	/* As few digits as mean the same number. */
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, f);
		if (size == 4 ? strtof(text, NULL) == (float)f : strtod(text, NULL) == f)
			break;
	}
	put(o, "%s", text);
}

static void put_pointer(struct out *o, const struct ct_dwarf_value *v, ct_u64 addr)
{
	struct ct_dwarf_value to;
	char name[200];

	put(o, "%#llx", (unsigned long long)addr);
	if (!addr)
		return;
	if (!ct_dwarf_dereference(o->p, v, &to, NULL)) {
		if (is_character(&to)) {
			put(o, " ");
			if (!put_text_at(o, addr, 0, true))
				put(o, "(no memory there)");
		}
		return;
	}
	ct_dwarf_name_address(o->p->d, addr, name, sizeof(name));
	if (*name && name[0] != '/')
		put(o, " <%s>", name);
}

static void put_number(struct out *o, const struct ct_dwarf_value *v)
{
	struct ct_error err = {0};
	struct ct_dwarf_number n;
	Dwarf_Attribute attr;
	Dwarf_Word encoding = 0;
	Dwarf_Die type;
	const ct_u64 size = ct_dwarf_size(v);

	if (size == 16 && ct_dwarf_tag(v) == DW_TAG_base_type) {
		ct_u64 pair[2];

		if (!ct_dwarf_fetch(o->p, v, 0, pair, 16, &err) && !ct_dwarf_number(o->p, v, &n, &err)) {
			long double l;

			memcpy(&l, pair, sizeof(l));
			if (n.cls == CT_DWARF_FLOAT)
				put(o, "%.18Lg", l);
			else
				put(o, "0x%llx%016llx", (unsigned long long)pair[1], (unsigned long long)pair[0]);
			return;
		}
	}
	if (ct_dwarf_number(o->p, v, &n, &err)) {
		put(o, "<%s>", err.msg);
		return;
	}
	if (ct_dwarf_peel(v, &type)) {
		if (dwarf_tag(&type) == DW_TAG_enumeration_type) {
			put_enumerator(o, &type, &n);
			return;
		}
		if (dwarf_attr(&type, DW_AT_encoding, &attr))
			dwarf_formudata(&attr, &encoding);
	}
	if (n.cls == CT_DWARF_FLOAT) {
		put_real(o, n.f, size);
	} else if (encoding == DW_ATE_boolean && n.u < 2) {
		put(o, "%s", n.u ? "true" : "false");
	} else if (n.cls == CT_DWARF_SIGNED) {
		put(o, "%lld", (long long)n.u);
	} else {
		put(o, "%llu", (unsigned long long)n.u);
	}
	if (is_character(v) || encoding == DW_ATE_UTF) {
		put(o, " '");
		if (n.u < 128 || size == 1)
			put_character(o, (unsigned char)n.u, '\'');
		else
			put(o, "\\u{%llx}", (unsigned long long)n.u);
		put(o, "'");
	}
}

static bool put_member(struct out *o, const struct ct_dwarf_value *v, const char *name, size_t n,
		       struct ct_dwarf_number *number)
{
	struct ct_dwarf_value m;

	(void)o;
	return !ct_dwarf_member(o->p, v, name, n, &m, NULL) && !ct_dwarf_number(o->p, &m, number, NULL);
}

/* Texts of C++ and Rust: a pointer and a length under well-known names. */
static bool put_known_string(struct out *o, const struct ct_dwarf_value *v, const char *type)
{
	struct ct_dwarf_number at, len;
	struct ct_dwarf_value m;

	if (!strcmp(type, "&str") || !strcmp(type, "&mut str"))
		return put_member(o, v, "data_ptr", 8, &at) && put_member(o, v, "length", 6, &len) &&
		       put_text_at(o, at.u, len.u, false);
	if (!strncmp(type, "basic_string<char", 17) || !strcmp(type, "string"))
		return !ct_dwarf_member(o->p, v, "_M_dataplus", 11, &m, NULL) && put_member(o, &m, "_M_p", 4, &at) &&
		       put_member(o, v, "_M_string_length", 16, &len) && put_text_at(o, at.u, len.u, false);
	if (!strncmp(type, "basic_string_view<char", 22) || !strcmp(type, "string_view"))
		return put_member(o, v, "_M_str", 6, &at) && put_member(o, v, "_M_len", 6, &len) &&
		       put_text_at(o, at.u, len.u, false);
	return false;
}

static void put_value(struct out *o, const struct ct_dwarf_value *v, unsigned depth);

static void put_parts(struct out *o, const struct ct_dwarf_value *v, unsigned depth)
{
	bool indexed;
	const ct_u64 n = ct_dwarf_children(o->p, v, &indexed);
	struct ct_dwarf_child child;

	if (depth >= DEEPEST) {
		put(o, "{...}");
		return;
	}
	put(o, "{");
	for (ct_u64 i = 0; i < n && o->n + 8 < o->len; i++) {
		if (indexed && i == ELEMENTS) {
			put(o, "... %llu in all", (unsigned long long)n);
			break;
		}
		if (!ct_dwarf_child(o->p, v, i, &child))
			break;
		if (!indexed)
			put(o, child.base ? "<%s> = " : "%s = ", child.name);
		put_value(o, &child.value, depth + 1);
		if (i + 1 < n)
			put(o, ", ");
	}
	put(o, "}");
}

static void put_array(struct out *o, const struct ct_dwarf_value *v, unsigned depth)
{
	struct ct_dwarf_value first;
	ct_u64 count[CT_DWARF_DIMENSIONS];
	char text[STRING];

	if (ct_dwarf_dimensions(o->p, v, count) == 1 && count[0] && !ct_dwarf_element(o->p, v, 0, &first, NULL) &&
	    is_character(&first)) {
		const size_t n = count[0] < sizeof(text) ? (size_t)count[0] : sizeof(text);
		struct ct_error err = {0};

		if (ct_dwarf_fetch(o->p, v, 0, text, n, &err)) {
			put(o, "<%s>", err.msg);
			return;
		}
		put_string(o, text, strnlen(text, n), strnlen(text, n) == n && n < count[0]);
		return;
	}
	put_parts(o, v, depth);
}

static void put_value(struct out *o, const struct ct_dwarf_value *v, unsigned depth)
{
	const int tag = ct_dwarf_tag(v);
	struct ct_error err = {0};
	struct ct_dwarf_value to;
	char type[256];
	ct_u64 addr;

	if (v->where == CT_DWARF_NOWHERE) {
		put(o, "<%s>", v->why);
	} else if (tag == DW_TAG_reference_type || tag == DW_TAG_rvalue_reference_type) {
		if (ct_dwarf_dereference(o->p, v, &to, &err))
			put(o, "<%s>", err.msg);
		else
			put_value(o, &to, depth);
	} else if (tag == DW_TAG_pointer_type) {
		if (ct_dwarf_fetch(o->p, v, 0, &addr, 8, &err))
			put(o, "<%s>", err.msg);
		else
			put_pointer(o, v, addr);
	} else if (tag == DW_TAG_array_type) {
		put_array(o, v, depth);
	} else if (ct_dwarf_is_compound(tag)) {
		Dwarf_Die own;

		ct_dwarf_type_name(v, type, sizeof(type));
		if (put_known_string(o, v, type))
			return;
		if (ct_dwarf_peel(v, &own) && dwarf_hasattr(&own, DW_AT_declaration))
			put(o, "<incomplete type>");
		else
			put_parts(o, v, depth);
	} else if (tag == DW_TAG_subroutine_type) {
		ct_dwarf_name_address(o->p->d, v->addr, type, sizeof(type));
		put(o, "{%s}", type);
	} else {
		put_number(o, v);
	}
}

void ct_dwarf_text(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, char *text, size_t len)
{
	struct out o = {.p = p, .text = text, .len = len};

	*text = 0;
	put_value(&o, v, 0);
	if (o.n + 1 >= len && len > 4)
		strcpy(text + len - 4, "...");
}
