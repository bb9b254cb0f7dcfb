// SPDX-License-Identifier: MIT
/* --verify with --keep: stretches are proven while the recording goes on, one after the other, by a `ctbpf verify` at
 * idle priority. It gets a recording of its own, made of hard links: nothing it reads is removed under it, and when the
 * stretch has to go from the disk before the verdict is there, the proof is given up. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/out.h"
#include "user/recorder_priv.h"
#include "user/verify.h"

#define PLACE     ".proof" /* in the recording's directory; a dot: its links count only once */
#define JSON_MOST (16u << 20)

struct stretch {
	struct ct_snapshot end; /* id, seq and nprocs only; id 0: it has no end yet */
	ct_u32 from, oldest;    /* oldest: the first snapshot whose pages it needs */
	ct_u64 seq, at_ns;      /* of its first record; of its end */
	json_t *verdict;        /* as in the manifest's verify.stretches; NULL: none yet */
};

struct ct_prover {
	/* the worker's */
	struct stretch *list; /* those that are kept, oldest first */
	size_t n;
	char place[64];

	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t change;
	bool quit, given_up;
	ct_u32 busy; /* the stretch from this snapshot is being proven, or has been: `result`; 0: nothing to do */
	bool ended;  /* it has been */
	pid_t child;
	json_t *result; /* what `ctbpf verify --json` has printed; NULL: there is no verdict */
	struct ct_proven counts;
};

/* ---- the thread: runs the verifier ----------------------------------------------------------------------------- */

/* vfork: the address space is not copied, which would stop all threads for a moment; only the child's part up to
 * execve runs in it. */
static pid_t start_verifier(char **argv, int out, const sigset_t *mask)
{
	const pid_t parent = getpid();
	pid_t pid = vfork();

	if (pid)
		return pid;
	/* A signal from the terminal is the recorder's business. */
	if (setpgid(0, 0) || prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent || dup2(out, STDOUT_FILENO) < 0 ||
	    sigprocmask(SIG_SETMASK, mask, NULL))
		_exit(CT_EXIT_FAILED);
	execv("/proc/self/exe", argv);
	_exit(CT_EXIT_FAILED);
}

