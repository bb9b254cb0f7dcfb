/* SPDX-License-Identifier: MIT
 * Parts of CPython's builder: python.c (records), python_value.c (values). */
#ifndef CT_STEPS_PYTHON_PRIV_H
#define CT_STEPS_PYTHON_PRIV_H

#include "replay/steps/builder.h"
#include "replay/steps/keyed.h"
#include "replay/steps/python.h"

struct ct_pyframe {
	ct_u64 frame; /* of a C function: CT_PYA_CALLEE of the one that calls it */
	ct_u32 code;  /* or number of the C function */
	ct_u32 line;
	ct_u64 run;
	bool awaits; /* what it awaits may make it yield without more being told of it */
};
struct ct_pythread {
	ct_u32 tid;
	bool told;
	struct ct_pyframe *frame; /* outermost first */
	size_t depth;
};

struct ct_pysteps {
	struct ct_step_builder base;
	struct ct_pynative {
		char *name;
		ct_u32 function; /* the sink's number */
	} * native;
	size_t nnative;
	struct ct_pythread *thread;
	size_t nthreads;
	ct_u64 *batch; /* events that a replica goes through by itself, as pairs */
	size_t nbatch;
	ct_u32 tid;                  /* whose records come */
	bool arguments;              /* of a call just told */
	ct_u64 runs;                 /* so many frames began */
	struct ct_keyed sleeping;    /* generators between a yield and their next turn */
	struct ct_value result, exc; /* before the record they belong to */
	bool has_result, has_exc;
};

static inline bool ct_pyframe_native(const struct ct_pyframe *f)
{
	return f->frame & 1;
}
/* The function of a frame, made known to the sink. */
int ct_pysteps_function(struct ct_pysteps *b, const struct ct_pyframe *f, ct_u32 *function, struct ct_error *err);
struct ct_pythread *ct_pysteps_thread(struct ct_pysteps *b, ct_u32 tid);

#endif
