// SPDX-License-Identifier: MIT
/* Live calls in a recording: which functions they are of goes to the log before the first call, what was left out
 * behind the last one, and between them from where to where there are none. */
#include <string.h>

#include "user/control.h"
#include "user/recorder_priv.h"

json_t *ct_recorder_calls_options(const struct ct_record_opts *opts)
{
	const struct ct_calls_opts *o = opts->calls;
	json_t *functions = json_array(), *vms = json_array(), *pids = json_array();

	for (size_t i = 0; i < opts->npids; i++)
		json_array_append_new(pids, json_integer(opts->pids[i]));
	for (size_t i = 0; i < CT_VMS; i++)
		if (o->vm[i])
			json_array_append_new(vms, json_string(ct_vm_kinds[i].option));
	for (size_t i = 0; i < o->nfunctions; i++)
		json_array_append_new(functions, json_string(o->functions[i]) ?: json_string("?"));
	return json_pack("{s:o, s:o, s:s?, s:b, s:b, s:o, s:b, s:i, s:I, s:I, s:f, s:i, s:s?}", "pids", pids,
			 "functions", functions, "lib", o->lib, "python", o->python, "ruby", o->ruby, "languages", vms,
			 "told", o->told, "depth", (int)o->depth, "min_ns", (json_int_t)o->min_ns, "max_rate",
			 (json_int_t)o->max_rate, "max_overhead", o->max_overhead, "thread", (int)o->tid, "filter",
			 o->filter_path);
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

void ct_recorder_calls_start(struct ct_recorder *r)
{
	struct ct_calls_stats stats;

	ct_calls_stats(r->calls, &stats);
	if (stats.part[0])
		ct_recorder_note(r, CT_EV_NOTE, 0, 0, 0, "not all calls: %s", stats.part);
	ct_calls_start(r->calls);
	r->start_ns = r->pauses.since_ns = ct_now_ns(); /* attaching has taken a moment */
}

int ct_recorder_calls_turn(struct ct_recorder *r, bool off, enum ct_pause why, ct_u64 ppm, struct ct_error *err)
{
	struct ct_calls_pauses *p = &r->pauses;
	struct ct_ev_pause body = {.off = off, .why = why, .ppm = ppm};
	struct ct_error ignored;

	if (off == p->off)
		return 0;
	if (off) {
		ct_calls_pause(r->calls);
		/* All that was told before comes before this record. */
		ct_pipeline_drain(r->pipeline, 1000, &ignored);
		p->count++;
		p->overhead += why == CT_PAUSE_OVERHEAD;
		p->cost_ppm = why == CT_PAUSE_OVERHEAD ? ppm : p->cost_ppm;
	} else if (ct_calls_resume(r->calls, err)) {
		return -1;
	}
	body.at_ns = ct_now_ns();
	body.lasted_ns = body.at_ns - p->since_ns;
	p->off_ns += off ? 0 : body.lasted_ns;
	p->since_ns = body.at_ns;
	p->off = off;
	ct_recorder_append(r, CT_EV_PAUSE, 0, 0, &body, sizeof(body), NULL, 0);
	if (!off)
		ct_calls_go(r->calls);
	if (r->governor)
		ct_governor_turned(r->governor, off);
	return 0;
}

void ct_recorder_calls_tick(struct ct_recorder *r)
{
	struct ct_governed what;
	struct ct_error err;
	enum ct_govern turn;

	if (!r->governor)
		return;
	turn = ct_governor_look(r->governor, &what);
	if (turn == CT_GOVERN_STAY || r->pauses.asked)
		return;
	if (ct_recorder_calls_turn(r, turn == CT_GOVERN_AWAY, CT_PAUSE_OVERHEAD, what.ppm, &err)) {
		ct_recorder_note(r, CT_EV_NOTE, 0, 0, 0, "calls are not recorded any more: %s", err.msg);
		ct_governor_destroy(r->governor);
		r->governor = NULL;
	}
}

void ct_recorder_calls_asked(struct ct_recorder *r, int fd, bool off)
{
	struct ct_error err;
	const bool was = r->pauses.asked;

	if (!r->calls) {
		ct_control_answer(fd,
				  "error it records no live calls (--calls, --functions): only these stop and start");
	} else if (ct_recorder_calls_turn(r, off, CT_PAUSE_ASKED, 0, &err)) {
		ct_control_answer(fd, "error %s", err.msg);
	} else {
		r->pauses.asked = off;
		ct_control_answer(fd, "ok %s",
				  was == off ? (off ? "stopped already" : "running already")
				  : off      ? "stopped"
					     : "started");
	}
}

void ct_recorder_calls_stop(struct ct_recorder *r, struct ct_record_result *res)
{
	const struct ct_call_counters *n = ct_calls_counters(r->calls);
	ct_u64 begin = ct_now_ns();

	if (r->pauses.off)
		r->pauses.off_ns += begin - r->pauses.since_ns;
	res->pauses = r->pauses;
	if (r->pauses.count)
		json_object_set_new(r->manifest, "pauses",
				    json_pack("{s:I, s:I, s:f}", "count", (json_int_t)r->pauses.count, "overhead",
					      (json_int_t)r->pauses.overhead, "s", r->pauses.off_ns / 1e9));
	ct_governor_destroy(r->governor);
	ct_calls_stop(r->calls);
	res->detach_ms = (double)(ct_now_ns() - begin) / 1e6;
	ct_calls_stats(r->calls, &res->calls);
	res->ncalls = n->calls - ct_screen_dropped(r->screen);
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
