/* SPDX-License-Identifier: MIT
 * Debug information of the files that are mapped in a process, for who debugs it: lines both ways, functions,
 * unwinding, variables, expressions. Knows nothing of replays: addresses come in, memory is asked for.
 *
 * dwarf.c: modules and functions; dwarf_functions.c: all of them; dwarf_scopes.c; dwarf_lines.c; dwarf_unwind.c;
 * dwarf_location.c: location expressions; dwarf_type.c; dwarf_value.c: parts, numbers; dwarf_text.c; dwarf_vars.c:
 * which variables there are; dwarf_eval.c. */
#ifndef CT_DWARF_H
#define CT_DWARF_H

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stddef.h>

#include "formats/error.h"
#include "formats/event.h"

struct ct_dwarf;
struct ct_dwarf *ct_dwarf_create(struct ct_error *err);
void ct_dwarf_destroy(struct ct_dwarf *d);

/* ---- Modules (dwarf.c) ---- */

/* Between _begin and _end everything is named that is mapped now; what was there before and is named again keeps what
 * has been read of it. `path`: what the file is called; its debug file is looked for by that and by its build id.
 * `start`: where its first segment is. `fd` is taken over. 0, or -1: it is no ELF file. */
void ct_dwarf_begin(struct ct_dwarf *d);
int ct_dwarf_add(struct ct_dwarf *d, const char *path, int fd, ct_u64 start);
/* An image that is in memory only, as the vDSO; copied. */
int ct_dwarf_add_image(struct ct_dwarf *d, const char *name, const void *image, size_t len, ct_u64 start);
void ct_dwarf_end(struct ct_dwarf *d);

/* The file mapped at an address, NULL: none that is known. */
const char *ct_dwarf_module_at(struct ct_dwarf *d, ct_u64 addr);

struct ct_dwarf_function {
	const char *name;   /* with what it is in: ns::Class::method; lives as long as `d` */
	const char *module; /* as well */
	ct_u64 low, high;   /* the range that the address is in */
	ct_u64 entry;       /* where it begins */
	bool has_die;       /* else it is a symbol only */
	Dwarf_Die die, cu;
	ct_u64 bias; /* of its addresses in the file, to those in memory */
};
bool ct_dwarf_function_at(struct ct_dwarf *d, ct_u64 addr, struct ct_dwarf_function *f);
/* "function+0x12", or "file+0x1234"; "" if nothing is known. */
void ct_dwarf_name_address(struct ct_dwarf *d, ct_u64 addr, char *text, size_t len);

/* A growing list of addresses, rising and without repeats after ct_dwarf_list_sort. */
struct ct_dwarf_list {
	ct_u64 *addr;
	size_t n, cap;
	bool failed;
};
void ct_dwarf_list_add(struct ct_dwarf_list *l, ct_u64 addr);
void ct_dwarf_list_sort(struct ct_dwarf_list *l);
void ct_dwarf_list_free(struct ct_dwarf_list *l);

/* Where functions of this name begin, behind their prologues if that is known. "f", "A::f" and "ns::A::f" all mean
 * ns::A::f; a symbol's own name does, too. */
int ct_dwarf_find_functions(struct ct_dwarf *d, const char *name, struct ct_dwarf_list *found, struct ct_error *err);
/* Behind the prologue of the function that begins there. */
ct_u64 ct_dwarf_body(struct ct_dwarf *d, const struct ct_dwarf_function *f);
/* Functions' symbols of this name; the first one's address, 0: there is none. */
void ct_dwarf_symbols(struct ct_dwarf *d, const char *name, struct ct_dwarf_list *found);
ct_u64 ct_dwarf_symbol(struct ct_dwarf *d, const char *name);

/* Functions that have code of their own and are described, of the modules for which `wanted` says so, by their build
 * ids, or without one by name and place: those that are chosen by name and file, and if inlined ones are chosen, too,
 * all others of that module. `inlined` is told of each of these first, by a number of its own. `file` and `line` are
 * where it is declared. False ends it. (dwarf_functions.c) */
