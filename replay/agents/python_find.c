// SPDX-License-Identifier: MIT
/* What of a build of CPython is not in any table: where its dispatch table is, and which registers hold the frame, the
 * next instruction and the stack. Found in the code of the evaluation loop; works on stripped files. */
#include <Zydis/Zydis.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replay/agents/elf_at.h"
#include "replay/agents/python.h"

#define PREV_INSTR 56 /* of the last instruction in a frame: the same in all versions since 3.11 */
#define HANDLER    12 /* instructions of a handler that are looked at */

struct image {
	const unsigned char *data;
	size_t size;
	const Elf64_Ehdr *ehdr;
	const Elf64_Phdr *phdr;
	/* of the dynamic section */
	const Elf64_Sym *sym;
	size_t nsym;
	const char *str;
	size_t strsize;
	const Elf64_Rela *rela, *plt;
	size_t nrela, nplt;
};

static const void *at(const struct image *im, ct_u64 addr, size_t len)
{
	return ct_elf_at(im->data, im->size, im->phdr, im->ehdr->e_phnum, addr, len);
}

static bool open_image(const char *path, struct image *im)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	memset(im, 0, sizeof(*im));
	if (fd < 0)
		return false;
	if (!fstat(fd, &st) && st.st_size > (off_t)sizeof(Elf64_Ehdr)) {
		im->size = st.st_size;
		im->data = mmap(NULL, im->size, PROT_READ, MAP_PRIVATE, fd, 0);
	}
	close(fd);
	if (!im->data || im->data == MAP_FAILED) {
		im->data = NULL;
		return false;
	}
	im->ehdr = (const void *)im->data;
	im->phdr = (const void *)(im->data + im->ehdr->e_phoff);
	return !memcmp(im->ehdr->e_ident, ELFMAG, SELFMAG) && im->ehdr->e_ident[EI_CLASS] == ELFCLASS64 &&
	       im->ehdr->e_machine == EM_X86_64 && im->ehdr->e_phoff % 8 == 0 && im->ehdr->e_phoff < im->size &&
	       im->ehdr->e_phnum <= (im->size - im->ehdr->e_phoff) / sizeof(Elf64_Phdr);
}

/* The number of symbols is not written down: the GNU hash table's chains end with the last one. */
static size_t count_symbols(const struct image *im, ct_u64 gnu_hash)
{
	const ct_u32 *h = at(im, gnu_hash, 16), *buckets, *chain;
	ct_u32 most = 0;

	if (!h || !h[0])
		return 0;
	buckets = at(im, gnu_hash + 16 + 8ull * h[2], 4ull * h[0]);
	for (ct_u32 i = 0; buckets && i < h[0]; i++)
		if (buckets[i] > most)
			most = buckets[i];
	if (!buckets || most < h[1])
		return 0;
	do {
		chain = at(im, gnu_hash + 16 + 8ull * h[2] + 4ull * h[0] + 4ull * (most - h[1]), 4);
		most++;
	} while (chain && !(*chain & 1));
	return most;
}

static bool read_dynamic(struct image *im)
{
	ct_u64 symtab = 0, strtab = 0, hash = 0, rela = 0, relasz = 0, strsz = 0, plt = 0, pltsz = 0;

	for (unsigned i = 0; i < im->ehdr->e_phnum; i++) {
		const Elf64_Phdr *p = &im->phdr[i];
		const Elf64_Dyn *d = p->p_type == PT_DYNAMIC ? at(im, p->p_vaddr, p->p_filesz) : NULL;

		for (size_t k = 0; d && k < p->p_filesz / sizeof(*d) && d[k].d_tag != DT_NULL; k++) {
			switch (d[k].d_tag) {
			case DT_SYMTAB: symtab = d[k].d_un.d_ptr; break;
			case DT_STRTAB: strtab = d[k].d_un.d_ptr; break;
			case DT_STRSZ: strsz = d[k].d_un.d_val; break;
			case DT_GNU_HASH: hash = d[k].d_un.d_ptr; break;
			case DT_RELA: rela = d[k].d_un.d_ptr; break;
			case DT_RELASZ: relasz = d[k].d_un.d_val; break;
			case DT_JMPREL: plt = d[k].d_un.d_ptr; break;
			case DT_PLTRELSZ: pltsz = d[k].d_un.d_val; break;
			}
		}
	}
	im->nsym = count_symbols(im, hash);
	im->sym = at(im, symtab, im->nsym * sizeof(Elf64_Sym));
	im->str = at(im, strtab, strsz);
	im->strsize = strsz;
	im->rela = at(im, rela, relasz);
	im->nrela = im->rela ? relasz / sizeof(Elf64_Rela) : 0;
	im->plt = at(im, plt, pltsz);
	im->nplt = im->plt ? pltsz / sizeof(Elf64_Rela) : 0;
	return im->nsym && im->sym && im->str && strsz && !im->str[strsz - 1];
}

