// SPDX-License-Identifier: MIT
/* Replaying with agents: stretch by stretch, from one event to another, in front of a person who waits. */
#include "user/index_run.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "formats/stepdb_read.h"
#include "replay/agents/agent.h"
#include "replay/session.h"
#include "replay/steps/native.h"
#include "replay/stretch.h"
#include "user/cmd.h"
#include "user/index_calls.h"
#include "user/index_output.h"
#include "user/index_store.h"
#include "user/out.h"

const struct ct_step_limits index_limits = {.values = true, .depth = 3, .items = 16, .bytes = 80};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

struct run {
	struct ct_recording *rec;
	const struct index_options *o;
	struct ct_agents *agents;
	struct ct_native *native;       /* NULL: none is asked for */
	struct ct_index_store *store;   /* NULL: printed */
	struct ct_index_output *output; /* NULL: not kept */
	ct_u64 from, to;                /* events: the first one, and the one behind the last */
	ct_u64 resume;                  /* go on before this event; 0: from the beginning */
	ct_u64 done, all;               /* events of all stretches that are replayed */
	ct_u64 next;                    /* event to go on before, when it was interrupted */
	struct ct_error native_err;     /* of a hook */
	/* On a terminal, twice a second. */
	bool terminal;
	struct timespec began, shown;
	const struct ct_stretch *st;
	unsigned skip;
};

/* ---- progress ----------------------------------------------------------------------------------------------- */

static double seconds_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - then->tv_sec + (now.tv_nsec - then->tv_nsec) / 1e9;
}

static bool now_and_then(void *ctx, const struct ct_event *ev)
{
	struct run *r = ctx;

	/* It has to see every event. */
	return ct_index_output_wants(r->output, ev) || ct_native_wants(r->native, ev) || ++r->skip % 64 == 0 || stop;
}

static void show(struct run *r, const struct ct_event *ev)
{
	ct_u64 done = r->done + (ev->seq - r->st->begin);
	double spent = seconds_since(&r->began), share = r->all ? (double)done / (double)r->all : 1;
	char lines[CT_HUMAN], left[CT_HUMAN] = "";
	struct ct_stepdb_counts counts = {0};

	if (r->store) {
		ct_agents_hold(r->agents);
		ct_index_store_counts(r->store, &counts);
		ct_agents_release(r->agents);
	}
	if (share > 0.02 && spent > 2)
		snprintf(left, sizeof(left), ", %.0f s left", spent / share - spent);
	fprintf(stderr, "\r%3.0f %%%s%s%s%s\033[K", share * 100, r->store ? ", " : "",
		r->store ? ct_human_count(lines, counts.steps) : "", r->store ? " lines" : "", left);
}

/* Told of after an event: everything before it has been executed. */
static int after_event(void *ctx, struct ct_session *s, const struct ct_event *ev)
{
	struct run *r = ctx;

	ct_index_output_take(r->output, s, ev);
	if (ct_native_wants(r->native, ev) && ct_native_event(r->native, ev, &r->native_err))
		return 1;
	if (stop) {
		r->next = ev->seq + 1;
		return 1;
	}
	if (r->terminal && seconds_since(&r->shown) >= 0.5) {
		clock_gettime(CLOCK_MONOTONIC, &r->shown);
		show(r, ev);
	}
	return 0;
}

/* ---- replaying ------------------------------------------------------------------------------------------------ */

/* 0, 1: not as recorded, -1: *err; 2: interrupted. */
static int replay_stretch(struct run *r, const struct ct_stretch *st, struct ct_error *err)
{
	const struct ct_session_hook hook = {now_and_then, after_event, r};
	const ct_u64 begin = r->resume > r->from ? r->resume : r->from, end = st->end < r->to ? st->end : r->to;
	struct ct_session *s = ct_session_create(r->rec, st->from, NULL, err);
	struct ct_comparison comparison;
	int ret = -1;

	r->st = st;
	if (s && !ct_index_output_begin(r->output, st->from, err)) {
		ct_session_set_hook(s, &hook);
		/* Without agents it is fast. */
		ret = begin > st->begin ? ct_session_run(s, begin, err) : 0;
		if (!ret)
			ret = ct_session_watch(s, r->agents, err);
		if (!ret && r->native)
			ret = ct_native_begin(r->native, s, r->rec, st->from, err);
		if (!ret)
			ret = r->native ? ct_native_run(r->native, end, err) : ct_session_run(s, end, err);
		if (ret > 0 && *r->native_err.msg) {
			*err = r->native_err;
			ret = -1;
		}
		if (ret > 0)
			ret = 2;
		else if (!ret && st->to && end == st->end)
			ret = ct_session_compare(s, st->to, stderr, &comparison, err);
	}
	ct_native_end(r->native);
	if (s)
		ct_session_destroy(s);
	if (r->terminal)
		fputs("\r\033[K", stderr);
	/* What was seen up to a divergence is of use too. */
	if (!ct_agents_error(r->agents)) {
		struct ct_error late = {0};

		if (ct_agents_finish(r->agents, &late) && ret >= 0) {
			*err = late;
			ret = -1;
		}
	}
	return ret;
}

