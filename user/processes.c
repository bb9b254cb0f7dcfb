// SPDX-License-Identifier: MIT
/* Which processes are meant: by their name, or by their control group. */
#include "user/processes.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/tracee.h"

#define CONTAINER_MIN 12

static const struct {
	const char *word;
	enum ct_match_kind kind;
} words[] = {{"comm", CT_MATCH_COMM},
	     {"cgroup", CT_MATCH_CGROUP},
	     {"unit", CT_MATCH_UNIT},
	     {"container", CT_MATCH_CONTAINER}};

enum ct_match_kind ct_match_named(const char *word)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(words[i].word, word))
			return words[i].kind;
	return CT_MATCH_NONE;
}

const char *ct_match_name(enum ct_match_kind kind)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (words[i].kind == kind)
			return words[i].word;
	return "none";
}

bool ct_match_ok(const struct ct_match *m)
{
	size_t len = strlen(m->what);

	switch (m->kind) {
	case CT_MATCH_COMM: return len && len < 16; /* what the kernel keeps of a name */
	case CT_MATCH_CGROUP: return m->what[0] == '/' && len > 1;
	case CT_MATCH_UNIT: return len && !strchr(m->what, '/') && strchr(m->what, '.');
	case CT_MATCH_CONTAINER: return len >= CONTAINER_MIN && strspn(m->what, "0123456789abcdef") == len;
	default: return false;
	}
}

/* Whether one part of a path, "docker-0123456789ab….scope", "0123456789ab…", is a container of this id. */
static bool is_container(const char *part, size_t len, const char *id)
{
	const char *at = part;

	for (const char *c = part; c < part + len; c++) /* runtimes put their name before it */
		if (*c == '-')
			at = c + 1;
	return (size_t)(part + len - at) >= strlen(id) && !strncmp(at, id, strlen(id));
}

bool ct_match_cgroup(const struct ct_match *m, const char *path)
{
	size_t want = strlen(m->what);

	while (want > 1 && m->what[want - 1] == '/')
		want--;
	if (m->kind == CT_MATCH_CGROUP)
		return !strncmp(path, m->what, want) && (!path[want] || path[want] == '/');
	while (*path) {
		size_t len;

		path += *path == '/';
		len = strcspn(path, "/");
		if (m->kind == CT_MATCH_UNIT ? len == want && !strncmp(path, m->what, len)
					     : is_container(path, len, m->what))
			return true;
		path += len;
	}
	return false;
}

/* Lines are "hierarchy:controllers:path" (cgroups(7)); a process is in one group of each. */
static bool in_cgroup(const struct ct_match *m, char *text)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *path = strchr(line, ':');

		path = path ? strchr(path + 1, ':') : NULL;
		if (path && ct_match_cgroup(m, path + 1))
			return true;
	}
	return false;
}

static bool meant(const struct ct_match *m, pid_t pid)
{
	bool comm = m->kind == CT_MATCH_COMM, is;
	char path[64], *text;
	ct_u64 state;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, comm ? "comm" : "cgroup");
	text = ct_read_file(path, NULL);
	if (!text)
		return false;
	if (comm)
		text[strcspn(text, "\n")] = 0;
	is = comm ? !strcmp(text, m->what) : in_cgroup(m, text);
	free(text);
	if (!is || (pid_t)ct_proc_stat(pid, pid, 4) == getpid())
		return false;
	state = ct_proc_stat(pid, pid, 3);
	return state && state != 'Z' && state != 'X';
}

static int by_number(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

int ct_match_find(const struct ct_match *m, pid_t **pids, size_t *count)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int ret = 0;

	*pids = NULL;
	*count = 0;
	while (!ret && dir && (entry = readdir(dir))) {
		pid_t pid = atoi(entry->d_name), *more;

		if (pid <= 0 || pid == getpid() || !meant(m, pid))
			continue;
		more = realloc(*pids, (*count + 1) * sizeof(*more));
		if (more) {
			*pids = more;
			more[(*count)++] = pid;
		} else {
			ret = -1;
		}
	}
	if (dir)
		closedir(dir);
	if (*count)
		qsort(*pids, *count, sizeof(**pids), by_number);
	return ret;
}
