// SPDX-License-Identifier: MIT
/* ctbpf replay: executes a recording again from a snapshot on, to its end or to a position.
 * Nothing of what the program did reaches the world again, but for --output, which shows what it wrote. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "replay/clock.h"
#include "replay/core.h"
#include "replay/place.h"
#include "replay/session.h"
#include "replay/stretch.h"
#include "user/cmd.h"
#include "user/dump.h"
#include "user/output_read.h"
#include "user/output_track.h"
#include "user/replay_gdb.h"
#include "user/replay_term.h"
#include "user/report_text.h"
#include "user/verify.h"

static const char help[] =
	"usage: ctbpf replay [options] RECORDING\n"
	"\n"
	"Executes a recording again, from its first snapshot to its end. The program sees exactly what it saw\n"
	"then; nothing of what it did is done again outside the replayed process. If the replay goes another\n"
	"way than the recording, a report says where and how, and the exit status is 5.\n"
	"\n"
	"  -t, --to POS           only up to this position, inclusive: an event number, e:NUMBER, t:+1.25s,\n"
	"                         t:12:30:05.5 (UTC); or to a place on the way to an event, as `when` tells it:\n"
	"                         e:NUMBER@ADDRESS#PASS, e:NUMBER@ADDRESS,REGISTER=VALUE; or tick:NUMBER/TID,\n"
	"                         when a thread has executed so many conditional branches (record --clock step)\n"
	"      --from-snapshot N  begin at this snapshot (default: the first); `ctbpf dump --type snapshot`\n"
	"                         lists them\n"
	"  -O, --output           write what the program wrote to standard output and standard error to ours\n"
	"      --clock NAME       how positions are found: fingerprint, pmu (hardware counter), step (slow),\n"
	"                         or auto, the best that works (default)\n"
	"  -q, --quiet            no progress, no summary\n"
	"      --json             print the summary as JSON\n"
	"  -h, --help             this text\n"
	"\n"
	"Going along it, forwards and backwards, from its beginning (what --on-crash has kept: from the crash) or\n"
	"--to POS. On a terminal, and without any option but --from-snapshot and --pid, it is opened by commands of\n"
	"its own: step, next, back, continue, rc (back to the last stop), break, watch, print, bt, events, goto;\n"
	"`help` lists them.\n"
	"\n"
	"      --gdb              open it in gdb: reverse-continue, reverse-step, watch, `when`, `seek POS`,\n"
	"                         `monitor help`\n"
	"  -x, --command FILE     carry out the commands in FILE (may be given several times): gdb's with --gdb, else\n"
	"                         those of its own\n"
	"      --batch            leave when these are done\n"
	"  -s, --serve PORT       wait for a gdb on 127.0.0.1:PORT instead of starting one; 0: any port; only your "
	"own\n"
	"                         processes and root's are let in\n"
	"      --pid PID          the process that is looked at (default: the first)\n"
	"\n"
	"examples:\n"
	"  ctbpf replay build.ctr\n"
	"  ctbpf replay --output --quiet build.ctr > build.log\n"
	"  ctbpf replay --to t:+1.5s redis.ctr\n"
	"  ctbpf replay --gdb crash.ctr\n"
	"  ctbpf replay --batch -x commands crash.ctr\n"
	"\n"
	"exit status: 0 replayed, 1 failed, 2 usage, 5 diverged, or events are lost or unsound\n";

struct replay {
	struct ct_recording *rec;
	const char *to;    /* as typed, or NULL */
	const char *clock; /* as typed, or NULL */
	ct_u32 from;       /* snapshot, 0: the first */
	bool output, quiet, json;

	const struct ct_clock *chosen;
	struct ct_stretches st;
	ct_u64 end;  /* the event to stop before, UINT64_MAX: none */
	bool within; /* ... at `place` on the way there */
	struct ct_named_place place;
	const struct ct_stretch *broken; /* the last that was left because it is */
	struct ct_output_track *track;
	int stream; /* of the event at hand: 1, 2, or 0 */
	enum ct_output_form form;
	ct_u64 not_shown;           /* bytes that went from file to file */
	ct_u64 events, first, last; /* executed; numbers of the whole way */
	ct_u64 first_ns, last_ns;   /* of what was executed */
	struct timespec began, shown;
	bool terminal;
	int failed; /* errno of writing output */
};

static double since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

/* ---- what the program wrote --------------------------------------------------------------------------------- */

