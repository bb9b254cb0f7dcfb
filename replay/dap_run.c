/* SPDX-License-Identifier: MIT
 * Requests that move: continue, steps, their backward forms, goto, seeking; and what is told when they stop. */
#include <stdlib.h>
#include <string.h>

#include "replay/dap_session.h"

static void say_stopped(struct dap_session *s, const struct dap_stop *stop)
{
	json_t *ids = json_array(), *text = stop->text[0] ? dap_text(stop->text, strlen(stop->text)) : NULL;
	json_t *body;

	for (unsigned i = 0; i < stop->nhits; i++)
		json_array_append_new(ids, json_integer(stop->hit[i]));
	body = json_pack("{s:s, s:i, s:b}", "reason", stop->reason, "threadId", (int)stop->thread, "allThreadsStopped",
			 1);
	if (body && stop->nhits)
		json_object_set(body, "hitBreakpointIds", ids);
	if (body && text) {
		json_object_set(body, "description", text);
		json_object_set(body, "text", text);
	}
	json_decref(ids);
	json_decref(text);
	dap_event(s, "stopped", body);
}

static void end(struct dap_session *s)
{
	if (!s->terminated)
		dap_event(s, "terminated", NULL);
	s->terminated = true;
}

static void move(struct dap_session *s, enum dap_after how)
{
	struct dap_debuggee *d = s->debuggee;
	struct dap_stop stop = {.reason = "pause"};
	struct ct_error err = {0};
	bool was_at_end = s->at_end, forward = how == DAP_MOVE && !s->move.backwards;
	int ret;

	if (forward && was_at_end) {
		end(s);
		return;
	}
	ret = how == DAP_MOVE   ? d->ops->move(d, &s->move, &stop, &err)
	      : how == DAP_SEEK ? d->ops->seek(d, s->position, &stop, &err)
				: d->ops->go(d, s->target, &stop, &err);
	if (ret < 0) {
		dap_console(s, "stderr", "ctbpf: ");
		dap_console(s, "stderr", err.msg);
		dap_console(s, "stderr", "\n");
	} else {
		s->at_end = stop.at_end;
	}
	s->terminated = false;
	say_stopped(s, &stop);
}

static void begin(struct dap_session *s)
{
	struct dap_stop stop = {0};
	struct ct_error err = {0};

	if (s->debuggee->ops->seek(s->debuggee, s->position ? s->position : "start", &stop, &err) < 0) {
		dap_console(s, "stderr", err.msg);
		dap_console(s, "stderr", "\n");
		if (s->debuggee->ops->seek(s->debuggee, "start", &stop, &err) < 0) {
			end(s);
			return;
		}
	}
	if (s->stop_on_entry || s->position) {
		stop.reason = "entry";
		say_stopped(s, &stop);
		return;
	}
	s->move = (struct dap_move){.motion = DAP_CONTINUE, .beginning = true};
	move(s, DAP_MOVE);
}

void dap_do_after(struct dap_session *s)
{
	switch (s->after) {
	case DAP_SAY_INITIALIZED: dap_event(s, "initialized", NULL); break;
	case DAP_BEGIN: begin(s); break;
	case DAP_MOVE:
	case DAP_SEEK:
	case DAP_GO: move(s, s->after); break;
	case DAP_END: end(s); break;
	case DAP_LEAVE:
	case DAP_NOTHING: break;
	}
}

/* ---- The requests ---- */

static json_t *go(struct dap_session *s, const json_t *args, enum dap_motion motion, bool backwards)
{
	const char *granularity = dap_arg_text(args, "granularity");

	s->move = (struct dap_move){.motion = motion,
				    .backwards = backwards,
				    .thread = (ct_u32)dap_arg_u64(args, "threadId"),
				    .instruction = granularity && strcmp(granularity, "instruction") == 0};
	s->after = DAP_MOVE;
	return json_null();
}

#define MOVE(name, motion, backwards)                                                                                  \
	static json_t *name(struct dap_session *s, const json_t *args, struct ct_error *err)                           \
	{                                                                                                              \
		(void)err;                                                                                             \
		return go(s, args, motion, backwards);                                                                 \
	}
MOVE(next, DAP_NEXT, false)
MOVE(step_in, DAP_IN, false)
MOVE(step_out, DAP_OUT, false)
MOVE(step_back, DAP_NEXT, true)
MOVE(step_back_in, DAP_IN, true)
MOVE(step_back_out, DAP_OUT, true)
MOVE(reverse_continue, DAP_CONTINUE, true)

