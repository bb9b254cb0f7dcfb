/* SPDX-License-Identifier: MIT
 * Variables and expressions over them at a timeline's present moment, by DWARF; C's operators, nothing is executed. */
#ifndef CT_VALUES_H
#define CT_VALUES_H

#include "replay/symbols.h"

struct ct_value {
	Dwarf_Die type; /* as written, typedefs and all */
	bool has_type;  /* else it is a number of 64 bits */
	bool in_memory; /* at addr, else in `bytes` */
	ct_u64 addr;
	ct_u8 bytes[16];
	unsigned bit_offset, bit_size; /* of a bit-field, else bit_size is 0 */
};
/* `frame` may be NULL: only what is global. */
int ct_value_eval(struct ct_symbols *sy, const struct ct_frame *frame, const char *text, struct ct_value *value,
		  struct ct_error *err);
ct_u64 ct_value_size(const struct ct_value *value);
/* Of integers, pointers, enumerators and the like. */
int ct_value_number(struct ct_symbols *sy, const struct ct_value *value, ct_u64 *number, struct ct_error *err);
/* As a person reads it; malloc'ed, NULL without memory. */
char *ct_value_text(struct ct_symbols *sy, const struct ct_value *value);
/* Arguments and variables of the frame's function, the innermost block's first. `value` NULL: *err says why. */
int ct_value_locals(struct ct_symbols *sy, const struct ct_frame *frame,
		    void (*tell)(void *ctx, const char *name, const struct ct_value *value, const struct ct_error *err),
		    void *ctx, struct ct_error *err);

/* ---- values_expr.c uses of values.c ---- */

/* What the bytes of a value are; at most `len`. */
int ct_value_read(struct ct_symbols *sy, const struct ct_value *value, void *buf, size_t len, struct ct_error *err);
int ct_value_variable(struct ct_symbols *sy, const struct ct_frame *frame, const char *name, struct ct_value *value,
		      struct ct_error *err);
int ct_value_member(const struct ct_value *whole, const char *name, struct ct_value *value, struct ct_error *err);
/* What a pointer or an array of this type points to, without typedefs; false: neither. */
bool ct_value_target(const struct ct_value *value, Dwarf_Die *type, bool *is_array);

#endif
