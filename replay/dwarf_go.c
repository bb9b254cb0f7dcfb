// SPDX-License-Identifier: MIT
/* What a function of Go has returned: its compiler has a calling convention of its own, which debug information does
 * not describe. Results are where it puts them, see "Go internal ABI specification" (src/cmd/compile/abi-internal.md).
 */
#include <dwarf.h>
#include <stdio.h>
#include <string.h>

#include "replay/dwarf_priv.h"

#define GO_REALS 15 /* X0 to X14 */

static const ct_u8 integers[] = {CT_DW_RAX, CT_DW_RBX, CT_DW_RCX, CT_DW_RDI, CT_DW_RSI, 8, 9, 10, 11};

struct assignment {
	const struct ct_dwarf_regs *regs;
	unsigned ints, reals; /* registers that are taken */
	struct ct_dwarf_value *v;
};

static bool hold(struct ct_dwarf_value *v, ct_u64 at, const void *from, ct_u64 size, bool known)
{
	if (size > CT_DWARF_HELD_MAX || at > CT_DWARF_HELD_MAX - size)
		return false;
	memcpy(v->held + at, from, (size_t)size);
	for (ct_u64 i = at; i < at + size && known; i++)
		v->held_known |= 1ull << i;
	return true;
}

static bool take_int(struct assignment *a, ct_u64 at, ct_u64 size)
{
	unsigned reg;

	if (a->ints == sizeof(integers) || size > 8)
		return false;
	reg = integers[a->ints++];
	return hold(a->v, at, &a->regs->r[reg], size, a->regs->known >> reg & 1);
}

static bool take_real(struct assignment *a, ct_u64 at, ct_u64 size)
{
	return a->reals < GO_REALS && size <= 8 && hold(a->v, at, a->regs->xmm[a->reals++], size, a->regs->has_xmm);
}

static bool assign(struct assignment *a, const struct ct_dwarf_value *of, ct_u64 at, unsigned depth);

static bool assign_members(struct assignment *a, Dwarf_Die *type, ct_u64 at, unsigned depth)
{
	Dwarf_Die member;
	bool good = true;

	if (dwarf_child(type, &member))
		return true;
	do {
		struct ct_dwarf_value of = {.has_type = true};
		Dwarf_Attribute attr;
		Dwarf_Word offset = 0;

		if (dwarf_tag(&member) != DW_TAG_member)
			continue;
		good = ct_dwarf_type_of(&member, &of.type) &&
		       !dwarf_formudata(dwarf_attr(&member, DW_AT_data_member_location, &attr), &offset) &&
		       assign(a, &of, at + offset, depth + 1);
	} while (good && !dwarf_siblingof(&member, &member));
	return good;
}

static bool assign_array(struct assignment *a, const struct ct_dwarf_value *of, ct_u64 at, unsigned depth)
{
	ct_u64 count[CT_DWARF_DIMENSIONS] = {0};
	struct ct_dwarf_value element = {.has_type = true};

	if (ct_dwarf_dimensions(NULL, of, count) != 1 || count[0] > 1)
		return false;
	return !count[0] || (ct_dwarf_target(of, &element.type) && assign(a, &element, at, depth + 1));
}

/* One value, part by part; false: it is on the stack, or there is something in it that is not known here. */
static bool assign(struct assignment *a, const struct ct_dwarf_value *of, ct_u64 at, unsigned depth)
{
	const ct_u64 size = ct_dwarf_size(of);
	Dwarf_Attribute attr;
	Dwarf_Word encoding;
	Dwarf_Die type;

	if (depth > CT_DWARF_DEEP || !ct_dwarf_peel(of, &type))
		return false;
	switch (dwarf_tag(&type)) {
	case DW_TAG_base_type:
		if (dwarf_formudata(dwarf_attr(&type, DW_AT_encoding, &attr), &encoding))
			return false;
		if (encoding == DW_ATE_float)
			return take_real(a, at, size);
		if (encoding == DW_ATE_complex_float)
			return take_real(a, at, size / 2) && take_real(a, at + size / 2, size / 2);
		return take_int(a, at, size);
	case DW_TAG_pointer_type:
	case DW_TAG_subroutine_type: return take_int(a, at, 8);
	case DW_TAG_structure_type: return assign_members(a, &type, at, depth);
	case DW_TAG_array_type: return assign_array(a, of, at, depth);
	default: return false;
	}
}

/* Before that convention, and in assembly, results are on the stack. */
static bool has_registers(const struct ct_dwarf_function *f)
{
	Dwarf_Die cu = f->cu;
	Dwarf_Attribute attr;
	const char *producer = dwarf_formstring(dwarf_attr(&cu, DW_AT_producer, &attr));

	return producer && strstr(producer, "regabi");
}

bool ct_dwarf_is_result(Dwarf_Die *parameter)
{
	Dwarf_Attribute attr;
	Dwarf_Die cu;
	bool result;

	/* Of Ada the same attribute is an argument's that is written to. */
	return !dwarf_formflag(dwarf_attr_integrate(parameter, DW_AT_variable_parameter, &attr), &result) && result &&
	       dwarf_diecu(parameter, &cu, NULL, NULL) && dwarf_srclang(&cu) == DW_LANG_Go;
}

bool ct_dwarf_is_go(const struct ct_dwarf_function *f)
{
	return ct_dwarf_language(f) == DW_LANG_Go;
}

unsigned ct_dwarf_go_results(const struct ct_dwarf_place *p, const struct ct_dwarf_function *f,
			     struct ct_dwarf_value *v, unsigned most)
{
	struct assignment a = {.regs = NULL};
	Dwarf_Die die = f->die, child;
	unsigned n = 0;

	if (!f->has_die || !p->stack->n || dwarf_child(&die, &child))
		return 0;
	a.regs = &p->stack->frame[p->frame].regs;
	do {
		const unsigned ints = a.ints, reals = a.reals;

		if (dwarf_tag(&child) != DW_TAG_formal_parameter || !ct_dwarf_is_result(&child))
			continue;
		if (n == most)
			break;
		a.v = &v[n++];
		*a.v = (struct ct_dwarf_value){.where = CT_DWARF_NOWHERE};
		a.v->has_type = ct_dwarf_type_of(&child, &a.v->type);
		if (has_registers(f) && a.v->has_type && assign(&a, a.v, 0, 0)) {
			a.v->where = CT_DWARF_HELD;
			continue;
		}
		/* All of it goes to the stack, and the next one has the registers. */
		a.ints = ints;
		a.reals = reals;
		snprintf(a.v->why, sizeof(a.v->why), "it is on the stack");
	} while (!dwarf_siblingof(&child, &child));
	return n;
}
