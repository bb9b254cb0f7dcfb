/* SPDX-License-Identifier: MIT
 * Replay sessions as a debugger uses them: in parts, by steps, looked at, altered, put back to checkpoints.
 *
 * Each test records a child of its own for a moment (needs: root). */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "recording_helpers.h"
#include "tests/unit/replay_helpers.h"
#include "replay/report.h"
#include "replay/session.h"
#include "replay/stretch.h"
#include "user/recorder.h"

static char *dir, file[600];
static struct ct_recording *rec;
static struct ct_stretches st;
static struct ct_error err;

/* ---- the recorded program ----------------------------------------------------------------------------------- */

/* What it computes depends on the clock and on memory of all kinds, and all of it is passed to a call. */
struct state {
	ct_u64 sum, turns;
};
static struct state *state;
static volatile ct_u64 *shared, *wiped;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A file that is mapped shared while it is recorded. */
static void turn_in_file(void)
{
	static ct_u64 *p;

	if (!p) {
		int fd = open(file, O_RDWR | O_CLOEXEC);

		p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		must(p != MAP_FAILED, file);
		close(fd);
	}
	*p += state->sum;
	state->sum ^= *p;
}

static void *turn_for_ever(void *arg)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	for (;;) {
		struct timespec now;
		struct state copy;

		clock_gettime(CLOCK_REALTIME, &now);
		pthread_mutex_lock(&lock);
		shared[0] += (ct_u64)now.tv_nsec;
		wiped[0] ^= shared[0];
		state->sum = state->sum * 31 + shared[0] + wiped[0] + (ct_u64)(uintptr_t)arg;
		if (state->turns++ >= 100)
			turn_in_file();
		copy = *state;
		pthread_mutex_unlock(&lock);
		if (write(null, &copy, sizeof(copy)) != sizeof(copy))
			_exit(1);
		usleep(500);
	}
	return NULL;
}

/* Children by fork and by vfork, which write to memory that they share with their parent. */
static void breed_for_ever(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	for (;;) {
		struct timespec now;
		pid_t pid = fork();

		if (!pid) {
			clock_gettime(CLOCK_REALTIME, &now);
			shared[0] += (ct_u64)now.tv_nsec + wiped[0]; /* which is 0 here */
			must(write(null, (void *)shared, 64) == 64, "write");
			_exit(0);
		}
		waitpid(pid, NULL, 0);
		pid = vfork();
		if (!pid) {
			state->sum += shared[0];
			syscall(SYS_write, null, state, sizeof(*state));
			_exit(0);
		}
		waitpid(pid, NULL, 0);
		state->turns++;
		must(write(null, state, sizeof(*state)) == sizeof(*state), "write");
		usleep(500);
	}
}

static void run_target(int threads, int ready)
{
	state = mmap((void *)0x7e0000000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		     0);
	wiped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (madvise((void *)wiped, 4096, MADV_WIPEONFORK))
		_exit(1);
	wiped[0] = 77;
	for (int i = 1; i < threads; i++) {
		pthread_t id;

		pthread_create(&id, NULL, turn_for_ever, (void *)(uintptr_t)(i * 1000));
	}
	must(write(ready, "", 1) == 1, "write");
	if (!threads)
		breed_for_ever();
	turn_for_ever(NULL);
}

/* 0: children instead of threads. */
static void record_and_open(int threads)
{
	char path[600], c;
	int ready[2];
	pid_t pid;

	dir = scratch_dir();
	snprintf(path, sizeof(path), "%s/r.ctr", dir);
	snprintf(file, sizeof(file), "%s/file", dir);
	put_file(file, (char[4096]){0}, 4096);
	must(pipe(ready) == 0, "pipe");
	pid = fork();
	if (!pid)
		run_target(threads, ready[1]);
	must(read(ready[0], &c, 1) == 1, "the target does not start");
	record_child(pid, path, 0.3);
	rec = open_recorded(path, &st);
	cr_assert_gt(st.list[0].events, 100);
}

static void record_one(void)
{
	record_and_open(1);
}

static void record_two(void)
{
	record_and_open(2);
}

static void record_children(void)
{
	record_and_open(0);
}

static void clean_up(void)
{
	if (!dir)
		return;
	ct_stretches_deinit(&st);
	ct_recording_close(rec);
	scratch_remove(dir);
}

static struct ct_session *create(void)
{
	struct ct_session *s = ct_session_create(rec, st.list[0].from, NULL, &err);

