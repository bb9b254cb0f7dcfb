/* SPDX-License-Identifier: MIT
 * Proving a recording: every stretch replayed by a worker process of its own, the verdicts collected.
 *
 * Used by `verify` and by `record --verify`. */
#ifndef CT_VERIFY_H
#define CT_VERIFY_H

#include <stdio.h>

#include "../formats/recording.h"

enum ct_verdict {
	CT_VERIFIED = 1,  /* all that is compared is identical */
	CT_REDACTED,      /* identical, but bytes had been taken away before: it is not what has happened */
	CT_BROKEN,        /* events are lost, unsound or unreadable */
	CT_UNPROVEN,      /* replayed, but there is no snapshot to compare with */
	CT_DIVERGED,      /* the replay went another way */
	CT_DIFFERENT,     /* it came to the end, but something is not the same there */
	CT_VERIFY_FAILED, /* could not be replayed for a reason that is not the recording's events */
};
const char *ct_verdict_name(enum ct_verdict v);

struct ct_verify_opts {
	ct_u32 stretch;    /* number from 1, 0: all */
	unsigned jobs;     /* workers at once, 0: one for each CPU */
	bool idle;         /* at idle priority, and first where the recorded program does not run */
	bool proven;       /* what was VERIFIED while it was recorded is not replayed again */
	bool quiet;        /* verdicts only */
	bool store;        /* write the result into the manifest */
	const char *clock; /* ct_clock_choose; NULL: auto */
	FILE *out;         /* for people; reports of divergences go to stderr. NULL: nothing */
};
struct ct_verify_result {
	enum ct_verdict verdict; /* the worst */
	char why[400];           /* if it is not VERIFIED: the first reason, one sentence */
	size_t stretches, verified;
	json_t *json; /* owned; what --json prints */
};

/* 0 whatever the verdict; -1 if there is nothing to replay. */
int ct_verify(const char *path, const struct ct_verify_opts *opts, struct ct_verify_result *res, struct ct_error *err);
void ct_verify_result_deinit(struct ct_verify_result *res);
/* Whether `record --redact` has overwritten bytes of it, or it is not known whether. */
bool ct_verify_redacted(const struct ct_recording *rec);
/* Refuses what cannot be replayed at all: events only, still growing. */
int ct_verify_refusal(const struct ct_recording *rec, struct ct_error *err);
/* Exit status of a verdict. */
int ct_verdict_status(enum ct_verdict v);

#endif
