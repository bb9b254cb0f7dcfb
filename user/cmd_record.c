// SPDX-License-Identifier: MIT
/* ctbpf record: options, finding the targets, refusing what cannot be done, the summary. */
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay/tracee.h"
#include "user/attach/survey.h"
#include "user/cmd.h"
#include "user/processes.h"
#include "user/recorder.h"
#include "user/verify.h"

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
	"      --on-crash          when a signal ends a process: keep what is there as a recording of its own,\n"
	"                          DIR-crash-TIME.ctr, by hard links; likewise\n"
	"      --on-exit STATUS    when a process exits with this status; nonzero: with any but 0\n"
	"      --on-signal SIG     when this signal is delivered (may be given several times)\n"
	"      --on-log REGEX      when a process writes what matches (looks at the first 256 bytes of each write)\n"
	"      --post-trigger T    ... and what comes in this time after it\n"
	"      --trigger-limit T   at most one of these in this time (default 10s)\n"
	"      --no-replay         events only: no stop, no snapshot, no pinning; works for targets that\n"
	"                          cannot be replayed\n"
	"      --functions GLOB    with --no-replay: entry and exit of the native functions of these names, with\n"
	"                          their arguments; may be given several times; C++ and Rust names as in the source\n"
	"      --lib GLOB          in these files that the process has mapped (default: its program)\n"
	"      --calls[=LANG,...]  with --no-replay: every call of an interpreted function: python (3.11 to 3.14); "
	"sdk:\n"
	"                          what the program tells of itself (ctbpf.h); without LANG: what there is of both\n"
	"      --depth N           of these calls only those that no N others of them are around\n"
	"      --min-duration T    only calls that took as long: 10us, 1.5ms, 2s\n"
	"      --max-rate N        not more than N calls a second of each thread; the rest is counted\n"
	"      --thread TID        only calls of this thread\n"
	"      --force             record although `ctbpf check` says that it cannot be replayed\n"
	"      --no-follow         do not record children\n"
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
	"                          it is not\n"
	"  -q, --quiet             say nothing but errors\n"
	"  -v, --verbose           say more\n"
	"      --json              print the summary as JSON\n"
	"      --help              this text\n"
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

enum {
	OPT_COMM = 256, /* in the order of enum ct_match_kind */
	OPT_CGROUP,
	OPT_UNIT,
	OPT_CONTAINER,
	OPT_KEEP,
	OPT_SNAPSHOT,
	OPT_ON_CRASH,
	OPT_ON_EXIT,
	OPT_ON_SIGNAL,
	OPT_ON_LOG,
	OPT_POST,
	OPT_LIMIT,
	OPT_NO_REPLAY,
	OPT_FORCE,
	OPT_NO_FOLLOW,
	OPT_CPU,
	OPT_RR,
	OPT_CLOCK,
	OPT_SEGMENT,
	OPT_BUFFER,
	OPT_COMPRESS,
	OPT_ON_LOST,
	OPT_STRICT,
	OPT_VERIFY,
	OPT_FUNCTIONS,
	OPT_LIB,
	OPT_CALLS,
	OPT_DEPTH,
	OPT_MIN_DURATION,
	OPT_MAX_RATE,
	OPT_THREAD,
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
	{"on-crash", no_argument, NULL, OPT_ON_CRASH},
	{"on-exit", required_argument, NULL, OPT_ON_EXIT},
	{"on-signal", required_argument, NULL, OPT_ON_SIGNAL},
	{"on-log", required_argument, NULL, OPT_ON_LOG},
	{"post-trigger", required_argument, NULL, OPT_POST},
	{"trigger-limit", required_argument, NULL, OPT_LIMIT},
	{"no-replay", no_argument, NULL, OPT_NO_REPLAY},
	{"force", no_argument, NULL, OPT_FORCE},
	{"no-follow", no_argument, NULL, OPT_NO_FOLLOW},
	{"cpu", required_argument, NULL, OPT_CPU},
	{"real-time", no_argument, NULL, OPT_RR},
	{"clock", required_argument, NULL, OPT_CLOCK},
	{"segment-size", required_argument, NULL, OPT_SEGMENT},
	{"buffer", required_argument, NULL, OPT_BUFFER},
	{"compress", required_argument, NULL, OPT_COMPRESS},
	{"on-lost", required_argument, NULL, OPT_ON_LOST},
	{"strict", no_argument, NULL, OPT_STRICT},
	{"verify", no_argument, NULL, OPT_VERIFY},
	{"functions", required_argument, NULL, OPT_FUNCTIONS},
	{"lib", required_argument, NULL, OPT_LIB},
	{"calls", optional_argument, NULL, OPT_CALLS},
	{"depth", required_argument, NULL, OPT_DEPTH},
	{"min-duration", required_argument, NULL, OPT_MIN_DURATION},
	{"max-rate", required_argument, NULL, OPT_MAX_RATE},
	{"thread", required_argument, NULL, OPT_THREAD},
	{"quiet", no_argument, NULL, 'q'},
	{"verbose", no_argument, NULL, 'v'},
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, OPT_HELP},
	{0},
};

