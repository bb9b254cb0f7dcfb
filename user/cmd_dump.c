/* SPDX-License-Identifier: MIT
 * ctbpf dump: the events of a recording as text like strace's, or as JSON lines.
 *
 * Chooses the events; dump_text.c, dump_json.c and dump_snapshot.c print them. */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../formats/syscalls.h"
#include "cmd.h"
#include "dump.h"
#include "functions.h"

static const char help[] =
	"usage: ctbpf dump [OPTION...] RECORDING\n"
	"\n"
	"Print the events of a recording, one a line: number, time since the start, thread, what happened.\n"
	"\n"
	"choose:\n"
	"  --from POS         from this position on: an event number, e:NUMBER, t:+1.25s, t:12:30:05.5 (UTC)\n"
	"  --to POS           up to this position, inclusive\n"
	"  --type TYPE[,...]  only records of these types: syscall enter signal frame switch fork exec exit rseq\n"
	"                     insn data file snapshot lost unsound note end function call return\n"
	"  --tid TID[,...]    only of these threads\n"
	"  --syscall NAME[,...]\n"
	"                     only these system calls\n"
	"\n"
	"show:\n"
	"  --hex              registers and the bytes of all buffers under each line\n"
	"  --json             one JSON object a line with all fields (--hex adds fingerprints and FPU state)\n"
	"  --strings N        bytes of a string shown in a call (32)\n"
	"  --raw              the bytes of each record\n"
	"  --snapshot N       print snapshot N instead: processes, threads with registers, mappings, descriptors\n"
	"  --steps            print how the step database is stored instead; --raw down to chunks and columns\n"
	"  -h, --help         this text\n"
	"\n"
	"examples:\n"
	"  ctbpf dump redis.ctr | head\n"
	"  ctbpf dump --from t:+1s --to t:+1.5s --syscall read,write redis.ctr\n"
	"  ctbpf dump --type signal,unsound,lost redis.ctr\n"
	"  ctbpf dump --json --syscall openat redis.ctr | jq -r '.bufs[0].text'\n"
	"\n"
	"exit codes: 0 success, 1 something could not be read (the rest is printed), 2 wrong usage\n";

#define MAX_TIDS 64
#define LATE_NS  1000000000ull /* how far clocks of several CPUs may put records out of order, generously */

struct filter {
	const char *from, *to; /* as typed, NULL: not given */
	struct ct_pos first, last;
	ct_u32 types; /* bit per type, 0: all */
	ct_u32 tid[MAX_TIDS];
	unsigned ntids;
	bool by_syscall;
	bool syscall[CT_MAX_SYSCALL];
};

/* ---- Options ---- */

/* Calls add(filter, item) for every item of a comma-separated list; false if one is not accepted (left in *bad). */
static bool each_item(struct filter *filter, char *list, bool (*add)(struct filter *, const char *), const char **bad)
{
	char *rest = list;
	for (char *item; (item = strsep(&rest, ","));) {
		*bad = item;
		if (!add(filter, item))
			return false;
	}
	return true;
}

static bool add_type(struct filter *filter, const char *item)
{
	unsigned type = ct_event_type_by_name(item);
	if (type && type < 32)
		filter->types |= 1u << type;
	return type != 0;
}

static bool add_tid(struct filter *filter, const char *item)
{
	unsigned long long tid;
	bool good = filter->ntids < MAX_TIDS && !ct_parse_u64(item, 1, UINT_MAX, &tid);
	if (good)
		filter->tid[filter->ntids++] = (ct_u32)tid;
	return good;
}

static bool add_syscall(struct filter *filter, const char *item)
{
	int nr = ct_syscall_nr(item);
	bool good = nr >= 0 && nr < CT_MAX_SYSCALL;
	filter->by_syscall = true;
	if (good)
		filter->syscall[nr] = true;
	return good;
}

/* ---- Choosing ---- */

