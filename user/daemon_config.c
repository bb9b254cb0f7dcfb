// SPDX-License-Identifier: MIT
/* The daemon's configuration: sections of `key = value`. What it says is done by root: so nobody else may write it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/cmd.h"
#include "user/daemon.h"
#include "user/recorder.h"
#include "user/rundir.h"

#define TARGETS_MAX 64
#define OPTIONS_MAX 64

static bool safe(const struct stat *st)
{
	return (!st->st_uid || st->st_uid == geteuid()) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static FILE *open_safely(const char *path, struct ct_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	FILE *f = NULL;

	if (fd < 0)
		ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot open the configuration%s", path,
			      errno == ELOOP ? ", which must not be a symbolic link" : "");
	else if (fstat(fd, &st))
		ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot tell whose it is", path);
	else if (!S_ISREG(st.st_mode) || !safe(&st))
		ct_fail(err, CT_EXIT_FAILED,
			"%s: refused: the file must belong to root, and nobody else may write it (chown root, chmod "
			"go-w)",
			path);
	else if (!ct_path_safe(path, err))
		f = fdopen(fd, "r");
	if (!f && fd >= 0)
		close(fd);
	return f;
}

void ct_daemon_target_config_deinit(struct ct_daemon_target_config *t)
{
	for (size_t i = 0; i < t->noptions; i++)
		free(t->options[i]);
	free(t->options);
	free(t->name);
	free(t->what);
	*t = (struct ct_daemon_target_config){0};
}

void ct_daemon_config_deinit(struct ct_daemon_config *c)
{
	for (size_t i = 0; i < c->ntargets; i++)
		ct_daemon_target_config_deinit(&c->target[i]);
	free(c->target);
	free(c->directory);
	*c = (struct ct_daemon_config){0};
}

bool ct_daemon_target_config_same(const struct ct_daemon_target_config *a, const struct ct_daemon_target_config *b)
{
	bool same = a->kind == b->kind && !strcmp(a->what, b->what) && a->noptions == b->noptions;

	for (size_t i = 0; same && i < a->noptions; i++)
		same = !strcmp(a->options[i], b->options[i]);
	return same;
}

/* The daemon gives these itself. */
static bool is_own(const char *option)
{
	static const char *const own[] = {"-p",     "--pid",       "-o", "--output", "--comm",    "--cgroup",
					  "--unit", "--container", "--", "-d",       "--duration"};
	size_t len = strcspn(option, "=");

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (strlen(own[i]) == len && !strncmp(own[i], option, len))
			return true;
	return false;
}

/* Words between blanks; '...' and "..." hold blanks. */
static const char *split(char *text, struct ct_daemon_target_config *t)
{
	char *to;

	t->options = calloc(OPTIONS_MAX + 1, sizeof(*t->options));
	if (!t->options)
		return "out of memory";
	for (;;) {
		char quote = 0, *word;

		text += strspn(text, " \t");
		if (!*text)
			return NULL;
		for (word = to = text; *text && (quote || (*text != ' ' && *text != '\t')); text++) {
			if (quote ? *text == quote : *text == '\'' || *text == '"')
				quote = quote ? 0 : *text;
			else
				*to++ = *text;
		}
		if (quote)
			return "a quotation mark has no end";
		if (*text)
			text++;
		*to = 0;
		if (is_own(word))
			return "which processes, where to and how long is not said in options";
		if (t->noptions == OPTIONS_MAX)
			return "too many options";
		t->options[t->noptions] = strdup(word);
		if (!t->options[t->noptions])
			return "out of memory";
		t->noptions++;
	}
}

static char *trim(char *text)
{
	size_t len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len && strchr(" \t\r\n", text[len - 1]))
		text[--len] = 0;
	return text;
}

static const char *begin_section(struct ct_daemon_config *c, char *text, struct ct_daemon_target_config **now)
{
	char *end = strchr(text, ']'), *name;

	if (!end || end[1])
		return "a section is [daemon] or [target NAME]";
	*end = 0;
	*now = NULL;
	if (!strcmp(text, "daemon"))
		return NULL;
	if (strncmp(text, "target ", 7) != 0)
		return "a section is [daemon] or [target NAME]";
	name = trim(text + 7);
	if (!ct_trigger_name_ok(name))
		return "a name has letters, digits, '.', '_' and '-'";
	for (size_t i = 0; i < c->ntargets; i++)
		if (!strcmp(c->target[i].name, name))
			return "there is a target of this name";
	if (c->ntargets == TARGETS_MAX)
		return "too many targets";
	*now = &c->target[c->ntargets];
	(*now)->name = strdup(name);
	if (!(*now)->name)
		return "out of memory";
	c->ntargets++;
	return NULL;
}

static const char *set_daemon(struct ct_daemon_config *c, const char *key, const char *value)
{
	unsigned long long n;

	if (!strcmp(key, "directory")) {
		free(c->directory);
		c->directory = strdup(value);
		return value[0] != '/' ? "directory takes an absolute path" : c->directory ? NULL : "out of memory";
	}
	if (!strcmp(key, "metrics")) {
		if (ct_parse_u64(value, 1, 65535, &n))
			return "metrics takes a port of 127.0.0.1";
		c->metrics = (unsigned)n;
		return NULL;
	}
	if (!strcmp(key, "recordings")) {
		if (ct_parse_u64(value, 1, 1000000, &n))
			return "recordings takes how many of each target are to stay";
		c->recordings = (unsigned)n;
		return NULL;
	}
	return "[daemon] has directory, metrics and recordings";
}

static const char *set_target(struct ct_daemon_target_config *t, const char *key, char *value)
{
	enum ct_match_kind kind = ct_match_named(key);

	if (!strcmp(key, "options"))
		return t->options ? "options is there twice" : split(value, t);
	if (!kind)
		return "[target NAME] has options, and one of comm, cgroup, unit, container";
	if (t->kind)
		return "one of comm, cgroup, unit, container says which processes";
	if (!ct_match_ok(&(struct ct_match){kind, value}))
		return "there can be none such";
	t->kind = kind;
	t->what = strdup(value);
	return t->what ? NULL : "out of memory";
}

int ct_daemon_config_read(const char *path, struct ct_daemon_config *c, struct ct_error *err)
{
	struct ct_daemon_target_config *now = NULL;
	const char *wrong = NULL;
	FILE *f = open_safely(path, err);
	char line[4096];
	unsigned n = 0;
	bool section = false;

	*c = (struct ct_daemon_config){.recordings = 8};
	if (!f)
		return -1;
	c->target = calloc(TARGETS_MAX, sizeof(*c->target));
	if (!c->target)
		wrong = "out of memory";
	while (!wrong && fgets(line, sizeof(line), f)) {
		char *text = trim(line), *value = strchr(text, '=');

		n++;
		if (!*text || *text == '#' || *text == ';')
			continue;
		if (*text == '[') {
			section = true;
			wrong = begin_section(c, text + 1, &now);
			continue;
		}
		if (!section || !value) {
			wrong = "a line is [section] or key = value";
			continue;
		}
		*value = 0;
		value = trim(value + 1);
		wrong = now ? set_target(now, trim(text), value) : set_daemon(c, trim(text), value);
	}
	fclose(f);
	for (size_t i = 0; !wrong && i < c->ntargets; i++)
		if (!c->target[i].kind)
			wrong = "a target lacks comm, cgroup, unit or container";
	if (!wrong && !c->directory)
		wrong = "[daemon] lacks directory";
	if (!wrong)
		return 0;
	ct_daemon_config_deinit(c);
	return ct_fail(err, CT_EXIT_USAGE, "%s:%u: %s", path, n, wrong);
}
