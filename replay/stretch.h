/* SPDX-License-Identifier: MIT
 * The stretches of a recording: from a snapshot of everything to the next, each replayable by itself.
 *
 * docs/format.md defines them. */
#ifndef CT_STRETCH_H
#define CT_STRETCH_H

#include "formats/recording.h"

struct ct_stretch {
	ct_u32 from, to;    /* snapshots; to 0: the log ends without one */
	ct_u64 begin, end;  /* first event of it, and the event it ends before (UINT64_MAX if to is 0) */
	ct_u64 events;      /* how many */
	ct_u64 events_only; /* of them, those of processes that are not replayed */
	ct_u64 first_ns, last_ns;
	ct_u64 broken_at; /* event from which on it cannot be replayed, 0: it can */
	char broken[256]; /* why */
};
struct ct_stretches {
	struct ct_stretch *list; /* owned */
	size_t count;
	char damage[256]; /* what is unreadable outside of any stretch, "": nothing */
};
/* One pass over all events. */
int ct_stretches_find(struct ct_recording *rec, struct ct_stretches *out, struct ct_error *err);
/* The same pass, in which `see` is told of each event that can be read. */
int ct_stretches_find_and_see(struct ct_recording *rec, struct ct_stretches *out,
			      void (*see)(void *ctx, const struct ct_event *ev), void *ctx, struct ct_error *err);
/* The snapshot with which the last stretch begins that has begun at event `seq`; 0: there is none. */
ct_u32 ct_stretch_before(const struct ct_stretches *st, ct_u64 seq);
void ct_stretches_deinit(struct ct_stretches *st);

#endif
