/* SPDX-License-Identifier: MIT
 * The instruction scan: what it finds, what it refuses to be certain of, and that no file can hurt it.
 *
 * Some tests want tests/programs/insn_rdtsc in the build directory ($B). */
#include <criterion/criterion.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/attach/insn_scan.h"

/* ---- A small ELF file: one executable segment, unwind table, maybe a symbol ---------------------------- */

#define CODE_AT  0x400
#define EH_AT    0x800
#define HDR_AT   0xa00
#define SYM_AT   0xb00
#define SH_AT    0xc00
#define FILE_LEN 0xe00
#define BASE     0x10000 /* vaddr - offset */

struct elf {
	ct_u8 b[FILE_LEN];
	size_t code, eh;
};

static void put32(struct elf *e, ct_u32 v)
{
	memcpy(e->b + e->eh, &v, 4);
	e->eh += 4;
}

static void elf_begin(struct elf *e)
{
	memset(e, 0, sizeof(*e));
	Elf64_Ehdr *h = (Elf64_Ehdr *)e->b;
	Elf64_Phdr *p = (Elf64_Phdr *)(e->b + sizeof(*h));
	memcpy(h->e_ident, ELFMAG, SELFMAG);
	h->e_ident[EI_CLASS] = ELFCLASS64;
	h->e_ident[EI_DATA] = ELFDATA2LSB;
	h->e_type = ET_DYN;
	h->e_machine = EM_X86_64;
	h->e_phoff = sizeof(*h);
	h->e_phentsize = sizeof(*p);
	h->e_phnum = 2;
	p[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = BASE, .p_filesz = FILE_LEN};
	p[1] = (Elf64_Phdr){.p_type = PT_GNU_EH_FRAME, .p_offset = HDR_AT, .p_vaddr = BASE + HDR_AT, .p_filesz = 12};
	e->code = CODE_AT;
	e->eh = EH_AT;
	const ct_u8 cie[] = {20, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0, 0, 0, 0, 0, 0, 0};
	memcpy(e->b + e->eh, cie, sizeof(cie));
	e->eh += sizeof(cie);
	const ct_u8 hdr[] = {1, 0x1b, 0xff, 0xff};
	memcpy(e->b + HDR_AT, hdr, sizeof(hdr));
	ct_s32 rel = EH_AT - (HDR_AT + 4);
	memcpy(e->b + HDR_AT + 4, &rel, 4);
}

/* Adds bytes, with an FDE if they are a function; returns their offset. */
static ct_u64 elf_add(struct elf *e, const char *bytes, size_t n, bool function)
{
	size_t at = e->code;
	memcpy(e->b + at, bytes, n);
	e->code += n;
	if (function) {
		put32(e, 16);
		put32(e, (ct_u32)(e->eh - EH_AT));
		put32(e, (ct_u32)(at - e->eh));
		put32(e, (ct_u32)n);
		put32(e, 0);
	}
	return at;
}
#define ADD(e, bytes, function) elf_add(e, bytes, sizeof(bytes) - 1, function)

static void elf_symbol(struct elf *e, ct_u64 off, ct_u64 size)
{
	Elf64_Ehdr *h = (Elf64_Ehdr *)e->b;
	Elf64_Sym *s = (Elf64_Sym *)(e->b + SYM_AT);
	Elf64_Shdr *sh = (Elf64_Shdr *)(e->b + SH_AT);
	h->e_shoff = SH_AT;
	h->e_shentsize = sizeof(*sh);
	h->e_shnum = 2;
	s[1] = (Elf64_Sym){
		.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), .st_shndx = 1, .st_value = BASE + off, .st_size = size};
	sh[1] = (Elf64_Shdr){
		.sh_type = SHT_SYMTAB, .sh_offset = SYM_AT, .sh_size = 2 * sizeof(*s), .sh_entsize = sizeof(*s)};
}

static int memfd_of(const void *p, size_t n)
{
	int fd = memfd_create("insn_scan", MFD_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, p, n), (ssize_t)n);
	return fd;
}

static int scan_bytes(const void *p, size_t n, struct ct_insn_sites *s, struct ct_error *err)
{
	int fd = memfd_of(p, n);
	int ret = ct_insn_scan(fd, "test.elf", s, err);
	close(fd);
	return ret;
}

static void scan_elf(const struct elf *e, struct ct_insn_sites *s)
{
	struct ct_error err = {0};
	cr_assert_eq(scan_bytes(e->b, sizeof(e->b), s, &err), 0, "%s", err.msg);
}