struct ct_dwarf_walk {
	bool (*wanted)(void *ctx, const char *module, ct_u64 start);
	bool (*chosen)(void *ctx, const char *name, const char *file);
	void (*inlined)(void *ctx, const void *origin, const char *name, const char *file, ct_u32 line);
	bool (*tell)(void *ctx, const struct ct_dwarf_function *f, const char *file, ct_u32 line, bool chosen);
	void *ctx;
};
void ct_dwarf_functions(struct ct_dwarf *d, const struct ct_dwarf_walk *walk);
/* Where statements begin in the function and in what is inlined there, behind its prologue and in all its parts,
 * addresses rising within a part. */
typedef void ct_dwarf_statement(void *ctx, ct_u64 addr, const char *file, ct_u32 line);
void ct_dwarf_statements(struct ct_dwarf *d, const struct ct_dwarf_function *f, ct_dwarf_statement *tell, void *ctx);
/* What is inlined in a function, and in that; the first one is the function itself. (dwarf_scopes.c) */
struct ct_dwarf_scope {
	const void *origin; /* which function that is, as `inlined` above was told */
	ct_u32 call_line;   /* where it is called; 0: not known */
	ct_u64 entry;
	int parent; /* index; -1: none */
};
struct ct_dwarf_scopes {
	struct ct_dwarf_scope *list;
	struct ct_dwarf_range {
		ct_u64 low, high;
		int scope;
	} * range;
	size_t n, nranges;
};
int ct_dwarf_scopes_of(const struct ct_dwarf_function *f, struct ct_dwarf_scopes *scopes, struct ct_error *err);
void ct_dwarf_scopes_free(struct ct_dwarf_scopes *scopes);
/* The innermost one around an address of the function. */
int ct_dwarf_scope_at(const struct ct_dwarf_scopes *scopes, ct_u64 addr);
/* The language it was written in, as DW_LANG_...; 0: not known. */
int ct_dwarf_language(const struct ct_dwarf_function *f);

/* ---- Lines (dwarf_lines.c) ---- */

struct ct_dwarf_line {
	const char *file; /* absolute, as it was compiled; lives as long as `d` */
	ct_u32 line, column;
	ct_u64 from, to; /* addresses of this line around the one that was asked for */
};
bool ct_dwarf_line_at(struct ct_dwarf *d, ct_u64 addr, struct ct_dwarf_line *line);
/* Where lines of the function begin in the code, each with its line: an address is told each time the line changes.
 * Its very first is left out. */
int ct_dwarf_line_starts(struct ct_dwarf *d, const struct ct_dwarf_function *f,
			 void (*tell)(void *ctx, ct_u64 addr, ct_u32 line), void *ctx);
/* All source files; `file` lives as long as `d`. False ends it. */
void ct_dwarf_files(struct ct_dwarf *d, bool (*tell)(void *ctx, const char *file), void *ctx);
/* Where this line of files for which `is` says so begins: one address for each block of code it is in. Nothing on this
 * line: that of the next line that has code; *actual says which. */
int ct_dwarf_find_line(struct ct_dwarf *d, bool (*is)(void *ctx, const char *file), void *ctx, ct_u32 line,
		       ct_u32 *actual, struct ct_dwarf_list *found, struct ct_error *err);
/* Lines from..to that have code, told in no order, and more than once. */
void ct_dwarf_lines_with_code(struct ct_dwarf *d, bool (*is)(void *ctx, const char *file), void *ctx, ct_u32 from,
			      ct_u32 to, void (*tell)(void *ctx, ct_u32 line), void *tell_ctx);

/* ---- Frames (dwarf_unwind.c) ---- */

