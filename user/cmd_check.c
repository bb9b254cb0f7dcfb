/* SPDX-License-Identifier: MIT
 * ctbpf check: can this machine, and a given process, be recorded and replayed?
 *
 * The findings come from survey_system.c and attach/survey.c; this prints them and draws the conclusion. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach/survey_priv.h"
#include "calls.h"
#include "cmd.h"
#include "live.h"
#include "out.h"
#include "survey_system.h"

static const char help[] =
	"usage: ctbpf check [-p PID[,PID...]] [OPTION...]\n"
	"\n"
	"Say whether this machine can record, and whether given processes can be recorded and replayed, without\n"
	"touching them. Each finding is one of: ok, note, DEGRADES (slower or less complete), NO REPLAY (events\n"
	"only), BLOCKS (no recording); where something can be done about it, the next line says what.\n"
	"\n"
	"options:\n"
	"  -p, --pid PID[,...]  look at these processes too\n"
	"  -q, --quiet          the verdicts only\n"
	"  --json               one JSON object\n"
	"  -h, --help           this text\n"
	"\n"
	"examples:\n"
	"  sudo ctbpf check\n"
	"  sudo ctbpf check -p $(pidof redis-server)\n"
	"  sudo ctbpf check --json -p 4242 | jq '.targets[0].replayable'\n"
	"\n"
	"exit codes: 0 it can be recorded and replayed, 1 something prevents that, 2 wrong usage,\n"
	"77 a privilege or a kernel feature is missing\n";

#define MAX_PIDS 64

struct check {
	struct ct_out out;
	bool json, quiet, colour;
	struct ct_findings system;
	pid_t pid[MAX_PIDS];
	size_t npids;
	int status;
};

/* The worse of the two, where a missing privilege hides what else there may be. */
static void set_status(struct check *check, const struct ct_findings *f)
{
	for (size_t i = 0; i < f->count; i++) {
		if (f->item[i].severity < CT_FIND_BLOCKS_REPLAY)
			continue;
		if (f->item[i].missing)
			check->status = CT_EXIT_MISSING;
		else if (check->status == CT_EXIT_OK)
			check->status = CT_EXIT_FAILED;
	}
}

/* Of the machine's and the target's findings (NULL: no target), the one that decides. */
static const struct ct_finding *decisive(const struct check *check, const struct ct_findings *target)
{
	const struct ct_finding *system = ct_findings_first(&check->system, CT_FIND_BLOCKS_REPLAY);
	const struct ct_finding *own = target ? ct_findings_first(target, CT_FIND_BLOCKS_REPLAY) : NULL;
	return !own || (system && system->severity > own->severity) ? system : own;
}

static void verdict(const struct check *check, const char *subject, const struct ct_findings *target, char *text,
		    size_t len)
{
	const struct ct_finding *worst = decisive(check, target);
	if (!worst)
		snprintf(text, len, target ? "%s can be recorded and replayed" : "%s can record and replay", subject);
	else if (worst->severity == CT_FIND_BLOCKS)
		snprintf(text, len, target ? "%s cannot be recorded: %s" : "%s cannot record: %s", subject,
			 worst->what);
	else
		snprintf(text, len,
			 target ? "%s can be recorded (--no-replay) but cannot be replayed: %s"
				: "%s can record events (--no-replay), but not for replay: %s",
			 subject, worst->what);
}

/* ---- Text ---- */

static void print_findings(struct check *check, const struct ct_findings *f)
{
	static const char *const colour[] = {"\033[32m", "", "\033[33m", "\033[35m", "\033[31m"};
	for (size_t i = 0; i < f->count; i++) {
		const struct ct_finding *finding = &f->item[i];
		bool paint = check->colour && colour[finding->severity][0];
		ct_out_fmt(&check->out, "  %s%-9s%s  %s\n", paint ? colour[finding->severity] : "",
			   ct_severity_name(finding->severity), paint ? "\033[0m" : "", finding->what);
		if (finding->fix[0])
			ct_out_fmt(&check->out, "             -> %s\n", finding->fix);
	}
}

/* ---- JSON ---- */

static void json_findings(struct ct_out *out, const struct ct_findings *f)
{
	static const char *const severity[] = {"ok", "note", "degrades", "blocks_replay", "blocks"};
	ct_json_open(out, "findings", '[');
	for (size_t i = 0; i < f->count; i++) {
		const struct ct_finding *finding = &f->item[i];
		ct_json_open(out, NULL, '{');
		ct_json_str(out, "severity", severity[finding->severity]);
		ct_json_str(out, "id", finding->id);
		ct_json_str(out, "what", finding->what);
		ct_json_str(out, "fix", finding->fix[0] ? finding->fix : NULL);
		ct_json_bool(out, "missing", finding->missing);
		ct_json_close(out, '}');
	}
	ct_json_close(out, ']');
}

static void json_verdict(const struct check *check, struct ct_out *out, const struct ct_findings *target,
			 const char *text)
{
	const struct ct_finding *worst = decisive(check, target);
	ct_json_bool(out, "recordable", !worst || worst->severity < CT_FIND_BLOCKS);
	ct_json_bool(out, "replayable", !worst);
	ct_json_str(out, "verdict", text);
}

/* ---- The command ---- */

