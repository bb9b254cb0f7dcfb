// SPDX-License-Identifier: MIT
/* Which native functions are chosen, among those that debug information describes, and where to stop for them. */
#include <stdlib.h>
#include <string.h>

#include "replay/steps/native_priv.h"

#define NAME_LEN 256

/* Nim's compiler makes C of it; lines and files are those of the source. */
static bool is_nim(const char *file)
{
	const size_t len = strlen(file);

	return len > 4 && !strcmp(file + len - 4, ".nim");
}

/* The name as it is in the source: Nim's are followed by __MODULE_NUMBER. */
static const char *source_name(const char *name, const char *file, char *text, size_t len)
{
	const char *end = is_nim(file) ? strstr(name, "__") : NULL;

	if (!end || end == name || (size_t)(end - name) >= len)
		return name;
	memcpy(text, name, (size_t)(end - name));
	text[end - name] = 0;
	return text;
}

/* Numbers of DWARF; C's and C++'s have one for each standard. */
static const char *language_of(const struct ct_dwarf_function *f, const char *file)
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

	if (is_nim(file))
		return "nim";
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
	return NATIVE_TELL(language, f->language ? f->language : "native")
		       ? -1
		       : NATIVE_TELL(function, f->id, f->file_id, f->name, f->line);
}

/* ---- functions ---- */

struct found {
	struct ct_native *n;
	struct native_image *im;
	size_t module; /* at hand */
	struct inlined {
		const void *origin;
		ct_u32 function;
	} * inlined;
	size_t ninlined;
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

static bool is_chosen(void *ctx, const char *name, const char *file)
{
	const struct found *c = ctx;
	char text[NAME_LEN];

	return ct_step_wanted(c->n->filter, file, source_name(name, file, text, sizeof(text)));
}

/* Its number; NONE: out of memory. */
static ct_u32 add_function(struct found *c, const char *name, const char *file, ct_u32 line, const char *language)
{
	struct ct_native *n = c->n;
	struct native_function *more;
	char text[NAME_LEN];

	name = source_name(name, file, text, sizeof(text));
	for (size_t i = 0; i < n->nfunctions; i++)
		if (n->function[i].line == line && !strcmp(n->function[i].name, name) &&
		    !strcmp(n->function[i].file, file))
			return (ct_u32)i;
	more = realloc(n->function, (n->nfunctions + 1) * sizeof(*more));
	if (more) {
		n->function = more;
		more[n->nfunctions] = (struct native_function){
			.name = strdup(name), .file = strdup(file), .line = line, .language = language};
		n->nfunctions++;
		ct_agents_unresumable(n->agents); /* its open calls are not saved */
	}
	c->failed |= !more || !more[n->nfunctions - 1].name || !more[n->nfunctions - 1].file;
	return c->failed ? NATIVE_NONE : (ct_u32)(n->nfunctions - 1);
}

static void take_inlined(void *ctx, const void *origin, const char *name, const char *file, ct_u32 line)
{
	struct found *c = ctx;
	struct inlined *more = c->ninlined & (c->ninlined - 1)
				       ? c->inlined
				       : realloc(c->inlined, (c->ninlined ? 2 * c->ninlined : 1) * sizeof(*more));

	c->failed |= !more;
	if (!more)
		return;
	c->inlined = more;
	more[c->ninlined++] = (struct inlined){origin, add_function(c, name, file, line, NULL)};
}

static ct_u32 inlined_function(const struct found *c, const struct ct_dwarf_function *f, const void *origin)
{
	for (size_t i = 0; i < c->ninlined; i++)
		if (c->inlined[i].origin == origin) {
			struct native_function *function = &c->n->function[c->inlined[i].function];

			if (!function->language)
				function->language = language_of(f, function->file);
			return c->inlined[i].function;
		}
	return NATIVE_NONE;
}

static void free_one(struct native_code *code)
{
	ct_dwarf_scopes_free(&code->scopes);
	free(code->function);
}

static bool take_function(void *ctx, const struct ct_dwarf_function *f, const char *file, ct_u32 line, bool chosen)
{
	struct found *c = ctx;
	struct ct_native *n = c->n;
	struct native_image *im = c->im;
	struct native_code code = {.f = *f}, *more;
	struct ct_dwarf_line first;
	bool any = chosen;

	if (c->failed || ct_dwarf_scopes_of(f, &code.scopes, NULL) ||
	    !(code.function = malloc(code.scopes.n * sizeof(*code.function)))) {
		ct_dwarf_scopes_free(&code.scopes);
		c->failed = true;
		return false;
	}
	for (size_t i = 0; i < code.scopes.n; i++) {
		code.function[i] = i ? inlined_function(c, f, code.scopes.list[i].origin) : NATIVE_NONE;
		any |= code.function[i] != NATIVE_NONE;
	}
	if (chosen && !line && ct_dwarf_line_at(ct_symbols_dwarf(im->symbols), f->entry, &first))
		line = first.line; /* Go's compiler does not say */
	if (chosen)
		code.function[0] = add_function(c, f->name, file, line, language_of(f, file));
	more = any && !(im->ncode & (im->ncode - 1))
		       ? realloc(im->code, (im->ncode ? 2 * im->ncode : 1) * sizeof(*more))
		       : im->code;
	if (!any || c->failed || !more) {
		free_one(&code);
		c->failed |= any && !more;
		return !c->failed;
	}
	im->code = more;
	more[im->ncode++] = code;
	n->module[c->module].any = true;
	return true;
}

static int by_entry(const void *a, const void *b)
{
	const struct native_code *x = a, *y = b;

	return x->f.entry < y->f.entry ? -1 : x->f.entry > y->f.entry;
}

/* Of what stands in several units one is enough. */
static void drop_doubles(struct native_image *im)
{
	size_t kept = 0;

	for (size_t i = 0; i < im->ncode; i++)
		if (kept && im->code[kept - 1].f.entry == im->code[i].f.entry)
			free_one(&im->code[i]);
		else
			im->code[kept++] = im->code[i];
	im->ncode = kept;
}

const struct native_code *ct_native_code(const struct native_image *im, ct_u64 entry)
{
	const struct native_code key = {.f = {.entry = entry}};

	return im->ncode ? bsearch(&key, im->code, im->ncode, sizeof(key), by_entry) : NULL;
}

/* ---- points ---- */

static struct native_point *add_point(struct native_image *im, ct_u64 addr, unsigned what)
{
	struct native_point *more = im->point;

