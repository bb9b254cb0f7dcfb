// SPDX-License-Identifier: MIT
/* What of a build of Ruby is not in any table: where the code of its instructions is, which registers its evaluation
 * loop uses, where exceptions are raised, where names are. Found in the code; works on stripped files, which export
 * what has to do with instructions (rb_vm_insn_len_info, rb_vm_insn_name_base). */
#include <Zydis/Zydis.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/agents/elf_at.h"
#include "replay/agents/ruby.h"

#define JUMP 5

/* rb_thread_t.ractor and rb_ractor_t's hooks: the same in all versions since 3.0 */
#define THREAD_RACTOR 0x18
#define RACTOR_EVENTS 0x18
#define EVENT_RAISE   0x80
#define EVENT_C_CALL  0x20
#define EVENT_C_END   0x40
#define TAG_FATAL     8

#define EC_CFP    16   /* rb_execution_context_t.cfp */
#define INVOKER   0x10 /* rb_method_definition_t.body.cfunc.invoker */
#define CALL_NEAR 320  /* bytes from a test of hooks to the call that it is for, most */

struct image {
	Elf *elf;
	const unsigned char *data;
	size_t size, nphdr;
	GElf_Phdr phdr[32];
	struct ct_rb_symbol {
		const char *name;
		ct_u64 addr, size;
	} * symbol;
	size_t nsymbol;
	struct relative {
		ct_u64 at, to;
	} * relative; /* rising */
	size_t nrelative;
	ct_u64 text, text_end;
};

static const void *at(const struct image *im, ct_u64 addr, size_t len)
{
	return ct_elf_at(im->data, im->size, im->phdr, im->nphdr, addr, len);
}

static int by_address(const void *a, const void *b)
{
	const struct relative *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static bool read_symbols(struct image *im, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *d = elf_getdata(scn, NULL);
	size_t n = d && sh->sh_entsize ? sh->sh_size / sh->sh_entsize : 0;
	GElf_Sym s;

	im->symbol = calloc(n + 1, sizeof(*im->symbol));
	for (size_t i = 0; im->symbol && i < n; i++)
		if (gelf_getsym(d, (int)i, &s) && s.st_shndx != SHN_UNDEF) {
			const char *name = elf_strptr(im->elf, sh->sh_link, s.st_name);

			if (name)
				im->symbol[im->nsymbol++] = (struct ct_rb_symbol){name, s.st_value, s.st_size};
		}
	return im->symbol != NULL;
}

static bool read_relocations(struct image *im, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *d = elf_getdata(scn, NULL);
	size_t n = d && sh->sh_entsize ? sh->sh_size / sh->sh_entsize : 0;
	struct relative *more = realloc(im->relative, (im->nrelative + n + 1) * sizeof(*more));
	GElf_Rela r;

	if (!more)
		return false;
	im->relative = more;
	for (size_t i = 0; i < n; i++)
		if (gelf_getrela(d, (int)i, &r) && GELF_R_TYPE(r.r_info) == R_X86_64_RELATIVE)
			more[im->nrelative++] = (struct relative){r.r_offset, (ct_u64)r.r_addend};
	return true;
}

static bool open_image(int fd, struct image *im)
{
	GElf_Ehdr eh;
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;
	bool ok = true;

	elf_version(EV_CURRENT);
	im->elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (!im->elf || elf_kind(im->elf) != ELF_K_ELF || !gelf_getehdr(im->elf, &eh) || eh.e_machine != EM_X86_64 ||
	    eh.e_ident[EI_CLASS] != ELFCLASS64 || elf_getphdrnum(im->elf, &im->nphdr) || im->nphdr > 32 ||
	    !(im->data = (const void *)elf_rawfile(im->elf, &im->size)))
		return false;
	for (size_t i = 0; i < im->nphdr; i++) {
		if (!gelf_getphdr(im->elf, (int)i, &im->phdr[i]))
			return false;
		if (im->phdr[i].p_type == PT_LOAD && (im->phdr[i].p_flags & PF_X)) {
			im->text = im->phdr[i].p_vaddr;
			im->text_end = im->text + im->phdr[i].p_filesz;
		}
	}
	while (ok && (scn = elf_nextscn(im->elf, scn)) && gelf_getshdr(scn, &sh)) {
		if (sh.sh_type == SHT_DYNSYM)
			ok = !im->symbol && read_symbols(im, scn, &sh);
		else if (sh.sh_type == SHT_RELA && (sh.sh_flags & SHF_ALLOC))
			ok = read_relocations(im, scn, &sh);
	}
	if (im->nrelative)
		qsort(im->relative, im->nrelative, sizeof(*im->relative), by_address);
	return ok && im->symbol;
}

static void close_image(struct image *im)
{
	free(im->symbol);
	free(im->relative);
	elf_end(im->elf);
}

static const struct ct_rb_symbol *symbol(const struct image *im, const char *name)
{
	for (size_t i = 0; i < im->nsymbol; i++)
		if (!strcmp(im->symbol[i].name, name))
			return &im->symbol[i];
	return NULL;
}

/* ---- decoding ----------------------------------------------------------------------------------------------- */

struct insn {
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ct_u64 addr;
};

static bool decode(const struct image *im, ct_u64 addr, struct insn *n)
{
	static const ZydisDecoder dec = {.machine_mode = ZYDIS_MACHINE_MODE_LONG_64,
					 .stack_width = ZYDIS_STACK_WIDTH_64};
	ct_u64 room = addr < im->text_end ? im->text_end - addr : 0;
	const unsigned char *code;

	if (room > ZYDIS_MAX_INSTRUCTION_LENGTH)
		room = ZYDIS_MAX_INSTRUCTION_LENGTH;
	code = room ? at(im, addr, room) : NULL;
	n->addr = addr;
	if (!code)
		return false;
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code, room, &n->i, n->op));
}

