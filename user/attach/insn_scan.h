/* SPDX-License-Identifier: MIT
 * Where a program's code has instructions with unpredictable results: rdtsc, rdtscp, rdrand, rdseed, cpuid.
 *
 * A breakpoint in the middle of an instruction, or in data, would break the program. So a site counts as certain only
 * if decoding its function from the first byte arrives exactly there; all others are reported and never probed. */
#ifndef CT_INSN_SCAN_H
#define CT_INSN_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/error.h"
#include "formats/event.h"

/* Why a site is not certain. */
enum ct_insn_doubt {
	CT_DOUBT_NONE = 0,
	CT_DOUBT_INSIDE, /* its function decodes to something else there: these bytes are part of another instruction */
	CT_DOUBT_UNDECODED,   /* its function holds bytes that are no instruction, at or before the site or right behind
				 it */
	CT_DOUBT_DISAGREE,    /* unwind table and symbol table lead to different instructions */
	CT_DOUBT_NO_FUNCTION, /* no table knows a function there (or it is generated code): maybe data */
	CT_NDOUBTS
};

struct ct_insn_site {
	ct_u64 offset; /* in the file, or in the memory block; of the first prefix for certain sites, else of the opcode
			*/
	ct_u64 vaddr;  /* as linked, or where the memory block is */
	ct_u64 next_offset; /* of the instruction after it: offset + len */
	ct_u32 kind;        /* enum ct_insn */
	ct_u8 len;
	ct_u8 next_len; /* 0 if unknown */
	ct_u8 doubt;    /* enum ct_insn_doubt */
	bool certain;
	bool next_branch; /* a conditional branch follows */
	bool next_nop5;   /* a 5-byte nop follows: see selftest_nop5.h before probing it */
};

/* Sorted by vaddr. */
struct ct_insn_sites {
	struct ct_insn_site *v;
	size_t n;
	size_t by_doubt[CT_NDOUBTS]; /* how many sites of each; [CT_DOUBT_NONE] are the certain ones */
	ct_u64 scanned;              /* bytes of executable code looked at */
};

/* Scans the x86-64 ELF file open at fd; `name` is for messages. The file's position is not used and not changed.
 * Whatever the file holds, this neither crashes nor reads without bounds. */
int ct_insn_scan(int fd, const char *name, struct ct_insn_sites *out, struct ct_error *err);
/* Scans code that is in no file (JIT), mapped at vaddr. Nothing is known about its functions: no site is certain. */
int ct_insn_scan_memory(const void *code, size_t len, ct_u64 vaddr, struct ct_insn_sites *out, struct ct_error *err);
void ct_insn_sites_free(struct ct_insn_sites *s);

/* A site is recorded by two probes: the one at it says that it is about to run, the one behind it has the result.
 * Cookie bits 0..15: kind << 8 | length of the instruction at this offset, 0 if there is none; CT_INSN_AFTER: the
 * instruction before this offset is one. Both are set where one follows the other; then "after" comes first.
 * CT_INSN_BRANCH: the instruction at this offset is a conditional branch. */
#define CT_INSN_COOKIE(kind, len) ((ct_u64)(kind) << 8 | (len))
#define CT_INSN_AFTER             (1ull << 16)
#define CT_INSN_BRANCH            (1ull << 17)

/* Sorted, no offset twice. */
struct ct_insn_probes {
	ct_u64 *offsets, *cookies;
	size_t n;
	size_t skipped; /* certain sites left out because a 5-byte nop follows and this kernel is not safe with that */
};
/* The probes for all certain sites but cpuid, whose result does not change on one CPU. */
int ct_insn_probes(const struct ct_insn_sites *s, bool nop5_safe, struct ct_insn_probes *out, struct ct_error *err);
void ct_insn_probes_free(struct ct_insn_probes *p);

#endif
