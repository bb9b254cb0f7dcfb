/* SPDX-License-Identifier: MIT
 * Trace event JSON, as chrome://tracing, Perfetto and others read it.
 *
 * Times are microseconds with three decimals since the first event of the recording. What belongs to no thread is in
 * process 0. */
#include <string.h>

#include "tracks.h"

struct chrome {
	const struct ct_export_source *src;
	struct ex_out *o;
	ct_u64 first_ns;
	bool any;
};

static void begin(struct chrome *c, char phase, ct_u32 pid, ct_u32 tid)
{
	ex_str(c->o, c->any ? ",\n" : "\n");
	c->any = true;
	ex_fmt(c->o, "{\"ph\":\"%c\",\"pid\":%u,\"tid\":%u", phase, pid, tid);
}

static void named(struct chrome *c, const char *key, ct_u32 pid, ct_u32 tid, const char *name, size_t len)
{
	begin(c, 'M', pid, tid);
	ex_fmt(c->o, ",\"name\":\"%s\",\"args\":{\"name\":", key);
	ex_json(c->o, name, len);
	ex_str(c->o, "}}");
}

static void put_process(void *arg, ct_u32 pid, const char *name, size_t len)
{
	named(arg, "process_name", pid, 0, name, len);
}

static void put_thread(void *arg, ct_u32 tid, ct_u32 pid, const char *name, size_t len)
{
	named(arg, "thread_name", pid, tid, name, len);
}

static void sequence(void *arg, ct_u32 number)
{
	(void)arg;
	(void)number;
}

static void put_args(struct chrome *c, const struct tk_event *ev)
{
	ex_str(c->o, ",\"args\":{");
	for (unsigned i = 0; i < ev->nargs; i++) {
		ex_fmt(c->o, "%s\"%s\":", i ? "," : "", ev->arg[i].key);
		if (ev->arg[i].text)
			ex_json(c->o, ev->arg[i].text, ev->arg[i].len);
		else
			ex_fmt(c->o, "%lld", (long long)ev->arg[i].number);
	}
	ex_str(c->o, "}");
}

static void put(void *arg, const struct tk_event *ev)
{
	static const char phases[] = {[TK_BEGIN] = 'B', [TK_END] = 'E', [TK_INSTANT] = 'i', [TK_COUNTER] = 'C'};
	struct chrome *c = arg;
	ct_u64 ns = ev->ns > c->first_ns ? ev->ns - c->first_ns : 0;
	const char *track = tk_track_names[ev->track];

	begin(c, phases[ev->phase], track ? 0 : ev->pid, track ? (ct_u32)ev->track : ev->tid);
	ex_fmt(c->o, ",\"ts\":%llu.%03llu", (unsigned long long)(ns / 1000), (unsigned long long)(ns % 1000));
	if (ev->phase == TK_COUNTER) {
		ex_fmt(c->o, ",\"name\":\"%s\",\"args\":{\"value\":%lld}}", track, (long long)ev->value);
		return;
	}
	ex_fmt(c->o, ",\"cat\":\"%s\"", ev->category);
	if (ev->function || ev->name) {
		const struct ct_name *fn = ev->function ? ex_name(c->src, CT_FUNCTIONS, ev->function) : NULL;

		ex_str(c->o, ",\"name\":");
		ex_json(c->o, fn ? fn->text : ev->name, fn ? fn->len : strlen(ev->name));
	}
	if (ev->phase == TK_INSTANT) /* as wide as its thread, or as all of the trace */
		ex_fmt(c->o, ",\"s\":\"%s\"", track ? "g" : "t");
	if (ev->nargs)
		put_args(c, ev);
	ex_str(c->o, "}");
}

int ex_chrome(const struct ct_export_source *src, const struct ct_export_options *opts, struct ex_out *o,
	      struct ct_error *err)
{
	struct chrome c = {.src = src, .o = o};
	const struct tk_writer w = {&c, put_process, put_thread, sequence, put};
	ct_u64 last_ns;

	ex_times(src, &c.first_ns, &last_ns);
	ex_str(o, "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"exporter\":\"ctbpf " CTBPF_VERSION "\",");
	ex_fmt(o, "\"start_monotonic_ns\":\"%llu\"},\"traceEvents\":[", (unsigned long long)c.first_ns);
	named(&c, "process_name", 0, 0, "recording", 9);
	for (unsigned i = TK_RUNNING; i <= TK_RECORDING; i++)
		named(&c, "thread_name", 0, i, tk_track_names[i], strlen(tk_track_names[i]));
	if (ex_tracks(src, opts, &w, err) < 0)
		return -1;
	ex_str(o, "\n]}\n");
	return 0;
}
