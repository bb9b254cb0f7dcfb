// SPDX-License-Identifier: MIT
/* Which native functions are chosen, among those that debug information describes, and where to stop for them. */
#include <stdlib.h>
#include <string.h>

#include "replay/steps/native_priv.h"

/* Numbers of DWARF; C's and C++'s have one for each standard. */
static const char *language_of(const struct ct_dwarf_function *f)
{
	static const struct {
		int number;
		const char *name;
	} names[] = {
		{DW_LANG_C89, "c"},
		{DW_LANG_C, "c"},
		{DW_LANG_C99, "c"},
		{DW_LANG_C11, "c"},
		{0x3e /* C17 */, "c"},
		{DW_LANG_C_plus_plus, "c++"},
		{DW_LANG_C_plus_plus_03, "c++"},
		{DW_LANG_C_plus_plus_11, "c++"},
		{DW_LANG_C_plus_plus_14, "c++"},
		{0x2b /* C++17 */, "c++"},
		{0x2c /* C++20 */, "c++"},
		{DW_LANG_Rust, "rust"},
		{DW_LANG_Go, "go"},
		{DW_LANG_D, "d"},
		{DW_LANG_Fortran90, "fortran"},
		{DW_LANG_Fortran95, "fortran"},
		{DW_LANG_Fortran03, "fortran"},
		{DW_LANG_Fortran08, "fortran"},
		{0x27 /* Zig */, "zig"},
	};
	const int number = ct_dwarf_language(f);

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].number == number)
			return names[i].name;
	return "native";
}

/* ---- what the sink knows ---- */

static int tell_file(struct ct_native *n, const char *path, ct_u32 *id, struct ct_error *err)
{
	char **more;

	for (size_t i = 0; i < n->nfiles; i++)
		if (!strcmp(n->file[i], path)) {
			*id = (ct_u32)i;
			return 0;
		}
	more = realloc(n->file, (n->nfiles + 1) * sizeof(*more));
	if (more)
		n->file = more;
	if (!more || !(more[n->nfiles] = strdup(path)))
		return ct_fail_memory(err);
	*id = (ct_u32)n->nfiles++;
	return NATIVE_TELL(file, *id, path);
}

int ct_native_tell_function(struct ct_native *n, ct_u32 function, struct ct_error *err)
{
	struct native_function *f = &n->function[function];
	ct_u32 next = 0;

	if (f->told)
		return 0;
	if (tell_file(n, f->file, &f->file_id, err))
		return -1;
	for (size_t i = 0; i < n->nfunctions; i++)
		next += n->function[i].told;
	f->id = next;
	f->told = true;
	return NATIVE_TELL(language, f->language) ? -1 : NATIVE_TELL(function, f->id, f->file_id, f->name, f->line);
}

/* ---- functions ---- */

struct found {
	struct ct_native *n;
	size_t module; /* at hand */
	bool failed;
};

/* One in which nothing was chosen is not looked through again: there is much to read in some. */
static bool take_module(void *ctx, const char *name, ct_u64 start)
{
	struct found *c = ctx;
	struct ct_native *n = c->n;
	struct native_module *more;

	for (c->module = 0; c->module < n->nmodules; c->module++)
		if (n->module[c->module].start == start && !strcmp(n->module[c->module].name, name))
			return n->module[c->module].any;
	more = realloc(n->module, (n->nmodules + 1) * sizeof(*more));
	if (more)
		n->module = more;
	if (!more || !(more[n->nmodules].name = strdup(name))) {
		c->failed = true;
		return false;
	}
	more[n->nmodules].start = start;
	more[n->nmodules++].any = false;
	return true;
}

static bool take_function(void *ctx, const struct ct_dwarf_function *f, const char *file, ct_u32 line)
{
	struct found *c = ctx;
	struct ct_native *n = c->n;
	struct native_function *more, *to = NULL;
	struct ct_dwarf_line first;

	if (!ct_step_wanted(n->filter, file, f->name))
		return true;
	n->module[c->module].any = true;
	for (size_t i = 0; i < n->nfunctions && !to; i++)
		if (n->function[i].f.entry == f->entry && !strcmp(n->function[i].name, f->name) &&
		    !strcmp(n->function[i].file, file))
			to = &n->function[i];
	if (!line && ct_dwarf_line_at(ct_symbols_dwarf(n->symbols), f->entry, &first))
		line = first.line; /* Go's compiler does not say */
	if (!to) {
		more = realloc(n->function, (n->nfunctions + 1) * sizeof(*more));
		if (more)
			n->function = more;
		to = more ? &more[n->nfunctions] : NULL;
		c->failed |= !to;
		if (!to)
			return false;
		*to = (struct native_function){
			.name = strdup(f->name), .file = strdup(file), .line = line, .language = language_of(f)};
		n->nfunctions++;
		ct_agents_unresumable(n->agents); /* its open calls are not saved */
		c->failed |= !to->name || !to->file;
	}
	to->f = *f;
	to->live = true;
	return !c->failed;
}

const struct native_function *ct_native_function(const struct ct_native *n, ct_u64 entry)
{
	for (size_t i = 0; i < n->nfunctions; i++)
		if (n->function[i].live && n->function[i].f.entry == entry)
			return &n->function[i];
	return NULL;
}

/* ---- points ---- */

static struct native_point *add_point(struct ct_native *n, ct_u64 addr, unsigned what)
{
	struct native_point *more = n->point;

	if (!(n->npoints & (n->npoints - 1))) {
		more = realloc(n->point, (n->npoints ? n->npoints * 2 : 1) * sizeof(*more));
		if (!more)
			return NULL;
		n->point = more;
	}
	more[n->npoints] = (struct native_point){.addr = addr, .what = what};
	return &more[n->npoints++];
}

