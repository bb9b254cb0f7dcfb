// SPDX-License-Identifier: MIT
/* Stopping a process as a whole and letting it go again.
 * Threads are seized (no signal, no stop), then interrupted, until a look at the task list shows no new one. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/attach/target.h"

#define STOP_TIMEOUT_MS 3000

void ct_target_init(struct ct_target *t, pid_t pid)
{
	char path[64], *comm;

	memset(t, 0, sizeof(*t));
	t->pid = pid;
	t->memfd = -1;
	t->track.fd = -1;
	t->start_time = ct_proc_stat(pid, pid, 22);
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	comm = ct_read_file(path, NULL);
	if (comm) {
		comm[strcspn(comm, "\n")] = 0;
		snprintf(t->comm, sizeof(t->comm), "%.15s", comm);
		free(comm);
	}
	/* Programs name themselves as they like; this goes to terminals and into JSON. */
	for (char *c = t->comm; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
}

static void close_stopped(struct ct_target *t)
{
	for (size_t i = 0; i < t->nthreads; i++) {
		free(t->threads[i].xsave);
		t->threads[i].xsave = NULL;
	}
	ct_maps_deinit(&t->maps);
	if (t->memfd >= 0)
		close(t->memfd);
	t->memfd = -1;
}

void ct_target_deinit(struct ct_target *t)
{
	close_stopped(t);
	ct_track_end(&t->track);
	free(t->threads);
	t->threads = NULL;
	t->nthreads = 0;
	free(t->wiped);
	t->wiped = NULL;
	t->nwiped = 0;
}

static struct ct_thread *find_thread(struct ct_target *t, pid_t tid)
{
	for (size_t i = 0; i < t->nthreads; i++)
		if (t->threads[i].tid == tid)
			return &t->threads[i];
	return NULL;
}

static struct ct_thread *add_thread(struct ct_target *t, pid_t tid)
{
	struct ct_thread *th = find_thread(t, tid);

	if (th)
		return th;
	th = realloc(t->threads, (t->nthreads + 1) * sizeof(*th));
	if (!th)
		return NULL;
	t->threads = th;
	th += t->nthreads++;
	memset(th, 0, sizeof(*th));
	th->tid = tid;
	return th;
}

/* Threads that have gone are forgotten, but one that is only known (saved state, not stopped) while it lives is kept.
 */
static void drop_gone(struct ct_target *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->nthreads; i++) {
		if (t->threads[i].stopped)
			t->threads[kept++] = t->threads[i];
		else
			free(t->threads[i].xsave);
	}
	t->nthreads = kept;
}

/* Some calls return EINTR whenever their thread was stopped, signal or not (signal(7), "interruption by stop signals").
 * Few programs expect that of a process nobody signals. If no signal waits, the call can simply be made again. */
static bool fails_when_stopped(ct_u64 nr)
{
	switch (nr) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case 441: /* epoll_pwait2 */
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case SYS_read: /* inotify; sockets with SO_RCVTIMEO or SO_SNDTIMEO */
	case SYS_readv:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_write:
	case SYS_writev:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_accept:
	case SYS_accept4: return true;
	default: return false;
	}
}

/* Made again, a call with a timeout waits for all of it once more. That is the lesser evil once or twice in a
 * recording, and if it is short; but not every two seconds. */
static bool waits_long(const struct ct_target *t, const struct ct_regs *r)
{
	switch (r->r[CT_ORIG_RAX]) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait: return (ct_s32)r->r[CT_R10] > 0 && (ct_u32)r->r[CT_R10] > t->patience_ms;
	case 441: /* epoll_pwait2 */
	case SYS_semtimedop: return r->r[CT_R10] != 0;
	case SYS_rt_sigtimedwait: return r->r[CT_RDX] != 0;
	default: return false;
	}
}

static void find_reissue(const struct ct_target *t, struct ct_thread *th)
{
	ct_u64 waiting = (th->state.pending | th->state.shared_pending) & ~th->state.blocked;

	th->reissue = (long)th->regs.r[CT_RAX] == -EINTR && fails_when_stopped(th->regs.r[CT_ORIG_RAX]) && !waiting &&
		      !(t->often && waits_long(t, &th->regs));
}

