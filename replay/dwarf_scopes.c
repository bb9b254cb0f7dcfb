/* SPDX-License-Identifier: MIT
 * Debug information: a function and what the compiler has inlined in it, by address. */
#include <stdlib.h>

#include "replay/dwarf_priv.h"

struct building {
	const struct ct_dwarf_function *f;
	struct ct_dwarf_scopes *to;
	bool failed;
};

/* An array that doubles when it is full. */
static bool grow(struct building *b, void **list, size_t n, size_t size)
{
	void *more = n & (n - 1) ? *list : realloc(*list, (n ? 2 * n : 1) * size);

	b->failed |= !more;
	if (more)
		*list = more;
	return more;
}

/* -1: out of memory. */
static int add_scope(struct building *b, Dwarf_Die *die, int parent)
{
	struct ct_dwarf_scopes *to = b->to;
	const ct_u64 bias = b->f->bias;
	Dwarf_Addr base, low, high, entry = 0;
	Dwarf_Die origin = {0};
	Dwarf_Attribute attr;
	Dwarf_Word call;
	ptrdiff_t off = 0;

	if (!grow(b, (void **)&to->list, to->n, sizeof(*to->list)))
		return -1;
	if (dwarf_attr(die, DW_AT_abstract_origin, &attr))
		dwarf_formref_die(&attr, &origin);
	while ((off = dwarf_ranges(die, off, &base, &low, &high)) > 0) {
		if (!grow(b, (void **)&to->range, to->nranges, sizeof(*to->range)))
			return -1;
		to->range[to->nranges++] = (struct ct_dwarf_range){low + bias, high + bias, (int)to->n};
		if (!entry)
			entry = low;
	}
	dwarf_entrypc(die, &entry);
	if (!dwarf_attr(die, DW_AT_call_line, &attr) || dwarf_formudata(&attr, &call))
		call = 0;
	to->list[to->n] = (struct ct_dwarf_scope){
		.origin = origin.addr, .call_line = (ct_u32)call, .entry = entry + bias, .parent = parent};
	return (int)to->n++;
}

/* Inlined functions stand in blocks, too. */
static void add_within(struct building *b, Dwarf_Die *parent, int scope, unsigned depth)
{
	Dwarf_Die child;

	if (depth > CT_DWARF_DEEP || dwarf_child(parent, &child))
		return;
	do {
		const int tag = dwarf_tag(&child);

		if (tag == DW_TAG_inlined_subroutine)
			add_within(b, &child, add_scope(b, &child, scope), depth + 1);
		else if (tag == DW_TAG_lexical_block || tag == DW_TAG_try_block || tag == DW_TAG_catch_block)
			add_within(b, &child, scope, depth + 1);
	} while (!b->failed && !dwarf_siblingof(&child, &child));
}

int ct_dwarf_scopes_of(const struct ct_dwarf_function *f, struct ct_dwarf_scopes *scopes, struct ct_error *err)
{
	struct building b = {.f = f, .to = scopes};
	Dwarf_Die die = f->die;

	*scopes = (struct ct_dwarf_scopes){0};
	if (f->has_die && !add_scope(&b, &die, -1))
		add_within(&b, &die, 0, 0);
	if (!b.failed)
		return 0;
	ct_dwarf_scopes_free(scopes);
	return ct_fail_memory(err);
}

void ct_dwarf_scopes_free(struct ct_dwarf_scopes *scopes)
{
	free(scopes->list);
	free(scopes->range);
	*scopes = (struct ct_dwarf_scopes){0};
}

/* Those within stand behind what is around them. */
int ct_dwarf_scope_at(const struct ct_dwarf_scopes *scopes, ct_u64 addr)
{
	int scope = 0;

	for (size_t i = 0; i < scopes->nranges; i++)
		if (addr >= scopes->range[i].low && addr < scopes->range[i].high)
			scope = scopes->range[i].scope;
	return scope;
}
