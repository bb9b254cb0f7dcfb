/* SPDX-License-Identifier: MIT
 * The SQL table events: the recording's log, read through its block index.
 *
 * A damaged block ends the question with an error: an answer with a hole in it would look complete. */
#include <string.h>

#include "event_access.h"
#include "recording_private.h"
#include "stepdb_sql.h"
#include "syscalls.h"

enum { E_SEQ, E_TIME, E_THREAD, E_TYPE, E_NAME, E_RESULT, E_TID, E_PID, E_TEXT };
#define LATE_NS 1000000000ull /* how far clocks of several CPUs may put records out of order, generously */
#define STRINGS 64            /* bytes of a string shown in `text` */

static double rows_events(const struct sql_source *src)
{
	struct ct_index_entry range;

	return src->rec && ct_recording_range(src->rec, &range) ? (double)(range.last_seq - range.first_seq + 1) : 0;
}

static int next_event(struct sql_cursor *cur, struct ct_error *err)
{
	int got;

	do {
		got = ct_cursor_next(cur->events, &cur->ev, err);
		if (got < 0)
			return ct_fail_prefix(err, "%s", cur->src->rec->path);
		if (got == 0 || cur->ev->seq > cur->max_seq ||
		    (cur->ev->time_ns > cur->max_ns && cur->ev->time_ns - cur->max_ns > LATE_NS)) {
			cur->end = true;
			return 0;
		}
	} while (cur->type && cur->ev->type != cur->type);
	cur->id = cur->ev->seq;
	return 0;
}

static int filter_events(struct sql_cursor *cur, const struct sql_filter *filter, struct ct_error *err)
{
	const char *type = sql_text(filter, E_TYPE);
	struct sql_span seq, time;

	cur->type = type ? ct_event_type_by_name(type) : 0;
	cur->end = !sql_narrow(filter, E_SEQ, &seq) || !sql_narrow(filter, E_TIME, &time) || (type && !cur->type) ||
		   !cur->src->rec;
	if (cur->end)
		return 0;
	cur->max_seq = seq.max;
	cur->max_ns = time.max;
	cur->events = ct_cursor_create(cur->src->rec, err);
	if (!cur->events)
		return -1;
	if (seq.min)
		return ct_cursor_seek_seq(cur->events, seq.min, err);
	return time.min ? ct_cursor_seek_time(cur->events, time.min, err) : 0;
}

/* The thread that had this tid then. */
static ct_u64 thread_of(const struct sql_cursor *cur)
{
	struct ct_stepdb *db = cur->src->db;

	for (ct_u32 id = db ? ct_stepdb_names(db, CT_THREADS) : 0; id; id--) {
		const ct_u64 *v = ct_stepdb_name(db, CT_THREADS, id)->v;

		if (v[CT_TH_TID] == cur->ev->tid && v[CT_TH_SEQ] <= cur->ev->seq)
			return id;
	}
	return 0;
}

/* Number of the system call of an event that is one; -2 for others. */
static int syscall_of(const struct ct_event *ev)
{
	if (ev->type == CT_EV_SYSCALL)
		return ((const struct ct_ev_syscall *)ct_event_payload(ev))->nr;
	if (ev->type == CT_EV_ENTER)
		return ((const struct ct_ev_enter *)ct_event_payload(ev))->nr;
	return -2;
}

static void put_name(sqlite3_context *ctx, const struct ct_event *ev)
{
	int nr = syscall_of(ev);
	const char *name = NULL;

	if (nr >= 0)
		name = ct_syscall(nr) ? ct_syscall(nr)->name : NULL;
	else if (nr == -1)
		name = "rt_sigreturn";
	else if (ev->type == CT_EV_SIGNAL)
		name = ct_signal_name(((const struct ct_ev_signal *)ct_event_payload(ev))->sig);
	else if (ev->type == CT_EV_FRAME)
		name = ct_signal_name(((const struct ct_ev_frame *)ct_event_payload(ev))->sig);
	if (name)
		sqlite3_result_text(ctx, name, -1, SQLITE_STATIC);
}

static void put_result(sqlite3_context *ctx, const struct ct_event *ev)
{
	const void *payload = ct_event_payload(ev);

	if (ev->type == CT_EV_SYSCALL)
		sqlite3_result_int64(ctx, ((const struct ct_ev_syscall *)payload)->ret);
	else if (ev->type == CT_EV_EXIT)
		sqlite3_result_int64(ctx, ((const struct ct_ev_exit *)payload)->code);
	else if (ev->type == CT_EV_FORK)
		sqlite3_result_int64(ctx, ((const struct ct_ev_fork *)payload)->child_tid);
}

/* The call as strace would show it; texts of notes and paths of files; NULL for the others. */
static int put_text(struct sql_cursor *cur, sqlite3_context *ctx)
{
	const struct ct_event *ev = cur->ev;
	size_t need = 0, len;
	const char *text;

	if (ev->type != CT_EV_SYSCALL && ev->type != CT_EV_ENTER) {
		text = ct_event_text(ev, &len);
		if (text)
			sqlite3_result_text(ctx, text, (int)len, SQLITE_TRANSIENT);
		return 0;
	}
	do {
		if (!sql_room(cur, need + 1)) {
			sqlite3_result_error_nomem(ctx);
			return 0;
		}
		need = ev->type == CT_EV_SYSCALL ? ct_syscall_format(ev, STRINGS, cur->text, cur->cap)
						 : ct_enter_format(ev, STRINGS, cur->text, cur->cap);
	} while (need >= cur->cap);
	sqlite3_result_text(ctx, cur->text, (int)need, SQLITE_TRANSIENT);
	return 0;
}

static int column_events(struct sql_cursor *cur, sqlite3_context *ctx, int column, struct ct_error *err)
{
	(void)err;
	switch (column) {
	case E_SEQ: sqlite3_result_int64(ctx, (ct_s64)cur->ev->seq); break;
	case E_TIME: sqlite3_result_int64(ctx, (ct_s64)cur->ev->time_ns); break;
	case E_THREAD: sql_id(ctx, thread_of(cur)); break;
	case E_TYPE: sqlite3_result_text(ctx, ct_event_type_name(cur->ev->type), -1, SQLITE_STATIC); break;
	case E_NAME: put_name(ctx, cur->ev); break;
	case E_RESULT: put_result(ctx, cur->ev); break;
	case E_TID: sqlite3_result_int64(ctx, cur->ev->tid); break;
	case E_PID: sqlite3_result_int64(ctx, cur->ev->pid); break;
	default: return put_text(cur, ctx);
	}
	return 0;
}

const struct sql_table sql_events = {"events",
				     "seq INTEGER, time_ns INTEGER, thread_id INTEGER, type TEXT, name TEXT, "
				     "result INTEGER, tid INTEGER, pid INTEGER, text TEXT",
				     "rr.t.....",
				     false,
				     0.01,
				     rows_events,
				     filter_events,
				     next_event,
				     column_events};
