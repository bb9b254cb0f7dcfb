// SPDX-License-Identifier: MIT
/* One recording's life: create, attach, watch, end. The main thread alone traces; the pipeline's threads write the log,
 * one more thread writes snapshots and keeps files. */
#include "user/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "formats/event_access.h"
#include "formats/sysrule.h"
#include "replay/pmu.h"
#include "user/privileges.h"
#include "user/recorder_priv.h"
#include "user/stepper.h"
#include "record.skel.h" /* after the headers with its types */

#define TICK_MS           100
#define GOVERNED_MS       20 /* between two looks at what live calls cost */
#define STEPS_NS          20000000ull
#define EXTRA_SNAPSHOT_NS 2000000000ull /* at most one unplanned snapshot in this time */

/* ---- what the consumer thread sees ------------------------------------------------------------------------- */

static void tap(void *ctx, const struct ct_event *ev)
{
	struct ct_recorder *r = ctx;

	if (r->triggers && !r->opts->no_replay)
		ct_triggers_tap(r, ev);
	switch (ev->type) {
	case CT_EV_SYSCALL: {
		const struct ct_ev_syscall *s = ct_event_payload(ev);

		if (s->nbufs >= 2 && ((const struct ct_buf *)(s + 1))->kind == CT_BUF_FILE)
			ct_recorder_offer(r, ev);
		if (s->nr == SYS_truncate && !s->ret && !r->opts->no_replay)
			ct_recorder_truncated(r, ev);
		break;
	}
	case CT_EV_UNSOUND: {
		char why[CT_UNSOUND_TEXT];

		ct_recorder_unsound(r, ct_unsound_text(ev, why, sizeof(why)));
		break;
	}
	case CT_EV_EXIT:
		if (((const struct ct_ev_exit *)ct_event_payload(ev))->flags & CT_EXITF_GROUP)
			atomic_fetch_add(&r->group_exits, 1);
		break;
	default: break;
	}
}

static const struct ct_event *rewrite(void *ctx, const struct ct_event *ev)
{
	struct ct_recorder *r = ctx;

	if (r->calls)
		ev = ct_calls_rewrite(r->calls, r->calls_buf, ev);
	if (r->screen)
		return ct_screen_event(r->screen, r->calls_buf + CT_CALLS_REWRITE_BUF, ev);
	if (r->calls)
		return ev;
	if (r->redact)
		ev = ct_redact_event(r->redact, ev);
	return r->dedup ? ct_dedup_rewrite(r->dedup, ev) : ev;
}

/* ---- the loop ------------------------------------------------------------------------------------------------ */

static void end_with(struct ct_recorder *r, int reason)
{
	if (!r->done)
		r->end_reason = reason;
	r->done = true;
}

static void forget_gone(struct ct_recorder *r)
{
	for (size_t i = 0; i < r->ntargets;) {
		struct ct_target *t = r->targets[i];

		if (!ct_target_lives(t))
			ct_recorder_drop(r, t);
		else
			i++;
	}
}

static void tick(struct ct_recorder *r)
{
	struct ct_pipeline_stats s;
	struct ct_error err;

	ct_pipeline_stats(r->pipeline, &s);
	if (!r->stepper) /* who waits for its threads, their ends too */
		ct_recorder_reap_command(r);
	if (atomic_exchange(&r->group_exits, 0))
		forget_gone(r);
	if (!ct_recorder_count(r))
		end_with(r, CT_END_TARGET_GONE);
	if (r->worker_on) { /* a snapshot that could not be written: what follows could not be replayed */
		pthread_mutex_lock(&r->lock);
		s.failed |= r->worker_failed;
		pthread_mutex_unlock(&r->lock);
	}
	if (s.failed)
		end_with(r, CT_END_ERROR);
	if (r->opts->duration_s > 0 && ct_now_ns() - r->start_ns >= (ct_u64)(r->opts->duration_s * 1e9))
		end_with(r, CT_END_DURATION);
	if (s.lost > r->lost_seen && r->opts->stop_on_loss)
		end_with(r, CT_END_LOST);
	ct_recorder_calls_tick(r);
	if (r->opts->no_replay || r->done) {
		r->lost_seen = s.lost;
		return;
	}
	ct_recorder_let_go(r);
	ct_recorder_adopt_children(r);
	/* After loss, or something a replay cannot reproduce, a new stretch begins. */
	if ((s.lost > r->lost_seen || atomic_load(&r->unsound) > r->unsound_seen) && ct_now_ns() >= r->next_extra_ns) {
		r->lost_seen = s.lost;
		r->unsound_seen = atomic_load(&r->unsound);
		r->next_extra_ns = ct_now_ns() + EXTRA_SNAPSHOT_NS;
		if (ct_recorder_snapshot(r, CT_SNAP_LOSS, &err))
			ct_recorder_note(r, CT_EV_NOTE, 0, 0, 0, "no new snapshot: %s", err.msg);
	} else if ((ct_triggers_due(r) || ct_keep_due(r, &s)) && ct_recorder_snapshot(r, CT_SNAP_PERIODIC, &err)) {
		ct_recorder_note(r, CT_EV_NOTE, 0, 0, 0, "no periodic snapshot: %s", err.msg);
	}
}

