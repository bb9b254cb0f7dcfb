// SPDX-License-Identifier: MIT
/* Diversions: a moment's fork that may be written to and run, for a debugger that sets variables or calls functions.
 * The timeline never sees any of it. System calls do what a function needs to compute and print; nothing goes outside.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "replay/clock.h"
#include "replay/inproc.h"
#include "replay/timeline_priv.h"

#define MOST_CALLS 1000000 /* of one run: it may wait for something that never comes */
#define PAGE_UP(x) (((x) + CT_PAGE - 1) & ~(ct_u64)(CT_PAGE - 1))
#define CHUNK      4096
#define MOST_IOVEC 1024

struct run {
	struct ct_rthread *t;
	void (*output)(void *ctx, const char *data, size_t len);
	void *ctx;
};

int ct_timeline_divert(struct ct_timeline *tl, struct ct_error *err)
{
	if (tl->home)
		return 0;
	if (tl->broken)
		return ct_fail(err, CT_EXIT_FAILED, "the replay went another way than the recording: go back first");
	if (ct_timeline_now(tl, &tl->home_moment, err) || !(tl->home = ct_session_checkpoint(tl->s, err)))
		return -1;
	return 0;
}

bool ct_timeline_diverted(const struct ct_timeline *tl)
{
	return tl->home;
}

/* The checkpoint has the threads as they were, in the same order. */
bool ct_timeline_registers_differ(struct ct_timeline *tl)
{
	return tl->home && ct_checkpoint_registers_differ(tl->s, tl->home);
}

int ct_timeline_write(struct ct_timeline *tl, ct_u64 addr, const void *data, size_t len, struct ct_error *err)
{
	if (ct_timeline_divert(tl, err) || ct_session_write(tl->s, tl->pid, addr, data, len, err))
		return -1;
	tl->written = true;
	return 0;
}

bool ct_timeline_memory_differs(struct ct_timeline *tl)
{
	return tl->home && tl->written;
}

int ct_timeline_undivert(struct ct_timeline *tl, struct ct_error *err)
{
	int ret;

	if (!tl->home)
		return 0;
	ret = ct_tl_restore(tl, tl->home, err);
	ct_checkpoint_destroy(tl->home);
	tl->home = NULL;
	tl->written = false;
	return ret;
}

static ct_s64 put_out(const struct run *run, ct_u64 addr, ct_u64 len)
{
	char buf[CHUNK];

	for (ct_u64 done = 0; done < len;) {
		const size_t n = len - done < sizeof(buf) ? (size_t)(len - done) : sizeof(buf);

		if (!ct_replica_read(run->t->proc, addr + done, buf, n))
			return done ? (ct_s64)done : -EFAULT;
		run->output(run->ctx, buf, n);
		done += n;
	}
	return (ct_s64)len;
}

static ct_s64 put_vector(const struct run *run, ct_u64 addr, ct_u64 count)
{
	ct_s64 all = 0;

	for (ct_u64 i = 0; i < count && i < MOST_IOVEC; i++) {
		struct iovec v;
		ct_s64 n;

		if (!ct_replica_read(run->t->proc, addr + i * sizeof(v), &v, sizeof(v)))
			return -EFAULT;
		n = put_out(run, (ct_u64)(uintptr_t)v.iov_base, v.iov_len);
		if (n < 0)
			return n;
		all += n;
	}
	return all;
}

static ct_s64 do_brk(struct ct_rthread *t, ct_u64 to)
{
	const ct_u64 old = PAGE_UP(t->proc->brk), now = PAGE_UP(to);

	if (to < t->proc->brk)
		return (ct_s64)t->proc->brk; /* never shrinks */
	if (now > old && ct_replica_call(t, SYS_mmap, old, now - old, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, (ct_u64)-1,
					 0) != (long)old)
		return (ct_s64)t->proc->brk;
	t->proc->brk = to;
	return (ct_s64)to;
}