	cr_assert(s, "%s", err.msg);
	return s;
}

static void run(struct ct_session *s, ct_u64 seq)
{
	cr_assert_eq(ct_session_run(s, seq, &err), 0, "%s", err.msg);
}

static void run_to_end_and_compare(struct ct_session *s)
{
	struct ct_comparison n;
	char *report = NULL;
	size_t len;
	FILE *f = open_memstream(&report, &len);
	int ret;

	run(s, st.list[0].end);
	ret = ct_session_compare(s, st.list[0].to, f, &n, &err);
	fclose(f);
	cr_assert_eq(ret, 0, "%s%s", ret < 0 ? err.msg : "", report);
	cr_assert_gt(n.pages, 5);
	cr_assert_geq(n.threads, 1);
	free(report);
}

static ct_u64 middle(void)
{
	return st.list[0].begin + st.list[0].events / 2;
}

static ct_u64 turns(struct ct_session *s)
{
	struct ct_session_thread *list;
	struct state now;
	size_t n;

	cr_assert_eq(ct_session_threads(s, &list, &n, &err), 0, "%s", err.msg);
	cr_assert_eq(ct_session_read(s, list[0].pid, 0x7e0000000000, &now, sizeof(now), &err), 0, "%s", err.msg);
	free(list);
	return now.turns;
}

/* ---- tests -------------------------------------------------------------------------------------------------- */

TestSuite(session, .init = record_one, .fini = clean_up, .timeout = 60);
TestSuite(session_children, .init = record_children, .fini = clean_up, .timeout = 60);
TestSuite(session_threads, .init = record_two, .fini = clean_up, .timeout = 60);

Test(session, runs_in_parts)
{
	struct ct_session *s = create();
	struct ct_session_stats stats;
	const struct ct_event *ev;

	for (ct_u64 seq = st.list[0].begin; seq < st.list[0].begin + 40; seq += 7) {
		run(s, seq);
		run(s, seq); /* nothing to do */
		cr_assert_eq(ct_session_next(s, &ev, &err), 1);
		cr_assert_eq(ev->seq, seq);
	}
	run_to_end_and_compare(s);
	ct_session_stats(s, &stats);
	cr_assert_eq(stats.events, st.list[0].events);
	ct_session_destroy(s);
}

static bool wants_calls(void *ctx, const struct ct_event *ev)
{
	++*(size_t *)ctx;
	return ev->type == CT_EV_SYSCALL;
}

static int stop_at_third(void *ctx, struct ct_session *s, const struct ct_event *ev)
{
	static int calls;

	(void)ctx, (void)s;
	cr_assert_eq(ev->type, CT_EV_SYSCALL);
	return ++calls == 3;
}

Test(session, hook_sees_events_and_stops)
{
	size_t asked = 0;
	const struct ct_session_hook hook = {wants_calls, stop_at_third, &asked};
	struct ct_session *s = create();
	struct ct_session_stats stats;

	ct_session_set_hook(s, &hook);
	cr_assert_eq(ct_session_run(s, st.list[0].end, &err), 1);
	ct_session_stats(s, &stats);
	cr_assert_eq(stats.events, asked);
	cr_assert_geq(asked, 3);
	ct_session_set_hook(s, NULL);
	run_to_end_and_compare(s);
	ct_session_destroy(s);
}

Test(session, threads_registers_and_memory_of_a_stopped_moment)
{
	struct ct_session *s = create();
	struct ct_session_thread *list;
	struct ct_regs regs;
	ct_u64 before = turns(s);
	size_t n;
	char byte;

	run(s, middle());
	cr_assert_gt(turns(s), before);
	cr_assert_eq(ct_session_threads(s, &list, &n, &err), 0);
	cr_assert_eq(n, 1);
	cr_assert(list[0].current);
	cr_assert_eq(ct_session_regs(s, list[0].tid, &regs, &err), 0);
	cr_assert_eq(ct_session_read(s, list[0].pid, regs.r[CT_RIP], &byte, 1, &err), 0);
	cr_assert_eq(ct_session_read(s, list[0].pid, 8, &byte, 1, &err), -1);
	cr_assert(strstr(err.msg, "no memory at 0x8"), "%s", err.msg);
	cr_assert_eq(ct_session_regs(s, 1, &regs, &err), -1);
	cr_assert_eq(ct_session_read(s, 1, 8, &byte, 1, &err), -1);
	free(list);
	run_to_end_and_compare(s);
	ct_session_destroy(s);
}