/* One that was indexed before an interruption: only what it writes is wanted again. */
static int replay_output(struct run *r, const struct ct_stretch *st, struct ct_error *err)
{
	const struct ct_session_hook hook = {now_and_then, after_event, r};
	struct ct_session *s = ct_session_create(r->rec, st->from, NULL, err);
	int ret = -1;

	r->st = st;
	if (s && !ct_index_output_begin(r->output, st->from, err)) {
		ct_session_set_hook(s, &hook);
		ret = ct_session_run(s, st->end < r->to ? st->end : r->to, err);
	}
	if (s)
		ct_session_destroy(s);
	return ret < 0 ? -1 : 0;
}

static bool asked_for(const struct run *r, const struct ct_stretch *st)
{
	return (!st->to || (st->end > r->from && st->end > r->resume)) && st->begin < r->to;
}

static int replay_all(struct run *r, const struct ct_stretches *list, struct ct_error *err)
{
	int status = CT_EXIT_OK, ret;

	for (size_t i = 0; i < list->count; i++)
		if (asked_for(r, &list->list[i]))
			r->all += list->list[i].events;
	for (size_t i = 0; i < list->count && !stop; i++) {
		const struct ct_stretch *st = &list->list[i];

		if (!asked_for(r, st)) {
			if (r->output && r->resume && st->end <= r->resume && st->end > r->from &&
			    replay_output(r, st, err))
				return CT_EXIT_FAILED;
			continue;
		}
		if (st->broken_at)
			fprintf(stderr, "ctbpf index: stretch %zu is broken at event %llu: %s\n", i + 1,
				(unsigned long long)st->broken_at, st->broken);
		ret = replay_stretch(r, st, err);
		if (ret < 0) {
			fprintf(stderr, "ctbpf index: stretch %zu: %s\n", i + 1, err->msg);
			return err->status == CT_EXIT_DIVERGED ? CT_EXIT_DIVERGED : CT_EXIT_FAILED;
		}
		if (ret == 1) {
			fprintf(stderr, "ctbpf index: stretch %zu: the replay is not identical to the recording\n",
				i + 1);
			status = CT_EXIT_DIVERGED;
		}
		r->done += st->events;
	}
	return status;
}

/* ---- which part ----------------------------------------------------------------------------------------------- */

/* The first event at or after a position, or the first one behind it. */
static int find_event(struct ct_recording *rec, const char *text, bool behind, ct_u64 *seq, struct ct_error *err)
{
	const struct ct_event *ev = NULL;
	struct ct_cursor *cur;
	struct ct_pos pos;
	int ret;

	if (ct_pos_parse(rec, text, &pos, err))
		return -1;
	*seq = pos.value + behind;
	if (pos.kind == CT_POS_SEQ)
		return 0;
	cur = ct_cursor_create(rec, err);
	if (!cur)
		return -1;
	ret = ct_cursor_seek_time(cur, pos.value + behind, err);
	if (!ret)
		ret = ct_cursor_next(cur, &ev, err);
	*seq = ret > 0 ? ev->seq : UINT64_MAX; /* behind the last one */
	ct_cursor_destroy(cur);
	return ret < 0 ? -1 : 0;
}

static void put_globs(FILE *out, const char *what, const struct ct_globs *globs)
{
	for (size_t i = 0; i < globs->count; i++)
		fprintf(out, "%s%s '%s'", ftell(out) ? ", " : "", what, globs->list[i]);
}

