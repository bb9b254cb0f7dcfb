// SPDX-License-Identifier: MIT
/* Triggers: something happens, and what is kept at that moment becomes a recording of its own, by hard links.
 *
 * The consumer thread sees the events, the main thread takes a snapshot when the time after them is over, the worker
 * makes the links. Requests of `ctbpf trigger`, `stop` and `start` come by the socket `control` in the recording's
 * directory. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "formats/event_access.h"
#include "formats/retention.h"
#include "user/control.h"
#include "user/recorder_priv.h"

#define MATCH_LIMIT 100000 /* steps of a match; the consumer thread has no time for more */
#define SAME_NAMES  1000

struct ct_trigger {
	struct ct_trigger *next;
	char name[CT_TRIGGER_NAME];
	bool automatic; /* another number is added if there is one of this name */
	char reason[160];
	ct_u64 seq, due_ns;
	int client; /* who waits for an answer, -1: nobody */
};

struct ct_triggers {
	pthread_mutex_t lock; /* of the next four */
	struct ct_trigger *waiting;
	struct { /* the last call told of: consumer thread */
		ct_u32 tid, depth;
		ct_u64 entered_ns;
	} slow;
	ct_u64 last_ns; /* of an automatic one */
	ct_u64 suppressed;
	bool closed;
	struct ct_trigger *due; /* main thread: the next snapshot is for them */
	pcre2_code *regex;
	pcre2_match_data *match;
	pcre2_match_context *limits;
	int listener;
	char link[64]; /* tells `ctbpf trigger -p` where the recording is */
};

/* ---- what makes one -------------------------------------------------------------------------------------------- */

static struct ct_trigger *new_trigger(struct ct_recorder *r, const char *name, ct_u64 seq)
{
	struct ct_trigger *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	snprintf(t->name, sizeof(t->name), "%.*s", CT_TRIGGER_NAME - 1, name);
	t->seq = seq;
	t->due_ns = ct_now_ns() + r->opts->trigger.post_ns;
	t->client = -1;
	return t;
}

static bool enqueue(struct ct_recorder *r, struct ct_trigger *t)
{
	struct ct_triggers *ts = r->triggers;
	bool taken;

	pthread_mutex_lock(&ts->lock);
	taken = !ts->closed;
	if (taken) {
		t->next = ts->waiting;
		ts->waiting = t;
	}
	pthread_mutex_unlock(&ts->lock);
	return taken;
}

