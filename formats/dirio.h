/* SPDX-License-Identifier: MIT
 * Private to formats/: file access below a recording's directory.
 *
 * Nothing here follows a symbolic link or blocks on a FIFO: a recording may come from anybody. */
#ifndef CT_DIRIO_H
#define CT_DIRIO_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "error.h"
#include "event.h"

/* Opens the directory `name` below dirfd; -1 with errno. */
int ct_dir_openat(int dirfd, const char *name);
/* Opens the regular file `name` below dirfd for reading; fills *st. -1 with errno (ELOOP, EISDIR, EINVAL if it is
 * something else). */
int ct_regular_openat(int dirfd, const char *name, struct stat *st);
/* Makes the file `name` (0600), which must not exist, for writing. -1 with errno. */
int ct_file_createat(int dirfd, const char *name);
/* Whole transfers. Reading: bytes read, short only at the end of the file, or -1 with errno. */
ssize_t ct_pread_full(int fd, void *buf, size_t len, ct_u64 offset);
int ct_pwrite_full(int fd, const void *buf, size_t len, ct_u64 offset);
/* Reads exactly len bytes into new memory; NULL with *err, which names `what`. */
void *ct_pread_alloc(int fd, size_t len, ct_u64 offset, const char *what, struct ct_error *err);
/* As ct_fail_errno for a failed write of `what`; says what to do about a full disk or a size limit. */
int ct_fail_write(struct ct_error *err, const char *what);
/* Parses "NNNNNN<suffix>" (six or more digits, no more than fit 32 bits, not 0); 0 if it is not of this form. */
ct_u32 ct_numbered_name(const char *name, const char *suffix);

#endif
