// SPDX-License-Identifier: MIT
/* ctbpf trigger: asks a running recorder to keep what it has at this moment. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "user/cmd.h"
#include "user/recorder.h"

static const char help[] =
	"usage: ctbpf trigger NAME RECORDING\n"
	"       ctbpf trigger NAME -p PID\n"
	"\n"
	"Keeps what a recording that is still being made holds at this moment as a recording of its own,\n"
	"RECORDING-NAME.ctr, while the recording goes on. Nothing is copied: files are hard links. With\n"
	"`ctbpf record --post-trigger T` it includes what happens in this time from now on.\n"
	"\n"
	"  -p, --pid PID  the recording that this process is part of\n"
	"  -h, --help     this text\n"
	"\n"
	"examples:\n"
	"  sudo ctbpf trigger slow-request redis.ctr\n"
	"  sudo ctbpf trigger before-restart -p $(pidof redis-server)\n"
	"\n"
	"exit status: 0 kept, its path is printed, 1 failed, 2 usage, 3 it is not being recorded, 77 missing\n"
	"privilege\n";

int ct_trigger_ask(const char *path, const char *name, struct ct_error *err)
{
	char text[CT_TRIGGER_NAME + 16];

	snprintf(text, sizeof(text), "trigger %s", name);
	return ct_recorder_ask(path, text, err);
}

int cmd_trigger(int argc, char **argv)
{
	static const struct option options[] = {
		{"pid", required_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'}, {0}};
	char path[PATH_MAX], *name, *dir;
	unsigned long long pid = 0;
	struct ct_error err = {0};
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
	name = argv[optind];
	dir = name ? argv[optind + 1] : NULL;
	if (!name || (pid != 0) == (dir != NULL) || optind + 1 + (dir != NULL) < argc)
		return ct_cmd_usage(argv, "give a name, and a recording or -p PID");
	if (!ct_trigger_name_ok(name))
		return ct_cmd_usage(argv, "a name has letters, digits, '.', '_' and '-', at most %d, not '%s'",
				    CT_TRIGGER_NAME - 1, name);
	if (pid && ct_recorder_find((pid_t)pid, path, &err))
		return ct_cmd_fail(argv, &err);
	return ct_trigger_ask(pid ? path : dir, name, &err) ? ct_cmd_fail(argv, &err) : CT_EXIT_OK;
}
