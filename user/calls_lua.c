/* SPDX-License-Identifier: MIT
 * Lua, live: the jumps to where luaV_execute begins with a function, the test whether it has begun with the one that
 * returns, and luaD_throw. luaV_execute is found by that test, luaD_throw by who calls it in order to yield. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/calls_vm_priv.h"
#include "user/elf_symbols.h"

#define CODE_MAX    (64u << 20) /* bytes of one segment */
#define CI_STATUS   62          /* callstatus, in CallInfo */
#define FRESH       4           /* CIST_FRESH, in that */
#define HOOK_MASK   192         /* in lua_State */
#define LUA_YIELD   1
#define YIELD_MAX   256 /* bytes of lua_yieldk */
#define FEW         3   /* instructions */
#define VERSION_MAX 24
#define RSI         6
#define RDI         7

struct loop {
	struct ct_vm_target *t;
	struct ct_call_code code; /* of luaV_execute */
	ct_u64 start;             /* where it begins with a function */
	unsigned ci, from;        /* the register that has its CallInfo, and the one that has it at the start */
};

static ct_u64 offset_of(const struct loop *l, ct_u64 addr)
{
	return l->code.offset + (addr - l->code.addr);
}

/* testb $FRESH,CI_STATUS(%ci) */
static int tests_fresh(const struct ct_decoded *n)
{
	return n->i.mnemonic == ZYDIS_MNEMONIC_TEST && n->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
			       n->op[0].size == 8 && n->op[0].mem.disp.value == CI_STATUS &&
			       n->op[0].mem.index == ZYDIS_REGISTER_NONE &&
			       n->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && n->op[1].imm.value.u == FRESH
		       ? ct_insn_register(n->op[0].mem.base)
		       : -1;
}

/* The address of the first one in the segment; 0: there is none. */
static ct_u64 find_test(const struct ct_call_code *c)
{
	struct ct_decoded n;

	for (size_t i = 3; i + 1 < c->len; i++) {
		if (c->bytes[i] != CI_STATUS || c->bytes[i + 1] != FRESH || c->bytes[i - 2] != 0xf6)
			continue;
		for (size_t before = 3; before >= 2; before--) {
			ct_u64 addr = c->addr + i - before, next = addr;

			if (ct_call_code_next(c, &next, &n) && n.addr == addr && next == c->addr + i + 2 &&
			    tests_fresh(&n) >= 0)
				return addr;
		}
	}
	return 0;
}

/* The jumps behind these tests. */
static bool find_leaves(struct loop *l)
{
	ct_u64 addr = l->code.addr;
	struct ct_decoded n;
	bool any = false;
	int ci;

	while (ct_call_code_next(&l->code, &addr, &n)) {
		ci = tests_fresh(&n);
		if (ci < 0 || !ct_call_code_next(&l->code, &addr, &n))
			continue;
		if (n.i.meta.category != ZYDIS_CATEGORY_COND_BR || (any && (unsigned)ci != l->ci) ||
		    !ct_vm_site(l->t, offset_of(l, n.addr), CT_LUA_LEAVES, (unsigned)ci, 0))
			return false;
		l->ci = (unsigned)ci;
		any = true;
	}
	return any;
}

/* Where the mask of hooks is loaded; the CallInfo's register is set behind it, if it is another one there. */
static bool is_start(struct loop *l, ct_u64 addr)
{
	struct ct_decoded n;

	if (!ct_call_code_next(&l->code, &addr, &n) || n.i.mnemonic != ZYDIS_MNEMONIC_MOV ||
	    n.op[0].type != ZYDIS_OPERAND_TYPE_REGISTER || n.op[0].size != 32 ||
	    n.op[1].type != ZYDIS_OPERAND_TYPE_MEMORY || n.op[1].mem.disp.value != HOOK_MASK)
		return false;
	l->from = l->ci;
	for (int i = 0; i < FEW && ct_call_code_next(&l->code, &addr, &n) && !ct_insn_branches(&n); i++) {
		if (n.i.mnemonic == ZYDIS_MNEMONIC_MOV && n.op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    n.op[1].type == ZYDIS_OPERAND_TYPE_REGISTER && ct_insn_register(n.op[0].reg.value) == (int)l->ci &&
		    ct_insn_register(n.op[1].reg.value) >= 0)
			l->from = (unsigned)ct_insn_register(n.op[1].reg.value);
		if (n.op[1].type == ZYDIS_OPERAND_TYPE_MEMORY && ct_insn_register(n.op[1].mem.base) == (int)l->ci)
			return true;
	}
	return false;
}

