/* SPDX-License-Identifier: MIT
 * Debug information: the modules of a process, functions by address and by name. */
#include <gelf.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/dwarf_priv.h"

#define MOST_SYMBOLS (4u << 20) /* of a module, that are looked through */

/* ---- texts that stay ---- */

static int compare_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

const char *ct_dwarf_keep(struct ct_dwarf *d, const char *text)
{
	char **have = tfind(text, &d->strings, compare_text);
	char *copy;

	if (have)
		return *have;
	copy = strdup(text);
	if (copy && !tsearch(copy, &d->strings, compare_text)) {
		free(copy);
		copy = NULL;
	}
	return copy;
}

/* ---- modules ---- */

struct ct_dwarf_image {
	struct ct_dwarf_image *next;
	size_t len;
	char data[];
};

/* Of a module that was reported without a file: an image in memory. */
static int find_elf(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base, char **file, Elf **elf)
{
	struct ct_dwarf_image *im = *userdata;

	(void)mod, (void)name, (void)base;
	*file = NULL;
	*elf = im ? elf_memory(im->data, im->len) : NULL;
	return -1;
}

static const Dwfl_Callbacks callbacks = {
	.find_elf = find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
	.section_address = dwfl_offline_section_address,
};

struct ct_dwarf *ct_dwarf_create(struct ct_error *err)
{
	struct ct_dwarf *d = calloc(1, sizeof(*d));

	if (d)
		d->dwfl = dwfl_begin(&callbacks);
	if (!d || !d->dwfl) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		free(d);
		return NULL;
	}
	return d;
}

void ct_dwarf_destroy(struct ct_dwarf *d)
{
	if (!d)
		return;
	dwfl_end(d->dwfl);
	while (d->images) {
		struct ct_dwarf_image *im = d->images;

		d->images = im->next;
		free(im);
	}
	tdestroy(d->strings, free);
	free(d);
}

void ct_dwarf_begin(struct ct_dwarf *d)
{
	dwfl_report_begin(d->dwfl);
}

int ct_dwarf_add(struct ct_dwarf *d, const char *path, int fd, ct_u64 start)
{
	/* It takes the descriptor only if all goes well. */
	if (dwfl_report_elf(d->dwfl, path, path, fd, start, false))
		return 0;
	close(fd);
	return -1;
}

int ct_dwarf_add_image(struct ct_dwarf *d, const char *name, const void *image, size_t len, ct_u64 start)
{
	Dwfl_Module *mod = dwfl_report_module(d->dwfl, name, start, start + len);
	struct ct_dwarf_image *im;
	void **userdata;

	if (!mod || !dwfl_module_info(mod, &userdata, NULL, NULL, NULL, NULL, NULL, NULL))
		return -1;
	if (*userdata)
		return 0; /* it was there before */
	im = malloc(sizeof(*im) + len);
	if (!im)
		return -1;
	*im = (struct ct_dwarf_image){.next = d->images, .len = len};
	memcpy(im->data, image, len);
	d->images = im; /* elfutils reads from it as long as it lives */
	*userdata = im;
	return 0;
}

void ct_dwarf_end(struct ct_dwarf *d)
{
	memset(d->recent, 0, sizeof(d->recent));
	dwfl_report_end(d->dwfl, NULL, NULL);
}

const char *ct_dwarf_module_at(struct ct_dwarf *d, ct_u64 addr)
{
	Dwfl_Module *mod = dwfl_addrmodule(d->dwfl, addr);
	const char *name = mod ? dwfl_module_info(mod, NULL, NULL, NULL, NULL, NULL, NULL, NULL) : NULL;

	return name ? ct_dwarf_keep(d, name) : NULL;
}

/* ---- units and scopes ---- */

bool ct_dwarf_unit_at(struct ct_dwarf *d, ct_u64 addr, Dwarf_Die *cu, ct_u64 *bias)
{
	Dwfl_Module *mod = dwfl_addrmodule(d->dwfl, addr);
	Dwarf_Addr b;
	Dwarf_Die *die = mod ? dwfl_module_addrdie(mod, addr, &b) : NULL;

	/* clang writes no .debug_aranges, which libdw's own look-up depends on. */
	if (mod && !die)
		while ((die = dwfl_module_nextcu(mod, die, &b)) && dwarf_haspc(die, addr - b) <= 0)
			;
	if (!die)
		return false;
	*cu = *die;
	*bias = b;
	return true;
}

static bool is_container(int tag)
{
	return tag == DW_TAG_namespace || tag == DW_TAG_class_type || tag == DW_TAG_structure_type ||
	       tag == DW_TAG_union_type || tag == DW_TAG_module;
}

