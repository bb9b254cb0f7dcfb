// SPDX-License-Identifier: MIT
/* Executing a stretch again: a session's life, its processes and threads, and the log's events in order (events.c). */
#include "replay/session.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "replay/clock.h"
#include "replay/inproc.h"
#include "replay/session_priv.h"

struct ct_rthread *ct_session_thread(struct ct_session *s, ct_u32 tid)
{
	for (size_t i = 0; i < s->nthreads; i++)
		if (s->threads[i]->tid == tid && s->threads[i]->live)
			return s->threads[i];
	return NULL;
}

struct ct_rthread *ct_session_add(struct ct_session *s, const struct ct_rthread *t)
{
	struct ct_rthread **more = realloc(s->threads, (s->nthreads + 1) * sizeof(*more));
	struct ct_rthread *copy = malloc(sizeof(*copy));

	if (more)
		s->threads = more;
	if (!more || !copy) {
		free(copy);
		return NULL;
	}
	*copy = *t;
	copy->clock = s->clock;
	copy->stops = &s->stops;
	s->threads[s->nthreads++] = copy;
	return copy;
}

static int add_proc(struct ct_session *s, struct ct_replica *p)
{
	struct ct_replica **more = realloc(s->procs, (s->nprocs + 1) * sizeof(*more));

	if (!more)
		return -1;
	s->procs = more;
	s->procs[s->nprocs++] = p;
	return 0;
}

void ct_session_leave(struct ct_rthread *t)
{
	t->live = false;
	ct_mm_release(t->proc->mm);
	t->proc->mm = NULL;
}

int ct_session_bring(struct ct_session *s, ct_u32 id, bool exec, struct ct_error *err)
{
	struct ct_snapshot_reader *snap = ct_snapshot_open(s->files.dirfd, id, err);
	int ret = 0;

	if (!snap)
		return -1;
	s->files.bare = s->clock->counts;
	s->files.shared = ct_shared_view;
	s->files.shared_ctx = s;
	for (ct_u32 i = 0; i < ct_snapshot_get(snap)->nprocs && !ret; i++) {
		struct ct_rthread *threads;
		size_t n;
		struct ct_replica *p = ct_replica_create(&s->files, snap, i, &threads, &n, err);
		const struct ct_snap_proc *proc = &ct_snapshot_get(snap)->procs[i];

		if (!p || add_proc(s, p)) {
			ret = -1;
			break;
		}
		for (ct_u32 k = 0; k < proc->nthreads && !ret; k++)
			if (proc->threads[k].rseq.flags && ct_rseq_has(s, proc->pid, proc->threads[k].rseq.addr))
				ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
		if (n && !ret)
			ret = ct_agents_look(s->agents, &threads[0], exec, err);
		for (size_t k = 0; exec && k < s->nthreads; k++) /* the old image's threads are no more */
			if (s->threads[k]->proc->pid == p->pid)
				ct_session_leave(s->threads[k]);
		for (size_t k = 0; k < n; k++) {
			threads[k].ticks_known = ct_snapshot_get(snap)->kind == CT_SNAP_ATTACH;
			if (!ct_session_add(s, &threads[k]))
				ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
		}
		free(threads);
	}
	ct_snapshot_reader_close(snap);
	return ret;
}

/* The event at hand: not yet executed. 1, 0 at the log's end, -1. */
static int fetch(struct ct_session *s, struct ct_error *err)
{
	int ret;

	if (s->held)
		return 1;
	ret = ct_cursor_next(s->cursor, &s->ev, err);
	s->held = ret > 0;
	return ret;
}

static double time_of(clockid_t clock)
{
	struct timespec ts = {0};

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Of this thread and of the replicas, which stay until the session ends. */
static double cpu_time(const struct ct_session *s)
{
	double sum = time_of(CLOCK_THREAD_CPUTIME_ID);
	clockid_t clock;

	for (size_t i = 0; i < s->nprocs; i++)
		if (!clock_getcpuclockid(s->procs[i]->real, &clock))
			sum += time_of(clock);
	return sum;
}

int ct_session_run(struct ct_session *s, ct_u64 seq, struct ct_error *err)
{
	const double wall = time_of(CLOCK_MONOTONIC);
	double cpu = cpu_time(s);
	int ret;

	s->until = seq;
	while ((ret = fetch(s, err)) > 0 && s->ev->seq < seq) {
		ct_agents_event(s->agents, s->ev, s->last_ns);
		ret = ct_replay_event(s, err);
		if (!ret || !s->stops.hit)
			s->last_ns = s->ev->time_ns;
		if (ct_agents_error(s->agents)) {
			*err = *ct_agents_error(s->agents);
			ret = -1;
		}
		if (ret && s->stops.hit) { /* before the event is at its end */
			s->inside = true;
			memset(err, 0, sizeof(*err));
			ret = 1;
			break;
		}
		if (ret)
			break;
		s->held = false;
		s->inside = s->stops.hit; /* between answered calls */
		s->stats.events++;
		ct_stops_look(s);
		if (s->stops.hit) {
			ret = 1;
			break;
		}
		if (s->hook.event && s->hook.wants(s->hook.ctx, s->ev) && s->hook.event(s->hook.ctx, s, s->ev)) {
			ret = 1;
			break;
		}
		ret = 0;
	}
	s->stats.seconds += time_of(CLOCK_MONOTONIC) - wall;
	cpu = cpu_time(s) - cpu;
	if (cpu > 0) /* else a replica has died */
		s->stats.cpu_seconds += cpu;
	return ret < 0 ? -1 : ret && (!s->held || s->stops.hit);
}

int ct_session_next(struct ct_session *s, const struct ct_event **ev, struct ct_error *err)
{
	int ret = fetch(s, err);

	*ev = ret > 0 ? s->ev : NULL;
	return ret;
}

void ct_session_set_hook(struct ct_session *s, const struct ct_session_hook *hook)
{
	s->hook = hook ? *hook : (struct ct_session_hook){0};
}

/* The CPU it was recorded on, or the one asked for: cpuid and rdpid tell programs which that is. Tracer and tracee on
 * one and the same also makes a stop ten times as cheap. */
static int choose_cpu(struct ct_session *s, const struct ct_session_opts *opts, struct ct_error *err)
{
	const json_t *options = json_object_get(ct_recording_manifest(s->rec), "options");
	const int recorded = (int)json_integer_value(json_object_get(options, "cpu"));
	cpu_set_t allowed, one;
	int cpu = opts && opts->cpu >= 0 ? opts->cpu : recorded;

	s->recorded_cpu = recorded;
	CPU_ZERO(&one);
	if (cpu >= 0 && cpu < CPU_SETSIZE)
		CPU_SET(cpu, &one);
	if (!CPU_COUNT(&one) || sched_setaffinity(0, sizeof(one), &one)) {
		if (sched_getaffinity(0, sizeof(allowed), &allowed))
			return ct_fail_errno(err, CT_EXIT_FAILED, "cannot tell which CPUs may be used");
		for (cpu = 0; cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &allowed); cpu++)
			;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one))
			return ct_fail_errno(err, CT_EXIT_FAILED, "cannot run on CPU %d", cpu);
	}
	s->stats.cpu = cpu;
	return 0;
}

