/* SPDX-License-Identifier: MIT
 * Ruby, live: the places in the evaluation loop that every call and return comes by, found in its code, and names.
 *
 * vm_exec_core runs a method that another one calls in itself: behind what has sent the message it takes the frame
 * from the execution context again if the result is Qundef (RESTORE_REGS), else the method was a C function and is
 * over. Frames pushed by C functions come by vm_exec; frames end by `leave`, which puts the outer one there. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/call_code.h"
#include "user/call_files.h"
#include "user/calls.h"
#include "user/sites.h"

#define EC_CFP   16
#define LANDINGS 16
#define LOOP_MAX (1u << 17) /* bytes of vm_exec_core */
#define BEHIND   4096       /* ... behind the last instruction's beginning */
#define EXEC_MAX 4096       /* of vm_exec */
#define JIT_ROOM (1u << 20)

/* Where frames are entered; `stepped`: by ways that do not compare anything. */
struct landing {
	ct_u64 addr;
	bool reached, stepped;
};
struct loop {
	const struct ct_ruby *rb;
	struct ct_ruby_target *t;
	struct landing landing[LANDINGS];
	unsigned nlandings;
};

static bool add_site(struct ct_ruby_target *t, const struct ct_call_code *c, ct_u64 addr, enum ct_ruby_site what,
		     unsigned ec, unsigned compared)
{
	if (t->nsites == CT_RUBY_SITES)
		return false;
	t->site[t->nsites].offset = c->offset + (addr - c->addr);
	t->site[t->nsites].what = what;
	t->site[t->nsites].ec = ec;
	t->site[t->nsites++].compared = compared;
	return true;
}

/* mov EC_CFP(%ec),%cfp ... mov (%cfp),%pc */
static void find_landings(struct loop *l, const struct ct_call_code *c)
{
	ct_u64 addr = c->addr, at, load = 0;
	struct ct_decoded n;

	while (ct_call_code_next(c, &addr, &n)) {
		if (!ct_insn_loads(&n, l->rb->ec_reg, EC_CFP, l->rb->cfp_reg))
			continue;
		load = n.addr;
		at = addr;
		for (int k = 0; k < 4 && ct_call_code_next(c, &at, &n) && !ct_insn_branches(&n); k++)
			if (ct_insn_loads(&n, l->rb->cfp_reg, 0, l->rb->pc_reg) && l->nlandings < LANDINGS) {
				l->landing[l->nlandings++].addr = load;
				break;
			}
	}
}

/* cmp $Qundef,%reg */
static int compares(const struct ct_decoded *n, unsigned undef)
{
	return n->i.mnemonic == ZYDIS_MNEMONIC_CMP && n->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			       n->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && n->op[1].imm.value.u == undef
		       ? ct_insn_register(n->op[0].reg.value)
		       : -1;
}

/* How the landings are come to: with `add`, the ways that compare become sites. */
static bool find_ways(struct loop *l, const struct ct_call_code *c, bool add)
{
	struct ct_decoded n, before = {.addr = 0};
	ct_u64 addr = c->addr;
	bool falls = true;

	for (; ct_call_code_next(c, &addr, &n); before = n) {
		for (unsigned i = 0; i < l->nlandings; i++) {
			struct landing *g = &l->landing[i];
			const int reg = compares(&before, l->t->probe.undef);

			if (n.addr == g->addr && falls)
				g->reached = g->stepped = true;
			if (ct_insn_leads_to(&n) != g->addr)
				continue;
			g->reached = true;
			if (n.i.mnemonic != ZYDIS_MNEMONIC_JZ || reg < 0 || before.addr + before.i.length != n.addr)
				g->stepped = true;
			else if (add && !g->stepped &&
				 !add_site(l->t, c, n.addr, CT_RUBY_MAY, l->rb->ec_reg, (unsigned)reg))
				return false;
		}
		/* What fills up the room behind a jump is come to by nobody. */
		if (n.i.meta.category != ZYDIS_CATEGORY_NOP && n.i.meta.category != ZYDIS_CATEGORY_WIDENOP)
			falls = !ct_insn_ends(&n);
	}
	return true;
}