static bool is_wanted(const struct filter *filter, const struct ct_event *ev)
{
	if (filter->types && !(ev->type < 32 && filter->types & (1u << ev->type)))
		return false;
	bool wanted = !filter->ntids;
	for (unsigned i = 0; i < filter->ntids && !wanted; i++)
		wanted = ev->tid == filter->tid[i];
	if (wanted && filter->by_syscall) {
		const void *payload = ct_event_payload(ev);
		int nr = -2;
		if (ev->type == CT_EV_SYSCALL)
			nr = ((const struct ct_ev_syscall *)payload)->nr;
		else if (ev->type == CT_EV_ENTER)
			nr = ((const struct ct_ev_enter *)payload)->nr;
		if (nr == -1) /* a return from a signal handler */
			nr = ct_syscall_nr("rt_sigreturn");
		wanted = nr >= 0 && nr < CT_MAX_SYSCALL && filter->syscall[nr];
	}
	return wanted;
}

/* Places the event against [from, to]: 0 inside, -1 before or after but others may follow, 1 past the end. */
static int place(const struct filter *filter, const struct ct_event *ev)
{
	int ret = 0;
	if (filter->from && filter->first.kind == CT_POS_TIME && ev->time_ns < filter->first.value)
		ret = -1;
	if (filter->to && filter->last.kind == CT_POS_SEQ && ev->seq > filter->last.value)
		ret = 1;
	if (filter->to && filter->last.kind == CT_POS_TIME && ev->time_ns > filter->last.value)
		ret = ev->time_ns - filter->last.value > LATE_NS ? 1 : -1;
	return ret;
}

static int go_to_start(struct ct_cursor *cur, const struct filter *filter, struct ct_error *err)
{
	if (!filter->from)
		return 0;
	if (filter->first.kind == CT_POS_SEQ)
		return ct_cursor_seek_seq(cur, filter->first.value, err);
	return ct_cursor_seek_time(cur, filter->first.value, err);
}

static int dump_events(const struct ct_dump *dump, struct ct_recording *rec, const struct filter *filter, char **argv)
{
	struct ct_error err = {0};
	int ret = CT_EXIT_OK, got = 1;
	struct ct_cursor *cur = ct_cursor_create(rec, &err);
	if (!cur || go_to_start(cur, filter, &err) < 0) {
		ret = ct_cmd_fail(argv, &err);
		got = 0;
	}
	while (got && !dump->out->error) {
		const struct ct_event *ev;
		got = ct_cursor_next(cur, &ev, &err);
		if (got < 0) {
			ct_out_flush(dump->out); /* the message belongs here on a terminal */
			ct_fail_prefix(&err, "%s", ct_recording_path(rec));
			ret = ct_cmd_fail(argv, &err);
			continue;
		}
		int where = got ? place(filter, ev) : 1;
		if (got)
			ct_dump_note(dump, ev);
		if (where > 0)
			break;
		if (where < 0 || !is_wanted(filter, ev))
			continue;
		if (dump->json)
			ct_dump_json(dump, ev);
		else
			ct_dump_text(dump, ev);
	}
	ct_cursor_destroy(cur);
	return ret ? CT_EXIT_FAILED : CT_EXIT_OK;
}

/* ---- The command ---- */

static int print(struct ct_dump *dump, const char *path, struct filter *filter, ct_u32 snapshot, bool steps,
		 char **argv)
{
	struct ct_error err = {0};
	int ret = CT_EXIT_OK;
	struct ct_recording *rec = ct_recording_open(path, &err);
	if (!rec)
		return ct_cmd_fail(argv, &err);
	if ((filter->from && ct_pos_parse(rec, filter->from, &filter->first, &err) < 0) ||
	    (filter->to && ct_pos_parse(rec, filter->to, &filter->last, &err) < 0)) {
		ct_cmd_fail(argv, &err);
		ret = CT_EXIT_USAGE;
	} else if (snapshot) {
		if (ct_dump_snapshot(dump, rec, snapshot, &err) < 0) {
			ct_fail_prefix(&err, "%s", path);
			ret = ct_cmd_fail(argv, &err);
		}
	} else if (steps) {
		if (ct_dump_steps(dump, rec, &err) < 0)
			ret = ct_cmd_fail(argv, &err);
	} else {
		const char *problem;
		for (size_t i = 0; (problem = ct_recording_problem(rec, i)); i++)
			fprintf(stderr, "%s: %s: %s\n", argv[0], path, problem);
		ct_dump_set_clock(dump, rec);
		ret = dump_events(dump, rec, filter, argv);
		if (ct_recording_error(rec))
			fprintf(stderr, "%s: %s: its recording was ended by an error: %s\n", argv[0], path,
				ct_recording_error(rec));
		else if (!ct_recording_segments(rec) && ct_recording_state(rec) == CT_REC_COMPLETE)
			ret = CT_EXIT_FAILED;
	}
	ct_recording_close(rec);
	return ret;
}

