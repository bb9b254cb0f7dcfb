/* SPDX-License-Identifier: MIT
 * ctbpf info: what is in a recording, and whether it can be replayed.
 *
 * Everything comes from the manifest and one pass over the block indexes (ct_recording_summary). */
#include <getopt.h>

#include "../formats/event_access.h"
#include "cmd.h"
#include "out.h"
#include "recinfo.h"

#define CT_TYPES (sizeof(((struct ct_summary *)0)->per_type) / sizeof(ct_u64))

static const char help[] =
	"usage: ctbpf info [--json] RECORDING...\n"
	"\n"
	"Summarise recordings: whether they are complete and can be replayed (and why not), how long they are,\n"
	"what they hold, where and when they were made.\n"
	"\n"
	"options:\n"
	"  --json      one JSON object a line\n"
	"  -h, --help  this text\n"
	"\n"
	"examples:\n"
	"  ctbpf info redis.ctr\n"
	"  ctbpf info --json redis.ctr | jq '.events, .lost, .replayable'\n"
	"\n"
	"exit codes: 0 all could be read, 1 one could not, 2 wrong usage\n";

static const char *position(char buf[CT_HUMAN], ct_u64 seq)
{
	snprintf(buf, CT_HUMAN, "e:%llu", (unsigned long long)seq);
	return buf;
}

/* ---- JSON ---- */

static void info_json(struct ct_out *out, const struct ct_recinfo *info)
{
	const struct ct_summary *sum = &info->sum;
	char started[CT_HUMAN], buf[CT_HUMAN];
	ct_json_open(out, NULL, '{');
	ct_json_str(out, "path", info->path);
	ct_json_str(out, "uuid", info->uuid);
	ct_json_str(out, "state", info->state);
	ct_json_bool(out, "replayable", sum->replayable);
	ct_json_str(out, "replayable_reason", sum->replayable ? NULL : sum->reason);
	ct_json_str(out, "verdict", info->verdict);
	ct_json_str(out, "verified_at", info->verified_at);
	if (info->has_proven) {
		ct_json_open(out, "proven", '{');
		ct_json_u64(out, "verified", info->proven);
		ct_json_u64(out, "refuted", info->refuted);
		ct_json_u64(out, "missed", info->missed);
		ct_json_str(out, "why", info->refuted_why);
		ct_json_close(out, '}');
	}
	ct_json_u64(out, "lost", sum->lost);
	ct_json_u64(out, "events", sum->events);
	ct_json_u64(out, "bytes", sum->bytes);
	ct_json_u64(out, "raw_bytes", sum->raw_bytes);
	ct_json_double(out, "duration_s", info->duration_s, 6);
	ct_json_str(out, "first_pos", sum->events ? position(buf, sum->first_seq) : NULL);
	ct_json_str(out, "last_pos", sum->events ? position(buf, sum->last_seq) : NULL);
	if (info->kept_from)
		ct_json_u64(out, "kept_from", info->kept_from);
	else
		ct_json_null(out, "kept_from");
	ct_json_str(out, "trigger", info->trigger);
	ct_json_str(out, "trigger_reason", info->trigger_reason);
	ct_json_str(out, "trigger_pos", info->trigger_seq ? position(buf, info->trigger_seq) : NULL);
	if (info->has_pause)
		ct_json_double(out, "pause_ms", info->pause_ms, 3);
	else
		ct_json_null(out, "pause_ms");
	if (info->has_pauses) {
		ct_json_open(out, "pauses", '{');
		ct_json_u64(out, "count", info->pauses);
		ct_json_u64(out, "overhead", info->overhead_pauses);
		ct_json_double(out, "s", info->paused_s, 6);
		ct_json_close(out, '}');
	}
	ct_json_u64(out, "threads", sum->threads);
	ct_json_u64(out, "processes", sum->processes);
	ct_json_u64(out, "events_only", sum->events_only);
	ct_json_u64(out, "segments", sum->segments);
	ct_json_u64(out, "snapshots", sum->snapshots);
	ct_json_u64(out, "stretches", sum->stretches);
	ct_json_u64(out, "sound_stretches", sum->sound_stretches);
	ct_json_u64(out, "unsound", sum->unsound);
	ct_json_u64(out, "repaired_switches", sum->repaired_switches);
	ct_json_u64(out, "damaged_blocks", sum->damaged_blocks);
	ct_json_str(out, "host", info->host);
	ct_json_str(out, "kernel", info->kernel);
	ct_json_str(out, "cpu", info->cpu);
	ct_json_open(out, "target", '{');
	ct_json_u64(out, "pid", info->target_pid);
	ct_json_str(out, "comm", info->target_comm);
	ct_json_str(out, "exe", info->target_exe);
	ct_json_close(out, '}');
	ct_json_str(out, "started", info->started_ns ? ct_human_time(started, info->started_ns, true) : NULL);
	if (info->has_stats) {
		ct_json_double(out, "recorder_cpu_s", info->recorder_cpu_s, 3);
		ct_json_u64(out, "recorder_rss_bytes", info->recorder_rss);
	} else {
		ct_json_null(out, "recorder_cpu_s");
		ct_json_null(out, "recorder_rss_bytes");
	}
	ct_json_open(out, "events_by_type", '{');
	for (unsigned type = 0; type < CT_TYPES; type++) {
		const char *name = ct_event_type_name(type);
		if (name && sum->per_type[type])
			ct_json_u64(out, name, sum->per_type[type]);
	}
	ct_json_close(out, '}');
	if (ct_recording_error(info->rec))
		ct_json_str(out, "error", ct_recording_error(info->rec));
	ct_json_open(out, "problems", '[');
	const char *problem;
	for (size_t i = 0; (problem = ct_recording_problem(info->rec, i)); i++)
		ct_json_str(out, NULL, problem);
	ct_json_close(out, ']');
	ct_json_close(out, '}');
	ct_json_line(out);
}

