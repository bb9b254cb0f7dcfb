/* SPDX-License-Identifier: MIT
 * CodeTracer's older form: trace.json, an array of events, with trace_paths.json and trace_metadata.json beside it.
 *
 * Ids of paths, functions, variables and types are the order in which they are defined. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../dirio.h"
#include "codetracer.h"

struct legacy {
	struct ex_out trace, paths;
	int fd[2];
	bool any, any_path;
};

static struct ex_out *begin(struct cdt *c, const char *what)
{
	struct legacy *l = c->writer;

	ex_str(&l->trace, l->any ? ",\n{\"" : "\n{\"");
	ex_str(&l->trace, what);
	ex_str(&l->trace, "\":");
	l->any = true;
	return &l->trace;
}

/* Ends the event; false with the error if writing failed. */
static bool end(struct cdt *c, const char *text)
{
	struct legacy *l = c->writer;

	ex_str(&l->trace, text);
	if (!l->trace.failed)
		return true;
	c->err = l->trace.err;
	return false;
}

static bool define_path(struct cdt *c, const char *text, size_t len)
{
	struct legacy *l = c->writer;

	ex_str(&l->paths, l->any_path ? ",\n" : "\n");
	l->any_path = true;
	ex_json(&l->paths, text, len);
	ex_json(begin(c, "Path"), text, len);
	return end(c, "}");
}

static bool define_function(struct cdt *c, ct_u32 path, ct_u64 line, const char *text, size_t len)
{
	struct ex_out *o = begin(c, "Function");

	ex_fmt(o, "{\"path_id\":%u,\"line\":%llu,\"name\":", path, (unsigned long long)line);
	ex_json(o, text, len);
	return end(c, "}}");
}

static bool define_variable(struct cdt *c, const char *text, size_t len)
{
	ex_json(begin(c, "VariableName"), text, len);
	return end(c, "}");
}

static bool define_type(struct cdt *c, enum cdt_type_kind kind, const char *text, size_t len)
{
	struct ex_out *o = begin(c, "Type");

	ex_fmt(o, "{\"kind\":%d,\"lang_type\":", (int)kind);
	ex_json(o, text, len);
	return end(c, ",\"specific_info\":{\"kind\":\"None\"}}}");
}

static bool put_step(struct cdt *c, ct_u32 path, ct_u64 line)
{
	ex_fmt(begin(c, "Step"), "{\"path_id\":%u,\"line\":%llu", path, (unsigned long long)line);
	return end(c, "}}");
}

static bool put_call(struct cdt *c, ct_u32 function, const struct cdt_var *vars, size_t n)
{
	struct ex_out *o;
	bool any = false;
	ct_u32 id;

	for (size_t i = 0; i < n; i++)
		if (vars[i].argument && !cdt_variable(c, vars[i].name, &id))
			return false;
	o = begin(c, "Call");
	ex_fmt(o, "{\"function_id\":%u,\"args\":[", function);
	for (size_t i = 0; i < n; i++) {
		if (!vars[i].argument)
			continue;
		cdt_variable(c, vars[i].name, &id);
		ex_fmt(o, "%s{\"variable_id\":%u,\"value\":", any ? "," : "", id);
		ex_put(o, vars[i].value.data, vars[i].value.len);
		ex_str(o, "}");
		any = true;
	}
	return end(c, "]}}");
}

static bool put_values(struct cdt *c, const struct cdt_var *vars, size_t n)
{
	struct ex_out *o;
	ct_u32 id;

	for (size_t i = 0; i < n; i++) {
		if (!cdt_variable(c, vars[i].name, &id))
			return false;
		o = begin(c, "Value");
		ex_fmt(o, "{\"variable_id\":%u,\"value\":", id);
		ex_put(o, vars[i].value.data, vars[i].value.len);
		if (!end(c, "}}"))
			return false;
	}
	return true;
}

static bool put_leave(struct cdt *c, enum ex_leave how, const struct sd_buf *value, const struct sd_buf *text)
{
	struct sd_buf made = {0};
	struct ex_out *o;
	bool ok = true;

	if (how == EX_OPEN) /* a call may stay open at the end */
		return true;
	if (how == EX_RAISED)
		ok = cdt_encode_error(c, text->data, text->len, &made);
	else if (!value->len)
		ok = cdt_encode_none(c, &made);
	if (ok) {
		o = begin(c, "Return");
		ex_str(o, "{\"return_value\":");
		ex_put(o, made.len ? made.data : value->data, made.len ? made.len : value->len);
		ok = end(c, "}}");
	}
	free(made.data);
	return ok;
}

