// SPDX-License-Identifier: MIT
/* Root's directory of small files; looking up a path for whoever else could change what it means. */
#include "user/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/attach/target.h"

static bool others_may_write(const struct stat *st)
{
	return (st->st_uid && st->st_uid != geteuid()) || (st->st_mode & (S_IWGRP | S_IWOTH));
}

int ct_rundir_make(struct ct_error *err)
{
	struct stat st;

	if (mkdir(CT_RUN_DIR, 0700) && errno != EEXIST)
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot make " CT_RUN_DIR);
	if (lstat(CT_RUN_DIR, &st) || !S_ISDIR(st.st_mode) || others_may_write(&st))
		return ct_fail(err, CT_EXIT_FAILED,
			       CT_RUN_DIR ": refused: it must be a directory, no link, that belongs to root and nobody "
					  "else may write; remove it");
	return 0;
}

/* A process has another start time than one of the same number before it. */
static bool is_stale(int dir, const char *name, pid_t pid, const char *suffix)
{
	json_t *undo = NULL;
	bool stale;
	int fd;

	if (kill(pid, 0) && errno == ESRCH)
		return true;
	if (strcmp(suffix, ".json"))
		return false;
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0) {
		undo = json_loadfd(fd, 0, NULL);
		close(fd);
	}
	stale = undo && (ct_u64)json_integer_value(json_object_get(undo, "start_time")) != ct_proc_stat(pid, pid, 22);
	json_decref(undo);
	return stale;
}

void ct_rundir_sweep(void)
{
	static const char *const suffixes[] = {".json", ".json.tmp", ".calls", ".recording"};
	int fd = open(CT_RUN_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		for (size_t i = 0; pid > 0 && pid <= INT_MAX && i < sizeof(suffixes) / sizeof(*suffixes); i++)
			if (!strcmp(end, suffixes[i]) && is_stale(fd, entry->d_name, (pid_t)pid, end))
				unlinkat(fd, entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
}

int ct_path_safe(const char *path, struct ct_error *err)
{
	char *full = realpath(path, NULL), *slash;
	struct stat st;
	int ret = 0;

	if (!full)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot tell where it is", path);
	while (!ret && (slash = strrchr(full, '/'))) {
		slash[slash == full] = 0;
		if (stat(full, &st))
			ret = ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot tell whose %s is", path, full);
		else if (others_may_write(&st) && !((st.st_mode & S_ISVTX) && !st.st_uid))
			ret = ct_fail(err, CT_EXIT_FAILED,
				      "%s: refused: the directory %s must belong to root, and nobody else may write it "
				      "(chown root, chmod go-w): who can, may put another file in this one's place",
				      path, full);
		if (slash == full)
			break;
		*slash = 0;
	}
	free(full);
	return ret;
}
