/* SPDX-License-Identifier: MIT
 * Debug information: types of values, their names, sizes, dimensions. */
#include <stdio.h>
#include <string.h>

#include "replay/dwarf_priv.h"

bool ct_dwarf_type_of(Dwarf_Die *die, Dwarf_Die *type)
{
	Dwarf_Attribute attr;

	return dwarf_attr_integrate(die, DW_AT_type, &attr) && dwarf_formref_die(&attr, type);
}

bool ct_dwarf_peel(const struct ct_dwarf_value *v, Dwarf_Die *type)
{
	Dwarf_Die from = v->type;

	return v->has_type && !v->pointers && !dwarf_peel_type(&from, type);
}

int ct_dwarf_tag(const struct ct_dwarf_value *v)
{
	Dwarf_Die type;

	if (v->pointers)
		return DW_TAG_pointer_type;
	return ct_dwarf_peel(v, &type) ? dwarf_tag(&type) : DW_TAG_base_type;
}

bool ct_dwarf_is_compound(int tag)
{
	return tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
}

bool ct_dwarf_is_pointer(int tag)
{
	return tag == DW_TAG_pointer_type || tag == DW_TAG_reference_type || tag == DW_TAG_rvalue_reference_type;
}

/* What a pointer, reference or array is of; false: void. */
bool ct_dwarf_target(const struct ct_dwarf_value *v, Dwarf_Die *type)
{
	Dwarf_Die own;

	if (v->pointers) {
		*type = v->type;
		return v->has_type;
	}
	return ct_dwarf_peel(v, &own) && ct_dwarf_type_of(&own, type);
}

/* How many elements a dimension has: a constant, an expression, or a variable of the compiler's. */
static bool bound(const struct ct_dwarf_place *p, Dwarf_Die *range, unsigned which, ct_s64 *n)
{
	Dwarf_Attribute attr;
	Dwarf_Sword s;
	Dwarf_Die die;
	Dwarf_Op *ops;
	size_t len;

	if (!dwarf_attr_integrate(range, which, &attr))
		return false;
	if (p && p->stack && p->frame < p->stack->n && dwarf_formref_die(&attr, &die)) {
		struct ct_dwarf_value v;
		struct ct_dwarf_number number;

		if (!ct_dwarf_variable(p, &die, p->stack->frame[p->frame].function.bias, &v) ||
		    ct_dwarf_number(p, &v, &number, NULL))
			return false;
		*n = (ct_s64)number.u;
		return true;
	}
	if (!dwarf_formsdata(&attr, &s)) {
		*n = s;
		return true;
	}
	if (p && p->stack && p->frame < p->stack->n && !dwarf_getlocation(&attr, &ops, &len)) {
		const struct ct_dwarf_location l = {.p = p, .bias = p->stack->frame[p->frame].function.bias};
		ct_u64 v;

		if (ct_dwarf_compute(&l, &attr, ops, len, NULL, &v)) {
			*n = (ct_s64)v;
			return true;
		}
	}
	return false;
}

unsigned ct_dwarf_dimensions(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v,
			     ct_u64 count[CT_DWARF_DIMENSIONS])
{
	Dwarf_Die type, range;
	unsigned n = 0, skip = v->dimension;

	if (!ct_dwarf_peel(v, &type) || dwarf_tag(&type) != DW_TAG_array_type || dwarf_child(&type, &range))
		return 0;
	do {
		ct_s64 elements = 0, low = 0;

		if (dwarf_tag(&range) != DW_TAG_subrange_type || skip) {
			skip -= skip && dwarf_tag(&range) == DW_TAG_subrange_type;
			continue;
		}
		if (!bound(p, &range, DW_AT_count, &elements) && bound(p, &range, DW_AT_upper_bound, &elements)) {
			bound(p, &range, DW_AT_lower_bound, &low);
			elements = elements - low + 1;
		}
		count[n++] = elements > 0 ? (ct_u64)elements : 0;
	} while (n < CT_DWARF_DIMENSIONS && !dwarf_siblingof(&range, &range));
	return n;
}