/* `nested`: also in functions that do not have the address themselves: a lambda's code is described in the function
 * that makes it. */
static size_t scopes_in(Dwarf_Die *parent, Dwarf_Addr pc, Dwarf_Die *scopes, size_t room, bool nested)
{
	Dwarf_Die child;

	if (!room || dwarf_child(parent, &child))
		return 0;
	do {
		const int tag = dwarf_tag(&child);
		size_t n = 0;

		if (tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine ||
		    tag == DW_TAG_try_block || tag == DW_TAG_catch_block) {
			if (dwarf_haspc(&child, pc) > 0) {
				scopes[0] = child;
				return 1 + scopes_in(&child, pc, scopes + 1, room - 1, nested);
			}
			if (!nested || tag == DW_TAG_inlined_subroutine)
				continue;
			n = scopes_in(&child, pc, scopes, room, true);
		}
		if (is_container(tag))
			n = scopes_in(&child, pc, scopes, room, nested);
		if (n)
			return n;
	} while (!dwarf_siblingof(&child, &child));
	return 0;
}

size_t ct_dwarf_scopes(Dwarf_Die *cu, Dwarf_Addr pc, Dwarf_Die *scopes)
{
	const size_t n = scopes_in(cu, pc, scopes, CT_DWARF_DEEP, false);

	return n ? n : scopes_in(cu, pc, scopes, CT_DWARF_DEEP, true);
}

size_t ct_dwarf_scopes_in(const struct ct_dwarf_function *f, Dwarf_Addr pc, Dwarf_Die *scopes)
{
	scopes[0] = f->die;
	return 1 + scopes_in(&scopes[0], pc, scopes + 1, CT_DWARF_DEEP - 1, false);
}

/* The DIE that stands where the thing was declared: namespaces are around that one. */
static Dwarf_Die declaration(Dwarf_Die die)
{
	static const unsigned ways[] = {DW_AT_abstract_origin, DW_AT_specification};
	Dwarf_Attribute attr;
	Dwarf_Die to;

	for (unsigned hops = 0; hops < 8; hops++) {
		bool went = false;

		for (size_t i = 0; i < 2 && !went; i++)
			if (dwarf_attr(&die, ways[i], &attr) && dwarf_formref_die(&attr, &to)) {
				die = to;
				went = true;
			}
		if (!went)
			break;
	}
	return die;
}

const char *ct_dwarf_qualified(struct ct_dwarf *d, Dwarf_Die *die)
{
	Dwarf_Die at = declaration(*die), *around = NULL;
	const char *name = dwarf_diename(&at);
	char text[1024];
	size_t n = 0;
	int count;

	if (!name)
		name = dwarf_diename(die);
	if (!name)
		return NULL;
	count = dwarf_getscopes_die(&at, &around);
	for (int i = count - 1; i > 0; i--) {
		const char *outer = dwarf_diename(&around[i]);
		int put;

		if (!is_container(dwarf_tag(&around[i])))
			continue;
		put = snprintf(text + n, sizeof(text) - n, "%s::", outer ? outer : "(anonymous)");
		if (put > 0 && n + (size_t)put < sizeof(text))
			n += (size_t)put;
	}
	free(around);
	snprintf(text + n, sizeof(text) - n, "%s", name);
	return ct_dwarf_keep(d, text);
}

/* ---- functions by address ---- */

/* The range of the DIE that the address is in, or its first one. */
static bool range_of(Dwarf_Die *die, Dwarf_Addr pc, Dwarf_Addr *low, Dwarf_Addr *high)
{
	Dwarf_Addr base, from, to;
	ptrdiff_t off = 0;
	bool found = false;

	while ((off = dwarf_ranges(die, off, &base, &from, &to)) > 0)
		if (!found || (pc >= from && pc < to)) {
			*low = from;
			*high = to;
			found = true;
		}
	return found;
}

static bool by_die(struct ct_dwarf *d, ct_u64 addr, struct ct_dwarf_function *f)
{
	Dwarf_Die scopes[CT_DWARF_DEEP];
	size_t n;

	if (!ct_dwarf_unit_at(d, addr, &f->cu, &f->bias))
		return false;
	n = ct_dwarf_scopes(&f->cu, addr - f->bias, scopes);
	for (size_t i = n; i-- > 0;) {
		Dwarf_Addr entry = 0, low, high;

		if (dwarf_tag(&scopes[i]) != DW_TAG_subprogram || !range_of(&scopes[i], addr - f->bias, &low, &high))
			continue;
		f->die = scopes[i];
		f->has_die = true;
		f->low = low + f->bias;
		f->high = high + f->bias;
		f->entry = dwarf_entrypc(&scopes[i], &entry) ? f->low : entry + f->bias;
		f->name = ct_dwarf_qualified(d, &scopes[i]);
		return true;
	}
	return false;
}

