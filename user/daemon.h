/* SPDX-License-Identifier: MIT
 * The daemon's parts: daemon.c (its loop), daemon_config.c, daemon_target.c (one target's recorder after the other),
 * daemon_serve.c (requests and status), daemon_metrics.c (HTTP).
 *
 * It records nothing itself: each target has a `ctbpf record` of its own, which it starts, asks how it is, and ends. */
#ifndef CT_DAEMON_H
#define CT_DAEMON_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "../formats/error.h"
#include "../formats/event.h"
#include "processes.h"

#define CT_DAEMON_SOCKET "daemon" /* in CT_RUN_DIR */

struct ct_daemon_target_config {
	char *name, *what;
	enum ct_match_kind kind;
	char **options; /* of `ctbpf record`, NULL-terminated */
	size_t noptions;
};
struct ct_daemon_config {
	char *directory;     /* of recordings */
	unsigned metrics;    /* port, 0: none */
	unsigned recordings; /* of each target, at most; those made by triggers do not count */
	struct ct_daemon_target_config *target;
	size_t ntargets;
};

/* Refuses a file that somebody else could have written. */
int ct_daemon_config_read(const char *path, struct ct_daemon_config *c, struct ct_error *err);
void ct_daemon_config_deinit(struct ct_daemon_config *c);
void ct_daemon_target_config_deinit(struct ct_daemon_target_config *t);
bool ct_daemon_target_config_same(const struct ct_daemon_target_config *a, const struct ct_daemon_target_config *b);

/* How far a target is. */
enum ct_daemon_state {
	CT_DAEMON_WAITING,   /* there is no such process */
	CT_DAEMON_ATTACHING, /* there is a recorder, but it has not answered yet */
	CT_DAEMON_RECORDING,
	CT_DAEMON_ENDING,  /* the recorder has been told to end */
	CT_DAEMON_UNDOING, /* it was killed; what it left is taken back */
	CT_DAEMON_FAILING, /* it is tried again later */
	CT_DAEMON_STOPPED, /* on request */
};

struct ct_daemon_target {
	struct ct_daemon_target_config conf;
	enum ct_daemon_state state;
	bool bad;           /* what has been undone was an error */
	bool stop, removed; /* when the recorder has ended: on request; it is not in the configuration any more */
	pid_t child;        /* the recorder, or what undoes; 0: none */
	pid_t *pids, *seen; /* attached to; as of the last look */
	size_t npids, nseen;
	char recording[PATH_MAX];
	ct_u64 next_ns; /* no attempt before */
	ct_u64 kill_ns; /* it must have ended; 0: it need not */
	unsigned tries; /* failed in a row */
	ct_u64 attached, failures;
	int client; /* who waits for the end, or for the next beginning; -1: nobody */
	bool client_restart;
	/* what the recorder has answered */
	int asked_fd; /* -1: it has not been asked */
	ct_u64 asked_ns, heard_ns;
	json_t *stats;
};

struct ct_daemon {
	const char *config_path;
	struct ct_daemon_config conf;
	struct ct_daemon_target **target;
	size_t ntargets;
	int ep, listener, run_fd;
	struct ct_daemon_metrics *metrics;
	unsigned metrics_port; /* that it really is */
	bool ending;
	ct_u64 reloads, bad_reloads;
};

void ct_daemon_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* daemon_target.c */
struct ct_daemon_target *ct_daemon_target_create(struct ct_daemon_target_config *take);
void ct_daemon_target_destroy(struct ct_daemon_target *t);
/* Looks for processes, starts, asks, kills: whatever is due. */
void ct_daemon_target_tick(struct ct_daemon *d, struct ct_daemon_target *t);
/* Ends its recorder, if it has one; patience: then it is killed. */
void ct_daemon_target_end(struct ct_daemon_target *t, unsigned patience_s);
/* Its child has ended. */
void ct_daemon_target_ended(struct ct_daemon *d, struct ct_daemon_target *t, int status);
/* The recorder's answer can be read. */
void ct_daemon_target_heard(struct ct_daemon *d, struct ct_daemon_target *t);
bool ct_daemon_target_healthy(const struct ct_daemon_target *t);
const char *ct_daemon_state_name(enum ct_daemon_state state);

/* daemon_serve.c */
void ct_daemon_serve(struct ct_daemon *d, int fd);
json_t *ct_daemon_status(const struct ct_daemon *d);

/* daemon_metrics.c: on 127.0.0.1, driven by the epoll set. */
int ct_daemon_metrics_start(struct ct_daemon *d, struct ct_error *err);
void ct_daemon_metrics_stop(struct ct_daemon *d);
int ct_daemon_metrics_fd(const struct ct_daemon *d); /* -1: there are none */
void ct_daemon_metrics_run(struct ct_daemon *d);

/* daemon.c: until a signal ends it. */
int ct_daemon_run(const char *config_path, struct ct_error *err);

#endif
