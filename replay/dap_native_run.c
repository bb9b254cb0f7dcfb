/* SPDX-License-Identifier: MIT
 * Native code: running forwards and backwards to breakpoints, signals, ends; going to a position. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dap_native.h"

void native_stop_at(struct dap_native *d, struct dap_stop *stop, const char *reason)
{
	stop->reason = reason;
	stop->thread = d->tid;
	native_tell_output(d);
}

static bool is_armed(const struct dap_break *b)
{
	return b->data && !b->broken && b->verified;
}

static bool stops(const struct dap_break *b, const struct native_run *how)
{
	return is_armed(b) && !(how->back && native_logs_later(b));
}

/* All places of breakpoints, and those of this run. */
static int arm(struct dap_native *d, const struct native_run *how, struct ct_error *err)
{
	struct ct_stop *list;
	size_t n = how->nextra, k = 0;
	ct_u64 signals = 0;
	int ret;

	for (const struct dap_break *b = *d->host->breaks; b; b = b->next)
		if (stops(b, how))
			n += ((struct native_place *)b->data)->at.n + ((struct native_place *)b->data)->nwatches;
	list = malloc((n ? n : 1) * sizeof(*list));
	if (!list)
		return native_no_memory(err);
	for (; k < how->nextra; k++)
		list[k] = how->extra[k];
	for (const struct dap_break *b = *d->host->breaks; b; b = b->next) {
		const struct native_place *p = b->data;

		if (!stops(b, how))
			continue;
		for (size_t i = 0; i < p->at.n; i++)
			list[k++] = (struct ct_stop){CT_STOP_EXEC, p->at.addr[i], 1};
		for (unsigned i = 0; i < p->nwatches; i++)
			list[k++] = p->watch[i];
		signals |= p->signals;
	}
	ct_timeline_catch(d->tl, signals, false, false);
	ret = ct_timeline_set_stops(d->tl, list, k, err);
	free(list);
	return ret;
}

static const char *reason_of(const struct dap_break *b)
{
	static const char *const reasons[] = {[DAP_LINE] = "breakpoint",
					      [DAP_FUNCTION] = "function breakpoint",
					      [DAP_EXCEPTION] = "exception",
					      [DAP_DATA] = "data breakpoint",
					      [DAP_INSN] = "instruction breakpoint"};

	return reasons[b->kind];
}

/* What a write changed. It is there now, or about to be written if it was come to backwards. */
static void say_change(struct dap_native *d, const struct dap_break *b, bool back, struct dap_stop *stop)
{
	const struct native_place *p = b->data;
	struct ct_stopped at;
	struct ct_error ignored;
	struct ct_moment here;
	ct_u64 was = 0, is = 0;
	const ct_u64 addr = p->watch[0].addr;
	const size_t len = p->watch[0].len;

	if (p->nwatches != 1 || ct_timeline_now(d->tl, &here, &ignored)) {
		snprintf(stop->text, sizeof(stop->text), "%s", p->expression);
		return;
	}
	d->mem.read(d->mem.ctx, addr, &is, len);
	ct_timeline_set_stops(d->tl, NULL, 0, &ignored);
	if (ct_timeline_step(d->tl, d->last.tid, !back, &at, &ignored) == 0)
		d->mem.read(d->mem.ctx, addr, &was, len);
	else
		was = is;
	ct_timeline_seek(d->tl, &here, &ignored);
	snprintf(stop->text, sizeof(stop->text), "%s: %#llx -> %#llx", p->expression,
		 (unsigned long long)(back ? is : was), (unsigned long long)(back ? was : is));
}

/* Which breakpoints are hit here. 1: some; 0; -1. */
static int hits(struct dap_native *d, const struct ct_stopped *at, bool back, struct dap_stop *stop,
		struct ct_error *err)
{
	const struct dap_break *cause = NULL;