/* cmp %a,%b: the one that is not `other`; -1: it is another instruction. */
static int compared_with(const struct ct_decoded *n, int other)
{
	const int a = ct_insn_register(n->op[0].reg.value), b = ct_insn_register(n->op[1].reg.value);

	if (n->i.mnemonic != ZYDIS_MNEMONIC_CMP || n->op[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
	    n->op[1].type != ZYDIS_OPERAND_TYPE_REGISTER || (a != other && b != other))
		return -1;
	return a == other ? b : a;
}

/* From 3.3 on, what sends looks whether there is a new frame, before it looks for compiled code of it:
 * mov EC_CFP(%ec),%new; cmp %new,%old; je */
static bool find_looks(struct loop *l, const struct ct_call_code *c)
{
	ct_u64 addr = c->addr, at;
	struct ct_decoded n;
	int new, old;

	while (ct_call_code_next(c, &addr, &n)) {
		new = n.op[0].type == ZYDIS_OPERAND_TYPE_REGISTER ? ct_insn_register(n.op[0].reg.value) : -1;
		if (new < 0 || !ct_insn_loads(&n, l->rb->ec_reg, EC_CFP, (unsigned)new))
			continue;
		at = addr;
		if (!ct_call_code_next(c, &at, &n) || (old = compared_with(&n, new)) < 0 ||
		    !ct_call_code_next(c, &at, &n) || n.i.mnemonic != ZYDIS_MNEMONIC_JZ)
			continue;
		if (!add_site(l->t, c, n.addr, CT_RUBY_DIFFERS, l->rb->ec_reg, (unsigned)old))
			return false;
	}
	return true;
}

/* Behind the store of the outer frame, which comes once the frame's end cannot be interrupted any more. */
static bool find_leave(struct loop *l, const struct ct_call_code *c, ct_u64 addr)
{
	bool stored = false;
	struct ct_decoded n;

	for (int k = 0; k < 64 && ct_call_code_next(c, &addr, &n); k++) {
		if (stored && n.i.meta.category == ZYDIS_CATEGORY_COND_BR)
			return add_site(l->t, c, n.addr, CT_RUBY_LEAVES, l->rb->ec_reg, 0);
		if (ct_insn_ends(&n) || (stored && n.i.meta.category == ZYDIS_CATEGORY_CALL))
			break;
		stored |= ct_insn_stores(&n, l->rb->cfp_reg, l->rb->ec_reg, EC_CFP);
	}
	return false;
}

static bool find_in_loop(struct loop *l, const struct ct_image *im, ct_u64 *first)
{
	ct_u64 from = l->rb->target[0], to = from;
	struct ct_call_code c = {.bytes = NULL};
	unsigned cheap;
	bool ok;

	for (unsigned i = 1; i < l->rb->ninsns; i++) {
		from = l->rb->target[i] < from ? l->rb->target[i] : from;
		to = l->rb->target[i] > to ? l->rb->target[i] : to;
	}
	*first = from;
	ok = to - from < LOOP_MAX && ct_call_code_read(im, from, to - from + BEHIND, &c);
	if (ok) {
		find_landings(l, &c);
		ok = find_ways(l, &c, false) && find_ways(l, &c, true) && (l->t->nsites || find_looks(l, &c));
	}
	cheap = l->t->nsites;
	for (unsigned i = 0; i < l->nlandings && ok; i++)
		if (l->landing[i].stepped)
			ok = add_site(l->t, &c, l->landing[i].addr, CT_RUBY_ENTERS, l->rb->ec_reg, 0);
	for (unsigned i = 0; i < 2 && ok; i++)
		if (l->rb->leave[i] < l->rb->nsites)
			ok = find_leave(l, &c, l->rb->site[l->rb->leave[i]].at);
	free(c.bytes);
	return ok && cheap >= 4; /* send, opt_send_without_block, invokesuper, invokeblock */
}

/* The loop begins little before `first`. */
static bool calls_loop(const struct ct_decoded *n, ct_u64 first)
{
	const ct_u64 to = n->i.mnemonic == ZYDIS_MNEMONIC_CALL ? ct_insn_leads_to(n) : 0;

	return to && to <= first && first - to <= 512;
}

/* vm_exec where it is not exported: the function behind the loop that calls it. 0: not found. */
static ct_u64 exec_behind(struct ct_image *im, ct_u64 first)
{
	struct ct_call_code c = {.bytes = NULL};
	const struct ct_range *f = NULL;
	ct_u64 addr = first, at;
	struct ct_decoded n;

	if (!ct_call_code_read(im, first, LOOP_MAX, &c))
		return 0;
	while (ct_call_code_next(&c, &addr, &n)) {
		if (!calls_loop(&n, first))
			continue;
		at = n.addr;
		ct_image_functions(im, &at, 1);
		f = ct_image_function(&im->fde, at);
		break;
	}
	free(c.bytes);
	return f ? f->start : 0;
}

/* Its beginning, and where it calls the loop. */
static bool find_exec(struct loop *l, const struct ct_image *im, ct_u64 exec, ct_u64 first)
{
	struct ct_call_code c = {.bytes = NULL};
	bool ok = exec && ct_call_code_read(im, exec, EXEC_MAX, &c), called = false;
	struct ct_site site;
	struct ct_decoded n;
	ct_u64 addr = exec;

	if (ok) {
		ct_site_entry(c.bytes, c.len, &site);
		ok = site.cost != CT_SITE_NONE && site.nargs > 0 &&
		     add_site(l->t, &c, exec + site.at, CT_RUBY_ENTERS, 7, 0);
		l->t->stepped |= site.cost == CT_SITE_STEPPED;
	}
	while (ok && ct_call_code_next(&c, &addr, &n)) {
		if (!calls_loop(&n, first))
			continue;
		called = true;
		ok = add_site(l->t, &c, n.addr, CT_RUBY_RESUMES, 7, 0);
	}
	free(c.bytes);
	return ok && called;
}

/* Room for code that is made at run time, as YJIT asks for at the start: nothing that is exported tells of that one. */
static bool has_room_for_code(pid_t pid)
{
	struct ct_error none;
	struct ct_maps maps;
	bool room = false;

	if (ct_maps_read(pid, &maps, &none))
		return false;
	for (size_t i = 0; i < maps.count; i++) {
		const struct ct_map *m = &maps.map[i];

		room |= (m->prot & PROT_EXEC) && !m->ino && m->end - m->start >= JIT_ROOM;
	}
	ct_maps_deinit(&maps);
	return room;
}

/* A compiler's code comes by none of these places. */
static int refuse_compiled(const struct ct_ruby_target *t, const struct ct_exec_file *file, const struct ct_image *im,
			   ct_u64 bias, int memfd, struct ct_error *err)
{
	static const char *const names[] = {"mjit_call_p", "rb_rjit_call_p"};
	bool compiles = has_room_for_code(t->pid);
	ct_u64 addr[2] = {0};
	ct_u8 on = 0;

	if (ct_elf_symbols_find(im->fd, file->name, names, addr, 2, err))
		return -1;
	for (unsigned i = 0; i < 2; i++)
		compiles |= addr[i] && ct_mem_read(memfd, addr[i] + bias, &on, 1) && on;
	if (!compiles)
		return 0;
	return ct_fail(
		err, CT_EXIT_FAILED,
		"%s: a JIT compiler is on in process %d, and calls of what it has compiled cannot be seen: run the "
		"program without --yjit and --jit",
		file->name, t->pid);
}

static int describe(struct ct_ruby_target *t, const struct ct_exec_file *file, const struct ct_ruby *rb,
		    struct ct_image *im, ct_u64 bias, struct ct_error *err)
{
	static const char *const exec = "rb_vm_exec";
	const struct ct_rba_offsets *off = &rb->layout->off;
	struct loop l = {.rb = rb, .t = t};
	ct_u64 addr = 0, first;

	if (ct_elf_symbols_find(im->fd, file->name, &exec, &addr, 1, err))
		return -1;
	t->probe = (struct ct_ruby_probe){.tgid = t->pid,
					  .cfp_size = off->cfp_size,
					  .undef = off->undef,
					  .line_tagged = rb->layout->first_line_tagged,
					  .str_embed = off->str_embed,
					  .str_embed_len = off->str_embed_len};
	if (off->location != 64 || rb->layout->first_line != 88 || !find_in_loop(&l, im, &first) ||
	    !find_exec(&l, im, addr ? addr : exec_behind(im, first), first))
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s: where Ruby %u.%u calls and returns is not recognised in its code", file->name,
			       rb->layout->major, rb->layout->minor);
	snprintf(t->path, sizeof(t->path), "%s", file->path);
	snprintf(t->name, sizeof(t->name), "%s", file->name);
	t->major = rb->layout->major;
	t->minor = rb->layout->minor;
	t->reader = (struct ct_rb_reader){-1, rb->layout, rb->symbols + bias, rb->shapes + bias};
	return 1;
}

