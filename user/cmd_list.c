/* SPDX-License-Identifier: MIT
 * ctbpf list: which functions of a process could be probed, where, at which cost. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/attach/insn_image.h"
#include "user/call_files.h"
#include "user/calls.h"
#include "user/cmd.h"
#include "user/out.h"
#include "user/sites.h"

static const char help[] =
	"usage: ctbpf list [OPTION...] -p PID [PATTERN...]\n"
	"\n"
	"Say what `ctbpf record --no-replay` could see of a process's calls, without touching it: which interpreter\n"
	"--calls knows, which files tell of themselves (ctbpf.h), and which native functions --functions PATTERN "
	"finds, with the cost of each probe:\n"
	"  cheap     the kernel emulates the instructions that are probed: about a microsecond a call\n"
	"  stepped   it has to single-step one at the entry: some 10 us more on virtual machines, 2 us else\n"
	"  returns   C++ or Rust exceptions may pass through it, or the program changes stacks, so the instructions\n"
	"            that leave it are probed, and single-stepped, instead of its return address\n"
	"  no        it cannot be probed, and why\n"
	"Without a PATTERN: which files have functions, and how many.\n"
	"\n"
	"options:\n"
	"  -p, --pid PID    the process\n"
	"      --lib GLOB   in mapped files of this name (default: with a PATTERN its program, else all)\n"
	"      --json       one JSON object a line\n"
	"  -h, --help       this text\n"
	"\n"
	"examples:\n"
	"  sudo ctbpf list -p $(pidof redis-server)\n"
	"  sudo ctbpf list -p $(pidof redis-server) '*Command'\n"
	"  sudo ctbpf list -p 4242 --lib 'libssl*' 'SSL_*'\n"
	"\n"
	"exit codes: 0 something can be probed, 1 failed, 2 wrong usage, 3 nothing can\n";

#define CODE_MAX (64u << 10) /* bytes of a function that are looked at */

struct list {
	struct ct_out out;
	bool json, summary;
	size_t found;
};

/* ---- native functions ---------------------------------------------------------------------------------- */

static void put_function(struct list *l, const struct ct_call_file *file, const struct ct_elf_symbol *sym,
			 const char *cost, const char *why)
{
	l->found += !why;
	if (l->json) {
		ct_json_open(&l->out, NULL, '{');
		ct_json_str(&l->out, "kind", "function");
		ct_json_str(&l->out, "name", sym->name);
		ct_json_str(&l->out, "file", file->name);
		ct_json_hex(&l->out, "addr", sym->addr);
		ct_json_u64(&l->out, "size", sym->size);
		ct_json_str(&l->out, "cost", cost);
		if (why)
			ct_json_str(&l->out, "why", why);
		ct_json_close(&l->out, '}');
		ct_json_line(&l->out);
		return;
	}
	ct_out_fmt(&l->out, "%-8s %s", cost, sym->name);
	if (!file->program)
		ct_out_fmt(&l->out, "  %s", file->name);
	if (why)
		ct_out_fmt(&l->out, "  (%s)", why);
	ct_out_char(&l->out, '\n');
}

static void list_functions(struct list *l, const struct ct_call_file *file, ct_u8 *code)
{
	int fd = open(file->path, O_RDONLY | O_CLOEXEC);

	for (size_t i = 0; i < file->sym.n; i++) {
		const struct ct_elf_symbol *sym = &file->sym.v[i];
		struct ct_site site = {.cost = CT_SITE_NONE, .why = "its code cannot be read"};
		ssize_t got =
			fd < 0 ? -1 : ct_image_read(fd, code, sym->room < CODE_MAX ? sym->room : CODE_MAX, sym->offset);

		if (file->sym.go)
			site.why = "Go moves stacks, which probes at returns would break";
		else if (ct_elf_symbol_taboo(sym->name))
			site.why = ct_elf_symbol_taboo(sym->name);
		else if (got > 0)
			ct_site_entry(code, (size_t)got, &site);
		put_function(l, file, sym,
			     site.cost == CT_SITE_NONE      ? "no"
			     : file->fragile                ? "returns"
			     : site.cost == CT_SITE_STEPPED ? "stepped"
							    : "cheap",
			     site.cost == CT_SITE_NONE ? site.why : NULL);
	}
	if (fd >= 0)
		close(fd);
}

static void list_file(struct list *l, const struct ct_call_file *file)
{
	if (!file->sym.go)
		l->found += file->sym.n;
	if (l->json) {
		ct_json_open(&l->out, NULL, '{');
		ct_json_str(&l->out, "kind", "file");
		ct_json_str(&l->out, "file", file->name);
		ct_json_u64(&l->out, "functions", file->sym.n);
		ct_json_bool(&l->out, "program", file->program);
		ct_json_bool(&l->out, "go", file->sym.go);
		ct_json_bool(&l->out, "fragile", file->fragile);
		ct_json_close(&l->out, '}');
		ct_json_line(&l->out);
		return;
	}
	ct_out_fmt(&l->out, "%8zu functions in %s%s\n", file->sym.n, file->name,
		   file->sym.go    ? " (Go: cannot be probed)"
		   : file->fragile ? " (exceptions may pass through, or stacks change: leaving them is single-stepped)"
				   : "");
}

