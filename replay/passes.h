/* SPDX-License-Identifier: MIT
 * Proving a stretch: replay and comparison, with positions that are ambiguous resolved by what comes after them.
 * docs/replay.md says why there are such positions. */
#ifndef CT_PASSES_H
#define CT_PASSES_H

#include "replay/session.h"

struct ct_proof_of {
	struct ct_recording *rec;
	const struct ct_session_opts *opts;
	ct_u32 from; /* snapshots; `to` is 0 if there is none to compare with */
	ct_u32 to;
	ct_u64 end;   /* the first event that is not replayed */
	bool damaged; /* the recording is: where it goes wrong, no other position would mend it */
};

/* Which of the passes that match the position of an event is the place: `skip` of them come before it. */
struct ct_pass {
	ct_u64 seq; /* UINT64_MAX: the position of the comparison */
	unsigned skip;
};

struct ct_proof {
	struct ct_comparison compared;
	char *differences;     /* lines, or NULL; malloc'ed */
	unsigned tries;        /* how often it went back */
	struct ct_pass *later; /* positions that are not where they matched first; malloc'ed */
	unsigned later_passes; /* how many */
};

/* As ct_session_run and ct_session_compare: 0: identical, 1: differs, -1: failure. *s (NULL if there could be none) is
 * the caller's, and stands where it ended. */
int ct_session_prove(const struct ct_proof_of *of, struct ct_session **s, struct ct_proof *proof, struct ct_error *err);

#endif
