/* SPDX-License-Identifier: MIT
 * What is asked of ctbpf record: record_args.c has the options, record_values.c what they take. */
#ifndef CT_RECORD_ARGS_H
#define CT_RECORD_ARGS_H

#include "user/processes.h"
#include "user/recorder.h"
#include "user/verify.h"

struct ct_record_args {
	struct ct_record_opts o;
	pid_t *pids; /* owned */
	size_t npids;
	struct ct_match match;
	bool json, verify;
	struct ct_calls_opts calls;
	const char **redact, **redact_env; /* likewise */
	const char **globs;                /* room for as many as there are arguments */
	const char *filter;                /* file; what it says: */
	struct ct_call_filter *rules;      /* to be freed */
};

/* -1: go on; -2: there is no such process; else the exit status. */
int ct_record_parse(struct ct_record_args *a, const char *help, int argc, char **argv);

/* All of these: -1 if it is none. A size, "64M", "1G", "4096", within [min, max]. */
int ct_parse_size(const char *text, ct_u64 min, ct_u64 max, ct_u64 *out);
/* "500ms", "90s", "10m", "2h": a hundred milliseconds to a year. */
int ct_parse_time(const char *text, ct_u64 *ns);
/* "10us", "1.5ms", "2s". */
int ct_parse_duration(const char *text, ct_u64 *ns);
/* A time or a size; here M are megabytes and m minutes. */
int ct_parse_keep(struct ct_record_opts *o, const char *text);
/* "SEGV", "SIGSEGV", "11"; added to the set. */
int ct_parse_signal(const char *text, ct_u64 *signals);
/* "handle>50ms"; cuts the text. */
int ct_parse_latency(struct ct_trigger_opts *t, char *text);
int ct_parse_percent(const char *text, double *share);
int ct_parse_exit(const char *text, struct ct_trigger_opts *t);
int ct_parse_compress(const char *text, int *level);

#endif
