/* SPDX-License-Identifier: MIT
 * Debug information: which variables a frame has, and where they are. */
#include <stdio.h>
#include <string.h>

#include "replay/dwarf_priv.h"

static bool constant(Dwarf_Attribute *attr, struct ct_dwarf_value *v)
{
	Dwarf_Block block;
	Dwarf_Sword number;

	v->where = CT_DWARF_HELD;
	if (!dwarf_formblock(attr, &block)) {
		const size_t n = block.length < CT_DWARF_HELD_MAX ? block.length : CT_DWARF_HELD_MAX;

		memcpy(v->held, block.data, n);
		v->held_known = n >= 64 ? ~0ull : (1ull << n) - 1;
		return true;
	}
	if (dwarf_formsdata(attr, &number))
		return false;
	memcpy(v->held, &number, sizeof(number));
	v->held_known = 0xff;
	return true;
}

bool ct_dwarf_variable(const struct ct_dwarf_place *p, Dwarf_Die *die, ct_u64 bias, struct ct_dwarf_value *v)
{
	const struct ct_dwarf_frame *f = p->stack && p->frame < p->stack->n ? &p->stack->frame[p->frame] : NULL;
	const struct ct_dwarf_location l = {.p = p, .bias = bias};
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t n;
	int got;

	*v = (struct ct_dwarf_value){0};
	v->has_type = ct_dwarf_type_of(die, &v->type);
	if (dwarf_attr_integrate(die, DW_AT_location, &attr)) {
		/* Without a location list the address does not matter. */
		got = ct_dwarf_location_at(&attr, f ? f->lookup - bias : 0, &ops, &n);
		ct_dwarf_locate(&l, &attr, ops, got == 1 ? n : 0, v);
		return true;
	}
	if (dwarf_attr_integrate(die, DW_AT_const_value, &attr))
		return constant(&attr, v);
	if (dwarf_hasattr_integrate(die, DW_AT_declaration) || dwarf_hasattr_integrate(die, DW_AT_external))
		return false;
	snprintf(v->why, sizeof(v->why), "optimized out");
	return true;
}

static bool is_variable(int tag)
{
	return tag == DW_TAG_variable || tag == DW_TAG_constant;
}

/* Those that stand in the DIE itself. */
static void tell_children(const struct ct_dwarf_place *p, Dwarf_Die *in, ct_u64 bias, bool args,
			  void (*tell)(void *ctx, const char *name, const struct ct_dwarf_value *v), void *ctx)
{
	struct ct_dwarf_value v;
	Dwarf_Die child;

	if (dwarf_child(in, &child))
		return;
	do {
		const int tag = dwarf_tag(&child);
		const char *name = dwarf_diename(&child);
		const bool result = tag == DW_TAG_formal_parameter && ct_dwarf_is_result(&child);

		if ((args ? tag == DW_TAG_formal_parameter && !result : is_variable(tag) || result) && name &&
		    !(result && *name == '~') && ct_dwarf_variable(p, &child, bias, &v))
			tell(ctx, name, &v);
	} while (!dwarf_siblingof(&child, &child));
}

/* The blocks of the frame that the pc is in, outermost first; the first is the function, inlined or not. */
static size_t blocks_of(const struct ct_dwarf_frame *f, Dwarf_Die *blocks)
{
	Dwarf_Die scopes[CT_DWARF_DEEP];
	size_t n, first, count = 0;

	if (!f->has_scope)
		return 0;
	n = ct_dwarf_scopes_in(&f->function, f->lookup - f->function.bias, scopes);
	for (first = 0; first < n && scopes[first].addr != f->scope.addr; first++)
		;
	for (size_t i = first; i < n; i++) {
		/* What is inlined here has a frame of its own. */
		if (i > first && dwarf_tag(&scopes[i]) == DW_TAG_inlined_subroutine)
			break;
		blocks[count++] = scopes[i];
	}
	return count;
}

int ct_dwarf_variables(const struct ct_dwarf_place *p, enum ct_dwarf_kind kind,
		       void (*tell)(void *ctx, const char *name, const struct ct_dwarf_value *v), void *ctx,
		       struct ct_error *err)
{
	const struct ct_dwarf_frame *f = p->frame < p->stack->n ? &p->stack->frame[p->frame] : NULL;
	Dwarf_Die blocks[CT_DWARF_DEEP], cu;
	size_t n;

