/* SPDX-License-Identifier: MIT
 * One recording's life: attach, record until something ends it, final snapshot, release, close.
 *
 * ct_record returns when the recording is closed; the targets are then as they were before. */
#ifndef CT_RECORDER_H
#define CT_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "formats/error.h"
#include "formats/event.h"
#include "formats/event_access.h"
#include "user/calls.h"

/* What makes a recording of what is kept at that moment. */
struct ct_trigger_opts {
	bool crash; /* a process is ended by a signal */
	bool exits; /* ... or ends with this status, -1: any but 0 */
	int exit_status;
	ct_u64 signals;              /* these are delivered: bit N-1 for signal N */
	const char *slow, *slow_lib; /* native functions of this name take ... */
	ct_u64 slow_ns;              /* ... as long; lib: see struct ct_calls_opts */
	const char *log;             /* what matches this regular expression is written */
	ct_u64 post_ns;              /* recorded after it */
	ct_u64 every_ns;             /* at most one of these in that time */
};
#define CT_TRIGGER_NAME 64
bool ct_trigger_name_ok(const char *name);
#define CT_CONTROL "control" /* socket in the recording's directory */

/* Stretches that were looked at while the recording went on. */
struct ct_proven {
	ct_u64 verified, refuted; /* refuted: any verdict but VERIFIED */
	ct_u64 missed;            /* removed before their turn had come */
	char why[200];            /* of the last refuted one */
};

struct ct_record_opts {
	const pid_t *pids; /* targets, or ... */
	size_t npids;
	char **command;             /* ... a command to run and record from its first instruction, NULL-terminated */
	const char *output;         /* directory, NULL: ./ctbpf-<comm>-<pid>-<utc>.ctr */
	double duration_s;          /* 0: until interrupted or the targets are gone */
	ct_u64 keep_ns, keep_bytes; /* what stays of it: the last so long, at most so much; 0: all */
	ct_u64 snapshot_ns;         /* between two snapshots, 0: choose */
	bool incremental; /* snapshots copy only memory that has changed since the last, where it can be told */
	struct ct_trigger_opts trigger;
	const char *const *redact; /* what is not to be stored: see struct ct_redact */
	const char *const *redact_env;
	size_t nredact, nredact_env;
	bool no_replay, force, strict, stop_on_loss;
	bool prove;           /* verify each stretch while the recording goes on; with keep_... only */
	bool follow;          /* children too */
	ct_u32 max_processes; /* of children beyond it only the events; 0: no limit */
	bool real_time;       /* SCHED_RR while recorded */
	bool step;            /* ticks, by single-stepping the targets */
	int cpu;              /* to pin to, -1: choose */
	size_t ring_bytes;
	ct_u64 segment_size;
	const struct ct_calls_opts *calls; /* NULL: no calls are recorded; with no_replay only */
	int level;                         /* zstd, 0: none */
	int verbose;                       /* -1 quiet, 0, 1 */
};

/* While there were no probes of calls. */
struct ct_calls_pauses {
	ct_u64 count, overhead;  /* overhead: those of --max-overhead */
	ct_u64 off_ns, since_ns; /* so long in all, but for the time since then if it is off */
	ct_u64 cost_ppm;         /* what the probes cost when that was too much for the last time */
	bool off, asked;         /* asked: by `ctbpf stop` */
};

struct ct_record_result {
	char path[512];
	char unsound[CT_UNSOUND_TEXT]; /* why not all of it can be replayed; empty: no reason is known */
	int child_status;              /* wait4 status of the command, -1: none */
	ct_u64 events, bytes, lost;
	bool write_failed; /* `lost` were not lost on the way, but could not be written */
	double duration_s, pause_ms;
	ct_u64 redacted; /* so often something matched `redact` */
	bool replayable;
	struct ct_proven proven;
	struct ct_calls_stats calls; /* what was attached */
	ct_u64 orphans;              /* lines and values of calls that were not told of */
	ct_u64 ncalls, left_out;     /* calls told of, and not told of, see struct ct_call_counters */
	double detach_ms;
	struct ct_calls_pauses pauses;
};

int ct_record(const struct ct_record_opts *opts, struct ct_record_result *result, struct ct_error *err);

#endif