static bool put_event(struct cdt *c, const struct cdt_event *ev)
{
	struct ex_out *o = begin(c, "Event");

	ex_fmt(o, "{\"kind\":%d,\"metadata\":\"%s fd %lld event %llu\",\"content\":", (int)ev->kind, ev->call,
	       (long long)ev->fd, (unsigned long long)ev->seq);
	ex_json(o, ev->data, ev->len);
	return end(c, "}}");
}

static const struct cdt_ops ops = {.path = define_path,
				   .function = define_function,
				   .variable = define_variable,
				   .type = define_type,
				   .step = put_step,
				   .call = put_call,
				   .values = put_values,
				   .leave = put_leave,
				   .event = put_event};

static bool put_start(struct cdt *c)
{
	const struct ct_name *thread = ct_stepdb_name(c->src->db, CT_THREADS, c->thread);

	if (!cdt_toplevel(c) || !put_call(c, 0, NULL, 0))
		return false;
	ex_u64(begin(c, "ThreadStart"), thread->v[CT_TH_TID]);
	return end(c, "}");
}

int cdt_legacy_begin(struct cdt *c, struct ct_error *err)
{
	struct legacy *l = calloc(1, sizeof(*l));

	if (!l)
		return ct_fail_memory(err);
	c->writer = l;
	c->ops = &ops;
	l->fd[0] = ct_file_createat(c->dirfd, "trace.json");
	l->fd[1] = ct_file_createat(c->dirfd, "trace_paths.json");
	ex_open(&l->trace, l->fd[0], false);
	ex_open(&l->paths, l->fd[1], false);
	if (l->fd[0] < 0 || l->fd[1] < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "trace.json: cannot make it");
	ex_str(&l->trace, "[");
	ex_str(&l->paths, "[");
	if (put_start(c))
		return 0;
	*err = c->err;
	return -1;
}

static int put_metadata(struct cdt *c, const struct cdt_program *p, struct ct_error *err)
{
	int fd = ct_file_createat(c->dirfd, "trace_metadata.json");
	size_t index;
	json_t *arg;
	struct ex_out o;

	if (fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "trace_metadata.json: cannot make it");
	ex_open(&o, fd, false);
	ex_str(&o, "{\"workdir\":");
	ex_json(&o, p->workdir, strlen(p->workdir));
	ex_str(&o, ",\"program\":");
	ex_json(&o, p->program, strlen(p->program));
	ex_str(&o, ",\"args\":[");
	json_array_foreach ((json_t *)p->args, index, arg) {
		const char *text = json_string_value(arg);

		if (!index)
			continue; /* the program */
		ex_str(&o, index > 1 ? "," : "");
		ex_json(&o, text ? text : "", text ? strlen(text) : 0);
	}
	ex_fmt(&o, "],\"recording_id\":\"%s\",\"recorder\":\"ctbpf " CTBPF_VERSION "\"}\n", p->id);
	if (ex_finish(&o, err) < 0) {
		close(fd);
		return -1;
	}
	return close(fd) < 0 ? ct_fail_write(err, "trace_metadata.json") : 0;
}

int cdt_legacy_end(struct cdt *c, const struct cdt_program *p, bool good, struct ct_error *err)
{
	struct legacy *l = c->writer;
	struct ct_error late = {0};
	int ret = good ? 0 : -1;

	if (!l)
		return -1;
	ex_str(&l->trace, "\n]\n");
	ex_str(&l->paths, "\n]\n");
	if (ex_finish(&l->trace, &late) + ex_finish(&l->paths, &late) < 0 && ret == 0) {
		*err = late;
		ret = -1;
	}
	for (unsigned i = 0; i < 2; i++)
		if (l->fd[i] >= 0 && close(l->fd[i]) < 0 && ret == 0)
			ret = ct_fail_write(err, "trace.json");
	free(l);
	c->writer = NULL;
	return ret == 0 ? put_metadata(c, p, err) : -1;
}
