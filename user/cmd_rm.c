// SPDX-License-Identifier: MIT
/* ctbpf rm: removes recordings, and nothing that is not one. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/recording.h"
#include "user/cmd.h"

static const char help[] =
	"usage: ctbpf rm RECORDING...\n"
	"\n"
	"Removes recordings with all that is in them. What is no recording, or is still being recorded, is\n"
	"refused. Parts that were kept by a trigger are recordings of their own and stay.\n"
	"\n"
	"  -h, --help  this text\n"
	"\n"
	"examples:\n"
	"  ctbpf rm ctbpf-redis-server-*.ctr\n"
	"\n"
	"exit status: 0 removed, 1 one could not be, 2 usage\n";

static int remove_one(const char *path, struct ct_error *err)
{
	struct ct_recording *rec;
	enum ct_recording_state state;
	struct stat st;

	if (lstat(path, &st))
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s", path);
	if (S_ISLNK(st.st_mode))
		return ct_fail(err, CT_EXIT_FAILED, "%s: is a symbolic link; name the recording itself", path);
	rec = ct_recording_open(path, err);
	if (!rec)
		return -1;
	state = ct_recording_state(rec);
	ct_recording_close(rec);
	if (state == CT_REC_RECORDING)
		return ct_fail(err, CT_EXIT_FAILED, "%s: is still being recorded; end that first", path);
	ct_recording_discard(path);
	if (!lstat(path, &st))
		return ct_fail(err, CT_EXIT_FAILED, "%s: not all of it could be removed", path);
	return 0;
}

int cmd_rm(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
	int opt, ret = CT_EXIT_OK;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h')
			return ct_cmd_help(help);
		return ct_cmd_usage(argv, NULL);
	}
	if (optind == argc)
		return ct_cmd_usage(argv, "name a recording (a directory NAME.ctr)");
	for (int i = optind; i < argc; i++) {
		struct ct_error err = {0};

		if (remove_one(argv[i], &err)) {
			ct_cmd_fail(argv, &err);
			ret = CT_EXIT_FAILED;
		}
	}
	return ret;
}
