/* SPDX-License-Identifier: MIT
 * What a process has mapped to execute, one entry a file. */
#include "user/call_files.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replay/tracee.h"
#include "user/attach/insn_image.h"

int ct_each_exec_file(pid_t pid, int (*f)(void *ctx, const struct ct_exec_file *file, struct ct_error *err), void *ctx,
		      struct ct_error *err)
{
	struct ct_maps maps;
	struct stat exe = {0};
	char path[64];
	int ret = 0;

	if (ct_maps_read(pid, &maps, err))
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	if (stat(path, &exe))
		exe.st_ino = 0;
	for (size_t i = 0; i < maps.count && !ret; i++) {
		const struct ct_map *m = &maps.map[i];
		struct ct_exec_file file = {.name = m->name, .start = m->start, .offset = m->offset};
		bool seen = false;
		struct stat st;

		if (!(m->prot & PROT_EXEC) || !m->ino || !m->name || m->name[0] != '/')
			continue;
		for (size_t k = 0; k < i && !seen; k++)
			seen = (maps.map[k].prot & PROT_EXEC) && maps.map[k].ino == m->ino &&
			       maps.map[k].dev_major == m->dev_major && maps.map[k].dev_minor == m->dev_minor;
		if (seen)
			continue;
		snprintf(file.path, sizeof(file.path), "/proc/%d/map_files/%llx-%llx", pid,
			 (unsigned long long)m->start, (unsigned long long)m->end);
		file.program = !stat(file.path, &st) && st.st_ino == exe.st_ino && st.st_dev == exe.st_dev;
		ret = f(ctx, &file, err);
	}
	ct_maps_deinit(&maps);
	return ret;
}

int ct_exec_bias(int fd, const struct ct_exec_file *file, ct_u64 *bias, struct ct_error *err)
{
	struct ct_image im;
	int ret = -1;

	if (ct_image_open(&im, fd, file->name, err))
		return -1;
	for (size_t i = 0; i < im.nexec && ret; i++) {
		ct_u64 begin = im.exec[i].off & ~4095ull;

		if (begin != file->offset)
			continue;
		*bias = file->start - (im.exec[i].vaddr - (im.exec[i].off - begin));
		ret = 0;
	}
	ct_image_close(&im);
	return ret ? ct_fail(err, CT_EXIT_FAILED, "%s: it is not mapped as its headers say", file->name) : 0;
}

/* ---- those that fit ------------------------------------------------------------------------------------ */

struct search {
	const char *lib;
	const char *const *globs;
	size_t nglobs;
	struct ct_call_files *out;
	bool unwinder; /* code that throws exceptions may run in the process */
};

static bool fits(const char *lib, const char *name)
{
	const char *slash = strrchr(name, '/');

	return !fnmatch(lib, name, 0) || (slash && !fnmatch(lib, slash + 1, 0));
}

static bool is_unwinder(const char *name)
{
	return fits("libgcc_s.so*", name) || fits("libunwind.so*", name) || fits("libc++abi.so*", name);
}

/* Whether code of this file runs on stacks of its own making. OpenSSL could, but does for asynchronous engines only. */
static bool changes_stacks(const struct ct_exec_file *file, int fd)
{
	static const char *const names[] = {"swapcontext",        "makecontext", "jump_fcontext", "make_fcontext",
					    "coroutine_transfer", "co_switch",   "coro_transfer"};

	return !fits("libc.so*", file->name) && !fits("libc-2.*", file->name) && !fits("libcrypto.so*", file->name) &&
	       (fits("*greenlet*", file->name) || ct_elf_symbols_refer(fd, names, sizeof(names) / sizeof(*names)));
}

static int read_file(struct search *s, const struct ct_exec_file *file, int fd, struct ct_error *err)
{
	static const char *const raise = "_Unwind_RaiseException";
	struct ct_call_file *more, f = {.program = file->program};
	struct ct_error why;
	ct_u64 addr = 0;

	/* What is no ELF file has no functions: a JIT compiler's, perhaps. */
	if (file->program && !ct_elf_symbols_find(fd, file->name, &raise, &addr, 1, &why))
		s->unwinder |= addr != 0;
	if (file->program ? s->lib && !fits(s->lib, file->name) : !s->lib || !fits(s->lib, file->name))
		return 0;
	if (ct_elf_symbols_read(fd, file->name, s->globs, s->nglobs, &f.sym, &why))
		return 0;
	if (!f.sym.n || ct_exec_bias(fd, file, &f.bias, &why)) {
		ct_elf_symbols_free(&f.sym);
		return 0;
	}
	more = reallocarray(s->out->v, s->out->n + 1, sizeof(*more));
	f.name = strdup(file->name);
	if (more)
		s->out->v = more;
	if (!more || !f.name) {
		free(f.name);
		ct_elf_symbols_free(&f.sym);
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	}
	memcpy(f.path, file->path, sizeof(f.path));
	s->out->v[s->out->n++] = f;
	return 0;
}

static int on_file(void *ctx, const struct ct_exec_file *file, struct ct_error *err)
{
	struct search *s = ctx;
	int fd = open(file->path, O_RDONLY | O_CLOEXEC), ret;

	s->unwinder |= is_unwinder(file->name);
	if (fd < 0) /* unmapped a moment ago */
		return 0;
	s->out->stacks |= changes_stacks(file, fd);
	ret = read_file(s, file, fd, err);
	close(fd);
	return ret;
}

int ct_call_files(pid_t pid, const char *lib, const char *const *globs, size_t nglobs, struct ct_call_files *out,
		  struct ct_error *err)
{
	struct search s = {.lib = lib, .globs = globs, .nglobs = nglobs, .out = out};

	memset(out, 0, sizeof(*out));
	if (ct_each_exec_file(pid, on_file, &s, err)) {
		ct_call_files_free(out);
		return -1;
	}
	for (size_t i = 0; i < out->n; i++)
		out->v[i].fragile = out->stacks || (s.unwinder && out->v[i].sym.unwinds);
	return 0;
}

void ct_call_files_free(struct ct_call_files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].name);
		ct_elf_symbols_free(&f->v[i].sym);
	}
	free(f->v);
	memset(f, 0, sizeof(*f));
}
