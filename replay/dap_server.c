/* SPDX-License-Identifier: MIT
 * The Debug Adapter Protocol's server: one client's session from `initialize` to `disconnect`.
 *
 * Requests are answered one after the other; those that move are answered first and carried out then, as the protocol
 * wants it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dap_session.h"

#define QUEUE_MAX 256 /* requests that wait */
#define PATIENCE  60  /* seconds until a client has to have launched */

/* ---- Sending ---- */

static void send_message(struct dap_session *s, json_t *message)
{
	struct ct_error err = {0};

	if (!message || json_object_set_new(message, "seq", json_integer(++s->seq)) < 0)
		ct_fail(&err, CT_EXIT_FAILED, "out of memory");
	else if (!s->broken)
		dap_write(s->out, message, &err);
	if (err.msg[0] && !s->broken) {
		s->broken = true;
		s->err = err;
	}
	json_decref(message);
}

void dap_event(struct dap_session *s, const char *name, json_t *body)
{
	send_message(s, json_pack("{s:s, s:s, s:o*}", "type", "event", "event", name, "body", body));
}

void dap_console(struct dap_session *s, const char *category, const char *text)
{
	dap_event(s, "output", json_pack("{s:s, s:o}", "category", category, "output", dap_text(text, strlen(text))));
}

static void host_output(void *ctx, const char *category, const char *text, size_t len, json_t *place)
{
	json_t *body = json_pack("{s:s, s:o}", "category", category, "output", dap_text(text, len));

	if (place && body)
		json_object_update_missing(body, place);
	json_decref(place);
	dap_event(ctx, "output", body);
}

/* Reads what has come meanwhile. */
static bool host_interrupted(void *ctx)
{
	static const char *const words[] = {"pause", "disconnect", "terminate", "cancel"};
	struct dap_session *s = ctx;
	json_t *message;
	int got = 2;

	while (!s->broken && json_array_size(s->queue) < QUEUE_MAX &&
	       (got = dap_read(&s->reader, false, &message, &s->err)) == 1) {
		const char *command = dap_arg_text(message, "command");
		bool stop = false;

		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			stop = stop || (command && strcmp(command, words[i]) == 0);
		if (message)
			json_array_append_new(s->queue, message);
		if (stop)
			return true;
	}
	s->broken = s->broken || got < 0;
	return s->broken || got == 0;
}

/* ---- Life ---- */

static json_t *initialize(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	static const char *const can[] = {"supportsConfigurationDoneRequest",   "supportsFunctionBreakpoints",
					  "supportsConditionalBreakpoints",     "supportsHitConditionalBreakpoints",
					  "supportsEvaluateForHovers",          "supportsStepBack",
					  "supportsGotoTargetsRequest",         "supportsRestartRequest",
					  "supportsExceptionInfoRequest",       "supportsDelayedStackTraceLoading",
					  "supportsLoadedSourcesRequest",       "supportsLogPoints",
					  "supportsTerminateRequest",           "supportsDataBreakpoints",
					  "supportsBreakpointLocationsRequest", "supportsExceptionFilterOptions",
					  "supportsDisassembleRequest",         "supportsReadMemoryRequest",
					  "supportsInstructionBreakpoints",     "supportsSteppingGranularity"};
	static const struct {
		const char *name, *label, *description, *condition;
		bool on;
	} filters[] = {{"raised", "Raised exceptions", "Stop wherever an exception is raised, or a panic begins.",
			"types, like ValueError, KeyError", false},
		       {"uncaught", "Uncaught exceptions",
			"Stop where an exception is raised that ends its thread; in native code, at a fatal signal.",
			"types, like ValueError, KeyError", true},
		       {"signal", "Signals", "Stop where a signal is delivered to native code.",
			"signals, like SIGUSR1, SIGTERM", false}};
	json_t *body = json_object(), *list = json_array();

	(void)args;
	if (s->state != DAP_NEW) {
		ct_fail(err, CT_EXIT_USAGE, "initialize comes once, and first");
		json_decref(body);
		json_decref(list);
		return NULL;
	}
	for (size_t i = 0; i < sizeof(can) / sizeof(can[0]); i++)
		json_object_set_new(body, can[i], json_true());
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b, s:b, s:s}", "filter", filters[i].name,
						      "label", filters[i].label, "description", filters[i].description,
						      "default", filters[i].on, "supportsCondition", 1,
						      "conditionDescription", filters[i].condition));
	json_object_set_new(body, "exceptionBreakpointFilters", list);
	s->state = DAP_INITIALIZED;
	return body;
}

