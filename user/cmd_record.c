// SPDX-License-Identifier: MIT
/* ctbpf record: refusing what cannot be done, the run, the summary. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/attach/survey.h"
#include "user/cmd.h"
#include "user/record_args.h"
#include "user/recorder_priv.h"

static const char help[] =
	"usage: ctbpf record -p PID[,PID...] [options]\n"
	"       ctbpf record --comm NAME | --cgroup PATH | --unit NAME | --container ID [options]\n"
	"       ctbpf record [options] -- COMMAND [ARGUMENT...]\n"
	"\n"
	"Records running processes, or a command from its first instruction, so that the run can be\n"
	"replayed bit by bit. The target is stopped for some milliseconds, runs on one CPU while it is\n"
	"recorded, and is left as it was. Children it makes meanwhile are recorded too.\n"
	"\n"
	"  -p, --pid PID[,PID...]  processes to attach to\n"
	"      --comm NAME         all processes of this name\n"
	"      --cgroup PATH       all processes in this control group, as /proc/PID/cgroup names it, and below it\n"
	"      --unit NAME         all processes of this systemd unit, like nginx.service\n"
	"      --container ID      all processes of the container whose id begins like this (at least 12 digits)\n"
	"  -o, --output DIR        where to write (default ./ctbpf-<comm>-<pid>-<utc>.ctr)\n"
	"  -d, --duration SECS     end after this time (default: Ctrl-C, or the targets' end); Ctrl-C ends a CMD\n"
	"                          too, -d lets it run on\n"
	"      --keep WHAT         record without an end and keep only the newest part: a time (90s, 10m, 2h), bytes "
	"on\n"
	"                          disk (500M, 2G), or both (give it twice; what is reached first counts)\n"
	"      --snapshot-every T  take a snapshot so often (default: with --keep as its limits, the amount of\n"
	"                          log and the length of a pause suggest; else none but the first and the last)\n"
	"      --incremental       copy only what has changed since the last one, where the kernel can tell: shorter\n"
	"                          stops for the later ones, a longer one for the first\n"
	"      --on-crash          when a signal ends a process: keep what is there as a recording of its own,\n"
	"                          DIR-crash-TIME.ctr, by hard links; likewise\n"
	"      --on-exit STATUS    when a process exits with this status; nonzero: with any but 0\n"
	"      --on-signal SIG     when this signal is delivered (may be given several times)\n"
	"      --on-log REGEX      when a process writes what matches (looks at the first 256 bytes of each write)\n"
	"      --on-latency F>T    when a call of the native function F (--lib says in which file) takes as long as "
	"T:\n"
	"                          'handle>50ms'\n"
	"      --post-trigger T    ... and what comes in this time after it\n"
	"      --trigger-limit T   at most one of these in this time (default 10s)\n"
	"      --no-replay         events only: no stop, no snapshot, no pinning; works for targets that\n"
	"                          cannot be replayed\n"
	"      --functions GLOB    with --no-replay: entry and exit of the native functions of these names, with\n"
	"                          their arguments; may be given several times; C++ and Rust names as in the source\n"
	"      --lib GLOB          in these files that the process has mapped (default: its program)\n"
	"      --calls[=LANG,...]  with --no-replay: every call of an interpreted function: python (3.8 to 3.14),\n"
	"                          ruby (3.1, 3.3), php (8.2), perl (5.36), lua (5.4.4), node (20; what V8\n"
	"                          interprets); sdk: what the program tells of itself (ctbpf.h); without LANG:\n"
	"                          what there is of these\n"
	"      --depth N           of these calls only those that no N others of them are around\n"
	"      --min-duration T    only calls that took as long: 10us, 1.5ms, 2s\n"
	"      --max-rate N        not more than N calls a second of each thread; the rest is counted\n"
	"      --max-overhead P    when the probes take more than P percent of the CPU time that the program uses\n"
	"                          itself, take them away for as long as it needs to be less again: a sample then;\n"
	"                          the log says from where to where there is nothing\n"
	"      --thread TID        only calls of this thread\n"
	"      --filter FILE       only calls of functions that this trace-filter file (TOML) wants traced\n"
	"      --redact REGEX      overwrite what matches with '*' before it is stored: in what calls read and write,\n"
	"                          in memory; may be given several times. Bytes are missing then: a replay goes\n"
	"                          another way where they matter, and is never VERIFIED\n"
	"      --redact-env NAME   likewise the value of this environment variable (* and ? stand for any letters)\n"
	"      --force             record although `ctbpf check` says that it cannot be replayed\n"
	"      --no-follow         do not record children\n"
	"      --max-processes N   of children beyond so many record the events only: they are not replayed\n"
	"      --cpu N             pin the target to this CPU (default: where it ran last)\n"
	"      --real-time         run it under SCHED_RR meanwhile: far fewer switches for programs with\n"
	"                          many threads, but it comes before everything else on that CPU\n"
	"      --clock CLOCK       how places in the run are numbered: auto (by the CPU's counter of branches, if\n"
	"                          it has one; default) or step (counted by single-stepping the target: some\n"
	"                          ten thousand instructions a second, for tests and small programs)\n"
	"      --segment-size SIZE start a new file after this much (default 256M)\n"
	"      --buffer SIZE       ring buffer between kernel and recorder (default 64M)\n"
	"      --compress C        zstd, zstd:LEVEL or none (default zstd:1)\n"
	"      --on-lost ACTION    when the buffer overflows: continue (with a new snapshot; default) or stop\n"
	"      --strict            exit with 4 if anything was lost\n"
	"      --verify            replay the recording at once and prove that it is the same; exit with 5 if\n"
	"                          it is not; with --keep each stretch while the recording goes on, at idle\n"
	"                          priority\n"
	"  -q, --quiet             say nothing but errors\n"
	"  -v, --verbose           say more\n"
	"      --json              print the summary as JSON\n"
	"  -h, --help              this text\n"
	"\n"
	"examples:\n"
	"  sudo ctbpf record -p $(pidof redis-server) -d 10 -o redis.ctr\n"
	"  sudo ctbpf record -o build.ctr -- make -C hello\n"
	"  sudo ctbpf record --no-replay -p 4242 && ctbpf dump ctbpf-*.ctr | less\n"
	"  sudo ctbpf record --no-replay --calls=python --functions 'SSL_*' --lib 'libssl*' -d 5 -p 4242\n"
	"\n"
	"exit status: 0 done, the command's own status with --, 1 failed (whatever the command's), 2 usage, 3 nothing "
	"attached,\n"
	"4 events lost (--strict), 5 not verified (--verify), 77 missing privilege or kernel feature\n";

static int refuse(struct ct_record_args *a, struct ct_error *err)
{
	for (size_t i = 0; i < a->npids; i++) {
		struct ct_findings f = {0};
		int ret = ct_survey_member(a->pids, a->npids, i, &f, err);

		if (!ret)
			ret = ct_survey_refusal(&f, a->pids[i], !a->o.no_replay && !a->o.force, err);
		ct_findings_deinit(&f);
		/* Of those that are meant by a name, one may be gone since they were looked for. */
		if (ret && a->match.kind && a->npids > 1 && !ct_process_lives(a->pids[i])) {
			a->pids[i--] = a->pids[--a->npids];
			a->o.npids = a->npids;
			ret = 0;
		}
		if (ret)
			return -1;
	}
	return 0;
}

