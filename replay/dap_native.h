/* SPDX-License-Identifier: MIT
 * Inside of the debuggee that is a replay of native code.
 *
 * dap_native.c: opening it, threads, stacks; dap_native_run.c: to breakpoints; dap_native_step.c: steps;
 * dap_native_breaks.c, dap_native_log.c; dap_native_vars.c;
 * dap_native_code.c: instructions, memory; dap_native_source.c. */
#ifndef CT_DAP_NATIVE_H
#define CT_DAP_NATIVE_H

#include "replay/dap.h"
#include "replay/dwarf.h"
#include "replay/timeline.h"
#include "replay/tracee.h"

#define NATIVE_FRAMES 5000 /* most of a stack */

struct native_stack {
	ct_u32 tid;
	struct ct_dwarf_stack s;
};
/* What a client's variablesReference stands for. */
enum native_ref_kind { NATIVE_LOCALS, NATIVE_STATICS, NATIVE_REGISTERS, NATIVE_VALUE };
struct native_ref {
	enum native_ref_kind kind;
	size_t stack, frame;
	struct ct_dwarf_value value;
	char *expression; /* that gives this value */
};
/* Where a breakpoint is; kept in dap_break.data. */
struct native_place {
	struct ct_dwarf_list at; /* instructions */
	struct ct_stop watch[CT_STOP_WATCHES];
	unsigned nwatches;
	ct_u64 signals;   /* EXCEPTION: bits */
	bool counted;     /* `seen` is right */
	bool here;        /* one of them is at the present moment, and may be left backwards */
	bool chosen;      /* its condition is known to be met at the stop that was chosen */
	ct_u64 seen;      /* hits up to the present moment */
	char *expression; /* DATA: what is watched, as a person calls it */
};

struct dap_native {
	struct dap_debuggee base;
	const struct dap_host *host;
	struct ct_recording *rec;
	struct ct_timeline *tl;
	ct_u32 pid;
	struct ct_dwarf *dw;
	struct ct_dwarf_memory mem;
	ct_u32 tid;             /* the one that stopped last */
	struct ct_stopped last; /* how */
	const char **files;     /* all source files, rising; owned is the list */
	size_t nfiles;
	ct_u64 told;                  /* output of events before this one has been told */
	const struct native_run *run; /* backwards, by numbers of hits */
	struct native_logged *logged; /* what log points say is kept here for later */
	/* Good until it moves: */
	struct native_stack *stack;
	size_t nstacks;
	struct native_ref *ref;
	size_t nrefs, ref_cap;
	/* Places that a client may go to. */
	char **target;
	size_t ntargets;
};
static inline struct dap_native *dap_native_of(struct dap_debuggee *d)
{
	return (struct dap_native *)d;
}

int native_no_memory(struct ct_error *err);
/* It stands somewhere else now: forgets what was known of the last place. */
void native_moved(struct dap_native *d);
/* Registers of a thread; xmm registers as well. */
int native_regs(struct dap_native *d, ct_u32 tid, struct ct_dwarf_regs *regs, struct ct_error *err);
/* The stack of a thread (0: of the one that stopped), unwound once. */
struct native_stack *native_stack(struct dap_native *d, ct_u32 tid, struct ct_error *err);
/* A frame by the id that it was told under; 0: the innermost. */
int native_frame(struct dap_native *d, ct_u64 id, struct ct_dwarf_place *place, struct ct_error *err);
void native_say(struct dap_native *d, const char *text);

/* ---- Going (dap_native_run.c, dap_native_step.c) ---- */

/* Runs to the next breakpoint that counts, or to one of `extra`, at which `arrived` says so (NULL: at any). 1: at an
 * extra one, 0: *stop is filled; -1. */
struct native_run {
	const struct ct_stop *extra;
	size_t nextra;
	bool back;
	int (*arrived)(void *ctx, const struct ct_stopped *at, struct ct_error *err); /* 1, 0: go on, -1 */
	void *ctx;
};
bool native_is_extra(const struct native_run *how, const struct ct_stopped *at);
/* ct_timeline_run, by breakpoints that neither a condition nor `arrived` says anything against, and going back no
 * number of hits: backwards each hit that is told of costs a search for the last one. */
int native_run_timeline(struct dap_native *d, const struct native_run *how, struct ct_stopped *at,
			struct ct_error *err);
