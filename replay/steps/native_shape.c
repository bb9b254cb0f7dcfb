// SPDX-License-Identifier: MIT
/* Strings and arrays of languages' own libraries, which debug information describes as the structures they are: where
 * their content begins, and how much of it there is. */
#include <stdio.h>
#include <string.h>

#include "replay/steps/native_priv.h"

/* Members, with those of base classes; the first of a name's alternatives that a type has counts. */
static const struct shape {
	const char *type; /* how its name begins; "": any */
	const char *begin;
	const char *end; /* a number of elements, or a pointer behind the last one */
	bool text;
} shapes[] = {
	/* libstdc++ */
	{"", "_M_dataplus._M_p", "_M_string_length", true},
	{"", "_M_str", "_M_len", true},
	{"vector<", "_M_impl._M_start", "_M_impl._M_finish", false},
	/* Rust; String is a Vec<u8> */
	{"&str", "data_ptr", "length", true},
	{"&mut str", "data_ptr", "length", true},
	{"&", "data_ptr", "length", false},
	{"String", "vec.buf.inner.ptr.pointer.pointer", "vec.len", true},
	{"String", "vec.buf.ptr.pointer.pointer", "vec.len", true},
	{"String", "vec.buf.ptr.pointer", "vec.len", true},
	{"Vec<", "buf.inner.ptr.pointer.pointer", "len", false},
	{"Vec<", "buf.ptr.pointer.pointer", "len", false},
	{"Vec<", "buf.ptr.pointer", "len", false},
	/* Go */
	{"string", "str", "len", true},
	{"[]", "array", "len", false},
	/* Nim: what is behind its pointers, with reference counts; ORC's */
	{"NimStringDesc", "data", "Sup.len", true},
	{"tySequence_", "data", "Sup.len", false},
	{"NimStringV2", "p.data", "len", true},
	{"tySequence_", "p.data", "len", false},
};

static bool follow(const struct ct_dwarf_place *p, const struct ct_dwarf_value *from, const char *path,
		   struct ct_dwarf_value *to)
{
	struct ct_dwarf_value at = *from;

	for (;;) {
		const size_t len = strcspn(path, ".");

		if (ct_dwarf_shape(&at) == CT_DWARF_IS_POINTER && ct_dwarf_dereference(p, &at, to, NULL))
			return false;
		if (ct_dwarf_shape(&at) == CT_DWARF_IS_POINTER)
			at = *to;
		if (ct_dwarf_member(p, &at, path, len, to, NULL))
			return false;
		at = *to;
		if (!path[len])
			return to->where != CT_DWARF_NOWHERE;
		path += len + 1;
	}
}

/* What a type is made for: Vec<T>'s pointer is to bytes. */
static bool parameter(const struct ct_dwarf_value *v, Dwarf_Die *type)
{
	Dwarf_Die die = v->type, child;
	Dwarf_Attribute attr;

	if (!v->has_type || dwarf_child(&die, &child))
		return false;
	do {
		if (dwarf_tag(&child) == DW_TAG_template_type_parameter)
			return dwarf_attr(&child, DW_AT_type, &attr) && dwarf_formref_die(&attr, type);
	} while (!dwarf_siblingof(&child, &child));
	return false;
}

/* What its name says it is, without what is around the name. */
static const char *plain_type(const struct ct_dwarf_value *v, char *text, size_t len)
{
	char *at;

	ct_dwarf_type_name(v, text, len);
	for (at = text; !strncmp(at, "const ", 6); at += 6)
		;
	if (!strncmp(at, "struct ", 7))
		at += 7;
	return at;
}

static bool fits(const struct ct_dwarf_place *p, const struct ct_dwarf_value *from, const struct shape *s,
		 struct native_content *to)
{
	struct ct_dwarf_value begin, end;
	struct ct_dwarf_number a, b;
	ct_u64 size;

	if (!s->end || !follow(p, from, s->begin, &begin) || !follow(p, from, s->end, &end) ||
	    ct_dwarf_number(p, &end, &b, NULL))
		return false;
	if (ct_dwarf_shape(&begin) == CT_DWARF_IS_ARRAY) { /* of no known length, in the object */
		if (begin.where != CT_DWARF_IN_MEMORY)
			return false;
		to->addr = begin.addr;
		if (ct_dwarf_element(p, &begin, 0, &to->element, NULL))
			return false;
	} else {
		if (ct_dwarf_number(p, &begin, &a, NULL))
			return false;
		to->addr = a.u;
		to->element = (struct ct_dwarf_value){0};
		if (ct_dwarf_dereference(p, &begin, &to->element, NULL))
			to->element = (struct ct_dwarf_value){.has_type = begin.has_type, .type = begin.type};
	}
	if (!strcmp(s->type, "Vec<"))
		parameter(from, &to->element.type);
	to->element.where = CT_DWARF_IN_MEMORY;
	to->element.addr = to->addr;
	size = to->size = s->text ? 1 : ct_dwarf_size(&to->element);
	to->text = s->text;
	to->count = b.u;
	if (ct_dwarf_shape(&end) == CT_DWARF_IS_POINTER) {
		if (!size || b.u < to->addr || (b.u - to->addr) % size)
			return false;
		to->count = (b.u - to->addr) / size;
	}
	return true;
}

bool ct_native_content(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, struct native_content *to)
{
	char name[128];
	const char *type = plain_type(v, name, sizeof(name));

	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
		if (!strncmp(type, shapes[i].type, strlen(shapes[i].type)) && fits(p, v, &shapes[i], to))
			/* What has not been initialized yet says anything. */
			return to->count <= NATIVE_CONTENT_MOST;
	return false;
}
