/* SPDX-License-Identifier: MIT
 * Reading CPython's objects from outside: code, types, the frames of threads. Strings come out as UTF-8. */
#ifndef CT_AGENT_PYTHON_READ_H
#define CT_AGENT_PYTHON_READ_H

#include "replay/agents/python.h"
#include "replay/steps/steps.h"

struct ct_py_code {
	struct ct_step_code code; /* positions are instruction units */
	ct_u32 start;             /* the unit of the first RESUME */
	bool module;              /* its variables are in a dict */
	ct_u32 cells;             /* up to 3.10: the first slot of those that hold cells */
};
/* 0, or -1: that is no code object. */
int ct_py_read_code(int memfd, const struct ct_python_layout *l, ct_u64 addr, struct ct_py_code *out);
/* The same up to 3.10, where a byte for each unit follows the lines up to 3.9 (ct_python_old_lines); the caller has
 * emptied *out, and empties it after a failure. */
int ct_py_read_old_code(int memfd, const struct ct_python_layout *l, ct_u64 addr, struct ct_py_code *out);
/* A str, malloc'ed; NULL if it is none. */
char *ct_py_read_str(int memfd, const struct ct_python_layout *l, ct_u64 o);

#define CT_PY_SLOTS 64
struct ct_py_type {
	char *name;
	ct_u32 kind, flags; /* CT_PYK_*, CT_PYTF_* */
	ct_s32 dictoffset;
	ct_u32 basicsize;
	ct_u64 cached_keys, named;
	ct_u32 nslots;
	struct {
		char *name;
		ct_u64 offset;
	} slot[CT_PY_SLOTS];
};
int ct_py_read_type(int memfd, const struct ct_python_layout *l, ct_u64 addr, struct ct_py_type *t);
void ct_py_type_deinit(struct ct_py_type *t);

/* What a C function is called, with its module or type, malloc'ed. */
char *ct_py_read_native(int memfd, const struct ct_python_layout *l, const struct ct_pya_native *n);

/* Frames of all threads, innermost first; returns how many. `tid` as the kernel numbered it. */
struct ct_py_frame {
	ct_u32 tid;
	ct_u64 frame, code;
};
size_t ct_py_read_frames(int memfd, const struct ct_python_layout *l, ct_u64 runtime, struct ct_py_frame *list,
			 size_t most);

/* Characters of 1, 2 or 4 bytes; `out` has room for 4 bytes each. Returns the length in bytes. */
size_t ct_py_utf8(const unsigned char *data, unsigned unit, size_t chars, char *out);

#endif