/* On the consumer thread. */
static void fire(struct ct_recorder *r, const char *kind, const struct ct_event *ev, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void fire(struct ct_recorder *r, const char *kind, const struct ct_event *ev, const char *fmt, ...)
{
	struct ct_triggers *ts = r->triggers;
	char name[CT_TRIGGER_NAME], when[24];
	time_t now = time(NULL);
	struct ct_trigger *t;
	struct tm tm;
	va_list args;
	bool early;

	pthread_mutex_lock(&ts->lock);
	early = ts->last_ns && ct_now_ns() - ts->last_ns < r->opts->trigger.every_ns;
	if (early)
		ts->suppressed++;
	else
		ts->last_ns = ct_now_ns();
	pthread_mutex_unlock(&ts->lock);
	if (early)
		return;
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	snprintf(name, sizeof(name), "%s-%s", kind, when);
	t = new_trigger(r, name, ev->seq);
	if (!t)
		return;
	t->automatic = true;
	va_start(args, fmt);
	vsnprintf(t->reason, sizeof(t->reason), fmt, args);
	va_end(args);
	ct_recorder_note(r, CT_EV_NOTE, 0, ev->pid, ev->seq, "trigger %s: %s", name, t->reason);
	if (!enqueue(r, t))
		free(t);
}

static bool writes(int nr)
{
	switch (nr) {
	case SYS_write:
	case SYS_pwrite64:
	case SYS_writev:
	case SYS_pwritev:
	case SYS_pwritev2:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg: return true;
	default: return false;
	}
}

static void look_at_output(struct ct_recorder *r, const struct ct_event *ev)
{
	const struct ct_ev_syscall *sc = ct_event_payload(ev);
	struct ct_triggers *ts = r->triggers;
	struct ct_buf_iter it = ct_buf_iter(ev);

	if (sc->ret <= 0 || !writes(sc->nr))
		return;
	while (ct_buf_next(&it)) {
		const unsigned char *text = it.data;
		int len = it.buf->len > 80 ? 80 : (int)it.buf->len;

		if (it.buf->kind != CT_BUF_IN || it.buf->arg != 1 ||
		    pcre2_match(ts->regex, (PCRE2_SPTR)text, it.buf->len, 0, 0, ts->match, ts->limits) < 0)
			continue;
		/* What programs write goes to terminals and into JSON from here. */
		char shown[81];
		for (int i = 0; i < len; i++)
			shown[i] = text[i] < ' ' || text[i] > '~' ? ' ' : (char)text[i];
		shown[len] = 0;
		fire(r, "log", ev, "process %u wrote: %s", ev->pid, shown);
		return;
	}
}

/* Only calls that took long are told of, the CALL record right before the RETURN unless its own calls were, too. */
static void slow_call(struct ct_recorder *r, const struct ct_event *ev)
{
	const struct ct_ev_return *ret = ct_event_payload(ev);
	const struct ct_triggers *ts = r->triggers;

	if (ts->slow.tid == ev->tid && ts->slow.depth == ret->depth && ev->time_ns > ts->slow.entered_ns)
		fire(r, "latency", ev, "a call of %.60s in thread %u took %.3f ms", r->opts->trigger.slow, ev->tid,
		     (double)(ev->time_ns - ts->slow.entered_ns) / 1e6);
	else
		fire(r, "latency", ev, "a call of %.60s in thread %u took more than %.3f ms", r->opts->trigger.slow,
		     ev->tid, (double)r->opts->trigger.slow_ns / 1e6);
}

void ct_triggers_tap(struct ct_recorder *r, const struct ct_event *ev)
{
	const struct ct_trigger_opts *o = &r->opts->trigger;

	if (ev->type == CT_EV_SYSCALL && r->triggers->regex) {
		look_at_output(r, ev);
	} else if (ev->type == CT_EV_SIGNAL && o->signals) {
		const struct ct_ev_signal *s = ct_event_payload(ev);

		if (s->sig >= 1 && s->sig <= 64 && (o->signals >> (s->sig - 1) & 1))
			fire(r, "signal", ev, "signal %d for thread %u", s->sig, ev->tid);
	} else if (ev->type == CT_EV_CALL) {
		const struct ct_ev_call *c = ct_event_payload(ev);

		r->triggers->slow.tid = ev->tid;
		r->triggers->slow.depth = c->depth;
		r->triggers->slow.entered_ns = c->entered_ns;
	} else if (ev->type == CT_EV_RETURN) {
		slow_call(r, ev);
	} else if (ev->type == CT_EV_EXIT) {
		const struct ct_ev_exit *x = ct_event_payload(ev);
		int status = WEXITSTATUS(x->code);

		if (!(x->flags & CT_EXITF_GROUP))
			return;
		if (WIFSIGNALED(x->code) && o->crash)
			fire(r, "crash", ev, "process %u was ended by signal %d (%s)", ev->pid, WTERMSIG(x->code),
			     sigabbrev_np(WTERMSIG(x->code)) ?: "?");
		else if (WIFEXITED(x->code) && o->exits &&
			 (o->exit_status < 0 ? status != 0 : status == o->exit_status))
			fire(r, "exit", ev, "process %u exited with status %d", ev->pid, status);
	}
}

/* ---- the command --------------------------------------------------------------------------------------------- */

bool ct_trigger_name_ok(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return len && len < CT_TRIGGER_NAME && !name[len] && name[0] != '.';
}

static void tell_status(struct ct_recorder *r, int fd, const struct ct_pipeline_stats *s)
{
	json_t *status = json_pack("{s:I, s:I, s:I, s:I, s:i, s:i, s:f, s:f, s:f}", "events", (json_int_t)s->events,
				   "log_bytes", (json_int_t)s->stored_bytes, "lost", (json_int_t)s->lost, "unsound",
				   (json_int_t)atomic_load(&r->unsound), "snapshots", (int)r->last_snapshot,
				   "processes", (int)r->ntargets, "duration_s", (ct_now_ns() - r->start_ns) / 1e9,
				   "max_pause_s", r->max_pause_ns / 1e9, "recorder_cpu_s", s->cpu_ns / 1e9);
	struct ct_proven proven;
	char *text;

	if (r->prover) {
		ct_prover_counts(r, &proven);
		json_object_set_new(status, "verified", json_integer((json_int_t)proven.verified));
		json_object_set_new(status, "refuted", json_integer((json_int_t)proven.refuted));
		json_object_set_new(status, "missed", json_integer((json_int_t)proven.missed));
	}
	text = json_dumps(status, JSON_COMPACT);
	ct_control_answer(fd, text ? "ok %s" : "error out of memory%s", text ?: "");
	free(text);
	json_decref(status);
}

static void request(struct ct_recorder *r, int fd, const char *text)
{
	struct ct_pipeline_stats stats;
	struct ct_trigger *t = NULL;

	ct_pipeline_stats(r->pipeline, &stats);
	if (!strcmp(text, "status")) {
		tell_status(r, fd, &stats);
		return;
	}
	if (!strcmp(text, "stop") || !strcmp(text, "start")) {
		ct_recorder_calls_asked(r, fd, text[2] == 'o');
		return;
	}
	if (r->opts->no_replay) {
		ct_control_answer(fd, "error without snapshots (--no-replay) no part of it can be kept");
		return;
	}
	if (!strncmp(text, "trigger ", 8) && ct_trigger_name_ok(text + 8))
		t = new_trigger(r, text + 8, stats.last_seq);
	if (!t) {
		ct_control_answer(fd, "error not understood");
		return;
	}
	snprintf(t->reason, sizeof(t->reason), "asked for by `ctbpf trigger`");
	t->client = fd;
	ct_recorder_note(r, CT_EV_NOTE, 0, 0, 0, "trigger %s: %s", t->name, t->reason);
	if (!enqueue(r, t)) {
		ct_control_answer(fd, "error the recording has ended");
		free(t);
	}
}

void ct_triggers_serve(struct ct_recorder *r, int ep, int fd)
{
	char text[256];

	if (ct_control_serve(ep, r->triggers->listener, fd, text, sizeof(text)) > 0)
		request(r, fd, text);
}

int ct_triggers_fd(const struct ct_recorder *r)
{
	return r->triggers ? r->triggers->listener : -1;
}

/* ---- keeping it ------------------------------------------------------------------------------------------------ */

static json_t *describe(struct ct_recorder *r, const struct ct_trigger *t, bool ended)
{
	json_t *manifest = json_deep_copy(r->manifest);
	struct ct_pipeline_stats stats;

	if (!ended) {
		ct_pipeline_stats(r->pipeline, &stats);
		ct_recorder_describe(r, manifest, "complete", &stats);
	}
	json_object_set_new(
		manifest, "trigger",
		json_pack("{s:s, s:s, s:I}", "name", t->name, "reason", t->reason, "seq", (json_int_t)t->seq));
	return manifest;
}

static int keep(struct ct_recorder *r, struct ct_trigger *t, const struct ct_snapshot *snap, ct_u64 at_ns,
		struct ct_error *err)
{
	size_t stem = strlen(r->path);
	const struct ct_part part = {.end = snap, .at_ns = at_ns};
	char path[700], tmp[710];
	json_t *manifest;
	int ret;

	if (stem > 4 && !strcmp(r->path + stem - 4, ".ctr"))
		stem -= 4;
	snprintf(tmp, sizeof(tmp), "%.*s-%s.ctr.tmp", (int)stem, r->path, t->name);
	/* A request takes what is on its way to the disk along. */
	ret = snap ? ct_pipeline_settle(r->pipeline, err) : 0;
	if (!ret) {
		manifest = describe(r, t, !snap);
		ret = ct_recorder_link(r, tmp, &part, manifest, err);
		json_decref(manifest);
	}
	for (int n = 1; !ret && n < SAME_NAMES; n++) {
		if (n == 1)
			snprintf(path, sizeof(path), "%.*s-%s.ctr", (int)stem, r->path, t->name);
		else
			snprintf(path, sizeof(path), "%.*s-%s-%d.ctr", (int)stem, r->path, t->name, n);
		if (!renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_NOREPLACE))
			break;
		if (errno == EEXIST && t->automatic && n + 1 < SAME_NAMES)
			continue;
		ret = ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot put it in place", path);
		ct_recording_discard(tmp);
	}
	if (!ret) {
		char *full = realpath(path, NULL);

		ct_control_answer(t->client, "ok %s", full ?: path);
		t->client = -1;
		if (r->opts->verbose >= 0)
			fprintf(stderr, "%s: %s\n", path, t->reason);
		free(full);
	}
	return ret;
}

