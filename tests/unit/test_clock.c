/* SPDX-License-Identifier: MIT
 * The clocks that count: choosing one, counting by steps, finding positions by ticks alone.
 *
 * No counter is needed: a recording made without one is replayed once by single-stepping, and what was counted at each
 * position is written into a copy of it, as a counter would have done (needs: root). */
#include <criterion/criterion.h>
#include <cpuid.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "recording_helpers.h"
#include "tests/unit/replay_helpers.h"
#include "replay/clock.h"
#include "replay/pmu.h"
#include "replay/session.h"
#include "replay/stretch.h"
#include "user/recorder.h"
#include "user/verify.h"

static struct ct_error err;

/* ---- what needs no process ---------------------------------------------------------------------------------- */

Test(clock, stops_short_of_the_target_by_the_skid)
{
	cr_assert_eq(ct_clock_stop_before(0, 1000, 100), 900);
	cr_assert_eq(ct_clock_stop_before(899, 1000, 100), 900);
	cr_assert_eq(ct_clock_stop_before(900, 1000, 100), 0);
	cr_assert_eq(ct_clock_stop_before(0, 100, 100), 0);
	cr_assert_eq(ct_clock_stop_before(0, 101, 100), 1);
	cr_assert_eq(ct_clock_stop_before(7, 8, 0), 8);
	cr_assert_eq(ct_clock_stop_before(8, 8, 0), 0);
	cr_assert_eq(ct_clock_stop_before(9, 8, 0), 0);
	cr_assert_eq(ct_clock_stop_before(0, UINT64_MAX, 10000), UINT64_MAX - 10000);
}

Test(clock, table_of_cpu_models)
{
	static const struct {
		enum ct_pmu_vendor vendor;
		int family, model;
		ct_u64 event;
		unsigned skid;
	} known[] = {
		{CT_PMU_INTEL, 6, 0x1a, 0x01c4, 100},    /* Nehalem */
		{CT_PMU_INTEL, 6, 0x2a, 0x01c4, 100},    /* Sandy Bridge */
		{CT_PMU_INTEL, 6, 0x3c, 0x01c4, 100},    /* Haswell */
		{CT_PMU_INTEL, 6, 0x55, 0x01c4, 100},    /* Skylake-SP */
		{CT_PMU_INTEL, 6, 0xa5, 0x01c4, 100},    /* Comet Lake */
		{CT_PMU_INTEL, 6, 0x6a, 0x11c4, 100},    /* Ice Lake-SP */
		{CT_PMU_INTEL, 6, 0x8f, 0x11c4, 125},    /* Sapphire Rapids */
		{CT_PMU_INTEL, 6, 0xcf, 0x11c4, 125},    /* Emerald Rapids */
		{CT_PMU_INTEL, 6, 0xad, 0x11c4, 125},    /* Granite Rapids */
		{CT_PMU_AMD, 0x17, 0x31, 0x00d1, 10000}, /* Zen 2 */
		{CT_PMU_AMD, 0x19, 0x01, 0x00d1, 10000}, /* Zen 3 */
		{CT_PMU_AMD, 0x1a, 0x02, 0x00d1, 10000}, /* Zen 5 */
	};
	const struct ct_pmu_model *m;

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		m = ct_pmu_find(known[i].vendor, known[i].family, known[i].model);
		cr_assert_eq(m->event, known[i].event, "model %#x", known[i].model);
		cr_assert_eq(m->skid, known[i].skid, "model %#x", known[i].model);
		cr_assert(m->conditional);
	}
	m = ct_pmu_find(CT_PMU_AMD, 0x15, 2);
	cr_assert_not(m->conditional, "before Zen no event counts conditional branches exactly");
	cr_assert_eq(m, ct_pmu_find(CT_PMU_INTEL, 6, 0x0f));
	cr_assert_eq(m, ct_pmu_find(CT_PMU_OTHER, 7, 0));
	cr_assert_not_null(ct_pmu_model());
}

Test(clock, counter_that_is_not_there_has_a_cause)
{
	if (!ct_pmu_check(&err))
		cr_skip_test("this machine has a counter of branches");
	cr_assert_neq(err.msg[0], 0);
	cr_assert_lt(ct_pmu_open(0), 0);
}

