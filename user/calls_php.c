/* SPDX-License-Identifier: MIT
 * PHP, live: the places in the engine where a function's frame becomes the innermost one, and where it ends.
 *
 * execute_ex runs a function that another one calls in itself, or in the handlers that it calls: either stores the new
 * frame in executor_globals and looks at once whether it has been interrupted (ZEND_VM_ENTER), which nothing else does
 * in this order. Every function ends by zend_leave_helper, whose first test has a mask of its own. Functions that C
 * functions call, and generators that go on, come by the beginning of execute_ex; those that yield, by its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "replay/tracee.h"
#include "user/calls_vm_priv.h"
#include "user/elf_symbols.h"

#define CODE_MAX   (64u << 20) /* bytes of one segment */
#define ENTER_MAX  24          /* instructions from the store to the test */
#define LEAVE_MASK 0x081f0000  /* ZEND_CALL_CODE, _TOP, _ALLOCATED and others */
#define BUILD_MAX  24
#define FRAME_REG  14 /* that has the frame in all handlers (ZEND_VM_FP_GLOBAL_REG) */

/* Members of executor_globals, by the build that modules must be made for (NTS: one thread). Frames, functions, strings
 * and classes are laid out as bpf/php.bpf.h has it. */
static const struct layout {
	const char *build, *version;
	unsigned current, interrupt, exception;
} layouts[] = {
	{"API20220829,NTS", "8.2", 488, 546, 864},
};

/* The compiler of opcache makes code of its own, in memory that it shares with children. */
static bool compiles(pid_t pid)
{
	struct ct_error none;
	struct ct_maps maps;
	bool found = false;

	if (ct_maps_read(pid, &maps, &none))
		return false;
	for (size_t i = 0; i < maps.count; i++)
		found |= (maps.map[i].prot & PROT_EXEC) && maps.map[i].name &&
			 !strncmp(maps.map[i].name, "/dev/zero", 9);
	ct_maps_deinit(&maps);
	return found;
}

/* From where a frame is stored to the jump behind the look at the flag, through the same register. */
static bool enters(struct ct_vm_target *t, const struct ct_call_code *c, const struct layout *l,
		   const struct ct_decoded *store)
{
	const int base = ct_insn_register(store->op[0].mem.base);
	ct_u64 addr = store->addr + store->i.length;
	struct ct_decoded n;
	bool looked = false;

	for (int i = 0; i < ENTER_MAX && ct_call_code_next(c, &addr, &n) && !ct_insn_ends(&n); i++) {
		if (looked && n.i.meta.category == ZYDIS_CATEGORY_COND_BR)
			return ct_vm_site(t, c->offset + (n.addr - c->addr), CT_PHP_ENTERS, 0, 0);
		looked |= n.op[1].type == ZYDIS_OPERAND_TYPE_MEMORY && n.op[1].size == 8 &&
			  ct_insn_register(n.op[1].mem.base) == base && n.op[1].mem.disp.value == l->interrupt;
	}
	return true;
}