static const Elf64_Sym *symbol(const struct image *im, const char *name)
{
	for (size_t i = 0; i < im->nsym; i++)
		if (im->sym[i].st_shndx && im->sym[i].st_name < im->strsize &&
		    !strcmp(im->str + im->sym[i].st_name, name))
			return &im->sym[i];
	return NULL;
}

/* ---- the dispatch table ------------------------------------------------------------------------------------- */

struct candidate {
	ct_u64 addr;
	unsigned count;
};
struct candidates {
	struct candidate list[4096];
	unsigned count;
};

static void count_candidate(struct candidates *c, ct_u64 addr)
{
	for (unsigned i = 0; i < c->count; i++)
		if (c->list[i].addr == addr) {
			c->list[i].count++;
			return;
		}
	if (c->count < sizeof(c->list) / sizeof(*c->list))
		c->list[c->count++] = (struct candidate){addr, 1};
}

/* The 256 words at addr, relocated if the file is. */
static bool read_table(const struct image *im, bool relative, ct_u64 addr, ct_u64 target[256])
{
	const unsigned char *words = at(im, addr, 2048);

	if (!words || addr % 8)
		return false;
	memcpy(target, words, 2048);
	if (!relative)
		return true;
	for (size_t i = 0; i < im->nrela; i++)
		if (ELF64_R_TYPE(im->rela[i].r_info) == R_X86_64_RELATIVE && im->rela[i].r_offset >= addr &&
		    im->rela[i].r_offset < addr + 2048 && im->rela[i].r_offset % 8 == 0)
			target[(im->rela[i].r_offset - addr) / 8] = im->rela[i].r_addend;
	return true;
}

static bool is_table(const struct ct_python *py, const ct_u64 target[256])
{
	unsigned different = 0;

	for (int i = 0; i < 256; i++) {
		int k = 0;

		if (target[i] < py->text || target[i] >= py->text_end)
			return false;
		while (target[k] != target[i])
			k++;
		different += k == i;
	}
	return different >= 100; /* no other table of a compiler's has that many */
}

static int reg_number(ZydisRegister reg)
{
	return ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_GPR64 ? ZydisRegisterGetId(reg) : -1;
}

/* Is there, at addr, a stub of the linkage table that jumps to this function? */
static bool is_stub_of(const struct image *im, ct_u64 addr, const char *name)
{
	const unsigned char *code = at(im, addr, 16);
	ct_u64 slot;
	ct_s32 disp;

	for (int i = 0; code && i < 8; i++) {
		if (code[i] != 0xff || code[i + 1] != 0x25) /* jmp *slot(%rip), perhaps behind endbr64 and bnd */
			continue;
		memcpy(&disp, code + i + 2, 4);
		slot = addr + i + 6 + (ct_u64)(ct_s64)disp;
		for (size_t k = 0; k < im->nplt; k++) {
			size_t sym = ELF64_R_SYM(im->plt[k].r_info);

			if (im->plt[k].r_offset == slot)
				return sym < im->nsym && im->sym[sym].st_name < im->strsize &&
				       !strcmp(im->str + im->sym[sym].st_name, name);
		}
		return false;
	}
	return false;
}

/* All instructions of the loop: operands that might be the table's address, jumps by it, calls of PyTraceBack_Here. */
static void sweep(const struct image *im, struct ct_python *py, ct_u64 from, ct_u64 to, struct candidates *c)
{
	const unsigned char *code = at(im, from, to - from);
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	ZydisDecoder dec;

	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (ct_u64 i = 0; code && i < to - from; i += insn.length) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code + i, to - from - i, &insn, ops))) {
			insn.length = 1;
			continue;
		}
		if (insn.mnemonic == ZYDIS_MNEMONIC_CALL && insn.raw.imm[0].is_relative && py->ncalls < CT_PY_CALLS &&
		    from == py->eval) {
			ct_u64 callee = from + i + insn.length + (ct_u64)insn.raw.imm[0].value.s;

			if (insn.length == 5 &&
			    (callee == py->traceback || (im->nplt && is_stub_of(im, callee, "PyTraceBack_Here")))) {
				py->traceback = callee;
				py->traceback_call[py->ncalls++] = from + i;
			}
		}
		for (int k = 0; k < insn.operand_count_visible; k++) {
			if (ops[k].type != ZYDIS_OPERAND_TYPE_MEMORY || !ops[k].mem.disp.has_displacement)
				continue;
			if (ops[k].mem.base == ZYDIS_REGISTER_RIP && insn.mnemonic == ZYDIS_MNEMONIC_LEA)
				count_candidate(c, from + i + insn.length + (ct_u64)ops[k].mem.disp.value);
			else if (ops[k].mem.base == ZYDIS_REGISTER_NONE && ops[k].mem.scale == 8)
				count_candidate(c, (ct_u64)ops[k].mem.disp.value);
		}
	}
}

