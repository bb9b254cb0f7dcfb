// SPDX-License-Identifier: MIT
/* Live calls in a recording: which functions they are of goes to the log before the first call, what was left out
 * behind the last one. */
#include <string.h>

#include "user/recorder_priv.h"

json_t *ct_recorder_calls_options(const struct ct_calls_opts *o)
{
	json_t *functions = json_array(), *vms = json_array();

	for (size_t i = 0; i < CT_VMS; i++)
		if (o->vm[i])
			json_array_append_new(vms, json_string(ct_vm_kinds[i].option));
	for (size_t i = 0; i < o->nfunctions; i++)
		json_array_append_new(functions, json_string(o->functions[i]) ?: json_string("?"));
	return json_pack("{s:o, s:s?, s:b, s:b, s:o, s:b, s:i, s:I, s:I, s:i, s:s?}", "functions", functions, "lib",
			 o->lib, "python", o->python, "ruby", o->ruby, "languages", vms, "told", o->told, "depth",
			 (int)o->depth, "min_ns", (json_int_t)o->min_ns, "max_rate", (json_int_t)o->max_rate, "thread",
			 (int)o->tid, "filter", o->filter_path);
}

static void tell(void *ctx, pid_t pid, const struct ct_ev_function *f, const char *name, const char *file)
{
	char text[f->name_len + f->file_len + 1];

	memcpy(text, name, f->name_len);
	memcpy(text + f->name_len, file, f->file_len);
	ct_recorder_append(ctx, CT_EV_FUNCTION, (ct_u32)pid, (ct_u32)pid, f, sizeof(*f), text,
			   (size_t)f->name_len + f->file_len);
}

int ct_recorder_calls_attach(struct ct_recorder *r, pid_t pid, struct ct_error *err)
{
	return r->calls ? ct_calls_attach(r->calls, pid, tell, r, err) : 0;
}

int ct_recorder_slow_attach(struct ct_recorder *r, const pid_t *pids, size_t n, struct ct_error *err)
{
	const struct ct_trigger_opts *t = &r->opts->trigger;

	if (!t->slow)
		return 0;
	r->slow_opts = (struct ct_calls_opts){
		.functions = &t->slow, .nfunctions = 1, .lib = t->slow_lib, .min_ns = t->slow_ns, .replayable = true};
	r->slow = ct_calls_create(&r->slow_opts, &r->probes, err);
	for (size_t i = 0; r->slow && i < n; i++)
		if (ct_calls_attach(r->slow, pids[i], tell, r, err))
			return -1;
	if (!r->slow)
		return -1;
	ct_calls_start(r->slow);
	return 0;
}

static void note(struct ct_recorder *r, ct_u64 count, const char *why)
{
	if (count)
		ct_recorder_note(r, CT_EV_NOTE, 0, 0, count, "%llu calls are not recorded: %s",
				 (unsigned long long)count, why);
}

void ct_recorder_calls_stop(struct ct_recorder *r, struct ct_record_result *res)
{
	const struct ct_call_counters *n = ct_calls_counters(r->calls);
	ct_u64 begin = ct_now_ns();

	ct_calls_stop(r->calls);
	res->detach_ms = (double)(ct_now_ns() - begin) / 1e6;
	ct_calls_stats(r->calls, &res->calls);
	res->ncalls = n->calls;
	res->orphans = n->orphans;
	res->left_out = n->too_deep + n->rate + n->unreadable + n->no_room;
	note(r, n->too_deep, "more than 1024 others were open in their thread");
	note(r, n->rate, "there were more in a second than asked for");
	note(r, n->unreadable, "their function's name could not be read from memory");
	if (n->orphans)
		ct_recorder_note(r, CT_EV_NOTE, 0, 0, n->orphans,
				 "%llu lines and values that the program told are not recorded: their calls are not",
				 (unsigned long long)n->orphans);
	note(r, n->no_room, "the kernel had no memory for their thread's stack");
}
