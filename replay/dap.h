/* SPDX-License-Identifier: MIT
 * The Debug Adapter Protocol's server: its face to the command, and what a debuggee has to be for it.
 *
 * dap_frame.c: messages; dap_server.c: requests; dap_run.c: moving; dap_requests.c: looking; dap_breaks.c:
 * breakpoints; dap_steps*.c: the debuggee that is a step database; dap_native*.c: one that is a replay of native code.
 * docs/dap.md says what is answered. */
#ifndef CT_DAP_H
#define CT_DAP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "formats/error.h"
#include "formats/event.h"

struct ct_dap_options {
	const char *recording; /* if launch names none; may be NULL */
	const char *token;     /* launch must give it, soon; NULL: none is needed */
};
/* Serves one client until it disconnects or closes. -1: it did not keep to the protocol, or cannot be written to. */
int ct_dap_serve(int in, int out, const struct ct_dap_options *options, struct ct_error *err);

/* ---- Messages (dap_frame.c) ---- */

#define DAP_MESSAGE_MAX (4u << 20) /* most bytes of a message that is read */
#define DAP_HEADER_MAX  4096

struct dap_reader {
	int fd;
	time_t deadline; /* CLOCK_MONOTONIC seconds: until then there has to be a message; 0: none */
	char *data;
	size_t len, cap;
};
/* 1: *message, NULL if its body is not JSON; 0: the end; -1 the bytes are no messages; 2: `wait` is false and there is
 * none yet. */
int dap_read(struct dap_reader *r, bool wait, json_t **message, struct ct_error *err);
time_t dap_now(void);
void dap_reader_deinit(struct dap_reader *r);
int dap_write(int fd, const json_t *message, struct ct_error *err);
/* Text of any bytes: what is not UTF-8 becomes U+FFFD, control characters that JSON allows stay. */
json_t *dap_text(const char *text, size_t len);

/* ---- Breakpoints (dap_breaks.c) ---- */

enum dap_break_kind { DAP_LINE, DAP_FUNCTION, DAP_EXCEPTION, DAP_DATA, DAP_INSN };
/* hitCondition: the n-th time in the recording, whichever way it is run through. */
struct dap_hits {
	char op; /* 0: always; '=' '<' '>' 'l' (<=) 'g' (>=) '%' (every n-th) */
	ct_u64 n;
};
struct dap_break {
	struct dap_break *next;
	int id;
	enum dap_break_kind kind;
	char *path; /* LINE: as the client has it */
	ct_u32 line;
	char *name;    /* FUNCTION: of it; EXCEPTION: the filter's; DATA: the data's id; INSN: the address */
	ct_s64 offset; /* INSN: bytes behind it */
	char *access;  /* DATA: read, write, readWrite; NULL: write */
	char *condition, *log;
	struct dap_hits hits;
	bool broken;   /* never hit: `message` says why */
	bool verified; /* it can be hit */
	ct_u32 actual; /* line, 0: as asked for */
	char message[320];
	bool complained; /* about its condition, once */
	void *data;      /* the debuggee's, from malloc */
	void (*free_data)(void *data);
};
/* Whether a hit with this number, from 1 on, counts. */
bool dap_hits_match(const struct dap_hits *hits, ct_u64 number);
/* In place of those of this kind (and for LINE: this path). `list`: the request's array. */
int dap_breaks_replace(struct dap_break **all, int *next_id, enum dap_break_kind kind, const char *path,
		       const json_t *list, struct ct_error *err);
void dap_breaks_free(struct dap_break **all);

/* ---- What is debugged ---- */

enum dap_motion { DAP_CONTINUE, DAP_NEXT, DAP_IN, DAP_OUT };
struct dap_move {
	enum dap_motion motion;
	bool backwards;
	ct_u32 thread;    /* 0: the one that runs */
	bool instruction; /* one, instead of a line */
	bool beginning;   /* from before the first line, which it stands at otherwise */
};
#define DAP_HIT_IDS 32
struct dap_stop {
	const char *reason; /* as in a `stopped` event */
	char text[512];     /* for people; "" none */
	ct_u32 thread;
	bool at_end; /* nothing follows */
	int hit[DAP_HIT_IDS];
	unsigned nhits;
};