/* Whatever would kill this program by default ends the recording instead. */
static void ending_signals(sigset_t *set)
{
	static const int all[] = {SIGINT,  SIGTERM, SIGHUP,    SIGQUIT, SIGXCPU,   SIGUSR1,
				  SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGSTKFLT, SIGPWR};

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		sigaddset(set, all[i]);
}

static int loop(struct ct_recorder *r, struct ct_error *err)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), sig;
	struct epoll_event ev = {.events = EPOLLIN};
	ct_u64 next_tick = 0, next_line = 0;
	sigset_t set;

	ending_signals(&set);
	sig = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	ev.data.fd = sig;
	epoll_ctl(ep, EPOLL_CTL_ADD, sig, &ev);
	if (r->heard_fd >= 0) {
		ev.data.fd = r->heard_fd;
		epoll_ctl(ep, EPOLL_CTL_ADD, r->heard_fd, &ev);
	}
	if (ct_triggers_fd(r) >= 0) {
		ev.data.fd = ct_triggers_fd(r);
		epoll_ctl(ep, EPOLL_CTL_ADD, ct_triggers_fd(r), &ev);
	}
	while (!r->done) {
		struct signalfd_siginfo si;
		ct_u64 now = ct_now_ns(), left = next_tick > now ? (next_tick - now + 999999) / 1000000 : 0;

		if (r->opts->duration_s > 0) { /* wake up for the end, not for the tick after it */
			ct_u64 end = r->start_ns + (ct_u64)(r->opts->duration_s * 1e9);
			ct_u64 rest = end > now ? (end - now + 999999) / 1000000 : 0;

			left = rest < left ? rest : left;
		}
		if (r->stepper)
			left = ct_stepper_run(r, STEPS_NS) ? 0 : left > 1;
		if (r->held) /* nothing more will tell of them */
			left = 0;
		if (epoll_wait(ep, &ev, 1, (int)left) > 0) {
			if (ev.data.fd == sig && read(sig, &si, sizeof(si)) == sizeof(si))
				end_with(r, CT_END_SIGNAL);
			else if (ev.data.fd != sig && ev.data.fd != r->heard_fd)
				ct_triggers_serve(r, ep, ev.data.fd);
			else
				ct_recorder_serve(r);
		}
		now = ct_now_ns();
		if (now >= next_tick || (r->opts->duration_s > 0 && now - r->start_ns >= r->opts->duration_s * 1e9)) {
			tick(r);
			next_tick = ct_now_ns() + (r->governor ? GOVERNED_MS : TICK_MS) * 1000000ull;
		}
		if (r->held)
			ct_recorder_serve(r);
		if (now >= next_line) {
			ct_recorder_live(r, false);
			next_line = now + 500000000ull;
		}
	}
	ct_recorder_live(r, true);
	close(sig);
	close(ep);
	(void)err;
	return 0;
}

/* ---- begin and end --------------------------------------------------------------------------------------------- */

