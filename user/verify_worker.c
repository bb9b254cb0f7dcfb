/* SPDX-License-Identifier: MIT
 * Proving one stretch, in a process of its own: tracing is a thread's business, and a CPU's.
 *
 * The result goes through a pipe as one line of JSON; what follows that line is the report of a divergence as text. */
#include "verify_worker.h"

#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../replay/passes.h"
#include "report_text.h"

/* Others come first: a proof can wait, a service on the same machine cannot. */
static void lower_priority(bool idle)
{
	struct sched_param param = {0};

	setpriority(PRIO_PROCESS, 0, idle ? 19 : 5);
	sched_setscheduler(0, idle ? SCHED_IDLE : SCHED_BATCH, &param);
	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
		idle ? IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0) : IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7));
}

static json_t *stats_json(const struct ct_session_stats *n, const struct ct_proof *proof)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:i, s:i, s:i}", "events",
			 (json_int_t)n->events, "syscalls", (json_int_t)n->syscalls, "answered",
			 (json_int_t)n->answered, "executed", (json_int_t)n->executed, "signals",
			 (json_int_t)n->signals, "switches", (json_int_t)n->switches, "positions",
			 (json_int_t)n->positions, "passes", (json_int_t)n->position_hits, "seconds", n->seconds,
			 "cpu_seconds", n->cpu_seconds, "cpu", n->cpu, "later_passes", (int)proof->later_passes,
			 "tries", (int)proof->tries);
}

static json_t *compared_json(const struct ct_comparison *n)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "pages", (json_int_t)n->pages, "other_pages",
			 (json_int_t)n->extra_pages, "mappings", (json_int_t)n->maps, "threads", (json_int_t)n->threads,
			 "processes", (json_int_t)n->processes, "differences", (json_int_t)n->differences);
}

/* One line each, as the comparison wrote them. */
static json_t *lines_json(char *text)
{
	json_t *list = json_array();

	for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		json_array_append_new(list, json_string(line));
	return list;
}

static enum ct_verdict run(struct ct_recording *rec, bool damaged, const struct ct_stretch *st,
			   const struct ct_session_opts *opts, json_t *res, struct ct_out *text)
{
	struct ct_error err = {0};
	const struct ct_proof_of of = {
		.rec = rec, .opts = opts, .from = st->from, .to = st->to, .end = st->end, .damaged = damaged};
	struct ct_session *s;
	enum ct_verdict verdict = CT_VERIFIED;
	struct ct_session_stats stats;
	struct ct_proof proof;
	int ret = ct_session_prove(&of, &s, &proof, &err);

	if (proof.differences)
		json_object_set_new(res, "compared", compared_json(&proof.compared));
	if (ret > 0) {
		verdict = CT_DIFFERENT;
		json_object_set_new(res, "differences", lines_json(proof.differences));
	} else if (ret < 0) {
		verdict = err.status == CT_EXIT_DIVERGED ? CT_DIVERGED : CT_VERIFY_FAILED;
		json_object_set_new(res, "error", json_string(err.msg));
	} else if (!st->to) {
		verdict = CT_UNPROVEN;
	} else if (ct_verify_redacted(rec)) {
		verdict = CT_REDACTED;
	}
	if (s && verdict == CT_DIVERGED) {
		struct ct_report *r = ct_session_report(s);

		if (r) {
			if (r->ev)
				json_object_set_new(res, "at", json_integer((json_int_t)r->ev->seq));
			json_object_set_new(res, "report", ct_report_json(r, rec));
			ct_report_print(text, r, rec);
		}
		ct_report_free(r);
	}
	if (s) {
		ct_session_stats(s, &stats);
		json_object_set_new(res, "replayed", stats_json(&stats, &proof));
		ct_session_destroy(s);
	}
	if (proof.later_passes) {
		json_t *list = json_array();

		for (unsigned i = 0; i < proof.later_passes; i++)
			json_array_append_new(
				list, json_pack("[I, i]", (json_int_t)proof.later[i].seq, (int)proof.later[i].skip));
		json_object_set_new(res, "later_passes", list);
	}
	free(proof.later);
	free(proof.differences);
	return verdict;
}

static void write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n <= 0)
			return;
		data += n;
		len -= (size_t)n;
	}
}

_Noreturn void ct_verify_worker(struct ct_recording *rec, bool damaged, const struct ct_stretch *st,
				const struct ct_session_opts *opts, bool idle, int fd, pid_t parent)
{
	json_t *res = json_object();
	struct ct_out text;
	char *line;

	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	/* Whoever reads the command's output shall not wait for this process and its replicas: given no CPU, they take
	 * long to end. */
	if (null >= 0)
		dup2(null, STDOUT_FILENO);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it died before that */
		_exit(1);
	lower_priority(idle);
	ct_out_memory(&text);
	json_object_set_new(res, "verdict", json_string(ct_verdict_name(run(rec, damaged, st, opts, res, &text))));
	line = json_dumps(res, JSON_COMPACT);
	if (!line)
		_exit(1);
	write_all(fd, line, strlen(line));
	write_all(fd, "\n", 1);
	write_all(fd, text.buf, text.len);
	_exit(0);
}