/* A word of the dispatch table, or maybe of another one. */
static bool by_table(const struct ct_python *py, const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->mem.scale == 8 &&
	       (op->mem.base != ZYDIS_REGISTER_NONE || (ct_u64)op->mem.disp.value == py->table);
}

/* Through which registers handlers are jumped to, having been loaded from a table of words: they hold the handler's
 * address when it begins. `jmp *(table,index,8)` leaves none. */
static void find_jumps(const struct image *im, struct ct_python *py, ct_u64 from, ct_u64 to)
{
	const unsigned char *code = at(im, from, to - from);
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	bool loaded[16] = {false};
	ZydisDecoder dec;

	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (ct_u64 i = 0; code && i < to - from; i += insn.length) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code + i, to - from - i, &insn, ops))) {
			insn.length = 1;
			continue;
		}
		if (insn.mnemonic == ZYDIS_MNEMONIC_MOV && ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    reg_number(ops[0].reg.value) >= 0)
			loaded[reg_number(ops[0].reg.value)] = by_table(py, &ops[1]);
		if (insn.mnemonic == ZYDIS_MNEMONIC_JMP && ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    reg_number(ops[0].reg.value) >= 0 && loaded[reg_number(ops[0].reg.value)])
			py->jump_regs |= 1u << reg_number(ops[0].reg.value);
		if (insn.mnemonic == ZYDIS_MNEMONIC_JMP && by_table(py, &ops[0]))
			py->indirect = true;
	}
}

static int most(const unsigned votes[16], int unlike, int unlike2)
{
	int best = -1;

	for (int i = 0; i < 16; i++)
		if (i != unlike && i != unlike2 && votes[i] && (best < 0 || votes[i] > votes[best]))
			best = i;
	return best;
}

/* The first instructions of all handlers: they store the next instruction in the frame, and use what is on the stack.
 */
static bool find_registers(const struct image *im, struct ct_python *py)
{
	unsigned frame[16] = {0}, next[16] = {0}, stack[16] = {0}, seen = 0;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	ZydisDecoder dec;
	int f, n, s;

	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (int op = 0; op < 256; op++) {
		const unsigned char *code = at(im, py->target[op], 128);
		bool stored = false;

		for (size_t i = 0, k = 0; code && k < HANDLER && i < 112; i += insn.length, k++) {
			if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code + i, 128 - i, &insn, ops)))
				break;
			if (insn.meta.category == ZYDIS_CATEGORY_RET || insn.meta.category == ZYDIS_CATEGORY_UNCOND_BR)
				break;
			if (!stored && insn.mnemonic == ZYDIS_MNEMONIC_MOV &&
			    ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY && ops[0].mem.disp.value == PREV_INSTR &&
			    ops[0].mem.index == ZYDIS_REGISTER_NONE && ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			    reg_number(ops[0].mem.base) >= 0 && reg_number(ops[1].reg.value) >= 0) {
				frame[reg_number(ops[0].mem.base)]++;
				next[reg_number(ops[1].reg.value)]++;
				seen++;
				stored = true;
			}
			for (int o = 0; o < insn.operand_count_visible; o++)
				if (insn.mnemonic == ZYDIS_MNEMONIC_MOV && ops[o].type == ZYDIS_OPERAND_TYPE_MEMORY &&
				    ops[o].size == 64 && ops[o].mem.index == ZYDIS_REGISTER_NONE &&
				    (ops[o].mem.disp.value == -8 || ops[o].mem.disp.value == -16) &&
				    reg_number(ops[o].mem.base) >= 0)
					stack[reg_number(ops[o].mem.base)]++;
		}
	}
	f = most(frame, -1, -1);
	n = most(next, f, -1);
	s = most(stack, f, n);
	if (f < 0 || n < 0 || s < 0 || seen < 100 || frame[f] * 10 < seen * 8)
		return false;
	py->frame_reg = f;
	py->next_reg = n;
	py->stack_reg = s;
	return true;
}

