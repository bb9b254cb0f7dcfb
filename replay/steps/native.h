/* SPDX-License-Identifier: MIT
 * Steps of native code: chosen functions of a replayed process, from its debug information, by breakpoints.
 *
 * The session stops at the beginning of each function and of each of its statements, where calls return to, and where
 * the C++ run-time library throws and catches; in all processes, whatever they execute. What the compiler has inlined
 * is a call, too. */
#ifndef CT_STEPS_NATIVE_H
#define CT_STEPS_NATIVE_H

#include "replay/session.h"
#include "replay/steps/steps.h"

struct ct_native;

/* Whether anything is chosen: without a filter no native code is. */
bool ct_native_asked(const struct ct_step_filter *filter);
struct ct_native *ct_native_create(struct ct_agents *agents, const struct ct_step_limits *limits,
				   const struct ct_step_filter *filter, struct ct_error *err);
void ct_native_destroy(struct ct_native *n);
/* A session stands where its stretch, or the part of it that is asked for, begins; `image` is the stretch's snapshot.
 */
int ct_native_begin(struct ct_native *n, struct ct_session *s, struct ct_recording *rec, ct_u32 image,
		    struct ct_error *err);
/* As ct_session_run. */
int ct_native_run(struct ct_native *n, ct_u64 end, struct ct_error *err);
/* Of the session's hook: what is mapped may have changed. `n` may be NULL. */
bool ct_native_wants(const struct ct_native *n, const struct ct_event *ev);
int ct_native_event(struct ct_native *n, const struct ct_event *ev, struct ct_error *err);
/* The session is about to end. */
void ct_native_end(struct ct_native *n);
/* How many functions were found that are asked for. */
size_t ct_native_functions(const struct ct_native *n);

#endif
