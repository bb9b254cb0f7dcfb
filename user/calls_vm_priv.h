/* SPDX-License-Identifier: MIT
 * What calls_vm.c and those that know one such interpreter share. */
#ifndef CT_CALLS_VM_PRIV_H
#define CT_CALLS_VM_PRIV_H

#include "user/call_code.h"
#include "user/call_files.h"
#include "user/calls_vm.h"

/* Adds a site; one that is there already stays the only one. false: there are too many. */
bool ct_vm_site(struct ct_vm_target *t, ct_u64 offset, enum ct_vm_site what, unsigned reg, unsigned reg2);
/* The beginning of the function at `addr`. */
bool ct_vm_entry(struct ct_vm_target *t, const struct ct_image *im, ct_u64 addr, enum ct_vm_site what, unsigned reg);
/* Of instructions of which `disp` or an immediate operand is these four bytes: where the first one at or behind
 * c->bytes + *from begins, and where the search goes on. */
bool ct_vm_mentions(const struct ct_call_code *c, ct_u32 number, size_t *from, struct ct_decoded *n);

/* 1: t has all about it; 0: the file is none of these; -1: it is, but its calls cannot be seen (*err). */
typedef int ct_vm_describe(struct ct_vm_target *t, const struct ct_exec_file *file, struct ct_image *im, ct_u64 bias,
			   struct ct_error *err);
ct_vm_describe ct_php_describe, ct_perl_describe, ct_lua_describe, ct_node_describe;

#endif