static bool by_symbol(struct ct_dwarf *d, Dwfl_Module *mod, ct_u64 addr, struct ct_dwarf_function *f)
{
	GElf_Sym sym;
	GElf_Off offset;
	const char *name = dwfl_module_addrinfo(mod, addr, &offset, &sym, NULL, NULL, NULL);
	Dwarf_Addr end = 0;

	if (!name)
		return false;
	dwfl_module_info(mod, NULL, NULL, &end, NULL, NULL, NULL, NULL);
	f->name = ct_dwarf_keep(d, name);
	f->low = f->entry = addr - offset;
	f->high = sym.st_size ? f->low + sym.st_size : addr + 1;
	if (f->high <= addr)
		f->high = addr + 1;
	return f->name != NULL;
}

bool ct_dwarf_function_at(struct ct_dwarf *d, ct_u64 addr, struct ct_dwarf_function *f)
{
	Dwfl_Module *mod;

	for (size_t i = 0; i < CT_DWARF_RECENT; i++)
		if (addr - d->recent[i].low < d->recent[i].high - d->recent[i].low) {
			*f = d->recent[i];
			return true;
		}
	memset(f, 0, sizeof(*f));
	mod = dwfl_addrmodule(d->dwfl, addr);
	if (!mod || (!by_die(d, addr, f) && !by_symbol(d, mod, addr, f)))
		return false;
	f->module = ct_dwarf_module_at(d, addr);
	d->recent[d->next_recent++ % CT_DWARF_RECENT] = *f;
	return true;
}

void ct_dwarf_name_address(struct ct_dwarf *d, ct_u64 addr, char *text, size_t len)
{
	struct ct_dwarf_function f;
	const char *module;
	Dwarf_Addr start = 0;

	*text = 0;
	if (ct_dwarf_function_at(d, addr, &f) && f.name) {
		snprintf(text, len, addr == f.entry ? "%s" : "%s+%#llx", f.name, (unsigned long long)(addr - f.entry));
	} else if ((module = ct_dwarf_module_at(d, addr))) {
		dwfl_module_info(dwfl_addrmodule(d->dwfl, addr), NULL, &start, NULL, NULL, NULL, NULL, NULL);
		snprintf(text, len, "%s+%#llx", module, (unsigned long long)(addr - start));
	}
}

/* ---- functions by name ---- */

void ct_dwarf_list_add(struct ct_dwarf_list *l, ct_u64 addr)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 16;
		ct_u64 *more = realloc(l->addr, cap * sizeof(*more));

		if (!more) {
			l->failed = true;
			return;
		}
		l->addr = more;
		l->cap = cap;
	}
	l->addr[l->n++] = addr;
}

