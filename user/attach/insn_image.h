/* SPDX-License-Identifier: MIT
 * An x86-64 ELF file as the instruction scan sees it: where its code is and where the functions in it begin.
 *
 * Reads whatever it is given, hostile files included: bounded in time and memory, never mapped (it may shrink). */
#ifndef CT_INSN_IMAGE_H
#define CT_INSN_IMAGE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "formats/error.h"
#include "formats/event.h"

struct ct_segment {
	ct_u64 off, vaddr, size; /* the part that is in the file */
};

/* Code [start, end) that begins with an instruction. */
struct ct_range {
	ct_u64 start, end;
};
struct ct_ranges {
	struct ct_range *v; /* sorted, no start twice */
	size_t n, cap;
	bool overflow;
};

struct ct_image {
	int fd;
	const char *name;
	ct_u64 size;
	struct ct_segment *load, *exec; /* all PT_LOAD; the executable ones, sorted by offset */
	size_t nload, nexec;
	ct_u64 eh_hdr_vaddr; /* of .eh_frame_hdr */
	Elf64_Shdr *sh;
	size_t nsh, shstrndx;
	/* Functions that hold one of the addresses given to ct_image_functions: from unwind tables (Go: its own),
	 * symbols. */
	struct ct_ranges fde, sym;
	const ct_u64 *vaddrs; /* these addresses, while ct_image_functions runs */
	size_t nvaddrs;
};

/* Borrows fd and name. On failure there is nothing to close. */
int ct_image_open(struct ct_image *im, int fd, const char *name, struct ct_error *err);
void ct_image_close(struct ct_image *im);
/* Collects the functions around n sorted addresses. Tables that are missing or broken give none. */
void ct_image_functions(struct ct_image *im, const ct_u64 *vaddrs, size_t n);
/* The function that holds vaddr, NULL if this source knows none. */
const struct ct_range *ct_image_function(const struct ct_ranges *r, ct_u64 vaddr);

/* Reads up to len bytes at off; less only at the end of the file. -1 on error. */
ssize_t ct_image_read(int fd, void *buf, size_t len, ct_u64 off);
/* Bytes of code at an address as linked: how many, 0 if there are none, and where in the file they are. */
size_t ct_image_code(const struct ct_image *im, ct_u64 addr, void *buf, size_t len, ct_u64 *offset);
/* Makes room for one more element in the array *v of n elements of `size` bytes. */
int ct_image_grow(void *v, size_t *cap, size_t n, size_t size);

#endif