/* ---- interpreters -------------------------------------------------------------------------------------- */

static void list_interpreters(struct list *l, pid_t pid)
{
	struct ct_call_language list[CT_CALL_LANGUAGES];
	const size_t n = ct_call_languages(pid, list);

	for (size_t i = 0; i < n; i++) {
		const struct ct_call_language *g = &list[i];

		l->found += !g->why[0];
		if (l->json) {
			ct_json_open(&l->out, NULL, '{');
			ct_json_str(&l->out, "kind", "interpreter");
			ct_json_str(&l->out, "language", g->option);
			if (g->why[0]) {
				ct_json_str(&l->out, "why", g->why);
			} else {
				ct_json_str(&l->out, "version", g->version);
				ct_json_str(&l->out, "file", g->file);
				ct_json_str(&l->out, "cost", g->stepped ? "stepped" : "cheap");
				if (g->part)
					ct_json_str(&l->out, "part", g->part);
			}
			ct_json_close(&l->out, '}');
			ct_json_line(&l->out);
		} else if (g->why[0]) {
			ct_out_fmt(&l->out, "no       calls of %s: %s\n", g->name, g->why);
		} else {
			ct_out_fmt(&l->out, "%-8s %s of %s %s: --calls=%s  (%s)%s%s\n",
				   g->stepped ? "stepped" : "cheap", g->part ? "calls" : "every call", g->name,
				   g->version, g->option, g->file, g->part ? "\n         " : "",
				   g->part ? g->part : "");
		}
	}
}

/* ---- programs that tell of themselves ------------------------------------------------------------------ */

static int list_told(void *ctx, const struct ct_exec_file *file, struct ct_error *err)
{
	struct list *l = ctx;
	int fd = open(file->path, O_RDONLY | O_CLOEXEC);
	struct ct_told_sites sites;

	(void)err;
	if (fd < 0 || !ct_told_find(fd, &sites)) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	close(fd);
	l->found++;
	if (l->json) {
		ct_json_open(&l->out, NULL, '{');
		ct_json_str(&l->out, "kind", "sdk");
		ct_json_str(&l->out, "file", file->name);
		ct_json_str(&l->out, "cost", "cheap");
		ct_json_close(&l->out, '}');
		ct_json_line(&l->out);
	} else {
		ct_out_fmt(&l->out, "cheap    what it tells of itself: --calls=sdk  (%s)\n", file->name);
	}
	return 0;
}

/* ---- the command --------------------------------------------------------------------------------------- */

static int run(struct list *l, pid_t pid, const char *lib, const char *const *globs, size_t nglobs,
	       struct ct_error *err)
{
	static const char *const all = "*";
	struct ct_call_files files;
	ct_u8 *code = malloc(CODE_MAX);

	if (!code)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	l->summary = !nglobs;
	if (ct_call_files(pid,
			  lib      ? lib
			  : nglobs ? NULL
				   : "*",
			  nglobs ? globs : &all, nglobs ? nglobs : 1, &files, err)) {
		free(code);
		return -1;
	}
	if (l->summary) {
		list_interpreters(l, pid);
		ct_each_exec_file(pid, list_told, l, err);
	}
	for (size_t i = 0; i < files.n; i++) {
		if (l->summary)
			list_file(l, &files.v[i]);
		else
			list_functions(l, &files.v[i], code);
	}
	ct_call_files_free(&files);
	free(code);
	if (l->found)
		return 0;
	return ct_fail(err, CT_EXIT_NOT_ATTACHED, "process %d has no %s that can be probed%s", pid,
		       nglobs ? "such function" : "function",
		       nglobs && !lib ? " in its program; --lib GLOB looks into libraries" : "");
}

int cmd_list(int argc, char **argv)
{
	static const struct option options[] = {{"pid", required_argument, NULL, 'p'},
						{"lib", required_argument, NULL, 'l'},
						{"json", no_argument, NULL, 'j'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	struct ct_error err = {0};
	unsigned long long pid = 0;
	const char *lib = NULL;
	struct list l = {0};
	int opt, ret = CT_EXIT_OK;

	while ((opt = getopt_long(argc, argv, "p:h", options, NULL)) != -1) {
		switch (opt) {
		case 'p':
			if (ct_parse_u64(optarg, 1, 1 << 30, &pid))
				return ct_cmd_usage(argv, "-p takes a process id, not '%s'", optarg);
			break;
		case 'l': lib = optarg; break;
		case 'j': l.json = true; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (!pid)
		return ct_cmd_usage(argv, "give -p PID");
	if (geteuid()) {
		ct_fail(&err, CT_EXIT_MISSING,
			"looking at what a process has mapped needs root (CAP_SYS_ADMIN and CAP_SYS_PTRACE): run it "
			"with "
			"sudo");
		return ct_cmd_fail(argv, &err);
	}
	ct_cmd_open(&l.out);
	if (run(&l, (pid_t)pid, lib, (const char *const *)(argv + optind), (size_t)(argc - optind), &err)) {
		ct_out_flush(&l.out);
		ret = ct_cmd_fail(argv, &err);
	}
	return ct_cmd_close(argv, &l.out, ret);
}
