/* SPDX-License-Identifier: MIT
 * Debug information: the parts of values, and values as numbers. */
#include <stdio.h>
#include <string.h>

#include "replay/dwarf_priv.h"

#define MOST_MEMBERS 4096

struct ct_dwarf_value ct_dwarf_integer(ct_u64 n, bool is_signed)
{
	struct ct_dwarf_value v = {.is_signed = is_signed, .where = CT_DWARF_HELD, .held_known = 0xff};

	memcpy(v.held, &n, sizeof(n));
	return v;
}

int ct_dwarf_fetch(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, ct_u64 at, void *buf, size_t len,
		   struct ct_error *err)
{
	if (v->where == CT_DWARF_NOWHERE)
		return ct_fail(err, CT_EXIT_FAILED, "%s", v->why);
	if (v->where == CT_DWARF_IN_MEMORY) {
		if (p->mem->read(p->mem->ctx, v->addr + at, buf, len))
			return 0;
		return ct_fail(err, CT_EXIT_FAILED, "cannot be read: there is no memory at %#llx",
			       (unsigned long long)(v->addr + at));
	}
	memset(buf, 0, len);
	for (size_t i = 0; i < len; i++) {
		if (at + i >= CT_DWARF_HELD_MAX || !(v->held_known >> (at + i) & 1))
			return ct_fail(err, CT_EXIT_FAILED, "%s", v->why[0] ? v->why : "optimized out");
		((ct_u8 *)buf)[i] = v->held[at + i];
	}
	return 0;
}

/* ---- parts ---- */

/* The part of `v` at this offset. */
static void part_of(const struct ct_dwarf_value *v, ct_u64 offset, struct ct_dwarf_value *to)
{
	to->where = v->where;
	memcpy(to->why, v->why, sizeof(to->why));
	if (v->where == CT_DWARF_IN_MEMORY)
		to->addr = v->addr + offset;
	if (v->where == CT_DWARF_HELD && offset < CT_DWARF_HELD_MAX) {
		memcpy(to->held, v->held + offset, CT_DWARF_HELD_MAX - offset);
		to->held_known = v->held_known >> offset;
	}
}

static ct_u64 attribute_number(Dwarf_Die *die, unsigned which, ct_u64 otherwise)
{
	Dwarf_Attribute attr;
	Dwarf_Word word;

	return dwarf_attr_integrate(die, which, &attr) && !dwarf_formudata(&attr, &word) ? word : otherwise;
}

/* Where a member is in its object; false: that needs to be computed from the object, as for virtual bases. */
static bool member_value(const struct ct_dwarf_value *v, Dwarf_Die *member, struct ct_dwarf_value *to)
{
	const ct_u64 none = ~0ull, bits = attribute_number(member, DW_AT_bit_size, 0),
		     data_bit = attribute_number(member, DW_AT_data_bit_offset, none),
		     old_bit = attribute_number(member, DW_AT_bit_offset, none);
	ct_u64 offset = attribute_number(member, DW_AT_data_member_location, none);

	*to = (struct ct_dwarf_value){0};
	to->has_type = ct_dwarf_type_of(member, &to->type);
	if (offset == none && dwarf_hasattr(member, DW_AT_data_member_location)) {
		snprintf(to->why, sizeof(to->why), "where it is in the object has to be computed");
		return false;
	}
	offset = offset == none ? 0 : offset;
	if (data_bit != none) {
		/* Counted from the object's beginning, lowest bit first. */
		offset = data_bit / 8;
		to->bit_offset = (ct_u32)(data_bit % 8);
	} else if (bits && old_bit != none) {
		/* DWARF 2 counts from the highest bit of the storage unit. */
		const ct_u64 unit = attribute_number(member, DW_AT_byte_size, ct_dwarf_size(to));
		const ct_u64 low = unit * 8 - old_bit - bits;

		offset += low / 8;
		to->bit_offset = (ct_u32)(low % 8);
	}
	to->bit_size = (ct_u32)bits;
	part_of(v, offset, to);
	return true;
}

/* The variant of a Rust enum that the object is, by its discriminant. */
static bool active_variant(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, Dwarf_Die *part,
			   Dwarf_Die *variant)
{
	Dwarf_Die discr, child, fallback;
	struct ct_dwarf_number number = {0};
	struct ct_dwarf_value which;
	Dwarf_Attribute attr;
	bool has_fallback = false, has_discr = dwarf_attr(part, DW_AT_discr, &attr) && dwarf_formref_die(&attr, &discr);

	if (has_discr && (!member_value(v, &discr, &which) || ct_dwarf_number(p, &which, &number, NULL)))
		return false;
	if (dwarf_child(part, &child))
		return false;
	do {
		if (dwarf_tag(&child) != DW_TAG_variant)
			continue;
		if (!dwarf_hasattr(&child, DW_AT_discr_value)) {
			fallback = child;
			has_fallback = true;
		} else if (has_discr && attribute_number(&child, DW_AT_discr_value, 0) == number.u) {
			*variant = child;
			return true;
		}
	} while (!dwarf_siblingof(&child, &child));
	if (has_fallback)
		*variant = fallback;
	return has_fallback;
}