/* The proof of what has just been recorded. Failing to give one is no verdict, and is said as such. */
static void prove(const struct ct_record_result *res, struct ct_verify_result *v)
{
	const struct ct_verify_opts opts = {.store = true, .proven = true};
	struct ct_error err = {0};

	if (ct_verify(res->path, &opts, v, &err)) {
		v->verdict = CT_VERIFY_FAILED;
		snprintf(v->why, sizeof(v->why), "%.399s", err.msg);
	}
}

/* `v` is NULL if no proof was asked for. */
static bool replayable(const struct ct_record_args *a, const struct ct_record_result *res)
{
	return !a->o.no_replay && !a->o.force && !res->lost && !res->redacted && !res->unsound[0];
}

/* Which calls were recorded, and what they cost where that is much. */
static void calls_summary(const struct ct_record_args *a, const struct ct_record_result *res)
{
	const struct ct_calls_stats *c = &res->calls;

	fprintf(stderr, "%llu calls of ", (unsigned long long)res->ncalls);
	if (a->calls.nfunctions)
		fprintf(stderr, "%zu functions in %zu file%s%s", c->functions, c->files, c->files == 1 ? "" : "s",
			c->interpreters[0] || c->told ? ", " : "");
	if (c->told)
		fprintf(stderr, "%zu file%s that tell%s of %s%s", c->told, c->told == 1 ? "" : "s",
			c->told == 1 ? "s" : "", c->told == 1 ? "itself" : "themselves",
			c->interpreters[0] ? ", " : "");
	fprintf(stderr, "%s; attached in %.0f ms, detached in %.0f ms\n", c->interpreters, c->attach_ms,
		res->detach_ms);
	if (c->part[0])
		fprintf(stderr, "not all calls: %s\n", c->part);
	if (c->stepped || c->returns)
		fprintf(stderr,
			"single-stepped, which costs some 10 us each: the entry of %zu of them, %zu instructions that "
			"leave functions where a return address must stay: exceptions may pass through, or stacks "
			"change\n",
			c->stepped, c->returns);
	if (c->stacks)
		fprintf(stderr, "the program changes stacks within a thread: calls may be taken for ended too early\n");
	if (c->endless)
		fprintf(stderr, "the end of %zu of them shows only in what is called next\n", c->endless);
	if (c->unprobed)
		fprintf(stderr, "%zu functions are not probed (%s)\n", c->unprobed, c->unprobed_name);
	if (res->pauses.count)
		fprintf(stderr, "calls are NOT recorded for %.2f s of it, in %llu pauses", res->pauses.off_ns / 1e9,
			(unsigned long long)res->pauses.count);
	if (res->pauses.overhead)
		fprintf(stderr, ", %llu for --max-overhead: a sample (the probes cost %.1f %% then)",
			(unsigned long long)res->pauses.overhead, (double)res->pauses.cost_ppm / 1e4);
	if (res->pauses.count)
		fputc('\n', stderr);
	if (res->orphans)
		fprintf(stderr, "%llu lines and values not recorded, since their calls are not\n",
			(unsigned long long)res->orphans);
	if (res->left_out)
		fprintf(stderr, "%llu calls NOT recorded (`ctbpf dump --type note` says why)\n",
			(unsigned long long)res->left_out);
}

