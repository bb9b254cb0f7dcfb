// SPDX-License-Identifier: MIT
/* Bytes of an ELF file by the address that its program headers give them. The file is the recorded program's: none of
 * its numbers is trusted. */
#ifndef CT_ELF_AT_H
#define CT_ELF_AT_H

#include <elf.h>
#include <stddef.h>

#include "formats/event.h"

/* The `len` bytes at an address, NULL: the file, of `size` bytes at `data`, does not have them all. */
static inline const void *ct_elf_at(const unsigned char *data, size_t size, const Elf64_Phdr *ph, size_t nph,
				    ct_u64 addr, size_t len)
{
	for (const Elf64_Phdr *p = ph; p < ph + nph; p++) {
		const ct_u64 in = addr - p->p_vaddr;

		if (p->p_type == PT_LOAD && addr >= p->p_vaddr && in < p->p_filesz && len <= p->p_filesz - in &&
		    p->p_offset <= size && in <= size - p->p_offset && len <= size - p->p_offset - in)
			return data + p->p_offset + in;
	}
	return NULL;
}

#endif