static int write_out(void *ctx, const char *data, size_t len)
{
	struct replay *r = ctx;

	while (len) {
		ssize_t n = write(r->stream, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r->failed = errno;
			return -1;
		}
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* ---- while it runs ------------------------------------------------------------------------------------------ */

static bool wants(void *ctx, const struct ct_event *ev)
{
	struct replay *r = ctx;

	r->last_ns = ev->time_ns;
	r->events++;
	if (r->track) {
		r->stream = ct_output_of(r->track, ev, &r->form);
		if (ct_output_track_event(r->track, ev))
			r->failed = ENOMEM;
	}
	return r->stream || r->failed || (r->terminal && !(r->events & 0xff));
}

static int event(void *ctx, struct ct_session *s, const struct ct_event *ev)
{
	struct replay *r = ctx;

	if (r->stream && r->form == CT_OUTPUT_NO_MEMORY)
		r->not_shown += (ct_u64)((const struct ct_ev_syscall *)ct_event_payload(ev))->ret;
	else if (r->stream && ct_output_read(s, ev, r->form, write_out, r))
		return 1;
	if (r->terminal && since(&r->shown) > 0.1) {
		double all = (double)(r->last - r->first) + 1, recorded = (double)(r->last_ns - r->first_ns) / 1e9;

		clock_gettime(CLOCK_MONOTONIC, &r->shown);
		fprintf(stderr, "\rreplaying: %3.0f %%, event %llu, %.2f s of %.2f s recorded\033[K",
			(double)(ev->seq - r->first) * 100 / all, (unsigned long long)ev->seq, since(&r->began),
			recorded);
	}
	return r->failed;
}

static int begin_at(struct replay *r, ct_u32 snapshot, struct ct_error *err)
{
	struct ct_snapshot_reader *snap;
	int ret;

	if (!r->track)
		return 0;
	snap = ct_snapshot_open(ct_recording_dirfd(r->rec), snapshot, err);
	if (!snap)
		return -1;
	ret = ct_output_track_begin(r->track, ct_snapshot_get(snap));
	ct_snapshot_reader_close(snap);
	return ret ? ct_fail(err, CT_EXIT_FAILED, "out of memory") : 0;
}

/* ---- the way ------------------------------------------------------------------------------------------------ */

/* The first event behind the position. */
static int find_end(struct replay *r, struct ct_error *err)
{
	struct ct_index_entry range;
	const struct ct_event *ev;
	struct ct_cursor *cur;
	struct ct_pos pos;
	int got = 1;

	r->end = UINT64_MAX;
	if (!r->to)
		return 0;
	if (ct_place_is_one(r->to)) {
		if (ct_place_parse(r->rec, r->to, &r->place, err))
			return -1;
		r->within = true;
		r->end = r->place.next;
		return 0;
	}
	if (ct_pos_parse(r->rec, r->to, &pos, err))
		return -1;
	if (ct_recording_range(r->rec, &range) && pos.value > (pos.kind == CT_POS_SEQ ? range.last_seq : range.last_ns))
		return ct_fail(err, CT_EXIT_USAGE, "%s: '%s' is behind its end: the last event is e:%llu, at t:+%.6fs",
			       ct_recording_path(r->rec), r->to, (unsigned long long)range.last_seq,
			       (double)(range.last_ns - range.first_ns) / 1e9);
	if (pos.kind == CT_POS_SEQ) {
		r->end = pos.value + 1;
		return 0;
	}
	cur = ct_cursor_create(r->rec, err);
	if (!cur || ct_cursor_seek_time(cur, pos.value + 1, err)) {
		ct_cursor_destroy(cur);
		return -1;
	}
	if ((got = ct_cursor_next(cur, &ev, err)) > 0)
		r->end = ev->seq;
	ct_cursor_destroy(cur);
	return got < 0 ? -1 : 0;
}

static int find_start(const struct replay *r, size_t *index, struct ct_error *err)
{
	*index = 0;
	if (!r->st.count)
		return ct_fail(
			err, CT_EXIT_FAILED,
			"%s: it has no snapshot of running processes to replay from; `ctbpf info` says what is in it",
			ct_recording_path(r->rec));
	for (size_t i = 0; i < r->st.count && r->from; i++)
		if (r->st.list[i].from == r->from) {
			*index = i;
			break;
		}
	if (r->from && r->st.list[*index].from != r->from)
		return ct_fail(
			err, CT_EXIT_USAGE,
			"%s: no stretch begins with snapshot %u; `ctbpf dump --type snapshot` lists the snapshots, "
			"of which attach, loss and periodic ones begin one",
			ct_recording_path(r->rec), r->from);
	if (r->end < r->st.list[*index].begin)
		return ct_fail(err, CT_EXIT_USAGE, "%s: position %s is before event %llu, at which snapshot %u begins",
			       ct_recording_path(r->rec), r->to, (unsigned long long)r->st.list[*index].begin,
			       r->st.list[*index].from);
	return 0;
}

/* Where it stands: what comes next, and for the thread that runs its address. */
static void tell_place(struct replay *r, struct ct_session *s, json_t *sum)
{
	struct ct_session_thread *list;
	const struct ct_event *ev;
	struct ct_dump dump = {.strmax = 64};
	struct ct_out out;
	struct ct_regs regs;
	size_t n;

	if (ct_session_next(s, &ev, NULL) <= 0)
		return;
	json_object_set_new(sum, "next", json_integer((json_int_t)ev->seq));
	if (!r->quiet && !r->json) {
		ct_out_open(&out, STDERR_FILENO);
		dump.out = &out;
		ct_dump_set_clock(&dump, r->rec);
		ct_out_str(&out, "next is ");
		ct_dump_text(&dump, ev);
		ct_out_close(&out);
	}
	if (ct_session_threads(s, &list, &n, NULL))
		return;
	for (size_t i = 0; i < n; i++)
		if (list[i].current && !ct_session_regs(s, list[i].tid, &regs, NULL) && !r->quiet && !r->json)
			fprintf(stderr, "thread %u of %zu runs, at %#llx\n", list[i].tid, n,
				(unsigned long long)regs.r[CT_RIP]);
	free(list);
}

static void tell_divergence(struct replay *r, struct ct_session *s, json_t *sum)
{
	struct ct_report *report = ct_session_report(s);
	struct ct_out out;

	if (!report)
		return;
	json_object_set_new(sum, "report", ct_report_json(report, r->rec));
	if (!r->json) {
		ct_out_open(&out, STDERR_FILENO);
		ct_report_print(&out, report, r->rec);
		ct_out_close(&out);
	}
	ct_report_free(report);
}

/* The event at which those that follow each other soundly end. */
static ct_u64 sound_until(const struct replay *r, const struct ct_stretch *st)
{
	while (!st->broken_at && st + 1 < r->st.list + r->st.count)
		st++;
	return st->broken_at ? st->broken_at : st->end;
}

/* Runs over as many stretches as follow each other soundly; *index goes to the next one. 1: the way is at its end; 0:
 * it goes on there. */
static int run_session(struct replay *r, size_t *index, json_t *sum, struct ct_error *err)
{
	const struct ct_session_hook hook = {wants, event, r};
	const struct ct_session_opts opts = {.cpu = -1, .clock = r->chosen};
	const struct ct_stretch *st = &r->st.list[*index];
	struct ct_session *s;
	int ret = begin_at(r, st->from, err);

	if (ret)
		return -1;
	s = ct_session_create(r->rec, st->from, &opts, err);
	if (!s)
		return -1;
	ct_session_set_hook(s, &hook);
	if (!r->first_ns)
		r->first_ns = st->first_ns;
	for (;; st++) {
		ct_u64 end = st->broken_at ? st->broken_at : st->end;

		++*index;
		ret = ct_session_run(s, r->end < end ? r->end : end, err);
		if (ret || r->end <= end || st->broken_at || *index == r->st.count)
			break;
	}
	if (!ret && r->within && r->end <= st->end && !(st->broken_at && st->broken_at < r->end)) {
		r->place.end = sound_until(r, st);
		ret = ct_session_run_to_named(s, &r->place, err);
	}
	if (ret > 0)
		ret = ct_fail(err, CT_EXIT_FAILED, "cannot write the program's output: %s", strerror(r->failed));
	else if (ret < 0 && err->status == CT_EXIT_DIVERGED)
		tell_divergence(r, s, sum);
	else if (!ret && st->broken_at && st->broken_at < r->end)
		r->broken = st;
	else if (!ret && r->to)
		tell_place(r, s, sum);
	ct_session_destroy(s);
	return ret ? -1 : r->broken != st || *index == r->st.count || r->end < r->st.list[*index].begin;
}

static void summary(struct replay *r, json_t *sum)
{
	double seconds = since(&r->began), recorded = (double)(r->last_ns - r->first_ns) / 1e9;
	struct rusage self, children;
	char a[CT_HUMAN], b[CT_HUMAN], c[CT_HUMAN], n[CT_HUMAN];
	double cpu;

	if (!r->events)
		r->last_ns = r->first_ns, recorded = 0;
	getrusage(RUSAGE_SELF, &self);
	getrusage(RUSAGE_CHILDREN, &children);
	cpu = (double)(self.ru_utime.tv_sec + self.ru_stime.tv_sec + children.ru_utime.tv_sec +
		       children.ru_stime.tv_sec) +
	      (double)(self.ru_utime.tv_usec + self.ru_stime.tv_usec + children.ru_utime.tv_usec +
		       children.ru_stime.tv_usec) /
		      1e6;
	json_object_update_new(sum, json_pack("{s:I, s:f, s:f, s:f, s:I}", "events", (json_int_t)r->events, "seconds",
					      seconds, "cpu_s", cpu, "recorded_s", recorded, "output_not_shown",
					      (json_int_t)r->not_shown));
	if (r->json) {
		json_dumpf(sum, stdout, JSON_COMPACT);
		putchar('\n');
	} else if (!r->quiet) {
		fprintf(stderr, "replayed %s events in %s (%s of CPU), recorded in %s", ct_human_count(n, r->events),
			ct_human_seconds(a, seconds), ct_human_seconds(b, cpu), ct_human_seconds(c, recorded));
		if (recorded > 0)
			fprintf(stderr, ": %.2f times as long", seconds / recorded);
		fprintf(stderr, "; clock: %s\n", r->chosen->name);
	}
	if (r->not_shown && !r->json)
		fprintf(stderr,
			"%llu bytes of output are not shown: they went from file to file (sendfile, splice) and are in "
			"no "
			"log\n",
			(unsigned long long)r->not_shown);
}

static int replay(struct replay *r, json_t *sum, struct ct_error *err)
{
	char why[CT_CLOCK_WHY];
	const char *problem;
	size_t index;
	int ret = 0;

	for (size_t i = 0; (problem = ct_recording_problem(r->rec, i)); i++)
		fprintf(stderr, "ctbpf replay: %s: %s\n", ct_recording_path(r->rec), problem);
	if (ct_verify_refusal(r->rec, err) || !(r->chosen = ct_clock_choose(r->rec, r->clock, why, sizeof(why), err)) ||
	    find_end(r, err) || ct_stretches_find(r->rec, &r->st, err) || find_start(r, &index, err))
		return -1;
	json_object_set_new(sum, "clock", json_string(r->chosen->name));
	r->track = r->output ? ct_output_track_create() : NULL;
	if (r->output && !r->track)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	r->first = r->st.list[index].begin;
	r->last = r->st.list[r->st.count - 1].end - 1;
	if (r->st.list[r->st.count - 1].end == UINT64_MAX)
		r->last = r->st.list[r->st.count - 1].begin + r->st.list[r->st.count - 1].events;
	if (r->end <= r->last)
		r->last = r->end - 1;
	r->terminal = !r->quiet && !r->json && ct_is_terminal(STDERR_FILENO);
	clock_gettime(CLOCK_MONOTONIC, &r->began);
	r->shown = r->began;
	while (!(ret = run_session(r, &index, sum, err)))
		fprintf(stderr, "%sthe recording is broken at event %llu (%s): going on at snapshot %u\n",
			r->terminal ? "\r\033[K" : "", (unsigned long long)r->broken->broken_at, r->broken->broken,
			r->st.list[index].from);
	if (r->terminal)
		fputs("\r\033[K", stderr);
	if (ret > 0 && r->broken)
		ret = ct_fail(err, CT_EXIT_DIVERGED,
			      "%s: not all of it could be replayed, it is broken at event %llu: %s",
			      ct_recording_path(r->rec), (unsigned long long)r->broken->broken_at, r->broken->broken);
	ct_output_track_destroy(r->track);
	return ret < 0 ? -1 : 0;
}

/* What was kept because of a crash is opened there: with the signal come, and nothing done about it. */
static const char *begin_at_crash(struct ct_recording *rec, ct_u32 *pid, char *text, size_t len)
{
	ct_u64 seq;

	if (!json_object_get(ct_recording_manifest(rec), "trigger") || ct_core_find_crash(rec, pid, &seq, NULL) != 1)
		return NULL;
	snprintf(text, len, "e:%llu", (unsigned long long)seq + 1);
	return text;
}

int cmd_replay(int argc, char **argv)
{
	static const struct option options[] = {
		{"to", required_argument, NULL, 't'},
		{"from-snapshot", required_argument, NULL, 'f'},
		{"output", no_argument, NULL, 'O'},
		{"clock", required_argument, NULL, 'c'},
		{"quiet", no_argument, NULL, 'q'},
		{"json", no_argument, NULL, 'J'},
		{"gdb", no_argument, NULL, 'g'},
		{"command", required_argument, NULL, 'x'},
		{"batch", no_argument, NULL, 'b'},
		{"serve", required_argument, NULL, 's'},
		{"pid", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct ct_replay_gdb gdb = {.port = -1};
	bool debug = false, plain, terminal;
	struct replay r = {0};
	char crash[32];
	struct ct_error err = {0};
	unsigned long long n;
	int opt, status = CT_EXIT_OK;
	json_t *sum;

	while ((opt = getopt_long(argc, argv, "t:Oqhx:s:", options, NULL)) != -1) {
		switch (opt) {
		case 't': r.to = optarg; break;
		case 'f':
			if (ct_parse_u64(optarg, 1, UINT_MAX, &n))
				return ct_cmd_usage(argv, "--from-snapshot takes a snapshot's number, not '%s'",
						    optarg);
			r.from = (ct_u32)n;
			break;
		case 'O': r.output = true; break;
		case 'c':
			if (!ct_clock_known(optarg))
				return ct_cmd_usage(argv, "--clock takes auto, pmu, fingerprint or step, not '%s'",
						    optarg);
			r.clock = optarg;
			break;
		case 'q': r.quiet = true; break;
		case 'J': r.json = true; break;
		case 'g': debug = true; break;
		case 'b': gdb.batch = true; break;
		case 'x':
			if (gdb.nscripts == CT_GDB_SCRIPTS)
				return ct_cmd_usage(argv, "at most %d files of commands", CT_GDB_SCRIPTS);
			gdb.script[gdb.nscripts++] = optarg;
			break;
		case 's':
			if (ct_parse_u64(optarg, 0, 65535, &n))
				return ct_cmd_usage(argv, "--serve takes a port, not '%s'", optarg);
			gdb.port = (int)n;
			break;
		case 'p':
			if (ct_parse_u64(optarg, 1, INT_MAX, &n))
				return ct_cmd_usage(argv, "--pid takes a process's number, not '%s'", optarg);
			gdb.pid = (ct_u32)n;
			break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (optind + 1 != argc)
		return ct_cmd_usage(argv, "give one recording");
	if (r.output && r.json)
		return ct_cmd_usage(argv, "--output and --json both want standard output: give one of them");
	debug |= gdb.port >= 0;
	if (gdb.batch && !debug && !gdb.nscripts)
		return ct_cmd_usage(argv, "--batch is for -x FILE and for --gdb");
	plain = r.output || r.json || r.quiet || r.clock;
	terminal = !debug && (gdb.nscripts || (!plain && !r.to && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)));
	if (gdb.pid && !debug && !terminal)
		return ct_cmd_usage(argv, "--pid is for --gdb, -x FILE, and a terminal");
	if ((debug && (r.output || r.json || r.clock)) || (terminal && plain))
		return ct_cmd_usage(argv, "--output, --json%s and --clock do not go with %s", debug ? "" : ", --quiet",
				    debug ? "gdb" : "commands");
	r.rec = ct_recording_open(argv[optind], &err);
	if (!r.rec)
		return ct_cmd_fail(argv, &err);
	if ((debug || terminal) && !r.to && !r.from)
		r.to = begin_at_crash(r.rec, &gdb.pid, crash, sizeof(crash));
	if (debug) {
		gdb.from = r.from;
		gdb.to = r.to;
		gdb.quiet = r.quiet;
		status = ct_verify_refusal(r.rec, &err) ? -1 : ct_replay_gdb(r.rec, &gdb, &err);
		ct_recording_close(r.rec);
		return status < 0 ? ct_cmd_fail(argv, &err) : status;
	}
	if (terminal) {
		const struct ct_replay_term term = {r.from, gdb.pid, r.to, gdb.script, gdb.nscripts, gdb.batch};

		status = ct_verify_refusal(r.rec, &err) ? -1 : ct_replay_terminal(r.rec, &term, &err);
		ct_recording_close(r.rec);
		return status < 0 ? ct_cmd_fail(argv, &err) : status;
	}
	sum = json_pack("{s:s}", "path", argv[optind]);
	if (replay(&r, sum, &err)) {
		json_object_set_new(sum, "error", json_string(err.msg));
		status = err.status ? (int)err.status : CT_EXIT_FAILED;
	}
	if (r.st.count && status != CT_EXIT_USAGE)
		summary(&r, sum);
	if (status)
		ct_cmd_fail(argv, &err);
	json_decref(sum);
	ct_stretches_deinit(&r.st);
	ct_recording_close(r.rec);
	return status;
}
