/* SPDX-License-Identifier: MIT
 * While `ctbpf index` replays: what the program writes to its standard output and error is kept in steps/output. */
#ifndef CT_INDEX_OUTPUT_H
#define CT_INDEX_OUTPUT_H

#include "formats/recording.h"
#include "replay/session.h"

struct ct_index_output;
/* The step database must have been created. */
struct ct_index_output *ct_index_output_create(struct ct_recording *rec, struct ct_error *err);
/* A stretch begins with this snapshot. */
int ct_index_output_begin(struct ct_index_output *o, ct_u32 snapshot, struct ct_error *err);
/* Of a session's hook: whether the event wrote something, and taking it. `o` may be NULL. */
bool ct_index_output_wants(struct ct_index_output *o, const struct ct_event *ev);
void ct_index_output_take(struct ct_index_output *o, struct ct_session *s, const struct ct_event *ev);
int ct_index_output_finish(struct ct_index_output *o, struct ct_error *err);

#endif
