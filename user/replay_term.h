/* SPDX-License-Identifier: MIT
 * The terminal mode of `ctbpf replay`: a recording is gone along, forwards and backwards, by commands.
 *
 * replay_term.c: commands, prompt and scripts; replay_term_move.c: steps; replay_term_stop.c: breakpoints;
 * replay_term_show.c: places, stacks, values. */
#ifndef CT_REPLAY_TERM_H
#define CT_REPLAY_TERM_H

#include "out.h"
#include "replay/symbols.h"

struct ct_replay_term {
	ct_u32 from, pid; /* snapshot to begin with, process to look at; 0: the first */
	const char *to;   /* position to begin at, NULL: the beginning */
	const char *const *script;
	unsigned nscripts;
	bool batch; /* leave when the scripts are done */
};
/* Returns when the last command is done: 0; -1: a script's command failed, or there is nothing to look at. */
int ct_replay_terminal(struct ct_recording *rec, const struct ct_replay_term *opts, struct ct_error *err);

/* ---- parts ------------------------------------------------------------------------------------------------------ */

#define TERM_FRAMES 256
#define TERM_PLACES 32 /* addresses of a breakpoint */

struct term_point {
	int number;
	bool watch;
	char *text;      /* as typed */
	char *condition; /* NULL: none */
	ct_u64 addr[TERM_PLACES];
	size_t n;   /* 0: nothing of that name is mapped yet */
	ct_u32 len; /* of what is watched */
};
struct term {
	struct ct_timeline *tl;
	struct ct_symbols *sy;
	struct ct_out out;
	struct term_point *points;
	size_t npoints;
	int last_number;
	bool signals, syscalls, execs; /* stopped at */
	ct_u32 tid;
	struct ct_dwarf_stack stack; /* of it; empty: not looked at since the last move */
	size_t at;                   /* the frame that is looked at */
	ct_u64 updated;              /* event before which that was last done for symbols, 0: never */
	ct_u64 shown;                /* function whose name was shown last */
	char *path, *text;           /* of the source file read last */
	int line;                    /* listed last, 0: none */
	char listed[4096];           /* ... of this file */
	bool warned, quit;
};

/* Commands get what is behind their name; -1 with *err. */
typedef int term_command(struct term *t, const char *args, struct ct_error *err);
term_command term_step, term_next, term_finish, term_stepi, term_rstep, term_back, term_rfinish, term_backi,
	term_continue, term_rc, term_goto;                    /* replay_term_move.c */
term_command term_break, term_watch, term_delete, term_catch; /* replay_term_stop.c */
term_command term_print, term_locals, term_examine, term_registers, term_bt, term_frame, term_up, term_down,
	term_threads, term_list, term_events, term_when, term_status; /* replay_term_show.c */

/* Whether the person has had enough (Ctrl-C). */
bool term_interrupted(void *ctx);

/* Where to stop: at all points, and at these. */
int term_arm(struct term *t, const struct ct_stop *more, size_t n, struct ct_error *err);
/* After a move: a library may have come, a new program. */
int term_moved(struct term *t, struct ct_error *err);
/* Runs to the next stop that is wanted; `more` as for term_arm, which are all wanted. */
int term_run(struct term *t, bool back, const struct ct_stop *more, size_t n, struct ct_stopped *stopped,
	     struct ct_error *err);
/* The point that a stop is at, its condition being true; NULL: none. */
const struct term_point *term_point_at(struct term *t, const struct ct_stopped *stopped);
void term_free_points(struct term *t);

/* The frame that is looked at, NULL: there is none. */
const struct ct_dwarf_frame *term_the_frame(struct term *t);
/* It is another stack now. */
void term_forget_stack(struct term *t);
/* The value of an expression in that frame. */
struct ct_dwarf_place term_scope(struct term *t);
/* Why it has stopped, and where it is. */
void term_tell(struct term *t, const struct ct_stopped *stopped, bool back);
/* Where the thread is; brief: only the source line, while the function is the same. */
void term_tell_place(struct term *t, bool brief);
/* The number behind a command, `otherwise` if there is none. */
int term_number(const char *args, unsigned long long otherwise, unsigned long long *n, struct ct_error *err);

#endif
