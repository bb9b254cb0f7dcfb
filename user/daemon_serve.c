// SPDX-License-Identifier: MIT
/* What the daemon is asked by its socket, and what it tells about itself. */
#include <stdlib.h>
#include <string.h>

#include "user/control.h"
#include "user/daemon.h"

#define PATIENCE_S 30
#define HASTE_S    5

static json_t *target_status(const struct ct_daemon_target *t)
{
	json_t *obj = json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:I}", "name", t->conf.name,
				ct_match_name(t->conf.kind), t->conf.what, "state", ct_daemon_state_name(t->state),
				"recording", t->recording, "healthy", ct_daemon_target_healthy(t), "recordings",
				(json_int_t)t->attached, "failures", (json_int_t)t->failures);
	json_t *pids = json_array();

	for (size_t i = 0; t->child && i < t->npids; i++)
		json_array_append_new(pids, json_integer(t->pids[i]));
	json_object_set_new(obj, "attached_to", pids);
	if (t->stats)
		json_object_set(obj, "recorder", t->stats);
	return obj;
}

json_t *ct_daemon_status(const struct ct_daemon *d)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->ntargets; i++)
		json_array_append_new(list, target_status(d->target[i]));
	return json_pack("{s:s, s:s, s:i, s:I, s:I, s:o}", "version", CTBPF_VERSION, "config", d->config_path,
			 "metrics_port", (int)d->metrics_port, "reloads", (json_int_t)d->reloads, "refused_reloads",
			 (json_int_t)d->bad_reloads, "targets", list);
}

static struct ct_daemon_target *find(const struct ct_daemon *d, const char *name)
{
	for (size_t i = 0; i < d->ntargets; i++)
		if (!d->target[i]->removed && !strcmp(d->target[i]->conf.name, name))
			return d->target[i];
	return NULL;
}

static void tell_status(const struct ct_daemon *d, int fd)
{
	json_t *status = ct_daemon_status(d);
	char *text = json_dumps(status, JSON_COMPACT);

	ct_control_answer(fd, text ? "ok %s" : "error out of memory%s", text ?: "");
	free(text);
	json_decref(status);
}

/* The answer is given when it has come about. */
static void end(struct ct_daemon_target *t, int fd, bool again, unsigned patience_s)
{
	if (t->client >= 0) {
		ct_control_answer(fd, "error somebody else waits for %s", t->conf.name);
		return;
	}
	t->stop = !again;
	ct_daemon_target_end(t, patience_s);
	if (t->child) {
		t->client = fd;
		t->client_restart = again;
		return;
	}
	if (t->stop)
		t->state = CT_DAEMON_STOPPED;
	ct_control_answer(fd, t->stop ? "ok %s was not being recorded" : "error %s is not being recorded",
			  t->conf.name);
}

void ct_daemon_serve(struct ct_daemon *d, int fd)
{
	struct ct_daemon_target *t;
	char text[256], *name;

	if (ct_control_serve(d->ep, d->listener, fd, text, sizeof(text)) < 0)
		return;
	if (!strcmp(text, "status")) {
		tell_status(d, fd);
		return;
	}
	name = strchr(text, ' ');
	if (name)
		*name++ = 0;
	t = name ? find(d, name) : NULL;
	if (!t) {
		ct_control_answer(fd, "error there is no target %s", name ?: "without a name");
	} else if (!strcmp(text, "where")) {
		ct_control_answer(fd, t->state == CT_DAEMON_RECORDING ? "ok %s" : "error %s is not being recorded",
				  t->state == CT_DAEMON_RECORDING ? t->recording : name);
	} else if (!strcmp(text, "start")) {
		t->stop = false;
		if (t->state == CT_DAEMON_STOPPED)
			t->state = CT_DAEMON_WAITING;
		t->next_ns = 0;
		ct_control_answer(fd, "ok %s", name);
	} else if (!strcmp(text, "stop")) {
		end(t, fd, false, PATIENCE_S);
	} else if (!strcmp(text, "detach")) {
		end(t, fd, false, HASTE_S);
	} else if (!strcmp(text, "rotate")) {
		end(t, fd, true, PATIENCE_S);
	} else {
		ct_control_answer(fd, "error not understood");
	}
}
