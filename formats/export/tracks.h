/* SPDX-License-Identifier: MIT
 * Private to the exporters: a recording as events on tracks, for perfetto and chrome.
 *
 * tracks.c tells calls, system calls, signals, switches and losses; a writer gives them the shape of its format. */
#ifndef CT_EXPORT_TRACKS_H
#define CT_EXPORT_TRACKS_H

#include "timeline.h"

enum tk_track {
	TK_THREAD,
	TK_RUNNING,   /* slices: which thread the CPU ran */
	TK_RECORDING, /* instants: losses, snapshots, notes */
	TK_EVENTS,    /* counter: events of the log per second */
	TK_LINES,     /* counter: executed lines per second */
	TK_NTRACKS
};
extern const char *const tk_track_names[TK_NTRACKS]; /* NULL for threads */

enum tk_phase { TK_BEGIN, TK_END, TK_INSTANT, TK_COUNTER };
struct tk_arg {
	const char *key;
	const char *text; /* NULL: a number */
	size_t len;
	ct_s64 number;
};
#define TK_ARGS 5
struct tk_event {
	enum tk_phase phase;
	enum tk_track track;
	ct_u32 tid, pid; /* of TK_THREAD */
	ct_u64 ns;
	const char *category;
	ct_u32 function;  /* its name is the event's; 0: `name` */
	const char *name; /* NULL of TK_END and TK_COUNTER */
	ct_s64 value;     /* of TK_COUNTER */
	struct tk_arg arg[TK_ARGS];
	unsigned nargs;
};
struct tk_writer {
	void *arg;
	/* Before the first event of it. */
	void (*process)(void *arg, ct_u32 pid, const char *name, size_t len);
	void (*thread)(void *arg, ct_u32 tid, ct_u32 pid, const char *name, size_t len);
	/* What is put until the next time is in its order; 0: the log, else a thread's id. */
	void (*sequence)(void *arg, ct_u32 number);
	void (*put)(void *arg, const struct tk_event *ev);
};
int ex_tracks(const struct ct_export_source *src, const struct ct_export_options *opts, const struct tk_writer *w,
	      struct ct_error *err);

#endif
