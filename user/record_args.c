// SPDX-License-Identifier: MIT
/* The options of ctbpf record: their table, and what goes together. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "user/cmd.h"
#include "user/record_args.h"
#include "formats/probe.h"

enum {
	OPT_COMM = 256, /* in the order of enum ct_match_kind */
	OPT_CGROUP,
	OPT_UNIT,
	OPT_CONTAINER,
	OPT_KEEP,
	OPT_SNAPSHOT,
	OPT_INCREMENTAL,
	OPT_ON_CRASH,
	OPT_ON_EXIT,
	OPT_ON_SIGNAL,
	OPT_ON_LOG,
	OPT_ON_LATENCY,
	OPT_POST,
	OPT_LIMIT,
	OPT_NO_REPLAY,
	OPT_FORCE,
	OPT_NO_FOLLOW,
	OPT_MAX_PROCESSES,
	OPT_CPU,
	OPT_RR,
	OPT_CLOCK,
	OPT_SEGMENT,
	OPT_BUFFER,
	OPT_COMPRESS,
	OPT_ON_LOST,
	OPT_STRICT,
	OPT_VERIFY,
	OPT_REDACT,
	OPT_REDACT_ENV,
	OPT_FUNCTIONS,
	OPT_LIB,
	OPT_CALLS,
	OPT_DEPTH,
	OPT_MIN_DURATION,
	OPT_MAX_RATE,
	OPT_MAX_OVERHEAD,
	OPT_THREAD,
	OPT_FILTER,
	OPT_JSON,
	OPT_HELP
};

static const struct option options[] = {
	{"pid", required_argument, NULL, 'p'},
	{"comm", required_argument, NULL, OPT_COMM},
	{"cgroup", required_argument, NULL, OPT_CGROUP},
	{"unit", required_argument, NULL, OPT_UNIT},
	{"container", required_argument, NULL, OPT_CONTAINER},
	{"output", required_argument, NULL, 'o'},
	{"duration", required_argument, NULL, 'd'},
	{"keep", required_argument, NULL, OPT_KEEP},
	{"snapshot-every", required_argument, NULL, OPT_SNAPSHOT},
	{"incremental", no_argument, NULL, OPT_INCREMENTAL},
	{"on-crash", no_argument, NULL, OPT_ON_CRASH},
	{"on-exit", required_argument, NULL, OPT_ON_EXIT},
	{"on-signal", required_argument, NULL, OPT_ON_SIGNAL},
	{"on-log", required_argument, NULL, OPT_ON_LOG},
	{"on-latency", required_argument, NULL, OPT_ON_LATENCY},
	{"post-trigger", required_argument, NULL, OPT_POST},
	{"trigger-limit", required_argument, NULL, OPT_LIMIT},
	{"no-replay", no_argument, NULL, OPT_NO_REPLAY},
	{"force", no_argument, NULL, OPT_FORCE},
	{"no-follow", no_argument, NULL, OPT_NO_FOLLOW},
	{"max-processes", required_argument, NULL, OPT_MAX_PROCESSES},
	{"cpu", required_argument, NULL, OPT_CPU},
	{"real-time", no_argument, NULL, OPT_RR},
	{"clock", required_argument, NULL, OPT_CLOCK},
	{"segment-size", required_argument, NULL, OPT_SEGMENT},
	{"buffer", required_argument, NULL, OPT_BUFFER},
	{"compress", required_argument, NULL, OPT_COMPRESS},
	{"on-lost", required_argument, NULL, OPT_ON_LOST},
	{"strict", no_argument, NULL, OPT_STRICT},
	{"verify", no_argument, NULL, OPT_VERIFY},
	{"redact", required_argument, NULL, OPT_REDACT},
	{"redact-env", required_argument, NULL, OPT_REDACT_ENV},
	{"functions", required_argument, NULL, OPT_FUNCTIONS},
	{"lib", required_argument, NULL, OPT_LIB},
	{"calls", optional_argument, NULL, OPT_CALLS},
	{"depth", required_argument, NULL, OPT_DEPTH},
	{"min-duration", required_argument, NULL, OPT_MIN_DURATION},
	{"max-rate", required_argument, NULL, OPT_MAX_RATE},
	{"max-overhead", required_argument, NULL, OPT_MAX_OVERHEAD},
	{"thread", required_argument, NULL, OPT_THREAD},
	{"filter", required_argument, NULL, OPT_FILTER},
	{"quiet", no_argument, NULL, 'q'},
	{"verbose", no_argument, NULL, 'v'},
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, OPT_HELP},
	{0},
};

