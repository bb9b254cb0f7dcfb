/* SPDX-License-Identifier: MIT
 * Survey of a target: everything about a process that prevents or degrades a recording.
 *
 * Only /proc is read; the target is not touched and may exit meanwhile. `check -p` prints the findings, `record`
 * asks for the refusal before it attaches. */
#ifndef CT_SURVEY_H
#define CT_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "../../formats/error.h"

enum ct_severity {
	CT_FIND_OK = 0,
	CT_FIND_NOTE,          /* worth knowing, changes nothing */
	CT_FIND_DEGRADES,      /* works, but slower, longer or less completely */
	CT_FIND_BLOCKS_REPLAY, /* events can be recorded, but not replayed */
	CT_FIND_BLOCKS,        /* cannot be recorded at all */
};
const char *ct_severity_name(enum ct_severity severity); /* "ok", "note", "DEGRADES", "NO REPLAY", "BLOCKS" */

struct ct_finding {
	enum ct_severity severity;
	bool missing;   /* what stands in the way is a privilege or a kernel feature: exit status 77 */
	char id[24];    /* fixed word for scripts and tests: "io_uring", "traced", ... */
	char what[320]; /* a clause: "it uses io_uring (descriptor 7)" */
	char fix[256];  /* what the user can do, or empty */
};

struct ct_findings {
	struct ct_finding *item;
	size_t count, cap;
	bool out_of_memory;
};
void ct_findings_deinit(struct ct_findings *f);
/* Adds a finding; fix may be NULL. The result is valid until the next one is added, NULL if out of memory. */
struct ct_finding *ct_finding_add(struct ct_findings *f, enum ct_severity severity, const char *id, const char *fix,
				  const char *fmt, ...) __attribute__((format(printf, 5, 6)));
enum ct_severity ct_findings_worst(const struct ct_findings *f);
/* First finding of at least this severity, the worst ones first; NULL if there is none. */
const struct ct_finding *ct_findings_first(const struct ct_findings *f, enum ct_severity at_least);
const struct ct_finding *ct_findings_by_id(const struct ct_findings *f, const char *id);

/* Adds the findings about `pid`, which need not exist. 0, or -1 if the survey itself was impossible (out of memory).
 * A target that exits meanwhile gives the finding "no_process". */
int ct_survey_target(pid_t pid, struct ct_findings *f, struct ct_error *err);
/* The same for group[i], all of which are to be recorded together. */
int ct_survey_member(const pid_t *group, size_t count, size_t i, struct ct_findings *f, struct ct_error *err);

/* Another process that can write to memory that one of these shares, and what that is in *what; 0: none. `inside` is
 * asked whether it may; `each` is called for each process of the machine, for it takes its time to look at all. */
pid_t ct_survey_outsider(const pid_t *group, size_t count, bool (*inside)(void *ctx, pid_t pid),
			 void (*each)(void *ctx), void *ctx, char *what, size_t len);

/* What a recorder does with it: 0 if nothing forbids to record `pid`; else -1 with the reason and the fix in *err.
 * Findings of CT_FIND_BLOCKS_REPLAY forbid it only if `replay` is wanted. */
int ct_survey_refusal(const struct ct_findings *f, pid_t pid, bool replay, struct ct_error *err);

/* "4242 (redis-server)", or "4242" if it is gone. Returns buf. */
char *ct_target_label(char *buf, size_t len, pid_t pid);

#endif