static int on_file(void *ctx, const struct ct_exec_file *file, struct ct_error *err)
{
	const char *base = strrchr(file->name, '/');
	struct ct_ruby_target *t = ctx;
	struct ct_error why = {0};
	struct ct_image im;
	struct ct_ruby *rb;
	char mem[64];
	ct_u64 bias;
	int fd, memfd, ret;

	if (!file->program && strncmp(base, "/libruby", 8) && strncmp(base, "/ruby", 5))
		return 0;
	rb = malloc(sizeof(*rb));
	if (!rb)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	ret = ct_ruby_find(file->path, rb, &why);
	if (ret <= 0) {
		free(rb);
		return ret < 0 ? ct_fail(err, CT_EXIT_FAILED, "%s: %.300s", file->name, why.msg) : 0;
	}
	snprintf(mem, sizeof(mem), "/proc/%d/mem", t->pid);
	memfd = open(mem, O_RDONLY | O_CLOEXEC);
	fd = open(file->path, O_RDONLY | O_CLOEXEC);
	ret = fd < 0 || memfd < 0 ? ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot open", file->name)
				  : ct_exec_bias(fd, file, &bias, err);
	if (!ret && !(ret = ct_image_open(&im, fd, file->name, err))) {
		ret = refuse_compiled(t, file, &im, bias, memfd, err);
		if (!ret)
			ret = describe(t, file, rb, &im, bias, err);
		ct_image_close(&im);
	}
	if (fd >= 0)
		close(fd);
	if (memfd >= 0)
		close(memfd);
	free(rb);
	return ret;
}