	stop->nhits = 0;
	for (struct dap_break *b = *d->host->breaks; b; b = b->next) {
		int got;

		if (!is_armed(b) || !native_is_at(b, at))
			continue;
		got = native_hit(d, b, at, back, err);
		if (got < 0)
			return -1;
		if (!got)
			continue;
		if (stop->nhits < DAP_HIT_IDS)
			stop->hit[stop->nhits++] = b->id;
		cause = b;
	}
	if (!cause)
		return 0;
	native_stop_at(d, stop, reason_of(cause));
	if (at->why == CT_ARRIVED_SIGNAL) {
		const char *name = sigabbrev_np(at->number);

		snprintf(stop->text, sizeof(stop->text), "SIG%s: %s", name ? name : "?", strsignal(at->number));
	} else if (at->why == CT_ARRIVED_WATCH) {
		say_change(d, cause, back, stop);
	}
	return 1;
}

bool native_is_extra(const struct native_run *how, const struct ct_stopped *at)
{
	for (size_t i = 0; i < how->nextra; i++)
		if (at->why == CT_ARRIVED_BREAK && how->extra[i].addr == at->stop.addr)
			return true;
	return false;
}

static int at_end(struct dap_native *d, enum ct_arrival why, struct dap_stop *stop)
{
	native_stop_at(d, stop, why == CT_ARRIVED_BEGIN ? "entry" : why == CT_ARRIVED_END ? "end" : "pause");
	stop->at_end = why == CT_ARRIVED_END;
	if (why != CT_ARRIVED_INTERRUPT)
		snprintf(stop->text, sizeof(stop->text), "%s of the recording", stop->at_end ? "End" : "Start");
	return 0;
}

struct run {
	struct dap_native *d;
	const struct native_run *how;
};

static bool counts(void *ctx, const struct ct_stop *stop, ct_u32 tid)
{
	const struct run *run = ctx;
	const struct ct_stopped at = {.why = CT_ARRIVED_BREAK, .tid = tid, .stop = *stop};
	struct ct_error ignored;

	run->d->tid = tid;
	native_moved(run->d);
	/* Forwards `arrived` is asked once only: it may keep what it has seen. */
	if (native_is_extra(run->how, &at) &&
	    (!run->how->back || !run->how->arrived || run->how->arrived(run->how->ctx, &at, &ignored)))
		return true;
	for (struct dap_break *b = *run->d->host->breaks; b; b = b->next)
		if (stops(b, run->how) && native_is_at(b, &at) && native_condition_met(run->d, b))
			return true;
	return false;
}

int native_run_timeline(struct dap_native *d, const struct native_run *how, struct ct_stopped *at, struct ct_error *err)
{
	struct run run = {d, how};
	int ret;

	ct_timeline_set_condition(d->tl, counts, &run);
	ret = ct_timeline_run(d->tl, how->back, at, err);
	ct_timeline_set_condition(d->tl, NULL, NULL);
	ct_timeline_set_choice(d->tl, NULL);
	if (how->back && (ret || at->why == CT_ARRIVED_INTERRUPT))
		native_forget_counts(d);
	native_moved(d);
	return ret;
}

int native_run(struct dap_native *d, const struct native_run *how, struct dap_stop *stop, struct ct_error *err)
{
	struct ct_stopped at;

	for (;;) {
		struct ct_moment from;
		int user, own = 0;

		native_leaves(d, how->back);
		if (ct_timeline_now(d->tl, &from, err) || (how->back && native_choose_by_number(d, how, err)) ||
		    arm(d, how, err) || native_run_timeline(d, how, &at, err))
			return -1;
		d->last = at;
		if (at.tid)
			d->tid = at.tid;
		if (how->back && at.why != CT_ARRIVED_INTERRUPT && native_log_back(d, &from, err))
			return -1;
		if (at.why == CT_ARRIVED_BEGIN || at.why == CT_ARRIVED_END || at.why == CT_ARRIVED_INTERRUPT)
			return at_end(d, at.why, stop);
		user = hits(d, &at, how->back, stop, err);
		if (user >= 0 && native_is_extra(how, &at))
			own = how->arrived ? how->arrived(how->ctx, &at, err) : 1;
		if (user < 0 || own < 0)
			return -1;
		if (user)
			return 0;
		if (own)
			return 1;
		/* Conditions take time: whoever waits may want to stop here. */
		if (d->host->interrupted(d->host->ctx))
			return at_end(d, CT_ARRIVED_INTERRUPT, stop);
	}
}