static int check_system(struct check *check, struct ct_error *err)
{
	char text[512];
	if (ct_survey_system(&check->system, err) < 0)
		return -1;
	set_status(check, &check->system);
	verdict(check, "this machine", NULL, text, sizeof(text));
	if (check->json) {
		ct_json_open(&check->out, "system", '{');
		json_findings(&check->out, &check->system);
		json_verdict(check, &check->out, NULL, text);
		ct_json_close(&check->out, '}');
	} else {
		if (!check->quiet) {
			ct_out_str(&check->out, "this machine\n");
			print_findings(check, &check->system);
		}
		if (!check->npids)
			ct_out_fmt(&check->out, "%s\n", text);
	}
	return 0;
}

/* Which calls can be recorded live. How many interpreters there are. */
static size_t find_calls(pid_t pid, struct ct_findings *f)
{
	struct ct_call_language list[CT_CALL_LANGUAGES];
	const size_t n = ct_call_languages(pid, list);

	for (size_t i = 0; i < n; i++)
		if (list[i].why[0])
			ct_finding_add(f, CT_FIND_NOTE, "calls", "of it, only native functions can be recorded live",
				       "no live calls of %s: %.280s", list[i].name, list[i].why);
		else
			ct_finding_add(f, CT_FIND_NOTE, "calls", list[i].part,
				       "%s %s: %s call%s while it runs (ctbpf record --no-replay --calls=%s)",
				       list[i].name, list[i].version, list[i].part ? "some" : "every",
				       list[i].part ? "s" : "", list[i].option);
	return n;
}

/* What can be had of its interpreters. */
static void find_interpreters(pid_t pid, struct ct_findings *f)
{
	struct live_runtime list[LIVE_RUNTIMES];
	const size_t n = live_find_runtimes(pid, list);

	for (size_t i = 0; i < n; i++)
		if (*list[i].trouble)
			ct_finding_add(f, CT_FIND_NOTE, "interpreter", "only native frames can be had of it",
				       "%s: %.280s", list[i].name, list[i].trouble);
		else
			ct_finding_add(
				f, CT_FIND_NOTE, "interpreter", NULL,
				"%s: frames and variables of the live process (ctbpf stack, ctbpf top); lines, calls "
				"and values of a recording (ctbpf index)",
				list[i].name);
	const size_t calls = find_calls(pid, f);

	if (!n && ct_findings_by_id(f, "runtime"))
		ct_finding_add(f, CT_FIND_NOTE, "interpreter", NULL,
			       "%sstacks are native ones, and a recording has its events",
			       calls ? "frames of this runtime cannot be read: "
				     : "what this runtime does is not known: ");
}

static int check_target(struct check *check, pid_t pid, struct ct_error *err)
{
	struct ct_findings findings = {0};
	char label[48], text[512], comm[16];
	bool named = ct_proc_comm(pid, comm); /* before it may exit */
	ct_target_label(label, sizeof(label), pid);
	int ret = ct_survey_target(pid, &findings, err);
	if (!ret) {
		find_interpreters(pid, &findings);
		set_status(check, &findings);
		verdict(check, label, &findings, text, sizeof(text));
	}
	if (!ret && check->json) {
		ct_json_open(&check->out, NULL, '{');
		ct_json_s64(&check->out, "pid", pid);
		ct_json_str(&check->out, "comm", named ? comm : NULL);
		json_findings(&check->out, &findings);
		json_verdict(check, &check->out, &findings, text);
		ct_json_close(&check->out, '}');
	} else if (!ret) {
		if (!check->quiet) {
			ct_out_fmt(&check->out, "\nprocess %s\n", label);
			print_findings(check, &findings);
		}
		ct_out_fmt(&check->out, "%s\n", text);
	}
	ct_findings_deinit(&findings);
	return ret;
}

static int run(struct check *check, struct ct_error *err)
{
	if (check->json)
		ct_json_open(&check->out, NULL, '{');
	int ret = check_system(check, err);
	if (check->json)
		ct_json_open(&check->out, "targets", '[');
	for (size_t i = 0; !ret && i < check->npids; i++)
		ret = check_target(check, check->pid[i], err);
	if (check->json) {
		ct_json_close(&check->out, ']');
		ct_json_s64(&check->out, "exit_status", check->status);
		ct_json_close(&check->out, '}');
		ct_json_line(&check->out);
	}
	return ret;
}

static int parse_pids(struct check *check, char *list, char **argv)
{
	for (char *item; (item = strsep(&list, ","));) {
		unsigned long long pid;
		if (ct_parse_u64(item, 1, INT_MAX, &pid))
			return ct_cmd_usage(argv, "'%s' is not a PID", item);
		if (check->npids == MAX_PIDS)
			return ct_cmd_usage(argv, "more than %d PIDs", MAX_PIDS);
		check->pid[check->npids++] = (pid_t)pid;
	}
	return CT_EXIT_OK;
}

int cmd_check(int argc, char **argv)
{
	static const struct option options[] = {{"pid", required_argument, NULL, 'p'},
						{"quiet", no_argument, NULL, 'q'},
						{"json", no_argument, NULL, 'j'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	struct check check = {.colour = ct_use_colour(STDOUT_FILENO)};
	int opt, usage;
	while ((opt = getopt_long(argc, argv, "p:qh", options, NULL)) != -1) {
		switch (opt) {
		case 'p':
			if ((usage = parse_pids(&check, optarg, argv)))
				return usage;
			break;
		case 'q': check.quiet = true; break;
		case 'j': check.json = true; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (optind != argc)
		return ct_cmd_usage(argv, "'%s' is too much; name processes with -p PID", argv[optind]);

	struct ct_error err = {0};
	ct_cmd_open(&check.out);
	int ret = run(&check, &err) < 0 ? ct_cmd_fail(argv, &err) : check.status;
	ct_findings_deinit(&check.system);
	return ct_cmd_close(argv, &check.out, ret);
}
