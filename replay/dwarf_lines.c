/* SPDX-License-Identifier: MIT
 * Debug information: from addresses to lines, and from lines to addresses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dwarf_priv.h"

#define LONGEST_PATH 4096

/* One row of a line table. */
struct row {
	Dwarf_Addr addr;
	int line, column;
	bool end, statement;
	Dwarf_Files *files;
	size_t file;
};

static bool get_row(Dwarf_Lines *lines, size_t i, struct row *r)
{
	Dwarf_Line *l = dwarf_onesrcline(lines, i);

	r->column = 0;
	return l && !dwarf_lineaddr(l, &r->addr) && !dwarf_lineno(l, &r->line) && !dwarf_lineendsequence(l, &r->end) &&
	       !dwarf_linebeginstatement(l, &r->statement) &&
	       (dwarf_linecol(l, &r->column), !dwarf_line_file(l, &r->files, &r->file));
}

/* Without "." and "..", and absolute: what the compiler was told may be relative to where it ran. */
const char *ct_dwarf_path(struct ct_dwarf *d, Dwarf_Die *cu, const char *name)
{
	char joined[LONGEST_PATH], out[LONGEST_PATH];
	Dwarf_Attribute attr;
	const char *dir = *name == '/' ? NULL : dwarf_formstring(dwarf_attr(cu, DW_AT_comp_dir, &attr));
	const int len = snprintf(joined, sizeof(joined), "%s%s%s", dir ? dir : "", dir ? "/" : "", name);
	size_t n = 0;

	if (len < 0 || (size_t)len >= sizeof(joined) || joined[0] != '/')
		return ct_dwarf_keep(d, name);
	for (const char *p = joined; *p;) {
		const char *end;
		size_t part;

		while (*p == '/')
			p++;
		end = strchrnul(p, '/');
		part = (size_t)(end - p);
		if (part == 2 && p[0] == '.' && p[1] == '.') {
			while (n && out[--n] != '/')
				;
		} else if (part && (part != 1 || *p != '.')) {
			out[n++] = '/';
			memcpy(out + n, p, part);
			n += part;
		}
		p = end;
	}
	out[n] = 0;
	return ct_dwarf_keep(d, n ? out : "/");
}

/* The last row at or before the address. */
static bool find_row(Dwarf_Lines *lines, size_t n, Dwarf_Addr pc, size_t *at, struct row *r)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (!get_row(lines, mid, r))
			return false;
		if (r->addr <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	*at = lo - 1;
	return lo && get_row(lines, *at, r) && !r->end;
}

static bool same_line(const struct row *a, const struct row *b)
{
	/* Line 0 is code that belongs to no line: it is taken for a part of the one before. */
	return !b->end && (b->line == 0 || (a->line == b->line && a->file == b->file));
}

bool ct_dwarf_line_at(struct ct_dwarf *d, ct_u64 addr, struct ct_dwarf_line *line)
{
	struct row r, other;
	Dwarf_Lines *lines;
	const char *name;
	size_t n, at, i;
	Dwarf_Die cu;
	ct_u64 bias;

	if (!ct_dwarf_unit_at(d, addr, &cu, &bias) || dwarf_getsrclines(&cu, &lines, &n) ||
	    !find_row(lines, n, addr - bias, &at, &r))
		return false;
	for (i = at; r.line == 0 && i-- > 0;)
		if (!get_row(lines, i, &r) || r.end)
			return false;
	if (!r.line)
		return false;
	line->line = (ct_u32)r.line;
	line->column = (ct_u32)r.column;
	line->from = r.addr + bias;
	for (i = at; i-- > 0 && get_row(lines, i, &other) && same_line(&r, &other);)
		if (other.line)
			line->from = other.addr + bias;
	line->to = addr + 1;
	for (i = at + 1; i < n && get_row(lines, i, &other); i++) {
		line->to = other.addr + bias;
		if (!same_line(&r, &other))
			break;
	}
	name = dwarf_filesrc(r.files, r.file, NULL, NULL);
	line->file = name ? ct_dwarf_path(d, &cu, name) : NULL;
	return line->file != NULL;
}

