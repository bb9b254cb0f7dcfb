// SPDX-License-Identifier: MIT
/* ctbpf stop, ctbpf start: asks a running recorder of live calls to take its probes away for a while. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "user/cmd.h"

static const char help[] =
	"usage: ctbpf stop RECORDING | -p PID\n"
	"       ctbpf start RECORDING | -p PID\n"
	"\n"
	"Pauses a recording of live calls (`ctbpf record --no-replay` with --calls or --functions), and goes\n"
	"on with it. While it is stopped no probe is in the process: it runs as if nobody recorded it. What\n"
	"was recorded before stays open; the log says from where to where there is nothing.\n"
	"\n"
	"  -p, --pid PID  the recording that this process is part of\n"
	"  -h, --help     this text\n"
	"\n"
	"examples:\n"
	"  sudo ctbpf record --no-replay --calls -p 4242 -o calls.ctr &\n"
	"  sudo ctbpf stop calls.ctr; sleep 60; sudo ctbpf start calls.ctr\n"
	"\n"
	"exit status: 0 done, 1 failed, 2 usage, 3 it is not being recorded, 77 missing privilege\n";

static int ask(int argc, char **argv, const char *what)
{
	static const struct option options[] = {
		{"pid", required_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'}, {0}};
	unsigned long long pid = 0;
	struct ct_error err = {0};
	char path[PATH_MAX];
	int opt;

	while ((opt = getopt_long(argc, argv, "p:h", options, NULL)) != -1) {
		switch (opt) {
		case 'p':
			if (ct_parse_u64(optarg, 1, 1 << 30, &pid))
				return ct_cmd_usage(argv, "-p takes a process id, not '%s'", optarg);
			break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (argc - optind != (pid ? 0 : 1))
		return ct_cmd_usage(argv, "give a recording or -p PID");
	if ((pid && ct_recorder_find((pid_t)pid, path, &err)) || ct_recorder_ask(pid ? path : argv[optind], what, &err))
		return ct_cmd_fail(argv, &err);
	return CT_EXIT_OK;
}

int cmd_stop(int argc, char **argv)
{
	return ask(argc, argv, "stop");
}

int cmd_start(int argc, char **argv)
{
	return ask(argc, argv, "start");
}
