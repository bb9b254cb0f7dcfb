// SPDX-License-Identifier: MIT
/* ctbpf index: replays a recording with agents in its interpreters and tells every line, call and value. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "replay/agents/agent.h"
#include "replay/session.h"
#include "replay/steps/steps.h"
#include "replay/stretch.h"
#include "user/cmd.h"
#include "user/index_store.h"

static const char help[] =
	"usage: ctbpf index [options] RECORDING\n"
	"\n"
	"Replays a recording and finds out what its interpreters did: every line that was executed, every call\n"
	"with arguments and result, every exception, every change of a variable. The recorded program paid\n"
	"nothing for that. The result is the step database in the recording, which `ctbpf query` reads. The\n"
	"replay is compared with the recording as `ctbpf verify` does.\n"
	"Interpreters: CPython 3.11 to 3.14, Ruby 3.1 and 3.3 (without its JIT), whether or not they have symbols.\n"
	"\n"
	"  -p, --print       no database: one line of text for each step, call and value\n"
	"  -F, --files PART  only files whose path contains PART\n"
	"  -V, --no-values   no arguments and variables, only lines, calls, results, exceptions: faster\n"
	"      --depth N     how deep to look into containers and objects (default 3)\n"
	"      --items N     how many items of each (default 16)\n"
	"      --bytes N     how many characters or bytes of a string (default 80)\n"
	"  -h, --help        this text\n"
	"\n"
	"example:\n"
	"  ctbpf record -o app.ctr -- python3 app.py\n"
	"  ctbpf index --print --files app.py app.ctr\n"
	"\n"
	"exit status: 0 all of it replayed and compared, 1 failed, 2 usage, 5 diverged or different\n";

struct options {
	bool print;
	const char *files;
	struct ct_step_limits limits;
};

/* One line on a terminal, twice a second. */
struct progress {
	const struct ct_stretch *st;
	size_t number, count;
	struct timespec shown;
	unsigned skip;
};

static bool now_and_then(void *ctx, const struct ct_event *ev)
{
	struct progress *p = ctx;

	(void)ev;
	return ++p->skip % 64 == 0;
}

static int show_progress(void *ctx, struct ct_session *s, const struct ct_event *ev)
{
	struct progress *p = ctx;
	struct timespec now;

	(void)s;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec - p->shown.tv_sec + (now.tv_nsec - p->shown.tv_nsec) / 1e9 < 0.5)
		return 0;
	p->shown = now;
	fprintf(stderr, "\rstretch %zu of %zu: %3llu %% \033[K", p->number, p->count,
		(unsigned long long)((ev->seq - p->st->begin) * 100 / (p->st->events ? p->st->events : 1)));
	return 0;
}

static int index_stretch(struct ct_recording *rec, const struct ct_stretch *st, struct ct_agents *agents,
			 struct progress *progress, struct ct_error *err)
{
	const struct ct_session_hook hook = {now_and_then, show_progress, progress};
	struct ct_session *s = ct_session_create(rec, st->from, NULL, err);
	struct ct_comparison comparison;
	int ret = -1;

	progress->st = st;
	progress->number++;
	if (s && isatty(STDERR_FILENO))
		ct_session_set_hook(s, &hook);
	if (s && !ct_session_watch(s, agents, err)) {
		ret = ct_session_run(s, st->end, err);
		if (!ret && st->to)
			ret = ct_session_compare(s, st->to, stderr, &comparison, err);
	}
	if (s)
		ct_session_destroy(s);
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	/* What was seen up to a divergence is of use too. */
	if (!ct_agents_error(agents)) {
		struct ct_error late = {0};

		if (ct_agents_finish(agents, &late) && ret >= 0) {
			*err = late;
			ret = -1;
		}
	}
	return ret;
}

