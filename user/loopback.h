/* SPDX-License-Identifier: MIT
 * Servers on a TCP port of 127.0.0.1, for processes of the user who runs them. */
#ifndef CT_LOOPBACK_H
#define CT_LOOPBACK_H

#include "../formats/error.h"

/* Listens on this port, 0: any one; *got is the one it is. -1. */
int ct_loopback_listen(unsigned port, int backlog, unsigned *got, struct ct_error *err);
/* The next connection: a descriptor; -1 with errno. EACCES: the other end belongs to somebody else than our user, root,
 * or who has become root by sudo; it has been closed, and another one may come. */
int ct_loopback_accept(int listener);

#endif
