/* SPDX-License-Identifier: MIT
 * Private to verify*.c: what a worker process does.
 *
 * verify.c starts them and reads what they write. */
#ifndef CT_VERIFY_WORKER_H
#define CT_VERIFY_WORKER_H

#include <sys/types.h>

#include "../replay/session.h"
#include "../replay/stretch.h"
#include "verify.h"

/* Replays a stretch of the recording (damaged: known to be) in a session with these options and writes its result to
 * fd; idle: only while nobody else wants the CPU. */
_Noreturn void ct_verify_worker(struct ct_recording *rec, bool damaged, const struct ct_stretch *st,
				const struct ct_session_opts *opts, bool idle, int fd, pid_t parent);

#endif
