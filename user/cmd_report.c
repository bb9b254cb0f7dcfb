/* SPDX-License-Identifier: MIT
 * ctbpf report: where a recorded program's lines, calls and time went, in tables.
 *
 * report_calls.c asks the step database, report_log.c the log; without the first the second still answers. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "report.h"

static const char help[] =
	"usage: ctbpf report [OPTION...] RECORDING\n"
	"\n"
	"Sum up a recording: functions by lines run, time and calls; system calls by time and bytes; where threads\n"
	"were off the CPU; exceptions by type and place. System calls and off-CPU times come from the log, which is\n"
	"always there; functions and exceptions from the step database, which `ctbpf index RECORDING` builds.\n"
	"\n"
	"sections (all, if none is named):\n"
	"  --functions      functions of interpreted programs\n"
	"  --syscalls       system calls\n"
	"  --offcpu         where each thread waited\n"
	"  --exceptions     exceptions: how often, of what type, where\n"
	"\n"
	"choose:\n"
	"  --by KEY         order by steps (lines of the function itself: exact), total (with those of what it "
	"called:\n"
	"                   exact), calls, time or bytes; a section that has no such column has its own order\n"
	"  --top N          rows of each section (20; 0: all)\n"
	"  --from POS       from this position on: a step s:NUMBER, an event e:NUMBER, a time t:+1.25s\n"
	"  --to POS         up to this position, inclusive\n"
	"  --thread TID     only this thread\n"
	"\n"
	"answers:\n"
	"  --json           one JSON object a line, times in nanoseconds; `section` says of what it is\n"
	"  --csv            comma-separated values with a line of titles; one section\n"
	"  -h, --help       this text\n"
	"\n"
	"examples:\n"
	"  ctbpf report web.ctr\n"
	"  ctbpf report --functions --by total --top 50 web.ctr\n"
	"  ctbpf report --syscalls --by bytes --from t:+10s --to t:+20s redis.ctr\n"
	"  ctbpf report --offcpu --csv db.ctr >waits.csv\n"
	"\n"
	"exit codes: 0 success, 1 a section that was asked for has no answer (no step database, damaged), 2 wrong "
	"usage\n";

/* ---- What the sections share ---- */

void report_title(struct report *r, const char *title)
{
	if (r->q.form == QUERY_TABLE)
		ct_out_fmt(r->q.out, "\n%s\n\n", title);
}

void report_begin(struct report *r, struct query_rows *rows, const char *section, const char *const *names,
		  unsigned ncols, uint32_t right)
{
	query_begin(rows, r->q.out, r->q.form, names, ncols, right);
	rows->units = true;
	rows->section = section;
}

void report_end(struct report *r, struct query_rows *rows, size_t n, const char *meaning)
{
	char count[CT_HUMAN];

	query_end(rows);
	if (r->q.form != QUERY_TABLE)
		return;
	if (report_shown(r, n) < n)
		ct_out_fmt(r->q.out, "%s more; --top 0 shows all\n", ct_human_count(count, n - report_shown(r, n)));
	ct_out_str(r->q.out, meaning);
}

/* ---- The command ---- */

enum { FUNCTIONS = 1, SYSCALLS = 2, OFFCPU = 4, EXCEPTIONS = 8, ALL = 15, OF_STEPS = FUNCTIONS | EXCEPTIONS };

static void put_head(struct report *r)
{
	struct ct_index_entry range = {0};
	char a[CT_HUMAN], b[CT_HUMAN], c[CT_HUMAN], d[CT_HUMAN];
	struct ct_stepdb_info info = {0};

	for (size_t i = 0; i < ct_recording_segments(r->q.rec); i++) {
		ct_u32 blocks;
		const struct ct_index_entry *e = ct_segment_index(ct_recording_segment(r->q.rec, i), &blocks);

		if (blocks && !range.first_seq)
			range = e[0];
		if (blocks) {
			range.last_seq = e[blocks - 1].last_seq;
			range.last_ns = e[blocks - 1].last_ns;
		}
	}
	ct_out_fmt(r->q.out, "%s: %s events in %s", ct_recording_path(r->q.rec),
		   ct_human_count(a, range.last_seq ? range.last_seq - range.first_seq + 1 : 0),
		   ct_human_seconds(b, range.last_ns > range.first_ns ? (double)(range.last_ns - range.first_ns) / 1e9
								      : 0));
	if (r->q.db) {
		ct_stepdb_info(r->q.db, &info);
		ct_out_fmt(r->q.out, "; %s steps, %s calls%s", ct_human_count(c, info.steps),
			   ct_human_count(d, info.calls),
			   info.complete ? "" : " so far: the step database is not complete");
	}
	ct_out_char(r->q.out, '\n');
}

struct choice {
	struct report *r;
	unsigned sections; /* 0: all that there is */
	const char *from, *to;
};

