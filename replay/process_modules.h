/* SPDX-License-Identifier: MIT
 * The files that are mapped in a recorded process, as a snapshot and the log tell: for debug information. */
#ifndef CT_PROCESS_MODULES_H
#define CT_PROCESS_MODULES_H

#include "formats/recording.h"
#include "replay/dwarf.h"

/* Adds what `pid` has mapped at snapshot `id`, and what it maps later. 0; -1. */
int ct_process_modules(struct ct_dwarf *d, struct ct_recording *rec, ct_u32 id, ct_u32 pid, struct ct_error *err);

#endif
