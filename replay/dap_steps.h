/* SPDX-License-Identifier: MIT
 * Inside of the debuggee that is a step database: a place in it, frames, references to variables, places of
 * breakpoints.
 *
 * dap_steps.c: life, threads, stack; _move.c: going; _places.c, _hits.c: breakpoints; _ask.c: expressions; _vars.c:
 * scopes and values; _source.c: files; dap_output.c: what the program wrote. */
#ifndef CT_DAP_STEPS_H
#define CT_DAP_STEPS_H

#include "formats/recording.h"
#include "formats/stepdb_read.h"
#include "replay/dap.h"
#include "replay/dap_expr.h"

/* A moment. row 0: the step's line is about to run. Else: after that step, before value `row` was written, and `call`
 * is the innermost of the thread. */
struct dap_pos {
	ct_u64 step, row;
	ct_u64 call;
	ct_u32 thread;
	ct_u64 end;   /* values from this row on are not there yet */
	ct_u64 cause; /* of a hit: the value that was written, or raised */
};
#define DAP_END UINT64_MAX /* row: behind everything */
static inline int dap_pos_compare(const struct dap_pos *a, const struct dap_pos *b)
{
	return a->step != b->step ? (a->step > b->step) - (a->step < b->step) : (a->row > b->row) - (a->row < b->row);
}

struct dap_frame {
	ct_u64 call, location;
	ct_u32 function;
};
struct dap_stack { /* of one thread, innermost first */
	ct_u32 thread;
	struct dap_frame *frame;
	size_t n, cap;
	ct_u64 next; /* the call below the last one; 0: complete */
	ct_u64 next_location;
};
enum dap_ref_kind { DAP_REF_LOCALS, DAP_REF_GLOBALS, DAP_REF_RETURNED, DAP_REF_VALUE };
struct dap_ref {
	enum dap_ref_kind kind;
	struct dap_frame frame;
	ct_u64 since; /* GLOBALS: the module's call */
	ct_u8 *node;  /* VALUE: a copy */
	size_t len;
	char *name;  /* VALUE: an expression for it, NULL: there is none */
	ct_u64 call; /* VALUE: variable of this call, for data breakpoints */
};
struct dap_thread {
	ct_u64 first, last; /* steps */
};
struct dap_output;
struct dap_steps {
	struct dap_debuggee base;
	const struct dap_host *host;
	struct ct_recording *rec;
	struct ct_stepdb *db;
	struct dap_output *output;
	ct_u64 steps, values; /* how many there are */
	bool complete;
	ct_u64 first_ns;
	struct dap_pos at;
	enum { DAP_NO_EXCEPTION, DAP_RAISED, DAP_UNCAUGHT } exception; /* it stands at one */
	struct dap_thread *thread;                                     /* by id - 1; last 0: not known yet */
	struct dap_stack *stack;
	size_t nstacks;
	struct dap_ref *ref;
	size_t nrefs, ref_cap;
	ct_u8 *warned; /* by file id: that its content is another one now was said */
	ct_u64 begun;  /* seconds since 1970; 0: not known */
};

#define DAP_KIND(kind) (1u << (kind))
#define DAP_VARIABLES                                                                                                  \
	(DAP_KIND(CT_VALUE_LOCAL) | DAP_KIND(CT_VALUE_ARGUMENT) | DAP_KIND(CT_VALUE_CLOSURE) | DAP_KIND(CT_VALUE_FIELD))

static inline struct dap_steps *dap_steps_of(struct dap_debuggee *d)
{
	return (struct dap_steps *)d;
}
static inline int dap_no_memory(struct ct_error *err)
{
	return ct_fail(err, CT_EXIT_FAILED, "out of memory");
}

/* ---- Places (dap_steps.c) ---- */

/* Before the line of a step. */
int dap_pos_at_step(struct dap_steps *d, ct_u64 step, struct dap_pos *pos, struct ct_error *err);
/* Stands there from now on: frames and references are forgotten, output is told. */
void dap_stand_at(struct dap_steps *d, const struct dap_pos *pos);
/* The next step of a thread (0: any) and of calls [low, high] behind or before `from`. 1; 0: none; -1. */
int dap_next_step(struct dap_steps *d, ct_u32 thread, ct_u64 low, ct_u64 high, ct_u64 from, bool backwards,
		  ct_u64 *step, struct ct_error *err);
/* At least n frames of a thread's stack at this moment, if it has as many. */
struct dap_stack *dap_get_stack(struct dap_steps *d, ct_u32 thread, size_t n, struct ct_error *err);
/* By its id; NULL with *err. 0: the innermost of the thread that runs. */
const struct dap_frame *dap_get_frame(struct dap_steps *d, ct_u64 id, struct ct_error *err);
json_t *dap_steps_threads(struct dap_debuggee *d, struct ct_error *err);
json_t *dap_steps_stack(struct dap_debuggee *d, ct_u32 thread, size_t start, size_t levels, struct ct_error *err);
json_t *dap_steps_when(struct dap_debuggee *d, struct ct_error *err);
void dap_forget(struct dap_steps *d);

/* ---- Moving (dap_steps_move.c) ---- */

int dap_steps_move(struct dap_debuggee *d, const struct dap_move *move, struct dap_stop *stop, struct ct_error *err);
int dap_steps_seek(struct dap_debuggee *d, const char *position, struct dap_stop *stop, struct ct_error *err);
int dap_steps_go(struct dap_debuggee *d, ct_u64 target, struct dap_stop *stop, struct ct_error *err);

/* ---- What breakpoints stand for (dap_steps_places.c) ---- */