static int run(void *ctx, struct ct_error *err)
{
	const struct choice *c = ctx;
	struct report *r = c->r;
	unsigned wanted = c->sections ? c->sections : ALL;
	struct ct_error first = {0};
	int ret = 0;

	if (query_open_steps(&r->q, false, err) < 0 || query_find_span(&r->q, c->from, c->to, &r->span, err) < 0)
		return -1;
	if (r->q.form == QUERY_TABLE)
		put_head(r);
	if (r->q.db && r->tid && wanted & OF_STEPS) {
		r->threads = query_find_threads(&r->q, r->tid, &first);
		ret = r->threads ? 0 : -1;
		/* Threads without an interpreter have none. */
		if (ret < 0 && !(c->sections & OF_STEPS)) {
			wanted &= ~(unsigned)OF_STEPS;
			ret = 0;
		}
	}
	/* One section that fails does not keep the others from answering. */
	if (r->q.db && ret == 0 && wanted & FUNCTIONS)
		ret = report_functions(r, &first);
	if (wanted & (SYSCALLS | OFFCPU) && report_log(r, wanted & SYSCALLS, wanted & OFFCPU, err) < 0)
		return -1;
	if (r->q.db && ret == 0 && wanted & EXCEPTIONS)
		ret = report_exceptions(r, &first);
	if (ret < 0) {
		*err = first;
		return -1;
	}
	if (r->q.db || !(wanted & OF_STEPS))
		return 0;
	if (c->sections & OF_STEPS)
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s has no step database, which functions and exceptions come from; run `ctbpf index "
			       "%s` first",
			       ct_recording_path(r->q.rec), ct_recording_path(r->q.rec));
	ct_out_flush(r->q.out);
	fprintf(stderr,
		"ctbpf report: no functions and exceptions: they come from the step database; `ctbpf index %s` builds "
		"it\n",
		ct_recording_path(r->q.rec));
	return 0;
}

enum {
	OPT_FUNCTIONS = 256,
	OPT_SYSCALLS,
	OPT_OFFCPU,
	OPT_EXCEPTIONS,
	OPT_BY,
	OPT_TOP,
	OPT_FROM,
	OPT_TO,
	OPT_THREAD,
	OPT_JSON,
	OPT_CSV
};

static bool find_key(const char *text, enum report_by *by)
{
	static const char *const keys[] = {[BY_STEPS] = "steps",
					   [BY_TOTAL] = "total",
					   [BY_TIME] = "time",
					   [BY_CALLS] = "calls",
					   [BY_BYTES] = "bytes"};

	for (unsigned i = BY_STEPS; i <= BY_BYTES; i++)
		if (strcmp(text, keys[i]) == 0) {
			*by = i;
			return true;
		}
	return false;
}

int cmd_report(int argc, char **argv)
{
	static const struct option options[] = {{"functions", no_argument, NULL, OPT_FUNCTIONS},
						{"syscalls", no_argument, NULL, OPT_SYSCALLS},
						{"offcpu", no_argument, NULL, OPT_OFFCPU},
						{"exceptions", no_argument, NULL, OPT_EXCEPTIONS},
						{"by", required_argument, NULL, OPT_BY},
						{"top", required_argument, NULL, OPT_TOP},
						{"from", required_argument, NULL, OPT_FROM},
						{"to", required_argument, NULL, OPT_TO},
						{"thread", required_argument, NULL, OPT_THREAD},
						{"json", no_argument, NULL, OPT_JSON},
						{"csv", no_argument, NULL, OPT_CSV},
						{"help", no_argument, NULL, 'h'},
						{0}};
	unsigned long long top = 20;
	struct report r = {0};
	struct choice choice = {.r = &r};
	unsigned one;
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case OPT_FUNCTIONS: choice.sections |= FUNCTIONS; break;
		case OPT_SYSCALLS: choice.sections |= SYSCALLS; break;
		case OPT_OFFCPU: choice.sections |= OFFCPU; break;
		case OPT_EXCEPTIONS: choice.sections |= EXCEPTIONS; break;
		case OPT_BY:
			if (!find_key(optarg, &r.by))
				return ct_cmd_usage(argv, "--by wants steps, total, time, calls or bytes, not '%s'",
						    optarg);
			break;
		case OPT_TOP:
			if (ct_parse_u64(optarg, 0, INT_MAX, &top))
				return ct_cmd_usage(argv, "--top wants a number of rows, not '%s'", optarg);
			break;
		case OPT_FROM: choice.from = optarg; break;
		case OPT_TO: choice.to = optarg; break;
		case OPT_THREAD:
			if (!query_thread_option(argv, optarg, &r.tid))
				return CT_EXIT_USAGE;
			break;
		case OPT_JSON: r.q.form = QUERY_JSON; break;
		case OPT_CSV: r.q.form = QUERY_CSV; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (ct_cmd_one_recording(argc, argv))
		return CT_EXIT_USAGE;
	/* A file of commas has one kind of rows. */
	one = choice.sections;
	if (r.q.form == QUERY_CSV && (!one || one & (one - 1)))
		return ct_cmd_usage(argv, "--csv wants one section: --functions, --syscalls, --offcpu or --exceptions");

	r.top = top;
	ret = query_run(&r.q, argv, run, &choice);
	free(r.threads);
	return ret;
}
