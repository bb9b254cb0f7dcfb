/* SPDX-License-Identifier: MIT
 * The bytes that a replayed system call wrote, from the replayed process's memory. */
#ifndef CT_OUTPUT_READ_H
#define CT_OUTPUT_READ_H

#include "replay/session.h"
#include "user/output_track.h"

/* Calls each(arg, data, len) for pieces of what the event just executed wrote, until that returns not 0, which it then
 * returns. Bytes that are in no memory, and such as have been unmapped meanwhile, are left out. */
int ct_output_read(struct ct_session *s, const struct ct_event *ev, enum ct_output_form form,
		   int (*each)(void *arg, const char *data, size_t len), void *arg);

#endif
