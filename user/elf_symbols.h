/* SPDX-License-Identifier: MIT
 * The functions of an ELF file by their symbols: .symtab, .dynsym, and the table in .gnu_debugdata of stripped files.
 *
 * Names of C++, Rust and D are shown as their source has them. The file is not trusted. */
#ifndef CT_ELF_SYMBOLS_H
#define CT_ELF_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/error.h"
#include "formats/event.h"

struct ct_elf_symbol {
	char *name; /* as in the source, with C++'s parameter types */
	ct_u64 addr, size;
	ct_u64 offset; /* in the file */
	ct_u64 room;   /* bytes of the function that are in the file from there on */
	ct_u8 rank;    /* of several names of one function the lowest is taken */
	ct_u8 cold;    /* part of a function that the compiler has moved away: never chosen */
};
struct ct_elf_symbols {
	struct ct_elf_symbol *v; /* by address, one for each */
	size_t n, cap;
	struct ct_elf_symbol *cold; /* by address */
	size_t ncold, cold_cap;
	size_t functions; /* there are in the file, whether chosen or not */
	bool go;          /* made by the Go compiler */
	bool unwinds;     /* some of its code takes part in C++ or Rust exceptions */
};

/* Functions of the file open at fd whose name fits one of the patterns: all of it, or what is behind a "::" of it,
 * without parameter types; raw symbols fit, too. -1 with *err if it is no ELF file. */
int ct_elf_symbols_read(int fd, const char *path, const char *const *globs, size_t nglobs, struct ct_elf_symbols *out,
			struct ct_error *err);
void ct_elf_symbols_free(struct ct_elf_symbols *s);
/* Whether addr is in a moved part of a function. */
bool ct_elf_symbols_cold(const struct ct_elf_symbols *s, ct_u64 addr);

/* Why a function of this name is never probed, NULL if it may be: those that do with their return address, or with the
 * stack it is on, what no other function does. The kernel's own one in its place would end the program. */
const char *ct_elf_symbol_taboo(const char *name);

/* Whether the file has one of these symbols, or refers to it. */
bool ct_elf_symbols_refer(int fd, const char *const *names, size_t n);

/* Addresses of symbols of any type by their exact names; 0: there is none. */
int ct_elf_symbols_find(int fd, const char *path, const char *const *names, ct_u64 *addrs, size_t n,
			struct ct_error *err);

#endif
