// SPDX-License-Identifier: MIT
/* Asking a recorder that runs: where it records to, and what it answers at the socket there. */
#include <dirent.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/recording.h"
#include "user/attach/target.h"
#include "user/cmd.h"
#include "user/control.h"
#include "user/recorder.h"

static bool read_link(pid_t recorder, char path[PATH_MAX])
{
	char name[64];
	ssize_t n;

	snprintf(name, sizeof(name), CT_RUN_DIR "/%d.recording", recorder);
	n = recorder > 0 ? readlink(name, path, PATH_MAX - 1) : -1;
	path[n > 0 ? n : 0] = 0;
	return n > 0;
}

/* Of a process whose calls are recorded nothing is noted down, since nothing of it is changed. */
static bool records_calls_of(const char *path, pid_t pid)
{
	struct ct_error none;
	struct ct_recording *rec = ct_recording_open(path, &none);
	json_t *calls, *one;
	bool found = false;
	size_t i;

	if (!rec)
		return false;
	calls = json_object_get(json_object_get(ct_recording_manifest(rec), "options"), "calls");
	json_array_foreach (json_object_get(calls, "pids"), i, one)
		found |= json_integer_value(one) == pid;
	ct_recording_close(rec);
	return found;
}

int ct_recorder_find(pid_t pid, char path[PATH_MAX], struct ct_error *err)
{
	struct dirent *entry;
	bool found = false;
	char name[64];
	json_t *undo;
	DIR *dir;

	if (geteuid())
		return ct_fail(err, CT_EXIT_MISSING, "-p needs root: run it with sudo");
	snprintf(name, sizeof(name), CT_RUN_DIR "/%d.json", pid);
	undo = json_load_file(name, 0, NULL);
	found = undo && read_link((pid_t)json_integer_value(json_object_get(undo, "recorder")), path);
	json_decref(undo);
	dir = found ? NULL : opendir(CT_RUN_DIR);
	while (dir && !found && (entry = readdir(dir))) {
		char *end;
		long recorder = strtol(entry->d_name, &end, 10);

		found = recorder > 0 && recorder <= INT_MAX && !strcmp(end, ".recording") &&
			read_link((pid_t)recorder, path) && records_calls_of(path, pid);
	}
	if (dir)
		closedir(dir);
	return found ? 0
		     : ct_fail(err, CT_EXIT_NOT_ATTACHED,
			       "process %d is not being recorded, as far as " CT_RUN_DIR
			       " tells; name the recording instead",
			       pid);
}

int ct_recorder_ask(const char *path, const char *request, struct ct_error *err)
{
	struct ct_recording *rec = ct_recording_open(path, err);
	char who[PATH_MAX + 32], *answer = NULL;

	if (!rec)
		return -1;
	snprintf(who, sizeof(who), "%s: its recorder", path);
	if (ct_recording_state(rec) != CT_REC_RECORDING)
		ct_fail(err, CT_EXIT_NOT_ATTACHED, "%s: is not being recorded any more (it is %s)", path,
			ct_recording_state_name(ct_recording_state(rec)));
	else
		answer = ct_control_ask(ct_recording_dirfd(rec), CT_CONTROL, who, request, err);
	ct_recording_close(rec);
	if (!answer)
		return -1;
	puts(answer);
	free(answer);
	return 0;
}
