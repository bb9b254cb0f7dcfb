/* SPDX-License-Identifier: MIT
 * A live CPython looked at from outside: the frames of its threads, their lines and variables. The process may run on
 * or end meanwhile: what is read may be anything, and no look takes more than so many reads. */
#ifndef CT_AGENT_PYTHON_PEEK_H
#define CT_AGENT_PYTHON_PEEK_H

#include "replay/agents/python_read.h"
#include "replay/steps/python.h"

struct ct_py_peek;

/* The limits: NULL: no values are asked for. NULL: out of memory. */
struct ct_py_peek *ct_py_peek_create(int memfd, const struct ct_python *py, ct_u64 bias,
				     const struct ct_step_limits *limits);
void ct_py_peek_destroy(struct ct_py_peek *p);

/* Is this address of the file in the evaluation loop? */
bool ct_py_peek_in_loop(const struct ct_python *py, ct_u64 addr);

struct ct_py_live {
	ct_u32 tid; /* as the process knows it */
	ct_u32 line;
	ct_u64 frame, code;
	bool entry; /* of the frames that one call of the evaluation loop runs, the outermost */
};
/* Frames of all threads, innermost first, as memory is now. */
size_t ct_py_peek_frames(struct ct_py_peek *p, struct ct_py_live *list, size_t most);
/* Valid until the next look at frames; NULL: it cannot be read. */
const struct ct_py_code *ct_py_peek_code(struct ct_py_peek *p, ct_u64 code);
/* The variables of a frame: `v` is NULL for one that cannot be read. */
void ct_py_peek_locals(struct ct_py_peek *p, const struct ct_py_live *frame,
		       void (*tell)(void *ctx, const char *name, const struct ct_value *v), void *ctx);

/* What the agent, or a look from outside, has to know of a type; *e is filled in but for `slots`. -1: it cannot be
 * read. */
int ct_py_fill_type(struct ct_pysteps *steps, int memfd, const struct ct_python_layout *l, ct_u64 addr,
		    struct ct_pya_type *e, struct ct_pya_slot slots[CT_PY_SLOTS]);

#endif
