/* SPDX-License-Identifier: MIT
 * ctbpf script: what a recorded program did, line after line: calls, lines, values, exceptions, system calls.
 *
 * script_tell.c puts them in order, script_print.c shows them. */
#include <getopt.h>
#include <stdlib.h>

#include "cmd.h"
#include "script.h"

static const char help[] =
	"usage: ctbpf script [OPTION...] RECORDING\n"
	"\n"
	"Tell a stretch of the run: calls with arguments, lines with their text, variables that changed, results,\n"
	"exceptions, and between them what the program did to the outside: system calls, signals, threads. Needs the\n"
	"step database that `ctbpf index RECORDING` builds. Lines begin with a position (s:STEP or e:EVENT), time "
	"since\n"
	"the start, and thread.\n"
	"\n"
	"  -> f(a=1)    a call, with arguments      => f    a generator goes on     .. f    was running already\n"
	"  <- 7         it returns                  <= 7    it yields               <! E    an exception leaves it\n"
	"      12  x = a    line 12 is run                  x = 1   a variable has this value from this line on\n"
	"       !  E        an exception is raised       *  read(...) = 5    an event of the log\n"
	"\n"
	"choose:\n"
	"  --from POS       from this position on: a step s:NUMBER, an event e:NUMBER, a time t:+1.25s, start (the\n"
	"                   first line)\n"
	"  --to POS         up to this position, inclusive\n"
	"  --thread TID     only this thread\n"
	"  --function GLOB  only inside of functions of this name: 'handle', 'Parser.*'\n"
	"  --no-values      no arguments and variables\n"
	"\n"
	"show:\n"
	"  --json           one JSON object a line, times in nanoseconds\n"
	"  -h, --help       this text\n"
	"\n"
	"An event is told behind the last line that is known to be before it.\n"
	"\n"
	"Source text comes from the path that the step database names, if the file is as it was, or from the copy "
	"that\n"
	"the recording keeps of it; else the path is shown.\n"
	"\n"
	"examples:\n"
	"  ctbpf script --from t:+1.5s --to t:+1.6s web.ctr\n"
	"  ctbpf script --function 'handle' --no-values web.ctr | less\n"
	"  ctbpf script --from s:1200 --json web.ctr | head\n"
	"\n"
	"exit codes: 0 success, 1 no answer (no step database, no such function, damaged), 2 wrong usage\n";

enum { OPT_FROM = 256, OPT_TO, OPT_THREAD, OPT_FUNCTION, OPT_NO_VALUES, OPT_JSON };

struct asked {
	struct script *s;
	const char *from, *to, *function;
};

static int run(void *ctx, struct ct_error *err)
{
	const struct asked *a = ctx;
	struct script *s = a->s;
	ct_u64 row[CT_STEP_NCOLS];
	struct ct_stepdb_info info;

	if (query_open_steps(&s->q, true, err) < 0 || query_find_span(&s->q, a->from, a->to, &s->span, err) < 0)
		return -1;
	if (s->tid && !(s->threads = query_find_threads(&s->q, s->tid, err)))
		return -1;
	if (a->function && !(s->functions = query_match_functions(&s->q, a->function, err)))
		return -1;
	/* Programs do much before their first line; `--from start` tells it. */
	ct_stepdb_info(s->q.db, &info);
	if (!a->from && info.steps) {
		if (!ct_stepdb_step_row(s->q.db, 1, row, err))
			return -1;
		s->span.first_seq = row[CT_STEP_EVENT] + 1;
	}
	s->sources = ct_sources_create(s->q.rec, s->q.db);
	if (!s->sources)
		return ct_fail_memory(err);
	return script_tell(s, err);
}

int cmd_script(int argc, char **argv)
{
	static const struct option options[] = {{"from", required_argument, NULL, OPT_FROM},
						{"to", required_argument, NULL, OPT_TO},
						{"thread", required_argument, NULL, OPT_THREAD},
						{"function", required_argument, NULL, OPT_FUNCTION},
						{"no-values", no_argument, NULL, OPT_NO_VALUES},
						{"json", no_argument, NULL, OPT_JSON},
						{"help", no_argument, NULL, 'h'},
						{0}};
	struct script s = {.dump = {.strmax = 64}};
	struct asked asked = {.s = &s};
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case OPT_FROM: asked.from = optarg; break;
		case OPT_TO: asked.to = optarg; break;
		case OPT_THREAD:
			if (!query_thread_option(argv, optarg, &s.tid))
				return CT_EXIT_USAGE;
			break;
		case OPT_FUNCTION: asked.function = optarg; break;
		case OPT_NO_VALUES: s.no_values = true; break;
		case OPT_JSON: s.q.form = QUERY_JSON; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (ct_cmd_one_recording(argc, argv))
		return CT_EXIT_USAGE;

	ret = query_run(&s.q, argv, run, &asked);
	ct_sources_destroy(s.sources);
	free(s.threads);
	free(s.functions);
	return ret;
}