typedef bool visitor(void *ctx, const char *name, bool base, const struct ct_dwarf_value *v);

/* Members of the object, until the visitor has enough. */
static bool visit_members(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, Dwarf_Die *type,
			  visitor *visit, void *ctx)
{
	Dwarf_Die child, variant;

	if (dwarf_child(type, &child))
		return true;
	do {
		struct ct_dwarf_value member;
		const char *name = dwarf_diename(&child);

		switch (dwarf_tag(&child)) {
		case DW_TAG_variant_part:
			if (active_variant(p, v, &child, &variant) && !visit_members(p, v, &variant, visit, ctx))
				return false;
			break;
		case DW_TAG_inheritance:
			member_value(v, &child, &member);
			if (!visit(ctx, NULL, true, &member))
				return false;
			break;
		case DW_TAG_member:
			/* Static members are no part of the object. */
			if (dwarf_hasattr(&child, DW_AT_external) || dwarf_hasattr(&child, DW_AT_declaration))
				break;
			member_value(v, &child, &member);
			if (!visit(ctx, name, !name, &member))
				return false;
			break;
		}
	} while (!dwarf_siblingof(&child, &child));
	return true;
}

/* References stand for what they refer to. */
static struct ct_dwarf_value without_references(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v)
{
	struct ct_dwarf_value now = *v;
	const int tag = ct_dwarf_tag(v);

	if (tag == DW_TAG_reference_type || tag == DW_TAG_rvalue_reference_type)
		if (ct_dwarf_dereference(p, v, &now, NULL))
			return *v;
	return now;
}

/* Of a pointer to an object, the object. */
static bool object_of(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, struct ct_dwarf_value *object,
		      Dwarf_Die *type)
{
	*object = without_references(p, v);
	if (ct_dwarf_is_pointer(ct_dwarf_tag(object))) {
		struct ct_dwarf_value to;

		if (ct_dwarf_dereference(p, object, &to, NULL))
			return false;
		*object = without_references(p, &to);
	}
	return ct_dwarf_peel(object, type) && ct_dwarf_is_compound(dwarf_tag(type));
}

struct nth {
	ct_u64 left, count;
	struct ct_dwarf_child *child;
};

static bool count_member(void *ctx, const char *name, bool base, const struct ct_dwarf_value *v)
{
	struct nth *n = ctx;

	if (n->child && !n->left--) {
		snprintf(n->child->name, sizeof(n->child->name), "%s", name ? name : "");
		if (!name)
			ct_dwarf_type_name(v, n->child->name, sizeof(n->child->name));
		n->child->base = base;
		n->child->value = *v;
		n->count = 1;
		return false;
	}
	n->count += !n->child;
	return n->count < MOST_MEMBERS;
}

ct_u64 ct_dwarf_children(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, bool *indexed)
{
	ct_u64 count[CT_DWARF_DIMENSIONS];
	struct ct_dwarf_value object, plain = without_references(p, v);
	struct nth n = {0};
	Dwarf_Die type;

	*indexed = false;
	if (plain.where == CT_DWARF_NOWHERE)
		return 0;
	if (ct_dwarf_dimensions(p, &plain, count)) {
		*indexed = true;
		return count[0];
	}
	if (object_of(p, v, &object, &type)) {
		visit_members(p, &object, &type, count_member, &n);
		return n.count;
	}
	return ct_dwarf_is_pointer(ct_dwarf_tag(&plain)) && !ct_dwarf_dereference(p, &plain, &object, NULL);
}

bool ct_dwarf_child(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, ct_u64 i,
		    struct ct_dwarf_child *child)
{
	struct ct_dwarf_value object, plain = without_references(p, v);
	struct nth n = {.left = i, .child = child};
	Dwarf_Die type;

	memset(child, 0, sizeof(*child));
	if (plain.where == CT_DWARF_NOWHERE)
		return false;
	if (ct_dwarf_tag(&plain) == DW_TAG_array_type) {
		snprintf(child->name, sizeof(child->name), "[%llu]", (unsigned long long)i);
		return !ct_dwarf_element(p, &plain, (ct_s64)i, &child->value, NULL);
	}
	if (object_of(p, v, &object, &type)) {
		visit_members(p, &object, &type, count_member, &n);
		return n.count;
	}
	snprintf(child->name, sizeof(child->name), "*");
	return !i && ct_dwarf_is_pointer(ct_dwarf_tag(&plain)) && !ct_dwarf_dereference(p, &plain, &child->value, NULL);
}

