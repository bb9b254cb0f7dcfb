/* SPDX-License-Identifier: MIT
 * Errors as values: what failed, why, and what the user can do about it.
 *
 * A function that can fail takes a `struct ct_error *` last, returns a negative
 * number (or NULL) on failure and has then filled it in. Nothing here prints. */
#ifndef CT_ERROR_H
#define CT_ERROR_H

/* The process exit status an error leads to; the command line documents these. */
enum ct_exit {
	CT_EXIT_OK = 0,
	CT_EXIT_FAILED = 1,       /* anything not listed below */
	CT_EXIT_USAGE = 2,        /* the command line is wrong */
	CT_EXIT_NOT_ATTACHED = 3, /* no target could be attached */
	CT_EXIT_LOST = 4,         /* events were lost and --strict was given */
	CT_EXIT_DIVERGED = 5,     /* a replay diverged or was not verified */
	CT_EXIT_MISSING = 77,     /* missing privilege or kernel feature */
};

struct ct_error {
	enum ct_exit status;
	char msg[1024]; /* one sentence: object, cause, fix; no trailing newline */
};

/* Fills *err (which may be NULL) and returns -1, so that `return ct_fail(...)` works. */
int ct_fail(struct ct_error *err, enum ct_exit status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As ct_fail, with ": <strerror(errno)>" appended. */
int ct_fail_errno(struct ct_error *err, enum ct_exit status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Memory was not given. */
int ct_fail_memory(struct ct_error *err);

/* Puts "<prefix>: " before the message already in *err; returns -1. */
int ct_fail_prefix(struct ct_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