static int begin(struct ct_recorder *r, struct ct_error *err)
{
	const struct ct_record_opts *o = r->opts;
	struct ct_pipeline_opts po = {0};
	pid_t first = o->npids ? o->pids[0] : 0, command = 0;

	if (o->nredact || o->nredact_env) {
		r->redact = ct_redact_create(o->redact, o->nredact, o->redact_env, o->nredact_env, err);
		if (!r->redact)
			return -1;
	}
	for (size_t i = 0; r->redact && i < o->npids; i++)
		if (ct_redact_learn(r->redact, o->pids[i], err))
			return -1;
	if (ct_recorder_choose_cpu(r, first, err) ||
	    ct_probes_create(&r->probes, o->ring_bytes, o->no_replay ? -1 : r->pin.cpu,
			     o->step ? CT_TICKS_STEP : CT_TICKS_PMU, o->verbose > 0, err) ||
	    (o->step && !(r->stepper = ct_stepper_create(err))))
		return -1;
	r->probes.skel->bss->nthreads = 0;
	r->probes.skel->data->follow = o->follow;
	if (o->max_processes)
		r->probes.skel->data->max_procs = o->max_processes;
	if (o->trigger.log) /* the most that a replay compares, too */
		r->probes.skel->data->in_max = 256;
	if (o->command) {
		command = first = r->command_pid = ct_recorder_start_command(r, err);
		if (command < 0 || (r->redact && ct_redact_learn(r->redact, command, err)))
			return -1;
	}
	/* No thread is there yet, but a command is, which keeps what it has. What is done with them from here on:
	 * attaching, snapshots, probes for new programs, putting it all back. */
	if (ct_privileges_drop(err) || ct_recorder_create_directory(r, first, err))
		return -1;
	r->index = ct_page_index_create();
	if (!r->index)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	po.dirfd = r->dirfd;
	memcpy(po.uuid, r->uuid, sizeof(po.uuid));
	po.ring_fd = bpf_map__fd(r->probes.skel->maps.ring);
	po.kernel_seq = (const volatile ct_u64 *)&r->probes.skel->bss->counters.seq;
	po.kernel_lost = (const volatile ct_u64 *)&r->probes.skel->bss->counters.lost;
	po.level = o->level;
	po.poll_us = 4000; /* a ring holds a second of a busy service; every wake-up costs a switch, and cache lines */
	po.segment_size = o->segment_size;
	po.cpus = &r->others;
	po.cpus_len = sizeof(r->others);
	if (!o->no_replay) {
		r->dedup = ct_dedup_create(ct_recorder_keep_bytes, r);
		po.rewrite = rewrite;
		po.rewrite_min = CT_DEDUP_MIN;
	}
	if (r->redact) {
		po.rewrite = rewrite;
		po.rewrite_min = 0;
	}
	if (o->calls) {
		r->calls = ct_calls_create(o->calls, &r->probes, err);
		r->calls_buf = malloc(CT_CALLS_REWRITE_BUF + CT_SCREEN_BUF);
		if (!r->calls || !r->calls_buf)
			return r->calls ? ct_fail(err, CT_EXIT_FAILED, "out of memory") : -1;
		po.rewrite = rewrite;
		po.rewrite_min = CT_CALLS_REWRITE_MIN;
		if (o->calls->filter && o->calls->filter->screened) {
			po.rewrite_min = 0;
			r->screen = ct_screen_create(o->calls->filter);
			if (!r->screen)
				return ct_fail_memory(err);
		}
	}
	po.tap = tap;
	po.tap_ctx = r;
	r->pipeline = ct_pipeline_create(&po, err);
	if (!r->pipeline)
		return -1;
	if (o->no_replay) {
		r->start_ns = ct_now_ns();
		for (size_t i = 0; i < o->npids; i++)
			if (ct_probes_add(&r->probes, o->pids[i], NULL, err) ||
			    ct_recorder_calls_attach(r, o->pids[i], err))
				return -1;
		if (command) {
			if (ct_wait_interrupted_fairly(command, 10000) || ct_probes_add(&r->probes, command, NULL, err))
				return ct_fail(err, CT_EXIT_FAILED, "%s was killed before it began", o->command[0]);
			if (ct_recorder_calls_attach(r, command, err))
				return -1;
		}
		ct_probes_mode(&r->probes, CT_MODE_EVENTS, -1);
		/* An idle process makes no event; the log begins all the same. */
		for (size_t i = 0; i < o->npids; i++)
			ct_recorder_note(r, CT_EV_NOTE, 0, o->pids[i], 0, "events of process %d from here on",
					 o->pids[i]);
		if (r->calls &&
		    ((o->calls->max_overhead > 0 &&
		      !(r->governor = ct_governor_create(r->calls, o->calls->max_overhead, command ? &command : o->pids,
							 command ? 1 : o->npids, err))) ||
		     ct_triggers_create(r, err)))
			return -1;
		if (r->calls)
			ct_recorder_calls_start(r);
		if (command)
			ptrace(PTRACE_DETACH, command, 0, 0);
		return 0;
	}
	if (ct_triggers_create(r, err))
		return -1;
	/* A held process waits for this thread; compressing can wait. */
	setpriority(PRIO_PROCESS, 0, -10);
	r->inspector = ct_inspector_create(err);
	if (!r->inspector || (o->prove && ct_prover_start(r, err)) || ct_recorder_worker_start(r, err) ||
	    ct_recorder_prober_start(r, err) || ct_recorder_hearer_start(r, err))
		return -1;
	ct_wait_set_hook(ct_recorder_answer, r);
	if (ct_recorder_slow_attach(r, command ? &command : o->pids, command ? 1 : o->npids, err))
		return -1;
	return ct_recorder_attach(r, command ? &command : o->pids, command ? 1 : o->npids, command, err);
}

