// SPDX-License-Identifier: MIT
/* ctbpf verify: executes a recording again, stretch by stretch, and compares with the snapshot at each one's end. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>

#include "replay/clock.h"
#include "user/cmd.h"
#include "user/verify.h"

static const char help[] =
	"usage: ctbpf verify [options] RECORDING\n"
	"\n"
	"Proves a recording: replays each stretch between two snapshots and compares memory, mappings,\n"
	"registers and FPU state with the second one. Runs on any machine with the same kind of CPU; nothing\n"
	"of what the recorded program did is done again outside the replayed process. The verdicts are kept in\n"
	"the recording (`verify` in its manifest.json).\n"
	"\n"
	"  VERIFIED   identical, but for what is listed as not compared\n"
	"  REDACTED   the same, but of bytes that `record --redact` had overwritten before: not what has happened\n"
	"  BROKEN     events of the stretch are lost, unsound or unreadable\n"
	"  UNPROVEN   replayed, but the recorder died before the snapshot to compare with\n"
	"  DIVERGED   the replay went another way; a report on standard error says where and how\n"
	"  DIFFERENT  it came to the end, where something is not the same\n"
	"  FAILED     it could not be tried: a snapshot or a kept file cannot be read, or this machine lacks "
	"something\n"
	"\n"
	"  -s, --stretch N  only the N-th stretch (from 1); the result is not kept\n"
	"  -j, --jobs N     stretches at once (default: one for each CPU)\n"
	"      --idle       only while nobody else wants the CPU\n"
	"  -n, --no-store   do not keep the result in the recording\n"
	"      --clock NAME how positions are found: fingerprint, pmu (hardware counter), step (slow), or auto,\n"
	"                   the best that works (default)\n"
	"  -q, --quiet      only the verdicts\n"
	"      --json       one JSON object with all of it\n"
	"  -h, --help       this text\n"
	"\n"
	"examples:\n"
	"  ctbpf verify redis.ctr\n"
	"  ctbpf verify --json redis.ctr | jq -r .verdict\n"
	"\n"
	"exit status: 0 verified, 1 failed, 2 usage, 5 any other verdict\n";

int cmd_verify(int argc, char **argv)
{
	static const struct option options[] = {
		{"stretch", required_argument, NULL, 's'},
		{"jobs", required_argument, NULL, 'j'},
		{"no-store", no_argument, NULL, 'n'},
		{"clock", required_argument, NULL, 'c'},
		{"quiet", no_argument, NULL, 'q'},
		{"json", no_argument, NULL, 'J'},
		{"help", no_argument, NULL, 'h'},
		{"idle", no_argument, NULL, 'i'},
		{0},
	};
	struct ct_verify_opts opts = {.store = true, .out = stdout};
	struct ct_verify_result res;
	struct ct_error err = {0};
	unsigned long long n;
	int opt, status;

	while ((opt = getopt_long(argc, argv, "s:j:nqh", options, NULL)) != -1) {
		switch (opt) {
		case 's':
			if (ct_parse_u64(optarg, 1, UINT_MAX, &n))
				return ct_cmd_usage(argv, "--stretch takes a number from 1 on, not '%s'", optarg);
			opts.stretch = (ct_u32)n;
			break;
		case 'j':
			if (ct_parse_u64(optarg, 1, 64, &n))
				return ct_cmd_usage(argv, "--jobs takes a number from 1 to 64, not '%s'", optarg);
			opts.jobs = (unsigned)n;
			break;
		case 'i': opts.idle = true; break;
		case 'n': opts.store = false; break;
		case 'c':
			if (!ct_clock_known(optarg))
				return ct_cmd_usage(argv, "--clock takes auto, pmu, fingerprint or step, not '%s'",
						    optarg);
			opts.clock = optarg;
			break;
		case 'q': opts.quiet = true; break;
		case 'J': opts.out = NULL; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (optind + 1 != argc)
		return ct_cmd_usage(argv, "give one recording");
	if (ct_verify(argv[optind], &opts, &res, &err))
		return ct_cmd_fail(argv, &err);
	if (!opts.out) {
		json_dumpf(res.json, stdout, JSON_COMPACT);
		putchar('\n');
	}
	status = ct_verdict_status(res.verdict);
	if (status) {
		ct_fail(&err, (enum ct_exit)status, "%s: %s, %zu of %zu stretch%s verified: %s", argv[optind],
			ct_verdict_name(res.verdict), res.verified, res.stretches, res.stretches == 1 ? "" : "es",
			res.why);
		ct_cmd_fail(argv, &err);
	}
	ct_verify_result_deinit(&res);
	return status;
}
