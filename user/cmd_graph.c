/* SPDX-License-Identifier: MIT
 * ctbpf graph: who called whom, as a tree, with the lines or the time of every branch.
 *
 * graph_build.c makes it, graph_print.c draws it. */
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "graph.h"

static const char help[] =
	"usage: ctbpf graph [OPTION...] RECORDING\n"
	"\n"
	"Draw the tree of calls of a recorded program: for each way by which a function was reached, how much ran in "
	"it\n"
	"and in what it called, and how often. In steps (lines run), which are exact, or in time. Needs the step\n"
	"database that `ctbpf index RECORDING` builds.\n"
	"\n"
	"choose:\n"
	"  --function GLOB  trees that begin at functions of this name: 'handle', 'Parser.*'\n"
	"  --call ID        the tree of one call (`ctbpf query --slowest` shows ids)\n"
	"  --calls          with --call: every call in it by itself, in the order of the run\n"
	"  --from POS       from this position on: a step s:NUMBER, an event e:NUMBER, a time t:+1.25s\n"
	"  --to POS         up to this position, inclusive\n"
	"  --thread TID     only this thread\n"
	"\n"
	"show:\n"
	"  --by KEY         steps or time (steps; time if there are none, as of calls recorded live)\n"
	"  --depth N        levels shown (32; 0: all)\n"
	"  --min PERCENT    only branches with at least so much of the whole (0)\n"
	"  --json           one JSON object a node, parents first, times in nanoseconds\n"
	"  -h, --help       this text\n"
	"\n"
	"examples:\n"
	"  ctbpf graph web.ctr\n"
	"  ctbpf graph --function 'handle*' --min 1 --depth 5 web.ctr\n"
	"  ctbpf graph --call 4711 --calls web.ctr\n"
	"\n"
	"exit codes: 0 success, 1 no answer (no step database, no such function, damaged), 2 wrong usage\n";

enum { OPT_FUNCTION = 256, OPT_CALL, OPT_CALLS, OPT_FROM, OPT_TO, OPT_THREAD, OPT_BY, OPT_DEPTH, OPT_MIN, OPT_JSON };

struct choice {
	struct graph *g;
	const char *function, *from, *to;
	ct_u32 tid;
};

static int run(void *ctx, struct ct_error *err)
{
	const struct choice *c = ctx;
	struct ct_stepdb_info info;
	struct graph *g = c->g;

	if (query_open_steps(&g->q, true, err) < 0 || query_find_span(&g->q, c->from, c->to, &g->span, err) < 0)
		return -1;
	ct_stepdb_info(g->q.db, &info);
	g->by_time |= !info.steps; /* calls that were seen live have no lines */
	if (c->tid && !(g->threads = query_find_threads(&g->q, c->tid, err)))
		return -1;
	if (c->function && !(g->roots = query_match_functions(&g->q, c->function, err)))
		return -1;
	return graph_build(g, err) < 0 ? -1 : graph_print(g, err);
}

int cmd_graph(int argc, char **argv)
{
	static const struct option options[] = {{"function", required_argument, NULL, OPT_FUNCTION},
						{"call", required_argument, NULL, OPT_CALL},
						{"calls", no_argument, NULL, OPT_CALLS},
						{"from", required_argument, NULL, OPT_FROM},
						{"to", required_argument, NULL, OPT_TO},
						{"thread", required_argument, NULL, OPT_THREAD},
						{"by", required_argument, NULL, OPT_BY},
						{"depth", required_argument, NULL, OPT_DEPTH},
						{"min", required_argument, NULL, OPT_MIN},
						{"json", no_argument, NULL, OPT_JSON},
						{"help", no_argument, NULL, 'h'},
						{0}};
	unsigned long long depth = 32, call = 0;
	struct graph g = {0};
	struct choice choice = {.g = &g};
	char *end;
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case OPT_FUNCTION: choice.function = optarg; break;
		case OPT_CALL:
			if (ct_parse_u64(optarg, 1, LLONG_MAX, &call))
				return ct_cmd_usage(argv, "--call wants a call's number, not '%s'", optarg);
			break;
		case OPT_CALLS: g.single = true; break;
		case OPT_FROM: choice.from = optarg; break;
		case OPT_TO: choice.to = optarg; break;
		case OPT_THREAD:
			if (!query_thread_option(argv, optarg, &choice.tid))
				return CT_EXIT_USAGE;
			break;
		case OPT_BY:
			if (strcmp(optarg, "steps") != 0 && strcmp(optarg, "time") != 0)
				return ct_cmd_usage(argv, "--by wants steps or time, not '%s'", optarg);
			g.by_time = optarg[0] == 't';
			break;
		case OPT_DEPTH:
			if (ct_parse_u64(optarg, 0, UINT_MAX, &depth))
				return ct_cmd_usage(argv, "--depth wants a number of levels, not '%s'", optarg);
			break;
		case OPT_MIN:
			g.min = strtod(optarg, &end);
			if (end == optarg || *end || !(g.min >= 0 && g.min <= 100))
				return ct_cmd_usage(argv, "--min wants a percentage, not '%s'", optarg);
			break;
		case OPT_JSON: g.q.form = QUERY_JSON; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (ct_cmd_one_recording(argc, argv))
		return CT_EXIT_USAGE;
	if (g.single && !call)
		return ct_cmd_usage(argv, "--calls wants --call ID: which call to look into");
	if (call && (choice.function || choice.from || choice.to || choice.tid))
		return ct_cmd_usage(argv,
				    "--call is a stretch and a function by itself: leave --function, --from, --to "
				    "and --thread out");

	g.call = call;
	g.depth = depth;
	ret = query_run(&g.q, argv, run, &choice);
	ct_keymap_free(&g.map);
	free(g.node);
	free(g.threads);
	free(g.roots);
	return ret;
}