/* ---- Text ---- */

static void field(struct ct_out *out, const char *name)
{
	ct_out_fmt(out, "  %-10s", name);
}

static const char *plural(ct_u64 count, const char *ending)
{
	return count == 1 ? "" : ending;
}

static void text_verdict(struct ct_out *out, const struct ct_recinfo *info)
{
	enum ct_recording_state state = ct_recording_state(info->rec);
	ct_out_fmt(out, "%s: %s", info->path, info->state);
	if (state == CT_REC_RECORDING)
		ct_out_str(out, " (still growing)");
	else if (state == CT_REC_RECOVERED)
		ct_out_str(out, " (its recorder did not end it)");
	if (info->sum.replayable)
		ct_out_str(out, ", replayable\n");
	else
		ct_out_fmt(out, ", not replayable: %s\n",
			   info->sum.reason[0] ? info->sum.reason : "no reason is known");
}

static void text_origin(struct ct_out *out, const struct ct_recinfo *info)
{
	char buf[CT_HUMAN];
	field(out, "target");
	ct_out_fmt(out, "%s, pid %llu%s%s\n", info->target_comm ? info->target_comm : "unknown",
		   (unsigned long long)info->target_pid, info->target_exe ? ", " : "",
		   info->target_exe ? info->target_exe : "");
	field(out, "made");
	ct_out_fmt(out, "%s%s on %s, Linux %s%s%s\n", ct_human_time(buf, info->started_ns, false),
		   info->started_ns ? " UTC" : "", info->host ? info->host : "an unknown host",
		   info->kernel ? info->kernel : "?", info->cpu ? ", " : "", info->cpu ? info->cpu : "");
}

