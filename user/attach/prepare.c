// SPDX-License-Identifier: MIT
/* What recording changes in a stopped process, and how it is changed back: CPU affinity and scheduling policy of each
 * thread, the vDSO, restartable sequences. What was there before goes to CT_RUN_DIR first. */
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <linux/rseq.h>
#include <unistd.h>

#include "user/attach/target.h"

#define RSEQ_UNREGISTER 1

static void save_thread(struct ct_thread *th)
{
	struct sched_param param = {0};

	if (th->saved)
		return;
	if (sched_getaffinity(th->tid, sizeof(th->affinity), &th->affinity))
		CPU_ZERO(&th->affinity);
	th->policy = sched_getscheduler(th->tid);
	sched_getparam(th->tid, &param);
	th->priority = param.sched_priority;
	th->saved = true;
}

static int pin_thread(struct ct_target *t, struct ct_thread *th, const struct ct_pin *pin, struct ct_error *err)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(pin->cpu, &one);
	if (sched_setaffinity(th->tid, sizeof(one), &one) && errno != ESRCH)
		return ct_fail_errno(
			err, CT_EXIT_NOT_ATTACHED,
			"cannot pin thread %d of %d (%s) to CPU %d (is the CPU outside its cpuset? choose another "
			"with --cpu)",
			(int)th->tid, t->pid, t->comm, pin->cpu);
	if (pin->policy >= 0) {
		struct sched_param param = {.sched_priority = 1};

		sched_setscheduler(th->tid, pin->policy, &param); /* a wish: cgroups may refuse real time */
	}
	return 0;
}

static void find_rseq(struct ct_thread *th)
{
	struct __ptrace_rseq_configuration conf = {0};

	memset(&th->rseq, 0, sizeof(th->rseq));
	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, th->tid, sizeof(conf), &conf) < (long)sizeof(conf) - 8)
		return;
	th->rseq.addr = conf.rseq_abi_pointer;
	th->rseq.size = conf.rseq_abi_size;
	th->rseq.sig = conf.signature;
	th->rseq.flags = conf.flags;
}

/* The kernel writes the CPU number and more into a thread's rseq area whenever it likes, and moves a thread that is in
 * a critical section: not replayable. Unregistered, with the cpu_id a C library takes for "cannot", it falls back. */
/* What the kernel does when it has interrupted a restartable sequence, which this stop has: the thread goes on at the
 * abort handler. A descriptor it is not (any more) inside of is forgotten, as the kernel does the next time it looks.
 */
static bool rseq_abort(struct ct_target *t, struct ct_thread *th, ct_u64 at)
{
	const ct_u64 none = 0, ip = th->regs.r[CT_RIP];
	struct rseq_cs cs;
	ct_u32 sig = 0;

	if (!ct_mem_read(t->memfd, at, &cs, sizeof(cs)))
		return false;
	if (ip - cs.start_ip < cs.post_commit_offset) {
		if (!ct_mem_read(t->memfd, cs.abort_ip - 4, &sig, 4) || sig != th->rseq.sig)
			return false;
		th->regs.r[CT_RIP] = cs.abort_ip; /* the injection that follows ends with these registers */
	}
	return ct_mem_write(t->memfd, th->rseq.addr + offsetof(struct rseq, rseq_cs), &none, sizeof(none));
}

static int rseq_off(struct ct_target *t, struct ct_thread *th, struct ct_error *err)
{
	const ct_u64 args[6] = {th->rseq.addr, th->rseq.size, RSEQ_UNREGISTER, th->rseq.sig};
	const ct_u32 ids[2] = {0, (ct_u32)-2}; /* cpu_id_start, cpu_id = RSEQ_CPU_ID_REGISTRATION_FAILED */
	ct_u64 cs = 0;
	struct ct_inject in;
	long ret = -1;
	int bad;

	ct_mem_read(t->memfd, th->rseq.addr + offsetof(struct rseq, rseq_cs), &cs, sizeof(cs));
	if (cs && !rseq_abort(t, th, cs))
		return ct_fail(err, CT_EXIT_FAILED, "thread %d of %d (%s) is in a restartable sequence", (int)th->tid,
			       t->pid, t->comm);
	if (ct_inject_begin(&in, t, th, err))
		return -1;
	bad = ct_inject_call(&in, SYS_rseq, args, &ret, err);
	if (ct_inject_end(&in, bad ? NULL : err) || bad)
		return -1;
	if (ret)
		return ct_fail(err, CT_EXIT_FAILED, "thread %d of %d (%s): rseq cannot be unregistered (%ld)",
			       (int)th->tid, t->pid, t->comm, ret);
	ct_mem_write(t->memfd, th->rseq.addr, ids, sizeof(ids));
	th->rseq_off = true;
	return 0;
}