/* _PyRuntime begins with struct _Py_DebugOffsets since 3.13: a cookie, the version, whether it is free-threaded. */
static bool free_threaded(const struct image *im, ct_u64 runtime)
{
	const unsigned char *begin = at(im, runtime, 24);
	ct_u64 flag = 0;

	if (!begin || memcmp(begin, "xdebugpy", 8))
		return false;
	memcpy(&flag, begin + 16, 8);
	return flag != 0;
}

/* Up to 3.10 the version is nowhere but in the text that Py_GetVersion() makes. */
static unsigned old_version(const struct image *im)
{
	const Elf64_Sym *f = symbol(im, "Py_GetVersion");
	const unsigned char *code = f ? at(im, f->st_value, f->st_size) : NULL;
	unsigned major, minor, micro = 0;
	ct_s32 word;

	for (size_t i = 0; code && i + 4 <= f->st_size; i++) { /* an operand: an address, or how far it is away */
		const char *text;

		memcpy(&word, code + i, 4);
		for (int relative = 0; relative < 2; relative++) {
			text = at(im, (relative ? f->st_value + i + 4 : 0) + (ct_u64)(ct_s64)word, 8);
			if (text && memchr(text, 0, 8) && strspn(text, "0123456789.+") >= 5 &&
			    sscanf(text, "%u.%u.%u", &major, &minor, &micro) == 3 && major == 3 && minor < 256)
				return major << 24 | minor << 16 | (micro & 255) << 8;
		}
	}
	return 0;
}

static int describe(const struct image *im, const char *path, struct ct_python *py, struct ct_error *err)
{
	const Elf64_Sym *eval = symbol(im, "_PyEval_EvalFrameDefault"), *runtime = symbol(im, "_PyRuntime"),
			*version = symbol(im, "Py_Version"), *traceback = symbol(im, "PyTraceBack_Here");
	struct candidates *c;
	ct_u64 target[256], from = 0, to = 0;
	unsigned best = 0;

	if (!eval || !runtime)
		return 0;
	py->version = version && at(im, version->st_value, 8) ? *(const ct_u32 *)at(im, version->st_value, 8)
							      : old_version(im);
	if (!ct_python_layout(py->version))
		return ct_fail(err, CT_EXIT_FAILED, "%s is CPython %u.%u, whose layout is not known", path,
			       py->version >> 24, py->version >> 16 & 255);
	if (free_threaded(im, runtime->st_value))
		return ct_fail(err, CT_EXIT_FAILED, "%s is a free-threaded CPython, which cannot be watched", path);
	py->relative = im->ehdr->e_type == ET_DYN;
	py->eval = eval->st_value;
	py->eval_size = eval->st_size;
	py->runtime = runtime->st_value;
	py->traceback = traceback ? traceback->st_value : 0;
	for (unsigned i = 0; i < im->ehdr->e_phnum; i++)
		if (im->phdr[i].p_type == PT_LOAD && (im->phdr[i].p_flags & PF_X)) {
			py->text = im->phdr[i].p_vaddr;
			py->text_end = py->text + im->phdr[i].p_filesz;
		}
	c = calloc(1, sizeof(*c));
	if (!c)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (int all = 0; all < 2 && !py->table; all++) {
		/* Compilers may put the handlers' code elsewhere than the function's symbol says. */
		from = all ? py->text : py->eval;
		to = all ? py->text_end : py->eval + py->eval_size;
		memset(c, 0, sizeof(*c));
		sweep(im, py, from, to, c);
		for (unsigned i = 0; i < c->count; i++)
			if (c->list[i].count > best && (py->relative || c->list[i].count >= 16) &&
			    read_table(im, py->relative, c->list[i].addr, target) && is_table(py, target)) {
				best = c->list[i].count;
				py->table = c->list[i].addr;
				memcpy(py->target, target, sizeof(target));
			}
	}
	free(c);
	if (!py->table)
		return ct_fail(err, CT_EXIT_FAILED, "%s: no dispatch table found (built without computed gotos?)",
			       path);
	find_jumps(im, py, from, to);
	if (py->version < 0x030b0000
		    ? !at(im, py->eval, py->eval_size) || !ct_python_old_find(py, at(im, py->eval, py->eval_size))
		    : !find_registers(im, py))
		return ct_fail(err, CT_EXIT_FAILED, "%s: the registers of its evaluation loop are not recognised",
			       path);
	return 1;
}

int ct_python_find(const char *path, struct ct_python *py, struct ct_error *err)
{
	struct image im;
	int ret = 0;

	memset(py, 0, sizeof(*py));
	if (open_image(path, &im) && read_dynamic(&im))
		ret = describe(&im, path, py, err);
	if (im.data)
		munmap((void *)im.data, im.size);
	return ret;
}