Test(insn_scan, a_site_at_an_instruction_of_a_function_is_certain)
{
	struct elf e;
	struct ct_insn_sites s;
	elf_begin(&e);
	ct_u64 f = ADD(&e, "\x90\x0f\x31\x48\x89\xd0\xc3", true); /* nop; rdtsc; mov; ret */
	scan_elf(&e, &s);
	cr_assert_eq(s.n, 1);
	cr_expect(s.v[0].certain);
	cr_expect_eq(s.v[0].offset, f + 1);
	cr_expect_eq(s.v[0].vaddr, BASE + f + 1);
	cr_expect_eq(s.v[0].kind, CT_INSN_RDTSC);
	cr_expect_eq(s.v[0].len, 2);
	cr_expect_eq(s.v[0].next_offset, f + 3);
	cr_expect_eq(s.v[0].next_len, 3);
	cr_expect_eq(s.by_doubt[CT_DOUBT_NONE], 1);
	ct_insn_sites_free(&s);
}

Test(insn_scan, prefixes_belong_to_the_instruction)
{
	struct elf e;
	struct ct_insn_sites s;
	elf_begin(&e);
	ct_u64 f =
		ADD(&e, "\x49\x0f\xc7\xf2\x66\x0f\xc7\xf8\x0f\x01\xf9\xc3", true); /* rdrand r10; rdseed ax; rdtscp */
	scan_elf(&e, &s);
	cr_assert_eq(s.n, 3);
	cr_expect(s.v[0].offset == f && s.v[0].len == 4 && s.v[0].kind == CT_INSN_RDRAND && s.v[0].certain);
	cr_expect(s.v[1].offset == f + 4 && s.v[1].len == 4 && s.v[1].kind == CT_INSN_RDSEED && s.v[1].certain);
	cr_expect(s.v[2].offset == f + 8 && s.v[2].len == 3 && s.v[2].kind == CT_INSN_RDTSCP && s.v[2].certain);
	ct_insn_sites_free(&s);
}

Test(insn_scan, opcode_bytes_inside_another_instruction_are_not_certain)
{
	struct elf e;
	struct ct_insn_sites s;
	elf_begin(&e);
	ADD(&e, "\xb8\x0f\x31\x00\x00\xc3", true); /* mov $0x310f, %eax */
	ADD(&e, "\xf3\x0f\xc7\xf8\xc3", true);     /* rdpid has the bytes of rdseed */
	scan_elf(&e, &s);
	cr_assert_eq(s.n, 2);
	cr_expect_eq(s.by_doubt[CT_DOUBT_INSIDE], 2);
	cr_expect_not(s.v[0].certain || s.v[1].certain);
	ct_insn_sites_free(&s);
}

Test(insn_scan, bytes_outside_functions_are_not_certain)
{
	struct elf e;
	struct ct_insn_sites s;
	elf_begin(&e);
	ADD(&e, "\x90\xc3", true);
	ADD(&e, "\x0f\x31\x90\x0f\xa2", false);
	scan_elf(&e, &s);
	cr_assert_eq(s.n, 2);
	cr_expect_eq(s.by_doubt[CT_DOUBT_NO_FUNCTION], 2);
	ct_insn_sites_free(&s);
}

Test(insn_scan, behind_undecodable_bytes_nothing_is_certain)
{
	struct elf e;
	struct ct_insn_sites s;
	elf_begin(&e);
	ADD(&e, "\x06\x90\x0f\x31\xc3", true); /* 06 is no instruction in 64-bit mode */
	ADD(&e, "\x90\x0f\x31", true);         /* nothing behind it to put the second probe on */
	scan_elf(&e, &s);
	cr_assert_eq(s.n, 2);
	cr_expect_eq(s.by_doubt[CT_DOUBT_UNDECODED], 2);
	ct_insn_sites_free(&s);
}

Test(insn_scan, symbols_are_used_where_there_is_no_unwind_table)
{
	struct elf e;
	struct ct_insn_sites s;
	elf_begin(&e);
	ct_u64 f = ADD(&e, "\x90\x0f\x31\xc3", false);
	elf_symbol(&e, f, 4);
	scan_elf(&e, &s);
	cr_assert_eq(s.n, 1);
	cr_expect(s.v[0].certain);
	ct_insn_sites_free(&s);
}

Test(insn_scan, tables_that_disagree_make_no_certain_site)
{
	struct elf e;
	struct ct_insn_sites s;
	elf_begin(&e);
	ct_u64 f = ADD(&e, "\xb8\x00\x0f\x31\x90\xc3", true); /* from f: a mov with an immediate; from f+2: rdtsc */
	elf_symbol(&e, f + 2, 4);
	scan_elf(&e, &s);
	cr_assert_eq(s.n, 1);
	cr_expect_eq(s.v[0].doubt, CT_DOUBT_DISAGREE);
	ct_insn_sites_free(&s);
}

