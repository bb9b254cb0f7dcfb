/* SPDX-License-Identifier: MIT
 * Proving a recording: starting workers, collecting and telling their verdicts, keeping the result.
 *
 * Nothing that is unreadable or altered may end as verified: what the stretches do not read is checked here. */
#include "verify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../replay/clock.h"
#include "../replay/session.h"
#include "out.h"
#include "verify_worker.h"

#define MOST_JOBS 64

static const char *const names[] = {
	[CT_VERIFIED] = "VERIFIED",   [CT_REDACTED] = "REDACTED", [CT_BROKEN] = "BROKEN",
	[CT_UNPROVEN] = "UNPROVEN",   [CT_DIVERGED] = "DIVERGED", [CT_DIFFERENT] = "DIFFERENT",
	[CT_VERIFY_FAILED] = "FAILED"};

const char *ct_verdict_name(enum ct_verdict v)
{
	return names[v];
}

static enum ct_verdict verdict_of(const json_t *res)
{
	const char *name = json_string_value(json_object_get(res, "verdict"));

	for (unsigned v = CT_VERIFIED; name && v <= CT_VERIFY_FAILED; v++)
		if (!strcmp(name, names[v]))
			return (enum ct_verdict)v;
	return CT_VERIFY_FAILED;
}

int ct_verdict_status(enum ct_verdict v)
{
	return v == CT_VERIFIED ? CT_EXIT_OK : v == CT_VERIFY_FAILED ? CT_EXIT_FAILED : CT_EXIT_DIVERGED;
}

/* One stretch being proven. */
struct job {
	const struct ct_stretch *st;
	size_t number;  /* from 1 */
	json_t *res;    /* owned; NULL: not known yet */
	char *text;     /* owned; the report */
	bool elsewhere; /* its last run was on another CPU than the recorded one */
	bool told;
};
struct worker {
	struct job *job; /* NULL: idle */
	pid_t pid;
	int fd, cpu; /* cpu -1: the recorded one */
	char *data;
	size_t len;
};
struct verifier {
	struct ct_recording *rec;
	const struct ct_verify_opts *opts;
	struct ct_stretches st;
	struct job *jobs;
	size_t njobs;
	struct worker workers[MOST_JOBS];
	size_t nworkers;
	json_t *problems; /* of the recording as a whole */
	bool damaged;
	const struct ct_clock *clock;
	char clock_why[CT_CLOCK_WHY];
	size_t files; /* kept files whose content was checked */
};

/* ---- the recording as a whole ------------------------------------------------------------------------------- */

int ct_verify_refusal(const struct ct_recording *rec, struct ct_error *err)
{
	const json_t *options = json_object_get(ct_recording_manifest(rec), "options");

	if (json_is_true(json_object_get(options, "no_replay")))
		return ct_fail(err, CT_EXIT_FAILED, "%s: recorded with --no-replay: only events; nothing to replay",
			       ct_recording_path(rec));
	if (ct_recording_state(rec) == CT_REC_RECORDING)
		return ct_fail(err, CT_EXIT_FAILED, "%s: is still being recorded; wait for its end",
			       ct_recording_path(rec));
	return 0;
}

bool ct_verify_redacted(const struct ct_recording *rec)
{
	const json_t *redacted = json_object_get(ct_recording_manifest(rec), "redacted");
	const json_t *matches = json_object_get(redacted, "matches");

	return redacted && !(json_is_integer(matches) && !json_integer_value(matches));
}

static void add_problem(struct verifier *v, const char *text)
{
	json_t *t = json_string(text);

	json_array_append_new(v->problems, t ? t : json_string("a problem whose text is not UTF-8"));
	if (v->opts->out)
		fprintf(v->opts->out, "problem: %s\n", text);
}