static int add_pid(struct ct_record_args *a, pid_t pid)
{
	pid_t *more = realloc(a->pids, (a->npids + 1) * sizeof(*more));

	if (!more)
		return -1;
	a->pids = more;
	for (size_t i = 0; i < a->npids; i++)
		if (a->pids[i] == pid)
			return 0;
	a->pids[a->npids++] = pid;
	return 0;
}

static int parse_pids(struct ct_record_args *a, char *text)
{
	for (char *save = NULL, *p = strtok_r(text, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		unsigned long long pid;

		if (ct_parse_u64(p, 1, 1 << 30, &pid) || add_pid(a, (pid_t)pid))
			return -1;
	}
	return a->npids ? 0 : -1;
}

static bool any_language(const struct ct_calls_opts *c)
{
	bool any = c->python || c->ruby || c->told;

	for (size_t i = 0; i < CT_VMS; i++)
		any |= c->vm[i];
	return any;
}

/* -1: good; else the exit status. */
static int parse_languages(struct ct_record_args *a, const char *list, char **argv)
{
	enum { SDK, PYTHON, RUBY, VMS, LANGUAGES = VMS + CT_VMS };
	const char *names[LANGUAGES] = {"sdk", "python", "ruby"};
	bool *wanted[LANGUAGES] = {&a->calls.told, &a->calls.python, &a->calls.ruby};

	a->calls.any = !list;
	for (size_t i = 0; i < CT_VMS; i++) {
		names[VMS + i] = ct_vm_kinds[i].option;
		wanted[VMS + i] = &a->calls.vm[i];
	}
	for (size_t i = 0; i < LANGUAGES && !list; i++)
		*wanted[i] = true;
	while (list && *list) {
		size_t len = strcspn(list, ","), i = 0;

		while (i < LANGUAGES && (strlen(names[i]) != len || memcmp(names[i], list, len)))
			i++;
		if (i == LANGUAGES)
			return ct_cmd_usage(argv, "--calls takes python, ruby, php, perl, lua and sdk, not '%s'", list);
		*wanted[i] = true;
		list += len + (list[len] == ',');
	}
	return -1;
}

/* -1: it is one of those about calls, and good; -2: it is none of them; else the exit status. */
static int parse_calls(struct ct_record_args *a, int opt, char **argv)
{
	unsigned long long n;

	switch (opt) {
	case OPT_FUNCTIONS: a->globs[a->calls.nfunctions++] = optarg; return -1;
	case OPT_LIB: a->calls.lib = optarg; return -1;
	case OPT_CALLS: return parse_languages(a, optarg, argv);
	case OPT_DEPTH:
		if (ct_parse_u64(optarg, 1, CT_CALL_DEPTH, &n))
			return ct_cmd_usage(argv, "--depth takes a number from 1 to %d, not '%s'", CT_CALL_DEPTH,
					    optarg);
		a->calls.depth = (unsigned)n;
		return -1;
	case OPT_MIN_DURATION:
		if (ct_parse_duration(optarg, &a->calls.min_ns))
			return ct_cmd_usage(argv, "--min-duration takes a time like 10us, 1.5ms or 2s, not '%s'",
					    optarg);
		return -1;
	case OPT_MAX_RATE:
		if (ct_parse_u64(optarg, 1, 1ull << 40, &n))
			return ct_cmd_usage(argv, "--max-rate takes a number of calls, not '%s'", optarg);
		a->calls.max_rate = n;
		return -1;
	case OPT_MAX_OVERHEAD:
		if (ct_parse_percent(optarg, &a->calls.max_overhead))
			return ct_cmd_usage(argv, "--max-overhead takes 0.1%% to 1000%%, not '%s'", optarg);
		return -1;
	case OPT_THREAD:
		if (ct_parse_u64(optarg, 1, 1 << 30, &n))
			return ct_cmd_usage(argv, "--thread takes the id of a thread, not '%s'", optarg);
		a->calls.tid = (pid_t)n;
		return -1;
	case OPT_FILTER: a->filter = optarg; return -1;
	default: return -2;
	}
}

static int check_calls(struct ct_record_args *a, char **argv)
{
	const struct ct_calls_opts *c = &a->calls;

	a->calls.functions = a->globs;
	a->o.trigger.slow_lib = c->lib;
	if (c->lib && !c->nfunctions && !a->o.trigger.slow)
		return ct_cmd_usage(argv, "--lib says where the functions of --functions and --on-latency are");
	if (!c->nfunctions && !any_language(c))
		return c->depth || c->min_ns || c->max_rate || c->max_overhead > 0 || c->tid || a->filter
			       ? ct_cmd_usage(argv, "give --functions or --calls, too")
			       : -1;
	if (!a->o.no_replay)
		return ct_cmd_usage(argv, "--functions and --calls need --no-replay: of a recording that can be "
					  "replayed `ctbpf index` tells every call");
	if (any_language(c) && a->o.command)
		return ct_cmd_usage(argv, "--calls needs a program that has started: run the command first, then "
					  "give -p PID");
	if (a->filter) {
		struct ct_error err = {0};

		a->rules = ct_call_filter_read(a->filter, &err);
		if (!a->rules)
			return ct_cmd_fail(argv, &err);
		a->calls.filter = a->rules;
		a->calls.filter_path = a->filter;
	}
	a->o.calls = c;
	return -1;
}

int ct_record_parse(struct ct_record_args *a, const char *help, int argc, char **argv)
{
	unsigned long long n;
	int opt, status = -1;
	ct_u64 size;
	char *end;

	while ((opt = getopt_long(argc, argv, "+p:o:d:qvh", options, NULL)) != -1) {
		switch (opt) {
		case 'p':
			if (parse_pids(a, optarg))
				return ct_cmd_usage(argv, "-p takes process ids separated by commas");
			break;
		case OPT_COMM:
		case OPT_CGROUP:
		case OPT_UNIT:
		case OPT_CONTAINER:
			if (a->match.kind)
				return ct_cmd_usage(argv, "give one of --comm, --cgroup, --unit, --container");
			a->match = (struct ct_match){CT_MATCH_COMM + (opt - OPT_COMM), optarg};
			if (!ct_match_ok(&a->match))
				return ct_cmd_usage(argv, "--%s: there can be none such as '%s'",
						    ct_match_name(a->match.kind), optarg);
			break;
		case 'o':
			if (!*optarg)
				return ct_cmd_usage(argv, "-o takes the name of a new directory");
			a->o.output = optarg;
			break;
		case 'd':
			a->o.duration_s = strtod(optarg, &end);
			if (end == optarg || *end || !(a->o.duration_s > 0 && a->o.duration_s < 1e9))
				return ct_cmd_usage(argv, "-d takes a number of seconds, not '%s'", optarg);
			break;
		case OPT_KEEP:
			if (ct_parse_keep(&a->o, optarg))
				return ct_cmd_usage(
					argv, "--keep takes a time (90s, 10m, 2h) or at least 16M, not '%s'", optarg);
			break;
		case OPT_SNAPSHOT:
			if (ct_parse_time(optarg, &a->o.snapshot_ns))
				return ct_cmd_usage(argv, "--snapshot-every takes a time (500ms, 10s, 1m), not '%s'",
						    optarg);
			break;
		case OPT_INCREMENTAL: a->o.incremental = true; break;
		case OPT_ON_CRASH: a->o.trigger.crash = true; break;
		case OPT_ON_LOG: a->o.trigger.log = optarg; break;
		case OPT_ON_LATENCY:
			if (ct_parse_latency(&a->o.trigger, optarg))
				return ct_cmd_usage(
					argv, "--on-latency takes FUNCTION>TIME, like 'handle>50ms', not '%s'", optarg);
			break;
		case OPT_ON_EXIT:
			if (ct_parse_exit(optarg, &a->o.trigger))
				return ct_cmd_usage(argv, "--on-exit takes 0 to 255 or nonzero, not '%s'", optarg);
			break;
		case OPT_ON_SIGNAL:
			if (ct_parse_signal(optarg, &a->o.trigger.signals))
				return ct_cmd_usage(argv, "--on-signal takes a signal (USR1, 10), not '%s'", optarg);
			break;
		case OPT_POST:
		case OPT_LIMIT:
			if (ct_parse_time(optarg, opt == OPT_POST ? &a->o.trigger.post_ns : &a->o.trigger.every_ns))
				return ct_cmd_usage(argv, "--%s takes a time (500ms, 10s, 1m), not '%s'",
						    opt == OPT_POST ? "post-trigger" : "trigger-limit", optarg);
			break;
		case OPT_NO_REPLAY: a->o.no_replay = true; break;
		case OPT_FORCE: a->o.force = true; break;
		case OPT_NO_FOLLOW: a->o.follow = false; break;
		case OPT_MAX_PROCESSES:
			if (ct_parse_u64(optarg, 1, CT_MAX_PROCS, &n))
				return ct_cmd_usage(argv, "--max-processes takes a number from 1 to %d, not '%s'",
						    CT_MAX_PROCS, optarg);
			a->o.max_processes = (ct_u32)n;
			break;
		case OPT_RR: a->o.real_time = true; break;
		case OPT_CPU:
			if (ct_parse_u64(optarg, 0, 1023, &n))
				return ct_cmd_usage(argv, "--cpu takes the number of a CPU, not '%s'", optarg);
			a->o.cpu = (int)n;
			break;
		case OPT_CLOCK:
			if (strcmp(optarg, "auto") && strcmp(optarg, "step"))
				return ct_cmd_usage(argv, "--clock takes auto or step, not '%s'", optarg);
			a->o.step = !strcmp(optarg, "step");
			break;
		case OPT_SEGMENT:
			if (ct_parse_size(optarg, 1 << 20, 1ull << 40, &a->o.segment_size))
				return ct_cmd_usage(argv, "--segment-size takes 1M to 1T, not '%s'", optarg);
			break;
		case OPT_BUFFER:
			if (ct_parse_size(optarg, 1 << 20, 1ull << 30, &size))
				return ct_cmd_usage(argv, "--buffer takes 1M to 1G, not '%s'", optarg);
			a->o.ring_bytes = size;
			break;
		case OPT_COMPRESS:
			if (ct_parse_compress(optarg, &a->o.level))
				return ct_cmd_usage(argv, "--compress takes zstd, zstd:1 to zstd:19, or none, not '%s'",
						    optarg);
			break;
		case OPT_ON_LOST:
			if (strcmp(optarg, "stop") && strcmp(optarg, "continue"))
				return ct_cmd_usage(argv, "--on-lost takes stop or continue, not '%s'", optarg);
			a->o.stop_on_loss = !strcmp(optarg, "stop");
			break;
		case OPT_REDACT: a->redact[a->o.nredact++] = optarg; break;
		case OPT_REDACT_ENV: a->redact_env[a->o.nredact_env++] = optarg; break;
		case OPT_STRICT: a->o.strict = true; break;
		case OPT_VERIFY: a->verify = true; break;
		case 'q': a->o.verbose = -1; break;
		case 'v': a->o.verbose = 1; break;
		case OPT_JSON: a->json = true; break;
		case 'h':
		case OPT_HELP: return ct_cmd_help(help);
		default:
			status = parse_calls(a, opt, argv);
			if (status >= -1)
				break;
			return ct_cmd_usage(argv, NULL);
		}
		if (status >= 0)
			return status;
	}
	if (optind < argc)
		a->o.command = argv + optind;
	if (!!a->npids + !!a->match.kind + !!a->o.command != 1)
		return ct_cmd_usage(argv, "%s",
				    a->npids && a->o.command && ct_parse_u64(*a->o.command, 1, 1 << 30, &n) == 0
					    ? "several processes are separated by commas: -p PID,PID"
					    : "give one of -p PID, --comm NAME, --cgroup PATH, --unit NAME, "
					      "--container ID, or -- COMMAND");
	if (a->verify && a->o.no_replay)
		return ct_cmd_usage(argv, "--verify has nothing to replay in a recording with --no-replay");
	a->o.redact = a->redact;
	a->o.redact_env = a->redact_env;
	if ((a->o.nredact || a->o.nredact_env) && (a->verify || a->calls.nfunctions || any_language(&a->calls)))
		return ct_cmd_usage(argv,
				    a->verify ? "--verify cannot prove a recording of which --redact takes bytes away"
					      : "--redact does not look into calls: give it without --functions and "
						"--calls");
	if (a->o.max_processes && a->o.no_replay)
		return ct_cmd_usage(argv, "--max-processes has nothing to limit in a recording with --no-replay");
	if (a->o.step && a->o.no_replay)
		return ct_cmd_usage(argv, "--clock has nothing to number in a recording with --no-replay");
	status = check_calls(a, argv);
	if (status >= 0)
		return status;
	if (a->o.no_replay && (a->o.keep_ns || a->o.keep_bytes || a->o.snapshot_ns || a->o.trigger.crash ||
			       a->o.trigger.exits || a->o.trigger.signals || a->o.trigger.log || a->o.trigger.slow))
		return ct_cmd_usage(argv,
				    "--keep, --snapshot-every and --on-... need snapshots, which --no-replay does "
				    "without");
	if (a->match.kind && (ct_match_find(&a->match, &a->pids, &a->npids) || !a->npids))
		return -2;
	a->o.prove = a->verify && (a->o.keep_ns || a->o.keep_bytes);
	a->o.pids = a->pids;
	a->o.npids = a->npids;
	return -1;
}