/* What was asked for, in words; the same words ask for the same. "" for everything. */
static char *describe_part(const struct run *r)
{
	const struct index_options *o = r->o;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	put_globs(out, "files", &o->filter.files);
	put_globs(out, "functions", &o->filter.functions);
	if (r->from)
		fprintf(out, "%sfrom e:%" PRIu64, ftell(out) ? ", " : "", (uint64_t)r->from);
	if (r->to != UINT64_MAX)
		fprintf(out, "%sto e:%" PRIu64, ftell(out) ? ", " : "", (uint64_t)r->to - 1);
	if (!o->limits.values)
		fprintf(out, "%sno values", ftell(out) ? ", " : "");
	else if (memcmp(&o->limits, &index_limits, sizeof(index_limits)))
		fprintf(out, "%svalues %u deep, of %u items, of %u bytes", ftell(out) ? ", " : "", o->limits.depth,
			o->limits.items, o->limits.bytes);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- the database --------------------------------------------------------------------------------------------- */

/* Can what is there be gone on with? */
static bool resumable(struct run *r, const char *part)
{
	struct ct_stepdb_info info;
	struct ct_error ignored = {0};
	struct ct_stepdb *db;
	bool same;

	if (!ct_stepdb_exists(ct_recording_dirfd(r->rec)))
		return false;
	db = ct_stepdb_open(ct_recording_dirfd(r->rec), ct_recording_path(r->rec), &ignored);
	if (!db)
		return false;
	ct_stepdb_info(db, &info);
	same = info.resumable && !strcmp(info.part, part);
	if (info.resumable && !same)
		fprintf(stderr,
			"ctbpf index: one of another part (%s) was interrupted; it is replaced, not gone on with\n",
			*info.part ? info.part : "everything");
	ct_stepdb_close(db);
	return same;
}

static int open_store(struct run *r, const char *part, struct ct_step_sink *sink, struct ct_error *err)
{
	struct ct_error why = {0};
	const ct_u64 *state;
	size_t words;

	if (resumable(r, part)) {
		r->store = ct_index_store_resume(r->rec, sink, &r->resume, &state, &words, &why);
		if (r->store)
			r->agents = ct_agents_create(sink, &r->o->limits, &r->o->filter, err);
		if (r->store && !r->agents)
			return -1;
		if (r->store && !ct_agents_load(r->agents, state, words, &why)) {
			fprintf(stderr, "ctbpf index: going on from event %llu\n", (unsigned long long)r->resume);
			ct_index_store_agents(r->store, r->agents);
			return 0;
		}
		fprintf(stderr, "ctbpf index: cannot go on with what is there, builds it anew: %s\n", why.msg);
		ct_agents_destroy(r->agents);
		ct_index_store_destroy(r->store);
		r->agents = NULL;
		r->resume = 0;
	}
	r->store = ct_index_store_create(r->rec, part, sink, err);
	if (!r->store)
		return -1;
	r->agents = ct_agents_create(sink, &r->o->limits, &r->o->filter, err);
	if (r->agents)
		ct_index_store_agents(r->store, r->agents);
	return r->agents ? 0 : -1;
}

static int finish(struct run *r, int status, FILE *out, struct ct_error *err)
{
	static const char from_the_start[] = "begins anew: of Ruby and of native code it cannot go on";
	struct ct_stepdb_counts counts;

	if (status == CT_EXIT_FAILED && ct_agents_error(r->agents)) {
		fprintf(stderr, "ctbpf index: the same command %s\n",
			ct_agents_resumable(r->agents) ? "goes on where it was saved last" : from_the_start);
		return status;
	}
	if (stop && r->next && status == CT_EXIT_OK) {
		if (ct_index_store_interrupt(r->store, r->next, err))
			return -1;
		fprintf(stderr, "ctbpf index: interrupted; the same command %s\n",
			ct_agents_resumable(r->agents) ? "goes on from here" : from_the_start);
		return CT_EXIT_FAILED;
	}
	/* What was seen up to a divergence is kept; then it is not complete. */
	if (ct_index_store_finish(r->store, status == CT_EXIT_OK, err))
		return -1;
	ct_index_store_counts(r->store, &counts);
	fprintf(out, "%llu lines, %llu calls, %llu values\n", (unsigned long long)counts.steps,
		(unsigned long long)counts.calls, (unsigned long long)counts.values);
	return status;
}

static int run(struct run *r, FILE *out, struct ct_error *err)
{
	struct ct_step_printer *printer = NULL;
	struct ct_stretches list = {0};
	struct ct_agents_stats stats;
	struct ct_step_sink sink;
	char *part = NULL;
	int status = -1;

	if (r->o->print) {
		printer = ct_step_printer_create(out, &sink);
		r->agents = printer ? ct_agents_create(&sink, &r->o->limits, &r->o->filter, err) : NULL;
		if (!printer)
			ct_fail(err, CT_EXIT_FAILED, "out of memory");
	} else if (!(part = describe_part(r))) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
	} else if (open_store(r, part, &sink, err)) {
		ct_agents_destroy(r->agents);
		r->agents = NULL;
	}
	if (r->agents && r->store && !(r->output = ct_index_output_create(r->rec, err))) {
		ct_agents_destroy(r->agents);
		r->agents = NULL;
	}
	if (r->agents && ct_native_asked(&r->o->filter) &&
	    !(r->native = ct_native_create(r->agents, &r->o->limits, &r->o->filter, err))) {
		ct_agents_destroy(r->agents);
		r->agents = NULL;
	}
	if (r->agents && !ct_stretches_find(r->rec, &list, err)) {
		status = replay_all(r, &list, err);
		ct_stretches_deinit(&list);
		if (!stop && !ct_agents_error(r->agents) && ct_agents_end(r->agents, err))
			status = -1;
		ct_agents_stats(r->agents, &stats);
		if (*stats.unwatched)
			fprintf(stderr, "ctbpf index: not watched: %s\n", stats.unwatched);
		else if (!stats.installed && status == CT_EXIT_OK && !stop &&
			 !(r->native && ct_native_functions(r->native)))
			fprintf(stderr, "ctbpf index: no interpreter ran in this %s%s\n",
				r->from || r->to != UINT64_MAX ? "part of the recording" : "recording",
				r->native ? ", and no native code with debug information is what was asked for"
					  : "; of native code say which: --functions GLOB, --files GLOB");
		if (ct_index_output_finish(r->output, status < 0 ? NULL : err))
			status = -1;
		else if (r->store)
			status = finish(r, status, out, err);
	}
	ct_native_destroy(r->native);
	ct_agents_destroy(r->agents);
	ct_step_printer_destroy(printer);
	ct_index_store_destroy(r->store);
	free(part);
	return status;
}