static json_t *run_on(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	(void)err;
	go(s, args, DAP_CONTINUE, false);
	return json_pack("{s:b}", "allThreadsContinued", 1);
}

static int set_position(struct dap_session *s, const char *position, struct ct_error *err)
{
	char *copy = position ? strdup(position) : NULL;

	if (!copy)
		return ct_fail(err, CT_EXIT_USAGE,
			       "the request has no \"position\": s:STEP, e:EVENT, t:+SECONDS, start or end");
	free(s->position);
	s->position = copy;
	s->after = DAP_SEEK;
	return 0;
}

static json_t *seek(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	return set_position(s, dap_arg_text(args, "position"), err) ? NULL : json_null();
}

static json_t *restart(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	(void)args;
	return set_position(s, "start", err) ? NULL : json_null();
}

/* Whatever ran has stopped by now, and said so. */
static json_t *pause_request(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	(void)s;
	(void)args;
	(void)err;
	return json_null();
}

static json_t *goto_target(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	(void)err;
	s->target = dap_arg_u64(args, "targetId");
	s->after = DAP_GO;
	return json_null();
}

static json_t *when(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	(void)args;
	return s->debuggee->ops->when(s->debuggee, err);
}

static json_t *show(const char *text)
{
	return json_pack("{s:o, s:i}", "result", dap_text(text, strlen(text)), "variablesReference", 0);
}

/* Words of the debug console that move. */
static json_t *command(struct dap_session *s, const char *text, struct ct_error *err)
{
	static const struct {
		const char *word;
		enum dap_motion motion;
	} moves[] = {{"stepBackIn", DAP_IN},
		     {"stepBackOut", DAP_OUT},
		     {"stepBack", DAP_NEXT},
		     {"reverseContinue", DAP_CONTINUE}};

	for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++)
		if (strcmp(text, moves[i].word) == 0) {
			go(s, NULL, moves[i].motion, true);
			return show("");
		}
	if (strncmp(text, "seek ", 5) == 0) {
		for (text += 5; *text == ' ';)
			text++;
		return set_position(s, text, err) ? NULL : show("");
	}
	if (strcmp(text, "help") == 0)
		return show("EXPRESSION: a value at this moment\nwhen: the position\nseek POSITION: go there (s:STEP, "
			    "e:EVENT, "
			    "t:+SECONDS, start, end)\nstepBackIn, stepBackOut, stepBack, reverseContinue: backwards");
	return NULL;
}

static json_t *evaluate(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	const char *text = dap_arg_text(args, "expression"), *context = dap_arg_text(args, "context");
	struct dap_debuggee *d = s->debuggee;
	json_t *ret;

	if (!text) {
		ct_fail(err, CT_EXIT_USAGE, "there is no expression");
		return NULL;
	}
	if (context && strcmp(context, "repl") == 0 && ((ret = command(s, text, err)) || err->msg[0]))
		return ret;
	ret = d->ops->evaluate(d, dap_arg_u64(args, "frameId"), text, err);
	if (!ret && strcmp(text, "when") == 0) {
		json_t *at = d->ops->when(d, err);
		const char *position = dap_arg_text(at, "text");

		ret = position ? show(position) : NULL;
		json_decref(at);
	}
	return ret;
}

const struct dap_request dap_run_requests[] = {
	{"continue", DAP_CONFIGURED, run_on},
	{"next", DAP_CONFIGURED, next},
	{"stepIn", DAP_CONFIGURED, step_in},
	{"stepOut", DAP_CONFIGURED, step_out},
	{"stepBack", DAP_CONFIGURED, step_back},
	{"reverseContinue", DAP_CONFIGURED, reverse_continue},
	{"pause", DAP_CONFIGURED, pause_request},
	{"goto", DAP_CONFIGURED, goto_target},
	{"restart", DAP_CONFIGURED, restart},
	{"evaluate", DAP_CONFIGURED, evaluate},
	{"ctbpf/stepBackIn", DAP_CONFIGURED, step_back_in},
	{"ctbpf/stepBackOut", DAP_CONFIGURED, step_back_out},
	{"ctbpf/seek", DAP_CONFIGURED, seek},
	{"ctbpf/when", DAP_CONFIGURED, when},
	{0},
};
