/* SPDX-License-Identifier: MIT
 * Parts of Ruby's builder: ruby.c (records), ruby_value.c (values). */
#ifndef CT_STEPS_RUBY_PRIV_H
#define CT_STEPS_RUBY_PRIV_H

#include "replay/steps/builder.h"
#include "replay/steps/ruby.h"

struct ct_rb_exception { /* on its way through frames; address 0: none */
	ct_u64 address;
	const char *type;
};
struct ct_rbframe {
	ct_u64 frame;
	ct_u32 code;
	ct_u32 line;
	ct_u64 run;
	struct ct_rb_exception exception;
};
struct ct_rbstack { /* of a thread or fiber */
	ct_u64 id;
	struct ct_rbframe *frame; /* outermost first */
	size_t depth;
};
struct ct_rbthread {
	ct_u32 tid;
	struct ct_rbstack **on; /* those that it is on: each resumed by the one before */
	size_t depth;
};

struct ct_rbsteps {
	struct ct_step_builder base;
	struct ct_rbthread *thread;
	size_t nthreads;
	struct ct_rbstack **stack;
	size_t nstacks;
	ct_u32 tid;                        /* whose records come */
	bool arguments;                    /* of a call just told */
	ct_u64 runs;                       /* so many frames began */
	struct ct_value result, exc, away; /* before the record they belong to; `away` jumps out of frames */
	bool has_result, has_exc, has_away, breaks;
	/* A method written in C was innermost when b->exc was raised. Whether it rescues that is not known yet. */
	struct ct_rbstack *raised;
	ct_u64 raised_record[3];
};

#endif