struct dap_places {
	ct_u32 *keys; /* locations, or variables */
	size_t n;
	ct_u64 call; /* DATA: of this call only; 0: of any */
	char *path;  /* DATA: expression of the part that is watched; NULL: all of the variable */
	bool uncaught;
	/* So many hits there are up to this step: known from the last time it was asked. */
	ct_u64 known_at, known;
};
int dap_steps_resolve(struct dap_debuggee *d, struct dap_break *b, struct ct_error *err);
/* Ids of variables with this name; of a function, if it is not 0. -1: no memory. */
int dap_find_variables(struct dap_steps *d, const char *name, size_t len, ct_u32 function, unsigned kinds, ct_u32 **ids,
		       size_t *n);

/* ---- Hits (dap_steps_hits.c) ---- */

/* The next hit behind (before) `from`, not behind (before) `limit`, which may be NULL. 1; 0: none; -1; 2: the client
 * wants it to stop, and *hit is how far it got. */
int dap_next_hit(struct dap_steps *d, struct dap_break *b, const struct dap_pos *from, const struct dap_pos *limit,
		 bool backwards, struct dap_pos *hit, struct ct_error *err);
/* What a data breakpoint's hit changed, or what was raised: "x: 1 -> 2". */
void dap_hit_text(struct dap_steps *d, const struct dap_break *b, const struct dap_pos *hit, char *text, size_t size);

/* ---- Values (dap_steps_vars.c) ---- */

json_t *dap_steps_scopes(struct dap_debuggee *d, ct_u64 frame, struct ct_error *err);
json_t *dap_steps_variables(struct dap_debuggee *d, ct_u64 reference, size_t start, size_t count, struct ct_error *err);
json_t *dap_steps_evaluate(struct dap_debuggee *d, ct_u64 frame, const char *text, struct ct_error *err);
json_t *dap_steps_exception(struct dap_debuggee *d, ct_u32 thread, struct ct_error *err);
json_t *dap_steps_data_info(struct dap_debuggee *d, ct_u64 reference, ct_u64 frame, const char *name,
			    struct ct_error *err);
/* Of a raised value; not terminated. */
const char *dap_exception_type(struct dap_steps *d, const ct_u8 *node, size_t len, size_t *n);
/* A value as text, at most some thousand bytes of it; malloc'ed. */
char *dap_show(struct dap_steps *d, const ct_u8 *node, size_t len, size_t *n);

/* ---- Asking (dap_steps_ask.c) ---- */

/* The variables of a call as of the values before `end`, for expressions. */
struct dap_moment {
	struct dap_steps *d;
	ct_u64 call, end;
	const char *name; /* of a variable whose value is at hand, or NULL */
	const ct_u8 *known;
	size_t known_len;
	ct_u8 *held[16]; /* nodes that were looked up */
	unsigned nheld;
};
struct dap_scope dap_moment_scope(struct dap_moment *m);
void dap_moment_deinit(struct dap_moment *m);
/* Evaluates; *text is malloc'ed. */
int dap_ask(struct dap_moment *m, const char *expression, char **text, struct ct_error *err);
/* The latest value of a variable of the call before `end`: 1, 0, -1. *node is malloc'ed. */
int dap_value_before(struct dap_steps *d, ct_u64 call, ct_u64 end, const char *name, size_t len, ct_u8 **node,
		     size_t *node_len, struct ct_error *err);
/* A row of values. */
struct dap_row {
	ct_u64 step, call;
	ct_u32 variable;
	ct_u8 *node; /* malloc'ed */
	size_t len;
};
int dap_get_row(struct dap_steps *d, ct_u64 id, struct dap_row *row, struct ct_error *err);
/* The call that ran the module's own code, of the function's file, last begun before `end`: its variables are the
 * function's globals. 0: there is none, or it is the call itself. */
int dap_module_of(struct dap_steps *d, ct_u32 function, ct_u64 end, ct_u64 *module, struct ct_error *err);
bool dap_is_unset(const ct_u8 *node, size_t len);

/* ---- Values along the way (dap_steps_stream.c) ---- */

/* Follows the variables that an expression names while steps are walked through forwards, which is much quicker than
 * looking each of them up at every step. */
struct dap_stream {
	struct dap_scope scope; /* of the call and step it was brought to */
	struct dap_steps *d;
	struct ct_scan *scan;
	bool pending; /* the scan is at a row that does not count yet */
	ct_u64 row, of_step, of_call;
	ct_u32 of_variable;
	ct_u64 call, step;
	ct_u32 *name; /* strings' ids of the names */
	size_t nnames;
	struct dap_known *known;
	struct dap_moment moment; /* for what is not known */
};
struct dap_stream *dap_stream_open(struct dap_steps *d, const ct_u32 *locations, size_t n, const char *expression,
				   ct_u64 step, struct ct_error *err);
void dap_stream_close(struct dap_stream *s);
/* Steps rise from one call to the next. */
int dap_stream_to(struct dap_stream *s, ct_u64 call, ct_u64 step, struct ct_error *err);

/* ---- Files (dap_steps_source.c) ---- */

/* The protocol's Source of a file. */
json_t *dap_file_json(struct dap_steps *d, ct_u64 file);
/* Ids of the files that the client means; -1: no memory. */
int dap_find_files(struct dap_steps *d, const char *path, ct_u32 **ids, struct ct_error *err);
json_t *dap_steps_lines(struct dap_debuggee *d, const char *path, ct_u32 from, ct_u32 to, struct ct_error *err);
json_t *dap_steps_targets(struct dap_debuggee *d, const char *path, ct_u32 line, struct ct_error *err);
json_t *dap_steps_sources(struct dap_debuggee *d, struct ct_error *err);
json_t *dap_steps_source(struct dap_debuggee *d, ct_u64 reference, const char *path, struct ct_error *err);

#endif