/* Go's own table, the only one a stripped Go program has. */
static void elf_go_table(struct elf *e, ct_u32 start, ct_u32 end)
{
	static const char names[] = "\0.gopclntab";
	const ct_u32 functab[] = {start, 0, end};
	const ct_u64 head[9] = {0x08010000fffffff1, 1, 0, BASE + CODE_AT, 0, 0, 0, 0, sizeof(head)};
	Elf64_Ehdr *h = (Elf64_Ehdr *)e->b;
	Elf64_Shdr *sh = (Elf64_Shdr *)(e->b + SH_AT);
	h->e_shoff = SH_AT;
	h->e_shentsize = sizeof(*sh);
	h->e_shnum = 3;
	h->e_shstrndx = 2;
	memcpy(e->b + SYM_AT, head, sizeof(head));
	memcpy(e->b + SYM_AT + sizeof(head), functab, sizeof(functab));
	memcpy(e->b + SYM_AT + 128, names, sizeof(names));
	sh[1] = (Elf64_Shdr){
		.sh_name = 1, .sh_type = SHT_PROGBITS, .sh_addr = BASE + SYM_AT, .sh_offset = SYM_AT, .sh_size = 128};
	sh[2] = (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_offset = SYM_AT + 128, .sh_size = sizeof(names)};
}

Test(insn_scan, go_programs_have_a_function_table_of_their_own)
{
	struct elf e;
	struct ct_insn_sites s;
	elf_begin(&e);
	ADD(&e, "\x90\x0f\x31\xc3", false);
	ADD(&e, "\x0f\x31\x90", false); /* behind the last function */
	elf_go_table(&e, 0, 4);
	scan_elf(&e, &s);
	cr_assert_eq(s.n, 2);
	cr_expect(s.v[0].certain);
	cr_expect_eq(s.v[1].doubt, CT_DOUBT_NO_FUNCTION);
	ct_insn_sites_free(&s);
}

/* ---- Probes -------------------------------------------------------------------------------------------- */

Test(insn_scan, two_probes_per_site_merged_where_sites_touch)
{
	struct elf e;
	struct ct_insn_sites s;
	struct ct_insn_probes p;
	struct ct_error err = {0};
	elf_begin(&e);
	ct_u64 f = ADD(&e, "\x0f\x31\x0f\x01\xf9\x0f\xa2\xc3", true); /* rdtsc; rdtscp; cpuid; ret */
	scan_elf(&e, &s);
	cr_assert_eq(ct_insn_probes(&s, true, &p, &err), 0, "%s", err.msg);
	cr_assert_eq(p.n, 3);
	cr_expect(p.offsets[0] == f && p.cookies[0] == CT_INSN_COOKIE(CT_INSN_RDTSC, 2));
	cr_expect(p.offsets[1] == f + 2 && p.cookies[1] == (CT_INSN_COOKIE(CT_INSN_RDTSCP, 3) | CT_INSN_AFTER));
	cr_expect(p.offsets[2] == f + 5 && p.cookies[2] == CT_INSN_AFTER);
	ct_insn_probes_free(&p);
	ct_insn_sites_free(&s);
}

Test(insn_scan, no_probe_on_a_5_byte_nop_of_an_unsafe_kernel)
{
	struct elf e;
	struct ct_insn_sites s;
	struct ct_insn_probes p;
	struct ct_error err = {0};
	elf_begin(&e);
	ADD(&e, "\x0f\x31\x0f\x1f\x44\x00\x00\xc3", true);
	scan_elf(&e, &s);
	cr_assert_eq(s.n, 1);
	cr_expect(s.v[0].certain && s.v[0].next_nop5);
	cr_assert_eq(ct_insn_probes(&s, false, &p, &err), 0, "%s", err.msg);
	cr_expect(p.n == 0 && p.skipped == 1);
	ct_insn_probes_free(&p);
	cr_assert_eq(ct_insn_probes(&s, true, &p, &err), 0, "%s", err.msg);
	cr_expect(p.n == 2 && p.skipped == 0);
	ct_insn_probes_free(&p);
	ct_insn_sites_free(&s);
}

/* ---- The byte search ------------------------------------------------------------------------------------- */

