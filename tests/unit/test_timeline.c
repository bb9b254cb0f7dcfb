/* SPDX-License-Identifier: MIT
 * Timelines: the same moment looks the same however one comes to it, and stops are the same in both directions.
 *
 * CTBPF_TEST_MOVES sets how many random moves are made. Each test records a child for a moment (needs: root). */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <xxhash.h>

#include "recording_helpers.h"
#include "replay/timeline.h"
#include "tests/unit/replay_helpers.h"

#define STATE ((struct state *)0x7e0000000000)

static char *dir;
static struct ct_recording *rec;
static struct ct_timeline *tl;
static struct ct_error err;

/* ---- the recorded program ----------------------------------------------------------------------------------- */

struct state {
	ct_u64 sum, turns, alarms, table[64];
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static __attribute__((noinline)) ct_u64 compute(ct_u64 seed)
{
	for (int i = 0; i < 64; i++) {
		STATE->table[i] ^= seed + (ct_u64)i;
		seed = seed * 6364136223846793005u + STATE->table[i];
	}
	return seed;
}

static void on_alarm(int sig)
{
	(void)sig;
	STATE->alarms++;
}

static void *turn_for_ever(void *arg)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	for (;;) {
		struct timespec now;
		ct_u64 result;

		clock_gettime(CLOCK_REALTIME, &now);
		pthread_mutex_lock(&lock);
		result = compute((ct_u64)now.tv_nsec + (ct_u64)(uintptr_t)arg);
		STATE->sum += result;
		STATE->turns++;
		pthread_mutex_unlock(&lock);
		if (write(null, &result, sizeof(result)) != sizeof(result))
			_exit(1);
		for (volatile int i = 0; i < 3000; i++) /* somewhere to be preempted and interrupted in */
			;
		usleep(400);
	}
	return NULL;
}

