/* SPDX-License-Identifier: MIT
 * CPython: what of an interpreter's build has to be known to watch it run, and how it is found in its ELF file.
 *
 * A build's layout comes from a table by version (python_offsets.c); its addresses and registers from its code. */
#ifndef CT_AGENT_PYTHON_H
#define CT_AGENT_PYTHON_H

#include <stdbool.h>

#include "formats/error.h"
#include "replay/agents/python_shared.h"
#include "replay/tracee.h"

#define CT_PY_COVERED 16
#define CT_PY_NEAR    0x1000 /* bytes of code near the interpreter's */
#define CT_PY_CALLS   4      /* places at which the evaluation loop calls PyTraceBack_Here */

/* Instructions that a jump to the agent replaces. */
struct ct_py_site {
	ct_u64 at;
	unsigned covered; /* bytes of whole instructions */
	unsigned char code[CT_PY_COVERED];
};

/* One build. Addresses are those of the file; add where it is loaded. */
struct ct_python {
	unsigned version; /* 0x030b02f0 is 3.11.2 */
	bool relative;    /* position-independent: loaded anywhere, tables are filled by the dynamic linker */
	ct_u64 eval, eval_size;
	ct_u64 runtime; /* _PyRuntime */
	ct_u64 table;   /* 256 addresses of opcode handlers */
	ct_u64 target[256];
	ct_u64 text, text_end;
	unsigned frame_reg, next_reg, stack_reg; /* hardware numbers: rax rcx rdx rbx rsp rbp rsi rdi r8..r15 */
	unsigned jump_regs;                      /* set of registers through which handlers are jumped to */
	bool indirect;                           /* some jump by `jmp *(table,index,8)` */
	ct_u64 traceback;                        /* PyTraceBack_Here */
	ct_u64 traceback_call[CT_PY_CALLS];      /* calls of it inside of eval */
	unsigned ncalls;
	/* Up to 3.10: where the evaluation loop begins, and where it dispatches by a switch. */
	struct ct_py_site begin, dispatch;
	unsigned dispatch_reg, begin_reg;
	ct_u64 dispatch_table; /* the switch's; 0: the register has the handler's address */
};

/* 1: `path` is an interpreter and *py describes it; 0: it is not one; -1: it is, but cannot be watched (*err). */
int ct_python_find(const char *path, struct ct_python *py, struct ct_error *err);

/* Up to 3.10: registers, and where the loop begins and dispatches by a switch. `code`: that of py->eval. */
bool ct_python_old_find(struct ct_python *py, const unsigned char *code);

/* What instructions mean to a watcher, per opcode. */
enum {
	CT_PYOP_PLAIN,
	CT_PYOP_RESUME,
	CT_PYOP_RETURN,       /* value on the stack */
	CT_PYOP_RETURN_CONST, /* value in co_consts */
	CT_PYOP_YIELD,
	CT_PYOP_SEND,        /* going back to it is no step */
	CT_PYOP_FUSED,       /* does the work of a second instruction, which is not dispatched */
	CT_PYOP_FUSED_STORE, /* the same, and the first one stores a local */
	CT_PYOP_QUIET,       /* is never the beginning of a line */
	CT_PYOP_CALL,        /* calls; skip: units to the next instruction */
	CT_PYOP_CALL_KW,     /* the same, names of arguments on top of the stack */
	CT_PYOP_CALL_EX,     /* the same, arguments in a tuple */
	CT_PYOP_CALLED,      /* second part of such a call */
	CT_PYOP_CALL_METHOD, /* up to 3.10: method, self, arguments, or NULL, callable, arguments */
	CT_PYOP_YIELD_FROM,
	CT_PYOP_RERAISE,   /* what comes next is a handler */
	CT_PYOP_ASYNC_END, /* the same, or what follows it */
	CT_PYOP_ADD,       /* of strings: takes the value out of the variable that the next instruction stores in */
};
struct ct_python_layout {
	unsigned first, last; /* versions (major, minor) it holds for: 0x030b */
	struct ct_pya_offsets off;
	unsigned tstate_current; /* in _PyRuntime; 0: not there */
	unsigned interp_head, interp_next, threads_head, tstate_next, tstate_frame, tstate_cframe, cframe_frame,
		tstate_tid;
	unsigned co_firstlineno, co_localsplusnames, co_kinds, co_filename, co_name, co_qualname, co_argcount,
		co_posonly, co_kwonly, co_flags, co_names;
	unsigned str_ascii, str_compact; /* data of strings */
	unsigned f_is_entry;             /* 3.11: the evaluation loop was called for this frame */
	unsigned co_varnames, co_freevars, co_cellvars, tid_in_pthread, function_name; /* up to 3.10 */
	unsigned type_name, type_flags, type_basicsize, type_itemsize, type_dictoffset, type_members, type_base,
		type_cached_keys;
	unsigned char op[256], skip[256];
	unsigned tracing; /* the opcode that stands for all others while the program traces itself */
};
const struct ct_python_layout *ct_python_layout(unsigned version);
extern const struct ct_python_layout ct_python_old_layouts[3];

/* The code of all stubs, to lie at base + CT_PYA_STUBS; head->stub[] and head->original[] are filled in. -1: too long.
 */
int ct_python_stubs(const struct ct_python *py, const struct ct_python_layout *layout, ct_u64 bias, ct_u64 base,
		    struct ct_pya_head *head, unsigned char *code);
/* Up to 3.10: the code that goes to `near`, CT_PY_NEAR bytes, of which the first ones are taken, and head's fields. */
void ct_python_sites(const struct ct_python *py, ct_u64 bias, ct_u64 near, struct ct_pya_head *head,
		     unsigned char *code);
/* What is to be written over a site's beginning: five bytes. False: too far away. */
bool ct_python_jump(const struct ct_python *py, const struct ct_py_site *site, ct_u64 bias, ct_u64 near,
		    unsigned char jump[5]);
/* A thread in the middle of replaced instructions is where they were moved to. */
void ct_python_sites_expected(const struct ct_python *py, ct_u64 bias, ct_u64 near, struct ct_regs *regs);
void ct_python_sites_original(const struct ct_python *py, ct_u64 bias, ct_u64 near, struct ct_regs *regs);
/* A thread that stands between the load of a handler's address and the jump there holds a stub's address now. To be
 * reached: recorded registers as they will be; when compared: the other way. */
void ct_python_regs_expected(const struct ct_python *py, ct_u64 bias, const struct ct_pya_head *head, int memfd,
			     struct ct_regs *regs);
void ct_python_regs_original(const struct ct_pya_head *head, struct ct_regs *regs);

/* ---- the agent in an address space ------------------------------------------------------------------------------ */

struct ct_agent_place;
struct ct_pysteps;
struct ct_rthread;

/* Has the dynamic linker done its work? Then the agent can be put in. */
bool ct_python_ready(const struct ct_python *py, ct_u64 bias, int memfd);
struct ct_agent *ct_python_install(struct ct_rthread *t, const struct ct_python *py, const struct ct_agent_place *place,
				   struct ct_pysteps *steps, struct ct_error *err);

#endif