/* Ends the recording; whatever fails, targets are released and what is written stays readable. */
static int finish(struct ct_recorder *r, bool began, struct ct_record_result *res, struct ct_error *err)
{
	struct ct_pipeline_stats stats = {0};
	struct ct_error ignored;
	struct ct_ev_end end = {.reason = r->end_reason, .status = r->command_status};
	int ret = 0;

	if (began && !r->opts->no_replay && ct_recorder_snapshot(r, CT_SNAP_FINAL, err))
		ret = -1;
	if (r->probes.skel)
		ct_probes_mode(&r->probes, CT_MODE_OFF, r->pin.cpu);
	if (r->calls)
		ct_recorder_calls_stop(r, res);
	if (r->slow)
		ct_calls_stop(r->slow);
	if (r->pipeline && !ct_pipeline_drain(r->pipeline, 1000, &ignored))
		r->end_ns = ct_now_ns();
	for (size_t i = 0; i < r->ntargets; i++) { /* only after a failed attach or final stop */
		struct ct_target *t = r->targets[i];

		if (!t->changed || !ct_target_lives(t))
			continue;
		if (!ct_target_stop(t, &ignored)) {
			if (!ct_target_inspect(t, r->inspector, &ignored))
				ct_target_undo(t, &ignored);
			ct_target_release(t);
		}
		/* One that could not be stopped because it was about to end needs nothing any more. */
		if (t->changed && ct_target_lives(t))
			ret = ct_fail(err, CT_EXIT_FAILED,
				      "process %d (%s) could not be restored: %.300s; run `ctbpf detach -p %d` when "
				      "nothing stands "
				      "in the way",
				      t->pid, t->comm, ignored.msg, t->pid);
	}
	ct_recorder_hearer_stop(r);
	ct_recorder_serve(r);
	ct_wait_set_hook(NULL, NULL);
	ct_prover_stop(r);
	if (ct_recorder_worker_wait(r, true, ret ? &ignored : err))
		ret = -1;
	ct_recorder_reap_command(r);
	forget_gone(r);
	ct_recorder_reap(r);
	ct_recorder_prober_stop(r);
	ct_keep_finish(r);
	if (r->prover)
		ct_prover_counts(r, &res->proven);
	ct_prover_free(r);
	if (r->pipeline) {
		if (began) {
			end.status = r->command_status;
			ct_recorder_append(r, CT_EV_END, 0, 0, &end, sizeof(end), NULL, 0);
		}
		if (ct_pipeline_finish(r->pipeline, &stats, ret ? &ignored : err))
			ret = -1;
		r->pipeline = NULL;
	}
	if (began) {
		ct_recorder_redacted(r, res);
		res->events = stats.events;
		res->bytes = stats.stored_bytes;
		res->lost = stats.lost;
		res->write_failed = stats.failed;
		res->duration_s = stats.last_ns > stats.first_ns ? (stats.last_ns - stats.first_ns) / 1e9 : 0;
		res->pause_ms = r->pause_ns / 1e6;
		snprintf(res->unsound, sizeof(res->unsound), "%s", r->first_unsound);
		if (ret)
			json_object_set_new(r->manifest, "error", json_string(err->msg));
		if (ct_recorder_manifest(r, "complete", &stats, ret ? &ignored : err))
			ret = -1;
	}
	ct_triggers_finish(r, began && !ret);
	return ret;
}

