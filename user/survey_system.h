/* SPDX-License-Identifier: MIT
 * Survey of the machine: kernel, privileges, BPF features by trying them - what a recording will find here.
 *
 * The features are one table: what each is needed for, and what happens where it is missing. */
#ifndef CT_SURVEY_SYSTEM_H
#define CT_SURVEY_SYSTEM_H

#include <stddef.h>

#include "attach/survey.h"

struct btf;

/* One feature of the kernel. */
struct ct_feature {
	const char *id;   /* "tp_sys_enter": the finding's id */
	const char *name; /* "tracepoint sys_enter" */
	/* 1: it is there, 0: it is not, -1: that could not be found out. `what`, empty before, may say more.
	 * btf is the kernel's type information (NULL if it has none). */
	int (*probe)(const struct ct_feature *feature, struct btf *btf, char *what, size_t len);
	const char *symbol;     /* for the probe, as it needs it: a name or ... */
	int number;             /* ... a number */
	const char *needed_for; /* "system calls" */
	const char *fallback;   /* what happens without it */
	enum ct_severity without;
};
const struct ct_feature *ct_features(size_t *count);

/* Adds the findings about this machine. 0, or -1 if the survey itself was impossible. */
int ct_survey_system(struct ct_findings *f, struct ct_error *err);

#endif