/* A kept file must be what its name says: pages of it that nothing reads are not compared by anyone else. */
static void check_files(struct verifier *v)
{
	int fd = openat(ct_recording_dirfd(v->rec), "files", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *de;

	while (dir && (de = readdir(dir))) {
		ct_u8 hash[16];
		struct ct_error err;
		int file;

		if (ct_hash_parse(de->d_name, hash))
			continue; /* an unfinished copy: nothing refers to it */
		file = ct_file_open(ct_recording_dirfd(v->rec), hash, true, &err);
		if (file < 0) {
			add_problem(v, err.msg);
			continue;
		}
		close(file);
		v->files++;
	}
	if (dir)
		closedir(dir);
	else
		add_problem(v, "files/: cannot be listed");
}

static void check_whole(struct verifier *v)
{
	const char *text;

	for (size_t i = 0; (text = ct_recording_problem(v->rec, i)); i++)
		add_problem(v, text);
	if (v->st.damage[0])
		add_problem(v, v->st.damage);
	check_files(v);
	v->damaged = json_array_size(v->problems) > 0;
	if (ct_recording_state(v->rec) == CT_REC_RECOVERED)
		add_problem(v, "the recorder died before its end was written");
}

/* ---- workers ------------------------------------------------------------------------------------------------ */

static int start(struct verifier *v, struct worker *w, struct job *job, struct ct_error *err)
{
	pid_t parent = getpid();
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot make a pipe to a worker");
	fflush(NULL);
	w->pid = fork();
	if (!w->pid) {
		const struct ct_session_opts opts = {.cpu = w->cpu, .clock = v->clock};

		close(ends[0]);
		/* The last word is not spoken at idle priority: a try that is given no CPU for long looks like one
		 * that has lost its way. */
		ct_verify_worker(v->rec, v->damaged, job->st, &opts, v->opts->idle && w->cpu >= 0, ends[1], parent);
	}
	close(ends[1]);
	if (w->pid < 0) {
		close(ends[0]);
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot start a worker");
	}
	w->fd = ends[0];
	w->job = job;
	w->data = NULL;
	w->len = 0;
	job->elsewhere = w->cpu >= 0;
	return 0;
}

/* The worker is done: its result, or what its end tells. */
static void finish(struct worker *w)
{
	struct job *job = w->job;
	char *newline = w->data ? memchr(w->data, '\n', w->len) : NULL;
	int status = 0;

	close(w->fd);
	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (newline)
		job->res = json_loadb(w->data, (size_t)(newline - w->data), 0, NULL);
	if (job->res && newline + 1 < w->data + w->len)
		job->text = strndup(newline + 1, (size_t)(w->data + w->len - newline - 1));
	if (!job->res)
		job->res = json_pack("{s:s, s:o}", "verdict", names[CT_VERIFY_FAILED], "error",
				     WIFSIGNALED(status)
					     ? json_sprintf("the worker was killed by signal %d", WTERMSIG(status))
					     : json_sprintf("the worker ended with status %d", WEXITSTATUS(status)));
	free(w->data);
	w->data = NULL;
	w->job = NULL;
	/* On another CPU programs may see another one by cpuid or rdpid: only the recorded one gives a final no. */
	if (job->elsewhere && verdict_of(job->res) != CT_VERIFIED) {
		json_decref(job->res);
		free(job->text);
		job->res = NULL;
		job->text = NULL;
	}
}

static bool receive(struct worker *w)
{
	char *more = realloc(w->data, w->len + 65536);
	ssize_t n;

	if (!more)
		return false;
	w->data = more;
	do
		n = read(w->fd, w->data + w->len, 65536);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		w->len += (size_t)n;
	return n > 0;
}

/* The next job for a worker: those that failed elsewhere are for the recorded CPU alone. */
static struct job *choose(struct verifier *v, const struct worker *w)
{
	for (size_t i = 0; i < v->njobs; i++) {
		struct job *job = &v->jobs[i];
		bool taken = job->res || (job->elsewhere && w->cpu >= 0) ||
			     (v->opts->idle && v->nworkers > 1 && !job->elsewhere && w->cpu < 0);

		for (size_t k = 0; k < v->nworkers && !taken; k++)
			taken = v->workers[k].job == job;
		if (!taken)
			return job;
	}
	return NULL;
}

/* Worker 0 is for the recorded CPU, the others for one other CPU each. */
static void plan_workers(struct verifier *v)
{
	const json_t *options = json_object_get(ct_recording_manifest(v->rec), "options");
	int recorded = (int)json_integer_value(json_object_get(options, "cpu"));
	size_t most = v->opts->jobs ? v->opts->jobs : MOST_JOBS;
	cpu_set_t allowed;

	v->workers[v->nworkers++].cpu = -1;
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	if (v->opts->idle) { /* the recorded one is asked last: the program may still be running there */
		for (int cpu = 0; cpu < CPU_SETSIZE && v->nworkers < 2; cpu++)
			if (CPU_ISSET(cpu, &allowed) && cpu != recorded) {
				v->workers[v->nworkers++].cpu = -1;
				v->workers[0].cpu = cpu;
			}
		return;
	}
	for (int cpu = 0; cpu < CPU_SETSIZE && v->nworkers < most && v->nworkers < MOST_JOBS && v->nworkers < v->njobs;
	     cpu++)
		if (CPU_ISSET(cpu, &allowed) && cpu != recorded)
			v->workers[v->nworkers++].cpu = cpu;
}

/* ---- telling ------------------------------------------------------------------------------------------------ */

static json_int_t number(const json_t *obj, const char *group, const char *key)
{
	return json_integer_value(json_object_get(json_object_get(obj, group), key));
}

static void tell_details(FILE *out, const struct job *job)
{
	double recorded = (double)(job->st->last_ns - job->st->first_ns) / 1e9;
	const json_t *n = json_object_get(job->res, "replayed"), *line;
	char a[CT_HUMAN], b[CT_HUMAN];
	size_t i;

	json_array_foreach (json_object_get(job->res, "differences"), i, line)
		fprintf(out, "  %s\n", json_string_value(line));
	if (job->st->to && json_object_get(job->res, "compared") && !number(job->res, "compared", "processes") &&
	    !number(job->res, "compared", "differences"))
		fputs("  every process had ended: its system calls and what it passed to them were compared\n", out);
	else if (json_object_get(job->res, "compared"))
		fprintf(out,
			"  %lld pages, %lld others, %lld mappings, registers and FPU state of %lld threads in %lld "
			"processes %s\n",
			(long long)number(job->res, "compared", "pages"),
			(long long)number(job->res, "compared", "other_pages"),
			(long long)number(job->res, "compared", "mappings"),
			(long long)number(job->res, "compared", "threads"),
			(long long)number(job->res, "compared", "processes"),
			number(job->res, "compared", "differences") ? "compared" : "identical");
	if (!n)
		return;
	fprintf(out, "  %lld events in %s, recorded in %s", (long long)json_integer_value(json_object_get(n, "events")),
		ct_human_seconds(a, json_number_value(json_object_get(n, "seconds"))), ct_human_seconds(b, recorded));
	fprintf(out,
		": %lld system calls (%lld without a stop), %lld really made, %lld signals, %lld switches, %lld "
		"positions (%lld passes; %lld of them found by what came after them)\n",
		(long long)number(job->res, "replayed", "syscalls"),
		(long long)number(job->res, "replayed", "answered"),
		(long long)number(job->res, "replayed", "executed"), (long long)number(job->res, "replayed", "signals"),
		(long long)number(job->res, "replayed", "switches"),
		(long long)number(job->res, "replayed", "positions"), (long long)number(job->res, "replayed", "passes"),
		(long long)number(job->res, "replayed", "later_passes"));
}

static void tell(struct verifier *v, struct job *job)
{
	const json_t *at = json_object_get(job->res, "at"), *why = json_object_get(job->res, "error");
	const json_t *what = json_object_get(json_object_get(job->res, "report"), "what");
	FILE *out = v->opts->out;

	job->told = true;
	if (!out)
		return;
	if (job->st->to)
		fprintf(out, "stretch %u..%u: ", job->st->from, job->st->to);
	else
		fprintf(out, "stretch %u.. (no snapshot at its end): ", job->st->from);
	fputs(ct_verdict_name(verdict_of(job->res)), out);
	if (at)
		fprintf(out, " at e:%lld", (long long)json_integer_value(at));
	if (json_is_string(what) || why) /* the whole error says again where */
		fprintf(out, ": %s", json_string_value(json_is_string(what) ? what : why));
	fputc('\n', out);
	if (!v->opts->quiet)
		tell_details(out, job);
	fflush(out);
	if (job->text)
		fputs(job->text, stderr);
}

static int run(struct verifier *v, struct ct_error *err)
{
	for (;;) {
		struct pollfd fds[MOST_JOBS];
		size_t n = 0, busy[MOST_JOBS];

		for (size_t i = 0; i < v->nworkers; i++) {
			struct worker *w = &v->workers[i];
			struct job *job = w->job ? NULL : choose(v, w);

			if (job && start(v, w, job, err))
				return -1;
			if (w->job) {
				busy[n] = i;
				fds[n++] = (struct pollfd){.fd = w->fd, .events = POLLIN};
			}
		}
		for (size_t i = 0; i < v->njobs && (v->jobs[i].told || v->jobs[i].res); i++)
			if (!v->jobs[i].told)
				tell(v, &v->jobs[i]);
		if (!n)
			return 0;
		if (poll(fds, n, -1) < 0 && errno != EINTR)
			return ct_fail_errno(err, CT_EXIT_FAILED, "cannot wait for workers");
		for (size_t i = 0; i < n; i++)
			if (fds[i].revents && !receive(&v->workers[busy[i]]))
				finish(&v->workers[busy[i]]);
	}
}

/* ---- the result --------------------------------------------------------------------------------------------- */

static enum ct_verdict worst(const struct verifier *v)
{
	enum ct_verdict verdict = json_array_size(v->problems) ? CT_BROKEN : CT_VERIFIED;

	for (size_t i = 0; i < v->njobs; i++) {
		enum ct_verdict one = verdict_of(v->jobs[i].res);

		/* A failure of ours says less about the recording than any other no. */
		if (verdict == CT_VERIFIED || (one > verdict && one != CT_VERIFY_FAILED))
			verdict = one;
	}
	/* What is damaged may well go another way. */
	return v->damaged && verdict > CT_BROKEN ? CT_BROKEN : verdict;
}

/* The first thing that is not as it should be. */
static void reason(const struct verifier *v, struct ct_verify_result *res)
{
	const char *problem = json_string_value(json_array_get(v->problems, 0));

	if (v->damaged && problem)
		snprintf(res->why, sizeof(res->why), "%s", problem);
	for (size_t i = 0; i < v->njobs && !res->why[0]; i++) {
		const struct job *job = &v->jobs[i];
		const char *error = json_string_value(json_object_get(job->res, "error"));
		const char *line = json_string_value(json_array_get(json_object_get(job->res, "differences"), 0));

		if (res->verdict != CT_VERIFIED && verdict_of(job->res) == res->verdict)
			snprintf(res->why, sizeof(res->why), "stretch %zu: %s", job->number,
				 error                         ? error
				 : line                        ? line
				 : res->verdict == CT_REDACTED ? "bytes were overwritten by --redact"
							       : "there is no snapshot at its end to compare with");
	}
	if (!res->why[0] && problem)
		snprintf(res->why, sizeof(res->why), "%s", problem);
}

static void collect(struct verifier *v, struct ct_verify_result *res)
{
	json_t *list = json_array(), *masks = json_array();

	res->verdict = worst(v);
	reason(v, res);
	res->stretches = v->njobs;
	for (size_t i = 0; i < v->njobs; i++) {
		struct job *job = &v->jobs[i];
		json_t *obj = json_pack("{s:I, s:I, s:o, s:f}", "stretch", (json_int_t)job->number, "from",
					(json_int_t)job->st->from, "to",
					job->st->to ? json_integer(job->st->to) : json_null(), "recorded_s",
					(double)(job->st->last_ns - job->st->first_ns) / 1e9);

		res->verified += verdict_of(job->res) == CT_VERIFIED;
		json_object_update_missing(obj, job->res);
		json_array_append_new(list, obj);
	}
	for (size_t i = 0; ct_compare_masks[i]; i++)
		json_array_append_new(masks, json_string(ct_compare_masks[i]));
	res->json = json_pack("{s:s, s:s, s:s, s:s, s:O, s:I, s:o, s:o}", "path", ct_recording_path(v->rec), "verdict",
			      ct_verdict_name(res->verdict), "clock", v->clock->name, "clock_reason", v->clock_why,
			      "problems", v->problems, "files", (json_int_t)v->files, "stretches", list, "not_compared",
			      masks);
}

/* What the manifest keeps of it. */
static int store(struct verifier *v, const struct ct_verify_result *res, struct ct_error *err)
{
	json_t *manifest = json_deep_copy(ct_recording_manifest(v->rec)), *list = json_array();
	struct timespec now;
	char when[CT_HUMAN];
	int ret;

	clock_gettime(CLOCK_REALTIME, &now);
	for (size_t i = 0; i < v->njobs; i++) {
		const struct job *job = &v->jobs[i];
		json_t *obj = json_pack("{s:I, s:o, s:s}", "from", (json_int_t)job->st->from, "to",
					job->st->to ? json_integer(job->st->to) : json_null(), "verdict",
					ct_verdict_name(verdict_of(job->res)));
		json_t *at = json_object_get(job->res, "at");

		if (at)
			json_object_set(obj, "at", at);
		if (json_object_get(job->res, "later_passes"))
			json_object_set(obj, "later_passes", json_object_get(job->res, "later_passes"));
		json_array_append_new(list, obj);
	}
	json_object_set_new(
		manifest, "verify",
		json_pack("{s:s, s:s, s:s, s:O, s:o}", "version", CTBPF_VERSION, "time",
			  ct_human_time(when, (ct_u64)now.tv_sec * 1000000000ull + (ct_u64)now.tv_nsec, true),
			  "verdict", ct_verdict_name(res->verdict), "problems", v->problems, "stretches", list));
	ret = ct_manifest_write(ct_recording_dirfd(v->rec), manifest, err);
	json_decref(manifest);
	return ret;
}

/* Its verdict from while it was recorded, if that was VERIFIED; any other one is looked at again. */
static json_t *proven(const struct verifier *v, const struct ct_stretch *st)
{
	const json_t *known = json_object_get(ct_recording_manifest(v->rec), "proven");
	json_t *one;
	size_t i;

	json_array_foreach (json_object_get(known, "stretches"), i, one)
		if (json_integer_value(json_object_get(one, "from")) == st->from && st->to &&
		    json_integer_value(json_object_get(one, "to")) == st->to && !st->broken_at &&
		    verdict_of(one) == CT_VERIFIED)
			return json_deep_copy(one);
	return NULL;
}

static int make_jobs(struct verifier *v, struct ct_error *err)
{
	if (!v->st.count && ct_recording_problem(v->rec, 0))
		return ct_fail(err, CT_EXIT_FAILED, "%s: there is nothing to replay: %s", ct_recording_path(v->rec),
			       ct_recording_problem(v->rec, 0));
	if (!v->st.count)
		return ct_fail(
			err, CT_EXIT_FAILED,
			"%s: it has no snapshot of running processes to replay from; `ctbpf info` says what is in it",
			ct_recording_path(v->rec));
	if (v->opts->stretch > v->st.count)
		return ct_fail(err, CT_EXIT_USAGE, "%s: has %zu stretch%s, so there is no number %u",
			       ct_recording_path(v->rec), v->st.count, v->st.count == 1 ? "" : "es", v->opts->stretch);
	v->jobs = calloc(v->st.count, sizeof(*v->jobs));
	if (!v->jobs)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (size_t i = 0; i < v->st.count; i++) {
		struct job *job = &v->jobs[v->njobs];

		if (v->opts->stretch && i + 1 != v->opts->stretch)
			continue;
		v->njobs++;
		job->st = &v->st.list[i];
		job->number = i + 1;
		if (v->opts->proven)
			job->res = proven(v, job->st);
		if (job->st->broken_at && !job->res)
			job->res = json_pack("{s:s, s:I, s:s}", "verdict", names[CT_BROKEN], "at",
					     (json_int_t)job->st->broken_at, "error", job->st->broken);
	}
	return 0;
}

/* Events of processes that are not replayed. */
static ct_u64 events_only(const struct verifier *v)
{
	ct_u64 sum = 0;

	for (size_t i = 0; i < v->njobs; i++)
		sum += v->jobs[i].st->events_only;
	return sum;
}

static void tell_all(struct verifier *v, const struct ct_verify_result *res)
{
	FILE *out = v->opts->out;

	if (!out)
		return;
	if (!v->opts->quiet) {
		fprintf(out, "clock: %s (%s)\n%zu kept file%s checked\nnot compared:\n", v->clock->name, v->clock_why,
			v->files, v->files == 1 ? "" : "s");
		for (size_t i = 0; ct_compare_masks[i]; i++)
			fprintf(out, "  %s\n", ct_compare_masks[i]);
		if (events_only(v))
			fprintf(out, "not replayed: %llu events of processes beyond --max-processes\n",
				(unsigned long long)events_only(v));
	}
	if (res->verdict == CT_VERIFIED)
		fprintf(out, "%s: VERIFIED, %zu stretch%s\n", ct_recording_path(v->rec), res->stretches,
			res->stretches == 1 ? "" : "es");
}

int ct_verify(const char *path, const struct ct_verify_opts *opts, struct ct_verify_result *res, struct ct_error *err)
{
	struct verifier v = {.opts = opts, .problems = json_array()};
	struct ct_error why;
	int ret = -1;

	memset(res, 0, sizeof(*res));
	v.rec = ct_recording_open(path, err);
	if (v.rec && !ct_verify_refusal(v.rec, err) &&
	    (v.clock = ct_clock_choose(v.rec, opts->clock, v.clock_why, sizeof(v.clock_why), err)) &&
	    !ct_stretches_find(v.rec, &v.st, err) && !make_jobs(&v, err)) {
		check_whole(&v);
		plan_workers(&v);
		ret = run(&v, err);
	}
	if (!ret) {
		collect(&v, res);
		json_object_set_new(res->json, "events_only", json_integer((json_int_t)events_only(&v)));
		/* With problems the manifest may be what is altered: a new one would make it look whole. */
		if (opts->store && !opts->stretch && !json_array_size(v.problems) && store(&v, res, &why)) {
			json_object_set_new(res->json, "not_stored", json_string(why.msg));
			if (opts->out)
				fprintf(opts->out, "the result could not be kept in the recording: %s\n", why.msg);
		}
		tell_all(&v, res);
	}
	for (size_t i = 0; i < v.nworkers; i++)
		if (v.workers[i].job) { /* after a failure of ours */
			kill(v.workers[i].pid, SIGKILL);
			finish(&v.workers[i]);
		}
	for (size_t i = 0; i < v.njobs; i++) {
		json_decref(v.jobs[i].res);
		free(v.jobs[i].text);
	}
	free(v.jobs);
	ct_stretches_deinit(&v.st);
	json_decref(v.problems);
	if (v.rec)
		ct_recording_close(v.rec);
	return ret;
}

void ct_verify_result_deinit(struct ct_verify_result *res)
{
	json_decref(res->json);
	res->json = NULL;
}