void ct_triggers_keep(struct ct_recorder *r, struct ct_trigger *list, const struct ct_snapshot *snap, ct_u64 at_ns,
		      const struct ct_error *failed)
{
	while (list) {
		struct ct_trigger *t = list;
		struct ct_error err;

		list = t->next;
		if (failed)
			err = *failed;
		if (failed || keep(r, t, snap, at_ns, &err)) {
			ct_control_answer(t->client, "error %s", err.msg);
			if (r->pipeline)
				ct_recorder_note(r, CT_EV_NOTE, 0, 0, 0, "trigger %s: nothing was kept: %s", t->name,
						 err.msg);
			if (r->opts->verbose >= 0)
				fprintf(stderr, "trigger %s: nothing was kept: %s\n", t->name, err.msg);
		}
		free(t);
	}
}

/* Those that are due, or all of them. */
static void collect(struct ct_triggers *ts, ct_u64 now)
{
	struct ct_trigger **at;

	pthread_mutex_lock(&ts->lock);
	for (at = &ts->waiting; *at;) {
		struct ct_trigger *t = *at;

		if (t->due_ns > now) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		t->next = ts->due;
		ts->due = t;
	}
	pthread_mutex_unlock(&ts->lock);
}

bool ct_triggers_due(struct ct_recorder *r)
{
	if (!r->triggers)
		return false;
	collect(r->triggers, ct_now_ns());
	return r->triggers->due;
}

