/* SPDX-License-Identifier: MIT
 * A live process looked at: the stacks of its threads, native and interpreted, one behind the other.
 *
 * Threads are stopped for as long as it takes to copy what is needed, and worked on when they run again. */
#ifndef CT_LIVE_H
#define CT_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "../formats/error.h"
#include "../formats/event.h"

enum live_kind { LIVE_NATIVE, LIVE_PYTHON, LIVE_RUBY };

struct live_local {
	char *name, *value;
};
struct live_frame {
	enum live_kind kind;
	bool internal;                  /* native code of the interpreter itself */
	char *function, *file, *module; /* each may be NULL */
	ct_u32 line;                    /* 0: not known */
	ct_u64 address, offset;         /* native: of the instruction, and from its function's beginning */
	struct live_local *local;
	size_t nlocals;
};
struct live_thread {
	pid_t tid;
	char name[16], state; /* state: the letter that /proc has */
	struct live_frame *frame;
	size_t n;
	char note[160]; /* why there is no more, or ""  */
};
struct live_stacks {
	struct live_thread *thread;
	size_t n;
	ct_u64 stopped_ns; /* from the first thread's stop until all run again */
};
struct live_runtime {
	char name[32]; /* "CPython 3.11.2" */
	char file[256];
	char trouble[404]; /* why its frames cannot be read, or "" */
};

struct live_options {
	bool locals, running_only; /* only threads that run */
};

/* "running", "sleeping"...; for people. */
const char *live_state(char letter);

struct live;
/* NULL with *err. */
struct live *live_open(pid_t pid, const struct live_options *options, struct ct_error *err);
void live_close(struct live *l);
size_t live_runtimes(const struct live *l, const struct live_runtime **list);
/* -1: the process cannot be looked at, or is gone (any more). */
int live_look(struct live *l, struct live_stacks *out, struct ct_error *err);
void live_stacks_deinit(struct live_stacks *s);

/* Which interpreters a process runs; it is not stopped. */
#define LIVE_RUNTIMES 4
size_t live_find_runtimes(pid_t pid, struct live_runtime list[LIVE_RUNTIMES]);

#endif