/* Single steps see no watchpoints: what is watched is compared instead. */
static void read_watched(struct dap_native *d, ct_u64 now[CT_STOP_WATCHES])
{
	unsigned k = 0;

	memset(now, 0, CT_STOP_WATCHES * sizeof(*now));
	for (const struct dap_break *b = *d->host->breaks; b; b = b->next)
		for (unsigned i = 0; is_armed(b) && i < ((struct native_place *)b->data)->nwatches; i++)
			if (k < CT_STOP_WATCHES) {
				const struct ct_stop *w = &((struct native_place *)b->data)->watch[i];

				d->mem.read(d->mem.ctx, w->addr, &now[k++], w->len);
			}
}

/* The watched value that is another one now. */
static const struct ct_stop *changed(struct dap_native *d, const ct_u64 *was)
{
	ct_u64 now[CT_STOP_WATCHES];
	unsigned k = 0;

	read_watched(d, now);
	for (const struct dap_break *b = *d->host->breaks; b; b = b->next)
		for (unsigned i = 0; is_armed(b) && i < ((struct native_place *)b->data)->nwatches; i++, k++)
			if (k < CT_STOP_WATCHES && now[k] != was[k])
				return &((struct native_place *)b->data)->watch[i];
	return NULL;
}

int native_instruction(struct dap_native *d, ct_u32 tid, bool back, struct dap_stop *stop, struct ct_error *err)
{
	ct_u64 was[CT_STOP_WATCHES];
	const struct ct_stop *watch;
	struct ct_dwarf_regs regs;
	struct ct_stopped at;
	int user;

	read_watched(d, was);
	native_leaves(d, back);
	if (arm(d, &(struct native_run){.back = back}, err) || ct_timeline_step(d->tl, tid, back, &at, err))
		return -1;
	native_moved(d);
	d->last = at;
	d->tid = at.tid ? at.tid : tid;
	if (at.why == CT_ARRIVED_BEGIN || at.why == CT_ARRIVED_END || at.why == CT_ARRIVED_INTERRUPT)
		return at_end(d, at.why, stop);
	watch = at.why == CT_ARRIVED_STEP ? changed(d, was) : NULL;
	if (watch) {
		at.why = CT_ARRIVED_WATCH;
		at.stop = *watch;
	} else if (at.why == CT_ARRIVED_STEP && !native_regs(d, tid, &regs, NULL)) {
		at.why = CT_ARRIVED_BREAK;
		at.stop = (struct ct_stop){CT_STOP_EXEC, regs.r[CT_DW_RIP], 1};
	}
	at.tid = d->tid;
	d->last = at;
	user = hits(d, &at, back, stop, err);
	return user < 0 ? -1 : !user;
}

/* ---- to a position ---- */

int dap_native_seek(struct dap_debuggee *base, const char *position, struct dap_stop *stop, struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);
	ct_u64 begin, end;
	struct ct_moment m;
	int ret;

	native_forget_counts(d);
	ct_timeline_range(d->tl, &begin, &end);
	m = (struct ct_moment){.next = !strcmp(position, "end") ? end : begin};
	if (!strcmp(position, "start") || !strcmp(position, "end"))
		ret = ct_timeline_seek(d->tl, &m, err);
	else
		ret = ct_timeline_seek_text(d->tl, position, err);
	native_moved(d);
	d->tid = ct_session_current(ct_timeline_session(d->tl));
	d->last = (struct ct_stopped){.why = CT_ARRIVED_STEP, .tid = d->tid};
	if (ret)
		return -1;
	if (!strcmp(position, "start"))
		return at_end(d, CT_ARRIVED_BEGIN, stop);
	if (!strcmp(position, "end"))
		return at_end(d, CT_ARRIVED_END, stop);
	native_stop_at(d, stop, "goto");
	return 0;
}