static json_t *calls_json(const struct ct_record_result *res)
{
	const struct ct_calls_stats *c = &res->calls;

	return json_pack("{s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:f, s:f}", "calls",
			 (json_int_t)res->ncalls, "pauses", (json_int_t)res->pauses.count, "paused_s",
			 res->pauses.off_ns / 1e9, "left_out", (json_int_t)res->left_out, "functions",
			 (json_int_t)c->functions, "files", (json_int_t)c->files, "stepped_entries",
			 (json_int_t)c->stepped, "stepped_exits", (json_int_t)c->returns, "endless",
			 (json_int_t)c->endless, "unprobed", (json_int_t)c->unprobed, "interpreters", c->interpreters,
			 "attach_ms", c->attach_ms, "detach_ms", res->detach_ms);
}

static json_t *proven_json(const struct ct_proven *p)
{
	return json_pack("{s:I, s:I, s:I}", "verified", (json_int_t)p->verified, "refuted", (json_int_t)p->refuted,
			 "missed", (json_int_t)p->missed);
}

static void summary(const struct ct_record_args *a, const struct ct_record_result *res,
		    const struct ct_verify_result *v)
{
	if (a->json) {
		json_t *obj =
			json_pack("{s:s, s:I, s:I, s:I, s:f, s:f}", "path", res->path, "events",
				  (json_int_t)res->events, "bytes", (json_int_t)res->bytes, "lost",
				  (json_int_t)res->lost, "duration_s", res->duration_s, "pause_ms", res->pause_ms);

		json_object_set_new(obj, "replayable", json_boolean(replayable(a, res)));
		if (res->unsound[0])
			json_object_set_new(obj, "replayable_reason", json_string(res->unsound));
		if (v)
			json_object_set_new(obj, "verdict", json_string(ct_verdict_name(v->verdict)));
		if (v && v->why[0])
			json_object_set_new(obj, "not_verified", json_string(v->why));
		if (a->o.prove)
			json_object_set_new(obj, "proven", proven_json(&res->proven));

		if (a->o.calls)
			json_object_set_new(obj, "calls", calls_json(res));
		json_dumpf(obj, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(obj);
		return;
	}
	if (a->o.verbose < 0)
		return;
	fprintf(stderr, "recorded %.2f s: %llu events, %.1f MB, ", res->duration_s, (unsigned long long)res->events,
		res->bytes / 1e6);
	if (res->lost)
		fprintf(stderr, "%llu LOST (%s)", (unsigned long long)res->lost,
			res->write_failed ? "they could not be written" : "a larger --buffer helps");
	else
		fprintf(stderr, "none lost");
	if (!a->o.no_replay)
		fprintf(stderr, "; target stopped for %.1f ms", res->pause_ms);
	fputc('\n', stderr);
	if (a->o.calls)
		calls_summary(a, res);
	fprintf(stderr, "%s\n", res->path);
	if (res->redacted)
		fprintf(stderr, "--redact has overwritten bytes in %llu places: a replay may go another way\n",
			(unsigned long long)res->redacted);
	if (!a->o.no_replay && res->unsound[0])
		fprintf(stderr, "NOT all of it can be replayed: %s (`ctbpf info` says more)\n", res->unsound);
	if (a->o.prove) {
		fprintf(stderr,
			"while it was recorded: %llu stretches VERIFIED, %llu not, %llu gone before their turn\n",
			(unsigned long long)res->proven.verified, (unsigned long long)res->proven.refuted,
			(unsigned long long)res->proven.missed);
		if (res->proven.refuted)
			fprintf(stderr, "not verified: %s\n", res->proven.why);
	}
	if (v && v->verdict == CT_VERIFIED)
		fprintf(stderr, "VERIFIED, %zu stretch%s\n", v->stretches, v->stretches == 1 ? "" : "es");
	else if (v)
		fprintf(stderr, "%s: %s\n", ct_verdict_name(v->verdict), v->why);
}

/* What the recording itself ends with. */
static int record_status(const struct ct_record_args *a, const struct ct_record_result *res)
{
	if (a->o.strict && res->lost)
		return CT_EXIT_LOST;
	if (res->child_status >= 0)
		return WIFEXITED(res->child_status) ? WEXITSTATUS(res->child_status)
						    : 128 + WTERMSIG(res->child_status);
	return CT_EXIT_OK;
}

static int run(struct ct_record_args *a, char **argv, struct ct_error *err)
{
	struct ct_verify_result v = {0};
	struct ct_record_result res;
	int ret, status;

	if (a->o.step && a->o.verbose >= 0)
		fprintf(stderr,
			"--clock step: the target is single-stepped while it is recorded, thousands of times slower "
			"than it runs otherwise\n");
	ret = ct_record(&a->o, &res, err);

	if (!ret && a->verify)
		prove(&res, &v);
	if (res.path[0] && res.events)
		summary(a, &res, !ret && a->verify ? &v : NULL);
	status = ret ? ct_cmd_fail(argv, err) : record_status(a, &res);
	if (!ret && a->verify && v.verdict == CT_VERIFIED && res.proven.refuted) {
		/* What is kept is good; what was, was not. */
		status = CT_EXIT_DIVERGED;
		ct_fail(err, CT_EXIT_DIVERGED, "%s: not verified: %s", res.path, res.proven.why);
		if (a->json || a->o.verbose < 0)
			ct_cmd_fail(argv, err);
	}
	/* A proof was asked for: that there is none counts for more than the command's own status. */
	if (!ret && a->verify && v.verdict != CT_VERIFIED) {
		status = ct_verdict_status(v.verdict);
		ct_fail(err, (enum ct_exit)status, "%s: %s: %s", res.path, ct_verdict_name(v.verdict), v.why);
		if (a->json || a->o.verbose < 0)
			ct_cmd_fail(argv, err);
	}
	ct_verify_result_deinit(&v);
	return status;
}

int cmd_record(int argc, char **argv)
{
	struct ct_record_args a = {.o = {.trigger.every_ns = 10000000000ull,
					 .cpu = -1,
					 .follow = true,
					 .level = 1,
					 .ring_bytes = 64 << 20,
					 .segment_size = 256 << 20}};
	const char *globs[argc], *redact[argc], *redact_env[argc];
	struct ct_error err = {0};
	int ret;

	a.globs = globs;
	a.redact = redact;
	a.redact_env = redact_env;
	ret = ct_record_parse(&a, help, argc, argv);

	if (ret == -2) {
		ct_fail(&err, CT_EXIT_NOT_ATTACHED, "no process of the %s %s is running", ct_match_name(a.match.kind),
			a.match.what);
		ret = ct_cmd_fail(argv, &err);
	} else if (ret == -1) {
		if (geteuid()) {
			ct_fail(&err, CT_EXIT_MISSING,
				"recording needs root (CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and "
				"CAP_SYS_ADMIN): run it with sudo");
			ret = ct_cmd_fail(argv, &err);
		} else if (refuse(&a, &err)) {
			ret = ct_cmd_fail(argv, &err);
		} else {
			ret = run(&a, argv, &err);
		}
	}
	free(a.pids);
	ct_call_filter_free(a.rules);
	return ret;
}
