/* SPDX-License-Identifier: MIT
 * An ELF core file of a moment of a recording, as the kernel would have written it. */
#ifndef CT_CORE_H
#define CT_CORE_H

#include <signal.h>

#include "replay/timeline.h"

/* The last signal in the recording that ended a process by default, of process `pid`, 0: of any. 1: found; 0: none; -1.
 * It is about to be delivered at event *seq. */
int ct_core_find_crash(struct ct_recording *rec, ct_u32 *pid, ct_u64 *seq, struct ct_error *err);
/* Writes the timeline's process as it stands now. */
int ct_core_write(struct ct_timeline *tl, int fd, struct ct_error *err);

#endif