/* What the server does for the debuggee. */
struct dap_host {
	void *ctx;
	/* `place`: source and line, stolen, or NULL. */
	void (*output)(void *ctx, const char *category, const char *text, size_t len, json_t *place);
	/* The client wants it to stop. */
	bool (*interrupted)(void *ctx);
	struct dap_break *const *breaks;
	const json_t *source_map; /* {"recorded prefix": "prefix here"}, or NULL */
};

/* Answers are JSON as the protocol has it, new references; NULL with *err. Frames and references to variables are
 * good until the next move. */
struct dap_debuggee {
	const struct dap_debuggee_ops *ops;
};
struct dap_debuggee_ops {
	void (*destroy)(struct dap_debuggee *d);
	/* Goes; fills *stop. -1: it is where it was. */
	int (*move)(struct dap_debuggee *d, const struct dap_move *move, struct dap_stop *stop, struct ct_error *err);
	/* To a position as a person writes it, "start" and "end", too. */
	int (*seek)(struct dap_debuggee *d, const char *position, struct dap_stop *stop, struct ct_error *err);
	json_t *(*when)(struct dap_debuggee *d, struct ct_error *err);
	json_t *(*threads)(struct dap_debuggee *d, struct ct_error *err);
	json_t *(*stack)(struct dap_debuggee *d, ct_u32 thread, size_t start, size_t levels, struct ct_error *err);
	json_t *(*scopes)(struct dap_debuggee *d, ct_u64 frame, struct ct_error *err);
	/* start, count: of indexed ones; 0, 0: all. */
	json_t *(*variables)(struct dap_debuggee *d, ct_u64 reference, size_t start, size_t count,
			     struct ct_error *err);
	/* frame 0: the innermost of the thread that runs. */
	json_t *(*evaluate)(struct dap_debuggee *d, ct_u64 frame, const char *text, struct ct_error *err);
	json_t *(*exception)(struct dap_debuggee *d, ct_u32 thread, struct ct_error *err);
	/* Finds out where it is: fills verified, message, data. -1 only if nothing works any more. */
	int (*resolve)(struct dap_debuggee *d, struct dap_break *b, struct ct_error *err);
	/* reference 0: `name` is an expression of the frame (0: none). dataId null: no. */
	json_t *(*data_info)(struct dap_debuggee *d, ct_u64 reference, ct_u64 frame, const char *name,
			     struct ct_error *err);
	/* Lines that can be stopped at. */
	json_t *(*lines)(struct dap_debuggee *d, const char *path, ct_u32 from, ct_u32 to, struct ct_error *err);
	/* goto: places where the line is run; their ids are positions for `go`. */
	json_t *(*targets)(struct dap_debuggee *d, const char *path, ct_u32 line, struct ct_error *err);
	int (*go)(struct dap_debuggee *d, ct_u64 target, struct dap_stop *stop, struct ct_error *err);
	json_t *(*sources)(struct dap_debuggee *d, struct ct_error *err);
	json_t *(*source)(struct dap_debuggee *d, ct_u64 reference, const char *path, struct ct_error *err);
	/* NULL, these two: it has no instructions. `offset`: in instructions. */
	json_t *(*disassemble)(struct dap_debuggee *d, ct_u64 addr, ct_s64 offset, size_t count, struct ct_error *err);
	json_t *(*memory)(struct dap_debuggee *d, ct_u64 addr, size_t count, struct ct_error *err);
};
/* A recording's step database. */
struct dap_debuggee *dap_steps_open(const char *recording, const struct dap_host *host, struct ct_error *err);
bool dap_steps_are_there(const char *recording);
/* A recording's native code, executed again; pid 0: its first process. */
struct dap_debuggee *dap_native_open(const char *recording, ct_u32 pid, const struct dap_host *host,
				     struct ct_error *err);

#endif
