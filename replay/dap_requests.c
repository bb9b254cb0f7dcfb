/* SPDX-License-Identifier: MIT
 * Requests of the Debug Adapter Protocol that set breakpoints, and those that only look. */
#include <stdlib.h>
#include <string.h>

#include "replay/dap_session.h"

/* ---- Breakpoints ---- */

static json_t *told(const struct dap_break *b)
{
	json_t *o = json_pack("{s:i, s:b}", "id", b->id, "verified", b->verified);

	if (o && b->message[0])
		json_object_set_new(o, "message", dap_text(b->message, strlen(b->message)));
	if (o && b->line)
		json_object_set_new(o, "line", json_integer(b->actual ? b->actual : b->line));
	return o;
}

/* Looks for the places of those of this kind and path, and answers what was found. */
static json_t *resolve(struct dap_session *s, enum dap_break_kind kind, const char *path, struct ct_error *err)
{
	json_t *list = json_array();

	for (struct dap_break *b = s->breaks; b; b = b->next) {
		if (b->kind != kind || (path && strcmp(b->path, path) != 0))
			continue;
		if (!b->broken && s->debuggee->ops->resolve(s->debuggee, b, err) < 0) {
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, told(b));
	}
	return json_pack("{s:o}", "breakpoints", list);
}

static json_t *replace(struct dap_session *s, enum dap_break_kind kind, const char *path, const json_t *list,
		       struct ct_error *err)
{
	if (dap_breaks_replace(&s->breaks, &s->next_break, kind, path, list, err) < 0)
		return NULL;
	return resolve(s, kind, path, err);
}

static json_t *set_breakpoints(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	const char *path = dap_arg_text(json_object_get(args, "source"), "path");
	json_t *list = json_object_get(args, "breakpoints"), *lines = NULL, *ret;

	if (!path)
		path = dap_arg_text(json_object_get(args, "source"), "name");
	if (!path) {
		ct_fail(err, CT_EXIT_USAGE, "the source has no path");
		return NULL;
	}
	if (!list) { /* the older form: only lines */
		const json_t *old = json_object_get(args, "lines");

		list = lines = json_array();
		for (size_t i = 0; i < json_array_size(old); i++)
			json_array_append_new(lines, json_pack("{s:O}", "line", json_array_get(old, i)));
	}
	ret = replace(s, DAP_LINE, path, list, err);
	json_decref(lines);
	return ret;
}

static json_t *set_functions(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	return replace(s, DAP_FUNCTION, NULL, json_object_get(args, "breakpoints"), err);
}

static json_t *set_data(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	return replace(s, DAP_DATA, NULL, json_object_get(args, "breakpoints"), err);
}

/* Filters by name, and those with options: one list. */
static json_t *set_exceptions(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	const json_t *names = json_object_get(args, "filters"), *options = json_object_get(args, "filterOptions");
	json_t *list = json_array(), *ret;

	for (size_t i = 0; i < json_array_size(names); i++)
		json_array_append_new(list, json_pack("{s:O}", "filterId", json_array_get(names, i)));
	for (size_t i = 0; i < json_array_size(options); i++)
		json_array_append(list, json_array_get(options, i));
	ret = replace(s, DAP_EXCEPTION, NULL, list, err);
	json_decref(list);
	return ret;
}

static json_t *set_instructions(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	return replace(s, DAP_INSN, NULL, json_object_get(args, "breakpoints"), err);
}

static json_t *data_info(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	const char *name = dap_arg_text(args, "name");

	return s->debuggee->ops->data_info(s->debuggee, dap_arg_u64(args, "variablesReference"),
					   dap_arg_u64(args, "frameId"), name ? name : "", err);
}

static json_t *locations(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	const char *path = dap_arg_text(json_object_get(args, "source"), "path");
	ct_u64 line = dap_arg_u64(args, "line"), to = dap_arg_u64(args, "endLine");

	return json_pack(
		"{s:o}", "breakpoints",
		s->debuggee->ops->lines(s->debuggee, path ? path : "", (ct_u32)line, (ct_u32)(to ? to : line), err));
}

const struct dap_request dap_break_requests[] = {
	{"setBreakpoints", DAP_LAUNCHED, set_breakpoints},
	{"setFunctionBreakpoints", DAP_LAUNCHED, set_functions},
	{"setExceptionBreakpoints", DAP_LAUNCHED, set_exceptions},
	{"setDataBreakpoints", DAP_LAUNCHED, set_data},
	{"setInstructionBreakpoints", DAP_LAUNCHED, set_instructions},
	{"dataBreakpointInfo", DAP_CONFIGURED, data_info},
	{"breakpointLocations", DAP_LAUNCHED, locations},
	{0},
};

