// SPDX-License-Identifier: MIT
/* Values as numbers, and as text in the manner of C initializers. */
#include <dwarf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/values.h"

#define MOST_TEXT   4000
#define MOST_STRING 200
#define MOST_ITEMS  32
#define DEEPEST     4

struct text {
	char *buf;
	size_t len;
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->buf + t->len, MOST_TEXT - t->len, fmt, args);
	va_end(args);
	if (n > 0)
		t->len += (size_t)n < MOST_TEXT - t->len ? (size_t)n : MOST_TEXT - 1 - t->len;
}

static bool peel(const struct ct_value *v, Dwarf_Die *type)
{
	Dwarf_Die whole = v->type;

	return v->has_type && !dwarf_peel_type(&whole, type);
}

static unsigned encoding_of(Dwarf_Die *type)
{
	Dwarf_Attribute attr;
	Dwarf_Word value;

	return dwarf_attr_integrate(type, DW_AT_encoding, &attr) && !dwarf_formudata(&attr, &value) ? (unsigned)value
												    : DW_ATE_signed;
}

/* The type that an enumeration's numbers are of says whether they are signed; most are as int. */
static bool is_signed(Dwarf_Die *type)
{
	const unsigned e = encoding_of(type);

	return dwarf_tag(type) == DW_TAG_enumeration_type ||
	       (dwarf_tag(type) == DW_TAG_base_type && (e == DW_ATE_signed || e == DW_ATE_signed_char));
}

int ct_value_number(struct ct_symbols *sy, const struct ct_value *value, ct_u64 *number, struct ct_error *err)
{
	const ct_u64 size = ct_value_size(value);
	bool sign = false, is_array = false;
	Dwarf_Die type;
	unsigned bits;

	if (value->has_type && (!peel(value, &type) || size > 8 || !size || dwarf_tag(&type) == DW_TAG_structure_type ||
				dwarf_tag(&type) == DW_TAG_union_type || dwarf_tag(&type) == DW_TAG_array_type)) {
		Dwarf_Die to;

		if (!ct_value_target(value, &to, &is_array) || !is_array || !value->in_memory)
			return ct_fail(err, CT_EXIT_USAGE, "this is no number");
		*number = value->addr; /* an array is where it begins */
		return 0;
	}
	if (value->has_type) {
		sign = is_signed(&type);
		if (dwarf_tag(&type) == DW_TAG_base_type && encoding_of(&type) == DW_ATE_float) {
			float f;
			double d;

			if (size != 4 && size != 8)
				return ct_fail(err, CT_EXIT_USAGE, "this is no number of 64 bits");
			if (ct_value_read(sy, value, size == 4 ? (void *)&f : (void *)&d, size, err))
				return -1;
			*number = (ct_u64)(ct_s64)(size == 4 ? (double)f : d);
			return 0;
		}
	}
	*number = 0;
	if (ct_value_read(sy, value, number, size, err))
		return -1;
	bits = value->bit_size ? value->bit_size : (unsigned)size * 8;
	*number >>= value->bit_offset;
	if (bits && bits < 64) {
		*number &= (1ull << bits) - 1;
		if (sign && *number >> (bits - 1))
			*number |= ~0ull << bits;
	}
	return 0;
}

static void put_value(struct ct_symbols *sy, struct text *t, const struct ct_value *v, int depth);

static void put_string(struct text *t, const unsigned char *s, size_t len, bool more)
{
	put(t, "\"");
	for (size_t i = 0; i < len; i++)
		if (s[i] == '"' || s[i] == '\\')
			put(t, "\\%c", s[i]);
		else if (s[i] >= 32 && s[i] < 127)
			put(t, "%c", s[i]);
		else if (s[i] == '\n')
			put(t, "\\n");
		else
			put(t, "\\%03o", s[i]);
	put(t, more ? "\"..." : "\"");
}

static bool is_char(Dwarf_Die *type)
{
	struct ct_value v = {.type = *type, .has_type = true};
	Dwarf_Die peeled;

	return peel(&v, &peeled) && dwarf_tag(&peeled) == DW_TAG_base_type && ct_value_size(&v) == 1 &&
	       (encoding_of(&peeled) == DW_ATE_signed_char || encoding_of(&peeled) == DW_ATE_unsigned_char);
}

/* What is there up to a NUL, as far as there is memory. */
static void put_string_at(struct ct_symbols *sy, struct text *t, ct_u64 addr)
{
	unsigned char s[MOST_STRING];
	struct ct_value at = {.in_memory = true};
	size_t n = 0;

	for (; n < sizeof(s); n++) {
		at.addr = addr + n;
		if (ct_value_read(sy, &at, &s[n], 1, NULL) || !s[n])
			break;
	}
	if (!n && ct_value_read(sy, &at, s, 1, NULL))
		return; /* no memory */
	put(t, " ");
	put_string(t, s, n, n == sizeof(s));
}

static void put_pointer(struct ct_symbols *sy, struct text *t, const struct ct_value *v, ct_u64 n, int depth)
{
	struct ct_place place;
	Dwarf_Die type, peeled;
	bool is_array;

	put(t, "%#llx", (unsigned long long)n);
	if (!n || !ct_value_target(v, &type, &is_array))
		return;
	if (is_char(&type)) {
		put_string_at(sy, t, n);
	} else if (!dwarf_peel_type(&type, &peeled) && dwarf_tag(&peeled) == DW_TAG_subroutine_type) {
		ct_symbols_place(sy, n, &place);
		if (place.function)
			put(t, " <%s>", place.function);
	} else if (peel(v, &peeled) && dwarf_tag(&peeled) != DW_TAG_pointer_type && depth < DEEPEST) {
		const struct ct_value to = {.type = type, .has_type = true, .in_memory = true, .addr = n};

		put(t, " "); /* a reference is what it refers to */
		put_value(sy, t, &to, depth + 1);
	}
}

