/* SPDX-License-Identifier: MIT
 * Live calls of native functions: where each is entered and left. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/attach/insn_image.h"
#include "user/call_files.h"
#include "user/call_lines.h"
#include "user/calls_priv.h"
#include "user/sites.h"

#define CODE_MAX  (1u << 20) /* bytes of a function that are looked at for its exits */
#define EXITS_MAX 256

struct native {
	struct ct_calls *c;
	pid_t pid;
	const struct ct_call_file *file;
	struct ct_lines *lines;
	int fd;
	struct places enter, leave, pairs;
	ct_calls_tell *tell;
	void *tell_ctx;
};

/* Functions that exceptions may pass through: every instruction that leaves them. */
static int add_exits(struct native *n, const ct_u8 *code, size_t len, const struct ct_elf_symbol *sym, size_t entry,
		     ct_u64 id)
{
	struct ct_exit_site exits[EXITS_MAX];
	int count = len < sym->size ? -1 : ct_site_exits(code, len, exits, EXITS_MAX);

	/* One that is nothing but a jump is entered and left at the same place. */
	if (count < 0 || count > EXITS_MAX || (count == 1 && exits[0].at == entry)) {
		n->c->stats.endless++;
		return 0;
	}
	for (int i = 0; i < count; i++) {
		if (exits[i].jump && ct_elf_symbols_cold(&n->file->sym, sym->addr + exits[i].to))
			continue;
		if (ct_calls_place(&n->leave, sym->offset + exits[i].at,
				   id | CT_SITE_LEAVES | (exits[i].jump ? CT_SITE_JUMPS : CT_SITE_SLOW)))
			return -1;
		n->c->stats.returns += !exits[i].jump;
	}
	return 0;
}

static void tell(struct native *n, const struct ct_elf_symbol *sym, const char *source, ct_u32 line, ct_u32 id)
{
	struct ct_ev_function f = {
		.id = id, .line = line, .addr = sym->addr, .language = CT_LANGUAGE_NATIVE, .flags = CT_FNF_BINARY};
	const char *path = n->file->name;
	size_t name_len = strlen(sym->name), file_len;

	if (source) {
		path = source;
		f.flags = 0;
	}
	file_len = strlen(path);
	if (name_len > UINT16_MAX || file_len > UINT16_MAX)
		f.flags |= CT_FNF_CUT;
	f.name_len = name_len > UINT16_MAX ? UINT16_MAX : (ct_u16)name_len;
	f.file_len = file_len > UINT16_MAX ? UINT16_MAX : (ct_u16)file_len;
	n->tell(n->tell_ctx, n->pid, &f, sym->name, path);
}

static int add_function(struct native *n, const struct ct_elf_symbol *sym, ct_u8 *code)
{
	struct ct_calls_stats *st = &n->c->stats;
	size_t want = sym->room < CODE_MAX ? sym->room : CODE_MAX;
	ssize_t got = ct_image_read(n->fd, code, want, sym->offset);
	struct ct_site site = {.cost = CT_SITE_NONE, .why = "its code cannot be read"};
	ct_u32 id, line = 0;
	const char *source = ct_lines_find(n->lines, sym->addr, &line);
	const bool exits = n->file->fragile || n->c->o->replayable;
	bool silent = false;
	ct_u64 flags;

	if (n->c->o->filter && ct_call_filter_skips(n->c->o->filter, sym->name, n->file->name, source, &silent))
		return 0;

	if (ct_elf_symbol_taboo(sym->name))
		site.why = ct_elf_symbol_taboo(sym->name);
	else if (got > 0)
		ct_site_entry(code, (size_t)got, &site);
	if (site.cost == CT_SITE_NONE) {
		if (!st->unprobed++)
			snprintf(st->unprobed_name, sizeof(st->unprobed_name), "%.40s: %s", sym->name, site.why);
		return 0;
	}
	id = ++n->c->nfunctions;
	flags = (silent ? CT_SITE_SILENT : 0) | (site.cost == CT_SITE_STEPPED ? CT_SITE_SLOW : 0);
	if (ct_calls_place(exits ? &n->enter : &n->pairs, sym->offset + site.at,
			   CT_SITE_COOKIE(id, silent ? 0 : site.nargs) | flags) ||
	    (exits && add_exits(n, code, (size_t)got, sym, site.at, id | (flags & CT_SITE_SILENT))))
		return -1;
	st->functions++;
	st->stepped += site.cost == CT_SITE_STEPPED;
	tell(n, sym, source, line, id);
	return 0;
}