	if (!(im->npoints & (im->npoints - 1))) {
		more = realloc(im->point, (im->npoints ? im->npoints * 2 : 1) * sizeof(*more));
		if (!more)
			return NULL;
		im->point = more;
	}
	more[im->npoints] = (struct native_point){.addr = addr, .what = what};
	return &more[im->npoints++];
}

struct lines {
	struct ct_native *n;
	struct native_image *im;
	ct_u32 code;
	bool failed;
};

/* A line of another file than its function's, that of an iterator of Nim or an included text, is not told of: 0. */
static void take_line(void *ctx, ct_u64 addr, const char *file, ct_u32 line)
{
	struct lines *c = ctx;
	const struct native_code *code = &c->im->code[c->code];
	const ct_u32 function = code->function[ct_dwarf_scope_at(&code->scopes, addr)];
	struct native_point *p;

	if (function != NATIVE_NONE && strcmp(c->n->function[function].file, file) != 0)
		line = 0;
	p = add_point(c->im, addr, NATIVE_LINE);
	c->failed |= !p;
	if (p) {
		p->code = c->code;
		p->scope = ct_dwarf_scope_at(&c->im->code[c->code].scopes, addr);
		p->line = line;
	}
}

static int by_address(const void *a, const void *b)
{
	const struct native_point *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static void sort_points(struct native_image *im)
{
	size_t count = 0;

	if (im->npoints)
		qsort(im->point, im->npoints, sizeof(*im->point), by_address);
	for (size_t i = 0; i < im->npoints; i++) {
		struct native_point *p = &im->point[i], *last = count ? &im->point[count - 1] : NULL;

		if (!last || last->addr != p->addr) {
			im->point[count++] = *p;
			continue;
		}
		if (!(last->what & (NATIVE_LINE | NATIVE_ENTRY)) && (p->what & (NATIVE_LINE | NATIVE_ENTRY)))
			last->code = p->code;
		if (p->what & NATIVE_LINE) {
			last->line = p->line;
			last->scope = p->scope;
		}
		last->what |= p->what;
	}
	im->npoints = count;
}

const struct native_point *ct_native_point(const struct native_image *im, ct_u64 addr)
{
	const struct native_point key = {.addr = addr};

	return im->npoints ? bsearch(&key, im->point, im->npoints, sizeof(key), by_address) : NULL;
}

/* Those of the run-time libraries, by which exceptions and jumps are seen. */
static bool add_library(struct native_image *im)
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
		ct_dwarf_symbols(ct_symbols_dwarf(im->symbols), symbols[i].name, &found);
		failed = found.failed;
		for (size_t k = 0; k < found.n && !failed; k++)
			failed = !add_point(im, found.addr[k], symbols[i].what);
		ct_dwarf_list_free(&found);
		if (failed)
			return false;
	}
	return true;
}