Test(session, steps_do_not_change_the_way)
{
	struct ct_session *s = create();
	struct ct_session_stats stats;
	struct ct_session_thread *list;
	struct ct_regs at[3], now;
	size_t n;

	for (int i = 0; i < 3000; i++)
		cr_assert_eq(ct_session_step(s, &err), 0, "%s", err.msg);
	ct_session_stats(s, &stats);
	cr_assert_gt(stats.events, 1);
	cr_assert_lt(stats.events, 1500);
	run_to_end_and_compare(s);
	ct_session_destroy(s);

	/* A place seen by steps is found again by running to it. */
	s = create();
	run(s, middle());
	cr_assert_eq(ct_session_threads(s, &list, &n, &err), 0);
	while (ct_session_step(s, &err) == 0) {
		ct_session_regs(s, list[0].tid, &at[0], &err);
		ct_session_stats(s, &stats);
		if (stats.events > st.list[0].events / 2 + 2)
			break;
	}
	for (int i = 0; i < 20; i++)
		cr_assert_eq(ct_session_step(s, &err), 0, "%s", err.msg);
	ct_session_regs(s, list[0].tid, &at[1], &err);
	ct_session_stats(s, &stats);
	ct_session_destroy(s);
	s = create();
	run(s, st.list[0].begin + stats.events);
	cr_assert_eq(ct_session_run_to(s, &at[1], &err), 0, "%s", err.msg);
	ct_session_regs(s, list[0].tid, &now, &err);
	cr_assert_eq(now.r[CT_RIP], at[1].r[CT_RIP]);
	cr_assert_eq(now.r[CT_RSP], at[1].r[CT_RSP]);
	free(list);
	run_to_end_and_compare(s);
	ct_session_destroy(s);
}

Test(session, altered_memory_diverges_with_a_report)
{
	struct ct_session *s = create();
	struct ct_session_thread *list;
	const ct_u64 other = 12345;
	struct ct_report *r;
	bool here = false;
	size_t n;

	run(s, middle());
	cr_assert_eq(ct_session_threads(s, &list, &n, &err), 0);
	cr_assert_eq(ct_session_write(s, list[0].pid, 0x7e0000000000, &other, 8, &err), 0, "%s", err.msg);
	cr_assert_eq(ct_session_run(s, st.list[0].end, &err), -1);
	cr_assert_eq(err.status, CT_EXIT_DIVERGED);
	cr_assert(strstr(err.msg, "passes other data"), "%s", err.msg);
	r = ct_session_report(s);
	cr_assert(r);
	cr_assert_eq(r->tid, list[0].tid);
	cr_assert_eq(r->ev->type, CT_EV_SYSCALL);
	cr_assert_geq(r->ev->seq, middle());
	cr_assert(strstr(r->what, "passes other data"), "%s", r->what);
	cr_assert(strstr(r->call, "write("), "%s", r->call);
	cr_assert(r->has_got);
	cr_assert_eq(r->different, 0, "only memory differs, not %#x", r->different);
	cr_assert(strstr(r->place, "write"), "%s", r->place);
	for (size_t i = 0; i < r->ninsns; i++)
		if (r->insn[i].here) {
			here = true;
			cr_assert_gt(i, 0);
			cr_assert_str_eq(r->insn[i - 1].text, "syscall"); /* it stands behind it */
		}
	cr_assert(here);
	cr_assert_eq(r->nthreads, 1);
	cr_assert_eq(r->thread[0].count, CT_REPORT_EVENTS);
	cr_assert_eq(r->thread[0].event[CT_REPORT_EVENTS - 1]->seq, r->ev->seq - 1);
	cr_assert_geq(r->nadvice, 1);
	ct_report_free(r);
	free(list);
	ct_session_destroy(s);
}

Test(session, altered_register_is_marked)
{
	struct ct_session *s = create();
	struct ct_session_thread *list;
	const struct ct_event *ev;
	struct ct_regs regs;
	struct ct_report *r;
	size_t n;

	/* Right behind a call the number of the next one is not yet loaded: the stack pointer is what counts. */
	run(s, middle());
	cr_assert_eq(ct_session_next(s, &ev, &err), 1);
	cr_assert_eq(ct_session_threads(s, &list, &n, &err), 0);
	cr_assert_eq(ct_session_regs(s, list[0].tid, &regs, &err), 0);
	regs.r[CT_R12] ^= 0x10;
	cr_assert_eq(ct_session_set_regs(s, list[0].tid, &regs, &err), 0, "%s", err.msg);
	cr_assert_eq(ct_session_run(s, st.list[0].end, &err), -1);
	cr_assert_eq(err.status, CT_EXIT_DIVERGED);
	r = ct_session_report(s);
	cr_assert(r && r->ev && r->what[0]);
	ct_report_free(r);
	free(list);
	ct_session_destroy(s);
}

