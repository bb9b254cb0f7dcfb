/* SPDX-License-Identifier: MIT
 * The step database NAME.ctr/steps/: every line, call, value and exception of an interpreted run. The writer's side.
 *
 * stepdb_read.h reads it, stepdb_node.h has the values. docs/stepdb.md is the spec of what is on disk. */
#ifndef CT_STEPDB_H
#define CT_STEPDB_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "event.h"

#define CT_STEPDB_VERSION  1
#define CT_STEPDB_POSITION (1u << 20) /* most bytes of a resume position */

/* What a row of `values` is. */
#define CT_VALUE_KINDS(X)                                                                                              \
	X(1, LOCAL, "local")         /* a local variable has a new value, or an element of it has */                   \
	X(2, ARGUMENT, "argument")   /* given to the call */                                                           \
	X(3, RETURN, "return")       /* what the call gave back */                                                     \
	X(4, YIELD, "yield")         /* what a generator or coroutine gave out when it was suspended */                \
	X(5, EXCEPTION, "exception") /* raised here */                                                                 \
	X(6, GLOBAL, "global")       /* a global or module variable */                                                 \
	X(7, CLOSURE, "closure")     /* a variable of an enclosing function */                                         \
	X(8, FIELD, "field")         /* an attribute or element, by a name of its own ("self.x") */                    \
	X(9, RESUME, "resume")       /* written by ct_stepdb_reenter: the call that resumed this one, 0: none */
enum ct_value_kind {
#define X(num, sym, name) CT_VALUE_##sym = num,
	CT_VALUE_KINDS(X)
#undef X
};
const char *ct_value_kind_name(unsigned kind); /* NULL if unknown */

/* How a call ended; 0 while it is open. */
enum ct_call_state { CT_CALL_OPEN = 0, CT_CALL_RETURNED, CT_CALL_RAISED };

/* ---- Life of a writer -------------------------------------------------------------------------------------------
 * One writer at a time, one thread. Everything appended since the last commit is lost when the writer dies; what was
 * committed stays readable, also while writing goes on, and building can go on from there.
 *
 * Appending functions return ids that start at 1, or 0 if the writer has failed (disk full, out of memory). A failed
 * writer stays failed: all later calls do nothing, and ct_stepdb_commit and _failed say why. So it is enough to look
 * at what commit returns, and at ids that are used. */
struct ct_stepdb_writer;

/* Starts an empty database in steps/ below the recording's directory, in place of one that may be there. `name` is for
 * messages. Fails if another writer is at it. */
struct ct_stepdb_writer *ct_stepdb_create(int recording_dirfd, const char *name, const ct_u8 uuid[16],
					  struct ct_error *err);
/* Goes on from the last commit. Fails if there is no database, or if it is complete or damaged: then create one. */
struct ct_stepdb_writer *ct_stepdb_resume(int recording_dirfd, const char *name, const ct_u8 uuid[16],
					  struct ct_error *err);
/* Where the last commit was: the bytes its caller gave; valid until the next commit. */
const void *ct_stepdb_position(const struct ct_stepdb_writer *w, size_t *len);
/* Which part of the recording is asked for, in words, "" for all of it: whoever reads it is told. From the next commit
 * on. */
int ct_stepdb_set_part(struct ct_stepdb_writer *w, const char *part, struct ct_error *err);
/* Makes all that was appended permanent and visible. `position` (at most CT_STEPDB_POSITION bytes) is opaque: what
 * the caller needs to go on from exactly here. Once every second or more is meant, not every few rows: each commit
 * ends chunks. `complete`: nothing will follow, ever. */
int ct_stepdb_commit(struct ct_stepdb_writer *w, const void *position, size_t len, bool complete, struct ct_error *err);
/* 0, or -1 and why the writer has failed. */
int ct_stepdb_failed(const struct ct_stepdb_writer *w, struct ct_error *err);
/* Every node that is appended is as a ct_node_builder made it: they are not looked at once more. */
void ct_stepdb_trust(struct ct_stepdb_writer *w);
/* Ends the writer without a commit: what was appended since the last one is dropped. */
void ct_stepdb_writer_close(struct ct_stepdb_writer *w);

struct ct_stepdb_counts {
	ct_u64 steps, calls, values;
	ct_u64 bytes; /* in files, without what is still in memory */
};
void ct_stepdb_counts(const struct ct_stepdb_writer *w, struct ct_stepdb_counts *counts);

