/* SPDX-License-Identifier: MIT
 * What the parts of the survey share: reading /proc, and the facts found so far.
 *
 * survey.c looks at the process, survey_limits.c at memory, limits and scheduling, survey_maps.c at mappings and
 * descriptors. */
#ifndef CT_SURVEY_PRIV_H
#define CT_SURVEY_PRIV_H

#include <stdint.h>
#include <stdio.h>

#include "survey.h"

struct ct_survey {
	struct ct_findings *f;
	pid_t pid;
	const pid_t *group; /* recorded with it */
	size_t ngroup;
	char comm[16];
	char state;
	pid_t tracer;
	uint64_t start_time; /* field 22 of stat */
	unsigned flags;      /* PF_* of the kernel */
	unsigned uid;        /* real */
	unsigned threads;
	uint64_t cap_eff;
	uint64_t rss_anon, rss_shmem, rss_file, swap, locked; /* bytes */
	int seccomp;                                          /* strictest of all threads */
	bool shadow_stack, dumping_core;
};

/* Reads /proc/<pid>/<name> (pid 0: /proc/<name>) whole, NUL-terminated; malloc'ed. NULL with errno: ENOENT or ESRCH if
 * it is gone. */
char *ct_proc_read(pid_t pid, const char *name, size_t *len);
/* Reads a small file into buf, cut to fit, terminated, without its last newline. -1 with errno if it cannot. */
int ct_read_small(const char *path, char *buf, size_t len);
/* Number after "<key>:" (or "<key> ") at the start of a line of text; `fallback` if there is none. */
uint64_t ct_text_number(const char *text, const char *key, int base, uint64_t fallback);
/* readlink of /proc/<pid>/<name>; terminated. -1 with errno if it cannot. */
int ct_proc_link(pid_t pid, const char *name, char *buf, size_t len);
/* Calls each(ctx, pid) for all processes until it returns false. */
void ct_each_process(bool (*each)(void *ctx, pid_t pid), void *ctx);
bool ct_proc_comm(pid_t pid, char comm[16]);

void ct_survey_limits(struct ct_survey *s); /* memory, cgroup, rlimits, scheduling */
void ct_survey_maps(struct ct_survey *s);   /* mappings, and who else writes to the shared ones */
void ct_survey_fds(struct ct_survey *s);

#endif
