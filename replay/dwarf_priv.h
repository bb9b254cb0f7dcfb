/* SPDX-License-Identifier: MIT
 * Parts of the reader of debug information. Private to the dwarf_*.c files. */
#ifndef CT_DWARF_PRIV_H
#define CT_DWARF_PRIV_H

#include "replay/dwarf.h"

#define CT_DWARF_RECENT 64

struct ct_dwarf {
	Dwfl *dwfl;
	struct ct_dwarf_image *images;
	void *strings; /* tsearch(3) of all texts that were handed out */
	struct ct_dwarf_function recent[CT_DWARF_RECENT];
	unsigned next_recent;
};

/* A copy of the text that stays; the same one for the same text. NULL: no memory. */
const char *ct_dwarf_keep(struct ct_dwarf *d, const char *text);
/* The compilation unit that has code at this address. */
bool ct_dwarf_unit_at(struct ct_dwarf *d, ct_u64 addr, Dwarf_Die *cu, ct_u64 *bias);
/* Scopes of the unit around an address of the file, outermost first: functions, blocks, inlined functions. */
#define CT_DWARF_DEEP 64
size_t ct_dwarf_scopes(Dwarf_Die *cu, Dwarf_Addr pc, Dwarf_Die *scopes);
/* Those from the function on. */
size_t ct_dwarf_scopes_in(const struct ct_dwarf_function *f, Dwarf_Addr pc, Dwarf_Die *scopes);
/* The absolute path of a file that the unit names. */
const char *ct_dwarf_path(struct ct_dwarf *d, Dwarf_Die *cu, const char *name);
/* Its name with those of namespaces and classes around it. */
const char *ct_dwarf_qualified(struct ct_dwarf *d, Dwarf_Die *die);

/* The type that an attribute of the DIE means; false: void. */
bool ct_dwarf_type_of(Dwarf_Die *die, Dwarf_Die *type);

/* Go: a result, which is a variable of the function; one without a name of its own is called ~r0, ~r1 ... (dwarf_go.c) */
bool ct_dwarf_is_result(Dwarf_Die *parameter);

/* ---- Types (dwarf_type.c) ---- */

#define CT_DWARF_DIMENSIONS 8
/* The value's type without typedefs and qualifiers; false: it has none of its own. */
bool ct_dwarf_peel(const struct ct_dwarf_value *v, Dwarf_Die *type);
int ct_dwarf_tag(const struct ct_dwarf_value *v);
bool ct_dwarf_is_compound(int tag);
bool ct_dwarf_is_pointer(int tag);
/* What it points to, or its elements' type; false: void. */
bool ct_dwarf_target(const struct ct_dwarf_value *v, Dwarf_Die *type);
/* Of an array, without those that the value has behind it; `p` may be NULL: then without those that are computed. */
unsigned ct_dwarf_dimensions(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v,
			     ct_u64 count[CT_DWARF_DIMENSIONS]);
ct_u64 ct_dwarf_size_at(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v);
/* Bytes of a value; -1: they cannot be known, or read. */
int ct_dwarf_fetch(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, ct_u64 at, void *buf, size_t len,
		   struct ct_error *err);
/* A variable of the place's frame, or a static one. False: it has no place at all, it is only declared. */
bool ct_dwarf_variable(const struct ct_dwarf_place *p, Dwarf_Die *die, ct_u64 bias, struct ct_dwarf_value *v);

/* ---- Location expressions (dwarf_location.c) ---- */

struct ct_dwarf_location {
	const struct ct_dwarf_place *p; /* NULL: of call frame information; then: */
	const struct ct_dwarf_regs *regs;
	const struct ct_dwarf_memory *mem;
	ct_u64 cfa;
	ct_u64 bias;
	unsigned depth;
};
/* The location expression that holds at an address of the file. 1: there is one. */
int ct_dwarf_location_at(Dwarf_Attribute *attr, Dwarf_Addr addr, Dwarf_Op **ops, size_t *n);
/* Evaluates to a value's place; `v` has its type already. Never fails: what cannot be known is NOWHERE, with a reason.
 */
void ct_dwarf_locate(const struct ct_dwarf_location *l, Dwarf_Attribute *attr, const Dwarf_Op *ops, size_t n,
		     struct ct_dwarf_value *v);
/* To a number: frame bases, CFAs, sizes. */
bool ct_dwarf_compute(const struct ct_dwarf_location *l, Dwarf_Attribute *attr, const Dwarf_Op *ops, size_t n,
		      const ct_u64 *first, ct_u64 *result);

#endif
