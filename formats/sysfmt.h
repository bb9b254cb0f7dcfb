/* SPDX-License-Identifier: MIT
 * Inside of the system call formatter: the output buffer, and what its files offer each other.
 *
 * sysfmt.c: calls and arguments; sysfmt_struct.c: structures; sysfmt_flags.c: names of flags. */
#ifndef CT_SYSFMT_H
#define CT_SYSFMT_H

#include "event_access.h"
#include "syscalls.h"
#include "syscalls_gen.h"

#define SF_MAX_ITEMS 16 /* elements of an array shown */

/* One call being formatted. Output beyond `cap` is counted but not stored. */
struct sf {
	char *out;
	size_t cap, len;
	size_t strmax;
	const struct ct_event *ev;
	const ct_u64 *args;
	const struct ct_syscall *call;
};

void sf_char(struct sf *f, char c);
void sf_str(struct sf *f, const char *s);
void sf_fmt(struct sf *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Quoted with escapes, cut to strmax; `more` says that the bytes had been cut before. */
void sf_quoted(struct sf *f, const unsigned char *data, size_t len, bool more);
void sf_hexbytes(struct sf *f, const unsigned char *data, size_t len, size_t want);
void sf_addr(struct sf *f, ct_u64 addr);

/* The bytes recorded for argument `arg` at `addr`: what the kernel wrote rather than what it read. Only
 * buffers with data; NULL if there is none. */
const struct ct_buf *sf_buf(const struct sf *f, unsigned arg, ct_u64 addr, const unsigned char **data);

/* Prints the structure behind an argument of type `type`; false (and nothing printed) if the type is no
 * structure or its bytes were not recorded. */
bool sf_struct(struct sf *f, unsigned type, unsigned arg, ct_u64 addr);

/* Prints a number of a type that has names; false if it has none. */
bool sf_flags(struct sf *f, unsigned type, ct_u64 value);
void sf_clone_flags(struct sf *f, ct_u64 value);
void sf_signal(struct sf *f, int sig);
/* Flags that appear inside structures only. */
void sf_poll_events(struct sf *f, ct_u64 value);
void sf_epoll_events(struct sf *f, ct_u64 value);
void sf_sa_flags(struct sf *f, ct_u64 value);
void sf_lock_type(struct sf *f, ct_u64 value);
void sf_file_type(struct sf *f, ct_u64 mode);

#endif