ct_u64 ct_dwarf_size_at(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v)
{
	ct_u64 count[CT_DWARF_DIMENSIONS], size;
	Dwarf_Word word;
	Dwarf_Die type;
	unsigned n;

	if (v->pointers || !v->has_type)
		return 8;
	if (!ct_dwarf_peel(v, &type))
		return 0;
	if (ct_dwarf_is_pointer(dwarf_tag(&type)))
		return 8;
	if (dwarf_tag(&type) != DW_TAG_array_type)
		return dwarf_aggregate_size(&type, &word) ? 0 : word;
	n = ct_dwarf_dimensions(p, v, count);
	if (!ct_dwarf_type_of(&type, &type) || dwarf_aggregate_size(&type, &word))
		return 0;
	size = word;
	for (unsigned i = 0; i < n; i++)
		if (__builtin_mul_overflow(size, count[i], &size))
			return 0;
	return size;
}

ct_u64 ct_dwarf_size(const struct ct_dwarf_value *v)
{
	return ct_dwarf_size_at(NULL, v);
}

/* ---- names ---- */

static void name_type(const Dwarf_Die *of, char *text, size_t len, unsigned depth)
{
	static const struct {
		int tag;
		const char *before, *behind;
	} ways[] = {
		{DW_TAG_const_type, "const ", ""},         {DW_TAG_volatile_type, "volatile ", ""},
		{DW_TAG_restrict_type, "", " restrict"},   {DW_TAG_atomic_type, "_Atomic ", ""},
		{DW_TAG_pointer_type, "", " *"},           {DW_TAG_reference_type, "", " &"},
		{DW_TAG_rvalue_reference_type, "", " &&"},
	};
	Dwarf_Die type = *of, to;
	const int tag = dwarf_tag(&type);
	const char *name = dwarf_diename(&type);
	const char *kind = tag == DW_TAG_union_type         ? "union "
			   : tag == DW_TAG_structure_type   ? "struct "
			   : tag == DW_TAG_enumeration_type ? "enum "
							    : "";
	const int lang = dwarf_srclang(dwarf_diecu(&type, &to, NULL, NULL));
	char inner[256];

	if (depth > 12) {
		snprintf(text, len, "...");
		return;
	}
	if (name) {
		const bool is_c =
			lang == DW_LANG_C89 || lang == DW_LANG_C99 || lang == DW_LANG_C11 || lang == DW_LANG_C;

		snprintf(text, len, "%s%s", is_c ? kind : "", name);
		return;
	}
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		if (tag != ways[i].tag)
			continue;
		if (ct_dwarf_type_of(&type, &to))
			name_type(&to, inner, sizeof(inner), depth + 1);
		else
			snprintf(inner, sizeof(inner), "void");
		if (tag == DW_TAG_pointer_type && inner[0] && inner[strlen(inner) - 1] == '*')
			snprintf(text, len, "%s*", inner);
		else
			snprintf(text, len, "%s%s%s", ways[i].before, inner, ways[i].behind);
		return;
	}
	if (tag == DW_TAG_array_type) {
		const struct ct_dwarf_value v = {.has_type = true, .type = type};
		ct_u64 count[CT_DWARF_DIMENSIONS];
		const unsigned n = ct_dwarf_dimensions(NULL, &v, count);
		size_t used;

		if (ct_dwarf_type_of(&type, &to))
			name_type(&to, inner, sizeof(inner), depth + 1);
		else
			*inner = 0;
		snprintf(text, len, "%s", inner);
		for (unsigned i = 0; i < n; i++) {
			used = strlen(text);
			snprintf(text + used, len - used, count[i] ? "[%llu]" : "[]", (unsigned long long)count[i]);
		}
		return;
	}
	if (tag == DW_TAG_subroutine_type) {
		if (ct_dwarf_type_of(&type, &to))
			name_type(&to, inner, sizeof(inner), depth + 1);
		else
			snprintf(inner, sizeof(inner), "void");
		snprintf(text, len, "%s (...)", inner);
		return;
	}
	snprintf(text, len, "%s(unnamed)", kind);
}

void ct_dwarf_type_name(const struct ct_dwarf_value *v, char *text, size_t len)
{
	size_t used;

	if (v->has_type)
		name_type(&v->type, text, len, 0);
	else
		snprintf(text, len,
			 v->pointers    ? "void"
			 : v->is_real   ? "double"
			 : v->is_signed ? "long"
					: "unsigned long");
	for (unsigned i = 0; i < v->pointers; i++) {
		used = strlen(text);
		snprintf(text + used, len - used, used && text[used - 1] == '*' ? "*" : " *");
	}
}
