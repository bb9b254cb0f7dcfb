/* SPDX-License-Identifier: MIT
 * Parts of native steps: native.c (running, events), native_stop.c (what a stop means), native_image.c (programs of
 * processes), native_code.c (which functions, where to stop),
 * native_frames.c (calls of a thread, and how they end), native_value.c (variables). */
#ifndef CT_STEPS_NATIVE_PRIV_H
#define CT_STEPS_NATIVE_PRIV_H

#include "replay/agents/agent.h"
#include "replay/steps/arena.h"
#include "replay/steps/native.h"
#include "replay/symbols.h"

struct native_function { /* one that is chosen, of whatever program */
	char *name, *file;
	ct_u32 line;
	const char *language;
	ct_u32 file_id, id; /* the sink's */
	bool told;
};

#define NATIVE_NONE ((ct_u32)-1)
struct native_code { /* a function of a program that is chosen, or into which one is inlined */
	struct ct_dwarf_function f;
	struct ct_dwarf_scopes scopes;
	ct_u32 *function; /* of each scope; NONE: not chosen */
};

enum { /* what is at an address; bits */
       NATIVE_ENTRY = 1,
       NATIVE_LINE = 2,
       NATIVE_RETURN = 4, /* a call of such a function has returned */
       NATIVE_THROW = 8,
       NATIVE_RETHROW = 16,
       NATIVE_RAISE = 32,  /* of any language */
       NATIVE_RESUME = 64, /* clean-up on the way of an exception is done */
       NATIVE_CATCH = 128,
       NATIVE_SETJMP = 256,
       NATIVE_LONGJMP = 512
};
struct native_point {
	ct_u64 addr;
	unsigned what;
	ct_u32 code; /* of ENTRY or LINE */
	ct_u32 line;
	int scope;
};

struct native_module { /* one that was looked through */
	char *name;
	ct_u64 start;
	bool any; /* has a chosen function */
};

struct native_variable {
	char *name;
	ct_u64 hash;
	unsigned seen;
};
struct native_frame {
	ct_u64 cfa, ret; /* where its caller's stack ends; where it goes on */
	ct_u64 stack;    /* end of the mapping that the stack is in */
	ct_u32 function, line;
	ct_u64 entry; /* of the function, or of where it is inlined */
	bool inlined;
	bool moved; /* it has been elsewhere than at its entry */
	bool away;  /* ... and in lines of other files since `line` */
	bool begun; /* arguments are told of */
	struct native_variable *var;
	size_t nvars;
};
struct native_thread {
	ct_u32 tid, pid;
	struct native_frame *frame; /* outermost first */
	size_t depth;
	ct_u64 low, high; /* the mapping that its stack is in */
	/* The exception that is on its way, or was last. */
	bool raised;
	char *type;
	ct_u64 object;
};

struct native_jump { /* where longjmp with this buffer goes to */
	ct_u64 buffer, sp;
};
#define NATIVE_JUMPS 1024 /* the last ones that are known */

struct native_image { /* a program, and the processes that have it mapped alike */
	ct_u32 *pid;
	size_t npids;
	struct ct_symbols *symbols;
	struct native_code *code;
	size_t ncode;
	struct native_point *point; /* by address */
	size_t npoints;
	struct native_jump jump[NATIVE_JUMPS];
	unsigned next_jump;
};

struct ct_native {
	struct ct_agents *agents;
	const struct ct_step_sink *sink;
	const struct ct_step_filter *filter;
	struct ct_step_limits limits;
	struct ct_session *s; /* NULL: none is watched */
	struct ct_recording *rec;
	struct native_image **image;
	size_t nimages;
	struct native_function *function;
	size_t nfunctions;
	struct native_module *module;
	size_t nmodules;
	char **file;
	size_t nfiles;
	struct native_thread *thread;
	size_t nthreads;
	ct_u64 seq; /* of the event told of last */
	ct_u64 runs;
	unsigned stamp;
	struct ct_arena *arena; /* of the values at hand */
};

#define NATIVE_TELL(op, ...) (n->sink->op ? n->sink->op(n->sink->ctx, __VA_ARGS__, err) : 0)

/* ---- native_stop.c ---- */