int ct_dwarf_line_starts(struct ct_dwarf *d, const struct ct_dwarf_function *f,
			 void (*tell)(void *ctx, ct_u64 addr, ct_u32 line), void *ctx)
{
	struct row r, last = {0};
	Dwarf_Lines *lines;
	Dwarf_Die cu;
	size_t n, at;
	ct_u64 bias;

	if (!ct_dwarf_unit_at(d, f->low, &cu, &bias) || dwarf_getsrclines(&cu, &lines, &n) ||
	    !find_row(lines, n, f->low - bias, &at, &r))
		return -1;
	for (; at < n && get_row(lines, at, &r) && r.addr + bias < f->high; at++) {
		if (r.end)
			break;
		if (r.addr + bias > f->low && r.statement && r.line && (r.line != last.line || r.file != last.file))
			tell(ctx, r.addr + bias, (ct_u32)r.line);
		if (r.line && r.statement)
			last = r;
	}
	return 0;
}

static void tell_row(struct ct_dwarf *d, const struct ct_dwarf_function *f, const struct row *r,
		     ct_dwarf_statement *tell, void *ctx)
{
	const char *name = dwarf_filesrc(r->files, r->file, NULL, NULL);
	Dwarf_Die cu = f->cu;

	tell(ctx, r->addr + f->bias, name ? ct_dwarf_path(d, &cu, name) : "", (ct_u32)r->line);
}

/* Of rows with one address the last one counts, as everywhere. */
static void statements_in(struct ct_dwarf *d, Dwarf_Lines *lines, size_t n, const struct ct_dwarf_function *f,
			  Dwarf_Addr from, Dwarf_Addr to, ct_dwarf_statement *tell, void *ctx)
{
	struct row r, held = {0};
	size_t at;

	if (!find_row(lines, n, from, &at, &r))
		return;
	/* The first one at this address. */
	while (at && get_row(lines, at - 1, &r) && !r.end && r.addr == from)
		at--;
	for (; at < n && get_row(lines, at, &r) && r.addr < to && !r.end; at++) {
		if (r.addr < from || !r.statement || !r.line)
			continue;
		if (held.line && held.addr != r.addr)
			tell_row(d, f, &held, tell, ctx);
		held = r;
	}
	if (held.line)
		tell_row(d, f, &held, tell, ctx);
}

void ct_dwarf_statements(struct ct_dwarf *d, const struct ct_dwarf_function *f, ct_dwarf_statement *tell, void *ctx)
{
	const ct_u64 body = ct_dwarf_body(d, f) - f->bias, entry = f->entry - f->bias;
	Dwarf_Die die = f->die, cu = f->cu;
	Dwarf_Addr base, from, to;
	Dwarf_Lines *lines;
	ptrdiff_t off = 0;
	size_t n;

	if (!f->has_die || dwarf_getsrclines(&cu, &lines, &n))
		return;
	while ((off = dwarf_ranges(&die, off, &base, &from, &to)) > 0)
		statements_in(d, lines, n, f, entry >= from && entry < to ? body : from, to, tell, ctx);
}

/* ---- from lines to addresses ---- */

/* Goes through all rows of files that `is` says yes to. */
struct walk {
	bool (*is)(void *ctx, const char *file);
	void *ctx;
	void (*row)(struct walk *w, Dwarf_Die *cu, ct_u64 bias, const struct row *r, bool new_line);
	ct_u32 line, best; /* wanted; the nearest one at or behind it */
	ct_u32 from, to;
	struct ct_dwarf *d;
	struct ct_dwarf_list *found, blocks;
	void (*tell)(void *ctx, ct_u32 line);
	void *tell_ctx;
};

static void walk_rows(struct walk *w)
{
	Dwarf_Die *cu = NULL;
	Dwarf_Addr bias;

	while ((cu = dwfl_nextcu(w->d->dwfl, cu, &bias))) {
		Dwarf_Files *files;
		Dwarf_Lines *lines;
		size_t n, nfiles;
		bool *wanted, any = false;
		struct row r, last = {0};

		if (dwarf_getsrcfiles(cu, &files, &nfiles) || !nfiles)
			continue;
		wanted = calloc(nfiles, sizeof(*wanted));
		for (size_t i = 0; wanted && i < nfiles; i++) {
			const char *name = dwarf_filesrc(files, i, NULL, NULL);
			const char *path = name && *name ? ct_dwarf_path(w->d, cu, name) : NULL;

			wanted[i] = path && w->is(w->ctx, path);
			any |= wanted[i];
		}
		if (any && !dwarf_getsrclines(cu, &lines, &n))
			for (size_t i = 0; i < n && get_row(lines, i, &r); i++) {
				const bool fresh = last.end || r.line != last.line || r.file != last.file;

				if (!r.end && r.line && r.statement && r.file < nfiles && wanted[r.file])
					w->row(w, cu, bias, &r, fresh);
				last = r;
			}
		free(wanted);
	}
}