static void text_amounts(struct ct_out *out, const struct ct_recinfo *info)
{
	const struct ct_summary *sum = &info->sum;
	char a[CT_HUMAN], b[CT_HUMAN];
	field(out, "length");
	ct_out_str(out, ct_human_seconds(a, info->duration_s));
	if (info->pause_ms > 0) /* 0 until the recorder has written the end */
		ct_out_fmt(out, "; attaching paused the target for %s", ct_human_seconds(a, info->pause_ms / 1e3));
	ct_out_char(out, '\n');
	if (info->trigger) {
		field(out, "trigger");
		ct_out_fmt(out, "%s: %s", info->trigger, info->trigger_reason ? info->trigger_reason : "?");
		if (info->trigger_seq)
			ct_out_fmt(out, ", at %s", position(a, info->trigger_seq));
		ct_out_char(out, '\n');
	}
	if (info->kept_from) {
		field(out, "kept");
		ct_out_fmt(out, "%s to ", position(a, sum->first_seq));
		ct_out_fmt(out, "%s, from snapshot %llu on; what was before has been let go\n",
			   position(a, sum->last_seq), (unsigned long long)info->kept_from);
	}
	field(out, "events");
	ct_out_str(out, ct_human_count(a, sum->events));
	if (info->duration_s > 0)
		ct_out_fmt(out, " (%s/s)", ct_human_count(a, (ct_u64)((double)sum->events / info->duration_s)));
	ct_out_fmt(out, ", %s lost\n", ct_human_count(a, sum->lost));
	field(out, "size");
	ct_out_fmt(out, "%s stored of %s", ct_human_bytes(a, sum->bytes), ct_human_bytes(b, sum->raw_bytes));
	if (sum->events)
		ct_out_fmt(out, ", %.1f bytes an event", (double)sum->bytes / (double)sum->events);
	ct_out_fmt(out, "; %u segment%s, %u snapshot%s\n", sum->segments, plural(sum->segments, "s"), sum->snapshots,
		   plural(sum->snapshots, "s"));
	field(out, "stretches");
	ct_out_fmt(out, "%u from snapshot to snapshot, %u sound\n", sum->stretches, sum->sound_stretches);
	if (info->verdict) {
		field(out, "verify");
		ct_out_fmt(out, "%s on %s%s\n", info->verdict, info->verified_at ? info->verified_at : "an unknown day",
			   ct_recording_problem(info->rec, 0) ? ", before the problems below" : "");
	}
	if (info->has_proven) {
		field(out, "proven");
		ct_out_fmt(
			out,
			"%llu stretch%s while recorded, %llu found NOT to be the same, %llu gone before their turn\n",
			(unsigned long long)info->proven, plural(info->proven, "es"), (unsigned long long)info->refuted,
			(unsigned long long)info->missed);
		if (info->refuted_why) {
			field(out, "");
			ct_out_fmt(out, "the last: %s\n", info->refuted_why);
		}
	}
	if (info->has_pauses) {
		field(out, "calls");
		ct_out_fmt(out, "NOT recorded for %s of it, in %llu pause%s, %llu of them for --max-overhead\n",
			   ct_human_seconds(a, info->paused_s), (unsigned long long)info->pauses,
			   plural(info->pauses, "s"), (unsigned long long)info->overhead_pauses);
	}
	field(out, "threads");
	ct_out_fmt(out, "%u in %u process%s\n", sum->threads, sum->processes, plural(sum->processes, "es"));
	field(out, "by type");
	const char *separator = "";
	for (unsigned type = 0; type < CT_TYPES; type++) {
		const char *name = ct_event_type_name(type);
		if (name && sum->per_type[type]) {
			ct_out_fmt(out, "%s%s %s", separator, name, ct_human_count(a, sum->per_type[type]));
			separator = ", ";
		}
	}
	ct_out_str(out, *separator ? "\n" : "none\n");
	if (info->has_stats) {
		field(out, "recorder");
		ct_out_fmt(out, "%.2f s of CPU, %s of memory\n", info->recorder_cpu_s,
			   ct_human_bytes(a, info->recorder_rss));
	}
}

static void text_problems(struct ct_out *out, const struct ct_recinfo *info)
{
	const struct ct_summary *sum = &info->sum;
	if (sum->events_only) {
		field(out, "note");
		ct_out_fmt(
			out,
			"of %u process%s beyond --max-processes only the events are recorded: they are not replayed\n",
			sum->events_only, plural(sum->events_only, "es"));
	}
	if (ct_recording_error(info->rec)) {
		field(out, "ended");
		ct_out_fmt(out, "by an error: %s\n", ct_recording_error(info->rec));
	}
	if (sum->unsound) {
		field(out, "note");
		ct_out_fmt(out, "unsound from %u event%s on; `ctbpf dump --type unsound` says where and why\n",
			   sum->unsound, plural(sum->unsound, "s"));
	}
	if (sum->repaired_switches) {
		field(out, "note");
		ct_out_fmt(out, "%u thread switch%s not reported by the kernel, made up from the next event\n",
			   sum->repaired_switches, plural(sum->repaired_switches, "es"));
	}
	if (sum->damaged_blocks) {
		field(out, "problem");
		ct_out_fmt(out, "%u damaged block%s, left out of the counts above\n", sum->damaged_blocks,
			   plural(sum->damaged_blocks, "s"));
	}
	const char *problem;
	for (size_t i = 0; (problem = ct_recording_problem(info->rec, i)); i++) {
		field(out, "problem");
		ct_out_fmt(out, "%s\n", problem);
	}
}

static int info_one(struct ct_out *out, const char *path, bool json, struct ct_error *err)
{
	struct ct_recinfo info;
	int ret = ct_recinfo_open(&info, path, err);
	if (ret < 0)
		return ret;
	if (json) {
		info_json(out, &info);
	} else {
		text_verdict(out, &info);
		text_origin(out, &info);
		text_amounts(out, &info);
		text_problems(out, &info);
	}
	ct_recinfo_close(&info);
	return ret;
}

int cmd_info(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	bool json = false;
	int opt;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case 'j': json = true; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (optind == argc)
		return ct_cmd_usage(argv, "name a recording (a directory NAME.ctr)");

	int ret = CT_EXIT_OK;
	struct ct_out out;
	ct_cmd_open(&out);
	for (int i = optind; i < argc; i++) {
		struct ct_error err = {0};
		if (i > optind && !json)
			ct_out_char(&out, '\n');
		if (info_one(&out, argv[i], json, &err) < 0) {
			ct_out_flush(&out);
			ct_cmd_fail(argv, &err);
			ret = CT_EXIT_FAILED;
		}
	}
	return ct_cmd_close(argv, &out, ret);
}