struct args {
	struct ct_record_opts o;
	pid_t *pids;
	size_t npids;
	struct ct_match match;
	bool json, verify;
	struct ct_calls_opts calls;
	const char **globs; /* room for as many as there are arguments */
};

/* "64M", "1G", "4096"; -1 if it is not a size within [min, max]. */
static int parse_size(const char *text, ct_u64 min, ct_u64 max, ct_u64 *out)
{
	char *end;
	double v = strtod(text, &end);

	switch (*end) {
	case 'k':
	case 'K': v *= 1 << 10, end++; break;
	case 'm':
	case 'M': v *= 1 << 20, end++; break;
	case 'g':
	case 'G': v *= 1 << 30, end++; break;
	case 'T': v *= 1ull << 40, end++; break;
	}
	if (end == text || *end || !(v >= (double)min && v <= (double)max))
		return -1;
	*out = (ct_u64)v;
	return 0;
}

/* "500ms", "90s", "10m", "2h"; -1 if it is not a time of a hundred milliseconds to a year. */
static int parse_time(const char *text, ct_u64 *ns)
{
	static const struct {
		const char *unit;
		double s;
	} units[] = {{"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
	char *end;
	double v = strtod(text, &end), s = 0;

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (end != text && !strcmp(end, units[i].unit))
			s = v * units[i].s;
	if (!(s >= 0.1 && s <= 86400 * 366.0))
		return -1;
	*ns = (ct_u64)(s * 1e9);
	return 0;
}

/* Here M are megabytes and m minutes. */
static int parse_keep(struct ct_record_opts *o, const char *text)
{
	const char *end = text + strspn(text, "0123456789.");

	if (*end && strchr("KMGT", *end))
		return parse_size(text, 16 << 20, 1ull << 50, &o->keep_bytes);
	return parse_time(text, &o->keep_ns);
}

/* "SEGV", "SIGSEGV", "11". */
static int parse_signal(const char *text, ct_u64 *signals)
{
	const char *name = strncmp(text, "SIG", 3) ? text : text + 3;
	unsigned long long n = 0;

	if (ct_parse_u64(text, 1, 64, &n)) {
		for (n = 1; n <= 64; n++)
			if (sigabbrev_np((int)n) && !strcmp(sigabbrev_np((int)n), name))
				break;
	}
	if (n > 64)
		return -1;
	*signals |= 1ull << (n - 1);
	return 0;
}

static int parse_exit(const char *text, struct ct_trigger_opts *t)
{
	unsigned long long n;

	t->exits = true;
	t->exit_status = -1;
	if (!strcmp(text, "nonzero"))
		return 0;
	if (ct_parse_u64(text, 0, 255, &n))
		return -1;
	t->exit_status = (int)n;
	return 0;
}

static int add_pid(struct args *a, pid_t pid)
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

static int parse_pids(struct args *a, char *text)
{
	for (char *save = NULL, *p = strtok_r(text, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		unsigned long long pid;

		if (ct_parse_u64(p, 1, 1 << 30, &pid) || add_pid(a, (pid_t)pid))
			return -1;
	}
	return a->npids ? 0 : -1;
}

static int parse_compress(const char *text, int *level)
{
	unsigned long long n = 1;

	if (!strcmp(text, "none")) {
		*level = 0;
		return 0;
	}
	if (strncmp(text, "zstd", 4) || (text[4] && (text[4] != ':' || ct_parse_u64(text + 5, 1, 19, &n))))
		return -1;
	*level = (int)n;
	return 0;
}

/* "10us", "1.5ms", "2s"; -1 if it is no time. */
static int parse_duration(const char *text, ct_u64 *ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
	char *end;
	double v = strtod(text, &end);

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (end != text && !strcmp(end, units[i].unit) && v > 0 && v * units[i].ns < 1e15) {
			*ns = (ct_u64)(v * units[i].ns);
			return *ns ? 0 : -1;
		}
	return -1;
}

/* -1: good; else the exit status. */
static int parse_languages(struct args *a, const char *list, char **argv)
{
	static const char *const names[] = {"python", "sdk"};
	bool *const wanted[] = {&a->calls.python, &a->calls.told};

	a->calls.any = !list;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names) && !list; i++)
		*wanted[i] = true;
	while (list && *list) {
		size_t len = strcspn(list, ","), i = 0;

		while (i < sizeof(names) / sizeof(*names) && (strlen(names[i]) != len || memcmp(names[i], list, len)))
			i++;
		if (i == sizeof(names) / sizeof(*names))
			return ct_cmd_usage(argv, "--calls takes python and sdk, not '%s'", list);
		*wanted[i] = true;
		list += len + (list[len] == ',');
	}
	return -1;
}

/* -1: it is one of those about calls, and good; -2: it is none of them; else the exit status. */
static int parse_calls(struct args *a, int opt, char **argv)
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
		if (parse_duration(optarg, &a->calls.min_ns))
			return ct_cmd_usage(argv, "--min-duration takes a time like 10us, 1.5ms or 2s, not '%s'",
					    optarg);
		return -1;
	case OPT_MAX_RATE:
		if (ct_parse_u64(optarg, 1, 1ull << 40, &n))
			return ct_cmd_usage(argv, "--max-rate takes a number of calls, not '%s'", optarg);
		a->calls.max_rate = n;
		return -1;
	case OPT_THREAD:
		if (ct_parse_u64(optarg, 1, 1 << 30, &n))
			return ct_cmd_usage(argv, "--thread takes the id of a thread, not '%s'", optarg);
		a->calls.tid = (pid_t)n;
		return -1;
	default: return -2;
	}
}