static bool find_enters(struct ct_vm_target *t, const struct ct_call_code *c, const struct layout *l)
{
	struct ct_decoded n;
	size_t from = 0;

	while (ct_vm_mentions(c, l->current, &from, &n))
		if (n.i.mnemonic == ZYDIS_MNEMONIC_MOV && n.op[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    n.op[0].size == 64 && n.op[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ct_insn_register(n.op[0].mem.base) >= 0 && n.op[0].mem.index == ZYDIS_REGISTER_NONE &&
		    !enters(t, c, l, &n))
			return false;
	return true;
}

static bool find_leaves(struct ct_vm_target *t, const struct ct_call_code *c)
{
	struct ct_decoded n;
	size_t from = 0;
	ct_u64 addr;

	while (ct_vm_mentions(c, LEAVE_MASK, &from, &n)) {
		addr = n.addr + n.i.length;
		if (n.i.mnemonic == ZYDIS_MNEMONIC_TEST && ct_call_code_next(c, &addr, &n) &&
		    n.i.meta.category == ZYDIS_CATEGORY_COND_BR &&
		    !ct_vm_site(t, c->offset + (n.addr - c->addr), CT_PHP_LEAVES, FRAME_REG, 0))
			return false;
	}
	return true;
}

/* Where execute_ex returns, or the last jump before: the kernel emulates that one. */
static bool find_ends(struct ct_vm_target *t, const struct ct_call_code *c, const struct ct_range *f)
{
	ct_u64 addr = f->start, at = 0;
	struct ct_decoded n;

	while (addr < f->end && ct_call_code_next(c, &addr, &n)) {
		if (n.i.meta.category == ZYDIS_CATEGORY_COND_BR)
			at = n.addr;
		else if (n.i.meta.category == ZYDIS_CATEGORY_RET &&
			 !ct_vm_site(t, c->offset + ((at ? at : n.addr) - c->addr), CT_PHP_ENDS, 0, 0))
			return false;
		else if (ct_insn_branches(&n))
			at = 0;
	}
	return true;
}

static bool has(const struct ct_vm_target *t, enum ct_vm_site what)
{
	for (unsigned i = 0; i < t->nsites; i++)
		if (t->site[i].what == what)
			return true;
	return false;
}

static bool find_sites(struct ct_vm_target *t, struct ct_image *im, const struct layout *l, ct_u64 execute_ex)
{
	const struct ct_range *f;
	bool ok = true;

	ct_image_functions(im, &execute_ex, 1);
	f = ct_image_function(&im->fde, execute_ex);
	for (size_t i = 0; i < im->nexec && ok && f; i++) {
		const struct ct_segment *g = &im->exec[i];
		struct ct_call_code c = {.bytes = NULL};

		ok = g->size < CODE_MAX && (!g->size || ct_call_code_read(im, g->vaddr, g->size, &c));
		if (ok && g->size)
			ok = find_enters(t, &c, l) && find_leaves(t, &c) &&
			     (f->start < g->vaddr || f->start - g->vaddr >= g->size || find_ends(t, &c, f));
		free(c.bytes);
	}
	return ok && f && has(t, CT_PHP_ENTERS) && has(t, CT_PHP_LEAVES) && has(t, CT_PHP_ENDS) &&
	       ct_vm_entry(t, im, execute_ex, CT_PHP_BEGINS, 0);
}

/* ZEND_MODULE_BUILD_ID in the file's data: "API20220829,NTS". */
static const struct layout *layout_of(const struct ct_image *im, char build[BUILD_MAX])
{
	const struct layout *l = NULL;

	build[0] = 0;
	for (size_t i = 0; i < im->nload && !build[0]; i++) {
		const struct ct_segment *g = &im->load[i];
		char *bytes = g->size < CODE_MAX ? malloc(g->size + 1) : NULL;
		const ssize_t got = bytes ? ct_image_read(im->fd, bytes, g->size, g->off) : 0;

		for (char *at = bytes; at && got > 0 && (at = memmem(at, (size_t)(bytes + got - at), "\0API", 4)); at++)
			if (bytes + got - at > BUILD_MAX && at[4] == '2' && at[12] == ',')
				snprintf(build, BUILD_MAX, "%.*s", BUILD_MAX - 1, at + 1);
		free(bytes);
	}
	for (size_t i = 0; i < sizeof(layouts) / sizeof(*layouts); i++)
		if (!strcmp(layouts[i].build, build))
			l = &layouts[i];
	return l;
}

/* What people call the versions that are not known. */
static const char *version_of(const char *build)
{
	static const struct {
		const char *api, *version;
	} known[] = {{"API20190902", "7.4"}, {"API20200930", "8.0"}, {"API20210902", "8.1"}, {"API20220829", "8.2"},
		     {"API20230831", "8.3"}, {"API20240924", "8.4"}, {"API20250925", "8.5"}};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strncmp(build, known[i].api, strlen(known[i].api)))
			return known[i].version;
	return "of another version";
}

int ct_php_describe(struct ct_vm_target *t, const struct ct_exec_file *file, struct ct_image *im, ct_u64 bias,
		    struct ct_error *err)
{
	static const char *const names[] = {"execute_ex", "executor_globals"};
	const struct layout *l;
	ct_u64 addr[2] = {0};
	char build[BUILD_MAX];

	if (ct_elf_symbols_find(im->fd, file->name, names, addr, 2, err))
		return -1;
	if (!addr[0] || !addr[1])
		return 0;
	l = layout_of(im, build);
	if (!l)
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s: calls of PHP %s (%s) cannot be seen: only its 8.2 is known, not built for several "
			       "threads",
			       file->name, version_of(build), build[0] ? build : "no build id found");
	if (compiles(t->pid))
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s: a JIT compiler is on in process %d, and calls of what it has compiled cannot be "
			       "seen: run the program with opcache.jit=off",
			       file->name, t->pid);
	if (!find_sites(t, im, l, addr[0]))
		return ct_fail(err, CT_EXIT_FAILED, "%s: where PHP %s calls and returns is not recognised in its code",
			       file->name, l->version);
	snprintf(t->version, sizeof(t->version), "%s", l->version);
	t->probe.current = addr[1] + bias + l->current;
	t->probe.exception = addr[1] + bias + l->exception;
	return 1;
}