static void nearest(struct walk *w, Dwarf_Die *cu, ct_u64 bias, const struct row *r, bool fresh)
{
	const ct_u32 line = (ct_u32)r->line;

	(void)cu, (void)bias, (void)fresh;
	if (line >= w->line && (!w->best || line < w->best))
		w->best = line;
}

/* One address for each block: a `for` has several beginnings, but one wants to stop at it once. */
static void collect(struct walk *w, Dwarf_Die *cu, ct_u64 bias, const struct row *r, bool fresh)
{
	Dwarf_Die scopes[CT_DWARF_DEEP];
	ct_u64 block = 0;
	size_t n;

	if ((ct_u32)r->line != w->best || !fresh)
		return;
	n = ct_dwarf_scopes(cu, r->addr, scopes);
	/* Blocks inside of a function do not count, inlined functions do. */
	while (n && dwarf_tag(&scopes[n - 1]) != DW_TAG_subprogram &&
	       dwarf_tag(&scopes[n - 1]) != DW_TAG_inlined_subroutine)
		n--;
	if (n)
		block = (ct_u64)(size_t)scopes[n - 1].addr;
	for (size_t i = 0; block && i < w->blocks.n; i++)
		if (w->blocks.addr[i] == block) {
			/* Rows rise within a sequence, but these may be several. */
			if (r->addr + bias < w->found->addr[i])
				w->found->addr[i] = r->addr + bias;
			return;
		}
	ct_dwarf_list_add(&w->blocks, block);
	ct_dwarf_list_add(w->found, r->addr + bias);
}

int ct_dwarf_find_line(struct ct_dwarf *d, bool (*is)(void *ctx, const char *file), void *ctx, ct_u32 line,
		       ct_u32 *actual, struct ct_dwarf_list *found, struct ct_error *err)
{
	struct walk w = {.is = is, .ctx = ctx, .row = nearest, .line = line, .d = d, .found = found};
	struct ct_dwarf_function f;
	size_t n = 0;

	walk_rows(&w);
	*actual = w.best;
	w.row = collect;
	if (w.best)
		walk_rows(&w);
	ct_dwarf_list_free(&w.blocks);
	/* A line with a function's name is its beginning: behind the prologue. */
	for (size_t i = 0; i < found->n; i++) {
		ct_u64 addr = found->addr[i];

		if (ct_dwarf_function_at(d, addr, &f) && f.entry == addr)
			addr = ct_dwarf_body(d, &f);
		found->addr[n++] = addr;
	}
	ct_dwarf_list_sort(found);
	return found->failed ? ct_fail(err, CT_EXIT_FAILED, "out of memory") : 0;
}

static void in_range(struct walk *w, Dwarf_Die *cu, ct_u64 bias, const struct row *r, bool fresh)
{
	(void)cu, (void)bias, (void)fresh;
	if ((ct_u32)r->line >= w->from && (ct_u32)r->line <= w->to)
		w->tell(w->tell_ctx, (ct_u32)r->line);
}

void ct_dwarf_lines_with_code(struct ct_dwarf *d, bool (*is)(void *ctx, const char *file), void *ctx, ct_u32 from,
			      ct_u32 to, void (*tell)(void *ctx, ct_u32 line), void *tell_ctx)
{
	struct walk w = {.is = is,
			 .ctx = ctx,
			 .row = in_range,
			 .from = from,
			 .to = to,
			 .d = d,
			 .tell = tell,
			 .tell_ctx = tell_ctx};

	walk_rows(&w);
}

void ct_dwarf_files(struct ct_dwarf *d, bool (*tell)(void *ctx, const char *file), void *ctx)
{
	Dwarf_Die *cu = NULL;
	Dwarf_Addr bias;

	while ((cu = dwfl_nextcu(d->dwfl, cu, &bias))) {
		Dwarf_Files *files;
		size_t n;

		if (dwarf_getsrcfiles(cu, &files, &n))
			continue;
		for (size_t i = 0; i < n; i++) {
			const char *name = dwarf_filesrc(files, i, NULL, NULL);
			const char *path = name && *name && *name != '<' ? ct_dwarf_path(d, cu, name) : NULL;

			if (path && !tell(ctx, path))
				return;
		}
	}
}