static int reg_number(ZydisRegister reg)
{
	return ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_GPR64 ? ZydisRegisterGetId(reg) : -1;
}

/* A jump or call of a fixed address: where to; else 0. */
static ct_u64 leads_to(const struct insn *n)
{
	return n->i.raw.imm[0].is_relative ? n->addr + n->i.length + (ct_u64)n->i.raw.imm[0].value.s : 0;
}

static bool is_move(const struct insn *n, int *from, int to)
{
	return n->i.mnemonic == ZYDIS_MNEMONIC_MOV && n->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       n->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER && reg_number(n->op[0].reg.value) == to &&
	       (*from = reg_number(n->op[1].reg.value)) >= 0;
}

/* [endbr64] mov %cfp,%rsi; mov %ec,%rdi; in either order: what a traced instruction's code begins with. */
static bool is_traced(const struct image *im, ct_u64 addr, int *cfp, int *ec)
{
	struct insn n;

	*cfp = *ec = -1;
	for (int k = 0; k < 3; k++, addr += n.i.length) {
		if (!decode(im, addr, &n))
			return false;
		if (!k && n.i.meta.category == ZYDIS_CATEGORY_WIDENOP) /* endbr64 */
			continue;
		if (!is_move(&n, cfp, 6) && !is_move(&n, ec, 7))
			return false;
		if (*cfp >= 0 && *ec >= 0)
			return true;
	}
	return false;
}

/* ---- the table of instructions -------------------------------------------------------------------------------- */

/* vm_exec_core's insns_address_table: as many addresses of code as there are instructions; those of the second half
 * begin by calling vm_trace(ec, cfp), but for a few that the compiler has changed. Other tables may lie beside it. */