/* ---- Looking ---- */

static json_t *threads(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	(void)args;
	return json_pack("{s:o}", "threads", s->debuggee->ops->threads(s->debuggee, err));
}

static json_t *stack(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	return s->debuggee->ops->stack(s->debuggee, (ct_u32)dap_arg_u64(args, "threadId"),
				       (size_t)dap_arg_u64(args, "startFrame"), (size_t)dap_arg_u64(args, "levels"),
				       err);
}

static json_t *scopes(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	return json_pack("{s:o}", "scopes", s->debuggee->ops->scopes(s->debuggee, dap_arg_u64(args, "frameId"), err));
}

static json_t *variables(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	return json_pack("{s:o}", "variables",
			 s->debuggee->ops->variables(s->debuggee, dap_arg_u64(args, "variablesReference"),
						     (size_t)dap_arg_u64(args, "start"),
						     (size_t)dap_arg_u64(args, "count"), err));
}

static json_t *exception_info(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	return s->debuggee->ops->exception(s->debuggee, (ct_u32)dap_arg_u64(args, "threadId"), err);
}

static json_t *goto_targets(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	const char *path = dap_arg_text(json_object_get(args, "source"), "path");

	return json_pack(
		"{s:o}", "targets",
		s->debuggee->ops->targets(s->debuggee, path ? path : "", (ct_u32)dap_arg_u64(args, "line"), err));
}

static json_t *loaded_sources(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	(void)args;
	return json_pack("{s:o}", "sources", s->debuggee->ops->sources(s->debuggee, err));
}

static json_t *source(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	const json_t *of = json_object_get(args, "source");
	ct_u64 reference = dap_arg_u64(args, "sourceReference");

	return s->debuggee->ops->source(s->debuggee, reference ? reference : dap_arg_u64(of, "sourceReference"),
					dap_arg_text(of, "path"), err);
}

/* An address as a client got it, with its offset. False, and *err: it is none. */
static bool address(const json_t *args, ct_u64 *addr, struct ct_error *err)
{
	const char *text = dap_arg_text(args, "memoryReference");
	char *end = NULL;

	*addr = text ? strtoull(text, &end, 0) : 0;
	if (!text || end == text || *end) {
		ct_fail(err, CT_EXIT_USAGE, "'%.60s' is no address", text ? text : "");
		return false;
	}
	*addr += (ct_u64)json_integer_value(json_object_get(args, "offset"));
	return true;
}

static json_t *disassemble(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	const ct_s64 offset = json_integer_value(json_object_get(args, "instructionOffset"));
	ct_u64 addr;

	if (!s->debuggee->ops->disassemble) {
		ct_fail(err, CT_EXIT_USAGE, "a step database has no instructions: launch with \"mode\": \"native\"");
		return NULL;
	}
	return address(args, &addr, err)
		       ? s->debuggee->ops->disassemble(s->debuggee, addr, offset,
						       (size_t)dap_arg_u64(args, "instructionCount"), err)
		       : NULL;
}

static json_t *read_memory(struct dap_session *s, const json_t *args, struct ct_error *err)
{
	ct_u64 addr;

	if (!s->debuggee->ops->memory) {
		ct_fail(err, CT_EXIT_USAGE, "a step database has no memory: launch with \"mode\": \"native\"");
		return NULL;
	}
	return address(args, &addr, err)
		       ? s->debuggee->ops->memory(s->debuggee, addr, (size_t)dap_arg_u64(args, "count"), err)
		       : NULL;
}

const struct dap_request dap_look_requests[] = {
	{"threads", DAP_LAUNCHED, threads},
	{"stackTrace", DAP_CONFIGURED, stack},
	{"scopes", DAP_CONFIGURED, scopes},
	{"variables", DAP_CONFIGURED, variables},
	{"exceptionInfo", DAP_CONFIGURED, exception_info},
	{"gotoTargets", DAP_CONFIGURED, goto_targets},
	{"loadedSources", DAP_LAUNCHED, loaded_sources},
	{"source", DAP_LAUNCHED, source},
	{"disassemble", DAP_CONFIGURED, disassemble},
	{"readMemory", DAP_CONFIGURED, read_memory},
	{0},
};