int dap_native_go(struct dap_debuggee *base, ct_u64 target, struct dap_stop *stop, struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);

	if (!target || target > d->ntargets)
		return ct_fail(err, CT_EXIT_USAGE, "there is no target %llu", (unsigned long long)target);
	return dap_native_seek(base, d->target[target - 1], stop, err);
}

static int add_target(struct dap_native *d, ct_u64 *id, struct ct_error *err)
{
	char text[CT_MOMENT_TEXT], **more = realloc(d->target, (d->ntargets + 1) * sizeof(*more));

	if (!more)
		return native_no_memory(err);
	d->target = more;
	if (ct_timeline_now_text(d->tl, text, err))
		return -1;
	more[d->ntargets] = strdup(text);
	if (!more[d->ntargets])
		return native_no_memory(err);
	*id = ++d->ntargets;
	return 0;
}

/* The line's runs next to where it stands, and its first and last one. */
json_t *dap_native_targets(struct dap_debuggee *base, const char *path, ct_u32 line, struct ct_error *err)
{
	static const struct {
		const char *label, *from;
		bool back;
	} kinds[] = {{"next run", NULL, false},
		     {"run before", NULL, true},
		     {"first run", "start", false},
		     {"last run", "end", true}};
	struct dap_native *d = dap_native_of(base);
	struct ct_dwarf_list found = {0};
	const char **files = NULL;
	struct ct_moment here, m;
	struct ct_stop *stops = NULL;
	struct ct_error ignored;
	json_t *list = NULL;
	ct_u64 begin, end, id = 0;
	ct_u32 actual;
	size_t n;

	ct_timeline_range(d->tl, &begin, &end);
	if (native_find_files(d, path, &files, &n, err) || ct_timeline_now(d->tl, &here, err))
		goto out;
	if (ct_dwarf_find_line(d->dw, native_is_one_of, files, line, &actual, &found, err) ||
	    !(stops = calloc(found.n + 1, sizeof(*stops))))
		goto out;
	for (size_t i = 0; i < found.n; i++)
		stops[i] = (struct ct_stop){CT_STOP_EXEC, found.addr[i], 1};
	list = json_array();
	ct_timeline_catch(d->tl, 0, false, false);
	for (size_t i = 0; found.n && i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct ct_stopped at;
		char label[CT_MOMENT_TEXT + 40];

		m = !kinds[i].from ? here : (struct ct_moment){.next = kinds[i].back ? end : begin};
		if (ct_timeline_seek(d->tl, &m, &ignored) || ct_timeline_set_stops(d->tl, stops, found.n, &ignored) ||
		    ct_timeline_run(d->tl, kinds[i].back, &at, &ignored) || at.why != CT_ARRIVED_BREAK ||
		    ct_timeline_set_stops(d->tl, NULL, 0, &ignored) || add_target(d, &id, &ignored))
			continue;
		snprintf(label, sizeof(label), "%s, at %s", kinds[i].label, d->target[id - 1]);
		json_array_append_new(list, json_pack("{s:I, s:s, s:I}", "id", (json_int_t)id, "label", label, "line",
						      (json_int_t)actual));
	}
	ct_timeline_set_stops(d->tl, NULL, 0, &ignored);
	native_moved(d);
	if (ct_timeline_seek(d->tl, &here, err)) {
		json_decref(list);
		list = NULL;
	}
out:
	free(files);
	free(stops);
	ct_dwarf_list_free(&found);
	return list;
}
