// SPDX-License-Identifier: MIT
/* Metrics in Prometheus' text format, and whether all is well, by HTTP on 127.0.0.1. */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/daemon.h"
#include "user/loopback.h"
#include "user/out.h"

#define CONNECTIONS 16
#define TIMEOUT_S   10

struct ct_daemon_metrics {
	struct MHD_Daemon *http;
};

static const struct {
	const char *name, *type, *help, *key; /* key: of what the recorder answers */
} from_recorder[] = {
	{"ctbpf_events_total", "counter", "Events in the present recording's log.", "events"},
	{"ctbpf_log_bytes_total", "counter", "Bytes written to the present recording's log.", "log_bytes"},
	{"ctbpf_lost_events_total", "counter", "Events lost in the present recording.", "lost"},
	{"ctbpf_unsound_total", "counter", "Things recorded that a replay cannot reproduce.", "unsound"},
	{"ctbpf_stretches_verified_total", "counter", "Stretches proven while recorded (--verify).", "verified"},
	{"ctbpf_stretches_refuted_total", "counter", "Stretches found not to be replayable as recorded.", "refuted"},
	{"ctbpf_stretches_missed_total", "counter", "Stretches removed before they could be proven.", "missed"},
	{"ctbpf_snapshots_total", "counter", "Snapshots taken in the present recording.", "snapshots"},
	{"ctbpf_processes", "gauge", "Processes being recorded.", "processes"},
	{"ctbpf_recording_seconds", "gauge", "Age of the present recording.", "duration_s"},
	{"ctbpf_max_pause_seconds", "gauge", "Longest stop of the target in the present recording.", "max_pause_s"},
	{"ctbpf_recorder_cpu_seconds_total", "counter", "CPU time of the recorder's pipeline.", "recorder_cpu_s"},
};

static double value_of(const struct ct_daemon_target *t, unsigned which)
{
	switch (which) {
	case 0: return t->state == CT_DAEMON_RECORDING;
	case 1: return ct_daemon_target_healthy(t);
	case 2: return (double)t->attached;
	default: return (double)t->failures;
	}
}

static void print_metrics(const struct ct_daemon *d, struct ct_out *out)
{
	static const struct {
		const char *name, *type, *help;
	} own[] = {
		{"ctbpf_recording", "gauge", "Whether the target is being recorded."},
		{"ctbpf_healthy", "gauge", "Whether its recorder answers, and none has just failed."},
		{"ctbpf_recordings_total", "counter", "Recordings begun since the daemon was started."},
		{"ctbpf_failures_total", "counter", "Recordings that could not begin, or were ended by an error."},
	};

	for (unsigned i = 0; i < sizeof(own) / sizeof(*own); i++) {
		ct_out_fmt(out, "# HELP %s %s\n# TYPE %s %s\n", own[i].name, own[i].help, own[i].name, own[i].type);
		for (size_t k = 0; k < d->ntargets; k++)
			ct_out_fmt(out, "%s{target=\"%s\"} %.0f\n", own[i].name, d->target[k]->conf.name,
				   value_of(d->target[k], i));
	}
	for (size_t i = 0; i < sizeof(from_recorder) / sizeof(*from_recorder); i++) {
		ct_out_fmt(out, "# HELP %s %s\n# TYPE %s %s\n", from_recorder[i].name, from_recorder[i].help,
			   from_recorder[i].name, from_recorder[i].type);
		for (size_t k = 0; k < d->ntargets; k++) {
			json_t *v = json_object_get(d->target[k]->stats, from_recorder[i].key);

			if (v)
				ct_out_fmt(out, "%s{target=\"%s\"} %.15g\n", from_recorder[i].name,
					   d->target[k]->conf.name, json_number_value(v));
		}
	}
}

static bool print_health(const struct ct_daemon *d, struct ct_out *out)
{
	bool well = true;

	for (size_t i = 0; i < d->ntargets; i++) {
		const struct ct_daemon_target *t = d->target[i];

		if (ct_daemon_target_healthy(t))
			continue;
		well = false;
		ct_out_fmt(out, "%s: %s\n", t->conf.name,
			   t->state == CT_DAEMON_FAILING ? "cannot be recorded" : "its recorder does not answer");
	}
	if (well)
		ct_out_fmt(out, "ok\n");
	return well;
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *conn, const char *url, const char *method,
			      const char *version, const char *data, size_t *len, void **state)
{
	struct ct_daemon *d = ctx;
	unsigned code = MHD_HTTP_OK;
	struct MHD_Response *response;
	enum MHD_Result ret;
	struct ct_out out;

	(void)version;
	(void)data;
	if (*len) { /* nothing is taken */
		*len = 0;
		return MHD_YES;
	}
	(void)state;
	ct_out_memory(&out);
	if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		code = MHD_HTTP_METHOD_NOT_ALLOWED;
	else if (!strcmp(url, "/metrics"))
		print_metrics(d, &out);
	else if (!strcmp(url, "/healthz"))
		code = print_health(d, &out) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
	else
		code = MHD_HTTP_NOT_FOUND;
	response = out.error ? NULL : MHD_create_response_from_buffer(out.len, out.buf, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(out.buf);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
	ret = MHD_queue_response(conn, code, response);
	MHD_destroy_response(response);
	return ret;
}

int ct_daemon_metrics_start(struct ct_daemon *d, struct ct_error *err)
{
	int fd;

	if (!d->conf.metrics)
		return 0;
	d->metrics = calloc(1, sizeof(*d->metrics));
	if (!d->metrics)
		return ct_fail_memory(err);
	fd = ct_loopback_listen(d->conf.metrics, CONNECTIONS, &d->metrics_port, err);
	if (fd >= 0) {
		d->metrics->http = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, handle, d, MHD_OPTION_LISTEN_SOCKET,
						    (MHD_socket)fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
						    MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S, MHD_OPTION_END);
		if (!d->metrics->http) {
			close(fd);
			ct_fail(err, CT_EXIT_FAILED, "127.0.0.1:%u cannot be served", d->conf.metrics);
		}
	}
	if (d->metrics->http)
		return 0;
	ct_daemon_metrics_stop(d);
	return -1;
}

void ct_daemon_metrics_stop(struct ct_daemon *d)
{
	if (d->metrics && d->metrics->http)
		MHD_stop_daemon(d->metrics->http); /* closes the socket */
	free(d->metrics);
	d->metrics = NULL;
	d->metrics_port = 0;
}

int ct_daemon_metrics_fd(const struct ct_daemon *d)
{
	const union MHD_DaemonInfo *info =
		d->metrics ? MHD_get_daemon_info(d->metrics->http, MHD_DAEMON_INFO_EPOLL_FD) : NULL;

	return info ? info->epoll_fd : -1;
}

void ct_daemon_metrics_run(struct ct_daemon *d)
{
	MHD_run(d->metrics->http);
}