static int check_calls(struct args *a, char **argv)
{
	const struct ct_calls_opts *c = &a->calls;

	a->calls.functions = a->globs;
	if (c->lib && !c->nfunctions)
		return ct_cmd_usage(argv, "--lib says where the functions of --functions are");
	if (!c->nfunctions && !c->python && !c->told)
		return c->depth || c->min_ns || c->max_rate || c->tid
			       ? ct_cmd_usage(argv, "give --functions or --calls, too")
			       : -1;
	if (!a->o.no_replay)
		return ct_cmd_usage(argv, "--functions and --calls need --no-replay: of a recording that can be "
					  "replayed `ctbpf index` tells every call");
	if ((c->python || c->told) && a->o.command)
		return ct_cmd_usage(argv, "--calls needs a program that has started: run the command first, then "
					  "give -p PID");
	a->o.calls = c;
	return -1;
}

/* -1: go on; else the exit status. */
static int parse(struct args *a, int argc, char **argv)
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
		case 'o': a->o.output = optarg; break;
		case 'd':
			a->o.duration_s = strtod(optarg, &end);
			if (end == optarg || *end || !(a->o.duration_s > 0 && a->o.duration_s < 1e9))
				return ct_cmd_usage(argv, "-d takes a number of seconds, not '%s'", optarg);
			break;
		case OPT_KEEP:
			if (parse_keep(&a->o, optarg))
				return ct_cmd_usage(
					argv, "--keep takes a time (90s, 10m, 2h) or at least 16M, not '%s'", optarg);
			break;
		case OPT_SNAPSHOT:
			if (parse_time(optarg, &a->o.snapshot_ns))
				return ct_cmd_usage(argv, "--snapshot-every takes a time (500ms, 10s, 1m), not '%s'",
						    optarg);
			break;
		case OPT_ON_CRASH: a->o.trigger.crash = true; break;
		case OPT_ON_LOG: a->o.trigger.log = optarg; break;
		case OPT_ON_EXIT:
			if (parse_exit(optarg, &a->o.trigger))
				return ct_cmd_usage(argv, "--on-exit takes 0 to 255 or nonzero, not '%s'", optarg);
			break;
		case OPT_ON_SIGNAL:
			if (parse_signal(optarg, &a->o.trigger.signals))
				return ct_cmd_usage(argv, "--on-signal takes a signal (USR1, 10), not '%s'", optarg);
			break;
		case OPT_POST:
		case OPT_LIMIT:
			if (parse_time(optarg, opt == OPT_POST ? &a->o.trigger.post_ns : &a->o.trigger.every_ns))
				return ct_cmd_usage(argv, "--%s takes a time (500ms, 10s, 1m), not '%s'",
						    opt == OPT_POST ? "post-trigger" : "trigger-limit", optarg);
			break;
		case OPT_NO_REPLAY: a->o.no_replay = true; break;
		case OPT_FORCE: a->o.force = true; break;
		case OPT_NO_FOLLOW: a->o.follow = false; break;
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
			if (parse_size(optarg, 1 << 20, 1ull << 40, &a->o.segment_size))
				return ct_cmd_usage(argv, "--segment-size takes at least 1M, not '%s'", optarg);
			break;
		case OPT_BUFFER:
			if (parse_size(optarg, 1 << 20, 1ull << 30, &size))
				return ct_cmd_usage(argv, "--buffer takes 1M to 1G, not '%s'", optarg);
			a->o.ring_bytes = size;
			break;
		case OPT_COMPRESS:
			if (parse_compress(optarg, &a->o.level))
				return ct_cmd_usage(argv, "--compress takes zstd, zstd:1 to zstd:19, or none, not '%s'",
						    optarg);
			break;
		case OPT_ON_LOST:
			if (strcmp(optarg, "stop") && strcmp(optarg, "continue"))
				return ct_cmd_usage(argv, "--on-lost takes stop or continue, not '%s'", optarg);
			a->o.stop_on_loss = !strcmp(optarg, "stop");
			break;
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
	if (a->o.step && a->o.no_replay)
		return ct_cmd_usage(argv, "--clock has nothing to number in a recording with --no-replay");
	status = check_calls(a, argv);
	if (status >= 0)
		return status;
	if (a->o.no_replay && (a->o.keep_ns || a->o.keep_bytes || a->o.snapshot_ns || a->o.trigger.crash ||
			       a->o.trigger.exits || a->o.trigger.signals || a->o.trigger.log))
		return ct_cmd_usage(argv,
				    "--keep, --snapshot-every and --on-... need snapshots, which --no-replay does "
				    "without");
	if (a->match.kind && (ct_match_find(&a->match, &a->pids, &a->npids) || !a->npids))
		return -2;
	a->o.pids = a->pids;
	a->o.npids = a->npids;
	return -1;
}