static bool find_table(const struct image *im, struct ct_ruby *rb)
{
	const unsigned n = rb->ninsns;
	unsigned best = 0;

	for (size_t i = 0, run = 0; i < im->nrelative; i++) {
		const struct relative *r = &im->relative[i], *first = r + 1 - n;
		unsigned votes[2][16] = {{0}}, score = 0;
		int cfp, ec;

		run = r->to >= im->text && r->to < im->text_end ? run && r->at == r[-1].at + 8 ? run + 1 : 1 : 0;
		if (run < n)
			continue;
		for (unsigned k = 0; k < n; k++) {
			if (is_traced(im, first[k].to, &cfp, &ec) != (k >= n / 2))
				continue;
			score++;
			if (k >= n / 2)
				votes[0][cfp]++, votes[1][ec]++;
		}
		if (score <= best || score * 10 < n * 9)
			continue;
		best = score;
		rb->table = first->at;
		for (unsigned k = 0; k < n; k++)
			rb->target[k] = first[k].to;
		for (unsigned k = 0; k < 16; k++) {
			if (votes[0][k] > n / 4)
				rb->cfp_reg = k;
			if (votes[1][k] > n / 4)
				rb->ec_reg = k;
		}
	}
	return best > 0;
}

/* The program counter: what most instructions store, moved on, in the control frame's first word. */
static bool find_pc(const struct image *im, struct ct_ruby *rb)
{
	unsigned votes[16] = {0}, best = 0, seen = 0;
	struct insn n;

	for (unsigned k = 0; k < rb->ninsns / 2; k++) {
		ct_u64 addr = rb->target[k];

		for (int j = 0; j < 16 && decode(im, addr, &n); j++, addr += n.i.length) {
			if (n.i.meta.category == ZYDIS_CATEGORY_UNCOND_BR || n.i.meta.category == ZYDIS_CATEGORY_RET)
				break;
			if (n.i.mnemonic == ZYDIS_MNEMONIC_MOV && n.op[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
			    reg_number(n.op[0].mem.base) == (int)rb->cfp_reg &&
			    n.op[0].mem.index == ZYDIS_REGISTER_NONE && !n.op[0].mem.disp.value &&
			    n.op[1].type == ZYDIS_OPERAND_TYPE_REGISTER && reg_number(n.op[1].reg.value) >= 0) {
				votes[reg_number(n.op[1].reg.value)]++;
				seen++;
				break;
			}
		}
	}
	for (unsigned k = 1; k < 16; k++)
		if (votes[k] > votes[best])
			best = k;
	rb->pc_reg = best;
	return seen >= 40 && votes[best] * 10 >= seen * 8;
}

static const char *insn_name(const struct image *im, unsigned k)
{
	const struct ct_rb_symbol *names = symbol(im, "rb_vm_insn_name_base");
	const char *p = names ? at(im, names->addr, names->size) : NULL, *end = p ? p + names->size : NULL;

	while (p && k && (p = memchr(p, 0, (size_t)(end - p))))
		p++, k--;
	return p && p < end && memchr(p, 0, (size_t)(end - p)) ? p : "";
}

/* ---- sites -------------------------------------------------------------------------------------------------- */

/* Does the code of a traced instruction come to that of a plain one, its own or a more general one? */
static bool comes_to_plain(const struct image *im, const struct ct_ruby *rb, ct_u64 addr)
{
	struct insn n;

	for (int k = 0; k < 8; k++) {
		for (unsigned i = 0; i < rb->ninsns / 2; i++)
			if (addr == rb->target[i])
				return true;
		if (!decode(im, addr, &n))
			return false;
		if (n.i.meta.category == ZYDIS_CATEGORY_UNCOND_BR && leads_to(&n))
			addr = leads_to(&n);
		else if (n.i.meta.category == ZYDIS_CATEGORY_UNCOND_BR)
			return false;
		else
			addr += n.i.length;
	}
	return false;
}

static int add_site(const struct image *im, struct ct_ruby *rb, ct_u64 addr, unsigned least)
{
	struct ct_rb_site *s = &rb->site[rb->nsites];
	struct insn n;

	for (unsigned i = 0; i < rb->nsites; i++)
		if (rb->site[i].at == addr)
			return (int)i;
	if (rb->nsites == CT_RBA_SITES)
		return -1;
	s->at = addr;
	for (s->covered = 0; s->covered < least; s->covered += n.i.length)
		if (!decode(im, addr + s->covered, &n) || s->covered + n.i.length > CT_RB_COVERED)
			return -1;
	memcpy(s->original, at(im, addr, s->covered), s->covered);
	return (int)rb->nsites++;
}

/* Nothing may jump to what a site's jump covers. Code is looked at from the first instruction's to the last one's, and
 * what lies around them. */
static bool sites_are_free(const struct image *im, const struct ct_ruby *rb)
{
	ct_u64 from = im->text_end, to = im->text, addr;
	struct insn n;

	for (unsigned i = 0; i < rb->nsites; i++) {
		from = rb->site[i].at < from ? rb->site[i].at : from;
		to = rb->site[i].at > to ? rb->site[i].at : to;
		for (unsigned k = 0; k < rb->ninsns; k++)
			if (rb->target[k] > rb->site[i].at && rb->target[k] < rb->site[i].at + rb->site[i].covered)
				return false;
	}
	to = to + 4096 < im->text_end ? to + 4096 : im->text_end;
	for (addr = from; addr < to; addr += n.i.length) {
		ct_u64 there;

		if (!decode(im, addr, &n)) {
			n.i.length = 1;
			continue;
		}
		there = n.i.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ? leads_to(&n) : 0;
		for (unsigned i = 0; there && i < rb->nsites; i++)
			if (there > rb->site[i].at && there < rb->site[i].at + rb->site[i].covered)
				return false;
	}
	return true;
}

/* testb $event,hooks.events(register) */
static bool tests_event(const struct insn *n, unsigned event)
{
	return n->i.mnemonic == ZYDIS_MNEMONIC_TEST && n->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
	       n->op[0].size == 8 && n->op[0].mem.disp.value == RACTOR_EVENTS &&
	       n->op[0].mem.index == ZYDIS_REGISTER_NONE && n->op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	       (n->op[1].imm.value.u & 0xff) == event;
}

/* setup_exception: if (tag != TAG_FATAL) { ... if (th->ractor->pub.hooks.events & RUBY_EVENT_RAISE) ... } */
static int find_raise(const struct image *im, struct ct_ruby *rb)
{
	ct_u64 addr = im->text, found = 0, fatal = 0;
	struct insn n, load = {0};
	unsigned count = 0;
	int reg = -1;

	for (; addr < im->text_end; addr += n.i.length) {
		if (!decode(im, addr, &n)) {
			n.i.length = 1;
			load.addr = 0;
			continue;
		}
		if (n.i.mnemonic == ZYDIS_MNEMONIC_CMP && n.op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
		    n.op[0].size == 32 && n.op[1].imm.value.u == TAG_FATAL)
			fatal = addr;
		if (tests_event(&n, EVENT_RAISE) && load.addr && load.addr + load.i.length == addr &&
		    load.op[0].reg.value == n.op[0].mem.base && fatal && addr - fatal < 64) {
			found = load.addr;
			reg = reg_number(load.op[1].mem.base);
			count++;
		}
		load.addr = 0;
		if (n.i.mnemonic == ZYDIS_MNEMONIC_MOV && n.op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    n.op[1].type == ZYDIS_OPERAND_TYPE_MEMORY && n.op[1].mem.disp.value == THREAD_RACTOR &&
		    n.op[1].mem.index == ZYDIS_REGISTER_NONE)
			load = n;
	}
	if (count != 1 || reg < 0)
		return -1;
	rb->thread_reg = (unsigned)reg;
	return add_site(im, rb, found, JUMP);
}

/* Behind the call ec->cfp is loaded: from the execution context's register, which calls leave as it is. */
static int context_register(const struct image *im, ct_u64 addr)
{
	struct insn n;

	for (int k = 0; k < 4 && decode(im, addr, &n); k++, addr += n.i.length) {
		const int reg = n.i.mnemonic == ZYDIS_MNEMONIC_MOV && n.op[1].type == ZYDIS_OPERAND_TYPE_MEMORY &&
						n.op[1].mem.disp.value == EC_CFP &&
						n.op[1].mem.index == ZYDIS_REGISTER_NONE
					? reg_number(n.op[1].mem.base)
					: -1;

		if (reg == 3 || reg == 5 || reg >= 12) /* rbx rbp r12 to r15 */
			return reg;
	}
	return -1;
}

/* Two sites for a call: the instructions right before it, which load its arguments, and those that it returns to. */
static bool add_native(const struct image *im, struct ct_ruby *rb, const ct_u64 before[4], const struct insn *call)
{
	const ct_u64 after = call->addr + call->i.length;
	const int ec = context_register(im, after);
	int begin = -1, end;

	for (int k = 3; k >= 0 && begin < 0; k--)
		if (before[k] && call->addr - before[k] >= JUMP)
			begin = add_site(im, rb, before[k], (unsigned)(call->addr - before[k]));
	if (begin < 0 || ec < 0 || rb->site[begin].at + rb->site[begin].covered != call->addr)
		return false;
	end = add_site(im, rb, after, JUMP);
	if (end < 0)
		return false;
	rb->native[rb->nnative++] = (struct ct_rb_native){(unsigned)begin, (unsigned)end, (unsigned)ec};
	return true;
}

/* Methods written in C are called by vm_call_cfunc_with_frame and vm_call0_cfunc_with_frame: between tests for hooks
 * of their call and of their return, cfunc->invoker(recv, argc, argv, cfunc->func). */
static void find_natives(const struct image *im, struct ct_ruby *rb)
{
	const unsigned nsites = rb->nsites;
	ct_u64 addr = im->text, tested = 0, before[4] = {0}, at[4] = {0};
	struct insn n, call = {0};
	bool ok = true;

	for (; addr < im->text_end && ok; addr += n.i.length) {
		if (!decode(im, addr, &n)) {
			n.i.length = 1;
			memset(before, 0, sizeof(before));
			continue;
		}
		if (tests_event(&n, EVENT_C_CALL)) {
			tested = addr;
			call.addr = 0;
		} else if (n.i.mnemonic == ZYDIS_MNEMONIC_CALL && n.op[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
			   n.op[0].mem.disp.value == INVOKER && n.op[0].mem.index == ZYDIS_REGISTER_NONE && tested &&
			   addr - tested < CALL_NEAR) {
			call = n;
			memcpy(at, before, sizeof(at));
		} else if (tests_event(&n, EVENT_C_END) && call.addr && addr - call.addr < CALL_NEAR) {
			ok = rb->nnative < CT_RBA_NATIVES && add_native(im, rb, at, &call);
			tested = call.addr = 0;
		}
		memmove(before, before + 1, sizeof(before) - sizeof(*before));
		before[3] = addr;
	}
	if (ok && rb->nnative)
		return;
	rb->nnative = 0;
	rb->nsites = nsites;
}

static bool find_sites(const struct image *im, struct ct_ruby *rb)
{
	const unsigned half = rb->ninsns / 2;
	unsigned leaves = 0;

	rb->leave[1] = rb->jump_out = CT_RBA_SITES;
	for (unsigned k = 0; k < half; k++) {
		const char *name = insn_name(im, k);
		int site = add_site(im, rb, rb->target[k], JUMP);

		if (site < 0)
			return false;
		if (!strcmp(name, "leave") || !strcmp(name, "opt_invokebuiltin_delegate_leave"))
			rb->leave[leaves++ & 1] = (unsigned)site;
		if (!strcmp(name, "throw"))
			rb->jump_out = (unsigned)site;
		if (!comes_to_plain(im, rb, rb->target[half + k]) && add_site(im, rb, rb->target[half + k], JUMP) < 0)
			return false;
	}
	find_natives(im, rb);
	return leaves && find_raise(im, rb) == (int)rb->nsites - 1 && sites_are_free(im, rb);
}

/* ---- names -------------------------------------------------------------------------------------------------- */

/* rb_id2str goes on to get_id_serial_entry, which compares the number with symbols.last_id (32 bits) and then loads
 * symbols.ids, 16 bytes behind it. */
static ct_u64 find_symbols(const struct image *im)
{
	const struct ct_rb_symbol *f = symbol(im, "rb_id2str");
	ct_u64 addr = f ? f->addr : 0, last = 0;
	struct insn n;

	for (int k = 0; addr && k < 80 && decode(im, addr, &n); k++) {
		ct_u64 there = 0;

		if (n.op[0].type == ZYDIS_OPERAND_TYPE_MEMORY && n.op[0].mem.base == ZYDIS_REGISTER_RIP)
			there = addr + n.i.length + (ct_u64)n.op[0].mem.disp.value;
		if (n.op[1].type == ZYDIS_OPERAND_TYPE_MEMORY && n.op[1].mem.base == ZYDIS_REGISTER_RIP)
			there = addr + n.i.length + (ct_u64)n.op[1].mem.disp.value;
		if (there && n.i.mnemonic == ZYDIS_MNEMONIC_CMP)
			last = there;
		else if (there && last && there == last + 16)
			return there;
		if (n.i.meta.category == ZYDIS_CATEGORY_UNCOND_BR && leads_to(&n))
			addr = leads_to(&n);
		else
			addr += n.i.length;
	}
	return 0;
}

/* rb_shape_get_shape_by_id begins with loading the tree. */
static ct_u64 find_shapes(const struct image *im)
{
	const struct ct_rb_symbol *f = symbol(im, "rb_shape_get_shape_by_id");
	ct_u64 addr = f ? f->addr : 0;
	struct insn n;

	for (int k = 0; addr && k < 4 && decode(im, addr, &n); k++, addr += n.i.length)
		if (n.i.mnemonic == ZYDIS_MNEMONIC_MOV && n.op[1].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    n.op[1].mem.base == ZYDIS_REGISTER_RIP)
			return addr + n.i.length + (ct_u64)n.op[1].mem.disp.value;
	return 0;
}

static int describe(const struct image *im, const char *path, struct ct_ruby *rb, struct ct_error *err)
{
	const struct ct_rb_symbol *lengths = symbol(im, "rb_vm_insn_len_info"), *version = symbol(im, "ruby_version"),
				  *api = symbol(im, "ruby_api_version");
	const int *v = api ? at(im, api->addr, 8) : NULL;
	const char *text = version ? at(im, version->addr, version->size) : NULL;

	if (!v || !text || !version->size || text[version->size - 1])
		return 0;
	rb->layout = ct_ruby_layout((unsigned)v[0], (unsigned)v[1]);
	if (!rb->layout)
		return ct_fail(err, CT_EXIT_FAILED, "%s is Ruby %s, whose layout is not known", path, text);
	rb->relative = true;
	rb->ninsns = lengths ? (unsigned)lengths->size : 0;
	if (!rb->ninsns || rb->ninsns % 2 || rb->ninsns > CT_RB_INSNS || !find_table(im, rb))
		return ct_fail(err, CT_EXIT_FAILED, "%s: the code of its instructions is not found", path);
	if (!find_pc(im, rb))
		return ct_fail(err, CT_EXIT_FAILED, "%s: the registers of its evaluation loop are not recognised",
			       path);
	if (!find_sites(im, rb))
		return ct_fail(err, CT_EXIT_FAILED, "%s: its code is not such that it can be watched", path);
	rb->symbols = find_symbols(im);
	rb->shapes = find_shapes(im);
	if (!rb->symbols || (!rb->shapes && rb->layout->off.object_ivars == 2))
		return ct_fail(err, CT_EXIT_FAILED, "%s: its tables of names are not found", path);
	return 1;
}

int ct_ruby_find(const char *path, struct ct_ruby *rb, struct ct_error *err)
{
	struct image im = {0};
	int ret = 0, fd = open(path, O_RDONLY | O_CLOEXEC);

	memset(rb, 0, sizeof(*rb));
	if (fd < 0)
		return 0;
	if (open_image(fd, &im))
		ret = describe(&im, path, rb, err);
	close_image(&im);
	close(fd);
	return ret;
}
