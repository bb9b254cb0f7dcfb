/* SPDX-License-Identifier: MIT
 * Printing of events and snapshots for `ctbpf dump`: as text, and as JSON lines.
 *
 * cmd_dump.c chooses what to print; dump_text.c, dump_json.c and dump_snapshot.c do it. */
#ifndef CT_DUMP_H
#define CT_DUMP_H

#include <stdbool.h>

#include "../formats/event_access.h"
#include "../formats/recording.h"
#include "out.h"

struct ct_functions;

struct ct_dump {
	struct ct_out *out;
	ct_u64 first_ns;     /* what times are relative to */
	unsigned time_width; /* columns the seconds before the point need */
	size_t strmax;       /* bytes of a string shown in a call */
	bool hex, raw, json;
	struct ct_functions *functions; /* those that ct_dump_note was told of; NULL: calls show numbers */
};

/* Sets first_ns and time_width to suit a recording. */
void ct_dump_set_clock(struct ct_dump *dump, const struct ct_recording *rec);
/* One event, checked, with a newline at the end. */
void ct_dump_text(const struct ct_dump *dump, const struct ct_event *ev);
void ct_dump_json(const struct ct_dump *dump, const struct ct_event *ev);

/* Remembers what later events refer to; for events that are printed and those that are not. */
void ct_dump_note(const struct ct_dump *dump, const struct ct_event *ev);
/* FUNCTION, CALL and RETURN records: dump_calls.c. */
void ct_dump_pause_text(const struct ct_dump *dump, const struct ct_event *ev);
void ct_dump_pause_json(const struct ct_dump *dump, const struct ct_event *ev);
void ct_dump_call_text(const struct ct_dump *dump, const struct ct_event *ev);
void ct_dump_call_json(const struct ct_dump *dump, const struct ct_event *ev);

/* What happened, without number, time, thread and newline. */
void ct_dump_what(const struct ct_dump *dump, const struct ct_event *ev);

/* Snapshot `id` of the recording, as text or JSON. */
int ct_dump_snapshot(const struct ct_dump *dump, struct ct_recording *rec, ct_u32 id, struct ct_error *err);

/* How the recording's step database is stored; `raw`: down to chunks and columns. */
int ct_dump_steps(const struct ct_dump *dump, struct ct_recording *rec, struct ct_error *err);

/* ---- Names both forms use ---- */

const char *ct_reg_name(unsigned reg); /* "r15"; reg < CT_NREGS */
/* "SI_KERNEL", "SEGV_MAPERR"; NULL if unknown. */
const char *ct_si_code_name(int sig, int code);
/* "SIGALRM" or "signal 77" in buf. */
const char *ct_signal_label(char buf[CT_HUMAN], int sig);
const char *ct_insn_name(unsigned kind);
const char *ct_snapshot_kind_name(unsigned kind);
const char *ct_lost_reason_name(unsigned reason);
const char *ct_unsound_name(unsigned reason);
const char *ct_end_reason_name(unsigned reason);
const char *ct_buf_kind_name(unsigned kind);
/* Name of a call, or "syscall_<nr>" in buf; -1 is the return from a signal handler. */
const char *ct_syscall_label(char buf[CT_HUMAN], int nr);

#endif