static void destroy(struct ct_recorder *r)
{
	ct_calls_destroy(r->calls);
	ct_calls_destroy(r->slow);
	ct_probes_destroy(&r->probes);
	ct_inspector_destroy(r->inspector);
	ct_page_index_destroy(r->index);
	for (size_t i = 0; i < r->ntargets; i++) {
		ct_target_deinit(r->targets[i]);
		free(r->targets[i]);
	}
	free(r->targets);
	ct_stepper_destroy(r->stepper);
	ct_keep_free(r);
	ct_dedup_destroy(r->dedup);
	ct_redact_destroy(r->redact);
	free(r->calls_buf);
	ct_screen_destroy(r->screen);
	free(r->reaps);
	json_decref(r->manifest);
	if (r->dirfd >= 0)
		close(r->dirfd);
	if (r->cpu_lock >= 0)
		close(r->cpu_lock);
}

/* As many descriptors as it may have: each probed file of each process is one.
 * The table is made that large at once. One that grows while several threads share it waits for a grace period
 * (expand_fdtable() in fs/file.c), and that for a held process's CPU: the hearing thread, about to open the file the
 * process waits for, would wait for it until the hold ends unanswered. A table never shrinks. */
#define FILES_MAX 131072 /* 1 MiB of kernel memory */
static void make_room_for_files(struct ct_recorder *r)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), last;
	rlim_t room;

	if (fd < 0)
		return;
	if (!getrlimit(RLIMIT_NOFILE, &r->files_limit)) {
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){r->files_limit.rlim_max, r->files_limit.rlim_max});
		room = r->files_limit.rlim_max < FILES_MAX ? r->files_limit.rlim_max : FILES_MAX;
		last = fcntl(fd, F_DUPFD_CLOEXEC, (int)room - 1);
		if (last >= 0)
			close(last);
	}
	close(fd);
}

int ct_record(const struct ct_record_opts *opts, struct ct_record_result *result, struct ct_error *err)
{
	struct ct_recorder r = {
		.opts = opts, .err = err, .dirfd = -1, .heard_fd = -1, .cpu_lock = -1, .command_status = -1};
	struct ct_error end_err = {0};
	sigset_t set, old;
	bool began;
	int ret;

	memset(result, 0, sizeof(*result));
	result->child_status = -1;
	make_room_for_files(&r);
	/* Taken through a signalfd; a stop of the target must not be cut short by one. */
	ending_signals(&set);
	/* A write that fails says so: the target has to be put back first. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	/* Ctrl-Z would leave processes held that this one has to answer. */
	sigaddset(&set, SIGTSTP);
	sigprocmask(SIG_BLOCK, &set, &old);

	ret = begin(&r, err);
	began = !ret;
	if (began)
		ret = loop(&r, err);
	if (finish(&r, began, result, began && !ret ? err : &end_err))
		ret = -1;
	if (!began && r.command_pid > 0)
		kill(r.command_pid, SIGKILL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	/* The command is ours to wait for, also when the recording ended first. */
	if (began && r.command_pid > 0) {
		int status;

		if (r.end_reason == CT_END_SIGNAL)
			kill(r.command_pid, SIGTERM);
		else if (opts->verbose >= 0)
			fprintf(stderr, "%s: the recording has ended; waiting for the end of %s (%d)\n", r.path,
				opts->command[0], r.command_pid);
		while (ct_wait(r.command_pid, &status, 0) > 0 && WIFSTOPPED(status))
			ptrace(PTRACE_DETACH, r.command_pid, 0, 0);
		ct_recorder_reap_command(&r);
	}
	if (!began && r.dirfd >= 0)
		ct_recording_discard(r.path);
	result->child_status = r.command_status;
	snprintf(result->path, sizeof(result->path), "%s", r.path);
	destroy(&r);
	return ret;
}
