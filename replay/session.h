/* SPDX-License-Identifier: MIT
 * A replay session: one stretch of a recording, executed again event by event from a snapshot.
 *
 * Any mismatch of a system call, its arguments or registers ends it with a report; it never goes on past one. */
#ifndef CT_SESSION_H
#define CT_SESSION_H

#include <stdio.h>

#include "formats/recording.h"
#include "formats/snapshot.h"

struct ct_session;

struct ct_session_stats {
	ct_u64 events, syscalls, executed, signals, switches, positions, position_hits;
	double seconds;
};

/* Restores snapshot `id`, which must be one of all recorded processes (attach, loss, periodic). */
struct ct_session *ct_session_create(struct ct_recording *rec, ct_u32 id, struct ct_error *err);
void ct_session_destroy(struct ct_session *s);
/* Executes up to the event `seq` (exclusive). 0, or -1 with a divergence (status CT_EXIT_DIVERGED) or failure. */
int ct_session_run(struct ct_session *s, ct_u64 seq, struct ct_error *err);
/* Brings all threads to where snapshot `id` found them and compares registers, FPU state and memory with it. What
 * differs is written to `report`. 0: identical; 1: differs; -1: failure. */
int ct_session_compare(struct ct_session *s, ct_u32 id, FILE *report, struct ct_error *err);
void ct_session_stats(const struct ct_session *s, struct ct_session_stats *stats);

#endif
