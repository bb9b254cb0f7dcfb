/* SPDX-License-Identifier: MIT
 * A server of gdb's remote protocol for a timeline: gdb sees a live process that also goes backwards. */
#ifndef CT_GDB_SERVER_H
#define CT_GDB_SERVER_H

#include "replay/timeline.h"

/* Serves one gdb that is connected by the socket `fd`, until it detaches, kills, or is gone. -1: the socket failed. */
int ct_gdb_serve(struct ct_timeline *tl, int fd, struct ct_error *err);
/* Makes links in `dir` to the recorded files, by the paths and sonames they had: what gdb takes as its sysroot. */
int ct_gdb_sysroot(struct ct_timeline *tl, const char *dir, struct ct_error *err);

#endif