static int refuse(struct args *a, struct ct_error *err)
{
	for (size_t i = 0; i < a->npids; i++) {
		struct ct_findings f = {0};
		int ret;

		ret = ct_survey_member(a->pids, a->npids, i, &f, err);
		if (!ret)
			ret = ct_survey_refusal(&f, a->pids[i], !a->o.no_replay && !a->o.force, err);
		ct_findings_deinit(&f);
		if (ret)
			return -1;
	}
	return 0;
}

/* The proof of what has just been recorded. Failing to give one is no verdict, and is said as such. */
static void prove(const struct ct_record_result *res, struct ct_verify_result *v)
{
	const struct ct_verify_opts opts = {.store = true};
	struct ct_error err = {0};

	if (ct_verify(res->path, &opts, v, &err)) {
		v->verdict = CT_VERIFY_FAILED;
		snprintf(v->why, sizeof(v->why), "%.399s", err.msg);
	}
}

/* `v` is NULL if no proof was asked for. */
static bool replayable(const struct args *a, const struct ct_record_result *res)
{
	return !a->o.no_replay && !a->o.force && !res->lost && !res->unsound[0];
}

/* Which calls were recorded, and what they cost where that is much. */
static void calls_summary(const struct args *a, const struct ct_record_result *res)
{
	const struct ct_calls_stats *c = &res->calls;

	fprintf(stderr, "%llu calls of ", (unsigned long long)res->ncalls);
	if (a->calls.nfunctions)
		fprintf(stderr, "%zu functions in %zu file%s%s", c->functions, c->files, c->files == 1 ? "" : "s",
			c->python[0] || c->told ? ", " : "");
	if (c->told)
		fprintf(stderr, "%zu file%s that tell%s of %s%s", c->told, c->told == 1 ? "" : "s",
			c->told == 1 ? "s" : "", c->told == 1 ? "itself" : "themselves", c->python[0] ? ", " : "");
	fprintf(stderr, "%s; attached in %.0f ms, detached in %.0f ms\n", c->python, c->attach_ms, res->detach_ms);
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

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:f, s:f}", "calls", (json_int_t)res->ncalls,
			 "left_out", (json_int_t)res->left_out, "functions", (json_int_t)c->functions, "files",
			 (json_int_t)c->files, "stepped_entries", (json_int_t)c->stepped, "stepped_exits",
			 (json_int_t)c->returns, "endless", (json_int_t)c->endless, "unprobed", (json_int_t)c->unprobed,
			 "interpreters", c->python, "attach_ms", c->attach_ms, "detach_ms", res->detach_ms);
}

