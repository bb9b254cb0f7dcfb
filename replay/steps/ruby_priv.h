/* SPDX-License-Identifier: MIT
 * Parts of Ruby's builder: ruby.c (records), ruby_value.c (values). */
#ifndef CT_STEPS_RUBY_PRIV_H
#define CT_STEPS_RUBY_PRIV_H

#include "replay/steps/arena.h"
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
	size_t depth, room;
};
struct ct_rbthread {
	ct_u32 tid;
	struct ct_rbstack **on; /* those that it is on: each resumed by the one before */
	size_t depth;
};

struct ct_rbsteps {
	struct ct_step_sink sink;
	const struct ct_step_filter *filter;
	struct ct_rbcode_entry {
		struct ct_rb_code code;
		ct_u32 function; /* the sink's number */
		bool wanted;
	} * code;
	size_t ncode;
	char **type, **text, **file;
	size_t ntype, ntext, nfile;
	ct_u32 nfunctions;
	struct ct_rbthread *thread;
	size_t nthreads;
	struct ct_rbstack **stack;
	size_t nstacks;
	ct_u32 tid;     /* whose records come */
	bool arguments; /* of a call just told */
	ct_u64 runs;    /* so many frames began */
	struct ct_arena *arena;
	struct ct_value result, exc, away; /* before the record they belong to; `away` jumps out of frames */
	bool has_result, has_exc, has_away, breaks;
};

#endif
