/* SPDX-License-Identifier: MIT
 * Agents: code of ours inside of replicas that writes down what an interpreter does.
 *
 * It must not change the replay: it lies in mappings of its own, and what it patches looks unpatched to whoever
 * compares with the recording (ct_agents_mask, ct_agents_expected, ct_agents_undo). Positions counted in branches by
 * hardware would see an agent's branches: sessions with agents find positions by registers and memory. */
#ifndef CT_AGENT_H
#define CT_AGENT_H

#include "formats/event_access.h"
#include "replay/replica.h"
#include "replay/steps/steps.h"

struct ct_agents; /* of a session, or of several that follow each other */

struct ct_agents_stats {
	ct_u64 installed, requests;
	char unwatched[1024]; /* why an interpreter that was there could not be watched, the first one; "": none */
};

struct ct_agents *ct_agents_create(const struct ct_step_sink *sink, const struct ct_step_limits *limits,
				   const struct ct_step_filter *filter, struct ct_error *err);
/* For who tells the sink of native code beside them; lives as long as they do. NULL: out of memory. What interpreters
 * did before has to be told of first: ct_agents_settle. */
const struct ct_step_sink *ct_agents_native(struct ct_agents *a);
int ct_agents_settle(struct ct_agents *a, struct ct_error *err);
/* Tells the sink what is still in the buffers. Replicas may be gone by then. */
int ct_agents_finish(struct ct_agents *a, struct ct_error *err);
/* The sink is called by a thread of its own, but not between these two. */
void ct_agents_hold(struct ct_agents *a);
void ct_agents_release(struct ct_agents *a);
/* ... for ever: nothing will be replayed any more. */
int ct_agents_end(struct ct_agents *a, struct ct_error *err);
void ct_agents_destroy(struct ct_agents *a);
/* What they know, to go on from in another run (of the same recording, with the same filter and limits); words at
 * *state are malloc'ed. Loaded before anything is watched. */
bool ct_agents_resumable(const struct ct_agents *a); /* else its state cannot be kept: of Ruby, or native code */
void ct_agents_unresumable(struct ct_agents *a);     /* from now on: native code is told of */
int ct_agents_save(const struct ct_agents *a, ct_u64 **state, size_t *words, struct ct_error *err);
int ct_agents_load(struct ct_agents *a, const ct_u64 *state, size_t words, struct ct_error *err);
void ct_agents_stats(const struct ct_agents *a, struct ct_agents_stats *stats);

/* What a session calls; all of them do nothing for a replica without an agent. */

/* Mappings have changed: an interpreter may be there, and ready, by now. `t` is stopped. `new_image`: it runs another
 * program than before; else it may be one that an earlier session has left here. */
int ct_agents_look(struct ct_agents *a, struct ct_rthread *t, bool new_image, struct ct_error *err);
/* The child, whose first thread is `tid`, has a copy of the parent's memory, agent and all, or the very same memory. */
void ct_agents_fork(const struct ct_replica *parent, struct ct_replica *child, ct_u32 tid, bool shared);
/* A replica is gone. */
void ct_agents_gone(struct ct_replica *p);
/* `t` is about to run, towards this event; the one before was at last_ns (0: not known). */
void ct_agents_run(struct ct_rthread *t);
void ct_agents_event(struct ct_agents *a, const struct ct_event *ev, ct_u64 last_ns);
/* `t` is about to run through these events by itself, and up to `next` then, if that is not NULL. */
void ct_agents_batch(struct ct_rthread *t, const struct ct_event *const *ev, size_t n, const struct ct_event *next,
		     ct_u64 last_ns);
/* `t` has stopped: 1: because its agent asked for something, which is done; it can go on. */
int ct_agents_stopped(struct ct_rthread *t, int status);
/* The failure, if there was one, that ct_agents_stopped met with. */
const struct ct_error *ct_agents_error(struct ct_agents *a);
/* Original bytes instead of what the agent's are. */
void ct_agents_mask(const struct ct_replica *p, ct_u64 addr, void *buf, size_t len);
/* Is a mapping that begins here the agent's? */
bool ct_agents_map(const struct ct_replica *p, ct_u64 start);
/* Recorded registers as they will be in the replica. */
void ct_agents_expected(const struct ct_replica *p, struct ct_regs *regs);
/* Registers of the replica as they would be without the agent. */
void ct_agents_original(const struct ct_replica *p, struct ct_regs *regs);

#endif
