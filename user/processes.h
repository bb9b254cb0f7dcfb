/* SPDX-License-Identifier: MIT
 * Which processes are meant: by their name, or by the control group that a service manager or a container runtime has
 * put them into. Nobody is asked but /proc. */
#ifndef CT_PROCESSES_H
#define CT_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum ct_match_kind {
	CT_MATCH_NONE,
	CT_MATCH_COMM,      /* all processes of this name */
	CT_MATCH_CGROUP,    /* all in this control group, "/a/b", and those below it */
	CT_MATCH_UNIT,      /* all of this systemd unit, "redis.service" */
	CT_MATCH_CONTAINER, /* all of the container whose id begins like this, at least 12 digits */
};
struct ct_match {
	enum ct_match_kind kind;
	const char *what;
};

/* By its word: "comm", "cgroup", "unit", "container"; NONE: there is no such. */
enum ct_match_kind ct_match_named(const char *word);
const char *ct_match_name(enum ct_match_kind kind);
/* Whether `what` can be meant by it. */
bool ct_match_ok(const struct ct_match *m);
/* Whether a control group's path is meant by it. */
bool ct_match_cgroup(const struct ct_match *m, const char *path);
/* Those that live, without this one and its children, in order of their numbers; to be freed. -1: out of memory. */
int ct_match_find(const struct ct_match *m, pid_t **pids, size_t *count);

#endif