/* A program that has just been loaded will register rseq when its C library starts. It is given a registration of ours
 * first, in a page of ours: then its own call fails, as on a kernel without rseq, and it does without. */
static bool rseq_occupy(struct ct_target *t, struct ct_thread *th)
{
	const ct_u64 map[6] = {t->own_page, CT_PAGE, 3, 0x100022 /* PRIVATE | ANONYMOUS | FIXED_NOREPLACE */,
			       (ct_u64)-1,  0};
	const ct_u64 reg[6] = {t->own_page, 32, 0, CT_OWN_RSEQ_SIG};
	struct ct_inject in;
	long ret = -1;

	bool done;

	if (ct_inject_begin(&in, t, th, NULL))
		return false;
	done = !ct_inject_call(&in, SYS_mmap, map, &ret, NULL) && ret == (long)t->own_page &&
	       !ct_inject_call(&in, SYS_rseq, reg, &ret, NULL);
	ct_inject_end(&in, NULL);
	return done;
}

static int rseq_vacate(struct ct_target *t, struct ct_thread *th, struct ct_error *err)
{
	const ct_u64 unreg[6] = {t->own_page, 32, RSEQ_UNREGISTER, CT_OWN_RSEQ_SIG};
	const ct_u64 unmap[6] = {t->own_page, CT_PAGE};
	struct ct_inject in;
	long ret = -1;
	int bad;

	if (ct_inject_begin(&in, t, th, err))
		return -1;
	bad = ct_inject_call(&in, SYS_rseq, unreg, &ret, err) || ct_inject_call(&in, SYS_munmap, unmap, &ret, err);
	if (ct_inject_end(&in, bad ? NULL : err) || bad)
		return -1;
	t->own_page = 0;
	return 0;
}

static ct_u64 place_of_own_page(const struct ct_target *t)
{
	for (size_t i = 0; i < t->maps.count; i++)
		if (t->maps.map[i].end > CT_OWN_PAGE_HIGH && t->maps.map[i].start < CT_OWN_PAGE_HIGH + CT_PAGE)
			return CT_OWN_PAGE_LOW;
	return CT_OWN_PAGE_HIGH;
}

int ct_target_prepare(struct ct_target *t, const struct ct_pin *pin, struct ct_error *err)
{
	struct ct_error ignored;

	t->pin = *pin;
	for (size_t i = 0; i < t->nthreads; i++) {
		save_thread(&t->threads[i]);
		find_rseq(&t->threads[i]);
	}
	/* What is changed must be on disk before it is: this program may be killed at any moment. */
	t->own_page = t->fresh && t->nthreads == 1 ? place_of_own_page(t) : 0;
	if (ct_vdso_plan(t, err) || ct_undo_save(t, err))
		return -1;
	t->changed = true;
	for (size_t i = 0; i < t->nthreads; i++)
		if (pin_thread(t, &t->threads[i], pin, err))
			return -1;
	if (ct_vdso_apply(t, err))
		return -1;
	if (t->own_page && !rseq_occupy(t, &t->threads[0]))
		t->own_page = 0;
	for (size_t i = 0; i < t->nthreads; i++)
		if (t->threads[i].rseq.addr && !t->threads[i].rseq_off)
			rseq_off(t, &t->threads[i],
				 &ignored); /* if not: its writes are masked when a replay is compared */
	return 0;
}

/* Whether the kernel has no rseq area for the thread, though it once had. */
static bool is_unregistered(const struct ct_thread *th)
{
	struct ct_thread now = *th;

	find_rseq(&now);
	return !now.rseq.addr;
}

/* Whether its area looks as rseq_off leaves it; killed: or as the kernel does, for a recorder that was killed there. */
static bool is_off(struct ct_target *t, ct_u64 addr, bool killed)
{
	ct_u32 ids[2];

	return ct_mem_read(t->memfd, addr, ids, sizeof(ids)) &&
	       (ids[1] == (ct_u32)RSEQ_CPU_ID_REGISTRATION_FAILED ||
		(killed && ids[1] == (ct_u32)RSEQ_CPU_ID_UNINITIALIZED));
}