static void run_target(int threads, int ready)
{
	const struct itimerval every = {{0, 1700}, {0, 1700}};

	mmap(STATE, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	signal(SIGALRM, on_alarm);
	for (int i = 1; i < threads; i++) {
		pthread_t id;

		pthread_create(&id, NULL, turn_for_ever, (void *)(uintptr_t)i);
	}
	setitimer(ITIMER_REAL, &every, NULL);
	must(write(ready, "", 1) == 1, "write");
	turn_for_ever(NULL);
}

static void record_and_open(void)
{
	char path[600], c;
	int ready[2];
	pid_t pid;

	dir = scratch_dir();
	snprintf(path, sizeof(path), "%s/r.ctr", dir);
	must(pipe(ready) == 0, "pipe");
	pid = fork();
	if (!pid)
		run_target(2, ready[1]);
	must(read(ready[0], &c, 1) == 1, "the target does not start");
	record_child(pid, path, 0.15);
	rec = ct_recording_open(path, &err);
	cr_assert(rec, "%s", err.msg);
	tl = ct_timeline_create(rec, NULL, &err);
	cr_assert(tl, "%s", err.msg);
}

static void clean_up(void)
{
	if (!dir)
		return;
	ct_timeline_destroy(tl);
	ct_recording_close(rec);
	scratch_remove(dir);
}

TestSuite(timeline, .init = record_and_open, .fini = clean_up, .timeout = 300);

/* ---- looking ------------------------------------------------------------------------------------------------ */

/* Of all registers, the program's data, and the top of each stack. */
static ct_u64 digest(void)
{
	struct ct_session *s = ct_timeline_session(tl);
	XXH3_state_t *h = XXH3_createState();
	struct ct_session_thread *list;
	ct_u64 all = 0;
	size_t n;

	cr_assert_eq(ct_session_threads(s, &list, &n, &err), 0, "%s", err.msg);
	for (size_t i = 0; i < n; i++) {
		unsigned char xsave[16384], memory[4096];
		struct ct_regs r;

		cr_assert_eq(ct_session_regs(s, list[i].tid, &r, &err), 0, "%s", err.msg);
		r.r[CT_ORIG_RAX] = 0;
		r.r[CT_RFLAGS] &= 0xcd5;
		XXH3_64bits_reset(h);
		XXH3_64bits_update(h, &list[i].tid, sizeof(list[i].tid));
		XXH3_64bits_update(h, &r, sizeof(r));
		cr_assert_gt(ct_session_xsave(s, list[i].tid, xsave, &err), 576);
		XXH3_64bits_update(h, xsave + 160, 256);
		cr_assert_eq(ct_session_read(s, list[i].pid, (ct_u64)(uintptr_t)STATE, memory, 4096, &err), 0);
		XXH3_64bits_update(h, memory, 4096);
		cr_assert_eq(ct_session_read(s, list[i].pid, r.r[CT_RSP], memory, 256, &err), 0);
		XXH3_64bits_update(h, memory, 256);
		all += XXH3_64bits_digest(h);
	}
	free(list);
	XXH3_freeState(h);
	return all;
}

static struct ct_moment now(void)
{
	struct ct_moment m;

	cr_assert_eq(ct_timeline_now(tl, &m, &err), 0, "%s", err.msg);
	return m;
}

static struct ct_stopped run(bool back)
{
	struct ct_stopped st;

	cr_assert_eq(ct_timeline_run(tl, back, &st, &err), 0, "%s", err.msg);
	return st;
}

static struct ct_stopped step(bool back)
{
	struct ct_stopped st;

	cr_assert_eq(ct_timeline_step(tl, ct_session_current(ct_timeline_session(tl)), back, &st, &err), 0, "%s",
		     err.msg);
	return st;
}

static void go(const struct ct_moment *m)
{
	cr_assert_eq(ct_timeline_seek(tl, m, &err), 0, "%s", err.msg);
}

static void go_text(const char *text)
{
	cr_assert_eq(ct_timeline_seek_text(tl, text, &err), 0, "%s", err.msg);
}

static void stop_at(enum ct_stop_kind kind, const void *addr)
{
	const struct ct_stop stop = {kind, (ct_u64)(uintptr_t)addr, kind == CT_STOP_EXEC ? 1 : 8};

	cr_assert_eq(ct_timeline_set_stops(tl, &stop, 1, &err), 0, "%s", err.msg);
}

/* ---- tests -------------------------------------------------------------------------------------------------- */

struct seen {
	struct ct_moment at;
	ct_u64 digest;
};

Test(timeline, random_moves)
{
	const char *text = getenv("CTBPF_TEST_MOVES");
	const unsigned moves = text ? (unsigned)atoi(text) : 200;
	struct seen *seen = calloc(moves + 1, sizeof(*seen));
	unsigned n = 0, again = 0;
	ct_u64 begin, end, random = 42;

	ct_timeline_range(tl, &begin, &end);
	stop_at(CT_STOP_EXEC, compute);
	ct_timeline_catch(tl, 1ull << (SIGALRM - 1), false, false);
	for (unsigned i = 0; i < moves; i++) {
		struct ct_moment m;
		ct_u64 d;
		unsigned k;

		random = random * 6364136223846793005u + 1442695040888963407u;
		k = (unsigned)(random >> 33);
		switch (k % 8) {
		case 0: run(false); break;
		case 1: run(true); break;
		case 2:
			m = (struct ct_moment){.next = begin + (k >> 3) % (end - begin)};
			go(&m);
			break;
		case 3:
		case 4:
			if (n)
				go(&seen[(k >> 3) % n].at);
			break;
		case 5:
		case 6:
			for (unsigned steps = (k >> 3) % 20 + 1; steps; steps--)
				step(false);
			break;
		case 7:
			for (unsigned steps = (k >> 3) % 5 + 1; steps; steps--)
				step(true);
			break;
		}
		m = now();
		d = digest();
		for (unsigned j = 0; j < n; j++)
			if (ct_moment_same(&seen[j].at, &m)) {
				again++;
				cr_assert_eq(seen[j].digest, d, "move %u (%u), e:%llu %#llx: not as in move %u", i,
					     k % 8, (unsigned long long)m.next, (unsigned long long)m.regs.r[CT_RIP],
					     j);
			}
		seen[n++] = (struct seen){m, d};
	}
	cr_assert_gt(again, moves / 8);
	free(seen);
}

Test(timeline, breakpoints_both_ways)
{
	struct ct_moment *hits = calloc(4096, sizeof(*hits));
	unsigned n = 0, back = 0;

	stop_at(CT_STOP_EXEC, compute);
	while (n < 4096 && run(false).why == CT_ARRIVED_BREAK)
		hits[n++] = now();
	cr_assert_gt(n, 50);
	for (unsigned i = n; i-- > 0 && back < 40; back++) {
		struct ct_moment m;

		cr_assert_eq(run(true).why, CT_ARRIVED_BREAK, "hit %u of %u backwards", i, n);
		m = now();
		cr_assert(ct_moment_same(&m, &hits[i]), "hit %u of %u is e:%llu forwards, e:%llu backwards", i, n,
			  (unsigned long long)hits[i].next, (unsigned long long)m.next);
	}
	go(&hits[20]);
	for (unsigned i = 20; i-- > 0;)
		cr_assert_eq(run(true).why, CT_ARRIVED_BREAK);
	cr_assert_eq(run(true).why, CT_ARRIVED_BEGIN);
	for (unsigned i = 0; i < 30; i++) {
		struct ct_moment m;

		cr_assert_eq(run(false).why, CT_ARRIVED_BREAK);
		m = now();
		cr_assert(ct_moment_same(&m, &hits[i]), "hit %u the second time", i);
	}
	free(hits);
}

/* What is stopped at by event is found again wherever a search backwards is split up. */
Test(timeline, signals_both_ways)
{
	struct ct_moment *hits = calloc(4096, sizeof(*hits)), m;
	unsigned n = 0;

	ct_timeline_catch(tl, 1ull << (SIGALRM - 1), false, false);
	while (n < 4096 && run(false).why == CT_ARRIVED_SIGNAL)
		hits[n++] = now();
	cr_assert_gt(n, 10);
	m = now();
	for (unsigned i = n - ct_moment_same(&m, &hits[n - 1]); i-- > 0;) {
		cr_assert_eq(run(true).why, CT_ARRIVED_SIGNAL, "signal %u of %u backwards", i, n);
		m = now();
		cr_assert(ct_moment_same(&m, &hits[i]), "signal %u of %u is e:%llu forwards, e:%llu backwards", i, n,
			  (unsigned long long)hits[i].next, (unsigned long long)m.next);
	}
	cr_assert_eq(run(true).why, CT_ARRIVED_BEGIN);
	free(hits);
}

/* Many hits between two events that are looked through in halves. */
Test(timeline, the_last_of_many)
{
	struct ct_moment last, m;
	struct ct_stopped st;

	stop_at(CT_STOP_EXEC, compute);
	while (run(false).why != CT_ARRIVED_END)
		last = now();
	ct_timeline_set_stops(tl, NULL, 0, NULL);
	go_text("end");
	stop_at(CT_STOP_WRITE, &STATE->table[63]);
	st = run(true);
	cr_assert_eq(st.why, CT_ARRIVED_WATCH);
	m = now();
	cr_assert(m.next >= last.next, "a write before e:%llu, behind e:%llu it was called last",
		  (unsigned long long)m.next, (unsigned long long)last.next);
}

static ct_u64 number_of(void *ctx, const struct ct_stopped *what)
{
	(void)what;
	return ++*(ct_u64 *)ctx;
}

static bool wanted(void *ctx, const struct ct_stopped *what, ct_u64 number)
{
	ct_u64 *back = ctx;

	(void)what, (void)number;
	return !--*back;
}

/* The last but 40 is not come to by way of the 39 after it. */
Test(timeline, a_stop_by_its_number)
{
	ct_u64 count = 0, back = 40;
	const struct ct_choice counting = {number_of, NULL, &count}, choosing = {NULL, wanted, &back};
	struct ct_timeline_stats before, after;
	static struct ct_moment list[2000];
	struct ct_moment end, m;
	ct_u64 n = 0;

	stop_at(CT_STOP_EXEC, compute);
	while (run(false).why != CT_ARRIVED_END)
		list[n++ % 2000] = now();
	cr_assert(n > 40 && n <= 2000);
	end = now();
	m = (struct ct_moment){0};
	ct_timeline_range(tl, &m.next, &(ct_u64){0});
	go(&m);
	ct_timeline_set_choice(tl, &counting);
	cr_assert_eq(ct_timeline_visit(tl, &end, &err), 0, "%s", err.msg);
	cr_assert_eq(count, n);
	go(&end);
	ct_timeline_set_choice(tl, &choosing);
	ct_timeline_stats(tl, &before);
	cr_assert_eq(run(true).why, CT_ARRIVED_BREAK);
	ct_timeline_stats(tl, &after);
	ct_timeline_set_choice(tl, NULL);
	m = now();
	cr_assert(ct_moment_same(&m, &list[n - 40]));
	cr_assert_lt(after.restores - before.restores, 20);
}

/* A stop of one thread's does not hold up the other one. */
Test(timeline, breakpoints_of_one_thread)
{
	struct ct_stop stop = {CT_STOP_EXEC, (ct_u64)(uintptr_t)compute, 1};
	struct ct_session_thread *list;
	unsigned all = 0, by[2] = {0}, other = 0;
	size_t n;

	cr_assert_eq(ct_session_threads(ct_timeline_session(tl), &list, &n, &err), 0);
	cr_assert_eq(n, 2);
	cr_assert_eq(ct_timeline_set_stops(tl, &stop, 1, &err), 0);
	for (struct ct_stopped st; (st = run(false)).why == CT_ARRIVED_BREAK; all++)
		by[st.tid == list[1].tid]++;
	cr_assert_gt(by[0], 0);
	cr_assert_gt(by[1], 0);
	stop.kind = CT_STOP_EXEC_BY;
	stop.len = list[1].tid;
	go_text("start");
	cr_assert_eq(ct_timeline_set_stops(tl, &stop, 1, &err), 0);
	for (struct ct_stopped st; (st = run(false)).why == CT_ARRIVED_BREAK; other++)
		cr_assert_eq(st.tid, list[1].tid);
	cr_assert_eq(other, by[1]);
	free(list);
}

Test(timeline, watchpoints_both_ways)
{
	ct_u64 before[30];
	unsigned n = 0;

	stop_at(CT_STOP_WRITE, &STATE->turns);
	for (; n < 30 && run(false).why == CT_ARRIVED_WATCH; n++) {
		cr_assert_eq(ct_session_read(ct_timeline_session(tl), ct_timeline_pid(tl),
					     (ct_u64)(uintptr_t)&STATE->turns, &before[n], 8, &err),
			     0);
		if (n)
			cr_assert_eq(before[n], before[n - 1] + 1);
	}
	cr_assert_gt(n, 3);
	if (n < 30)
		go_text("end");
	/* Going back over a write shows what was there before. */
	for (unsigned i = n; i-- > (n > 10 ? n - 10 : 1);) {
		ct_u64 value;

		cr_assert_eq(run(true).why, CT_ARRIVED_WATCH);
		cr_assert_eq(ct_session_read(ct_timeline_session(tl), ct_timeline_pid(tl),
					     (ct_u64)(uintptr_t)&STATE->turns, &value, 8, &err),
			     0);
		cr_assert_eq(value, before[i] - 1, "before write %u", i);
	}
}

Test(timeline, steps_are_undone)
{
	struct seen trail[120];
	unsigned n;

	stop_at(CT_STOP_EXEC, compute);
	for (int i = 0; i < 5; i++)
		run(false);
	ct_timeline_set_stops(tl, NULL, 0, NULL);
	for (n = 0; n < 120; n++) {
		trail[n] = (struct seen){now(), digest()};
		cr_assert_eq(step(false).why, CT_ARRIVED_STEP);
	}
	while (n-- > 0) {
		struct ct_moment m;

		cr_assert_eq(step(true).why, CT_ARRIVED_STEP);
		m = now();
		cr_assert_eq(m.regs.r[CT_RIP], trail[n].at.regs.r[CT_RIP], "step %u", n);
		cr_assert_eq(digest(), trail[n].digest, "step %u", n);
	}
}

Test(timeline, texts_name_moments)
{
	static const char *const wrong[] = {"e:1@zzz",         "e:20@",       "e:@0x10",
					    "e:20@0x10#",      "e:20@0x10#0", "@",
					    "e:20@0x10#x",     "e:20@0x10,",  "e:20@0x10,rip",
					    "e:20@0x10,rax=",  "e:-1@4",      "t:1@0x10",
					    "e:20@0x10,rax=1,"};
	char text[CT_MOMENT_TEXT], again[CT_MOMENT_TEXT];
	struct ct_moment there, m;

	go_text("end");
	go_text("start");
	stop_at(CT_STOP_EXEC, compute);
	for (int i = 0; i < 7; i++)
		run(false);
	ct_timeline_set_stops(tl, NULL, 0, NULL);
	for (int i = 0; i < 30; i++)
		step(false);
	there = now();
	cr_assert_eq(ct_timeline_now_text(tl, text, &err), 0, "%s", err.msg);
	m = now();
	cr_assert(ct_moment_same(&m, &there));
	go_text("start");
	go_text(text);
	cr_assert_eq(now().regs.r[CT_RIP], there.regs.r[CT_RIP]);
	cr_assert_eq(ct_timeline_now_text(tl, again, &err), 0, "%s", err.msg);
	cr_assert_str_eq(again, text);
	/* The same by a register, and places that there are not. */
	snprintf(text, sizeof(text), "e:%llu@%#llx,rsp=%#llx,rdi=%#llx", (unsigned long long)there.next,
		 (unsigned long long)there.regs.r[CT_RIP], (unsigned long long)there.regs.r[CT_RSP],
		 (unsigned long long)there.regs.r[CT_RDI]);
	go_text(text);
	m = now();
	cr_assert(m.regs.r[CT_RIP] == there.regs.r[CT_RIP] && m.regs.r[CT_RSP] == there.regs.r[CT_RSP]);
	cr_assert_eq(m.next, there.next);
	snprintf(text, sizeof(text), "e:%llu@%#llx,rsp=0x7", (unsigned long long)there.next,
		 (unsigned long long)there.regs.r[CT_RIP]);
	cr_assert_eq(ct_timeline_seek_text(tl, text, &err), -1);
	cr_assert(strstr(err.msg, "with these registers"), "%s", err.msg);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		cr_assert_eq(ct_timeline_seek_text(tl, wrong[i], &err), -1, "%s", wrong[i]);
	cr_assert_eq(ct_timeline_seek_text(tl, "e:99999999", &err), -1);
	go_text("e:20");
	cr_assert_eq(now().next, 20);
}

Test(timeline, diversions_leave_no_trace)
{
	const ct_u64 value = 4711;
	struct ct_moment m, there;
	ct_u64 d;

	stop_at(CT_STOP_EXEC, compute);
	run(false);
	run(false);
	there = now();
	d = digest();
	cr_assert_eq(ct_timeline_write(tl, (ct_u64)(uintptr_t)&STATE->sum, &value, 8, &err), 0, "%s", err.msg);
	cr_assert(ct_timeline_diverted(tl));
	cr_assert_neq(digest(), d);
	cr_assert_eq(ct_timeline_undivert(tl, &err), 0, "%s", err.msg);
	m = now();
	cr_assert(ct_moment_same(&m, &there));
	cr_assert_eq(digest(), d);
	cr_assert_eq(run(false).why, CT_ARRIVED_BREAK);
}

/* How many checkpoints there are after one has been asked for at each of 40 events. */
static size_t checkpoints_of_forty(ct_u64 memory)
{
	const struct ct_timeline_opts opts = {.memory = memory};
	struct ct_timeline_stats stats;
	ct_u64 begin, end;

	ct_timeline_destroy(tl);
	tl = ct_timeline_create(rec, &opts, &err);
	cr_assert(tl, "%s", err.msg);
	ct_timeline_range(tl, &begin, &end);
	cr_assert_gt(end - begin, 400);
	for (ct_u64 i = 1; i <= 40; i++) {
		const struct ct_moment m = {.next = begin + 10 * i};

		cr_assert_eq(ct_timeline_seek(tl, &m, &err), 0, "%s", err.msg);
		cr_assert_eq(ct_timeline_mark(tl, &err), 0, "%s", err.msg);
	}
	ct_timeline_stats(tl, &stats);
	return stats.checkpoints;
}

Test(timeline, checkpoints_keep_to_their_memory)
{
	cr_assert_gt(checkpoints_of_forty(0), 30);
	cr_assert_lt(checkpoints_of_forty(4096), 13);
}