struct lines {
	struct ct_native *n;
	ct_u32 function;
	bool failed;
};

static void take_line(void *ctx, ct_u64 addr, ct_u32 line)
{
	struct lines *c = ctx;
	struct native_point *p = add_point(c->n, addr, NATIVE_LINE);

	c->failed |= !p;
	if (p) {
		p->function = c->function;
		p->line = line;
	}
}

static int by_address(const void *a, const void *b)
{
	const struct native_point *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static void sort_points(struct ct_native *n)
{
	size_t count = 0;

	if (n->npoints)
		qsort(n->point, n->npoints, sizeof(*n->point), by_address);
	for (size_t i = 0; i < n->npoints; i++) {
		struct native_point *p = &n->point[i], *last = count ? &n->point[count - 1] : NULL;

		if (!last || last->addr != p->addr) {
			n->point[count++] = *p;
			continue;
		}
		if (!(last->what & (NATIVE_LINE | NATIVE_ENTRY)) && (p->what & (NATIVE_LINE | NATIVE_ENTRY)))
			last->function = p->function;
		if (p->what & NATIVE_LINE)
			last->line = p->line;
		last->what |= p->what;
	}
	n->npoints = count;
}

const struct native_point *ct_native_point(const struct ct_native *n, ct_u64 addr)
{
	const struct native_point key = {.addr = addr};

	return n->npoints ? bsearch(&key, n->point, n->npoints, sizeof(key), by_address) : NULL;
}

/* Those of the run-time libraries, by which exceptions and jumps are seen. */
static bool add_library(struct ct_native *n)
{
	static const struct {
		const char *name;
		unsigned what;
	} symbols[] = {
		{"__cxa_throw", NATIVE_THROW},
		{"__cxa_rethrow", NATIVE_RETHROW},
		{"__cxa_begin_catch", NATIVE_CATCH},
		{"_Unwind_RaiseException", NATIVE_RAISE},
		{"_Unwind_ForcedUnwind", NATIVE_RAISE},
		{"_Unwind_Resume", NATIVE_RESUME},
		{"setjmp", NATIVE_SETJMP},
		{"_setjmp", NATIVE_SETJMP},
		{"__sigsetjmp", NATIVE_SETJMP},
		{"longjmp", NATIVE_LONGJMP},
		{"siglongjmp", NATIVE_LONGJMP},
		{"__longjmp_chk", NATIVE_LONGJMP},
	};

	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols); i++) {
		struct ct_dwarf_list found = {0};
		bool failed;

		/* The C library has some of its own. */
		ct_dwarf_symbols(ct_symbols_dwarf(n->symbols), symbols[i].name, &found);
		failed = found.failed;
		for (size_t k = 0; k < found.n && !failed; k++)
			failed = !add_point(n, found.addr[k], symbols[i].what);
		ct_dwarf_list_free(&found);
		if (failed)
			return false;
	}
	return true;
}

int ct_native_arm(struct ct_native *n, struct ct_error *err)
{
	struct ct_stop *list = calloc(n->npoints + 1, sizeof(*list));
	int ret;

	if (!list)
		return ct_fail_memory(err);
	for (size_t i = 0; i < n->npoints; i++)
		list[i] = (struct ct_stop){.kind = CT_STOP_EXEC, .addr = n->point[i].addr};
	ret = ct_session_set_stops(n->s, n->pid, list, n->npoints, err);
	free(list);
	return ret;
}

int ct_native_add_return(struct ct_native *n, ct_u64 addr, struct ct_error *err)
{
	struct native_point *p = (struct native_point *)ct_native_point(n, addr);

	if (p) {
		p->what |= NATIVE_RETURN;
		return 0;
	}
	if (!add_point(n, addr, NATIVE_RETURN))
		return ct_fail_memory(err);
	sort_points(n);
	return ct_native_arm(n, err);
}

int ct_native_look(struct ct_native *n, struct ct_error *err)
{
	struct found found = {.n = n};
	bool any = false;

	for (size_t i = 0; i < n->nfunctions; i++)
		n->function[i].live = false;
	ct_dwarf_functions(ct_symbols_dwarf(n->symbols), &(struct ct_dwarf_walk){take_module, take_function, &found});
	if (found.failed)
		return ct_fail_memory(err);
	n->npoints = 0;
	for (size_t i = 0; i < n->nfunctions; i++) {
		struct lines lines = {n, (ct_u32)i, false};
		struct native_function *f = &n->function[i];
		struct native_point *p;

		if (!f->live)
			continue;
		any = true;
		p = add_point(n, f->f.entry, NATIVE_ENTRY);
		if (p)
			p->function = (ct_u32)i;
		ct_dwarf_statements(ct_symbols_dwarf(n->symbols), &f->f, take_line, &lines);
		if (!p || lines.failed)
			return ct_fail_memory(err);
	}
	if (any && !add_library(n))
		return ct_fail_memory(err);
	for (size_t i = 0; i < n->nthreads; i++)
		for (size_t k = 0; k < n->thread[i].depth; k++)
			if (n->thread[i].frame[k].ret && !add_point(n, n->thread[i].frame[k].ret, NATIVE_RETURN))
				return ct_fail_memory(err);
	sort_points(n);
	return ct_native_arm(n, err);
}

void ct_native_free_code(struct ct_native *n)
{
	for (size_t i = 0; i < n->nfunctions; i++) {
		free(n->function[i].name);
		free(n->function[i].file);
	}
	for (size_t i = 0; i < n->nmodules; i++)
		free(n->module[i].name);
	for (size_t i = 0; i < n->nfiles; i++)
		free(n->file[i]);
	free(n->module);
	free(n->function);
	free(n->file);
	free(n->point);
}
