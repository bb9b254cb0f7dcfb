/* SPDX-License-Identifier: MIT
 * Perl, live: where pp_entersub has set up a sub's context, where pp_leavesub is about to take it away, where goto &sub
 * has put another sub in its place, and where dounwind ends contexts for exceptions, exit, last and the like.
 *
 * These functions are exported. Within them, places are told by what only they do there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/calls_vm_priv.h"
#include "user/elf_symbols.h"

#define FUNCTION_MAX (1u << 16)
#define DEPTH_WARN   100  /* PERL_SUB_DEPTH_WARN: entersub compares the depth of recursion with it, at last */
#define CONTEXT_CV   0x48 /* blk_sub.cv, which is set to 0 when the sub's variables are gone */

#define FIRST_ARGUMENT 7 /* rdi */
#define FEW            5 /* instructions */

enum { ENTERSUB, LEAVESUB, LEAVESUBLV, GOTO, DOUNWIND, DIE_UNWIND, NEXTSTATE, CURSTACKINFO, SYMBOLS };
static const char *const symbols[SYMBOLS] = {"Perl_pp_entersub",  "Perl_pp_leavesub", "Perl_pp_leavesublv",
					     "Perl_pp_goto",      "Perl_dounwind",    "Perl_die_unwind",
					     "Perl_pp_nextstate", "PL_curstackinfo"};

struct function {
	struct ct_call_code code;
	unsigned perl; /* the register that has the interpreter */
	bool known;    /* ... that is */
};

static ct_u64 end_of(const struct ct_image *im, ct_u64 addr)
{
	const struct ct_range *r = ct_image_function(&im->fde, addr);

	return r && r->start == addr && r->end - r->start < FUNCTION_MAX ? r->end : 0;
}

