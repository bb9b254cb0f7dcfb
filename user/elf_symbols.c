/* SPDX-License-Identifier: MIT
 * Symbol tables by libelf, demangling by libiberty, .gnu_debugdata (an xz-compressed ELF file) by liblzma. */
#include "elf_symbols.h"

#include <fnmatch.h>
#include <gelf.h>
#include <libiberty/demangle.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>

#include "user/attach/insn_image.h"

#define DEBUGDATA_MAX (256u << 20) /* bytes, decompressed */

struct reading {
	const struct ct_image *im; /* where addresses are in the file */
	const char *const *globs;
	size_t nglobs;
	struct ct_elf_symbols *out;
	bool nim;    /* of the Nim compiler, which names functions in its own way */
	bool inner;  /* what is read is .gnu_debugdata: whatever it has of its own is not looked at */
	bool failed; /* no memory */
};

/* ---- names --------------------------------------------------------------------------------------------- */

static bool mangled(const char *name)
{
	return (name[0] == '_' && (name[1] == 'Z' || name[1] == 'R' || name[1] == 'D')) || !strncmp(name, "__R", 3);
}

static bool fits_parts(const char *glob, const char *name)
{
	for (const char *at = name; at; at = strstr(at, "::"), at = at ? at + 2 : NULL)
		if (!fnmatch(glob, at, 0))
			return true;
	return false;
}

/* Nim's NAME__MODULE_NUMBER or NAME__MODULE_uNUMBER as MODULE.NAME, malloc'ed; NULL: it is none of these. */
static char *nim_name(const char *raw)
{
	const char *module = NULL, *end = strrchr(raw, '_'), *number = end ? end + 1 : "";
	char *name;

	for (const char *at = raw; (at = strstr(at, "__")); at++)
		module = at + 2;
	number += *number == 'u';
	if (!module || module == raw + 2 || module >= end || !*number || number[strspn(number, "0123456789")])
		return NULL;
	return asprintf(&name, "%.*s.%.*s", (int)(end - module), module, (int)(module - 2 - raw), raw) < 0 ? NULL
													   : name;
}

static bool fits(const struct reading *r, const char *raw, const char *plain)
{
	const char *dot = r->nim && plain ? strrchr(plain, '.') : NULL;

	for (size_t i = 0; i < r->nglobs; i++)
		if (!fnmatch(r->globs[i], raw, 0) || (plain && fits_parts(r->globs[i], plain)) ||
		    (dot && !fnmatch(r->globs[i], dot + 1, 0)))
			return true;
	return false;
}

/* Length of the name without what gcc appends to copies of a function that stand for the whole of it. */
static size_t whole_name(const char *raw)
{
	static const char *const copies[] = {".isra.", ".constprop.", ".lto_priv."};
	size_t len = strlen(raw);

	for (size_t i = 0; i < sizeof(copies) / sizeof(*copies); i++) {
		const char *at = strstr(raw, copies[i]);

		if (at && (size_t)(at - raw) < len)
			len = (size_t)(at - raw);
	}
	return len;
}

/* Its name as it is shown, malloc'ed, if it is asked for; else NULL. */
static char *wanted_name(struct reading *r, const char *symbol)
{
	char *raw = strndup(symbol, whole_name(symbol)), *plain, *full = NULL;

	plain = !raw ? NULL : mangled(raw) ? cplus_demangle(raw, DMGL_ANSI | DMGL_AUTO) : r->nim ? nim_name(raw) : NULL;
	if (raw && fits(r, raw, plain)) {
		if (plain && mangled(raw))
			full = cplus_demangle(raw, DMGL_PARAMS | DMGL_ANSI | DMGL_AUTO);
		if (!full)
			full = strdup(plain ? plain : raw);
	}
	r->failed |= !raw;
	free(plain);
	free(raw);
	return full;
}

/* ---- tables -------------------------------------------------------------------------------------------- */

/* Among aliases: what others link to, then what has the fewest underscores in front. */
static ct_u8 rank_of(const GElf_Sym *sym, const char *name)
{
	unsigned bind = GELF_ST_BIND(sym->st_info);
	size_t under = strspn(name, "_");

	return (ct_u8)((bind == STB_GLOBAL ? 0 : bind == STB_WEAK ? 16 : 32) + (under < 15 ? under : 15));
}

static bool locate(const struct ct_image *im, struct ct_elf_symbol *s)
{
	for (size_t i = 0; i < im->nexec; i++) {
		const struct ct_segment *g = &im->exec[i];

		if (s->addr < g->vaddr || s->addr - g->vaddr >= g->size)
			continue;
		s->offset = g->off + (s->addr - g->vaddr);
		s->room = g->size - (s->addr - g->vaddr);
		s->room = s->room < s->size ? s->room : s->size;
		return true;
	}
	return false;
}