static int run(struct ct_recording *rec, const struct options *o, FILE *out, struct ct_error *err)
{
	struct ct_step_sink sink;
	struct ct_stepdb_counts counts;
	struct ct_index_store *store = NULL;
	struct ct_step_printer *printer = NULL;
	struct ct_stretches list = {0};
	struct progress progress = {0};
	struct ct_agents_stats stats;
	struct ct_agents *agents;
	int status = CT_EXIT_OK;

	if (o->print && !(printer = ct_step_printer_create(out, &sink)))
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	if (!o->print && !(store = ct_index_store_create(rec, &sink, err)))
		return -1;
	agents = ct_agents_create(&sink, &o->limits, o->files, err);
	if (!agents || ct_stretches_find(rec, &list, err)) {
		ct_agents_destroy(agents);
		ct_step_printer_destroy(printer);
		ct_index_store_destroy(store);
		return -1;
	}
	progress.count = list.count;
	for (size_t i = 0; i < list.count; i++) {
		const struct ct_stretch *st = &list.list[i];
		int ret;

		if (st->broken_at)
			fprintf(stderr, "ctbpf index: stretch %zu is broken at event %llu: %s\n", i + 1,
				(unsigned long long)st->broken_at, st->broken);
		ret = index_stretch(rec, st, agents, &progress, err);
		if (ret < 0) {
			fprintf(stderr, "ctbpf index: stretch %zu: %s\n", i + 1, err->msg);
			status = err->status == CT_EXIT_DIVERGED ? CT_EXIT_DIVERGED : CT_EXIT_FAILED;
			break;
		}
		if (ret > 0) {
			fprintf(stderr, "ctbpf index: stretch %zu: the replay is not identical to the recording\n",
				i + 1);
			status = CT_EXIT_DIVERGED;
		}
	}
	ct_stretches_deinit(&list);
	ct_agents_stats(agents, &stats);
	if (*stats.unwatched)
		fprintf(stderr, "ctbpf index: not watched: %s\n", stats.unwatched);
	else if (!stats.installed && status == CT_EXIT_OK)
		fprintf(stderr, "ctbpf index: no interpreter ran in this recording\n");
	ct_agents_destroy(agents);
	ct_step_printer_destroy(printer);
	if (!store)
		return status;
	/* What was seen up to a divergence is kept; then it is not complete. */
	if (ct_index_store_finish(store, status == CT_EXIT_OK, err)) {
		ct_index_store_destroy(store);
		return -1;
	}
	ct_index_store_counts(store, &counts);
	ct_index_store_destroy(store);
	fprintf(out, "%llu lines, %llu calls, %llu values\n", (unsigned long long)counts.steps,
		(unsigned long long)counts.calls, (unsigned long long)counts.values);
	return status;
}

int cmd_index(int argc, char **argv)
{
	static const struct option options[] = {
		{"print", no_argument, NULL, 'p'},       {"files", required_argument, NULL, 'F'},
		{"no-values", no_argument, NULL, 'V'},   {"depth", required_argument, NULL, 'd'},
		{"items", required_argument, NULL, 'i'}, {"bytes", required_argument, NULL, 'b'},
		{"help", no_argument, NULL, 'h'},        {0},
	};
	struct options o = {.limits = {.values = true, .depth = 3, .items = 16, .bytes = 80}};
	struct ct_recording *rec;
	struct ct_error err = {0};
	unsigned long long n;
	int opt, status;

	while ((opt = getopt_long(argc, argv, "pF:Vh", options, NULL)) != -1) {
		switch (opt) {
		case 'p': o.print = true; break;
		case 'F': o.files = optarg; break;
		case 'V': o.limits.values = false; break;
		case 'd':
			if (ct_parse_u64(optarg, 0, 16, &n))
				return ct_cmd_usage(argv, "--depth takes a number from 0 to 16, not '%s'", optarg);
			o.limits.depth = (unsigned)n;
			break;
		case 'i':
			if (ct_parse_u64(optarg, 0, 4096, &n))
				return ct_cmd_usage(argv, "--items takes a number from 0 to 4096, not '%s'", optarg);
			o.limits.items = (unsigned)n;
			break;
		case 'b':
			if (ct_parse_u64(optarg, 0, 4096, &n))
				return ct_cmd_usage(argv, "--bytes takes a number from 0 to 4096, not '%s'", optarg);
			o.limits.bytes = (unsigned)n;
			break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (optind + 1 != argc)
		return ct_cmd_usage(argv, "give one recording");
	rec = ct_recording_open(argv[optind], &err);
	if (!rec)
		return ct_cmd_fail(argv, &err);
	status = run(rec, &o, stdout, &err);
	ct_recording_close(rec);
	return status < 0 ? ct_cmd_fail(argv, &err) : status;
}