/* ---- by name, by index, by address ---- */

struct named {
	const struct ct_dwarf_place *p;
	const char *name;
	size_t len;
	unsigned depth;
	struct ct_dwarf_value *to;
};

static bool find_member(void *ctx, const char *name, bool base, const struct ct_dwarf_value *v)
{
	struct named *n = ctx;
	Dwarf_Die type;

	if (name && strlen(name) == n->len && !memcmp(name, n->name, n->len)) {
		*n->to = *v;
		return false;
	}
	if (base && n->depth < 16 && ct_dwarf_peel(v, &type) && ct_dwarf_is_compound(dwarf_tag(&type))) {
		struct named inner = *n;

		inner.depth++;
		return visit_members(n->p, v, &type, find_member, &inner);
	}
	return true;
}

int ct_dwarf_member(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, const char *name, size_t len,
		    struct ct_dwarf_value *to, struct ct_error *err)
{
	struct named n = {.p = p, .name = name, .len = len, .to = to};
	struct ct_dwarf_value object;
	char text[128];
	Dwarf_Die type;

	if (object_of(p, v, &object, &type) && !visit_members(p, &object, &type, find_member, &n))
		return 0;
	ct_dwarf_type_name(v, text, sizeof(text));
	return ct_fail(err, CT_EXIT_FAILED, "'%s' has no member '%.*s'", text, (int)(len < 80 ? len : 80), name);
}

int ct_dwarf_dereference(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, struct ct_dwarf_value *to,
			 struct ct_error *err)
{
	struct ct_dwarf_value from = *v;
	ct_u64 addr;

	if (ct_dwarf_tag(v) == DW_TAG_array_type)
		return ct_dwarf_element(p, &from, 0, to, err);
	if (!ct_dwarf_is_pointer(ct_dwarf_tag(v)))
		return ct_fail(err, CT_EXIT_FAILED, "this is not a pointer");
	if (ct_dwarf_fetch(p, v, 0, &addr, 8, err))
		return -1;
	*to = (struct ct_dwarf_value){.where = CT_DWARF_IN_MEMORY, .addr = addr};
	to->has_type = ct_dwarf_target(v, &to->type);
	if (v->pointers > 1) {
		to->pointers = v->pointers - 1;
		return 0;
	}
	if (!to->has_type || ct_dwarf_tag(to) == DW_TAG_subroutine_type || ct_dwarf_tag(to) == DW_TAG_unspecified_type)
		return ct_fail(err, CT_EXIT_FAILED, "what this points to has no type that could be shown");
	return 0;
}

int ct_dwarf_element(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, ct_s64 i,
		     struct ct_dwarf_value *to, struct ct_error *err)
{
	const struct ct_dwarf_value plain = without_references(p, v);
	struct ct_dwarf_value from = plain;
	ct_u64 count[CT_DWARF_DIMENSIONS], size;
	Dwarf_Die type;
	unsigned n;

	if (ct_dwarf_is_pointer(ct_dwarf_tag(&plain))) {
		if (ct_dwarf_dereference(p, &plain, to, err))
			return -1;
		to->addr += (ct_u64)i * ct_dwarf_size_at(p, to);
		return 0;
	}
	n = ct_dwarf_dimensions(p, &plain, count);
	if (!n || !ct_dwarf_peel(&from, &type) || !ct_dwarf_type_of(&type, &type))
		return ct_fail(err, CT_EXIT_FAILED, "this has no elements");
	/* As in C, what is behind an array in memory can be named: that is how overflows are looked at. */
	if (plain.where != CT_DWARF_IN_MEMORY && (i < 0 || (ct_u64)i >= count[0]))
		return ct_fail(err, CT_EXIT_FAILED, "there is no element %lld: it has %llu", (long long)i,
			       (unsigned long long)count[0]);
	*to = (struct ct_dwarf_value){.has_type = true, .type = type};
	if (n > 1) {
		to->type = plain.type;
		to->dimension = plain.dimension + 1;
	}
	size = ct_dwarf_size_at(p, to);
	part_of(&plain, size * (ct_u64)i, to);
	return 0;
}

/* ---- numbers ---- */

static int real_number(const ct_u8 *bytes, ct_u64 size, struct ct_dwarf_number *n)
{
	long double l = 0;
	float f;

	n->cls = CT_DWARF_FLOAT;
	if (size == sizeof(float)) {
		memcpy(&f, bytes, sizeof(f));
		n->f = f;
	} else if (size == sizeof(double)) {
		memcpy(&n->f, bytes, sizeof(n->f));
	} else if (size == sizeof(long double)) {
		memcpy(&l, bytes, sizeof(l));
		n->f = (double)l;
	} else {
		return -1;
	}
	return 0;
}

