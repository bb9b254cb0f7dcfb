/* SPDX-License-Identifier: MIT
 * Inside of the Debug Adapter Protocol's server: one client's session and the requests it can make. */
#ifndef CT_DAP_SESSION_H
#define CT_DAP_SESSION_H

#include "replay/dap.h"

enum dap_state { DAP_NEW, DAP_INITIALIZED, DAP_LAUNCHED, DAP_CONFIGURED };
/* What is done when the answer has been sent. */
enum dap_after { DAP_NOTHING, DAP_SAY_INITIALIZED, DAP_BEGIN, DAP_MOVE, DAP_SEEK, DAP_GO, DAP_END, DAP_LEAVE };

struct dap_session {
	const struct ct_dap_options *options;
	struct dap_reader reader;
	int out;
	json_int_t seq;
	enum dap_state state;
	json_t *queue; /* requests that were read while something ran */
	bool broken;   /* the client cannot be written to, or does not keep to the protocol */
	struct ct_error err;

	struct dap_host host;
	struct dap_debuggee *debuggee;
	struct dap_break *breaks;
	int next_break;
	json_t *source_map;
	bool stop_on_entry, at_end, terminated;
	char *position; /* to begin at, or to seek */

	enum dap_after after;
	struct dap_move move;
	ct_u64 target;
};

/* The request's answer: its body (json_null: none), or NULL with *err. */
typedef json_t *dap_handler(struct dap_session *s, const json_t *args, struct ct_error *err);
struct dap_request {
	const char *command;
	enum dap_state from; /* it can be made from this state on */
	dap_handler *handle;
};
extern const struct dap_request dap_life_requests[], dap_break_requests[], dap_look_requests[], dap_run_requests[];

/* Takes `body`, which may be NULL. */
void dap_event(struct dap_session *s, const char *name, json_t *body);
void dap_console(struct dap_session *s, const char *category, const char *text);
/* dap_run.c: what is to be done after an answer. */
void dap_do_after(struct dap_session *s);

/* Of a request's arguments; 0 or NULL if they are not there or something else. */
static inline ct_u64 dap_arg_u64(const json_t *args, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(args, key));

	return v > 0 ? (ct_u64)v : 0;
}
static inline const char *dap_arg_text(const json_t *args, const char *key)
{
	return json_string_value(json_object_get(args, key));
}

#endif