static int compare_addresses(const void *a, const void *b)
{
	const ct_u64 *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

void ct_dwarf_list_sort(struct ct_dwarf_list *l)
{
	size_t n = 0;

	if (l->n)
		qsort(l->addr, l->n, sizeof(*l->addr), compare_addresses);
	for (size_t i = 0; i < l->n; i++)
		if (!n || l->addr[n - 1] != l->addr[i])
			l->addr[n++] = l->addr[i];
	l->n = n;
}

void ct_dwarf_list_free(struct ct_dwarf_list *l)
{
	free(l->addr);
	*l = (struct ct_dwarf_list){0};
}

ct_u64 ct_dwarf_body(struct ct_dwarf *d, const struct ct_dwarf_function *f)
{
	Dwarf_Die die = f->die;
	Dwarf_Addr *at = NULL;
	ct_u64 body = f->entry;
	int n;

	(void)d;
	if (!f->has_die)
		return f->entry;
	n = dwarf_entry_breakpoints(&die, &at);
	for (int i = 0; i < n; i++)
		if (at[i] + f->bias - f->low < f->high - f->low) {
			body = at[i] + f->bias;
			break;
		}
	free(at);
	return body;
}

struct search {
	struct ct_dwarf *d;
	const char *name, *last; /* all of it, and what is behind its last :: */
	size_t len;
	ct_u64 bias;
	struct ct_dwarf_list *found;
};

/* Whether `full` is the name that is looked for, or ends with it after a ::. */
static bool is_named(const struct search *s, const char *full)
{
	size_t n = full ? strlen(full) : 0;

	return n >= s->len && !strcmp(full + n - s->len, s->name) &&
	       (n == s->len || (n > s->len + 1 && full[n - s->len - 1] == ':'));
}

static int inlined_here(Dwarf_Die *instance, void *arg)
{
	struct search *s = arg;
	Dwarf_Addr entry;

	if (!dwarf_entrypc(instance, &entry) && entry)
		ct_dwarf_list_add(s->found, entry + s->bias);
	return DWARF_CB_OK;
}

static void search_die(struct search *s, Dwarf_Die *parent, unsigned depth)
{
	Dwarf_Die child;

	if (depth > CT_DWARF_DEEP || dwarf_child(parent, &child))
		return;
	do {
		const int tag = dwarf_tag(&child);
		struct ct_dwarf_function f;
		const char *name, *linkage;
		Dwarf_Attribute attr;
		Dwarf_Addr low = 0, high = 0;

		if (is_container(tag))
			search_die(s, &child, depth + 1);
		if (tag != DW_TAG_subprogram)
			continue;
		name = dwarf_diename(&child);
		linkage = dwarf_formstring(dwarf_attr_integrate(&child, DW_AT_linkage_name, &attr));
		if ((!name || strcmp(name, s->last) != 0 || !is_named(s, ct_dwarf_qualified(s->d, &child))) &&
		    (!linkage || strcmp(linkage, s->name) != 0))
			continue;
		if (range_of(&child, 0, &low, &high) && low) {
			if (ct_dwarf_function_at(s->d, low + s->bias, &f))
				ct_dwarf_list_add(s->found, ct_dwarf_body(s->d, &f));
		} else if (dwarf_func_inline(&child) > 0) {
			dwarf_func_inline_instances(&child, inlined_here, s);
		}
	} while (!dwarf_siblingof(&child, &child));
}

static bool is_function(const GElf_Sym *sym, GElf_Word shndx)
{
	const int type = GELF_ST_TYPE(sym->st_info);

	return shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_GNU_IFUNC);
}

struct symbol_search {
	const char *name;
	size_t len;
	struct ct_dwarf_list *found;
};

static int search_symbols(Dwfl_Module *mod, void **userdata, const char *module, Dwarf_Addr start, void *arg)
{
	const struct symbol_search *s = arg;
	const int n = dwfl_module_getsymtab(mod);

	(void)userdata, (void)module, (void)start;
	for (int i = 1; i < n && (unsigned)i < MOST_SYMBOLS; i++) {
		GElf_Word shndx = 0;
		GElf_Addr addr;
		GElf_Sym sym;
		const char *name = dwfl_module_getsym_info(mod, i, &sym, &addr, &shndx, NULL, NULL);

		/* Versions stand behind an @. */
		if (name && !strncmp(name, s->name, s->len) && (!name[s->len] || name[s->len] == '@') &&
		    is_function(&sym, shndx))
			ct_dwarf_list_add(s->found, addr);
	}
	return DWARF_CB_OK;
}

void ct_dwarf_symbols(struct ct_dwarf *d, const char *name, struct ct_dwarf_list *found)
{
	struct symbol_search symbols = {name, strlen(name), found};

	dwfl_getmodules(d->dwfl, search_symbols, &symbols, 0);
}

int ct_dwarf_find_functions(struct ct_dwarf *d, const char *name, struct ct_dwarf_list *found, struct ct_error *err)
{
	const char *colon = strrchr(name, ':');
	struct search s = {.d = d, .name = name, .last = colon ? colon + 1 : name, .len = strlen(name), .found = found};
	Dwarf_Die *cu = NULL;
	Dwarf_Addr bias;

	if (!s.len)
		return ct_fail(err, CT_EXIT_USAGE, "the function has no name");
	while ((cu = dwfl_nextcu(d->dwfl, cu, &bias))) {
		s.bias = bias;
		search_die(&s, cu, 0);
	}
	if (!found->n)
		ct_dwarf_symbols(d, name, found);
	ct_dwarf_list_sort(found);
	return found->failed ? ct_fail(err, CT_EXIT_FAILED, "out of memory") : 0;
}

ct_u64 ct_dwarf_symbol(struct ct_dwarf *d, const char *name)
{
	struct ct_dwarf_list found = {0};
	ct_u64 addr;

	ct_dwarf_symbols(d, name, &found);
	addr = found.n ? found.addr[0] : 0;
	ct_dwarf_list_free(&found);
	return addr;
}