int ct_native_arm(struct ct_native *n, const struct native_image *im, struct ct_error *err)
{
	struct ct_stop *list = calloc(im->npoints + 1, sizeof(*list));
	int ret;

	if (!list)
		return ct_fail_memory(err);
	for (size_t i = 0; i < im->npoints; i++)
		list[i] = (struct ct_stop){.kind = CT_STOP_EXEC, .addr = im->point[i].addr};
	ret = ct_session_set_stops(n->s, im->pid[0], list, im->npoints, err);
	free(list);
	return ret;
}

int ct_native_add_return(struct ct_native *n, struct native_image *im, ct_u64 addr, struct ct_error *err)
{
	struct native_point *p = (struct native_point *)ct_native_point(im, addr);

	if (p) {
		p->what |= NATIVE_RETURN;
		return 0;
	}
	if (!add_point(im, addr, NATIVE_RETURN))
		return ct_fail_memory(err);
	sort_points(im);
	return ct_native_arm(n, im, err);
}

/* Where calls that are going on return to. */
static bool add_returns(const struct ct_native *n, struct native_image *im)
{
	for (size_t i = 0; i < n->nthreads; i++)
		for (size_t k = 0; k < n->thread[i].depth && ct_native_image(n, n->thread[i].pid) == im; k++)
			if (n->thread[i].frame[k].ret && !add_point(im, n->thread[i].frame[k].ret, NATIVE_RETURN))
				return false;
	return true;
}

int ct_native_look(struct ct_native *n, struct native_image *im, struct ct_error *err)
{
	struct found found = {.n = n, .im = im};
	struct ct_dwarf *d = ct_symbols_dwarf(im->symbols);

	ct_native_free_points(im);
	ct_dwarf_functions(d, &(struct ct_dwarf_walk){take_module, is_chosen, take_inlined, take_function, &found});
	free(found.inlined);
	if (found.failed)
		return ct_fail_memory(err);
	if (im->ncode)
		qsort(im->code, im->ncode, sizeof(*im->code), by_entry);
	drop_doubles(im);
	for (size_t i = 0; i < im->ncode; i++) {
		struct lines lines = {n, im, (ct_u32)i, false};
		struct native_point *p = add_point(im, im->code[i].f.entry, NATIVE_ENTRY);

		if (p)
			p->code = (ct_u32)i;
		ct_dwarf_statements(d, &im->code[i].f, take_line, &lines);
		if (!p || lines.failed)
			return ct_fail_memory(err);
	}
	if (im->ncode && (!add_library(im) || !add_returns(n, im)))
		return ct_fail_memory(err);
	sort_points(im);
	return ct_native_arm(n, im, err);
}

void ct_native_free_points(struct native_image *im)
{
	for (size_t i = 0; i < im->ncode; i++)
		free_one(&im->code[i]);
	free(im->code);
	free(im->point);
	im->code = NULL;
	im->point = NULL;
	im->ncode = im->npoints = 0;
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
}
