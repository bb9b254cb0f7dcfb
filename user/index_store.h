/* SPDX-License-Identifier: MIT
 * A sink of steps that writes the step database. */
#ifndef CT_INDEX_STORE_H
#define CT_INDEX_STORE_H

#include "formats/recording.h"
#include "formats/stepdb.h"
#include "replay/steps/steps.h"

struct ct_index_store;

/* A new database in the recording, in place of one that may be there. */
struct ct_index_store *ct_index_store_create(struct ct_recording *rec, struct ct_step_sink *sink, struct ct_error *err);
/* `complete`: all of the recording is in it. */
int ct_index_store_finish(struct ct_index_store *s, bool complete, struct ct_error *err);
void ct_index_store_counts(const struct ct_index_store *s, struct ct_stepdb_counts *counts);
void ct_index_store_destroy(struct ct_index_store *s);

#endif