enum {
	OPT_FROM = 256,
	OPT_TO,
	OPT_TYPE,
	OPT_TID,
	OPT_SYSCALL,
	OPT_HEX,
	OPT_JSON,
	OPT_STRINGS,
	OPT_SNAPSHOT,
	OPT_RAW,
	OPT_STEPS
};

int cmd_dump(int argc, char **argv)
{
	static const struct option options[] = {{"from", required_argument, NULL, OPT_FROM},
						{"to", required_argument, NULL, OPT_TO},
						{"type", required_argument, NULL, OPT_TYPE},
						{"tid", required_argument, NULL, OPT_TID},
						{"syscall", required_argument, NULL, OPT_SYSCALL},
						{"hex", no_argument, NULL, OPT_HEX},
						{"json", no_argument, NULL, OPT_JSON},
						{"strings", required_argument, NULL, OPT_STRINGS},
						{"snapshot", required_argument, NULL, OPT_SNAPSHOT},
						{"raw", no_argument, NULL, OPT_RAW},
						{"steps", no_argument, NULL, OPT_STEPS},
						{"help", no_argument, NULL, 'h'},
						{0}};
	struct filter filter = {0};
	struct ct_out out;
	struct ct_functions functions = {0};
	struct ct_dump dump = {.out = &out, .strmax = 32, .functions = &functions};
	unsigned long long number, snapshot = 0;
	const char *bad;
	bool steps = false;
	int opt;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case OPT_FROM: filter.from = optarg; break;
		case OPT_TO: filter.to = optarg; break;
		case OPT_TYPE:
			if (!each_item(&filter, optarg, add_type, &bad))
				return ct_cmd_usage(argv, "there is no record type '%s'", bad);
			break;
		case OPT_TID:
			if (!each_item(&filter, optarg, add_tid, &bad))
				return ct_cmd_usage(argv, "'%s' is no thread id (or there are more than %d)", bad,
						    MAX_TIDS);
			break;
		case OPT_SYSCALL:
			if (!each_item(&filter, optarg, add_syscall, &bad))
				return ct_cmd_usage(argv, "there is no system call '%s'", bad);
			break;
		case OPT_HEX: dump.hex = true; break;
		case OPT_JSON: dump.json = true; break;
		case OPT_STRINGS:
			if (ct_parse_u64(optarg, 0, CT_EVENT_MAX, &number))
				return ct_cmd_usage(argv, "--strings wants a number of bytes up to %u, not '%s'",
						    CT_EVENT_MAX, optarg);
			dump.strmax = number;
			break;
		case OPT_SNAPSHOT:
			if (ct_parse_u64(optarg, 1, UINT_MAX, &snapshot))
				return ct_cmd_usage(argv, "--snapshot wants a snapshot's number, not '%s'", optarg);
			break;
		case OPT_RAW: dump.raw = true; break;
		case OPT_STEPS: steps = true; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (ct_cmd_one_recording(argc, argv))
		return CT_EXIT_USAGE;

	ct_cmd_open(&out);
	int ret = print(&dump, argv[optind], &filter, (ct_u32)snapshot, steps, argv);
	ct_functions_free(&functions);
	return ct_cmd_close(argv, &out, ret);
}
