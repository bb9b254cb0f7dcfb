// SPDX-License-Identifier: MIT
/* Reads commands from a person or from scripts and carries them out. */
#include "user/replay_term.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/cmd.h"

static volatile sig_atomic_t interrupts;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupts = 1;
}

bool term_interrupted(void *ctx)
{
	(void)ctx;
	return interrupts;
}

int term_number(const char *args, unsigned long long otherwise, unsigned long long *n, struct ct_error *err)
{
	*n = otherwise;
	if (*args && ct_parse_u64(args, 0, UINT32_MAX, n))
		return ct_fail(err, CT_EXIT_USAGE, "'%s' is not a number", args);
	return 0;
}

static int quit(struct term *t, const char *args, struct ct_error *err)
{
	(void)args;
	(void)err;
	t->quit = true;
	return 0;
}

static term_command help;

static const struct {
	const char *name, *brief;
	term_command *run;
	const char *args, *text;
	bool repeats; /* by an empty line */
} commands[] = {
	{"step", "s", term_step, "[N]", "to the next source line, into functions; without lines: an instruction", true},
	{"next", "n", term_next, "[N]", "to the next source line, over calls", true},
	{"finish", "fin", term_finish, "", "until this function has returned", true},
	{"stepi", "si", term_stepi, "[N]", "one instruction", true},
	{"back", "", term_back, "[N]", "to the source line before, over calls", true},
	{"rstep", "rs", term_rstep, "[N]", "to the source line before, into functions", true},
	{"rfinish", "", term_rfinish, "", "back to the call of this function", true},
	{"backi", "bi", term_backi, "[N]", "one instruction back", true},
	{"continue", "c", term_continue, "", "to the next breakpoint, watchpoint or signal", true},
	{"rc", "", term_rc, "", "back to the last one", true},
	{"goto", "", term_goto, "POS", "to e:NUMBER, e:NUMBER@ADDRESS#PASS, tick:NUMBER, t:+1.25s, start, end", false},
	{"break", "b", term_break, "[WHERE [if EXPR]]", "stop at FUNCTION, FILE:LINE, LINE, *ADDRESS; alone: list them",
	 false},
	{"watch", "", term_watch, "EXPR", "stop where it is written; backwards: where it will be", false},
	{"delete", "d", term_delete, "[N]", "breakpoint or watchpoint N, or all", false},
	{"catch", "", term_catch, "WHAT [off]", "stop at signals (on), syscalls, execs (on)", false},
	{"print", "p", term_print, "EXPR", "a value: variables, $registers, a->b[2], *p, &x, arithmetic", false},
	{"locals", "", term_locals, "", "arguments and variables of the function", false},
	{"x", "", term_examine, "EXPR [BYTES]", "memory there", false},
	{"registers", "reg", term_registers, "", "all general ones", false},
	{"bt", "", term_bt, "[N]", "the stack", false},
	{"frame", "f", term_frame, "[N]", "look at frame N of it", false},
	{"up", "", term_up, "", "look at the caller", false},
	{"down", "", term_down, "", "... and back", false},
	{"threads", "t", term_threads, "[TID]", "list threads; look at this one", false},
	{"list", "l", term_list, "[WHERE]", "source lines, or instructions", true},
	{"events", "e", term_events, "[N]", "the recorded events before and behind this moment", false},
	{"when", "w", term_when, "", "this moment, as `goto` takes it", false},
	{"status", "", term_status, "", "what is looked at, and checkpoints", false},
	{"help", "h", help, "", "this list", false},
	{"quit", "q", quit, "", "", false},
};
#define COMMANDS (sizeof(commands) / sizeof(*commands))

static int help(struct term *t, const char *args, struct ct_error *err)
{
	(void)args;
	(void)err;
	for (size_t i = 0; i < COMMANDS; i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s%s%s %s", commands[i].name, *commands[i].brief ? ", " : "",
			 commands[i].brief, commands[i].args);
		ct_out_fmt(&t->out, "  %-28s %s\n", name, commands[i].text);
	}
	ct_out_str(&t->out, "Any beginning of a name that is the only one of its kind will do.\n");
	return 0;
}

/* Index of the command, -1: none, or one of several. */
static int find(const char *name, size_t len, struct ct_error *err)
{
	int found = -1;

	for (size_t i = 0; i < COMMANDS; i++) {
		if ((strlen(commands[i].name) == len && !strncmp(commands[i].name, name, len)) ||
		    (strlen(commands[i].brief) == len && !strncmp(commands[i].brief, name, len)))
			return (int)i;
		if (!strncmp(commands[i].name, name, len))
			found = found == -1 ? (int)i : -2;
	}
	if (found < 0)
		ct_fail(err, CT_EXIT_USAGE,
			found == -1 ? "there is no command '%.*s'; `help` lists them"
				    : "'%.*s' may be one of several commands",
			(int)len, name);
	return found;
}

