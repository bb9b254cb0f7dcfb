/* SPDX-License-Identifier: MIT
 * CT_RUN_DIR, in which recorders leave what must survive them; and which directories can be trusted. */
#ifndef CT_RUNDIR_H
#define CT_RUNDIR_H

#include "formats/error.h"

#define CT_RUN_DIR "/run/ctbpf"

/* Makes it if it is not there; refuses one that is a link, is not the caller's, or others can write. */
int ct_rundir_make(struct ct_error *err);
/* Removes what belongs to processes and recorders that are no more. */
void ct_rundir_sweep(void);
/* Refuses a path if somebody but root and the caller can put another file in its place: who may write one of the
 * directories above it can, unless it is sticky (rename(2)). */
int ct_path_safe(const char *path, struct ct_error *err);

#endif