Test(insn_scan, memory_is_searched_to_its_last_byte)
{
	static const struct {
		ct_u8 b[3], n;
		ct_u32 kind;
	} pattern[] = {
		{{0x0f, 0x31}, 2, CT_INSN_RDTSC},        {{0x0f, 0xa2}, 2, CT_INSN_CPUID},
		{{0x0f, 0x01, 0xf9}, 3, CT_INSN_RDTSCP}, {{0x0f, 0xc7, 0xf7}, 3, CT_INSN_RDRAND},
		{{0x0f, 0xc7, 0xf8}, 3, CT_INSN_RDSEED},
	};
	for (size_t k = 0; k < sizeof(pattern) / sizeof(*pattern); k++) {
		for (size_t len = pattern[k].n; len < 70; len++) {
			ct_u8 *code = malloc(len); /* of this very size, for the address sanitizer */
			for (size_t at = 0; at + pattern[k].n <= len; at++) {
				struct ct_insn_sites s;
				struct ct_error err = {0};
				memset(code, 0x0f, len);
				memcpy(code + at, pattern[k].b, pattern[k].n);
				cr_assert_eq(ct_insn_scan_memory(code, len, 0x7000, &s, &err), 0, "%s", err.msg);
				cr_assert_eq(s.n, 1, "kind %u, %zu of %zu: %zu", pattern[k].kind, at, len, s.n);
				cr_assert(s.v[0].kind == pattern[k].kind && s.v[0].offset == at &&
					  s.v[0].vaddr == 0x7000 + at && !s.v[0].certain);
				ct_insn_sites_free(&s);
			}
			free(code);
		}
	}
}

Test(insn_scan, sites_across_read_blocks_are_found_once)
{
	enum { LEN = 600 << 10, BLOCK = 256 << 10 };
	ct_u8 *b = calloc(1, LEN);
	struct elf e;
	struct ct_insn_sites s;
	struct ct_error err = {0};
	elf_begin(&e);
	((Elf64_Phdr *)(e.b + sizeof(Elf64_Ehdr)))->p_filesz = LEN;
	memcpy(b, e.b, sizeof(e.b));
	for (size_t i = 1; i <= 2; i++)
		memcpy(b + i * BLOCK - i, "\x0f\x01\xf9", 3);
	cr_assert_eq(scan_bytes(b, LEN, &s, &err), 0, "%s", err.msg);
	cr_assert_eq(s.n, 2);
	cr_expect(s.v[0].offset == BLOCK - 1 && s.v[1].offset == 2 * BLOCK - 2);
	cr_expect_eq(s.scanned, LEN);
	ct_insn_sites_free(&s);
	free(b);
}

/* ---- Real and hostile files --------------------------------------------------------------------------- */

static int open_program(void)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/tests/programs/insn_rdtsc", getenv("B") ? getenv("B") : "build");
	return open(path, O_RDONLY | O_CLOEXEC);
}

Test(insn_scan, all_sites_of_a_real_program_are_found)
{
	struct ct_insn_sites s;
	struct ct_error err = {0};
	int fd = open_program();
	if (fd < 0)
		cr_assert_fail("tests/programs/insn_rdtsc is not built");
	cr_assert_eq(ct_insn_scan(fd, "insn_rdtsc", &s, &err), 0, "%s", err.msg);
	unsigned n[CT_INSN_CPUID + 1] = {0};
	for (size_t i = 0; i < s.n; i++)
		n[s.v[i].certain ? s.v[i].kind : 0]++;
	cr_expect_eq(n[CT_INSN_RDTSC], 4);
	cr_expect_eq(n[CT_INSN_RDTSCP], 1);
	cr_expect_eq(n[CT_INSN_RDRAND], 2);
	cr_expect_eq(n[CT_INSN_RDSEED], 1);
	cr_expect_geq(n[CT_INSN_CPUID], 1);
	ct_insn_sites_free(&s);
	close(fd);
}

static void expect_refused(const void *p, size_t n, const char *why)
{
	struct ct_insn_sites s;
	struct ct_error err = {0};
	cr_expect_eq(scan_bytes(p, n, &s, &err), -1);
	cr_expect(strstr(err.msg, "test.elf") && strstr(err.msg, why), "%s", err.msg);
	cr_expect_null(s.v);
}

Test(insn_scan, what_is_no_x86_64_elf_file_is_refused_by_name)
{
	struct elf e;
	elf_begin(&e);
	expect_refused("", 0, "not an ELF file");
	expect_refused("#!/bin/sh\n", 10, "not an ELF file");
	expect_refused(e.b, 20, "truncated");
	expect_refused(e.b, sizeof(Elf64_Ehdr) + 8, "program headers");
	e.b[EI_CLASS] = ELFCLASS32;
	expect_refused(e.b, sizeof(e.b), "not an x86-64 ELF file");
}