Test(clock, instructions_that_matter_to_steps)
{
	static const struct {
		unsigned char code[6];
		enum ct_step_kind kind;
	} known[] = {
		{{0x74, 0x05}, CT_STEP_BRANCH},             /* je */
		{{0x0f, 0x84, 1, 2, 3, 4}, CT_STEP_BRANCH}, /* je, long */
		{{0x2e, 0x0f, 0x8f}, CT_STEP_BRANCH},       /* jg with a hint */
		{{0xf2, 0x75, 0xfe}, CT_STEP_BRANCH},       /* bnd jne */
		{{0xe2, 0xfe}, CT_STEP_BRANCH},             /* loop */
		{{0xe3, 0x00}, CT_STEP_BRANCH},             /* jrcxz */
		{{0x67, 0xe3, 0x00}, CT_STEP_BRANCH},       /* jecxz */
		{{0xeb, 0x74}, CT_STEP_PLAIN},              /* jmp */
		{{0xe8, 0x74}, CT_STEP_PLAIN},              /* call */
		{{0xc3}, CT_STEP_PLAIN},                    /* ret */
		{{0x0f, 0x94, 0xc0}, CT_STEP_PLAIN},        /* sete */
		{{0x0f, 0x44, 0xc1}, CT_STEP_PLAIN},        /* cmove */
		{{0xb8, 0x74, 0x74}, CT_STEP_PLAIN},        /* mov */
		{{0xc5, 0x74, 0x58}, CT_STEP_PLAIN},        /* vaddps */
		{{0xf3, 0xa4}, CT_STEP_PLAIN},              /* rep movsb */
		{{0x0f, 0x05}, CT_STEP_CALL},               /* syscall */
		{{0xcd, 0x80}, CT_STEP_CALL},               /* int $0x80 */
		{{0x9c}, CT_STEP_PUSHF},
		{{0x66, 0x9c}, CT_STEP_PUSHF},
		{{0xcc}, CT_STEP_TRAP},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		cr_assert_eq(ct_step_kind(known[i].code, 6), known[i].kind, "number %zu", i);
	cr_assert_eq(ct_step_kind((const unsigned char[]){0x0f}, 1), CT_STEP_PLAIN);
	cr_assert_eq(ct_step_kind(NULL, 0), CT_STEP_PLAIN);
	cr_assert(ct_clock_known("auto") && ct_clock_known("pmu") && ct_clock_known("step"));
	cr_assert_not(ct_clock_known("sundial"));
}

/* ---- a recorded program ------------------------------------------------------------------------------------- */

#define MOST 1000

static char *dir;
static struct ct_recording *rec;
static struct ct_stretches st;
static volatile sig_atomic_t rung;
static volatile unsigned long log_of[64];
static unsigned alarms;

static void on_alarm(int sig)
{
	(void)sig;
	log_of[alarms++ % 64] += (unsigned long)rung;
	rung = 1;
}

#define MARK    424242ull    /* passed to a call on both sides of the measured instructions */
#define BETWEEN 100 + 11 + 3 /* conditional branches there: of the loop, of `loop`, of those that are never taken */

static void be_measured(void)
{
	__asm__ volatile("mov %0, %%edi\n\tmov %1, %%eax\n\tsyscall\n\t"
			 "mov $100, %%edx\n"
			 "1:\tdec %%edx\n\tjnz 1b\n\t"
			 "mov $11, %%ecx\n"
			 "1:\tloop 1b\n\t"
			 "test %%eax, %%eax\n\tjo 2f\n\tinc %%ecx\n\tjrcxz 2f\n\t.byte 0x0f, 0x80\n\t.long 0\n\t"
			 "jmp 2f\n\tje 2f\n"
			 "2:\tmov %0, %%edi\n\tmov %1, %%eax\n\tsyscall"
			 :
			 : "i"(MARK), "i"(SYS_getpgid)
			 : "rax", "rcx", "rdx", "rdi", "r11", "cc", "memory");
}

/* Bursts of a tight loop of slow instructions that an alarm ends: the fewer there are, the sooner they are stepped.
 * Registers alone do not tell its rounds apart. */
static void be_interrupted(void)
{
	const struct itimerval soon = {.it_value = {.tv_usec = 100}};
	double x = 1, y;

	rung = 0;
	setitimer(ITIMER_REAL, &soon, NULL);
	/* However slow the machine is, the place is some branches away from the last system call. */
	__asm__ volatile("mov $50, %%ecx\n1:\tdec %%ecx\n\tjnz 1b" : : : "rcx", "cc");
	while (!rung)
		__asm__ volatile("fsin\n\tfcos\n\tpushfq\n\tpopq %%rax" : "=t"(y) : "0"(x) : "rax", "cc");
}

/* Threads that take the CPU from each other when they wake up. */
static void *be_preempted(void *arg)
{
	unsigned a, b, c, d;

	for (;;) {
		for (int i = 0; i < 100; i++)
			__cpuid(0, a, b, c, d);
		log_of[(uintptr_t)arg] += a;
		usleep(1000);
	}
	return NULL;
}

static void run_target(int threads, int ready)
{
	signal(SIGALRM, on_alarm);
	must(write(ready, "", 1) == 1, "write");
	for (int i = 1; i < threads; i++) {
		pthread_t id;

		pthread_create(&id, NULL, be_preempted, (void *)(uintptr_t)i);
	}
	if (threads > 1)
		be_preempted(NULL);
	for (;;) {
		be_interrupted();
		be_measured();
		usleep(10000);
	}
}

static void record_threads(int threads)
{
	int ready[2];
	pid_t pid;
	char c;

	if (dir)
		scratch_remove(dir);
	dir = scratch_dir();
	must(pipe(ready) == 0, "pipe");
	pid = fork();
	if (!pid)
		run_target(threads, ready[1]);
	must(read(ready[0], &c, 1) == 1, "the target does not start");
	record_child(pid, below(dir, "rec.ctr"), threads > 1 ? 0.1 : 0.2);
}

static void record(void)
{
	record_threads(1);
}

static void open_it(void)
{
	rec = open_recorded(below(dir, "rec.ctr"), &st);
}

static void close_it(void)
{
	ct_stretches_deinit(&st);
	ct_recording_close(rec);
	rec = NULL;
}

/* A switch that the scheduler did not tell of, which happens on a busy machine, leaves ticks unknown: then another
 * recording is made. */
static void record_three(void)
{
	json_int_t repaired = 1;

	for (int i = 0; i < 20 && repaired; i++) {
		record_threads(3);
		open_it();
		repaired = json_integer_value(
			json_object_get(json_object_get(ct_recording_manifest(rec), "counters"), "repaired_switches"));
		close_it();
	}
	cr_assert_eq(repaired, 0, "no recording without repaired switches");
}

static struct {
	ct_u64 seq, ticks;
} counted[MOST];
static size_t ncounted;

static bool wants_positions(void *ctx, const struct ct_event *ev)
{
	(void)ctx;
	return ct_event_fingerprint(ev);
}

static int take_ticks(void *ctx, struct ct_session *s, const struct ct_event *ev)
{
	(void)ctx;
	cr_assert_lt(ncounted, MOST);
	cr_assert_eq(ct_session_ticks(s, ev->tid, &counted[ncounted].ticks, &err), 0, "%s", err.msg);
	counted[ncounted++].seq = ev->seq;
	return 0;
}

/* Finds each position by its fingerprint, stepping all the way. */
static void count_by_steps(void)
{
	const struct ct_session_opts opts = {.cpu = -1, .clock = &ct_clock_step};
	const struct ct_session_hook hook = {wants_positions, take_ticks, NULL};
	struct ct_session *s = ct_session_create(rec, st.list[0].from, &opts, &err);

	cr_assert(s, "%s", err.msg);
	ct_session_set_hook(s, &hook);
	ncounted = 0;
	cr_assert_eq(ct_session_run(s, st.list[0].end, &err), 0, "%s", err.msg);
	ct_session_destroy(s);
}

/* Writes the log anew, as if these ticks (`off` more at the position number `bad`) had been recorded. */
static void write_ticks(size_t bad, ct_s64 off)
{
	struct ct_cursor *cur = ct_cursor_create(rec, &err);
	json_t *options = json_deep_copy(json_object_get(ct_recording_manifest(rec), "options"));
	struct segment_maker m;
	struct bytes b = {0};
	const struct ct_event *ev;
	size_t at = 0;

	cr_assert(cur, "%s", err.msg);
	cr_assert_eq(ct_recording_segments(rec), 1);
	segment_start(&m, 1, 1, ct_segment_header(ct_recording_segment(rec, 0))->uuid, 1);
	while (ct_cursor_next(cur, &ev, &err) > 0) {
		struct ct_event *copy = bytes_add(&b, NULL, (ev->size + 7) & ~7u);
		struct ct_fingerprint *fp;

		memcpy(copy, ev, ev->size);
		fp = (struct ct_fingerprint *)ct_event_fingerprint(copy);
		if (fp && at < ncounted && counted[at].seq == ev->seq) {
			fp->ticks = counted[at].ticks + (at == bad ? (ct_u64)off : 0);
			fp->flags |= CT_FPF_TICKS;
			at++;
		}
		if (b.len > CT_BLOCK_RAW_MAX / 2)
			segment_block(&m, &b);
	}
	segment_block(&m, &b);
	segment_end(&m, 0);
	ct_cursor_destroy(cur);
	cr_assert_eq(at, ncounted);
	put_segment(dir, 1, &m);
	json_object_set_new(options, "clock", json_string("step"));
	json_object_set_new(options, "ticks", json_string("conditional-branches"));
	set_manifest(ct_recording_dirfd(rec), "options", options);
}

static enum ct_verdict verify_with(const char *clock, const char *used, char *why, size_t len)
{
	const struct ct_verify_opts opts = {.clock = clock, .jobs = 1};
	struct ct_verify_result res;
	enum ct_verdict verdict;

	cr_assert_eq(ct_verify(below(dir, "rec.ctr"), &opts, &res, &err), 0, "%s", err.msg);
	cr_assert_str_eq(json_string_value(json_object_get(res.json, "clock")), used);
	snprintf(why, len, "%s", res.why);
	verdict = res.verdict;
	ct_verify_result_deinit(&res);
	return verdict;
}

static void refused(const char *clock, const char *cause)
{
	const struct ct_verify_opts opts = {.clock = clock, .jobs = 1};
	struct ct_verify_result res;

	cr_assert_eq(ct_verify(below(dir, "rec.ctr"), &opts, &res, &err), -1);
	cr_assert(strstr(err.msg, cause), "%s", err.msg);
	cr_assert(strstr(err.msg, "--clock fingerprint"), "%s", err.msg);
}

static void clean_up(void)
{
	if (dir)
		scratch_remove(dir);
}

TestSuite(clock_live, .init = record, .fini = clean_up, .timeout = 120);

Test(clock_live, positions_are_found_by_ticks_and_by_no_others)
{
	char why[400];

	refused("step", "without a branch counter");
	refused("pmu", "without a branch counter");
	cr_assert_eq(verify_with(NULL, "fingerprint", why, sizeof(why)), CT_VERIFIED, "%s", why);

	open_it();
	count_by_steps();
	cr_assert_geq(ncounted, 3);
	write_ticks(ncounted, 0);
	close_it();
	cr_assert_eq(verify_with("step", "step", why, sizeof(why)), CT_VERIFIED, "%s", why);
	cr_assert_eq(verify_with("fingerprint", "fingerprint", why, sizeof(why)), CT_VERIFIED, "%s", why);
	if (ct_pmu_check(&err)) {
		refused("pmu", "counter");
		cr_assert_eq(verify_with("auto", "fingerprint", why, sizeof(why)), CT_VERIFIED, "%s", why);
	} else {
		cr_assert_eq(verify_with("auto", "pmu", why, sizeof(why)), CT_VERIFIED, "%s", why);
	}

	/* One branch more or less is another moment. */
	for (ct_s64 off = -1; off <= 1; off += 2) {
		open_it();
		write_ticks(ncounted / 2, off);
		close_it();
		cr_assert_eq(verify_with("step", "step", why, sizeof(why)), CT_DIVERGED, "%s", why);
		cr_assert(strstr(why, "tick") || strstr(why, "conditional branches"), "%s", why);
	}
}

Test(clock_live, checkpoints_keep_the_count)
{
	const struct ct_session_opts opts = {.cpu = -1, .clock = &ct_clock_step};
	struct ct_checkpoint *cp;
	struct ct_session *s;
	ct_u64 half, first, again;
	ct_u32 tid = 0;

	open_it();
	s = ct_session_create(rec, st.list[0].from, &opts, &err);
	cr_assert(s, "%s", err.msg);
	half = st.list[0].begin + 2;
	cr_assert_eq(ct_session_run(s, half, &err), 0, "%s", err.msg);
	cp = ct_session_checkpoint(s, &err);
	cr_assert(cp, "%s", err.msg);
	for (int i = 0; i < 2; i++) {
		struct ct_session_thread *list;
		size_t n;

		for (int k = 0; k < 10; k++)
			cr_assert_eq(ct_session_step(s, &err), 0, "%s", err.msg);
		cr_assert_eq(ct_session_run(s, half + 12, &err), 0, "%s", err.msg);
		cr_assert_eq(ct_session_threads(s, &list, &n, &err), 0, "%s", err.msg);
		tid = list[0].tid;
		free(list);
		cr_assert_eq(ct_session_ticks(s, tid, i ? &again : &first, &err), 0, "%s", err.msg);
		cr_assert_eq(ct_session_restore(s, cp, &err), 0, "%s", err.msg);
	}
	cr_assert_gt(first, 0);
	cr_assert_eq(first, again);
	ct_checkpoint_destroy(cp);
	ct_session_destroy(s);
	s = ct_session_create(rec, st.list[0].from, NULL, &err);
	cr_assert(s, "%s", err.msg);
	cr_assert_eq(ct_session_ticks(s, tid, &again, &err), -1);
	cr_assert(strstr(err.msg, "does not know the ticks"), "%s", err.msg);
	ct_session_destroy(s);
	close_it();
}

static ct_u64 mark;
static unsigned marks;

static bool wants_marks(void *ctx, const struct ct_event *ev)
{
	const struct ct_ev_syscall *sc = ct_event_payload(ev);

	(void)ctx;
	return ev->type == CT_EV_SYSCALL && sc->nr == SYS_getpgid && sc->args[0] == MARK;
}

static int at_mark(void *ctx, struct ct_session *s, const struct ct_event *ev)
{
	ct_u64 ticks;

	(void)ctx;
	cr_assert_eq(ct_session_ticks(s, ev->tid, &ticks, &err), 0, "%s", err.msg);
	if (marks++ & 1)
		cr_assert_eq(ticks - mark, BETWEEN, "%llu", (unsigned long long)(ticks - mark));
	mark = ticks;
	return 0;
}

Test(clock_live, every_conditional_branch_counts_once_and_nothing_else)
{
	const struct ct_session_opts opts = {.cpu = -1, .clock = &ct_clock_step};
	const struct ct_session_hook hook = {wants_marks, at_mark, NULL};
	struct ct_session *s;

	open_it();
	s = ct_session_create(rec, st.list[0].from, &opts, &err);
	cr_assert(s, "%s", err.msg);
	ct_session_set_hook(s, &hook);
	cr_assert_eq(ct_session_run(s, st.list[0].end, &err), 0, "%s", err.msg);
	cr_assert_geq(marks, 4);
	ct_session_destroy(s);
	close_it();
}

Test(clock_live, preemptions_are_found_by_ticks, .init = record_three)
{
	char why[400];
	size_t n;

	open_it();
	count_by_steps();
	n = ncounted;
	cr_log_info("%zu preemptions", n);
	write_ticks(ncounted, 0);
	close_it();
	cr_assert_eq(verify_with("step", "step", why, sizeof(why)), CT_VERIFIED, "%s", why);
	if (!n)
		return; /* every switch was at a system call this time */
	open_it();
	write_ticks(n - 1, 1);
	close_it();
	cr_assert_eq(verify_with("step", "step", why, sizeof(why)), CT_DIVERGED, "%s", why);
}

/* A clock whose stops come late, as those of a hardware counter do. */
static ct_u64 late;

static ct_u64 seven(void)
{
	return 7;
}

static int resume_late(struct ct_rthread *t, int request, int *status)
{
	const ct_u64 stop = t->tick_stop;
	int ret;

	t->tick_stop += stop ? late : 0;
	ret = ct_clock_step.resume(t, request, status);
	t->tick_stop = stop;
	return ret;
}

static int run_late(ct_u64 by)
{
	static const struct ct_clock clock = {.name = "late", .counts = true, .skid = seven, .resume = resume_late};
	const struct ct_session_opts opts = {.cpu = -1, .clock = &clock};
	struct ct_session *s = ct_session_create(rec, st.list[0].from, &opts, &err);
	int ret;

	cr_assert(s, "%s", err.msg);
	late = by;
	ret = ct_session_run(s, st.list[0].end, &err);
	if (!ret)
		ret = ct_session_compare(s, st.list[0].to, NULL, &(struct ct_comparison){0}, &err);
	ct_session_destroy(s);
	return ret;
}

Test(clock_live, late_stops_are_made_up_for_within_the_skid_and_refused_beyond)
{
	open_it();
	count_by_steps();
	cr_assert_geq(ncounted, 3);
	write_ticks(ncounted, 0);
	close_it();
	open_it();
	cr_assert_eq(run_late(0), 0, "%s", err.msg);
	cr_assert_eq(run_late(7), 0, "%s", err.msg);
	cr_assert_eq(run_late(8), -1);
	cr_assert_eq(err.status, CT_EXIT_FAILED, "%s", err.msg);
	cr_assert(strstr(err.msg, "more than its skid of 7"), "%s", err.msg);
	close_it();
}
