/* SPDX-License-Identifier: MIT
 * Steps: what a program in some language did, line by line, as builders tell it to whoever keeps it.
 *
 * A builder (python.c) turns what an agent or a debugger saw into calls of a sink; a sink prints or stores. Files,
 * functions and types are told once, with numbers that rise from 0 without gaps. */
#ifndef CT_STEPS_H
#define CT_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "formats/error.h"
#include "formats/event.h"

enum ct_value_tag {
	CT_VALUE_NONE,
	CT_VALUE_BOOL,
	CT_VALUE_INT,
	CT_VALUE_BIGINT, /* text: digits */
	CT_VALUE_FLOAT,
	CT_VALUE_COMPLEX,  /* two floats */
	CT_VALUE_STRING,   /* text: UTF-8; surrogates that stand alone as three bytes each */
	CT_VALUE_BYTES,    /* text: bytes */
	CT_VALUE_SEQUENCE, /* list, ... */
	CT_VALUE_TUPLE,
	CT_VALUE_TABLE, /* children: key, value, key, value ... */
	CT_VALUE_SET,
	CT_VALUE_STRUCT,   /* children: name, value ... */
	CT_VALUE_TYPE,     /* text: its name */
	CT_VALUE_FUNCTION, /* text: its name */
	CT_VALUE_RAW,      /* nothing but its type is known */
	CT_VALUE_TEXT,     /* text: to be shown as it is */
};
#define CT_VALUE_TRUNCATED 1u /* more of it existed than is here; `length` says how much */

struct ct_value {
	unsigned char tag;
	unsigned char flags;
	const char *type; /* in the program's language */
	ct_u64 address;   /* identity; 0: none */
	ct_u64 length;    /* of text in characters or bytes, of containers in items: all of it */
	union {
		ct_s64 i;
		double f[2];
		struct {
			const char *data;
			size_t len;
		} text;
		struct {
			struct ct_value *list;
			size_t count;
		} child;
	};
};

enum ct_enter {
	CT_ENTER_CALL,
	CT_ENTER_RESUMED,  /* a generator goes on after a yield: the same run */
	CT_ENTER_ATTACHED, /* it began before anybody looked */
};
enum ct_leave {
	CT_LEAVE_RETURN,
	CT_LEAVE_YIELD,     /* will be resumed */
	CT_LEAVE_EXCEPTION, /* value: the exception, if known */
};

#define CT_STEP_NATIVE ((ct_u32)-1) /* instead of a file's number: a function of the interpreter itself, in C */

/* Every function returns 0, or -1 with *err. `thread` is the recorded thread id. */
struct ct_step_sink {
	void *ctx;
	int (*thread)(void *ctx, ct_u32 thread, ct_u32 pid, struct ct_error *err);
	/* Functions told of from here on are written in this language. */
	int (*language)(void *ctx, const char *language, struct ct_error *err);
	int (*file)(void *ctx, ct_u32 id, const char *path, struct ct_error *err);
	int (*function)(void *ctx, ct_u32 id, ct_u32 file, const char *name, ct_u32 line, struct ct_error *err);
	/* Everything told from here on happened before this event of the recording; the time is that of the event
	 * before. */
	int (*event)(void *ctx, ct_u64 seq, ct_u64 time_ns, struct ct_error *err);
	/* A function begins, or goes on after a yield. `run` is a number of this run of it, the same when it goes on;
	 * its variables are as they were then. */
	int (*call)(void *ctx, ct_u32 thread, ct_u32 function, ct_u32 line, ct_u64 run, enum ct_enter how,
		    struct ct_error *err);
	/* An argument of the function just begun. */
	int (*argument)(void *ctx, ct_u32 thread, const char *name, const struct ct_value *v, struct ct_error *err);
	/* A line of the innermost function is about to run. */
	int (*step)(void *ctx, ct_u32 thread, ct_u32 function, ct_u32 line, struct ct_error *err);
	/* A variable of the innermost function has another value than before; NULL: none any more. */
	int (*value)(void *ctx, ct_u32 thread, const char *name, const struct ct_value *v, struct ct_error *err);
	/* An exception has come to the innermost function, raised there or below; v may be NULL. */
	int (*raise)(void *ctx, ct_u32 thread, ct_u32 function, ct_u32 line, const struct ct_value *v,
		     struct ct_error *err);
	/* A function that yielded will not go on: its frame is gone. */
	int (*drop)(void *ctx, ct_u64 run, struct ct_error *err);
	/* The innermost function ends. v may be NULL. */
	int (*leave)(void *ctx, ct_u32 thread, ct_u32 function, ct_u32 line, enum ct_leave how,
		     const struct ct_value *v, struct ct_error *err);
};

/* A function's code, or a part of it. */
struct ct_step_code {
	char *file; /* NULL: a function of the interpreter itself, in C; wanted wherever its caller is */
	char *name;
	char **variable; /* names, by slot, arguments first; NULL: the interpreter's own */
	ct_s32 *lines;   /* by position; -1: none */
	ct_u32 nvars, nargs, count, first_line;
	bool ensure; /* runs on the way of an exception, as a part of the function that it goes through */
};
void ct_step_code_deinit(struct ct_step_code *c);

/* Patterns of the shell; `*` matches anything. A text matches if all of it does, or what is behind one of its
 * separators: "app.py" and "web/[a-z]*.py" match "/srv/web/app.py", "send" matches "Client.send" and
 * "Client::send". */
struct ct_globs {
	const char **list;
	size_t count;
};
struct ct_step_filter { /* empty: everything */
	struct ct_globs files, functions;
};
bool ct_step_wanted(const struct ct_step_filter *f, const char *file, const char *function);

/* What is written of values. */
struct ct_step_limits {
	bool values;
	unsigned depth, items, bytes;
};

/* As the language's own notation has it, roughly; what is left out as "...". */
void ct_value_print(FILE *out, const struct ct_value *v);

/* A sink that prints one line a step: "TID FILE:LINE FUNCTION EVENT ...", and one for each value. */
struct ct_step_printer;
struct ct_step_printer *ct_step_printer_create(FILE *out, struct ct_step_sink *sink);
void ct_step_printer_destroy(struct ct_step_printer *p);

/* CPython's location table (co_linetable, 3.11 and later): the line of each of `count` instruction units, -1: none. */
void ct_python_lines(const unsigned char *table, size_t len, int first_line, ct_s32 *lines, size_t count);

/* The same before 3.11. 3.10: starts is NULL; else there is room for a byte for each unit: whether an entry of the
 * table is for it, be it of the same line. */
void ct_python_old_lines(const unsigned char *table, size_t len, int first_line, ct_s32 *lines, size_t count,
			 unsigned char *starts);

#endif