/* Carries out a line; *which is its command, -1: there is none. */
static int execute(struct term *t, char *line, int *which, struct ct_error *err)
{
	size_t len = strlen(line), name = 0;

	while (len && isspace((unsigned char)line[len - 1]))
		line[--len] = 0;
	line += strspn(line, " \t");
	*which = -1;
	if (!*line || *line == '#')
		return 0;
	while (isalnum((unsigned char)line[name]))
		name++;
	if (line[name] && !isspace((unsigned char)line[name]))
		return ct_fail(err, CT_EXIT_USAGE, "'%s' is no command; `help` lists them", line);
	*which = find(line, name, err);
	if (*which < 0)
		return -1;
	interrupts = 0;
	line += name;
	return commands[*which].run(t, line + strspn(line, " \t"), err);
}

/* All commands of a file, up to the first that fails. */
static int run_script(struct term *t, const char *path, struct ct_error *err)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	unsigned number = 0;
	int which, ret = 0;

	if (!f)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s", path);
	while (!ret && !t->quit && getline(&line, &room, f) > 0) {
		number++;
		ret = execute(t, line, &which, err);
		if (ret) {
			struct ct_error why = *err;

			ct_fail(err, why.status, "%s:%u: %s", path, number, why.msg);
		}
		ct_out_flush(&t->out);
	}
	free(line);
	fclose(f);
	return ret;
}

static void converse(struct term *t)
{
	const bool person = isatty(STDIN_FILENO);
	char *line = NULL, again[64] = "";
	size_t room = 0;
	int which;

	while (!t->quit) {
		struct ct_error err = {0};
		const char *end;

		if (person)
			ct_out_str(&t->out, "(ctbpf) ");
		ct_out_flush(&t->out);
		interrupts = 0;
		if (getline(&line, &room, stdin) <= 0) {
			if (feof(stdin) || errno != EINTR)
				break;
			clearerr(stdin);
			ct_out_char(&t->out, '\n');
			continue;
		}
		end = line + strspn(line, " \t\n");
		if (person && !*end && *again) {
			free(line);
			line = strdup(again);
			room = line ? strlen(line) + 1 : 0;
			if (!line)
				break;
		}
		if (execute(t, line, &which, &err))
			ct_out_fmt(&t->out, "%s\n", err.msg);
		if (which >= 0)
			snprintf(again, sizeof(again), "%s", commands[which].repeats ? commands[which].name : "");
	}
	if (person && !t->quit)
		ct_out_char(&t->out, '\n');
	free(line);
}

int ct_replay_terminal(struct ct_recording *rec, const struct ct_replay_term *opts, struct ct_error *err)
{
	const struct ct_timeline_opts how = {.from = opts->from, .pid = opts->pid};
	struct sigaction sa = {.sa_handler = on_interrupt}, old; /* no SA_RESTART: it ends the reading of a line, too */
	struct term *t = calloc(1, sizeof(*t));
	int ret = t ? 0 : ct_fail(err, CT_EXIT_FAILED, "out of memory");

	if (t) {
		t->signals = t->execs = true;
		t->tl = ct_timeline_create(rec, &how, err);
		t->sy = t->tl ? ct_symbols_create(t->tl, err) : NULL;
		ret = t->sy && (!opts->to || !ct_timeline_seek_text(t->tl, opts->to, err)) && !term_moved(t, err) ? 0
														  : -1;
	}
	if (!ret) {
		ct_out_open(&t->out, STDOUT_FILENO);
		ct_timeline_set_interrupt(t->tl, term_interrupted, t);
		sigaction(SIGINT, &sa, &old);
		if (!opts->batch) {
			struct ct_error ignored;

			term_status(t, "", &ignored);
			term_tell_place(t, false);
			if (isatty(STDIN_FILENO))
				ct_out_str(&t->out, "`help` lists the commands.\n");
			ct_out_flush(&t->out);
		}
		for (unsigned i = 0; i < opts->nscripts && !ret && !t->quit; i++)
			ret = run_script(t, opts->script[i], err);
		if (!ret && !t->quit && !opts->batch)
			converse(t);
		sigaction(SIGINT, &old, NULL);
		if (ct_out_close(&t->out) && !ret)
			ret = ct_fail(err, CT_EXIT_FAILED, "cannot write to standard output");
	}
	if (t) {
		term_free_points(t);
		term_forget_stack(t);
		ct_symbols_destroy(t->sy);
		ct_timeline_destroy(t->tl);
		free(t->path);
		free(t->text);
	}
	free(t);
	return ret;
}