struct ct_dwarf_memory {
	bool (*read)(void *ctx, ct_u64 addr, void *buf, size_t len);
	void *ctx;
};
enum { CT_DW_RAX, CT_DW_RDX, CT_DW_RCX, CT_DW_RBX, CT_DW_RSI, CT_DW_RDI, CT_DW_RBP, CT_DW_RSP, CT_DW_RIP = 16 };
#define CT_DW_REGS 17 /* numbered as the psABI does: r8 to r15 are 8 to 15 */
struct ct_dwarf_regs {
	ct_u64 r[CT_DW_REGS];
	ct_u32 known; /* bits: others were overwritten by calls */
	ct_u64 fs_base;
	bool has_xmm;
	ct_u8 xmm[16][16];
};
void ct_dwarf_regs_from(struct ct_dwarf_regs *to, const struct ct_regs *from, const void *xsave, size_t xsave_len);

/* One frame. Functions that were inlined have one of their own, with the registers of the function they are in. */
struct ct_dwarf_frame {
	struct ct_dwarf_regs regs;
	ct_u64 pc, lookup; /* the next instruction, and an address in the one that is being executed */
	ct_u64 cfa;        /* 0: unknown */
	bool inlined;
	bool signal;      /* made by the kernel to call a handler */
	bool guessed;     /* found without call frame information */
	const char *name; /* NULL: not known */
	bool has_function;
	struct ct_dwarf_function function; /* the one it is in, inlined or not */
	bool has_scope;
	Dwarf_Die scope; /* of the inlined function, or the function */
	struct ct_dwarf_line line;
	bool has_line;
};
struct ct_dwarf_stack {
	struct ct_dwarf_frame *frame; /* innermost first */
	size_t n;
	bool whole;    /* it ends as a stack should */
	char why[160]; /* it does not */
};
/* At most `max` frames. */
int ct_dwarf_unwind(struct ct_dwarf *d, const struct ct_dwarf_regs *regs, const struct ct_dwarf_memory *mem, size_t max,
		    struct ct_dwarf_stack *stack, struct ct_error *err);
void ct_dwarf_stack_free(struct ct_dwarf_stack *stack);
/* The canonical frame address at this pc; 0: not known. */
ct_u64 ct_dwarf_cfa(struct ct_dwarf *d, const struct ct_dwarf_regs *regs, const struct ct_dwarf_memory *mem);
/* How many inlined functions are around the address. */
unsigned ct_dwarf_inline_depth(struct ct_dwarf *d, ct_u64 addr);

/* ---- Values (dwarf_value.c, dwarf_vars.c) ---- */

/* What values are read from: a frame, those behind it, memory. */
struct ct_dwarf_place {
	struct ct_dwarf *d;
	const struct ct_dwarf_memory *mem;
	const struct ct_dwarf_stack *stack;
	size_t frame;
};

enum ct_dwarf_where { CT_DWARF_NOWHERE, CT_DWARF_IN_MEMORY, CT_DWARF_HELD };
#define CT_DWARF_HELD_MAX 64
struct ct_dwarf_value {
	bool has_type;           /* else it is an integer of 8 bytes, as expressions make them */
	Dwarf_Die type;          /* as it was declared */
	bool is_signed, is_real; /* without a type */
	enum ct_dwarf_where where;
	ct_u64 addr;
	ct_u8 held[CT_DWARF_HELD_MAX]; /* registers, or what was computed */
	ct_u64 held_known;             /* a bit for each byte */
	ct_u32 bit_offset, bit_size;   /* of a bit-field in what is there; size 0: none */
	unsigned pointers;             /* in front of the type: &x */
	unsigned dimension;            /* of an array type, which it is an element of */
	char why[96];                  /* NOWHERE */
};
struct ct_dwarf_child {
	char name[96];
	bool base; /* what it inherits, or an unnamed part */
	struct ct_dwarf_value value;
};