static void add(struct reading *r, const GElf_Sym *sym, const char *name)
{
	struct ct_elf_symbols *out = r->out;
	struct ct_elf_symbol s = {.addr = sym->st_value, .size = sym->st_size, .rank = rank_of(sym, name)};
	size_t len = strlen(name);

	if (!locate(r->im, &s))
		return;
	if (len > 5 && strstr(name, ".cold")) {
		s.cold = 1;
		if (ct_image_grow(&out->cold, &out->cold_cap, out->ncold, sizeof(s)))
			r->failed = true;
		else
			out->cold[out->ncold++] = s;
		return;
	}
	out->functions++;
	s.name = wanted_name(r, name);
	if (!s.name)
		return;
	if (ct_image_grow(&out->v, &out->cap, out->n, sizeof(s))) {
		r->failed = true;
		free(s.name);
		return;
	}
	out->v[out->n++] = s;
}

/* Calls f for every symbol of the section; false if it has said so. */
static bool each_symbol(Elf *elf, Elf_Scn *scn, bool (*f)(void *ctx, const GElf_Sym *sym, const char *name), void *ctx)
{
	Elf_Data *data = NULL;
	GElf_Shdr sh;

	if (!gelf_getshdr(scn, &sh) || !sh.sh_entsize || !(data = elf_getdata(scn, NULL)))
		return true;
	for (size_t i = 0; i < data->d_size / sh.sh_entsize; i++) {
		GElf_Sym sym;
		const char *name;

		if (!gelf_getsym(data, (int)i, &sym))
			continue;
		name = elf_strptr(elf, sh.sh_link, sym.st_name);
		if (name && *name && !f(ctx, &sym, name))
			return false;
	}
	return true;
}

static bool on_symbol(void *ctx, const GElf_Sym *sym, const char *name)
{
	struct reading *r = ctx;

	/* Its own, or one that it refers to. */
	r->out->unwinds |= mangled(name) || !strncmp(name, "_Unwind_", 8);
	/* Without a size nothing says where it ends. An indirect function's symbol is its resolver's. */
	if (GELF_ST_TYPE(sym->st_info) == STT_FUNC && sym->st_size && sym->st_shndx != SHN_UNDEF)
		add(r, sym, name);
	return !r->failed;
}

static bool is_nim(void *ctx, const GElf_Sym *sym, const char *name)
{
	struct reading *r = ctx;

	r->nim |= sym->st_shndx != SHN_UNDEF && !strcmp(name, "NimMain");
	return !r->nim;
}

static void read_elf(struct reading *r, Elf *elf);

static void read_debugdata(struct reading *r, Elf_Scn *scn)
{
	Elf_Data *data = elf_rawdata(scn, NULL);
	uint64_t limit = DEBUGDATA_MAX;
	size_t in = 0, out = 0, room = data ? data->d_size * 4 + 65536 : 0;
	lzma_ret ret = LZMA_BUF_ERROR;
	uint8_t *to = NULL;

	while (data && room <= DEBUGDATA_MAX && ret == LZMA_BUF_ERROR) {
		uint8_t *more = realloc(to, room);

		if (!more)
			break;
		to = more;
		in = out = 0;
		ret = lzma_stream_buffer_decode(&limit, 0, NULL, data->d_buf, &in, data->d_size, to, &out, room);
		room *= 2;
	}
	if (ret == LZMA_OK) {
		Elf *inner = elf_memory((char *)to, out);

		if (inner) {
			r->inner = true;
			read_elf(r, inner);
			r->inner = false;
			elf_end(inner);
		}
	}
	free(to);
}

static void read_elf(struct reading *r, Elf *elf)
{
	size_t names;
	Elf_Scn *scn = NULL;

	if (elf_getshdrstrndx(elf, &names))
		return;
	while (!r->nim && (scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;

		if (gelf_getshdr(scn, &sh) && (sh.sh_type == SHT_SYMTAB || sh.sh_type == SHT_DYNSYM))
			each_symbol(elf, scn, is_nim, r);
	}
	scn = NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		const char *name = gelf_getshdr(scn, &sh) ? elf_strptr(elf, names, sh.sh_name) : NULL;

		if (!name)
			continue;
		if (sh.sh_type == SHT_SYMTAB || sh.sh_type == SHT_DYNSYM)
			each_symbol(elf, scn, on_symbol, r);
		else if (!strcmp(name, ".gnu_debugdata") && !r->inner)
			read_debugdata(r, scn);
		r->out->go |= !strcmp(name, ".gopclntab");
		r->out->unwinds |= !strcmp(name, ".gcc_except_table");
	}
}

/* ---- the file ------------------------------------------------------------------------------------------ */

static int by_addr(const void *a, const void *b)
{
	const struct ct_elf_symbol *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr > y->addr ? 1 : -1;
	return x->rank - y->rank;
}