struct ct_trigger *ct_triggers_take(struct ct_recorder *r)
{
	struct ct_trigger *due = r->triggers ? r->triggers->due : NULL;

	if (due)
		r->triggers->due = NULL;
	return due;
}

/* ---- begin and end --------------------------------------------------------------------------------------------- */

static int compile(struct ct_triggers *ts, const char *text, struct ct_error *err)
{
	PCRE2_SIZE at;
	char why[128];
	int code;

	ts->regex = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_MULTILINE, &code, &at, NULL);
	if (!ts->regex) {
		pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof(why));
		return ct_fail(err, CT_EXIT_USAGE, "--on-log: '%s': %s (at character %zu)", text, why, (size_t)at + 1);
	}
	pcre2_jit_compile(ts->regex, PCRE2_JIT_COMPLETE); /* without it matching is slower */
	ts->match = pcre2_match_data_create_from_pattern(ts->regex, NULL);
	ts->limits = pcre2_match_context_create(NULL);
	if (!ts->match || !ts->limits)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	pcre2_set_match_limit(ts->limits, MATCH_LIMIT);
	return 0;
}

int ct_triggers_create(struct ct_recorder *r, struct ct_error *err)
{
	struct ct_triggers *ts = calloc(1, sizeof(*ts));
	struct ct_error ignored;
	char *full;

	if (!ts)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	r->triggers = ts;
	pthread_mutex_init(&ts->lock, NULL);
	ts->listener = ct_control_listen(r->dirfd, CT_CONTROL);
	if (ts->listener < 0)
		ct_recorder_note(r, CT_EV_NOTE, 0, 0, 0,
				 "`ctbpf trigger`, `stop` and `start` do not work: no socket in %s: %s", r->path,
				 strerror(errno));
	snprintf(ts->link, sizeof(ts->link), CT_RUN_DIR "/%d.recording", getpid());
	full = realpath(r->path, NULL);
	ct_rundir_sweep();
	unlink(ts->link);
	if (!full || ct_rundir_make(&ignored) || symlink(full, ts->link))
		ts->link[0] = 0; /* found by its directory only */
	free(full);
	return r->opts->trigger.log ? compile(ts, r->opts->trigger.log, err) : 0;
}

void ct_triggers_finish(struct ct_recorder *r, bool whole)
{
	static const struct ct_error ended = {.status = CT_EXIT_FAILED, .msg = "the recording ended by an error"};
	struct ct_triggers *ts = r->triggers;

	if (!ts)
		return;
	pthread_mutex_lock(&ts->lock);
	ts->closed = true;
	pthread_mutex_unlock(&ts->lock);
	collect(ts, UINT64_MAX);
	ct_triggers_keep(r, ct_triggers_take(r), NULL, 0, whole ? NULL : &ended);
	if (ts->suppressed && r->opts->verbose >= 0)
		fprintf(stderr, "%llu triggers came too soon after another one: see --trigger-limit\n",
			(unsigned long long)ts->suppressed);
	if (ts->listener >= 0) {
		close(ts->listener);
		unlinkat(r->dirfd, CT_CONTROL, 0);
	}
	if (ts->link[0])
		unlink(ts->link);
	pcre2_code_free(ts->regex);
	pcre2_match_data_free(ts->match);
	pcre2_match_context_free(ts->limits);
	pthread_mutex_destroy(&ts->lock);
	free(ts);
	r->triggers = NULL;
}