static void summary(const struct args *a, const struct ct_record_result *res, const struct ct_verify_result *v)
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
	if (!a->o.no_replay && res->unsound[0])
		fprintf(stderr, "NOT all of it can be replayed: %s (`ctbpf info` says more)\n", res->unsound);
	if (v && v->verdict == CT_VERIFIED)
		fprintf(stderr, "VERIFIED, %zu stretch%s\n", v->stretches, v->stretches == 1 ? "" : "es");
	else if (v)
		fprintf(stderr, "%s: %s\n", ct_verdict_name(v->verdict), v->why);
}

/* What the recording itself ends with. */
static int record_status(const struct args *a, const struct ct_record_result *res)
{
	if (a->o.strict && res->lost)
		return CT_EXIT_LOST;
	if (res->child_status >= 0)
		return WIFEXITED(res->child_status) ? WEXITSTATUS(res->child_status)
						    : 128 + WTERMSIG(res->child_status);
	return CT_EXIT_OK;
}

static int run(struct args *a, char **argv, struct ct_error *err)
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
	struct args a = {.o = {.trigger.every_ns = 10000000000ull,
			       .cpu = -1,
			       .follow = true,
			       .level = 1,
			       .ring_bytes = 64 << 20,
			       .segment_size = 256 << 20}};
	const char *globs[argc];
	struct ct_error err = {0};
	int ret;

	a.globs = globs;
	ret = parse(&a, argc, argv);

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
	return ret;
}