static void sort(struct ct_elf_symbols *s)
{
	size_t n = 0;

	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), by_addr);
	if (s->ncold)
		qsort(s->cold, s->ncold, sizeof(*s->cold), by_addr);
	for (size_t i = 0; i < s->n; i++) {
		if (n && s->v[n - 1].addr == s->v[i].addr)
			free(s->v[i].name);
		else
			s->v[n++] = s->v[i];
	}
	s->n = n;
}

static Elf *open_elf(int fd, const char *path, struct ct_error *err)
{
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf)
		ct_fail(err, CT_EXIT_FAILED, "%s: its symbols cannot be read: %s", path, elf_errmsg(-1));
	return elf;
}

int ct_elf_symbols_read(int fd, const char *path, const char *const *globs, size_t nglobs, struct ct_elf_symbols *out,
			struct ct_error *err)
{
	struct ct_image im;
	struct reading r = {.im = &im, .globs = globs, .nglobs = nglobs, .out = out};
	Elf *elf;

	memset(out, 0, sizeof(*out));
	if (ct_image_open(&im, fd, path, err))
		return -1;
	elf = open_elf(fd, path, err);
	if (elf) {
		read_elf(&r, elf);
		elf_end(elf);
	}
	ct_image_close(&im);
	if (r.failed)
		ct_fail(err, CT_EXIT_FAILED, "%s: out of memory", path);
	sort(out);
	if (elf && !r.failed)
		return 0;
	ct_elf_symbols_free(out);
	return -1;
}

void ct_elf_symbols_free(struct ct_elf_symbols *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].name);
	free(s->v);
	free(s->cold);
	memset(s, 0, sizeof(*s));
}

bool ct_elf_symbols_cold(const struct ct_elf_symbols *s, ct_u64 addr)
{
	size_t lo = 0, hi = s->ncold;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->cold[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && addr - s->cold[lo - 1].addr < s->cold[lo - 1].size;
}

const char *ct_elf_symbol_taboo(const char *name)
{
	static const char address[] = "it does with its return address what others do not",
			  stack[] = "it changes the stack", entered[] = "it is not called as others are";
	static const struct {
		const char *glob, *why; /* without underscores in front */
	} taboo[] = {
		{"setjmp", address},        {"sigsetjmp", address},
		{"getcontext", address},    {"swapcontext", address},
		{"setcontext", address},    {"jump_fcontext", stack},
		{"ontop_fcontext", stack},  {"coroutine_transfer", stack},
		{"co_switch", stack},       {"coro_transfer", stack},
		{"morestack*", stack},      {"vfork", stack},
		{"clone", stack},           {"clone3", stack},
		{"start_context", entered}, {"dl_start*", entered},
		{"dl_runtime_*", entered},  {"dl_tlsdesc*", entered},
		{"restore_rt", entered},    {"sigreturn", entered},
	};
	const char *plain = name + strspn(name, "_");

	if (!strcmp(name, "_start"))
		return entered;
	for (size_t i = 0; i < sizeof(taboo) / sizeof(*taboo); i++)
		if (!fnmatch(taboo[i].glob, plain, 0))
			return taboo[i].why;
	return NULL;
}

/* The symbols of the file itself. */
static void each_table(Elf *elf, bool (*f)(void *ctx, const GElf_Sym *sym, const char *name), void *ctx)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;

		if (gelf_getshdr(scn, &sh) && (sh.sh_type == SHT_SYMTAB || sh.sh_type == SHT_DYNSYM) &&
		    !each_symbol(elf, scn, f, ctx))
			return;
	}
}

struct finding {
	const char *const *names;
	ct_u64 *addrs;
	size_t n;
};

static bool on_found(void *ctx, const GElf_Sym *sym, const char *name)
{
	struct finding *f = ctx;

	for (size_t i = 0; i < f->n; i++)
		if (!f->addrs[i] && sym->st_shndx != SHN_UNDEF && !strcmp(f->names[i], name))
			f->addrs[i] = sym->st_value;
	return true;
}

int ct_elf_symbols_find(int fd, const char *path, const char *const *names, ct_u64 *addrs, size_t n,
			struct ct_error *err)
{
	struct finding f = {names, addrs, n};
	Elf *elf = open_elf(fd, path, err);

	memset(addrs, 0, n * sizeof(*addrs));
	if (!elf)
		return -1;
	each_table(elf, on_found, &f);
	elf_end(elf);
	return 0;
}

struct reference {
	const char *const *names;
	size_t n;
	bool found;
};

static bool on_reference(void *ctx, const GElf_Sym *sym, const char *name)
{
	struct reference *r = ctx;

	(void)sym;
	for (size_t i = 0; i < r->n && !r->found; i++)
		r->found = !strcmp(r->names[i], name);
	return !r->found;
}

bool ct_elf_symbols_refer(int fd, const char *const *names, size_t n)
{
	struct reference r = {names, n, false};
	struct ct_error ignored;
	Elf *elf = open_elf(fd, "", &ignored);

	if (elf)
		each_table(elf, on_reference, &r);
	elf_end(elf);
	return r.found;
}
