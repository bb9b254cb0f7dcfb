/* SPDX-License-Identifier: MIT
 * ctbpf ls: the recordings in some directories, a line each.
 *
 * A directory that is itself a recording is listed alone; one that cannot be read is listed as damaged. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd.h"
#include "out.h"
#include "recinfo.h"

static const char help[] =
	"usage: ctbpf ls [--json] [DIR...]\n"
	"\n"
	"List the recordings (NAME.ctr) in the directories given, or in the current one.\n"
	"\n"
	"options:\n"
	"  --json      one JSON object a line\n"
	"  -h, --help  this text\n"
	"\n"
	"examples:\n"
	"  ctbpf ls\n"
	"  ctbpf ls /var/lib/ctbpf /tmp\n"
	"  ctbpf ls --json | jq -r 'select(.replayable) | .path'\n"
	"\n"
	"exit codes: 0 success (also if there are none), 1 something could not be read, 2 wrong usage\n";

struct paths {
	char **path;
	size_t count, cap;
};

static int paths_add(struct paths *paths, const char *dir, const char *name)
{
	if (paths->count == paths->cap) {
		size_t cap = paths->cap ? 2 * paths->cap : 32;
		char **path = realloc(paths->path, cap * sizeof(*path));
		if (!path)
			return -1;
		paths->path = path;
		paths->cap = cap;
	}
	char *path = NULL;
	int n = !*dir || !strcmp(dir, ".") ? asprintf(&path, "%s", name)
		: !*name                   ? asprintf(&path, "%s", dir)
					   : asprintf(&path, dir[strlen(dir) - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
	if (n >= 0)
		paths->path[paths->count++] = path;
	return n < 0 ? -1 : 0;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int find_recordings(struct paths *paths, const char *dir, struct ct_error *err)
{
	struct stat st;
	char *manifest = NULL;
	bool recording = asprintf(&manifest, "%s/manifest.json", dir) >= 0 && !stat(manifest, &st);
	free(manifest);
	if (recording)
		return paths_add(paths, dir, "") < 0 ? ct_fail(err, CT_EXIT_FAILED, "out of memory") : 0;

	DIR *d = opendir(dir);
	if (!d)
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot list %s", dir);
	int ret = 0;
	size_t first = paths->count;
	for (struct dirent *entry; ret == 0 && (errno = 0, entry = readdir(d));) {
		size_t len = strlen(entry->d_name);
		if (len <= 4 || strcmp(entry->d_name + len - 4, ".ctr") || entry->d_name[0] == '.')
			continue;
		if (fstatat(dirfd(d), entry->d_name, &st, 0) || !S_ISDIR(st.st_mode))
			continue;
		if (paths_add(paths, dir, entry->d_name) < 0)
			ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
	}
	closedir(d);
	qsort(paths->path + first, paths->count - first, sizeof(*paths->path), compare_paths);
	return ret;
}

static void ls_json(struct ct_out *out, const char *path, const struct ct_recinfo *info, const struct ct_error *err)
{
	char started[CT_HUMAN];
	ct_json_open(out, NULL, '{');
	ct_json_str(out, "path", path);
	if (!info) {
		ct_json_str(out, "state", "damaged");
		ct_json_str(out, "error", err->msg);
	} else {
		ct_json_str(out, "uuid", info->uuid);
		ct_json_str(out, "state", info->state);
		ct_json_bool(out, "replayable", info->sum.replayable);
		ct_json_double(out, "duration_s", info->duration_s, 6);
		ct_json_u64(out, "events", info->sum.events);
		ct_json_u64(out, "lost", info->sum.lost);
		ct_json_u64(out, "bytes", info->sum.bytes);
		ct_json_open(out, "target", '{');
		ct_json_u64(out, "pid", info->target_pid);
		ct_json_str(out, "comm", info->target_comm);
		ct_json_str(out, "exe", info->target_exe);
		ct_json_close(out, '}');
		ct_json_str(out, "started", info->started_ns ? ct_human_time(started, info->started_ns, true) : NULL);
	}
	ct_json_close(out, '}');
	ct_json_line(out);
}

static void ls_row(struct ct_table *table, const char *path, const struct ct_recinfo *info)
{
	char buf[CT_HUMAN], target[96];
	ct_table_cell(table, path);
	if (!info) {
		static const char *const unknown[] = {"damaged", "-", "-", "-", "-", "-", "-"};
		for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
			ct_table_cell(table, unknown[i]);
		return;
	}
	ct_table_cell(table, info->state);
	ct_table_cell(table, info->sum.replayable ? "yes" : "no");
	ct_table_cell(table, ct_human_seconds(buf, info->duration_s));
	ct_table_cell(table, ct_human_count(buf, info->sum.events));
	ct_table_cell(table, ct_human_bytes(buf, info->sum.bytes));
	snprintf(target, sizeof(target), "%s (%llu)", info->target_comm ? info->target_comm : "?",
		 (unsigned long long)info->target_pid);
	ct_table_cell(table, target);
	ct_table_cell(table, ct_human_time(buf, info->started_ns, false));
}

static int list(struct ct_out *out, const struct paths *paths, bool json, char **argv)
{
	static const char *const titles[] = {"NAME",   "STATE", "REPLAY", "LENGTH",
					     "EVENTS", "SIZE",  "TARGET", "STARTED (UTC)"};
	enum { COLUMNS = sizeof(titles) / sizeof(titles[0]) };
	struct ct_table table;
	int ret = CT_EXIT_OK;
	ct_table_init(&table, COLUMNS, 1u << 3 | 1u << 4 | 1u << 5);
	for (size_t i = 0; i < COLUMNS; i++)
		ct_table_cell(&table, titles[i]);
	for (size_t i = 0; i < paths->count; i++) {
		struct ct_error err = {0};
		struct ct_recinfo info;
		bool readable = !ct_recinfo_open(&info, paths->path[i], &err);
		if (json)
			ls_json(out, paths->path[i], readable ? &info : NULL, &err);
		else
			ls_row(&table, paths->path[i], readable ? &info : NULL);
		if (readable)
			ct_recinfo_close(&info);
		else
			ret = ct_cmd_fail(argv, &err);
	}
	if (!json && paths->count)
		ct_table_print(&table, out, "");
	ct_table_deinit(&table);
	return ret;
}

int cmd_ls(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	bool json = false;
	int opt, ret = CT_EXIT_OK;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case 'j': json = true; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}

	struct paths paths = {0};
	for (int i = optind; i < argc || i == optind; i++) {
		struct ct_error err = {0};
		if (find_recordings(&paths, i < argc ? argv[i] : ".", &err) < 0)
			ret = ct_cmd_fail(argv, &err);
	}
	struct ct_out out;
	ct_cmd_open(&out);
	int listed = list(&out, &paths, json, argv);
	for (size_t i = 0; i < paths.count; i++)
		free(paths.path[i]);
	free(paths.path);
	return ct_cmd_close(argv, &out, ret ? ret : listed);
}
