// SPDX-License-Identifier: MIT
/* ctbpf verify: executes a recording again, stretch by stretch, and compares with the snapshot at each one's end. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "formats/event_access.h"
#include "replay/session.h"
#include "user/cmd.h"

static const char help[] =
	"usage: ctbpf verify [options] RECORDING\n"
	"\n"
	"Proves a recording: replays each stretch between two snapshots and compares memory, registers and\n"
	"FPU state with the second one. Runs on any machine with the same kind of CPU; nothing of what the\n"
	"recorded program did is done again outside the replayed process.\n"
	"\n"
	"  -q, --quiet  only the verdict\n"
	"      --help   this text\n"
	"\n"
	"example:\n"
	"  ctbpf verify redis.ctr\n"
	"\n"
	"exit status: 0 verified, 1 failed, 2 usage, 5 diverged, different or broken\n";

struct stretch {
	ct_u32 from, to;
	ct_u64 end; /* sequence number of the snapshot record at its end */
};

/* Stretches run from one snapshot of everything to the next; those after an execve belong to the stretch around. */
static int find_stretches(struct ct_recording *rec, struct stretch *list, size_t most, size_t *count,
			  struct ct_error *err)
{
	struct ct_cursor *cur = ct_cursor_create(rec, err);
	const struct ct_event *ev;
	ct_u32 last = 0;
	int ret;

	*count = 0;
	if (!cur)
		return -1;
	while ((ret = ct_cursor_next(cur, &ev, err)) > 0) {
		const struct ct_ev_snapshot *s = ct_event_payload(ev);

		if (ev->type != CT_EV_SNAPSHOT || s->kind == CT_SNAP_EXEC)
			continue;
		if (last && *count < most)
			list[(*count)++] = (struct stretch){last, s->id, ev->seq};
		last = s->id;
	}
	ct_cursor_destroy(cur);
	return ret;
}

static int verify(struct ct_recording *rec, const struct stretch *st, bool quiet, struct ct_error *err)
{
	struct ct_session *s = ct_session_create(rec, st->from, err);
	struct ct_session_stats stats;
	int ret;

	if (!s)
		return -1;
	ret = ct_session_run(s, st->end, err);
	if (!ret)
		ret = ct_session_compare(s, st->to, quiet ? NULL : stdout, err);
	ct_session_stats(s, &stats);
	if (!quiet)
		printf("  %llu events in %.2f s: %llu system calls, %llu really made, %llu signals, %llu switches, "
		       "%llu positions (%llu passes)\n",
		       (unsigned long long)stats.events, stats.seconds, (unsigned long long)stats.syscalls,
		       (unsigned long long)stats.executed, (unsigned long long)stats.signals,
		       (unsigned long long)stats.switches, (unsigned long long)stats.positions,
		       (unsigned long long)stats.position_hits);
	ct_session_destroy(s);
	return ret;
}

int cmd_verify(int argc, char **argv)
{
	static const struct option options[] = {
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct stretch list[256];
	struct ct_recording *rec;
	struct ct_error err = {0};
	size_t count = 0, good = 0;
	bool quiet = false;
	int opt;

	while ((opt = getopt_long(argc, argv, "qh", options, NULL)) != -1) {
		switch (opt) {
		case 'q': quiet = true; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (optind + 1 != argc)
		return ct_cmd_usage(argv, "give one recording");
	rec = ct_recording_open(argv[optind], &err);
	if (!rec)
		return ct_cmd_fail(argv, &err);
	if (find_stretches(rec, list, sizeof(list) / sizeof(*list), &count, &err)) {
		ct_recording_close(rec);
		return ct_cmd_fail(argv, &err);
	}
	for (size_t i = 0; i < count; i++) {
		int ret;

		memset(&err, 0, sizeof(err));
		ret = verify(rec, &list[i], quiet, &err);
		printf("stretch %u..%u: %s%s%s\n", list[i].from, list[i].to,
		       !ret                             ? "VERIFIED"
		       : ret > 0                        ? "DIFFERENT"
		       : err.status == CT_EXIT_DIVERGED ? "DIVERGED"
							: "FAILED",
		       ret < 0 ? ": " : "", ret < 0 ? err.msg : "");
		fflush(stdout);
		good += !ret;
	}
	if (!count)
		printf("nothing to verify: fewer than two snapshots\n");
	ct_recording_close(rec);
	return count && good == count ? CT_EXIT_OK : CT_EXIT_DIVERGED;
}