/* Threads made while recording have an unregistered area at the same distance from their thread pointer. */
static void guess_rseq(struct ct_target *t, struct ct_thread *th)
{
	for (size_t i = 0; i < t->nthreads; i++) {
		const struct ct_thread *old = &t->threads[i];
		ct_u64 addr;

		if (!old->rseq_off || !old->rseq.addr || !old->stopped)
			continue;
		addr = old->rseq.addr - old->regs.r[CT_FS_BASE] + th->regs.r[CT_FS_BASE];
		if (is_off(t, addr, false)) {
			th->rseq = old->rseq;
			th->rseq.addr = addr;
			th->rseq_off = true;
		}
		return;
	}
}

static int rseq_on(struct ct_target *t, struct ct_thread *th, struct ct_error *err)
{
	const ct_u64 args[6] = {th->rseq.addr, th->rseq.size, 0, th->rseq.sig};
	struct ct_inject in;
	long ret = -1;
	int bad;

	if (ct_inject_begin(&in, t, th, err))
		return -1;
	bad = ct_inject_call(&in, SYS_rseq, args, &ret, err);
	if (ct_inject_end(&in, bad ? NULL : err) || bad)
		return -1;
	th->rseq_off = false;
	if (ret)
		return ct_fail(err, CT_EXIT_FAILED, "thread %d of %d (%s): rseq cannot be registered again (%ld)",
			       (int)th->tid, t->pid, t->comm, ret);
	return 0;
}

/* Only what is still as we set it: the program, or its administrator, may have changed it since. */
static void unpin_thread(struct ct_target *t, struct ct_thread *th)
{
	const struct ct_thread *like = th;
	struct sched_param param = {0};
	cpu_set_t now;

	/* A thread made meanwhile inherited the pinning: it gets what the leader had. */
	for (size_t i = 0; i < t->nthreads && !like->saved; i++)
		like = &t->threads[i];
	if (!like->saved)
		return;
	if (CPU_COUNT(&like->affinity) && !sched_getaffinity(th->tid, sizeof(now), &now) && CPU_COUNT(&now) == 1 &&
	    CPU_ISSET(t->pin.cpu, &now))
		sched_setaffinity(th->tid, sizeof(like->affinity), &like->affinity);
	if (t->pin.policy >= 0 && like->policy >= 0 && sched_getscheduler(th->tid) == t->pin.policy) {
		param.sched_priority = like->priority;
		sched_setscheduler(th->tid, like->policy, &param);
	}
}

void ct_target_forget_image(struct ct_target *t)
{
	ct_track_end(&t->track);
	t->npatches = 0;
	t->stub = t->clone_stub = 0;
	t->own_page = 0;
	for (size_t i = 0; i < t->nthreads; i++) {
		t->threads[i].rseq_off = false;
		memset(&t->threads[i].rseq, 0, sizeof(t->threads[i].rseq));
	}
}

int ct_target_undo(struct ct_target *t, struct ct_error *err)
{
	int ret = 0;

	ct_vdso_find_stub(t);
	for (size_t i = 0; i < t->nthreads; i++) {
		struct ct_thread *th = &t->threads[i];
		bool killed;

		if (!th->stopped)
			continue;
		killed = th->rseq.addr && !th->rseq_off && is_unregistered(th); /* another recorder did it */
		th->rseq_off |= killed;
		if (!th->saved && !th->rseq_off)
			guess_rseq(t, th);
		/* What the program has registered, or given up, meanwhile is its own: its area looks otherwise then. */
		if (th->rseq_off && is_off(t, th->rseq.addr, killed) && rseq_on(t, th, err))
			ret = -1;
	}
	for (size_t i = 0; t->own_page && i < t->nthreads; i++)
		if (t->threads[i].stopped && t->threads[i].tid == t->pid && rseq_vacate(t, &t->threads[i], err))
			ret = -1;
	if (ct_vdso_restore(t, ret ? NULL : err))
		ret = -1;
	for (size_t i = 0; i < t->nthreads; i++)
		if (t->threads[i].stopped)
			unpin_thread(t, &t->threads[i]);
	if (t->nthreads && t->threads[0].tid != t->pid) { /* the first thread has ended, but still is the process */
		struct ct_thread leader = {.tid = t->pid};

		unpin_thread(t, &leader);
	}
	if (!ret) {
		t->changed = false;
		ct_undo_forget(t);
	}
	return ret;
}
