/* SPDX-License-Identifier: MIT
 * Ruby: what of an interpreter's build has to be known to watch it run, how it is found in its ELF file, and the agent
 * in a replica. A build's layout comes from a table by version (ruby_offsets.c), the rest from its code. */
#ifndef CT_AGENT_RUBY_H
#define CT_AGENT_RUBY_H

#include <stdbool.h>

#include "formats/error.h"
#include "replay/agents/ruby_shared.h"
#include "replay/replica.h"
#include "replay/steps/ruby.h"

#define CT_RB_INSNS   256 /* instructions, most */
#define CT_RB_COVERED 24  /* bytes of code that a site replaces, most */

/* A place in the interpreter's code that leads to the agent. */
struct ct_rb_site {
	ct_u64 at;
	unsigned covered; /* bytes of whole instructions that the jump replaces */
	unsigned char original[CT_RB_COVERED];
};

/* One build. Addresses are those of the file; add where it is loaded. */
struct ct_ruby {
	const struct ct_ruby_layout *layout;
	bool relative;
	ct_u64 table; /* addresses of instructions' code, each plain one followed by those that are traced */
	ct_u64 target[CT_RB_INSNS];
	unsigned ninsns;                  /* plain and traced ones */
	unsigned pc_reg, cfp_reg, ec_reg; /* hardware numbers: rax rcx rdx rbx rsp rbp rsi rdi r8..r15 */
	unsigned thread_reg;              /* at the site that raises */
	unsigned leave[2], jump_out;      /* sites: what ends a frame, and what ends several */
	struct ct_rb_native {
		unsigned begin, end; /* sites before a method written in C is called, and behind that */
		unsigned ec_reg;
	} native[CT_RBA_NATIVES];
	unsigned nnative;                     /* 0: not found; such calls are not seen */
	struct ct_rb_site site[CT_RBA_SITES]; /* the last one raises */
	unsigned nsites;
	ct_u64 symbols; /* the array of the names of all IDs */
	ct_u64 shapes;  /* the tree of shapes, if this version has them */
};

/* 1: `path` is an interpreter and *rb describes it; 0: it is not one; -1: it is, but cannot be watched (*err). */
int ct_ruby_find(const char *path, struct ct_ruby *rb, struct ct_error *err);

struct ct_ruby_layout {
	unsigned major, minor;
	struct ct_rba_offsets off;
	/* in an instruction sequence's body */
	unsigned first_line, first_line_tagged, insns, local_size, parent, jit;
	unsigned last_operator; /* IDs up to this one are numbered, others shifted */
	unsigned class_ext;     /* 0: a pointer at 24 leads to it */
	unsigned class_ivars;   /* a table in there, by ID; 0: names are where the next two say */
	unsigned class_path, class_attached, class_ivar_list;
};
const struct ct_ruby_layout *ct_ruby_layout(unsigned major, unsigned minor);

/* ---- reading from outside; strings are malloc'ed ---------------------------------------------------------------- */

struct ct_rb_reader {
	int memfd;
	const struct ct_ruby_layout *layout;
	ct_u64 symbols, shapes; /* addresses of the variables */
};
char *ct_rb_string(const struct ct_rb_reader *r, ct_u64 value);
char *ct_rb_symbol(const struct ct_rb_reader *r, ct_u64 value);
char *ct_rb_class_name(const struct ct_rb_reader *r, ct_u64 klass);

/* What a function with this label, which is freed, is called: "Thing#work", "block in Thing#work". `base`: the string
 * behind the method's own label; me: its method entry, or 0; bmethod: a method made by define_method; type: of the
 * instruction sequence. */
char *ct_rb_function_name(const struct ct_rb_reader *r, char *label, ct_u64 base, ct_u64 me, bool bmethod,
			  unsigned type);

#define CT_RB_FIELDS 64
struct ct_rb_field {
	ct_u64 index;
	char *name;
};
struct ct_rb_fields {
	ct_u64 count_at, count;
	ct_u32 n;
	struct ct_rb_field field[CT_RB_FIELDS];
};
/* Of objects with this shape. */
void ct_rb_read_shape(const struct ct_rb_reader *r, ct_u64 number, struct ct_rb_fields *f);
void ct_rb_read_fields(const struct ct_rb_reader *r, ct_u64 klass, struct ct_rb_fields *f);
void ct_rb_fields_deinit(struct ct_rb_fields *f);

struct ct_rb_iseq {
	struct ct_step_code code;
	struct ct_rba_slot *slots;
	struct ct_rba_var *vars;
	ct_u32 size, level;
	ct_u64 body, encoded;
	bool top, method;
};
/* `cfp`: a control frame of it. -1: that is no instruction sequence. */
int ct_rb_read_iseq(const struct ct_rb_reader *r, ct_u64 iseq, ct_u64 cfp, struct ct_rb_iseq *out);
void ct_rb_iseq_deinit(struct ct_rb_iseq *s);
/* The name of a method, malloc'ed. `instruction`: it is a part of what some instructions do, which TracePoint hides,
 * too: one of RubyVM::FrozenCore. */
char *ct_rb_method_name(const struct ct_rb_reader *r, ct_u64 me, bool *instruction);
/* Where its parts are; 0: it is none (any more). */
ct_u64 ct_rb_body(const struct ct_rb_reader *r, ct_u64 iseq);

/* ---- the agent in an address space ------------------------------------------------------------------------------ */

struct ct_agent_place;

/* Has the dynamic linker done its work? Then the agent can be put in. */
bool ct_ruby_ready(const struct ct_ruby *rb, ct_u64 bias, int memfd);
struct ct_agent *ct_ruby_install(struct ct_rthread *t, const struct ct_ruby *rb, const struct ct_agent_place *place,
				 struct ct_rbsteps *steps, struct ct_error *err);

#endif