static bool find_enters(struct loop *l)
{
	ct_u64 addr = l->code.addr, to;
	struct ct_decoded n;

	while (ct_call_code_next(&l->code, &addr, &n)) {
		to = n.i.mnemonic == ZYDIS_MNEMONIC_CALL ? 0 : ct_insn_leads_to(&n);
		if (!to || (l->start ? to != l->start : !is_start(l, to)))
			continue;
		l->start = to;
		if (!ct_vm_site(l->t, offset_of(l, n.addr), CT_LUA_ENTERS, l->from, 0))
			return false;
	}
	return l->start != 0;
}

/* How far the stack pointer is below the return address, once the function has begun. */
static bool measure_frame(struct loop *l)
{
	ct_u64 addr = l->code.addr;
	struct ct_decoded n;

	while (addr < l->start && ct_call_code_next(&l->code, &addr, &n)) {
		if (n.i.mnemonic == ZYDIS_MNEMONIC_PUSH)
			l->t->probe.frame += 8;
		else if (n.i.mnemonic == ZYDIS_MNEMONIC_SUB && n.op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			 n.op[0].reg.value == ZYDIS_REGISTER_RSP && n.op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			l->t->probe.frame += n.op[1].imm.value.u;
		else if (ct_insn_branches(&n))
			return false;
	}
	return addr == l->start;
}

static bool find_loop(struct ct_vm_target *t, struct ct_image *im)
{
	struct loop l = {.t = t};
	const struct ct_range *f;
	ct_u64 test = 0;
	bool ok;

	for (size_t i = 0; i < im->nexec && !test; i++) {
		struct ct_call_code c = {.bytes = NULL};

		if (im->exec[i].size && im->exec[i].size < CODE_MAX &&
		    ct_call_code_read(im, im->exec[i].vaddr, im->exec[i].size, &c))
			test = find_test(&c);
		free(c.bytes);
	}
	if (!test)
		return false;
	ct_image_functions(im, &test, 1);
	f = ct_image_function(&im->fde, test);
	ok = f && ct_call_code_read(im, f->start, f->end - f->start, &l.code) && find_leaves(&l) && find_enters(&l) &&
	     measure_frame(&l) && ct_vm_entry(t, im, f->start, CT_LUA_BEGINS, RSI);
	free(l.code.bytes);
	return ok;
}

/* lua_yieldk ends with luaD_throw(L, LUA_YIELD). */
static bool find_throw(struct ct_vm_target *t, const struct ct_image *im, ct_u64 yield)
{
	struct ct_call_code c = {.bytes = NULL};
	ct_u64 addr = yield, to = 0;
	struct ct_decoded n;
	int since = FEW + 1;

	if (!ct_call_code_read(im, yield, YIELD_MAX, &c))
		return false;
	while (!to && ct_call_code_next(&c, &addr, &n)) {
		if (n.i.mnemonic == ZYDIS_MNEMONIC_MOV && n.op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    n.op[0].reg.value == ZYDIS_REGISTER_ESI && n.op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
		    n.op[1].imm.value.u == LUA_YIELD)
			since = 0;
		else if (n.i.mnemonic == ZYDIS_MNEMONIC_CALL && since <= FEW)
			to = ct_insn_leads_to(&n);
		since++;
	}
	free(c.bytes);
	return to && ct_vm_entry(t, im, to, CT_LUA_THROWS, RDI);
}

/* lua_ident: "$LuaVersion: Lua 5.4.4  Copyright ..." */
static void read_version(const struct ct_image *im, ct_u64 ident, char version[VERSION_MAX])
{
	char text[64] = "";

	for (size_t i = 0; i < im->nload; i++)
		if (ident >= im->load[i].vaddr && ident - im->load[i].vaddr < im->load[i].size &&
		    ct_image_read(im->fd, text, sizeof(text) - 1, im->load[i].off + (ident - im->load[i].vaddr)) < 0)
			text[0] = 0;
	if (sscanf(text, "$LuaVersion: Lua %15[0-9.]", version) != 1)
		snprintf(version, VERSION_MAX, "?");
}

int ct_lua_describe(struct ct_vm_target *t, const struct ct_exec_file *file, struct ct_image *im, ct_u64 bias,
		    struct ct_error *err)
{
	static const char *const names[] = {"lua_yieldk", "lua_ident"};
	char version[VERSION_MAX];
	ct_u64 addr[2] = {0};

	(void)bias;
	if (ct_elf_symbols_find(im->fd, file->name, names, addr, 2, err))
		return -1;
	if (!addr[0] || !addr[1])
		return 0;
	read_version(im, addr[1], version);
	if (strcmp(version, "5.4.4"))
		return ct_fail(err, CT_EXIT_FAILED, "%s: the layout of Lua %s is not known", file->name, version);
	if (!find_loop(t, im) || !find_throw(t, im, addr[0]))
		return ct_fail(err, CT_EXIT_FAILED, "%s: where Lua %s calls and returns is not recognised in its code",
			       file->name, version);
	snprintf(t->version, sizeof(t->version), "%.15s", version);
	return 1;
}