	if (!f)
		return ct_fail(err, CT_EXIT_USAGE, "there is no such frame");
	if (kind == CT_DWARF_STATICS) {
		ct_u64 bias;

		if (ct_dwarf_unit_at(p->d, f->lookup, &cu, &bias))
			tell_children(p, &cu, bias, false, tell, ctx);
		return 0;
	}
	n = blocks_of(f, blocks);
	if (kind == CT_DWARF_ARGS && n)
		tell_children(p, &blocks[0], f->function.bias, true, tell, ctx);
	while (kind == CT_DWARF_LOCALS && n-- > 0)
		tell_children(p, &blocks[n], f->function.bias, false, tell, ctx);
	return 0;
}

/* ---- by name ---- */

struct wanted {
	const char *name;
	size_t len;
	bool found;
	ct_u64 bias;
	struct ct_dwarf_value *v;
};

static void match(void *ctx, const char *name, const struct ct_dwarf_value *v)
{
	struct wanted *w = ctx;

	if (!w->found && strlen(name) == w->len && !memcmp(name, w->name, w->len)) {
		w->found = true;
		*w->v = *v;
	}
}

/* Static variables of any unit, those of namespaces and classes by their full name or the last part of it. */
static bool search_statics(const struct ct_dwarf_place *p, Dwarf_Die *in, const char *last, size_t last_len,
			   struct wanted *w, unsigned depth)
{
	Dwarf_Die child;

	if (depth > 8 || dwarf_child(in, &child))
		return false;
	do {
		const int tag = dwarf_tag(&child);
		const char *name, *full;
		size_t n;

		if (tag == DW_TAG_namespace || tag == DW_TAG_module)
			if (search_statics(p, &child, last, last_len, w, depth + 1))
				return true;
		if (!is_variable(tag) || !(name = dwarf_diename(&child)) || strlen(name) != last_len ||
		    memcmp(name, last, last_len) != 0)
			continue;
		full = w->len == last_len ? name : ct_dwarf_qualified(p->d, &child);
		n = full ? strlen(full) : 0;
		if (n >= w->len && !memcmp(full + n - w->len, w->name, w->len) &&
		    ct_dwarf_variable(p, &child, w->bias, w->v) && w->v->where != CT_DWARF_NOWHERE)
			return true;
	} while (!dwarf_siblingof(&child, &child));
	return false;
}

int ct_dwarf_find_variable(const struct ct_dwarf_place *p, const char *name, size_t len, struct ct_dwarf_value *v,
			   struct ct_error *err)
{
	static const enum ct_dwarf_kind kinds[] = {CT_DWARF_LOCALS, CT_DWARF_ARGS, CT_DWARF_STATICS};
	struct ct_dwarf_value object;
	struct wanted w = {.name = name, .len = len, .v = v}, self = {.name = "this", .len = 4, .v = &object};
	const char *last = name;
	Dwarf_Die *cu = NULL;
	Dwarf_Addr bias;

	for (size_t i = 0; i < 3 && !w.found && p->stack && p->frame < p->stack->n; i++) {
		/* Members of the object come before what is outside. */
		if (kinds[i] == CT_DWARF_STATICS)
			ct_dwarf_variables(p, CT_DWARF_ARGS, match, &self, NULL);
		if (self.found && !ct_dwarf_member(p, &object, name, len, v, NULL))
			return 0;
		ct_dwarf_variables(p, kinds[i], match, &w, NULL);
	}
	for (size_t i = 0; i < len; i++)
		if (name[i] == ':')
			last = name + i + 1;
	while (!w.found && (cu = dwfl_nextcu(p->d->dwfl, cu, &bias))) {
		w.bias = bias;
		w.found = search_statics(p, cu, last, len - (size_t)(last - name), &w, 0);
	}
	return w.found ? 0
		       : ct_fail(err, CT_EXIT_FAILED, "there is no variable '%.*s' here", (int)(len < 80 ? len : 80),
				 name);
}
