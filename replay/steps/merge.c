// SPDX-License-Identifier: MIT
/* Numbers of one builder to those of the sink. */
#include "replay/steps/merge.h"

#include <stdlib.h>
#include <string.h>

#define INPUTS 4 /* at most */

struct input {
	struct input *next;
	struct ct_step_merge *merge;
	struct ct_step_sink sink;
	const char *language;
	ct_u64 number; /* runs are numbered by turns */
	ct_u32 *file, *function;
};
struct ct_step_merge {
	struct ct_step_sink out;
	struct input *inputs;
	const char *language; /* told of last */
	ct_u32 nfiles, nfunctions;
};

#define OUT           (in->merge->out)
#define PASS(op, ...) (OUT.op ? OUT.op(OUT.ctx, __VA_ARGS__, err) : 0)

int ct_step_renumber(ct_u32 **list, ct_u32 id, ct_u32 number, struct ct_error *err)
{
	ct_u32 *more = realloc(*list, (id + 1) * sizeof(*more));

	if (!more)
		return ct_fail_memory(err);
	*list = more;
	more[id] = number;
	return 0;
}

static int on_thread(void *ctx, ct_u32 thread, ct_u32 pid, struct ct_error *err)
{
	struct input *in = ctx;

	return PASS(thread, thread, pid);
}
static int on_file(void *ctx, ct_u32 id, const char *path, struct ct_error *err)
{
	struct input *in = ctx;

	return ct_step_renumber(&in->file, id, in->merge->nfiles++, err) ? -1 : PASS(file, in->file[id], path);
}
static int on_function(void *ctx, ct_u32 id, ct_u32 file, const char *name, ct_u32 line, struct ct_error *err)
{
	struct input *in = ctx;

	if (in->merge->language != in->language && PASS(language, in->language))
		return -1;
	in->merge->language = in->language;
	return ct_step_renumber(&in->function, id, in->merge->nfunctions++, err)
		       ? -1
		       : PASS(function, in->function[id], file == CT_STEP_NATIVE ? file : in->file[file], name, line);
}
static int on_language(void *ctx, const char *language, struct ct_error *err)
{
	struct input *in = ctx;

	(void)err;
	in->language = language;
	return 0;
}
static int on_event(void *ctx, ct_u64 seq, ct_u64 time_ns, struct ct_error *err)
{
	struct input *in = ctx;

	return PASS(event, seq, time_ns);
}
static int on_call(void *ctx, ct_u32 thread, ct_u32 function, ct_u32 line, ct_u64 run, enum ct_enter how,
		   struct ct_error *err)
{
	struct input *in = ctx;

	return PASS(call, thread, in->function[function], line, run * INPUTS + in->number, how);
}
static int on_argument(void *ctx, ct_u32 thread, const char *name, const struct ct_value *v, struct ct_error *err)
{
	struct input *in = ctx;

	return PASS(argument, thread, name, v);
}
static int on_step(void *ctx, ct_u32 thread, ct_u32 function, ct_u32 line, struct ct_error *err)
{
	struct input *in = ctx;

	return PASS(step, thread, in->function[function], line);
}
static int on_value(void *ctx, ct_u32 thread, const char *name, const struct ct_value *v, struct ct_error *err)
{
	struct input *in = ctx;

	return PASS(value, thread, name, v);
}
static int on_raise(void *ctx, ct_u32 thread, ct_u32 function, ct_u32 line, const struct ct_value *v,
		    struct ct_error *err)
{
	struct input *in = ctx;

	return PASS(raise, thread, in->function[function], line, v);
}
static int on_drop(void *ctx, ct_u64 run, struct ct_error *err)
{
	struct input *in = ctx;

	return PASS(drop, run * INPUTS + in->number);
}
static int on_leave(void *ctx, ct_u32 thread, ct_u32 function, ct_u32 line, enum ct_leave how, const struct ct_value *v,
		    struct ct_error *err)
{
	struct input *in = ctx;

	return PASS(leave, thread, in->function[function], line, how, v);
}

const struct ct_step_sink *ct_step_merge_input(struct ct_step_merge **merge, const struct ct_step_sink *out,
					       const char *language)
{
	struct ct_step_merge *m = *merge ? *merge : calloc(1, sizeof(*m));
	struct input *in = calloc(1, sizeof(*in));

	if (!m || !in) {
		if (!*merge)
			free(m);
		free(in);
		return NULL;
	}
	*merge = m;
	m->out = *out;
	in->merge = m;
	in->language = language;
	in->number = m->inputs ? m->inputs->number + 1 : 0;
	in->next = m->inputs;
	m->inputs = in;
	in->sink = (struct ct_step_sink){.ctx = in,
					 .thread = on_thread,
					 .language = on_language,
					 .file = on_file,
					 .function = on_function,
					 .event = on_event,
					 .call = on_call,
					 .argument = on_argument,
					 .step = on_step,
					 .value = on_value,
					 .raise = on_raise,
					 .drop = on_drop,
					 .leave = on_leave};
	return &in->sink;
}

void ct_step_merge_destroy(struct ct_step_merge *m)
{
	while (m && m->inputs) {
		struct input *in = m->inputs;

		m->inputs = in->next;
		free(in->file);
		free(in->function);
		free(in);
	}
	free(m);
}