struct ct_session *ct_session_create(struct ct_recording *rec, ct_u32 id, const struct ct_session_opts *opts,
				     struct ct_error *err)
{
	struct ct_session *s = calloc(1, sizeof(*s));
	struct ct_snapshot_reader *snap;
	ct_u64 seq = 0;

	if (!s) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return NULL;
	}
	s->rec = rec;
	s->clock = opts && opts->clock ? opts->clock : &ct_clock_fingerprint;
	s->sigchld_was_open = ct_replica_expect_stops();
	if (choose_cpu(s, opts, err)) {
		ct_replica_expect_no_stops(s->sigchld_was_open);
		free(s);
		return NULL;
	}
	snap = ct_snapshot_open(ct_recording_dirfd(rec), id, err);
	if (snap) {
		seq = ct_snapshot_get(snap)->seq;
		s->current_tid = ct_snapshot_get(snap)->current_tid;
		ct_snapshot_reader_close(snap);
	}
	s->first_seq = seq + 1;
	ct_passes_recall(s, id);
	s->cursor = snap ? ct_cursor_create(rec, err) : NULL;
	if (!s->cursor || ct_replay_files_init(&s->files, rec, err) || !(s->files.inproc = ct_inproc_create(err)) ||
	    ct_session_bring(s, id, false, err) || ct_cursor_seek_seq(s->cursor, seq + 1, err)) {
		ct_session_destroy(s);
		return NULL;
	}
	return s;
}

int ct_session_watch(struct ct_session *s, struct ct_agents *agents, struct ct_error *err)
{
	const struct ct_event *ev;
	struct ct_regs r;

	if (s->clock->counts) /* their code would be counted as the program's */
		return ct_fail(err, CT_EXIT_FAILED, "the clock %s does not work with agents; use fingerprint",
			       s->clock->name);
	s->agents = agents;
	if (ct_session_next(s, &ev, err) < 0)
		return -1;
	if (ev)
		ct_agents_event(agents, ev, s->last_ns); /* frames that are there are told of as of now */
	for (size_t i = 0; i < s->nthreads; i++)
		if (s->threads[i]->real == s->threads[i]->proc->real &&
		    ct_agents_look(agents, s->threads[i], false, err))
			return -1;
	for (size_t i = 0; i < s->nthreads; i++) {
		if (!s->threads[i]->proc->agent || ct_get_regs(s->threads[i]->real, &r))
			continue;
		ct_agents_expected(s->threads[i]->proc, &r);
		if (ct_set_regs(s->threads[i]->real, &r))
			return ct_fail_errno(err, CT_EXIT_FAILED, "registers of thread %u cannot be set",
					     s->threads[i]->tid);
	}
	return 0;
}

void ct_kill_replicas(struct ct_replica **procs, size_t nprocs, struct ct_rthread **threads, size_t nthreads)
{
	for (size_t i = 0; i < nthreads; i++) {
		int status;

		/* Of a traced group the leader can be waited for only when all others are gone. */
		if (threads[i]->real != threads[i]->proc->real) {
			kill(threads[i]->real, SIGKILL);
			ct_wait_stop(threads[i]->real, &status, 2000);
		}
	}
	for (size_t i = nprocs; i > 0; i--)
		ct_replica_kill(procs[i - 1]);
	for (size_t i = 0; i < nthreads; i++)
		free(threads[i]);
	free(threads);
	free(procs);
}

void ct_session_destroy(struct ct_session *s)
{
	ct_kill_replicas(s->procs, s->nprocs, s->threads, s->nthreads);
	ct_inproc_release(s->files.inproc);
	for (size_t i = 0; i < sizeof(s->open_files) / sizeof(*s->open_files); i++)
		if (s->open_files[i].fd)
			close(s->open_files[i].fd - 1);
	free(s->run);
	ct_stops_free(&s->stops);
	ct_replay_files_deinit(&s->files);
	ct_shared_free(s->shared, s->nshared);
	free(s->rseq);
	if (s->cursor)
		ct_cursor_destroy(s->cursor);
	ct_replica_expect_no_stops(s->sigchld_was_open);
	free(s->divergence.ev);
	free(s);
}

void ct_session_stats(const struct ct_session *s, struct ct_session_stats *stats)
{
	*stats = s->stats;
}
