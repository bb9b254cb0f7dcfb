/* SPDX-License-Identifier: MIT
 * The `ctbpf` program: finds the command, hands over, and sees that the output got out.
 *
 * To add a command: write cmd_NAME.c, declare it in cmd.h, add a row to the table below. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
};

static const struct command commands[] = {
	{"record", cmd_record, "attach to a process, or start one, and record it"},
	{"check", cmd_check, "say whether this machine, and a process, can be recorded"},
	{"list", cmd_list, "say which functions of a process can be probed, and at which cost"},
	{"info", cmd_info, "summarise a recording"},
	{"ls", cmd_ls, "list recordings"},
	{"dump", cmd_dump, "print the events of a recording"},
	{"detach", cmd_detach, "undo what a killed recorder left in a process"},
	{"trigger", cmd_trigger, "keep what a running recording has at this moment"},
	{"stop", cmd_stop, "pause a recording of live calls"},
	{"start", cmd_start, "go on with it"},
	{"daemon", cmd_daemon, "record services for ever, whenever they run"},
	{"replay", cmd_replay, "execute a recording again"},
	{"core", cmd_core, "write a core file of a moment"},
	{"report", cmd_report, "sum up: functions, system calls, time off the CPU, exceptions"},
	{"graph", cmd_graph, "draw the tree of calls"},
	{"script", cmd_script, "tell a stretch of the run line by line"},
	{"query", cmd_query, "ask what the program did, line by line"},
	{"verify", cmd_verify, "replay a recording and prove that it is the same"},
	{"index", cmd_index, "find out every line, call and value of the interpreters in a recording"},
	{"export", cmd_export, "write a recording in the format of another tool"},
	{"stack", cmd_stack, "show the stacks of a live process, native and interpreted"},
	{"top", cmd_top, "show which functions a live process spends its time in"},
	{"pack", cmd_pack, "put a recording into one file"},
	{"rm", cmd_rm, "remove recordings"},
	{"dap", cmd_dap, "debug a recording in an editor, forwards and backwards"},
	{"replay-worker", cmd_replay_worker, "native recordings in CodeTracer, which starts this"},
};
#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	const struct command *found = NULL;
	for (size_t i = 0; i < NCOMMANDS && !found; i++) {
		if (!strcmp(commands[i].name, name))
			found = &commands[i];
	}
	return found;
}

static void print_help(FILE *to)
{
	fputs("ctbpf records live Linux processes so that they can be replayed exactly.\n"
	      "\n"
	      "usage: ctbpf COMMAND [OPTION...] [ARGUMENT...]\n"
	      "       ctbpf help COMMAND | --help | --version\n"
	      "\n"
	      "commands:\n",
	      to);
	for (size_t i = 0; i < NCOMMANDS; i++)
		fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].help);
	fputs("\n"
	      "examples:\n"
	      "  sudo ctbpf check -p $(pidof redis-server)      can it be recorded?\n"
	      "  sudo ctbpf record -p $(pidof redis-server) -d 10\n"
	      "  ctbpf info ctbpf-redis-server-*.ctr\n"
	      "  ctbpf dump ctbpf-redis-server-*.ctr | less\n"
	      "\n"
	      "exit codes: 0 success, 1 failed, 2 wrong usage, 3 nothing attached, 4 events lost with --strict,\n"
	      "5 diverged or not verified, 77 missing privilege or kernel feature; `record -- CMD` exits as CMD did.\n",
	      to);
}

/* Optimal string alignment distance: insertions, deletions, substitutions and swapped neighbours count one. */
static size_t edit_distance(const char *a, const char *b)
{
	enum { MAX = 16 };
	size_t la = strlen(a), lb = strlen(b), d[MAX + 1][MAX + 1];
	if (la > MAX || lb > MAX)
		return MAX;
	for (size_t i = 0; i <= la; i++) {
		for (size_t j = 0; j <= lb; j++) {
			if (!i || !j) {
				d[i][j] = i + j;
				continue;
			}
			size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
			if (swapped && d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[la][lb];
}

static int unknown_command(const char *name)
{
	const char *guess = NULL;
	size_t guess_distance = 3; /* farther than two typing errors is not a guess */
	for (size_t i = 0; i < NCOMMANDS; i++) {
		size_t distance = edit_distance(name, commands[i].name);
		/* "rec", "det": the start of exactly one name is a good guess however short. */
		if (strlen(name) >= 2 && !strncmp(name, commands[i].name, strlen(name)))
			distance = 1;
		if (distance < guess_distance && distance < strlen(commands[i].name)) {
			guess = commands[i].name;
			guess_distance = distance;
		}
	}
	fprintf(stderr, "ctbpf: there is no %s '%s'", name[0] == '-' ? "option" : "command", name);
	if (guess)
		fprintf(stderr, "; did you mean '%s'?\n", guess);
	else
		fputs("; `ctbpf --help` lists the commands\n", stderr);
	return CT_EXIT_USAGE;
}

static int run_command(const struct command *command, int argc, char **argv)
{
	char title[32];
	snprintf(title, sizeof(title), "ctbpf %s", command->name);
	argv[0] = title;
	return command->run(argc, argv);
}

static int dispatch(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return CT_EXIT_USAGE;
	}
	const char *name = argv[1];
	if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
		puts("ctbpf " CTBPF_VERSION);
		return CT_EXIT_OK;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-h") || (!strcmp(name, "help") && argc == 2)) {
		print_help(stdout);
		return CT_EXIT_OK;
	}
	if (!strcmp(name, "help")) {
		const struct command *command = find_command(argv[2]);
		char help[] = "--help", *help_argv[] = {NULL, help, NULL};
		return command ? run_command(command, 2, help_argv) : unknown_command(argv[2]);
	}
	const struct command *command = find_command(name);
	return command ? run_command(command, argc - 1, argv + 1) : unknown_command(name);
}

int main(int argc, char **argv)
{
	int ret = dispatch(argc, argv);
	/* A reader that has seen enough (`| head`) is no error; a full disk is. */
	errno = 0;
	bool write_failed = fflush(stdout) || ferror(stdout);
	if (write_failed && errno != EPIPE && ret == CT_EXIT_OK) {
		fprintf(stderr, "ctbpf: cannot write to standard output: %s\n",
			errno ? strerror(errno) : "an earlier write failed");
		ret = CT_EXIT_FAILED;
	}
	return ret;
}
