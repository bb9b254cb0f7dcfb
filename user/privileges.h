/* SPDX-License-Identifier: MIT
 * What a recorder gives up before it attaches: capabilities it does not need, and system calls that none of its parts
 * makes. What it has started before keeps its own. */
#ifndef CT_PRIVILEGES_H
#define CT_PRIVILEGES_H

#include "formats/error.h"

/* In this thread, and all that it starts from here on. -1: it still has (some of) them. */
int ct_privileges_drop(struct ct_error *err);

#endif