/* A recording without a replay: what probes have told of calls is all there is. */
static int run_calls(struct run *r, FILE *out, struct ct_error *err)
{
	struct ct_index_calls ic = {
		.rec = r->rec, .filter = &r->o->filter, .values = r->o->limits.values, .from = r->from, .to = r->to};
	struct ct_step_printer *printer = NULL;
	struct ct_step_sink sink;
	char *part = describe_part(r);
	int status = -1;

	if (r->o->print)
		printer = ct_step_printer_create(out, &sink);
	else if (part)
		r->store = ct_index_store_create(r->rec, part, &sink, err);
	if (!part || (r->o->print && !printer))
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
	ic.sink = &sink;
	if ((printer || r->store) && !ct_index_calls(&ic, err)) {
		if (!ic.records)
			fprintf(stderr, "ctbpf index: no calls were recorded; `ctbpf record --no-replay --calls`, or "
					"--functions GLOB, does it\n");
		status = r->store ? finish(r, CT_EXIT_OK, out, err) : CT_EXIT_OK;
	}
	ct_step_printer_destroy(printer);
	ct_index_store_destroy(r->store);
	free(part);
	return status;
}

int ct_index_run(struct ct_recording *rec, const struct index_options *o, FILE *out, struct ct_error *err)
{
	struct run r = {.rec = rec, .o = o, .to = UINT64_MAX, .terminal = isatty(STDERR_FILENO)};
	const struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

	if ((o->from && find_event(rec, o->from, false, &r.from, err)) ||
	    (o->to && find_event(rec, o->to, true, &r.to, err)))
		return -1;
	if (r.from >= r.to)
		return ct_fail(err, CT_EXIT_USAGE, "nothing is between '%s' and '%s'", o->from ? o->from : "start",
			       o->to ? o->to : "end");
	/* A second one ends it at once. */
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	clock_gettime(CLOCK_MONOTONIC, &r.began);
	if (json_is_true(json_object_get(json_object_get(ct_recording_manifest(rec), "options"), "no_replay")))
		return run_calls(&r, out, err);
	return run(&r, out, err);
}