/* ---- Names: the same arguments give the same id ---- */

ct_u32 ct_stepdb_file(struct ct_stepdb_writer *w, const char *path, size_t len);
/* `line` is where it is defined; `language` e.g. "python". Functions are equal if all four are. */
ct_u32 ct_stepdb_function(struct ct_stepdb_writer *w, const char *name, size_t len, ct_u32 file, ct_u32 line,
			  const char *language);
ct_u32 ct_stepdb_type(struct ct_stepdb_writer *w, const char *name, size_t len);
ct_u32 ct_stepdb_string(struct ct_stepdb_writer *w, const char *text, size_t len); /* variable and field names */

/* ---- Threads ---- */

/* A new thread; tids may come again, so every call gives a new id. `seq`: its first event. */
ct_u32 ct_stepdb_thread(struct ct_stepdb_writer *w, ct_u32 tid, ct_u32 pid, const char *name, ct_u64 seq);
/* The thread declared last with this tid, or 0: for going on after a resume. */
ct_u32 ct_stepdb_thread_by_tid(const struct ct_stepdb_writer *w, ct_u32 tid);
/* The last event of the recording before what this thread does next. */
void ct_stepdb_event(struct ct_stepdb_writer *w, ct_u32 thread, ct_u64 seq, ct_u64 time_ns);

/* ---- What happens in a thread, in its order; between threads in the order of the run ---- */

/* A function is entered: its call becomes the thread's innermost. For frames that were there when the recording began,
 * outermost first, set `attached`. Arguments are values of kind ARGUMENT, appended next. */
ct_u64 ct_stepdb_call(struct ct_stepdb_writer *w, ct_u32 thread, ct_u32 function, bool attached);
/* A line of the innermost call's function begins. A thread without a call has no steps: 0. */
ct_u64 ct_stepdb_step(struct ct_stepdb_writer *w, ct_u32 thread, ct_u32 line);
/* The innermost call's lines are not told of: it makes its calls from line 0, which stands for one that is not known.
 */
int ct_stepdb_somewhere(struct ct_stepdb_writer *w, ct_u32 thread);
/* Many lines of the innermost call; the first one's id. */
ct_u64 ct_stepdb_steps(struct ct_stepdb_writer *w, ct_u32 thread, const ct_u32 *lines, size_t n);
/* The innermost call ends. `node` (stepdb_node.h; len 0: unknown) is what it returns. */
int ct_stepdb_return(struct ct_stepdb_writer *w, ct_u32 thread, const void *node, size_t len);
/* An exception of this type appears in the innermost call: raised, or come out of native code. Once per exception. */
int ct_stepdb_raise(struct ct_stepdb_writer *w, ct_u32 thread, ct_u32 type, const void *node, size_t len);
/* The innermost call ends by it. One call a frame that is left. A builder that never calls ct_stepdb_raise need not:
 * then the first unwind after a step or a call tells of the exception, too. */
int ct_stepdb_unwind(struct ct_stepdb_writer *w, ct_u32 thread, ct_u32 type, const void *node, size_t len);
/* A generator or coroutine: its call leaves the stack without ending; later it is the innermost again, of this or
 * another thread. */
int ct_stepdb_suspend(struct ct_stepdb_writer *w, ct_u32 thread, const void *node, size_t len);
int ct_stepdb_reenter(struct ct_stepdb_writer *w, ct_u32 thread, ct_u64 call);
/* The call ends although it is not on a stack: a suspended generator that is closed or collected. */
int ct_stepdb_drop(struct ct_stepdb_writer *w, ct_u64 call);
/* A variable of the innermost call has this value from the thread's last step on. For kinds
 * without names `name` is 0. The node is what a ct_node_builder that has not failed made: bytes that are no node fail
 * the writer, unless all have been said to be. Returns 0 or -1. */
int ct_stepdb_value(struct ct_stepdb_writer *w, ct_u32 thread, enum ct_value_kind kind, ct_u32 name, const void *node,
		    size_t len);

/* A stretch with a name: a request, a test, a message. kind: "request" ... Steps are ids, parent a span's or 0. */
struct ct_stepdb_span {
	const char *kind, *label;
	ct_u32 parent, thread;
	ct_u64 first_step, last_step, begin_ns, end_ns;
};
ct_u32 ct_stepdb_span(struct ct_stepdb_writer *w, const struct ct_stepdb_span *span);

#endif
