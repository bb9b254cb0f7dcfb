// SPDX-License-Identifier: MIT
/* The recorder's stops: attach, attach after execve, further snapshots, the final one with everything undone.
 * All of it runs on the main thread, to which ptrace ties the targets. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <time.h>
#include <unistd.h>

#include "user/recorder_priv.h"
#include "user/stepper.h"
#include "formats/sysrule.h"
#include "record.skel.h" /* after the headers with its types */

#define DRAIN_MS   5000
#define MISSING_NS 1000000000ull /* who ends needs the CPU for that; on a busy machine it waits its turn */
#define STOPS      60            /* at attach, while a handler has interrupted the vDSO */
#define RUN_NS     1500000ull    /* of CPU that it gets between two of them ... */
#define WAIT_NS    100000000ull  /* ... if it wants any */
#define IDLE       6             /* stops for which a wait in vain counts */

/* The C library and the loader that this program uses are those that most children will map: it is known early what is
 * in them. */
static void look_at_own_libraries(struct ct_recorder *r)
{
	struct ct_maps maps;

	if (ct_maps_read(getpid(), &maps, NULL))
		return;
	for (size_t i = 0; i < maps.count; i++)
		if ((maps.map[i].prot & 4) && maps.map[i].name[0] == '/' && maps.map[i].ino)
			ct_probes_look(&r->probes, maps.map[i].name, maps.map[i].name);
	ct_maps_deinit(&maps);
}

static ct_u64 append_snapshot(struct ct_recorder *r, ct_u32 id, enum ct_snapshot_kind kind, size_t nprocs, pid_t pid)
{
	struct ct_ev_snapshot body = {.id = id, .kind = kind, .nprocs = nprocs};

	return ct_recorder_append(r, CT_EV_SNAPSHOT, pid, pid, &body, sizeof(body), NULL, 0);
}

/* Or, with the final snapshot, ends the last. */
static void begin_stretch(struct ct_recorder *r, struct ct_job *job, enum ct_snapshot_kind kind, size_t nprocs,
			  pid_t pid)
{
	pthread_mutex_lock(&r->carry);
	job->snap.seq = append_snapshot(r, job->snap.id, kind, nprocs, pid);
	job->at_ns = ct_now_ns();
	if (kind != CT_SNAP_FINAL)
		ct_keep_carry(r, job->snap.id);
	pthread_mutex_unlock(&r->carry);
}

static struct ct_job *new_snapshot(struct ct_recorder *r, enum ct_snapshot_kind kind, size_t most)
{
	struct ct_job *job = calloc(1, sizeof(*job));
	struct timespec ts;

