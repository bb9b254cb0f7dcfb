/* SPDX-License-Identifier: MIT
 * What must not be in a recording: bytes that match a rule are overwritten before they are stored, in the log, in the
 * pages of snapshots, in names; files that have them are not kept. Any thread. */
#ifndef CT_REDACT_H
#define CT_REDACT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "formats/error.h"
#include "formats/event.h"

struct ct_redact;

/* patterns: regular expressions (pcre2pattern(3)) over bytes. env: names of environment variables, with * and ?, whose
 * values count. */
struct ct_redact *ct_redact_create(const char *const *patterns, size_t npatterns, const char *const *env, size_t nenv,
				   struct ct_error *err);
void ct_redact_destroy(struct ct_redact *rd);
/* From here on the values that such variables have in this process count wherever they are. Before anything else. */
int ct_redact_learn(struct ct_redact *rd, pid_t pid, struct ct_error *err);
/* Overwrites what matches; cut: what begins to match at the end, too, since more followed there. */
void ct_redact_bytes(struct ct_redact *rd, void *data, size_t len, bool cut);
/* The record, or what is to be stored instead of it: valid until the next call. One thread. */
const struct ct_event *ct_redact_event(struct ct_redact *rd, const struct ct_event *ev);
/* Whether the file has something that matches. */
bool ct_redact_in_file(struct ct_redact *rd, int fd);
size_t ct_redact_rules(const struct ct_redact *rd);
/* How often something was overwritten. */
ct_u64 ct_redact_matches(const struct ct_redact *rd);

#endif