int native_run(struct dap_native *d, const struct native_run *how, struct dap_stop *stop, struct ct_error *err);
/* One instruction. 1: it was; 0: *stop is filled; -1. */
int native_instruction(struct dap_native *d, ct_u32 tid, bool back, struct dap_stop *stop, struct ct_error *err);
void native_stop_at(struct dap_native *d, struct dap_stop *stop, const char *reason);
int dap_native_move(struct dap_debuggee *d, const struct dap_move *m, struct dap_stop *stop, struct ct_error *err);
int dap_native_seek(struct dap_debuggee *d, const char *position, struct dap_stop *stop, struct ct_error *err);
int dap_native_go(struct dap_debuggee *d, ct_u64 target, struct dap_stop *stop, struct ct_error *err);
int native_step(struct dap_native *d, const struct dap_move *m, struct dap_stop *stop, struct ct_error *err);

/* ---- Breakpoints (dap_native_breaks.c) ---- */

int dap_native_resolve(struct dap_debuggee *d, struct dap_break *b, struct ct_error *err);
json_t *dap_native_data_info(struct dap_debuggee *d, ct_u64 reference, ct_u64 frame, const char *name,
			     struct ct_error *err);
bool native_condition_met(struct dap_native *d, struct dap_break *b);
/* Whether it is hit here: its place, then its condition and number; a log point is told and does not count. `back`: it
 * was come to backwards. -1: nothing works any more. */
int native_hit(struct dap_native *d, struct dap_break *b, const struct ct_stopped *at, bool back, struct ct_error *err);
/* Before it runs backwards: hits that have not the number that their breakpoint asks for are passed. */
int native_choose_by_number(struct dap_native *d, const struct native_run *how, struct ct_error *err);
/* All hits' counts: it is left backwards from where it stands, or forgotten. */
void native_leaves(struct dap_native *d, bool back);
void native_forget_counts(struct dap_native *d);
/* Tells what a log point says here. */
void native_log(struct dap_native *d, const struct dap_break *b);
/* Whether it is looked at when it has been gone back, and what all of those say on the way here from `from`, which is
 * later. */
bool native_logs_later(const struct dap_break *b);
int native_log_back(struct dap_native *d, const struct ct_moment *from, struct ct_error *err);
bool native_is_at(const struct dap_break *b, const struct ct_stopped *at);

/* ---- Looking (dap_native_vars.c, dap_native_code.c, dap_native_source.c) ---- */

json_t *dap_native_scopes(struct dap_debuggee *d, ct_u64 frame, struct ct_error *err);
json_t *dap_native_variables(struct dap_debuggee *d, ct_u64 reference, size_t start, size_t count,
			     struct ct_error *err);
json_t *dap_native_evaluate(struct dap_debuggee *d, ct_u64 frame, const char *text, struct ct_error *err);
/* The value that a reference's child has, or an expression in a frame. *expression is malloc'ed. */
int native_named(struct dap_native *d, ct_u64 reference, ct_u64 frame, const char *name, struct ct_dwarf_place *place,
		 struct ct_dwarf_value *v, char **expression, struct ct_error *err);
json_t *dap_native_disassemble(struct dap_debuggee *d, ct_u64 addr, ct_s64 offset, size_t count, struct ct_error *err);
json_t *dap_native_memory(struct dap_debuggee *d, ct_u64 addr, size_t count, struct ct_error *err);
/* Length of the instruction at an address, 0: none; *is_call if it calls. */
unsigned native_insn(struct dap_native *d, ct_u64 addr, bool *is_call);
/* The call right before `addr` in the function; 0: what is before it is no call. */
ct_u64 native_call_before(struct dap_native *d, const struct ct_dwarf_function *f, ct_u64 addr);
json_t *native_source(struct dap_native *d, const char *file);
/* The recorded files that the client means; NULL behind the last. */
int native_find_files(struct dap_native *d, const char *path, const char ***files, size_t *n, struct ct_error *err);
/* Whether the file is in such a list. */
bool native_is_one_of(void *ctx, const char *file);
json_t *dap_native_lines(struct dap_debuggee *d, const char *path, ct_u32 from, ct_u32 to, struct ct_error *err);
json_t *dap_native_targets(struct dap_debuggee *d, const char *path, ct_u32 line, struct ct_error *err);
json_t *dap_native_sources(struct dap_debuggee *d, struct ct_error *err);
json_t *dap_native_content(struct dap_debuggee *d, ct_u64 reference, const char *path, struct ct_error *err);
/* What the program has written up to now and was not told before. */
void native_tell_output(struct dap_native *d);

#endif