static void put_base(struct ct_symbols *sy, struct text *t, const struct ct_value *v, Dwarf_Die *type)
{
	const unsigned e = encoding_of(type);
	const ct_u64 size = ct_value_size(v);
	struct ct_error err = {0};
	ct_u64 n;

	if (e == DW_ATE_float && (size == 4 || size == 8 || size == 16)) {
		long double ld = 0;
		double d;
		float f;
		void *to = size == 4 ? (void *)&f : size == 8 ? (void *)&d : (void *)&ld;

		if (ct_value_read(sy, v, to, size, &err))
			put(t, "<%s>", err.msg);
		else if (size == 16)
			put(t, "%.18Lg", ld);
		else
			put(t, size == 4 ? "%.9g" : "%.17g", size == 4 ? (double)f : d);
		return;
	}
	if (ct_value_number(sy, v, &n, &err))
		put(t, "<%s>", err.msg);
	else if (e == DW_ATE_boolean)
		put(t, "%s", n ? "true" : "false");
	else if (e == DW_ATE_signed_char || e == DW_ATE_unsigned_char)
		put(t, n >= 32 && n < 127 ? "%lld '%c'" : "%lld", (long long)n, (int)n);
	else
		put(t, is_signed(type) ? "%lld" : "%llu", (unsigned long long)n);
}

static void put_enum(struct ct_symbols *sy, struct text *t, const struct ct_value *v, Dwarf_Die *type)
{
	struct ct_error err = {0};
	Dwarf_Die die;
	ct_u64 n;

	if (ct_value_number(sy, v, &n, &err)) {
		put(t, "<%s>", err.msg);
		return;
	}
	if (!dwarf_child(type, &die))
		do {
			Dwarf_Attribute attr;
			Dwarf_Sword value;

			if (dwarf_attr(&die, DW_AT_const_value, &attr) && !dwarf_formsdata(&attr, &value) &&
			    value == (ct_s64)n && dwarf_diename(&die)) {
				put(t, "%s", dwarf_diename(&die));
				return;
			}
		} while (!dwarf_siblingof(&die, &die));
	put(t, "%lld", (long long)n);
}

static void put_members(struct ct_symbols *sy, struct text *t, const struct ct_value *v, Dwarf_Die *type, int depth)
{
	const char *comma = "";
	Dwarf_Die die;

	if (depth >= DEEPEST) {
		put(t, "{...}");
		return;
	}
	put(t, "{");
	if (!dwarf_child(type, &die))
		do {
			const char *name = dwarf_tag(&die) == DW_TAG_member ? dwarf_diename(&die) : NULL;
			Dwarf_Attribute attr;
			struct ct_value member;

			if (!name || dwarf_attr(&die, DW_AT_external, &attr) || ct_value_member(v, name, &member, NULL))
				continue;
			put(t, "%s%s = ", comma, name);
			put_value(sy, t, &member, depth + 1);
			comma = ", ";
		} while (!dwarf_siblingof(&die, &die) && t->len < MOST_TEXT - 1);
	put(t, "}");
}

static void put_array(struct ct_symbols *sy, struct text *t, const struct ct_value *v, int depth)
{
	struct ct_value item = *v;
	bool is_array;
	ct_u64 size, all = ct_value_size(v);

	if (!v->in_memory || !ct_value_target(v, &item.type, &is_array) || !(size = ct_value_size(&item))) {
		put(t, "<an array that is not in memory>");
		return;
	}
	if (is_char(&item.type)) {
		unsigned char s[MOST_STRING];
		const size_t n = all < sizeof(s) ? (size_t)all : sizeof(s);

		if (ct_value_read(sy, v, s, n, NULL))
			put(t, "<no memory at %#llx>", (unsigned long long)v->addr);
		else
			put_string(t, s, strnlen((char *)s, n), n < all && strnlen((char *)s, n) == n);
		return;
	}
	put(t, "{");
	for (ct_u64 i = 0; i < all / size; i++, item.addr += size) {
		if (i == MOST_ITEMS || depth >= DEEPEST) {
			put(t, "...");
			break;
		}
		put(t, "%s", i ? ", " : "");
		put_value(sy, t, &item, depth + 1);
	}
	put(t, "}");
}

static void put_value(struct ct_symbols *sy, struct text *t, const struct ct_value *v, int depth)
{
	struct ct_error err = {0};
	Dwarf_Die type;
	ct_u64 n;

	if (v->has_type && !peel(v, &type)) {
		put(t, "<its type is not known>");
		return;
	}
	switch (v->has_type ? dwarf_tag(&type) : DW_TAG_base_type) {
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type: put_members(sy, t, v, &type, depth); return;
	case DW_TAG_array_type: put_array(sy, t, v, depth); return;
	case DW_TAG_enumeration_type: put_enum(sy, t, v, &type); return;
	case DW_TAG_base_type:
		if (v->has_type)
			put_base(sy, t, v, &type);
		else if (ct_value_number(sy, v, &n, &err))
			put(t, "<%s>", err.msg);
		else
			put(t, n < 10 ? "%llu" : "%llu (%#llx)", (unsigned long long)n, (unsigned long long)n);
		return;
	}
	if (ct_value_number(sy, v, &n, &err))
		put(t, "<%s>", err.msg);
	else
		put_pointer(sy, t, v, n, depth);
}

char *ct_value_text(struct ct_symbols *sy, const struct ct_value *value)
{
	struct text t = {malloc(MOST_TEXT), 0};

	if (!t.buf)
		return NULL;
	t.buf[0] = 0;
	put_value(sy, &t, value, 0);
	return t.buf;
}
