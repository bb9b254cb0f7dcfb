/* SPDX-License-Identifier: MIT
 * Debug information: all functions there are, for who wants to follow some of them, and what they return. */
#include "replay/dwarf_priv.h"

struct walk {
	struct ct_dwarf *d;
	Dwarf_Die *cu;
	ct_u64 bias;
	const struct ct_dwarf_walk *to;
};

static bool tell_function(struct walk *w, Dwarf_Die *die)
{
	Dwarf_Addr base, low, high;
	struct ct_dwarf_function f;
	struct ct_dwarf_line first;
	const char *file;
	int line = 0;

	/* A linker that drops code leaves its description, at address 0. */
	if (dwarf_ranges(die, 0, &base, &low, &high) <= 0 || !low || low == high ||
	    !ct_dwarf_function_at(w->d, low + w->bias, &f) || !f.has_die || f.die.addr != die->addr || !f.name)
		return true;
	file = dwarf_decl_file(die);
	dwarf_decl_line(die, &line);
	file = file ? ct_dwarf_path(w->d, w->cu, file) : NULL;
	/* Nobody has declared a lambda's operator. */
	if (!file && ct_dwarf_line_at(w->d, f.entry, &first)) {
		file = first.file;
		line = (int)first.line;
	}
	return !file || w->to->tell(w->to->ctx, &f, file, line > 0 ? (ct_u32)line : 0);
}

static bool walk_die(struct walk *w, Dwarf_Die *parent, unsigned depth)
{
	Dwarf_Die child;

	if (depth > CT_DWARF_DEEP || dwarf_child(parent, &child))
		return true;
	do {
		switch (dwarf_tag(&child)) {
		case DW_TAG_subprogram:
			if (!tell_function(w, &child))
				return false;
			break; /* those within: of Ada, of GNU C */
		case DW_TAG_namespace:
		case DW_TAG_module:
		case DW_TAG_class_type:
		case DW_TAG_structure_type:
		case DW_TAG_union_type:
		case DW_TAG_lexical_block: break;
		default: continue;
		}
		if (!walk_die(w, &child, depth + 1))
			return false;
	} while (!dwarf_siblingof(&child, &child));
	return true;
}

static int walk_module(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr start, void *arg)
{
	struct walk *w = arg;
	Dwarf_Addr bias;

	(void)userdata;
	if (!w->to->wanted(w->to->ctx, name, start))
		return DWARF_CB_OK;
	w->cu = NULL;
	while ((w->cu = dwfl_module_nextcu(mod, w->cu, &bias))) {
		w->bias = bias;
		if (!walk_die(w, w->cu, 0))
			return DWARF_CB_ABORT;
	}
	return DWARF_CB_OK;
}

void ct_dwarf_functions(struct ct_dwarf *d, const struct ct_dwarf_walk *walk)
{
	struct walk w = {.d = d, .to = walk};

	dwfl_getmodules(d->dwfl, walk_module, &w, 0);
}

int ct_dwarf_language(const struct ct_dwarf_function *f)
{
	Dwarf_Die cu = f->cu;
	const int language = f->has_die ? dwarf_srclang(&cu) : -1;

	return language > 0 ? language : 0;
}

bool ct_dwarf_returned(const struct ct_dwarf_place *p, const struct ct_dwarf_function *f, struct ct_dwarf_value *v)
{
	const struct ct_dwarf_location l = {.p = p, .bias = f->bias};
	Dwfl_Module *mod = dwfl_addrmodule(p->d->dwfl, f->entry);
	Dwarf_Die die = f->die;
	const Dwarf_Op *ops;
	int n;

	*v = (struct ct_dwarf_value){0};
	if (!mod || !f->has_die || !ct_dwarf_type_of(&die, &v->type))
		return false;
	v->has_type = true;
	n = dwfl_module_return_value_location(mod, &die, &ops);
	if (n <= 0)
		return false;
	ct_dwarf_locate(&l, NULL, ops, (size_t)n, v);
	return v->where != CT_DWARF_NOWHERE;
}