static void reissue(struct ct_thread *th)
{
	struct ct_regs regs = th->regs;

	regs.r[CT_RIP] -= 2; /* the length of `syscall` */
	regs.r[CT_RAX] = regs.r[CT_ORIG_RAX];
	ct_set_regs(th->tid, &regs);
}

void ct_target_release(struct ct_target *t)
{
	for (size_t i = 0; i < t->nthreads; i++) {
		struct ct_thread *th = &t->threads[i];

		if (th->stopped && th->reissue)
			reissue(th);
		if (th->stopped && !th->kept && ptrace(PTRACE_DETACH, th->tid, 0, 0)) {
			/* It runs, after an injected call that took too long: it must not stop later with nobody there.
			 */
			ptrace(PTRACE_INTERRUPT, th->tid, 0, 0);
			if (!ct_wait_interrupted_fairly(th->tid, 1000))
				ptrace(PTRACE_DETACH, th->tid, 0, 0);
		}
		th->stopped = th->reissue = th->kept = false;
	}
	close_stopped(t);
}

void ct_thread_go_on(struct ct_thread *th)
{
	const struct ct_target once = {0};
	char path[64], *status, *line;

	snprintf(path, sizeof(path), "/proc/%d/status", th->tid);
	status = ct_read_file(path, NULL);
	line = status ? strstr(status, "\nSigPnd:") : NULL;
	if (line && sscanf(line, " SigPnd: %lx ShdPnd: %lx SigBlk: %lx", &th->state.pending, &th->state.shared_pending,
			   &th->state.blocked) == 3)
		find_reissue(&once, th);
	free(status);
	if (th->reissue)
		reissue(th);
	ptrace(PTRACE_DETACH, th->tid, 0, 0);
	th->stopped = th->reissue = false;
}

static bool has_ended(pid_t pid, pid_t tid)
{
	ct_u64 state = ct_proc_stat(pid, tid, 3);

	return !state || state == 'Z' || state == 'X';
}

static pid_t tracer_of(pid_t tid)
{
	return (pid_t)ct_proc_status(tid, "TracerPid:", 10);
}

bool ct_is_traced_by_us(pid_t tid)
{
	const pid_t tracer = tracer_of(tid); /* a thread */
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d", tracer);
	return tracer && !access(path, F_OK);
}

/* Seizes and interrupts the threads not stopped yet. Returns how many that were, or -1. */
static int stop_round(struct ct_target *t, struct ct_error *err)
{
	pid_t *tids = NULL;
	size_t count = 0;
	int fresh = 0, ret, status;

	if (ct_list_threads(t->pid, &tids, &count, err))
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct ct_thread *th = add_thread(t, tids[i]);

		if (!th) {
			free(tids);
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		}
		if (th->stopped)
			continue;
		ret = t->seized ? 0 : ct_seize(tids[i], PTRACE_O_TRACESYSGOOD);
		if (ret == -ESRCH) /* it is exiting */
			continue;
		/* Another thread of ours may have it, which hands it over meanwhile. */
		if (ret == -EPERM && ct_is_traced_by_us(tids[i]))
			ct_wait_meanwhile();
		if (ret == -EPERM && tracer_of(tids[i]) == gettid()) {
			/* The stepper's, which stands still and has reported; or it did not stop in time before, and
			 * could not be let go. */
			ret = 0;
			ct_wait(tids[i], &status, WNOHANG);
			if (!ct_get_regs(tids[i], &th->regs)) {
				th->stopped = true;
				fresh++;
				continue;
			}
		}
		if (ret == -EPERM) {
			if (has_ended(t->pid, tids[i]))
				continue;
			free(tids);
			return ct_fail(
				err, CT_EXIT_NOT_ATTACHED,
				"cannot attach to %d (%s): thread %d may not be traced (another tracer has it, or "
				"privileges are missing)",
				t->pid, t->comm, (int)th->tid);
		}
		if (ret) {
			errno = -ret;
			free(tids);
			return ct_fail_errno(err, CT_EXIT_NOT_ATTACHED, "cannot attach to %d (%s)", t->pid, t->comm);
		}
		ptrace(PTRACE_INTERRUPT, tids[i], 0, 0);
		th->stopped = true; /* as good as: waited for below */
		fresh++;
	}
	for (size_t i = 0; i < count; i++) {
		struct ct_thread *th = find_thread(t, tids[i]);

		if (!th || !th->stopped || th->regs.r[CT_CS])
			continue;
		ret = ct_wait_interrupted_fairly(th->tid, STOP_TIMEOUT_MS);
		if (ret == -ETIMEDOUT) {
			free(tids);
			return ct_fail(err, CT_EXIT_NOT_ATTACHED,
				       "cannot attach to %d (%s): thread %d does not stop within %d s (it is in "
				       "uninterruptible "
				       "sleep, or waits for a vfork child)",
				       t->pid, t->comm, (int)th->tid, STOP_TIMEOUT_MS / 1000);
		}
		if (ret) {
			th->stopped = false; /* gone */
			continue;
		}
		if (ct_get_regs(th->tid, &th->regs))
			th->stopped = false;
	}
	free(tids);
	return fresh;
}

