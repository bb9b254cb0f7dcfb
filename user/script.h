/* SPDX-License-Identifier: MIT
 * Inside of `ctbpf script`: the story of a stretch.
 *
 * cmd_script.c: options; script_tell.c: what comes when; script_print.c: how it looks; source.c: lines of files. */
#ifndef CT_SCRIPT_H
#define CT_SCRIPT_H

#include "../formats/stepdb_walk.h"
#include "dump.h"
#include "query.h"
#include "source.h"

/* A row of values. */
struct script_value {
	bool have;
	ct_u64 id, step, call, name, function;
	enum ct_value_kind kind;
};
struct script {
	struct query q;
	struct query_span span;
	ct_u32 tid;                 /* 0: all threads */
	ct_u8 *threads, *functions; /* by id; NULL: all */
	bool no_values;

	struct ct_dump dump; /* events are told as `dump` tells them */
	struct ct_sources *sources;
	struct ct_walk_thread **thread; /* by id, once they have appeared */
	struct ct_scan *values;
	struct script_value value; /* the next one */
	struct ct_cursor *events;
	const struct ct_event *ev; /* the next one */
	ct_u32 told;               /* thread that was told of last */
};
int script_tell(struct script *s, struct ct_error *err);

/* ---- Printing. Arguments of a call come between its two parts. ---- */

void script_call(struct script *s, const struct ct_walk_thread *t, const struct ct_walk_frame *f,
		 enum ct_walk_enter how);
int script_argument(struct script *s, const struct script_value *v, bool first, struct ct_error *err);
void script_call_end(struct script *s, const struct ct_walk_frame *f, enum ct_walk_enter how);
void script_line(struct script *s, const struct ct_walk_thread *t, const struct ct_walk_frame *f,
		 const struct ct_walk_step *step);
/* `depth`: frames up to that of the value's call. */
int script_value(struct script *s, const struct ct_walk_thread *t, size_t depth, const struct script_value *v,
		 struct ct_error *err);
/* A call has ended of which no value is told. */
void script_leave(struct script *s, const struct ct_walk_thread *t, const struct ct_walk_frame *f,
		  enum ct_walk_leave how);
void script_event(struct script *s, const struct ct_walk_thread *t, const struct ct_event *ev);

#endif
