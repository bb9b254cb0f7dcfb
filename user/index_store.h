/* SPDX-License-Identifier: MIT
 * A sink of steps that writes the step database. */
#ifndef CT_INDEX_STORE_H
#define CT_INDEX_STORE_H

#include "formats/recording.h"
#include "formats/stepdb.h"
#include "replay/steps/steps.h"

struct ct_index_store;
struct ct_agents;

/* A new database in the recording, in place of one that may be there. `part`: as ct_stepdb_set_part. */
struct ct_index_store *ct_index_store_create(struct ct_recording *rec, const char *part, struct ct_step_sink *sink,
					     struct ct_error *err);
/* Goes on with one that was interrupted: before which event, and with which state of the agents; *state lives until the
 * next commit. */
struct ct_index_store *ct_index_store_resume(struct ct_recording *rec, struct ct_step_sink *sink, ct_u64 *seq,
					     const ct_u64 **state, size_t *words, struct ct_error *err);
/* Whose steps they are: from now on what is written can be gone on from. */
void ct_index_store_agents(struct ct_index_store *s, const struct ct_agents *agents);
/* To be gone on before this event. */
int ct_index_store_interrupt(struct ct_index_store *s, ct_u64 seq, struct ct_error *err);
/* `complete`: all that was asked for is in it; else what it has is all that there will be. */
int ct_index_store_finish(struct ct_index_store *s, bool complete, struct ct_error *err);
void ct_index_store_counts(const struct ct_index_store *s, struct ct_stepdb_counts *counts);
void ct_index_store_destroy(struct ct_index_store *s);

#endif