Test(insn_scan, a_pipe_is_refused)
{
	int fd[2];
	struct ct_insn_sites s;
	struct ct_error err = {0};
	cr_assert_eq(pipe(fd), 0);
	cr_expect_eq(ct_insn_scan(fd[0], "pipe", &s, &err), -1);
	cr_expect(strstr(err.msg, "not a regular file"));
	close(fd[0]);
	close(fd[1]);
}

/* Deterministic, so that a failure can be repeated. */
static ct_u32 random32(ct_u64 *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (ct_u32)(*state >> 33);
}

/* A real file, which the mutations start from: the test program, else this test itself (cut to 1 MB). */
static ct_u8 *real_elf(size_t *len)
{
	int fd = open_program();
	if (fd < 0)
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ct_u8 *b = malloc(1 << 20);
	ssize_t n = read(fd, b, 1 << 20);
	cr_assert_gt(n, 64);
	close(fd);
	*len = (size_t)n;
	return b;
}

static void scan_any(int fd)
{
	struct ct_insn_sites s;
	struct ct_error err = {0};
	if (ct_insn_scan(fd, "hostile", &s, &err) < 0)
		cr_assert(err.msg[0] && !s.v);
	ct_insn_sites_free(&s);
}

Test(insn_scan, truncated_files_do_no_harm, .timeout = 120)
{
	size_t len;
	ct_u8 *b = real_elf(&len);
	int fd = memfd_of(b, len);
	ct_u64 seed = 1;
	for (size_t n = len; n; n = n > 4096 ? n - 1 - random32(&seed) % (len / 300 + 1) : n - 1) {
		cr_assert_eq(ftruncate(fd, (off_t)n), 0);
		scan_any(fd);
	}
	close(fd);
	free(b);
}

Test(insn_scan, mutated_files_do_no_harm, .timeout = 120)
{
	static const ct_u64 nasty[] = {0, 1, 0x7f, 0xff, 0xffff, 0x7fffffff, 0xffffffff, 1ull << 63, ~0ull, ~0ull - 7};
	size_t len;
	ct_u8 *b = real_elf(&len);
	const Elf64_Ehdr h = *(Elf64_Ehdr *)b;
	int fd = memfd_of(b, len);
	ct_u64 seed = 2;
	for (unsigned round = 0; round < 4000; round++) {
		size_t at[4], n = 1 + random32(&seed) % 4;
		for (size_t i = 0; i < n; i++) {
			/* Half of them where it hurts: file header, program headers, section headers. */
			size_t lo = 0, span = len - 8;
			switch (random32(&seed) % 6) {
			case 0: span = sizeof(h); break;
			case 1:
				lo = sizeof(h);
				span = (size_t)h.e_phnum * sizeof(Elf64_Phdr);
				break;
			case 2:
				if (h.e_shoff + (ct_u64)h.e_shnum * sizeof(Elf64_Shdr) + 8 <= len) {
					lo = h.e_shoff;
					span = (size_t)h.e_shnum * sizeof(Elf64_Shdr);
				}
				break;
			default: break;
			}
			at[i] = lo + random32(&seed) % span;
			ct_u64 v = random32(&seed) & 1 ? nasty[random32(&seed) % (sizeof(nasty) / sizeof(*nasty))]
						       : random32(&seed);
			cr_assert_gt(pwrite(fd, &v, 1 + random32(&seed) % 8, (off_t)at[i]), 0);
		}
		scan_any(fd);
		for (size_t i = 0; i < n; i++) /* back to the real file */
			cr_assert_eq(pwrite(fd, b + at[i], 8, (off_t)at[i]), 8);
	}
	close(fd);
	free(b);
}

/* Unwind records of all functions claim to begin anywhere; nothing but certainty may suffer. */
Test(insn_scan, mutated_unwind_tables_do_no_harm, .timeout = 60)
{
	struct elf e;
	ct_u64 seed = 3;
	elf_begin(&e);
	for (unsigned i = 0; i < 20; i++)
		ADD(&e, "\x90\x0f\x31\x0f\xa2\xc3", true);
	elf_go_table(&e, 0, 6);
	for (unsigned round = 0; round < 20000; round++) {
		struct elf m = e;
		struct ct_insn_sites s;
		struct ct_error err = {0};
		for (unsigned i = 0; i < 1 + round % 8; i++)
			m.b[EH_AT + random32(&seed) % (FILE_LEN - EH_AT)] = (ct_u8)random32(&seed);
		cr_assert_eq(scan_bytes(m.b, sizeof(m.b), &s, &err), 0, "%s", err.msg);
		cr_assert_geq(s.n, 40);
		ct_insn_sites_free(&s);
	}
}