enum ct_dwarf_kind { CT_DWARF_ARGS, CT_DWARF_LOCALS, CT_DWARF_STATICS };
/* Variables of the frame: arguments; locals of the blocks that the pc is in, inner ones first; those of the file. */
int ct_dwarf_variables(const struct ct_dwarf_place *p, enum ct_dwarf_kind kind,
		       void (*tell)(void *ctx, const char *name, const struct ct_dwarf_value *v), void *ctx,
		       struct ct_error *err);
/* The variable that the name means in the frame, or any global one. -1: there is none. */
int ct_dwarf_find_variable(const struct ct_dwarf_place *p, const char *name, size_t len, struct ct_dwarf_value *v,
			   struct ct_error *err);

ct_u64 ct_dwarf_size(const struct ct_dwarf_value *v);
void ct_dwarf_type_name(const struct ct_dwarf_value *v, char *text, size_t len);
/* As a person reads it; long ones are cut. */
void ct_dwarf_text(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, char *text, size_t len);
/* How many children there are: members, elements, what a pointer points to. `indexed`: they are elements. */
ct_u64 ct_dwarf_children(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, bool *indexed);
bool ct_dwarf_child(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, ct_u64 i,
		    struct ct_dwarf_child *child);
/* Members by name, also those of base classes and unnamed unions; elements; what is pointed to. */
int ct_dwarf_member(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, const char *name, size_t len,
		    struct ct_dwarf_value *to, struct ct_error *err);
int ct_dwarf_element(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, ct_s64 i,
		     struct ct_dwarf_value *to, struct ct_error *err);
int ct_dwarf_dereference(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, struct ct_dwarf_value *to,
			 struct ct_error *err);
/* What the place's innermost function, which has just returned to where the registers are from, has returned. False: it
 * returns nothing. (dwarf_functions.c) */
bool ct_dwarf_returned(const struct ct_dwarf_place *p, const struct ct_dwarf_function *f, struct ct_dwarf_value *v);
/* The same of a function of Go, which may return more: how many, of which the first `most` are in v[]. (dwarf_go.c) */
bool ct_dwarf_is_go(const struct ct_dwarf_function *f);
unsigned ct_dwarf_go_results(const struct ct_dwarf_place *p, const struct ct_dwarf_function *f,
			     struct ct_dwarf_value *v, unsigned most);

/* What a value is, typedefs apart. */
enum ct_dwarf_shape {
	CT_DWARF_IS_OTHER,
	CT_DWARF_IS_INTEGER,
	CT_DWARF_IS_CHARACTER,
	CT_DWARF_IS_BOOL,
	CT_DWARF_IS_ENUM,
	CT_DWARF_IS_REAL,
	CT_DWARF_IS_POINTER,
	CT_DWARF_IS_REFERENCE,
	CT_DWARF_IS_ARRAY,
	CT_DWARF_IS_OBJECT
};
enum ct_dwarf_shape ct_dwarf_shape(const struct ct_dwarf_value *v);
/* A number of it. */
enum ct_dwarf_class { CT_DWARF_SIGNED, CT_DWARF_UNSIGNED, CT_DWARF_FLOAT, CT_DWARF_POINTER, CT_DWARF_COMPOUND };
struct ct_dwarf_number {
	enum ct_dwarf_class cls;
	ct_u64 u;
	double f;
};
int ct_dwarf_number(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, struct ct_dwarf_number *n,
		    struct ct_error *err);
struct ct_dwarf_value ct_dwarf_integer(ct_u64 n, bool is_signed);

/* ---- Expressions (dwarf_eval.c) ---- */

/* Names, $registers, numbers, characters, strings to compare with; . -> [] * & - ! ~ arithmetic, comparisons, && ||,
 * sizeof. Nothing is called or changed. */
int ct_dwarf_eval(const struct ct_dwarf_place *p, const char *text, struct ct_dwarf_value *v, struct ct_error *err);
/* ... and whether it is not zero. */
int ct_dwarf_test(const struct ct_dwarf_place *p, const char *text, bool *is, struct ct_error *err);

#endif