static void go_back_and_forth(void)
{
	struct ct_session *s = create();
	struct ct_checkpoint *early = ct_session_checkpoint(s, &err), *later;
	struct ct_session_thread *list;
	const ct_u64 other = 1;
	ct_u64 then;
	size_t n;

	cr_assert(early, "%s", err.msg);
	run(s, middle());
	then = turns(s);
	later = ct_session_checkpoint(s, &err);
	cr_assert(later, "%s", err.msg);
	run_to_end_and_compare(s);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(ct_session_restore(s, later, &err), 0, "%s", err.msg);
		cr_assert_eq(turns(s), then);
		run_to_end_and_compare(s);
	}
	/* What is done to the session is not done to its checkpoints. */
	cr_assert_eq(ct_session_restore(s, early, &err), 0, "%s", err.msg);
	cr_assert_lt(turns(s), then);
	cr_assert_eq(ct_session_threads(s, &list, &n, &err), 0);
	cr_assert_eq(ct_session_write(s, list[0].pid, 0x7e0000000000, &other, 8, &err), 0);
	cr_assert_eq(ct_session_run(s, st.list[0].end, &err), -1);
	cr_assert_eq(err.status, CT_EXIT_DIVERGED);
	free(list);
	cr_assert_eq(ct_session_restore(s, early, &err), 0, "%s", err.msg);
	for (int i = 0; i < 200; i++)
		cr_assert_eq(ct_session_step(s, &err), 0, "%s", err.msg);
	ct_checkpoint_destroy(early);
	run_to_end_and_compare(s);
	cr_assert_eq(ct_session_restore(s, later, &err), 0, "%s", err.msg);
	cr_assert_eq(turns(s), then);
	ct_session_destroy(s);
	ct_checkpoint_destroy(later);
	/* Nothing of all this is left: neither running nor waiting to be reaped. */
	cr_assert_eq(waitpid(-1, NULL, __WALL | WNOHANG), -1);
	cr_assert_eq(errno, ECHILD);
}

Test(session, checkpoints)
{
	go_back_and_forth();
}

Test(session_threads, checkpoints)
{
	go_back_and_forth();
}

/* The second event of a child that was made behind the middle: by vfork, or by fork. */
static ct_u64 within_child(bool shares_memory)
{
	struct ct_cursor *cur = ct_cursor_create(rec, &err);
	const struct ct_event *ev;
	ct_u64 seq = 0;
	ct_u32 child = 0;
	int events = 0;

	cr_assert(cur, "%s", err.msg);
	ct_cursor_seek_seq(cur, middle(), &err);
	while (!seq && ct_cursor_next(cur, &ev, &err) > 0) {
		const struct ct_ev_fork *f = ct_event_payload(ev);

		if (child && ev->pid == child && ++events == 2)
			seq = ev->seq;
		if (!child && ev->type == CT_EV_FORK && !(f->flags & CT_FORKF_SHARES_MM) == !shares_memory)
			child = f->child_pid;
	}
	ct_cursor_destroy(cur);
	cr_assert_neq(seq, 0, "the log has no such child");
	return seq;
}

Test(session_children, checkpoints_in_the_middle_of_their_lives)
{
	for (int shares_memory = 0; shares_memory < 2; shares_memory++) {
		struct ct_session *s = create();
		struct ct_checkpoint *cp;
		struct ct_session_thread *list;
		size_t n;

		run(s, within_child(shares_memory));
		cr_assert_eq(ct_session_threads(s, &list, &n, &err), 0);
		cr_assert_eq(n, 2);
		free(list);
		cp = ct_session_checkpoint(s, &err);
		cr_assert(cp, "%s", err.msg);
		run_to_end_and_compare(s);
		for (int i = 0; i < 2; i++) {
			cr_assert_eq(ct_session_restore(s, cp, &err), 0, "%s", err.msg);
			run_to_end_and_compare(s);
		}
		ct_checkpoint_destroy(cp);
		ct_session_destroy(s);
	}
}
