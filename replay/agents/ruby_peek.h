/* SPDX-License-Identifier: MIT
 * A live Ruby looked at from outside: the frames of a thread or fiber, their lines and variables. As of python_peek.h,
 * what is read may be anything. */
#ifndef CT_AGENT_RUBY_PEEK_H
#define CT_AGENT_RUBY_PEEK_H

#include "replay/agents/ruby.h"

struct ct_rb_peek;

struct ct_rb_peek *ct_rb_peek_create(int memfd, const struct ct_ruby *rb, ct_u64 bias,
				     const struct ct_step_limits *limits);
void ct_rb_peek_destroy(struct ct_rb_peek *p);
/* Is this address of the file in the evaluation loop? */
bool ct_rb_peek_in_loop(const struct ct_ruby *rb, ct_u64 addr);

struct ct_rb_live {
	ct_u64 cfp;
	const struct ct_rb_iseq *iseq; /* valid until the next look at frames */
	ct_u32 line;
	bool entry; /* of the frames that one call of the evaluation loop runs, the outermost */
};
/* Frames of this execution context (rb_execution_context_t) that are written in Ruby, innermost first. */
size_t ct_rb_peek_frames(struct ct_rb_peek *p, ct_u64 ec, struct ct_rb_live *list, size_t most);
/* As ct_py_peek_locals. */
void ct_rb_peek_locals(struct ct_rb_peek *p, const struct ct_rb_live *frame,
		       void (*tell)(void *ctx, const char *name, const struct ct_value *v), void *ctx);

/* What the agent, or a look from outside, has to know of a type; *t is filled in but for `fields`. */
int ct_rb_fill_type(struct ct_rbsteps *steps, const struct ct_rb_reader *r, ct_u64 key, struct ct_rba_type *t,
		    struct ct_rba_field fields[CT_RB_FIELDS]);

#endif
