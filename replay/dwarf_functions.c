/* SPDX-License-Identifier: MIT
 * Debug information: all functions there are, for who wants to follow some of them, and what they return. */
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dwarf_priv.h"

#define LONGEST_ID   64
#define LONGEST_NAME 1024

struct walk {
	struct ct_dwarf *d;
	Dwarf_Die *cu;
	ct_u64 bias;
	const struct ct_dwarf_walk *to;
	bool asking; /* which inlined functions are wanted */
	bool inlines;
	char around[LONGEST_NAME]; /* name of the namespaces and classes it is in, with :: */
	size_t around_len;
	void *names; /* tsearch(3), of struct named */
};

/* What a declaration is called in full. To look for what is around each of them takes too long. */
struct named {
	const void *die;
	const char *name;
};

static int by_die_address(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	return (x->die > y->die) - (x->die < y->die);
}

static const char *name_of(struct walk *w, Dwarf_Die *die)
{
	const char *name = dwarf_diename(die);
	struct named key = {.die = die->addr}, *add, **have;
	Dwarf_Attribute attr;
	Dwarf_Die origin;

	if (!name)
		return NULL;
	if (dwarf_attr(die, DW_AT_abstract_origin, &attr) || dwarf_attr(die, DW_AT_specification, &attr)) {
		key.die = dwarf_formref_die(&attr, &origin) ? origin.addr : NULL;
		have = tfind(&key, &w->names, by_die_address);
		name = have ? (*have)->name : ct_dwarf_qualified(w->d, die);
		key.die = die->addr;
	} else {
		snprintf(w->around + w->around_len, sizeof(w->around) - w->around_len, "%s", name);
		name = ct_dwarf_keep(w->d, w->around);
		w->around[w->around_len] = 0;
	}
	key.name = name;
	if (!name || tfind(&key, &w->names, by_die_address) || !(add = malloc(sizeof(*add))))
		return name;
	*add = key;
	if (!tsearch(add, &w->names, by_die_address))
		free(add);
	return name;
}

/* Of an abstract instance. */
static void ask_inlined(struct walk *w, Dwarf_Die *die, const char *name)
{
	const char *file;
	int line = 0;

	if (!name || dwarf_func_inline(die) <= 0 || !(file = dwarf_decl_file(die)) ||
	    !(file = ct_dwarf_path(w->d, w->cu, file)) || !w->to->chosen(w->to->ctx, name, file))
		return;
	dwarf_decl_line(die, &line);
	w->inlines = true;
	w->to->inlined(w->to->ctx, die->addr, name, file, line > 0 ? (ct_u32)line : 0);
}

static bool tell_function(struct walk *w, Dwarf_Die *die, const char *name)
{
	Dwarf_Addr base, low, high;
	struct ct_dwarf_function f;
	struct ct_dwarf_line first;
	const char *file;
	bool chosen;
	int line = 0;

	/* A linker that drops code leaves its description, at address 0. */
	if (!name || dwarf_ranges(die, 0, &base, &low, &high) <= 0 || !low || low == high)
		return true;
	file = dwarf_decl_file(die);
	dwarf_decl_line(die, &line);
	file = file ? ct_dwarf_path(w->d, w->cu, file) : NULL;
	/* Nobody has declared a lambda's operator. */
	if (!file && ct_dwarf_line_at(w->d, low + w->bias, &first)) {
		file = first.file;
		line = (int)first.line;
	}
	chosen = file && w->to->chosen(w->to->ctx, name, file);
	if (!file || (!chosen && !w->inlines))
		return true;
	f = (struct ct_dwarf_function){.name = name,
				       .module = ct_dwarf_module_at(w->d, low + w->bias),
				       .low = low + w->bias,
				       .high = high + w->bias,
				       .has_die = true,
				       .die = *die,
				       .cu = *w->cu,
				       .bias = w->bias};
	f.entry = dwarf_entrypc(die, &base) ? f.low : base + w->bias;
	return w->to->tell(w->to->ctx, &f, file, line > 0 ? (ct_u32)line : 0, chosen);
}

static bool walk_die(struct walk *w, Dwarf_Die *parent, unsigned depth)
{
	const size_t around = w->around_len;
	const char *name;
	Dwarf_Die child;
	bool go_on = true;

	if (depth > CT_DWARF_DEEP || dwarf_child(parent, &child))
		return true;
	do {
		const int tag = dwarf_tag(&child);

		switch (tag) {
		case DW_TAG_subprogram:
			name = name_of(w, &child);
			if (w->asking)
				ask_inlined(w, &child, name);
			else
				go_on = tell_function(w, &child, name);
			break; /* those within: of Ada, of GNU C */
		case DW_TAG_namespace:
		case DW_TAG_module:
		case DW_TAG_class_type:
		case DW_TAG_structure_type:
		case DW_TAG_union_type:
			name = dwarf_diename(&child);
			w->around_len += (size_t)snprintf(w->around + around, sizeof(w->around) - around,
							  "%s::", name ? name : "(anonymous)");
			if (w->around_len >= sizeof(w->around))
				w->around_len = around;
			break;
		case DW_TAG_lexical_block: break;
		default: continue;
		}
		go_on = go_on && walk_die(w, &child, depth + 1);
		w->around_len = around;
		w->around[around] = 0;
	} while (go_on && !dwarf_siblingof(&child, &child));
	return go_on;
}

static int walk_module(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr start, void *arg)
{
	struct walk *w = arg;
	const unsigned char *id;
	char key[2 * LONGEST_ID + 1] = "";
	GElf_Addr at;
	const int len = dwfl_module_build_id(mod, &id, &at);
	Dwarf_Addr bias;
	bool go_on = true;

	(void)userdata;
	for (int i = 0; i < len && i < LONGEST_ID; i++)
		sprintf(key + 2 * i, "%02x", id[i]);
	if (!w->to->wanted(w->to->ctx, *key ? key : name, *key ? 0 : start))
		return DWARF_CB_OK;
	w->inlines = false;
	for (w->asking = true; go_on; w->asking = false) {
		w->cu = NULL;
		while (go_on && (w->cu = dwfl_module_nextcu(mod, w->cu, &bias))) {
			w->bias = bias;
			go_on = walk_die(w, w->cu, 0);
		}
		if (!w->asking)
			break;
	}
	tdestroy(w->names, free);
	w->names = NULL;
	return go_on ? DWARF_CB_OK : DWARF_CB_ABORT;
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
	if (ct_dwarf_is_go(f))
		return ct_dwarf_go_results(p, f, v, 1) && v->where != CT_DWARF_NOWHERE;
	if (!mod || !f->has_die || !ct_dwarf_type_of(&die, &v->type))
		return false;
	v->has_type = true;
	n = dwfl_module_return_value_location(mod, &die, &ops);
	if (n <= 0)
		return false;
	ct_dwarf_locate(&l, NULL, ops, (size_t)n, v);
	return v->where != CT_DWARF_NOWHERE;
}
