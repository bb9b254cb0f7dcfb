/* SPDX-License-Identifier: MIT
 * Control sockets: one request, one answer, each a message of text. An answer is "ok ..." or "error ...".
 * They are in a directory that others may not enter, and are reached by way of its descriptor: a socket's address is
 * shorter than paths may be. */
#ifndef CT_CONTROL_H
#define CT_CONTROL_H

#include <stddef.h>
#include <sys/types.h>

#include "../formats/error.h"

#define CT_CONTROL_MAX (128 << 10) /* bytes of an answer */

/* Mode 0600; -1 with errno. */
int ct_control_listen(int dirfd, const char *name);
/* Serves what is readable in the epoll set `ep`: at the listener, takes a new connection into the set and returns -1;
 * at a connection, takes it out of the set and returns the request's length with the text in `text`, terminated. The
 * descriptor is then the caller's, to be answered. -1: nothing to do. */
ssize_t ct_control_serve(int ep, int listener, int fd, char *text, size_t size);
/* Sends, unless fd is -1, and closes. */
void ct_control_answer(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Connects and sends; the answer can be read from the result. -1 with errno. */
int ct_control_send(int dirfd, const char *name, const char *request);
/* What comes after "ok " in the answer (to be freed), or NULL: `who` has answered by an error, or not at all. */
char *ct_control_ask(int dirfd, const char *name, const char *who, const char *request, struct ct_error *err);

#endif
