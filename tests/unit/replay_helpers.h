/* SPDX-License-Identifier: MIT
 * For tests that record a child of theirs for a moment and open what was recorded. They need root. */
#ifndef REPLAY_HELPERS_H
#define REPLAY_HELPERS_H

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay/stretch.h"
#include "user/recorder.h"

/* Records `pid` into the directory `path`, and kills it. */
static inline void record_child(pid_t pid, const char *path, double seconds)
{
	const struct ct_record_opts opts = {.duration_s = seconds,
					    .cpu = -1,
					    .follow = true,
					    .level = 1,
					    .ring_bytes = 16 << 20,
					    .segment_size = 256 << 20,
					    .verbose = -1,
					    .npids = 1,
					    .pids = &pid,
					    .output = path};
	struct ct_record_result res;
	struct ct_error err = {0};

	cr_assert_eq(geteuid(), 0, "recording needs root");
	cr_assert_eq(ct_record(&opts, &res, &err), 0, "%s", err.msg);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Opens a recording of one sound stretch. */
static inline struct ct_recording *open_recorded(const char *path, struct ct_stretches *st)
{
	struct ct_error err = {0};
	struct ct_recording *rec = ct_recording_open(path, &err);

	cr_assert(rec, "%s", err.msg);
	cr_assert_eq(ct_stretches_find(rec, st, &err), 0, "%s", err.msg);
	cr_assert_eq(st->count, 1);
	cr_assert_eq(st->list[0].broken_at, 0, "%s", st->list[0].broken);
	return rec;
}

#endif
