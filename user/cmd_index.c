// SPDX-License-Identifier: MIT
/* ctbpf index: replays a recording with agents in its interpreters and tells every line, call and value. */
#include <getopt.h>
#include <stdio.h>

#include "user/cmd.h"
#include "user/index_run.h"

static const char help[] =
	"usage: ctbpf index [options] RECORDING\n"
	"\n"
	"Replays a recording and finds out what its interpreters did: every line that was executed, every call\n"
	"with arguments and result, every exception, every change of a variable. The recorded program paid\n"
	"nothing for that. The result is the step database in the recording, which `ctbpf query` reads. The\n"
	"replay is compared with the recording as `ctbpf verify` does.\n"
	"Of a recording with --no-replay the calls that were recorded live make the database.\n"
	"Interrupted, killed or out of space, it goes on where it was saved last when the same is asked for again (of\n"
	"Ruby and native code it begins anew).\n"
	"Native code (C, C++, Rust, Nim, Go) is indexed too, if debug information describes it, but only the\n"
	"functions or files that -f or -F name: it stops at each of their lines, which takes some 0.2 ms.\n"
	"Interpreters: CPython 3.8 to 3.14, Ruby 3.1 and 3.3 (without its JIT), whether or not they have symbols.\n"
	"\n"
	"  -p, --print           no database: one line of text for each step, call and value\n"
	"  -F, --files GLOB      only code of files like this: app.py, 'web/*.py', '*part*'; may be given several "
	"times\n"
	"  -f, --functions GLOB  only functions like this: send, 'Client.*'; may be given several times\n"
	"      --from POS        only what ran from this position on: e:EVENT, t:+1.25s, t:12:30:05\n"
	"      --to POS          only what ran up to this position\n"
	"  -V, --no-values       no arguments, variables and results, only lines, calls, exceptions: faster\n"
	"      --depth N         how deep to look into containers and objects (default 3)\n"
	"      --items N         how many items of each (default 16)\n"
	"      --bytes N         how many characters or bytes of a string (default 80)\n"
	"  -h, --help            this text\n"
	"\n"
	"example:\n"
	"  ctbpf record -o app.ctr -- python3 app.py\n"
	"  ctbpf index --print --files app.py app.ctr\n"
	"  ctbpf index --functions 'Parser::*' --files parse.c server.ctr\n"
	"\n"
	"exit status: 0 all of it replayed and compared, 1 failed, 2 usage, 5 diverged or different\n";

static void add_glob(struct ct_globs *globs, const char *glob)
{
	globs->list[globs->count++] = glob;
}

int cmd_index(int argc, char **argv)
{
	static const struct option options[] = {
		{"print", no_argument, NULL, 'p'},
		{"files", required_argument, NULL, 'F'},
		{"functions", required_argument, NULL, 'f'},
		{"from", required_argument, NULL, 's'},
		{"to", required_argument, NULL, 'e'},
		{"no-values", no_argument, NULL, 'V'},
		{"depth", required_argument, NULL, 'd'},
		{"items", required_argument, NULL, 'i'},
		{"bytes", required_argument, NULL, 'b'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *globs[2][argc];
	struct index_options o = {.filter = {{globs[0], 0}, {globs[1], 0}}, .limits = index_limits};
	struct ct_recording *rec;
	struct ct_error err = {0};
	unsigned long long n;
	int opt, status;

	while ((opt = getopt_long(argc, argv, "pF:f:Vh", options, NULL)) != -1) {
		switch (opt) {
		case 'p': o.print = true; break;
		case 'F': add_glob(&o.filter.files, optarg); break;
		case 'f': add_glob(&o.filter.functions, optarg); break;
		case 's': o.from = optarg; break;
		case 'e': o.to = optarg; break;
		case 'V': o.limits.values = false; break;
		case 'd':
			if (ct_parse_u64(optarg, 0, 16, &n))
				return ct_cmd_usage(argv, "--depth takes a number from 0 to 16, not '%s'", optarg);
			o.limits.depth = (unsigned)n;
			break;
		case 'i':
			if (ct_parse_u64(optarg, 0, 4096, &n))
				return ct_cmd_usage(argv, "--items takes a number from 0 to 4096, not '%s'", optarg);
			o.limits.items = (unsigned)n;
			break;
		case 'b':
			if (ct_parse_u64(optarg, 0, 4096, &n))
				return ct_cmd_usage(argv, "--bytes takes a number from 0 to 4096, not '%s'", optarg);
			o.limits.bytes = (unsigned)n;
			break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (optind + 1 != argc)
		return ct_cmd_usage(argv, "give one recording");
	rec = ct_recording_open(argv[optind], &err);
	if (!rec)
		return ct_cmd_fail(argv, &err);
	status = ct_index_run(rec, &o, stdout, &err);
	ct_recording_close(rec);
	return status < 0 ? ct_cmd_fail(argv, &err) : status;
}
