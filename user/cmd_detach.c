// SPDX-License-Identifier: MIT
/* ctbpf detach: puts back what a killed recorder left changed in a process. */
#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/attach/target.h"
#include "user/calls.h"
#include "user/cmd.h"

static const char help[] =
	"usage: ctbpf detach -p PID\n"
	"       ctbpf detach --all\n"
	"\n"
	"Restores a process whose recorder was killed: CPU affinity, scheduling policy, the vDSO,\n"
	"restartable sequences. The process runs on either way; until then it stays on one CPU and\n"
	"reads the clock by system calls. A process still being recorded is left alone.\n"
	"\n"
	"  -p, --pid PID  the process\n"
	"  -a, --all      every process something is known about\n"
	"  -h, --help     this text\n"
	"\n"
	"examples:\n"
	"  sudo ctbpf detach -p 4242\n"
	"  sudo ctbpf detach --all\n"
	"\n"
	"exit status: 0 restored, or there was nothing to restore, 1 failed, 2 usage, 3 no such process,\n"
	"77 missing privilege\n";

/* 1: restored, 0: nothing to do, -1 with *err. */
static int detach(pid_t pid, struct ct_inspector *inspector, struct ct_error *err)
{
	struct ct_target t;
	pid_t recorder = 0;
	int ret;

	ct_target_init(&t, pid);
	if (!t.start_time) {
		ct_undo_forget(&t);
		return ct_fail(err, CT_EXIT_NOT_ATTACHED, "process %d does not exist", pid);
	}
	ret = ct_python_undo(pid, err);
	if (ret) {
		ct_target_deinit(&t);
		return ret;
	}
	ret = ct_undo_load(&t, &recorder, err);
	if (ret == 1 && recorder) {
		ret = ct_fail(err, CT_EXIT_FAILED,
			      "%d (%s) is being recorded by process %d: end that one with Ctrl-C or kill %d", pid,
			      t.comm, recorder, recorder);
	} else if (ret == 1) {
		ret = ct_target_stop(&t, err);
		if (!ret) {
			ret = ct_target_inspect(&t, inspector, err) ? -1 : 1;
			if (ret == 1) {
				ct_vdso_find_stub(&t);
				if (t.stub)
					ct_image_reap(&t, 0, NULL);
				if (ct_target_undo(&t, err))
					ret = -1;
			}
			ct_target_release(&t);
		}
	}
	ct_target_deinit(&t);
	return ret;
}

static int detach_all(char **argv, struct ct_inspector *inspector)
{
	DIR *dir = opendir(CT_RUN_DIR);
	struct dirent *entry;
	struct ct_error err;
	int ret = 0;

	while (dir && (entry = readdir(dir))) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);
		int done;

		if (pid <= 0 || (strcmp(end, ".json") && strcmp(end, ".calls")))
			continue;
		done = detach((pid_t)pid, inspector, &err);
		if (done == 1)
			printf("%ld restored\n", pid);
		else if (done < 0 && err.status != CT_EXIT_NOT_ATTACHED)
			ret = ct_cmd_fail(argv, &err);
	}
	if (dir)
		closedir(dir);
	ct_rundir_sweep();
	return ret;
}

int cmd_detach(int argc, char **argv)
{
	static const struct option options[] = {
		{"pid", required_argument, NULL, 'p'},
		{"all", no_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct ct_inspector *inspector;
	unsigned long long pid = 0;
	struct ct_error err = {0};
	bool all = false;
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "p:ah", options, NULL)) != -1) {
		switch (opt) {
		case 'p':
			if (ct_parse_u64(optarg, 1, 1 << 30, &pid))
				return ct_cmd_usage(argv, "-p takes a process id, not '%s'", optarg);
			break;
		case 'a': all = true; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (optind < argc || all == (pid != 0))
		return ct_cmd_usage(argv, "give one of -p PID or --all");
	if (geteuid()) {
		ct_fail(&err, CT_EXIT_MISSING, "detaching needs root: run it with sudo");
		return ct_cmd_fail(argv, &err);
	}
	inspector = ct_inspector_create(&err);
	if (!inspector)
		return ct_cmd_fail(argv, &err);
	if (all) {
		ret = detach_all(argv, inspector);
	} else {
		ret = detach((pid_t)pid, inspector, &err);
		if (ret < 0)
			ret = ct_cmd_fail(argv, &err);
		else
			ret = printf(ret ? "%llu restored\n" : "%llu: nothing to restore\n", pid) < 0;
	}
	ct_inspector_destroy(inspector);
	return ret;
}