int ct_ruby_target(pid_t pid, struct ct_ruby_target *t, struct ct_error *err)
{
	memset(t, 0, sizeof(*t));
	t->pid = pid;
	t->reader.memfd = -1;
	return ct_each_exec_file(pid, on_file, t, err);
}

/* ---- names --------------------------------------------------------------------------------------------- */

const struct ct_event *ct_ruby_rewrite(const struct ct_ruby_target *t, void *buf, const struct ct_event *ev)
{
	static const char language[] = "ruby";
	struct ct_event *out = buf;
	struct ct_ev_function *f = (struct ct_ev_function *)(out + 1);
	char *to = (char *)(f + 1), *label;
	const char *file, *name = ct_event_function(ev, &file);
	const struct ct_ev_function *g = ct_event_payload(ev);
	struct ct_ruby_name more;
	size_t len;

	if (ev->size < sizeof(*ev) + sizeof(*g) + g->name_len + g->file_len + sizeof(more))
		return ev;
	memcpy(&more, file + g->file_len, sizeof(more));
	*out = *ev;
	*f = *g;
	f->flags &= (ct_u16)~CT_FNF_UNITS;
	label = strndup(name, g->name_len);
	/* A label that was cut does not end with the method's name: it stays as it is. */
	if (label && t)
		label = ct_rb_function_name(&t->reader, label, more.base, more.method, more.bmethod, more.type);
	len = label ? strlen(label) : g->name_len;
	if (len > CT_CALLS_REWRITE_BUF / 2) {
		len = CT_CALLS_REWRITE_BUF / 2;
		f->flags |= CT_FNF_CUT;
	}
	memcpy(to, label ? label : name, len);
	free(label);
	f->name_len = (ct_u16)len;
	memcpy(to + len, file, g->file_len);
	memcpy(to + len + g->file_len, language, sizeof(language) - 1);
	out->size = (ct_u32)(sizeof(*out) + sizeof(*f) + len + g->file_len + sizeof(language) - 1);
	return out;
}
