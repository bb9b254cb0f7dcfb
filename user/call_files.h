/* SPDX-License-Identifier: MIT
 * The program and the libraries a process has mapped, with those of their functions that fit patterns. */
#ifndef CT_CALL_FILES_H
#define CT_CALL_FILES_H

#include <sys/types.h>

#include "user/elf_symbols.h"

struct ct_call_file {
	char path[64]; /* /proc/PID/map_files/...: the very file, whatever became of its name */
	char *name;    /* its name, to be shown */
	ct_u64 bias;   /* where it is loaded: add to addresses as linked */
	bool program;
	struct ct_elf_symbols sym;
	/* A return address that the kernel has replaced may end the process: exceptions may pass through functions of
	 * this file, whose unwinder finds nothing about such an address; or the process runs on several stacks in
	 * turn, of which the kernel knows nothing. */
	bool fragile;
};
struct ct_call_files {
	struct ct_call_file *v;
	size_t n;
	bool stacks; /* the process changes stacks within a thread */
};

/* Files whose name or path fits `lib` (NULL: the program alone) with functions that fit. Files without any are left
 * out; so are those that are no ELF files. */
int ct_call_files(pid_t pid, const char *lib, const char *const *globs, size_t nglobs, struct ct_call_files *out,
		  struct ct_error *err);
void ct_call_files_free(struct ct_call_files *f);

/* Calls f for each file that the process executes code of, until it gives something else than 0: that is returned. */
struct ct_exec_file {
	char path[64];
	const char *name;
	ct_u64 start, offset; /* of its first executable mapping */
	bool program;
};
int ct_each_exec_file(pid_t pid, int (*f)(void *ctx, const struct ct_exec_file *file, struct ct_error *err), void *ctx,
		      struct ct_error *err);
/* Where the file open at fd is loaded, given one of its mappings. */
int ct_exec_bias(int fd, const struct ct_exec_file *file, ct_u64 *bias, struct ct_error *err);

#endif