static int note_sites(struct ct_calls *c, const struct native *n, struct ct_error *err)
{
	struct stat st;

	if (c->stats.endless || !c->stats.functions)
		return ct_fail(err, CT_EXIT_FAILED, "%s: '%s' cannot be timed: %s", n->file->name, c->o->functions[0],
			       c->stats.functions          ? "where it ends cannot be seen"
			       : c->stats.unprobed_name[0] ? c->stats.unprobed_name
							   : "it cannot be probed");
	if (fstat(n->fd, &st) || ct_probes_add_sites(c->probes, st.st_dev, st.st_ino, n->enter.offset, n->enter.n) ||
	    ct_probes_add_sites(c->probes, st.st_dev, st.st_ino, n->leave.offset, n->leave.n))
		return ct_fail_memory(err);
	return 0;
}

static int attach_file(struct ct_calls *c, pid_t pid, const struct ct_call_file *file, ct_calls_tell *tell_it,
		       void *ctx, struct ct_error *err)
{
	struct native n = {.c = c, .pid = pid, .file = file, .tell = tell_it, .tell_ctx = ctx};
	ct_u8 *code = malloc(CODE_MAX);
	int ret = 0;

	n.fd = open(file->path, O_RDONLY | O_CLOEXEC);
	if (n.fd < 0 || !code) {
		ret = n.fd < 0 ? ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot open", file->name)
			       : ct_fail(err, CT_EXIT_FAILED, "out of memory");
	} else if (file->sym.go) {
		ret = ct_fail(err, CT_EXIT_FAILED,
			      "%s is a Go program: its stacks move, and probes at returns would end it", file->name);
	} else {
		n.lines = ct_lines_open(n.fd);
		for (size_t i = 0; i < file->sym.n && !ret; i++)
			ret = add_function(&n, &file->sym.v[i], code);
		if (ret)
			ct_fail(err, CT_EXIT_FAILED, "out of memory");
		ct_lines_close(n.lines);
	}
	if (!ret && c->o->replayable)
		ret = note_sites(c, &n, err);
	/* Leaving first: then nothing that is entered is not seen to be left. */
	if (!ret)
		ret = ct_calls_probe(c, c->skel->progs.ct_call_leave, pid, file->path, &n.leave, 0, n.leave.n, 0, err);
	if (!ret)
		ret = ct_calls_probe(c, c->skel->progs.ct_call_enter, pid, file->path, &n.enter, 0, n.enter.n, 0, err);
	if (!ret)
		ret = ct_calls_probe_pairs(c, pid, file->path, &n.pairs, false, err);
	c->stats.files++;
	ct_calls_free_places(&n.enter);
	ct_calls_free_places(&n.leave);
	ct_calls_free_places(&n.pairs);
	free(code);
	if (n.fd >= 0)
		close(n.fd);
	return ret;
}

int ct_calls_attach_native(struct ct_calls *c, pid_t pid, ct_calls_tell *tell_it, void *ctx, struct ct_error *err)
{
	const struct ct_calls_opts *o = c->o;
	struct ct_call_files files;
	int ret = 0;

	if (ct_call_files(pid, o->lib, o->functions, o->nfunctions, &files, err))
		return -1;
	if (!files.n)
		ret = ct_fail(err, CT_EXIT_NOT_ATTACHED, "process %d has no function like '%s' in %s%s%s", pid,
			      o->functions[0], o->lib ? "files like '" : "its program", o->lib ? o->lib : "",
			      o->lib ? "'" : "; --lib GLOB looks into libraries");
	c->stats.stacks |= files.stacks;
	for (size_t i = 0; i < files.n && !ret; i++)
		ret = attach_file(c, pid, &files.v[i], tell_it, ctx, err);
	ct_call_files_free(&files);
	return ret;
}