static bool open_function(const struct ct_image *im, ct_u64 addr, struct function *f)
{
	const ct_u64 end = end_of(im, addr);
	struct ct_decoded n;

	memset(f, 0, sizeof(*f));
	if (!end || !ct_call_code_read(im, addr, end - addr, &f->code))
		return false;
	while (!f->known && ct_call_code_next(&f->code, &addr, &n))
		if (n.i.mnemonic == ZYDIS_MNEMONIC_MOV && n.op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    n.op[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ct_insn_register(n.op[1].reg.value) == FIRST_ARGUMENT) {
			f->perl = (unsigned)ct_insn_register(n.op[0].reg.value);
			f->known = f->perl < 16;
		}
	return f->known;
}

/* The next conditional jump within a few instructions becomes a site. */
static bool jump_behind(struct ct_vm_target *t, const struct function *f, ct_u64 addr, enum ct_vm_site what)
{
	struct ct_decoded n;

	for (int i = 0; i < FEW && ct_call_code_next(&f->code, &addr, &n) && !ct_insn_ends(&n); i++)
		if (n.i.meta.category == ZYDIS_CATEGORY_COND_BR)
			return ct_vm_site(t, f->code.offset + (n.addr - f->code.addr), what, f->perl, 0);
	return false;
}

static bool compares_depth(const struct ct_decoded *n)
{
	return n->i.mnemonic == ZYDIS_MNEMONIC_CMP && n->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       n->op[0].size == 32 && n->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	       n->op[1].imm.value.u == DEPTH_WARN;
}

static bool clears_sub(const struct ct_decoded *n)
{
	return n->i.mnemonic == ZYDIS_MNEMONIC_MOV && n->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
	       n->op[0].size == 64 && n->op[0].mem.disp.value == CONTEXT_CV &&
	       n->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && !n->op[1].imm.value.u;
}

/* Behind the first instruction that does this. */
static bool find_behind(struct ct_vm_target *t, const struct function *f, bool (*does)(const struct ct_decoded *n),
			enum ct_vm_site what)
{
	ct_u64 addr = f->code.addr;
	struct ct_decoded n;

	while (ct_call_code_next(&f->code, &addr, &n))
		if (does(&n))
			return jump_behind(t, f, addr, what);
	return false;
}

static bool find_enter(struct ct_vm_target *t, const struct function *f)
{
	return find_behind(t, f, compares_depth, CT_PERL_ENTERS);
}

static bool find_leave(struct ct_vm_target *t, const struct function *f)
{
	return find_behind(t, f, clears_sub, CT_PERL_LEAVES);
}

/* The last jump before goto returns, behind which a register becomes the result. */
static bool find_goto(struct ct_vm_target *t, const struct function *f)
{
	ct_u64 addr = f->code.addr, at = 0;
	unsigned result = 0, rets = 0;
	struct ct_decoded n;

	while (ct_call_code_next(&f->code, &addr, &n)) {
		if (n.i.meta.category == ZYDIS_CATEGORY_COND_BR) {
			at = n.addr;
			result = 0;
		} else if (n.i.meta.category == ZYDIS_CATEGORY_RET) {
			rets++;
			if (!at || !ct_vm_site(t, f->code.offset + (at - f->code.addr), CT_PERL_GOES, f->perl, result))
				return false;
		} else if (ct_insn_branches(&n)) {
			at = 0;
		} else if (n.i.mnemonic == ZYDIS_MNEMONIC_MOV && n.op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			   n.op[1].type == ZYDIS_OPERAND_TYPE_REGISTER && ct_insn_register(n.op[0].reg.value) == 0 &&
			   ct_insn_register(n.op[1].reg.value) > 0) {
			result = (unsigned)ct_insn_register(n.op[1].reg.value);
		}
	}
	return rets > 0;
}

/* The jump behind the comparison with the number of contexts, where the stack is still as at the call. Compilers put
 * the test for whether there is a stack of contexts before the function proper, which others call, too. */
static bool find_unwind(struct ct_vm_target *t, const struct ct_image *im, ct_u64 addr)
{
	struct ct_decoded n;
	bool found = false;

	for (int part = 0; part < 2 && addr && !found; part++) {
		struct ct_call_code c = {.bytes = NULL};
		ct_u64 at = addr, proper = 0;
		bool compared = false;

		if (!ct_call_code_read(im, addr, 64, &c))
			return false;
		for (int i = 0; i < FEW && !found && !proper && ct_call_code_next(&c, &at, &n); i++) {
			if (n.i.mnemonic == ZYDIS_MNEMONIC_PUSH)
				break;
			if (n.i.meta.category == ZYDIS_CATEGORY_UNCOND_BR)
				proper = ct_insn_leads_to(&n);
			if (compared && n.i.meta.category == ZYDIS_CATEGORY_COND_BR)
				found = ct_vm_site(t, c.offset + (n.addr - c.addr), CT_PERL_UNWINDS, FIRST_ARGUMENT, 0);
			compared = n.i.mnemonic == ZYDIS_MNEMONIC_CMP && n.op[0].type == ZYDIS_OPERAND_TYPE_REGISTER;
		}
		free(c.bytes);
		addr = proper;
	}
	return found;
}

static bool find_sites(struct ct_vm_target *t, struct ct_image *im, const ct_u64 *addr)
{
	static const struct {
		unsigned symbol;
		bool (*find)(struct ct_vm_target *t, const struct function *f);
	} in[] = {{ENTERSUB, find_enter}, {LEAVESUB, find_leave}, {LEAVESUBLV, find_leave}, {GOTO, find_goto}};
	struct function f;
	bool ok = true;

	for (size_t i = 0; i < sizeof(in) / sizeof(*in) && ok; i++) {
		ok = open_function(im, addr[in[i].symbol], &f) && in[i].find(t, &f);
		free(f.code.bytes);
	}
	return ok && find_unwind(t, im, addr[DOUNWIND]);
}

static int by_address(const void *a, const void *b)
{
	const ct_u64 *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* PL_revision, PL_version: one byte each. */
static bool is_known(const struct ct_image *im, const struct ct_exec_file *file)
{
	static const char *const names[] = {"PL_revision", "PL_version"};
	ct_u64 addr[2] = {0};
	struct ct_error none;
	ct_u8 version[2] = {0};

	if (ct_elf_symbols_find(im->fd, file->name, names, addr, 2, &none))
		return false;
	for (size_t i = 0; i < im->nload; i++)
		for (int k = 0; k < 2; k++)
			if (addr[k] >= im->load[i].vaddr && addr[k] - im->load[i].vaddr < im->load[i].size &&
			    ct_image_read(im->fd, &version[k], 1, im->load[i].off + (addr[k] - im->load[i].vaddr)) != 1)
				return false;
	return version[0] == 5 && version[1] == 36;
}

int ct_perl_describe(struct ct_vm_target *t, const struct ct_exec_file *file, struct ct_image *im, ct_u64 bias,
		     struct ct_error *err)
{
	ct_u64 addr[SYMBOLS] = {0}, sorted[SYMBOLS];

	if (ct_elf_symbols_find(im->fd, file->name, symbols, addr, SYMBOLS, err))
		return -1;
	if (!addr[ENTERSUB])
		return 0;
	if (!is_known(im, file) || addr[CURSTACKINFO])
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s: the layout of this Perl is not known (5.36 built for threads is)", file->name);
	memcpy(sorted, addr, sizeof(sorted));
	qsort(sorted, SYMBOLS, sizeof(*sorted), by_address);
	ct_image_functions(im, sorted, SYMBOLS);
	if (!end_of(im, addr[DIE_UNWIND]) || !find_sites(t, im, addr))
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s: where Perl 5.36 calls and returns is not recognised in its code", file->name);
	snprintf(t->version, sizeof(t->version), "5.36");
	t->probe.nextstate = addr[NEXTSTATE] + bias;
	t->probe.die_from = addr[DIE_UNWIND] + bias;
	t->probe.die_end = end_of(im, addr[DIE_UNWIND]) + bias;
	return 1;
}