static ct_s64 make_call(const struct run *run, ct_u64 nr, const ct_u64 *a)
{
	struct ct_rthread *t = run->t;

	switch (nr) {
	case SYS_write: return a[0] == 1 || a[0] == 2 ? put_out(run, a[1], a[2]) : -ENOSYS;
	case SYS_writev: return a[0] == 1 || a[0] == 2 ? put_vector(run, a[1], a[2]) : -ENOSYS;
	case SYS_brk: return do_brk(t, a[0]);
	case SYS_mmap:
		if (!(a[3] & MAP_ANONYMOUS) || !(a[3] & MAP_PRIVATE))
			return -ENOSYS;
		return ct_replica_call(t, SYS_mmap, a[0], a[1], a[2], a[3] | MAP_NORESERVE, (ct_u64)-1, 0);
	case SYS_munmap:
	case SYS_mprotect:
	case SYS_madvise:
		ct_mm_before_change(t, a[0], a[1]);
		return ct_replica_call(t, (long)nr, a[0], a[1], a[2], 0, 0, 0);
	case SYS_getpid: return t->proc->pid;
	case SYS_gettid: return t->tid;
	case SYS_futex:
	case SYS_rt_sigprocmask:
	case SYS_sched_yield: return 0;
	}
	return -ENOSYS;
}

/* 1: its thread or process ends by it. */
static int answer(const struct run *run, struct ct_error *err)
{
	struct ct_regs r;
	ct_u64 args[6], nr;

	if (ct_get_regs(run->t->real, &r))
		return ct_fail(err, CT_EXIT_FAILED, "the fork of the program is gone");
	nr = r.r[CT_ORIG_RAX];
	if (nr == SYS_exit || nr == SYS_exit_group)
		return 1;
	args[0] = r.r[CT_RDI], args[1] = r.r[CT_RSI], args[2] = r.r[CT_RDX];
	args[3] = r.r[CT_R10], args[4] = r.r[CT_R8], args[5] = r.r[CT_R9];
	r.r[CT_RAX] = (ct_u64)make_call(run, nr, args);
	r.r[CT_RCX] = r.r[CT_RIP];
	r.r[CT_R11] = r.r[CT_RFLAGS];
	r.r[CT_ORIG_RAX] = (ct_u64)-1;
	return ct_set_regs(run->t->real, &r) ? ct_fail_errno(err, CT_EXIT_FAILED, "registers cannot be set") : 0;
}

static int run_on(struct ct_timeline *tl, const struct run *run, struct ct_stopped *stopped, struct ct_error *err)
{
	struct ct_rthread *t = run->t;
	int status, ret;

	for (unsigned calls = 0; calls < MOST_CALLS; calls++) {
		if (ct_resume(t, &status))
			return ct_fail(err, CT_EXIT_FAILED, "the fork of the program has died");
		if (tl->s->stops.hit) {
			tl->has_caught = false;
			ct_tl_stopped(tl, stopped);
			return 0;
		}
		if (WSTOPSIG(status) != (SIGTRAP | 0x80) && !(status >> 16)) {
			stopped->why = CT_ARRIVED_SIGNAL;
			stopped->number = WSTOPSIG(status);
			return 0;
		}
		ret = answer(run, err);
		if (ret < 0)
			return -1;
		if (ret) {
			stopped->why = CT_ARRIVED_END;
			return 0;
		}
	}
	return ct_fail(err, CT_EXIT_FAILED, "the fork of the program does not come to an end");
}

int ct_timeline_run_diverted(struct ct_timeline *tl, ct_u32 tid, bool step,
			     void (*output)(void *ctx, const char *data, size_t len), void *ctx,
			     struct ct_stopped *stopped, struct ct_error *err)
{
	struct run run = {ct_session_thread(tl->s, tid), output, ctx};
	struct ct_regs r;
	int status, ret;

	*stopped = (struct ct_stopped){.why = CT_ARRIVED_STEP, .tid = tid};
	if (!tl->home || !run.t || ct_get_regs(run.t->real, &r))
		return ct_fail(err, CT_EXIT_FAILED, "there is no thread %u to run", tid);
	run.t->restart = 0;
	run.t->at_entry = false;
	ct_mm_retire(run.t->proc); /* any address may be gone to */
	if (step) {
		if (ct_clock_step_by(run.t, 32 /* PTRACE_SYSEMU_SINGLESTEP */, &status))
			return ct_fail(err, CT_EXIT_FAILED, "the fork of the program has died");
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			return answer(&run, err) < 0 ? -1 : 0;
		if (WSTOPSIG(status) != SIGTRAP) {
			stopped->why = CT_ARRIVED_SIGNAL;
			stopped->number = WSTOPSIG(status);
		}
		return 0;
	}
	if (ct_session_set_stops(tl->s, tl->pid, tl->stops, tl->nstops, err))
		return -1;
	run.t->told = r.r[CT_RIP];
	ret = run_on(tl, &run, stopped, err);
	ct_session_set_stops(tl->s, tl->pid, NULL, 0, NULL);
	return ret;
}