/* Takes as long for any wrong one. */
static bool same_token(const char *want, const char *got)
{
	size_t n = strlen(want);
	unsigned char differ = 0;

	if (!got || strlen(got) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		differ |= (unsigned char)(want[i] ^ got[i]);
	return !differ;
}

/* What an interpreter did if that is known, else the replay. */
static struct dap_debuggee *open_debuggee(struct dap_session *s, const char *recording, const json_t *args,
					  struct ct_error *err)
{
	const char *mode = dap_arg_text(args, "mode");
	const ct_u32 pid = (ct_u32)dap_arg_u64(args, "pid");

	if (mode && strcmp(mode, "native") != 0 && strcmp(mode, "steps") != 0) {
		ct_fail(err, CT_EXIT_USAGE, "\"mode\" is \"native\" or \"steps\", not '%.60s'", mode);
		return NULL;
	}
	if (mode ? strcmp(mode, "steps") == 0 : !pid && dap_steps_are_there(recording))
		return dap_steps_open(recording, &s->host, err);
	return dap_native_open(recording, pid, &s->host, err);
}

static json_t *launch(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	const char *recording = dap_arg_text(args, "recording"), *position = dap_arg_text(args, "position");
	const json_t *entry = json_object_get(args, "stopOnEntry");
	json_t *map = json_object_get(args, "sourceMap");

	if (s->options->token && !same_token(s->options->token, dap_arg_text(args, "token"))) {
		s->after = DAP_LEAVE;
		ct_fail(err, CT_EXIT_FAILED,
			"the launch configuration's \"token\" is not the one that `ctbpf dap` has shown");
		return NULL;
	}
	recording = recording ? recording : s->options->recording;
	if (s->debuggee || !recording) {
		ct_fail(err, CT_EXIT_USAGE,
			s->debuggee ? "a recording is open already"
				    : "the launch configuration has no \"recording\" (a directory NAME.ctr)");
		return NULL;
	}
	s->source_map = json_is_object(map) ? json_incref(map) : NULL;
	s->host.source_map = s->source_map;
	s->stop_on_entry = !json_is_false(entry);
	s->position = position ? strdup(position) : NULL;
	s->debuggee = open_debuggee(s, recording, args, err);
	if (!s->debuggee)
		return NULL;
	s->reader.deadline = 0;
	s->state = DAP_LAUNCHED;
	s->after = DAP_SAY_INITIALIZED;
	return json_null();
}

static json_t *configuration_done(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	(void)args;
	if (s->state != DAP_LAUNCHED) {
		ct_fail(err, CT_EXIT_USAGE, "configurationDone comes once");
		return NULL;
	}
	s->state = DAP_CONFIGURED;
	s->after = DAP_BEGIN;
	return json_null();
}

static json_t *disconnect(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	(void)args;
	(void)err;
	s->after = DAP_LEAVE;
	return json_null();
}

static json_t *terminate(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	(void)args;
	(void)err;
	s->after = DAP_END;
	return json_null();
}

/* Nothing runs when a request is looked at: what it would cancel is done. */
static json_t *cancel(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	(void)s;
	(void)args;
	(void)err;
	return json_null();
}

const struct dap_request dap_life_requests[] = {
	{"initialize", DAP_NEW, initialize}, {"launch", DAP_INITIALIZED, launch},
	{"attach", DAP_INITIALIZED, launch}, {"configurationDone", DAP_LAUNCHED, configuration_done},
	{"disconnect", DAP_NEW, disconnect}, {"terminate", DAP_NEW, terminate},
	{"cancel", DAP_NEW, cancel},         {0},
};

/* ---- Requests ---- */

static const struct dap_request *find(const char *command)
{
	static const struct dap_request *const tables[] = {dap_life_requests, dap_break_requests, dap_look_requests,
							   dap_run_requests};

	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct dap_request *r = tables[t]; r->command; r++)
			if (strcmp(r->command, command) == 0)
				return r;
	return NULL;
}

