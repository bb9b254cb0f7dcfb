/* SPDX-License-Identifier: MIT
 * The system call table: lookup, and formatting of one call as a line like strace's.
 *
 * The table itself is formats/syscalls.def; syscalls_gen.h is generated from it. */
#ifndef CT_SYSCALLS_H
#define CT_SYSCALLS_H

#include <stddef.h>

#include "sysrule.h"

/* How `dump` shows an argument. Rows of the table name these without the prefix, in lower case. */
struct ct_sysarg {
	const char *name;
	ct_u8 type; /* enum ct_argtype in syscalls_gen.h */
	ct_u8 buf;  /* 1: a rule may hold this argument's bytes */
};
struct ct_syscall {
	const char *name; /* NULL: no such number */
	ct_u8 nargs;
	struct ct_sysarg arg[6];
	struct ct_sysrules rules;
	ct_u8 ret;        /* enum ct_argtype of the result */
	const char *note; /* why it is refused, what is special; NULL: nothing to say */
};
/* The rules of a row replace those of its call altogether. */
struct ct_subcommand {
	struct ct_subkey key;
	const char *name; /* "F_GETLK" */
	struct ct_sysrules rules;
	ct_u8 nargs; /* arguments this sub-command has, and how to show them */
	struct ct_sysarg arg[6];
	ct_u8 ret;
	const char *note;
};

/* Returns the entry or NULL if the number is unknown. Static storage. */
const struct ct_syscall *ct_syscall(int nr);
/* Number of the call with this name, or -1. */
int ct_syscall_nr(const char *name);
/* The sub-command table: all rows, for loading into the BPF map. */
const struct ct_subcommand *ct_subcommands(size_t *count);
/* Row for (nr, cmd) with cmd already masked, or NULL. */
const struct ct_subcommand *ct_subcommand(int nr, ct_u32 cmd);

const char *ct_action_name(enum ct_action action);
const char *ct_errno_name(int err);  /* "ENOENT", "ERESTARTSYS" for 512 ...; NULL if unknown */
const char *ct_signal_name(int sig); /* "SIGINT", "SIGRT_3"; NULL if unknown */

/* Formats `ev` (a checked CT_EV_SYSCALL record, see ct_event_check) as
 * `openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3` into out (always terminated); strings are cut to
 * `strmax` bytes and followed by "...". Returns the length it would have needed, as snprintf. */
size_t ct_syscall_format(const struct ct_event *ev, size_t strmax, char *out, size_t outlen);
/* As above for a CT_EV_ENTER record: `exit_group(0) <enters>` */
size_t ct_enter_format(const struct ct_event *ev, size_t strmax, char *out, size_t outlen);

#endif