int ct_dwarf_number(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, struct ct_dwarf_number *n,
		    struct ct_error *err)
{
	const struct ct_dwarf_value plain = without_references(p, v);
	const int tag = ct_dwarf_tag(&plain);
	ct_u64 size = ct_dwarf_size(&plain), encoding = plain.is_signed ? DW_ATE_signed : DW_ATE_unsigned;
	ct_u8 bytes[16] = {0};
	Dwarf_Die type;

	if (plain.is_real && !plain.pointers)
		return real_number(plain.held, sizeof(double), n);
	*n = (struct ct_dwarf_number){.cls = CT_DWARF_UNSIGNED};
	if (ct_dwarf_is_compound(tag) || tag == DW_TAG_array_type || tag == DW_TAG_subroutine_type) {
		n->cls = CT_DWARF_COMPOUND;
		n->u = plain.addr;
		if (tag != DW_TAG_array_type || plain.where != CT_DWARF_IN_MEMORY)
			return ct_fail(err, CT_EXIT_FAILED, "this is no number");
		n->cls = CT_DWARF_POINTER; /* as in C */
		return 0;
	}
	if (plain.bit_size)
		size = (plain.bit_offset + plain.bit_size + 7) / 8;
	if (!size || size > sizeof(bytes))
		return ct_fail(err, CT_EXIT_FAILED, "this is no number");
	if (ct_dwarf_fetch(p, &plain, 0, bytes, size, err))
		return -1;
	if (ct_dwarf_peel(&plain, &type)) {
		encoding = tag == DW_TAG_base_type ? attribute_number(&type, DW_AT_encoding, DW_ATE_signed)
						   : DW_ATE_unsigned;
		if (tag == DW_TAG_enumeration_type && ct_dwarf_type_of(&type, &type))
			encoding = attribute_number(&type, DW_AT_encoding, DW_ATE_unsigned);
		else if (tag == DW_TAG_enumeration_type)
			encoding = DW_ATE_signed;
	}
	if (encoding == DW_ATE_float && tag == DW_TAG_base_type)
		return real_number(bytes, size, n)
			       ? ct_fail(err, CT_EXIT_FAILED, "this is no number that is known here")
			       : 0;
	if (ct_dwarf_is_pointer(tag))
		n->cls = CT_DWARF_POINTER;
	else if (encoding == DW_ATE_signed || encoding == DW_ATE_signed_char)
		n->cls = CT_DWARF_SIGNED;
	memcpy(&n->u, bytes, size < 8 ? size : 8);
	if (plain.bit_size) {
		/* Up to nine bytes may hold one. */
		n->u >>= plain.bit_offset;
		if (size > 8)
			n->u |= (ct_u64)bytes[8] << (64 - plain.bit_offset);
		if (plain.bit_size < 64) {
			n->u &= (1ull << plain.bit_size) - 1;
			if (n->cls == CT_DWARF_SIGNED && n->u >> (plain.bit_size - 1))
				n->u |= ~0ull << plain.bit_size;
		}
	} else if (size < 8 && n->cls == CT_DWARF_SIGNED && n->u >> (size * 8 - 1)) {
		n->u |= ~0ull << (size * 8);
	}
	return 0;
}

enum ct_dwarf_shape ct_dwarf_shape(const struct ct_dwarf_value *v)
{
	const int tag = ct_dwarf_tag(v);
	Dwarf_Attribute attr;
	Dwarf_Word encoding;
	Dwarf_Die type;

	if (tag == DW_TAG_pointer_type)
		return CT_DWARF_IS_POINTER;
	if (ct_dwarf_is_pointer(tag))
		return CT_DWARF_IS_REFERENCE;
	if (ct_dwarf_is_compound(tag))
		return CT_DWARF_IS_OBJECT;
	if (tag == DW_TAG_array_type)
		return CT_DWARF_IS_ARRAY;
	if (tag == DW_TAG_enumeration_type)
		return CT_DWARF_IS_ENUM;
	if (!v->has_type)
		return v->is_real ? CT_DWARF_IS_REAL : CT_DWARF_IS_INTEGER;
	if (tag != DW_TAG_base_type || !ct_dwarf_peel(v, &type) || !dwarf_attr(&type, DW_AT_encoding, &attr) ||
	    dwarf_formudata(&attr, &encoding) || ct_dwarf_size(v) > 8)
		return CT_DWARF_IS_OTHER;
	switch (encoding) {
	case DW_ATE_boolean: return CT_DWARF_IS_BOOL;
	case DW_ATE_float: return CT_DWARF_IS_REAL;
	case DW_ATE_signed:
	case DW_ATE_unsigned: return CT_DWARF_IS_INTEGER;
	case DW_ATE_signed_char:
	case DW_ATE_unsigned_char:
	case DW_ATE_UTF: return CT_DWARF_IS_CHARACTER;
	}
	return CT_DWARF_IS_OTHER;
}
