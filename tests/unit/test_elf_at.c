/* SPDX-License-Identifier: MIT
 * Files that pretend to be an interpreter: offsets in them that wrap around must not lead out of the file. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/agents/elf_at.h"
#include "replay/agents/python.h"
#include "replay/agents/ruby.h"

#define FAR (1ull << 40) /* nothing is mapped so far in front of anything */

/* The address `at` of a file of 64 bytes with one segment; where it is in the file, -1: nowhere. */
static long where(Elf64_Phdr p, ct_u64 at, size_t len)
{
	static unsigned char file[64];
	const unsigned char *found;

	p.p_type = PT_LOAD;
	found = ct_elf_at(file, sizeof(file), &p, 1, at, len);
	return found ? found - file : -1;
}

Test(elf_at, inside)
{
	const Elf64_Phdr p = {.p_vaddr = 0x1000, .p_offset = 16, .p_filesz = 32};

	cr_expect_eq(where(p, 0x1000, 32), 16);
	cr_expect_eq(where(p, 0x101f, 1), 47);
	cr_expect_eq(where(p, 0x101f, 2), -1);
	cr_expect_eq(where(p, 0x1020, 0), -1);
	cr_expect_eq(where(p, 0xfff, 1), -1);
}

Test(elf_at, numbers_that_wrap)
{
	cr_expect_eq(where((Elf64_Phdr){.p_offset = -16ull, .p_filesz = 64}, 0, 32), -1);
	cr_expect_eq(where((Elf64_Phdr){.p_offset = -16ull, .p_filesz = 64}, 24, 8), -1);
	cr_expect_eq(where((Elf64_Phdr){.p_offset = 48, .p_filesz = 64}, 0, 17), -1);
	cr_expect_eq(where((Elf64_Phdr){.p_offset = 64, .p_filesz = 64}, 0, 1), -1);
	cr_expect_eq(where((Elf64_Phdr){.p_filesz = -1ull}, 0, -1ull), -1);
	cr_expect_eq(where((Elf64_Phdr){.p_vaddr = -32ull, .p_filesz = -1ull}, -1ull, -32ull), -1);
}

/* Its dynamic section is so large that where it begins wraps around to far in front of the file. */
Test(elf_at, interpreter_that_is_none)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph[2];
		char rest[64];
	} file = {.eh = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			 .e_type = ET_DYN,
			 .e_machine = EM_X86_64,
			 .e_version = EV_CURRENT,
			 .e_phoff = sizeof(file.eh),
			 .e_ehsize = sizeof(file.eh),
			 .e_phentsize = sizeof(*file.ph),
			 .e_phnum = 2},
		  .ph = {{.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_offset = -FAR, .p_filesz = 2 * FAR},
			 {.p_type = PT_DYNAMIC, .p_filesz = FAR + 16}}};
	char path[] = "/tmp/ctbpf-elf.XXXXXX";
	int fd = mkstemp(path);
	struct ct_error err;
	struct ct_python py;
	struct ct_ruby rb;

	cr_assert_eq(write(fd, &file, sizeof(file)), (ssize_t)sizeof(file));
	close(fd);
	cr_expect_eq(ct_python_find(path, &py, &err), 0);
	cr_expect_eq(ct_ruby_find(path, &rb, &err), 0);
	unlink(path);
}
