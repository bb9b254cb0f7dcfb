// SPDX-License-Identifier: MIT
/* ctbpf core: a core file of a moment of a recording, for debuggers and other tools that read these. */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/place.h"
#include "replay/core.h"
#include "replay/stretch.h"
#include "user/cmd.h"
#include "user/verify.h"

static const char help[] =
	"usage: ctbpf core [options] RECORDING\n"
	"\n"
	"Writes an ELF core file of a process as it was at a moment of a recording: all threads, their registers,\n"
	"all memory. Without --at that is where a signal ended a process, the last one if there are several, or\n"
	"the recording's end. The recording is replayed up to there from the snapshot before.\n"
	"\n"
	"      --at POS       the moment: before event e:NUMBER, e:NUMBER@ADDRESS#PASS, tick:NUMBER, t:+1.25s,\n"
	"                     start, end\n"
	"      --pid PID      the process (default: the one that crashed, or the first)\n"
	"  -o, --output FILE  (default core.PID)\n"
	"  -q, --quiet        say nothing but errors\n"
	"  -h, --help         this text\n"
	"\n"
	"examples:\n"
	"  ctbpf core crash.ctr && gdb /usr/bin/server core.4242\n"
	"  ctbpf core --at t:+1.5s -o before.core redis.ctr\n"
	"\n"
	"exit status: 0 written, 1 failed, 2 usage, 5 the replay went another way than the recording\n";

struct args {
	const char *at, *output, *path;
	ct_u32 pid;
	bool quiet;
};

/* The event before which the position is, roughly: to find the stretch that it is in. */
static int event_of(struct ct_recording *rec, const char *text, ct_u64 *seq, struct ct_error *err)
{
	const struct ct_event *ev = NULL;
	struct ct_named_place place;
	struct ct_cursor *cur;
	struct ct_pos pos;
	int ret;

	if (ct_place_is_one(text)) {
		*seq = ct_place_parse(rec, text, &place, err) ? 0 : place.next;
		return *seq ? 0 : -1;
	}
	if (ct_pos_parse(rec, text, &pos, err))
		return -1;
	*seq = pos.value;
	if (pos.kind == CT_POS_SEQ)
		return 0;
	cur = ct_cursor_create(rec, err);
	ret = cur && !ct_cursor_seek_time(cur, pos.value, err) && ct_cursor_next(cur, &ev, err) >= 0 ? 0 : -1;
	*seq = !ret && ev ? ev->seq : UINT64_MAX;
	ct_cursor_destroy(cur);
	return ret;
}

static int write_core(struct ct_timeline *tl, const struct args *a, const char *where, struct ct_error *err)
{
	char path[PATH_MAX], now[CT_MOMENT_TEXT] = "";
	int fd, ret;

	if (a->output)
		snprintf(path, sizeof(path), "%s", a->output);
	else
		snprintf(path, sizeof(path), "core.%u", ct_timeline_pid(tl));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot create", path);
	ret = ct_core_write(tl, fd, err);
	close(fd);
	if (ret) {
		unlink(path);
		return ct_fail_prefix(err, "%s", path);
	}
	ct_timeline_now_text(tl, now, NULL);
	if (!a->quiet)
		fprintf(stderr, "%s: process %u %s, at %s\n", path, ct_timeline_pid(tl), where, now);
	return 0;
}

static int run(struct ct_recording *rec, struct args *a, struct ct_error *err)
{
	struct ct_timeline_opts opts = {.pid = a->pid};
	struct ct_moment m = {0};
	struct ct_timeline *tl;
	struct ct_stretches st;
	ct_u64 seq = 0;
	int crash = 0, ret;

	if (ct_verify_refusal(rec, err))
		return -1;
	if (!a->at)
		crash = ct_core_find_crash(rec, &opts.pid, &seq, err);
	if (crash < 0 || (!crash && event_of(rec, a->at ?: "end", &seq, err)) || ct_stretches_find(rec, &st, err))
		return -1;
	opts.from = ct_stretch_before(&st, seq);
	ct_stretches_deinit(&st);
	tl = ct_timeline_create(rec, &opts, err);
	if (!tl)
		return -1;
	m.next = seq + 1; /* the signal has come, and nothing has been done about it */
	ret = crash ? ct_timeline_seek(tl, &m, err) : ct_timeline_seek_text(tl, a->at ?: "end", err);
	if (!ret)
		ret = write_core(tl, a, crash ? "where a signal ended it" : a->at ? "as asked for" : "at the end", err);
	ct_timeline_destroy(tl);
	return ret;
}

int cmd_core(int argc, char **argv)
{
	static const struct option options[] = {
		{"at", required_argument, NULL, 'a'},     {"pid", required_argument, NULL, 'p'},
		{"output", required_argument, NULL, 'o'}, {"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},         {0}};
	struct args a = {0};
	struct ct_error err = {0};
	struct ct_recording *rec;
	unsigned long long pid;
	int opt, ret;

	while ((opt = getopt_long(argc, argv, "o:qh", options, NULL)) != -1) {
		switch (opt) {
		case 'a': a.at = optarg; break;
		case 'p':
			if (ct_parse_u64(optarg, 1, 1 << 30, &pid))
				return ct_cmd_usage(argv, "--pid takes a process id, not '%s'", optarg);
			a.pid = (ct_u32)pid;
			break;
		case 'o': a.output = optarg; break;
		case 'q': a.quiet = true; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (optind + 1 != argc)
		return ct_cmd_usage(argv, "name one recording (a directory NAME.ctr)");
	rec = ct_recording_open(argv[optind], &err);
	if (!rec)
		return ct_cmd_fail(argv, &err);
	ret = run(rec, &a, &err);
	ct_recording_close(rec);
	return ret ? ct_cmd_fail(argv, &err) : CT_EXIT_OK;
}