int ct_target_stop(struct ct_target *t, struct ct_error *err)
{
	int fresh;

	t->astray = false; /* who was, stands still when all do, and is stepped out of the stub */
	for (size_t i = 0; i < t->nthreads; i++) {
		t->threads[i].stopped = false;
		memset(&t->threads[i].regs, 0, sizeof(t->threads[i].regs));
	}
	do {
		fresh = stop_round(t, err);
		t->seized = false;
	} while (fresh > 0);
	if (fresh < 0) {
		ct_target_release(t);
		return -1;
	}
	drop_gone(t);
	if (!t->nthreads)
		return ct_fail(err, CT_EXIT_NOT_ATTACHED, "process %d (%s) exited while it was being attached", t->pid,
			       t->comm);
	/* By the id of a thread that lives: the first one may have exited, and then has no memory any more. */
	t->memfd = ct_mem_open(t->threads[0].tid);
	if (t->memfd < 0 || ct_maps_read(t->threads[0].tid, &t->maps, err)) {
		if (t->memfd < 0)
			ct_fail_errno(err, CT_EXIT_NOT_ATTACHED, "cannot open the memory of %d (%s)", t->pid, t->comm);
		ct_target_release(t);
		return -1;
	}
	return 0;
}

bool ct_target_stands(const struct ct_target *t)
{
	unsigned long message;

	for (size_t i = 0; i < t->nthreads; i++)
		if (t->threads[i].stopped && ptrace(PTRACE_GETEVENTMSG, t->threads[i].tid, 0, &message))
			return false;
	return true;
}

int ct_target_inspect(struct ct_target *t, struct ct_inspector *in, struct ct_error *err)
{
	static __thread unsigned char buf[CT_XSAVE_MAX] __attribute__((aligned(64)));

	for (size_t i = 0; i < t->nthreads; i++) {
		struct ct_thread *th = &t->threads[i];
		ssize_t len;

		if (!th->stopped)
			continue;
		len = ct_get_xsave(th->tid, buf);
		if (ct_get_regs(th->tid, &th->regs) || ct_get_sigmask(th->tid, &th->sigmask) || len < 0)
			return ct_fail(err, CT_EXIT_NOT_ATTACHED,
				       "thread %d of %d (%s) went away while stopped (killed?)", (int)th->tid, t->pid,
				       t->comm);
		free(th->xsave);
		th->xsave = malloc(len);
		if (!th->xsave)
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		memcpy(th->xsave, buf, len);
		th->xsave_len = len;
	}
	t->seccomp = ct_proc_status(t->pid, "Seccomp:", 10) != 0;
	if (ct_inspect_threads(in, t, err))
		return -1;
	for (size_t i = 0; i < t->nthreads; i++)
		if (t->threads[i].stopped)
			find_reissue(t, &t->threads[i]);
	return 0;
}
