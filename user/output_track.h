/* SPDX-License-Identifier: MIT
 * Which descriptors of the recorded processes are standard output and standard error, followed through the log.
 *
 * Descriptors do not exist in a replay: this is bookkeeping from system calls that succeeded. */
#ifndef CT_OUTPUT_TRACK_H
#define CT_OUTPUT_TRACK_H

#include <stdbool.h>

#include "../formats/event_access.h"
#include "../formats/snapshot.h"

struct ct_output_track;
struct ct_output_track *ct_output_track_create(void);
void ct_output_track_destroy(struct ct_output_track *ot);
/* Forgets everything and begins with the descriptors of a snapshot: 1 and 2 of each process, and those that lead to the
 * same place. -1: no memory. */
int ct_output_track_begin(struct ct_output_track *ot, const struct ct_snapshot *snap);
/* Follows one event. -1: no memory. */
int ct_output_track_event(struct ct_output_track *ot, const struct ct_event *ev);

/* Where the bytes are that a call wrote: `ret` of them. */
enum ct_output_form {
	CT_OUTPUT_BYTES = 1, /* at args[1] */
	CT_OUTPUT_IOVEC,     /* spread over the iovec[args[2]] at args[1] */
	CT_OUTPUT_MSGHDR,    /* spread over the iovec of the msghdr at args[1] */
	CT_OUTPUT_NO_MEMORY, /* they went from file to file (sendfile, splice): not in the log, nor in memory */
};
/* 1 or 2 if the event wrote to standard output or standard error; 0: to neither. */
int ct_output_of(const struct ct_output_track *ot, const struct ct_event *ev, enum ct_output_form *form);

#endif
