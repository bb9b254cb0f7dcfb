/* SPDX-License-Identifier: MIT
 * What `info` and `ls` say of a recording: manifest and summary in one plain struct.
 *
 * Every member of a manifest is optional here: an old or broken recording must still be listed. */
#ifndef CT_RECINFO_H
#define CT_RECINFO_H

#include <stdbool.h>

#include "../formats/recording.h"

/* Strings point into the recording or its manifest; NULL if the manifest does not say. */
struct ct_recinfo {
	struct ct_recording *rec; /* owned */
	struct ct_summary sum;
	const char *path, *uuid, *state;
	const char *host, *kernel, *cpu;
	const char *target_comm, *target_exe;
	const char *verdict, *verified_at; /* of the last `ctbpf verify` that kept its result */
	bool has_proven;                   /* stretches were proven while it was recorded */
	ct_u64 proven, refuted, missed;
	const char *refuted_why;
	ct_u64 target_pid;
	bool has_pauses; /* calls are not in all of it */
	ct_u64 pauses, overhead_pauses;
	double paused_s;
	const char *trigger, *trigger_reason; /* what made it be kept; NULL: nothing of that kind */
	ct_u64 trigger_seq;                   /* the event that did, 0: none */
	ct_u64 kept_from;  /* the snapshot it begins with if what was before has been removed, else 0 */
	ct_u64 started_ns; /* wall clock of the first event, 0: unknown */
	double duration_s, pause_ms;
	bool has_pause, has_stats;
	double recorder_cpu_s;
	ct_u64 recorder_rss;
};

int ct_recinfo_open(struct ct_recinfo *info, const char *path, struct ct_error *err);
void ct_recinfo_close(struct ct_recinfo *info);

#endif