	if (!job)
		return NULL;
	job->fd = -1;
	job->images = calloc(most ? most : 1, sizeof(*job->images));
	if (!job->images) {
		free(job);
		return NULL;
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	job->snap.id = ++r->last_snapshot;
	job->snap.kind = kind;
	job->snap.mono_ns = ct_now_ns();
	job->snap.real_ns = ts.tv_sec * 1000000000ull + ts.tv_nsec;
	return job;
}

static ct_u64 cpu_ns(clockid_t clock)
{
	struct timespec ts;

	return clock_gettime(clock, &ts) ? 0 : ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* Lets it have some CPU, for which it has to wait on a busy machine. False: it does not want any. */
static bool let_run(pid_t pid)
{
	const ct_u64 until = ct_now_ns() + WAIT_NS;
	clockid_t clock;
	ct_u64 want;

	if (clock_getcpuclockid(pid, &clock))
		return false;
	want = cpu_ns(clock) + RUN_NS;
	do
		nanosleep(&(struct timespec){.tv_nsec = RUN_NS}, NULL);
	while (cpu_ns(clock) < want && ct_now_ns() < until);
	return cpu_ns(clock) >= want;
}

/* Stopped, inspected, and with no thread that is in the vDSO or will return there from a handler: such a call has begun
 * before it can be patched. Handlers are short as a rule; who waits in one for longer is recorded all the same, and the
 * recording may then be found not to be the same by verification. */
static int stop_to_attach(struct ct_recorder *r, struct ct_target *t, struct ct_error *err)
{
	for (unsigned n = 0;;) {
		int ret = ct_target_stop(t, err), frames = 0;

		if (!ret && !t->fresh && (frames = ct_vdso_leave(t, err)) < 0)
			ret = -1;
		if (ret || ct_target_inspect(t, r->inspector, err))
			return -1;
		if (!frames || n >= STOPS)
			return 0;
		ct_target_release(t);
		n += let_run(t->pid) ? 1 : IDLE;
	}
}

/* It goes on: by itself, or step by step. */
static void let_go(struct ct_recorder *r, struct ct_target *t)
{
	if (r->stepper)
		ct_stepper_take(r, t);
	else
		ct_target_release(t);
}

/* It is on its way: the next one can go by it. */
static void write_in_background(struct ct_recorder *r, struct ct_job *job)
{
	for (size_t i = 0; i < job->nimages; i++) {
		struct ct_target *t = ct_recorder_target(r, job->images[i].proc.pid, false);

		if (t && t->track.fd >= 0)
			t->track.base = job->snap.id;
	}
	ct_recorder_worker_add(r, job);
}

static void free_snapshot(struct ct_job *job)
{
	for (size_t i = 0; i < job->nimages; i++)
		ct_image_deinit(&job->images[i]);
	free(job->images);
	free(job);
}

/* Stops it, changes what has to be changed in it, and takes its image. */
static int attach_one(struct ct_recorder *r, struct ct_target *t, struct ct_job *job, struct ct_error *err)
{
	struct ct_image *more = realloc(job->images, (job->nimages + 1) * sizeof(*more));

	if (!more)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	job->images = more;
	memset(&more[job->nimages], 0, sizeof(*more));
	if (stop_to_attach(r, t, err)) /* not there any more: it is left out */
		return ct_target_lives(t) || r->ntargets == 1 ? -1 : (ct_recorder_drop(r, t), 0);
	if (ct_target_prepare(t, &r->pin, err) || ct_image_begin(&job->images[job->nimages], t, err))
		return -1;
	job->nimages++;
	return ct_probes_add(&r->probes, t->pid, t, err);
}

int ct_recorder_attach(struct ct_recorder *r, const pid_t *pids, size_t count, pid_t seized, struct ct_error *err)
{
	struct ct_job *job = NULL;
	ct_u64 t0;
	pid_t pid;
	int ret = 0;

	look_at_own_libraries(r);
	for (size_t i = 0; i < count; i++) {
		if (!ct_recorder_target(r, pids[i], true))
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		ct_recorder_probe(r, pids[i]); /* before the stop: it takes longer than a pause may */
	}
	job = new_snapshot(r, CT_SNAP_ATTACH, count);
	if (!job)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");

	t0 = ct_now_ns();
	ct_probes_pause(&r->probes, ~0u);
	for (size_t i = 0; i < count && !ret; i++) {
		struct ct_target *t = ct_recorder_target(r, pids[i], false);

		t->fresh = t->seized = pids[i] == seized;
		ret = attach_one(r, t, job, err);
	}
	/* Those that were stopped last may have had children while the first were. */
	while (!ret && !seized && (pid = ct_recorder_newcomer(r))) {
		struct ct_target *t = ct_recorder_target(r, pid, true);

		if (!t)
			ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
		else if (!(ret = attach_one(r, t, job, err)))
			ct_recorder_probe(r, pid);
	}
	if (!ret) {
		job->snap.current_tid = r->probes.skel->bss->cur.tid;
		begin_stretch(r, job, CT_SNAP_ATTACH, job->nimages, pids[0]);
		ct_probes_mode(&r->probes, CT_MODE_REPLAY, r->pin.cpu);
		ct_probes_pause(&r->probes, 0);
	}
	for (size_t i = 0; i < r->ntargets; i++) { /* from here on, the end of one is in the log */
		struct ct_target *t = r->targets[i];

		if (!ct_target_stands(t) || (ret && t->comm[0] && !ct_target_lives(t)))
			ret = ct_fail(err, CT_EXIT_NOT_ATTACHED, "process %d (%s) exited while it was being attached",
				      t->pid, t->comm);
	}
	for (size_t i = 0; i < r->ntargets; i++) {
		struct ct_target *t = r->targets[i];

		if (ret && t->changed && t->memfd >= 0)
			ct_target_undo(t, NULL);
		if (ret)
			ct_target_release(t);
		else
			let_go(r, t);
	}
	if (!ret) {
		r->first_thread = r->targets[0]->threads[0];
		r->first_thread.xsave = NULL;
	}
	r->pause_ns = r->max_pause_ns = ct_now_ns() - t0;
	r->start_ns = ct_now_ns();
	if (ret) {
		free_snapshot(job);
		return -1;
	}
	write_in_background(r, job);
	ct_recorder_note_outsider(r);
	return 0;
}

int ct_recorder_attach_exec(struct ct_recorder *r, pid_t pid, bool leader, bool waiting, struct ct_error *err)
{
	const struct ct_thread *before = ct_recorder_before_pinning(r, pid);
	struct ct_thread saved = before ? *before : (struct ct_thread){0};
	struct ct_target *t = ct_recorder_target(r, pid, false);
	struct ct_job *job;
	int ret;

	/* What was changed in the old image went with it; pinning did not. Probes belong to the first thread's
	 * task_struct, and the kernel puts them into what the new image maps (uprobe_mmap()): they stay, unless another
	 * thread has taken its place (de_thread()), or the number is another process's now. */
	if (t && leader && t->start_time == ct_proc_stat(pid, pid, 22))
		ct_recorder_forget(r, t);
	else if (t)
		ct_recorder_drop(r, t);
	t = ct_recorder_target(r, pid, true);
	job = new_snapshot(r, CT_SNAP_EXEC, 1);
	if (!t || !job) {
		ptrace(PTRACE_DETACH, pid, 0, 0);
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	}
	if (saved.saved)
		ct_recorder_inherit(t, &saved);
	t->fresh = true;
	t->seized = waiting;
	ret = ct_target_stop(t, err);
	if (!ret) {
		ct_stepper_give(r, pid);
		ct_recorder_probe(r, pid);
		ct_pipeline_drain(r->pipeline, DRAIN_MS, NULL);
		ct_probes_pause(&r->probes, pid);
		ret = ct_target_inspect(t, r->inspector, err) || ct_target_prepare(t, &r->pin, err) ||
		      ct_image_begin(&job->images[0], t, err);
	}
	if (!ret) {
		job->nimages = 1;
		job->snap.current_tid = r->probes.skel->bss->cur.tid;
		job->snap.seq = append_snapshot(r, job->snap.id, CT_SNAP_EXEC, 1, pid);
	} else if (t->changed && t->memfd >= 0) {
		ct_target_undo(t, NULL);
	}
	ct_probes_pause(&r->probes, 0);
	if (t->memfd >= 0)
		let_go(r, t);
	if (ret) {
		r->last_snapshot--;
		free_snapshot(job);
	} else {
		write_in_background(r, job);
	}
	return ret ? -1 : 0;
}

/* Stops all recorded processes. Those that vanish meanwhile are dropped. Whether one was still running. */
static bool stop_all(struct ct_recorder *r)
{
	struct ct_error err;
	bool ran = false;
	size_t i = 0;

	while (i < r->ntargets) {
		struct ct_target *t = r->targets[i];
		const bool was_stopped = t->memfd >= 0;

		if (!was_stopped &&
		    ct_recorder_is_held(r, t->pid)) { /* has a new image: it is attached to that first */
			i++;
			continue;
		}
		if (!was_stopped && ct_target_stop(t, &err)) {
			if (ct_target_lives(t)) {
				r->not_restored = t->pid;
				ct_recorder_note(r, CT_EV_UNSOUND, CT_UNSOUND_EXEC_NOT_HELD, t->pid, 0,
						 "no snapshot of %d: %s", t->pid, err.msg);
				i++;
				continue;
			}
			ct_recorder_drop(r, t);
			ran = true;
			continue;
		}
		ran |= !was_stopped;
		i++;
	}
	return ran;
}

/* Whether a recorded process has not been stopped: it ends, or is in an execve. It would be missing in the snapshot
 * though the log does not say why. */
static bool some_are_missing(struct ct_recorder *r)
{
	bool missing = false;
	size_t count = 0;
	pid_t *pids;

	if (ct_probes_list(&r->probes, CT_PROCS_REPLAYED, &pids, &count))
		return false;
	for (size_t i = 0; i < count && !missing; i++)
		missing = !ct_recorder_target(r, pids[i], false);
	free(pids);
	return missing;
}

/* Takes one pending reap, of `pid` or (0) of anybody. */
static bool next_reap(struct ct_recorder *r, pid_t pid, pid_t *parent, pid_t *child)
{
	bool found = false;

	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->nreaps && !found; i++) {
		if (pid && r->reaps[i].pid != pid)
			continue;
		*parent = r->reaps[i].pid;
		*child = r->reaps[i].child;
		r->reaps[i] = r->reaps[--r->nreaps];
		found = true;
	}
	pthread_mutex_unlock(&r->lock);
	return found;
}

/* While `t` is stopped anyway. */
static void reap_stopped(struct ct_recorder *r, struct ct_target *t)
{
	pid_t pid, child;

	while (next_reap(r, t->pid, &pid, &child))
		ct_image_reap(t, child, NULL);
}

/* Whoever still ran when the others were listed may have made a child since, or run another program: until none did. */
static void stop_everything(struct ct_recorder *r)
{
	do {
		while (ct_recorder_heard(r))
			ct_recorder_serve(r);
		ct_stepper_give(r, 0);
		ct_recorder_target_all(r);
	} while (stop_all(r) || ct_recorder_heard(r));
	ct_recorder_let_go(r);
}

/* Takes out whoever was killed while it stood still: its end is in the log then, before the snapshot. */
static void leave_out_killed(struct ct_recorder *r, struct ct_job *job)
{
	size_t kept = 0;

	for (size_t i = 0; i < job->nimages; i++) {
		const struct ct_target *t = ct_recorder_target(r, job->images[i].proc.pid, false);
		ct_u64 t0 = ct_now_ns();

		if (t && ct_target_stands(t)) {
			job->images[kept++] = job->images[i];
			continue;
		}
		while (ct_process_lives(job->images[i].proc.pid) && ct_now_ns() - t0 < MISSING_NS)
			nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
		ct_image_deinit(&job->images[i]);
	}
	job->nimages = kept;
}

/* Killed in the instant in which the snapshot got its place in the log: it may be on the wrong side of it. */
static void note_killed(struct ct_recorder *r, const struct ct_job *job)
{
	for (size_t i = 0; i < job->nimages; i++) {
		pid_t pid = job->images[i].proc.pid;

		if (!ct_target_stands(ct_recorder_target(r, pid, false)))
			ct_recorder_note(r, CT_EV_UNSOUND, CT_UNSOUND_EXEC_NOT_HELD, pid, 0,
					 "process %d was killed while a snapshot was taken", pid);
	}
}

static bool is_incremental(const struct ct_job *job)
{
	bool all = job->nimages;

	for (size_t i = 0; i < job->nimages; i++)
		all &= job->images[i].own.copied != NULL;
	return all;
}

int ct_recorder_snapshot(struct ct_recorder *r, enum ct_snapshot_kind kind, struct ct_error *err)
{
	bool final = kind == CT_SNAP_FINAL;
	struct ct_job *job;
	ct_u64 t0 = ct_now_ns();
	int ret = 0;

	stop_everything(r);
	/* Who is still missing ends, and then is known to have; or comes out of an execve, is held, and stopped only
	 * when it has been attached to anew. */
	while (!final && some_are_missing(r) && ct_now_ns() - t0 < MISSING_NS) {
		if (ct_recorder_heard(r))
			stop_everything(r);
		else
			nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
	if (!final && some_are_missing(r)) /* the stretch that ends here could not be compared */
		ct_recorder_note(r, CT_EV_UNSOUND, CT_UNSOUND_EXEC_NOT_HELD, 0, 0,
				 "a process was on its way into another program, or to its end, when all were stopped");
	job = new_snapshot(r, kind, r->ntargets);
	if (!job)
		ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
	if (!ret && ct_pipeline_drain(r->pipeline, DRAIN_MS, err))
		ret = -1;
	ct_probes_pause(&r->probes, ~0u);
	for (size_t i = 0; i < r->ntargets; i++) {
		struct ct_target *t = r->targets[i];

		if (t->memfd < 0)
			continue;
		t->often = !final;
		t->patience_ms = (t0 - r->snapshot_ns) / 4000000;
		ct_vdso_find_stub(t);
		/* One that was killed while it stood still has no state; its exit is in the log. */
		if (ct_target_inspect(t, r->inspector, NULL))
			continue;
		reap_stopped(r, t);
		if (ret || ct_image_begin(&job->images[job->nimages], t, NULL))
			continue;
		job->nimages++;
	}
	if (!ret) {
		leave_out_killed(r, job);
		job->snap.current_tid = r->probes.skel->bss->cur.tid;
		begin_stretch(r, job, kind, job->nimages, 0);
		ct_probes_forgive(&r->probes);
		if (!final)
			note_killed(r, job);
	}
	if (final)
		ct_probes_mode(&r->probes, CT_MODE_OFF, r->pin.cpu);
	for (size_t i = 0; i < r->ntargets && !final; i++)
		if (r->targets[i]->memfd >= 0)
			ct_probes_refresh(&r->probes, r->targets[i]);
	if (!final) /* whatever they do from here on is in the log */
		ct_probes_pause(&r->probes, 0);
	for (size_t i = 0; i < r->ntargets; i++) {
		struct ct_target *t = r->targets[i];
		struct ct_error why;

		if (final && t->memfd >= 0 && t->changed && ct_target_undo(t, &why))
			ct_recorder_note(r, CT_EV_NOTE, 0, t->pid, 0, "%s", why.msg);
		if (t->memfd >= 0 && !final)
			let_go(r, t);
		else if (t->memfd >= 0)
			ct_target_release(t);
	}
	ct_probes_pause(&r->probes, 0);
	r->snapshot_pause = ct_now_ns() - t0;
	/* The kernel goes through all of their pages, for which they need not stand still. */
	for (size_t i = 0; i < r->ntargets && final; i++)
		ct_track_end(&r->targets[i]->track);
	if (r->snapshot_pause > r->max_pause_ns)
		r->max_pause_ns = r->snapshot_pause;
	if (!ret) {
		r->nfurther++;
		r->further_pause_ns += r->snapshot_pause;
		r->nincremental += is_incremental(job);
	}
	if (ret) {
		if (job) {
			r->last_snapshot--;
			free_snapshot(job);
		}
	} else {
		job->triggers = final ? NULL : ct_triggers_take(r);
		write_in_background(r, job);
		if (!final)
			ct_recorder_note_outsider(r);
	}
	return ret;
}

void ct_recorder_reap(struct ct_recorder *r)
{
	pid_t pid, child;

	while (r->worker_started && next_reap(r, 0, &pid, &child)) {
		struct ct_target t;
		struct ct_error err;

		ct_target_init(&t, pid);
		if (t.start_time && !ct_target_stop(&t, &err)) {
			if (!ct_target_inspect(&t, r->inspector, &err) && !ct_vdso_borrow(&t, &err))
				ct_image_reap(&t, child, &err);
			ct_vdso_restore(&t, &err);
			ct_target_release(&t);
		}
		ct_target_deinit(&t);
	}
}