static void answer(struct dap_session *s, const json_t *request, const char *command, json_t *body,
		   const struct ct_error *err)
{
	json_t *m = json_pack("{s:s, s:I, s:o, s:b}", "type", "response", "request_seq",
			      json_integer_value(json_object_get(request, "seq")), "command",
			      dap_text(command, strlen(command)), "success", body != NULL);

	if (m && !body) {
		json_t *text = dap_text(err->msg, strlen(err->msg));

		/* `message` is short by the protocol; the error's format is what is shown. */
		json_object_set(m, "message", text);
		json_object_set_new(m, "body",
				    json_pack("{s:{s:i, s:O, s:b}}", "error", "id", (int)err->status, "format", text,
					      "showUser", 1));
		json_decref(text);
	} else if (m && !json_is_null(body)) {
		json_object_set(m, "body", body);
	}
	json_decref(body);
	send_message(s, m);
}

static void handle(struct dap_session *s, const json_t *message)
{
	const char *type = dap_arg_text(message, "type"), *command = dap_arg_text(message, "command");
	const struct dap_request *r = command ? find(command) : NULL;
	struct ct_error err = {0};
	json_t *body = NULL;

	/* Answers to requests of ours would come here, too, but we make none. */
	if (!type || strcmp(type, "request") != 0)
		return;
	s->after = DAP_NOTHING;
	if (!command)
		ct_fail(&err, CT_EXIT_USAGE, "a request without a command");
	else if (!r)
		ct_fail(&err, CT_EXIT_USAGE, "request '%.60s' is not supported", command);
	else if (s->state < r->from)
		ct_fail(&err, CT_EXIT_USAGE, "request '%s' comes too early: %s", command,
			s->state == DAP_NEW           ? "initialize first"
			: s->state == DAP_INITIALIZED ? "launch first"
						      : "configurationDone first");
	else
		body = r->handle(s, json_object_get(message, "arguments"), &err);
	if (!body && !err.msg[0])
		ct_fail(&err, CT_EXIT_FAILED, "out of memory");
	answer(s, message, command ? command : "", body, &err);
	dap_do_after(s);
}

int ct_dap_serve(int in, int out, const struct ct_dap_options *options, struct ct_error *err)
{
	struct dap_session s = {.options = options,
				.reader = {.fd = in},
				.out = out,
				.next_break = 1,
				.queue = json_array(),
				.host = {.output = host_output, .interrupted = host_interrupted}};
	bool leave = false;

	/* Nobody who has no token takes a place for long. */
	if (options->token)
		s.reader.deadline = dap_now() + PATIENCE;
	s.host.ctx = &s;
	s.host.breaks = &s.breaks;
	while (!leave && !s.broken) {
		json_t *message = NULL;
		int got;

		if (json_array_size(s.queue)) {
			message = json_incref(json_array_get(s.queue, 0));
			json_array_remove(s.queue, 0);
			got = 1;
		} else {
			got = dap_read(&s.reader, true, &message, &s.err);
		}
		if (got <= 0) {
			s.broken = got < 0;
			break;
		}
		if (!message)
			dap_console(&s, "stderr", "ctbpf: a message that is not JSON was passed over\n");
		else
			handle(&s, message);
		leave = s.after == DAP_LEAVE;
		json_decref(message);
	}
	if (s.debuggee)
		s.debuggee->ops->destroy(s.debuggee);
	dap_breaks_free(&s.breaks);
	dap_reader_deinit(&s.reader);
	json_decref(s.queue);
	json_decref(s.source_map);
	free(s.position);
	if (s.broken)
		*err = s.err;
	return s.broken ? -1 : 0;
}