/* Everything that follows ran before the session's next event. */
int ct_native_moment(struct ct_native *n, struct ct_error *err);
/* The thread, which the sink knows then. */
struct native_thread *ct_native_known(struct ct_native *n, ct_u32 tid, struct ct_error *err);
/* Which mapping its stack is in. */
int ct_native_find_stack(struct ct_native *n, struct native_thread *t, ct_u64 sp, struct ct_error *err);
/* The thread stands there. */
int ct_native_stopped(struct ct_native *n, ct_u32 tid, ct_u64 addr, struct ct_error *err);

/* ---- native_image.c ---- */

/* Of a process; NULL: none that is watched. */
struct native_image *ct_native_image(const struct ct_native *n, ct_u32 pid);
/* A process begins, with what it has mapped now; `snapshot` names its files. */
int ct_native_new_process(struct ct_native *n, ct_u32 pid, ct_u32 snapshot, struct ct_error *err);
/* ... as a copy of another. */
int ct_native_forked(struct ct_native *n, ct_u32 parent, ct_u32 child, struct ct_error *err);
/* It has ended, or is about to have another program. */
void ct_native_forget(struct ct_native *n, ct_u32 pid);
/* What it has mapped may have changed. */
int ct_native_remapped(struct ct_native *n, ct_u32 pid, struct ct_error *err);
void ct_native_free_images(struct ct_native *n);

/* ---- native_code.c ---- */

/* Finds functions in what is mapped now, sets stops. */
int ct_native_look(struct ct_native *n, struct native_image *im, struct ct_error *err);
/* The sink knows the function. */
int ct_native_tell_function(struct ct_native *n, ct_u32 function, struct ct_error *err);
const struct native_point *ct_native_point(const struct native_image *im, ct_u64 addr);
/* The function that begins there, or NULL. */
const struct native_code *ct_native_code(const struct native_image *im, ct_u64 entry);
int ct_native_add_return(struct ct_native *n, struct native_image *im, ct_u64 addr, struct ct_error *err);
int ct_native_arm(struct ct_native *n, const struct native_image *im, struct ct_error *err);
void ct_native_free_points(struct native_image *im);
void ct_native_free_code(struct ct_native *n);

/* ---- native_frames.c ---- */

struct native_thread *ct_native_thread(struct ct_native *n, ct_u32 tid);
struct native_frame *ct_native_push(struct ct_native *n, struct native_thread *t, const struct native_frame *f,
				    enum ct_enter how, struct ct_error *err);
static inline struct native_frame *ct_native_top(struct native_thread *t)
{
	return t->depth ? &t->frame[t->depth - 1] : NULL;
}
/* The frame as debug information has it, among those of its stack: `at` is the scope that the thread is in. */
struct native_want {
	ct_u32 function;
	size_t unwound; /* number of the frame when the stack is unwound */
	const struct ct_dwarf_scope *scope;
	bool inlined;
};
size_t ct_native_wanted(const struct native_code *code, int at, struct native_want *want, size_t most);
/* Its innermost call ends. */
int ct_native_pop(struct ct_native *n, struct native_thread *t, enum ct_leave how, const struct ct_value *v,
		  struct ct_error *err);
/* An exception or a jump has left all calls of its present stack whose frame is below `cfa`. */
int ct_native_unwound(struct ct_native *n, struct native_thread *t, ct_u64 cfa, struct ct_error *err);
void ct_native_forget_thread(struct ct_native *n, ct_u32 tid);
void ct_native_free_threads(struct ct_native *n);

/* ---- native_shape.c ---- */

/* What an object of a language's library holds. */
struct native_content {
	ct_u64 addr, count, size; /* of an element */
	struct ct_dwarf_value element;
	bool text;
};
#define NATIVE_CONTENT_MOST (1ull << 40)
bool ct_native_content(const struct ct_dwarf_place *p, const struct ct_dwarf_value *v, struct native_content *to);

/* ---- native_value.c ---- */

/* The frame's variables that have changed, or all of them. */
int ct_native_variables(struct ct_native *n, struct native_thread *t, struct native_frame *f,
			const struct ct_dwarf_place *p, struct ct_error *err);
/* NULL: there is none, or values are not wanted. Valid until the next one. */
const struct ct_value *ct_native_returned(struct ct_native *n, const struct ct_dwarf_function *f,
					  const struct ct_dwarf_place *p);

#endif