static json_t *read_result(int fd)
{
	char *text = NULL;
	size_t len = 0;
	json_t *result;
	ssize_t n;

	do {
		char *more = len < JSON_MOST ? realloc(text, len + 65536) : NULL;

		if (!more)
			break;
		text = more;
		n = read(fd, text + len, 65536);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	result = text ? json_loadb(text, len, 0, NULL) : NULL;
	free(text);
	return result;
}

static void run(struct ct_prover *p)
{
	char *argv[] = {"ctbpf", "verify", "--idle", "--json", "--no-store", "--quiet", p->place, NULL};
	sigset_t none;
	int ends[2];
	pid_t pid;

	sigemptyset(&none);
	if (pipe2(ends, O_CLOEXEC))
		return;
	pthread_mutex_lock(&p->lock);
	p->child = pid = p->given_up ? -1 : start_verifier(argv, ends[1], &none);
	pthread_mutex_unlock(&p->lock);
	close(ends[1]);
	p->result = pid > 0 ? read_result(ends[0]) : NULL;
	close(ends[0]);
	if (pid <= 0)
		return;
	/* Its number is its own, for whoever may kill it, until it has been waited for. */
	waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT);
	pthread_mutex_lock(&p->lock);
	p->child = 0;
	pthread_mutex_unlock(&p->lock);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void *prover_main(void *arg)
{
	struct ct_recorder *r = arg;
	struct ct_prover *p = r->prover;

	pthread_setname_np(pthread_self(), "ctbpf-prove");
	pthread_mutex_lock(&p->lock);
	while (!p->quit) {
		struct ct_job *job;

		if (!p->busy || p->ended) {
			pthread_cond_wait(&p->change, &p->lock);
			continue;
		}
		pthread_mutex_unlock(&p->lock);
		run(p);
		job = calloc(1, sizeof(*job));
		pthread_mutex_lock(&p->lock);
		p->ended = true;
		pthread_cond_broadcast(&p->change);
		if (!job) /* the next snapshot takes the verdict */
			continue;
		pthread_mutex_unlock(&p->lock);
		job->fd = -1;
		job->proof = true;
		ct_recorder_worker_add(r, job);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* ---- the worker: what is proven, and what came of it ----------------------------------------------------------- */

static void write_counts(struct ct_recorder *r)
{
	struct ct_prover *p = r->prover;
	json_t *list = json_array(), *obj;
	struct ct_proven c;
	struct ct_error err;

	ct_prover_counts(r, &c);
	for (size_t i = 0; i < p->n; i++)
		if (p->list[i].verdict)
			json_array_append(list, p->list[i].verdict);
	obj = json_pack("{s:s, s:I, s:I, s:I, s:o}", "version", CTBPF_VERSION, "verified", (json_int_t)c.verified,
			"refuted", (json_int_t)c.refuted, "missed", (json_int_t)c.missed, "stretches", list);
	if (c.why[0])
		json_object_set_new(obj, "why", json_string(c.why));
	json_object_set_new(r->manifest, "proven", obj);
	if (ct_recorder_manifest(r, "recording", NULL, &err)) /* the next one has it, too */
		ct_recorder_note(r, CT_EV_NOTE, 0, 0, 0, "verdicts are not written: %s", err.msg);
}

/* Of the only stretch of the part. */
static const char *why_not(const json_t *result, const json_t *stretch)
{
	const char *problem = json_string_value(json_array_get(json_object_get(result, "problems"), 0));
	const char *error = json_string_value(json_object_get(stretch, "error"));
	const char *line = json_string_value(json_array_get(json_object_get(stretch, "differences"), 0));

	return problem ?: error ?: line ?: "no reason is known";
}

static void take_verdict(struct ct_recorder *r, struct stretch *st, const json_t *result)
{
	static const char *const also[] = {"at", "later_passes"};
	const json_t *one = json_array_get(json_object_get(result, "stretches"), 0);
	const char *verdict =
		json_string_value(json_object_get(result, "verdict")) ?: ct_verdict_name(CT_VERIFY_FAILED);
	const bool good = !strcmp(verdict, ct_verdict_name(CT_VERIFIED));
	struct ct_prover *p = r->prover;
	char why[sizeof(p->counts.why)];

	st->verdict = json_pack("{s:I, s:I, s:s}", "from", (json_int_t)st->from, "to", (json_int_t)st->end.id,
				"verdict", verdict);
	for (size_t i = 0; i < sizeof(also) / sizeof(*also); i++)
		if (json_object_get(one, also[i]))
			json_object_set(st->verdict, also[i], json_object_get(one, also[i]));
	snprintf(why, sizeof(why), "snapshot %u to %u: %s: %.150s", st->from, st->end.id, verdict,
		 why_not(result, one));
	pthread_mutex_lock(&p->lock);
	p->counts.verified += good;
	p->counts.refuted += !good;
	if (!good)
		memcpy(p->counts.why, why, sizeof(why));
	pthread_mutex_unlock(&p->lock);
	if (good)
		return;
	ct_recorder_note(r, CT_EV_NOTE, 0, 0, st->seq, "not verified: %s", why);
	if (r->opts->verbose == 0)
		fprintf(stderr, "not verified: %s\n", why);
}

static struct stretch *stretch_from(struct ct_prover *p, ct_u32 from)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->list[i].from == from)
			return &p->list[i];
	return NULL;
}

/* Whatever became of it, its links go. */
static void collect(struct ct_recorder *r)
{
	struct ct_prover *p = r->prover;
	json_t *result = NULL;
	struct stretch *st;
	bool ended;

	pthread_mutex_lock(&p->lock);
	ended = p->busy && p->ended;
	st = ended && !p->given_up ? stretch_from(p, p->busy) : NULL;
	if (ended) {
		result = p->result;
		p->result = NULL;
		p->busy = 0;
	}
	pthread_mutex_unlock(&p->lock);
	if (!ended)
		return;
	ct_recording_discard(p->place);
	if (st) {
		take_verdict(r, st, result);
		write_counts(r);
	}
	json_decref(result);
}

static int begin(struct ct_recorder *r, struct stretch *st, struct ct_error *err)
{
	struct ct_prover *p = r->prover;
	/* Before the first snapshot there may be records in its segment. */
	const struct ct_part part = {.first_seq = st->from == 1 ? 0 : st->seq,
				     .first_snapshot = st->oldest,
				     .end = &st->end,
				     .at_ns = st->at_ns};
	struct ct_pipeline_stats stats;
	json_t *manifest;
	int ret;

	if (ct_pipeline_settle(r->pipeline, err))
		return -1;
	ct_recording_discard(p->place);
	ct_pipeline_stats(r->pipeline, &stats);
	manifest = json_deep_copy(r->manifest);
	ct_recorder_describe(r, manifest, "complete", &stats);
	ret = ct_recorder_link(r, p->place, &part, manifest, err);
	json_decref(manifest);
	if (ret)
		return -1;
	pthread_mutex_lock(&p->lock);
	p->busy = st->from;
	p->ended = p->given_up = false;
	pthread_cond_broadcast(&p->change);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

void ct_prover_go_on(struct ct_recorder *r)
{
	struct ct_prover *p = r->prover;
	struct ct_error err;
	bool idle;

	if (!p)
		return;
	collect(r);
	pthread_mutex_lock(&p->lock);
	idle = !p->busy && !p->quit;
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; idle && i < p->n; i++) {
		struct stretch *st = &p->list[i];

		if (st->verdict || !st->end.id)
			continue;
		if (begin(r, st, &err)) {
			ct_recorder_note(r, CT_EV_NOTE, 0, 0, st->seq, "snapshot %u to %u: cannot be verified now: %s",
					 st->from, st->end.id, err.msg);
			ct_recording_discard(p->place);
		}
		break;
	}
}

void ct_prover_written(struct ct_recorder *r, const struct ct_snapshot *snap, ct_u32 oldest, ct_u64 at_ns)
{
	struct ct_prover *p = r->prover;
	struct stretch *open = p && p->n ? &p->list[p->n - 1] : NULL, *more;

	if (!p)
		return;
	if (open && oldest < open->oldest)
		open->oldest = oldest;
	/* The last segment is not closed yet when the final snapshot is there: that stretch is for the end. */
	if (snap->kind == CT_SNAP_EXEC && open)
		return;
	if (open && !open->end.id && snap->kind != CT_SNAP_FINAL) {
		open->end = (struct ct_snapshot){.id = snap->id, .seq = snap->seq, .nprocs = snap->nprocs};
		open->at_ns = at_ns;
	}
	more = snap->kind != CT_SNAP_FINAL ? realloc(p->list, (p->n + 1) * sizeof(*more)) : NULL;
	if (more) {
		p->list = more;
		p->list[p->n++] = (struct stretch){.from = snap->id, .oldest = oldest, .seq = snap->seq};
	}
	ct_prover_go_on(r);
}

static void give_up(struct ct_prover *p)
{
	pthread_mutex_lock(&p->lock);
	p->given_up = true;
	if (p->child > 0)
		kill(-p->child, SIGKILL); /* its workers are in its group, and their replicas end with them */
	while (p->busy && !p->ended && !p->quit)
		pthread_cond_wait(&p->change, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void ct_prover_dropping(struct ct_recorder *r, ct_u32 first)
{
	struct ct_prover *p = r->prover;
	size_t left = 0;
	ct_u64 missed = 0;

	if (!p)
		return;
	collect(r);
	if (p->busy && p->busy < first) {
		give_up(p);
		collect(r);
	}
	for (size_t i = 0; i < p->n; i++) {
		if (p->list[i].from >= first) {
			p->list[left++] = p->list[i];
			continue;
		}
		missed += !p->list[i].verdict;
		json_decref(p->list[i].verdict);
	}
	p->n = left;
	pthread_mutex_lock(&p->lock);
	p->counts.missed += missed;
	pthread_mutex_unlock(&p->lock);
	if (missed)
		write_counts(r);
}

void ct_prover_counts(struct ct_recorder *r, struct ct_proven *counts)
{
	struct ct_prover *p = r->prover;

	pthread_mutex_lock(&p->lock);
	*counts = p->counts;
	pthread_mutex_unlock(&p->lock);
}

/* ---- begin and end --------------------------------------------------------------------------------------------- */

int ct_prover_start(struct ct_recorder *r, struct ct_error *err)
{
	struct ct_prover *p = calloc(1, sizeof(*p));

	if (!p)
		return ct_fail_memory(err);
	/* By its descriptor: nobody can put another directory in its place. */
	snprintf(p->place, sizeof(p->place), "/proc/%d/fd/%d/" PLACE, getpid(), r->dirfd);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->change, NULL);
	r->prover = p;
	if (!pthread_create(&p->thread, NULL, prover_main, r))
		return 0;
	free(p);
	r->prover = NULL;
	return ct_fail(err, CT_EXIT_FAILED, "cannot start a thread");
}

void ct_prover_stop(struct ct_recorder *r)
{
	struct ct_prover *p = r->prover;

	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->quit = true;
	pthread_cond_broadcast(&p->change);
	pthread_mutex_unlock(&p->lock);
	give_up(p);
	pthread_join(p->thread, NULL);
}

void ct_prover_free(struct ct_recorder *r)
{
	struct ct_prover *p = r->prover;

	if (!p)
		return;
	ct_recording_discard(p->place);
	for (size_t i = 0; i < p->n; i++)
		json_decref(p->list[i].verdict);
	free(p->list);
	json_decref(p->result);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->change);
	free(p);
	r->prover = NULL;
}
