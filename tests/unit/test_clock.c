/* SPDX-License-Identifier: MIT
 * The clocks that count: choosing one, counting by steps, finding positions by ticks alone.
 *
 * No counter is needed: a recording made without one is replayed once by single-stepping, and what was counted at each
 * position is written into a copy of it, as a counter would have done (needs: root). */
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "recording_helpers.h"
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
		{CT_PMU_INTEL, 6, 0x1a, 0x01c4, 100},     /* Nehalem */
		{CT_PMU_INTEL, 6, 0x2a, 0x01c4, 100},     /* Sandy Bridge */
		{CT_PMU_INTEL, 6, 0x3c, 0x01c4, 100},     /* Haswell */
		{CT_PMU_INTEL, 6, 0x55, 0x01c4, 100},     /* Skylake-SP */
		{CT_PMU_INTEL, 6, 0xa5, 0x01c4, 100},     /* Comet Lake */
		{CT_PMU_INTEL, 6, 0x6a, 0x11c4, 100},     /* Ice Lake-SP */
		{CT_PMU_INTEL, 6, 0x8f, 0x11c4, 125},     /* Sapphire Rapids */
		{CT_PMU_INTEL, 6, 0xcf, 0x11c4, 125},     /* Emerald Rapids */
		{CT_PMU_INTEL, 6, 0xad, 0x11c4, 125},     /* Granite Rapids */
		{CT_PMU_AMD, 0x17, 0x31, 0x00d1, 10000},  /* Zen 2 */
		{CT_PMU_AMD, 0x19, 0x01, 0x00d1, 10000},  /* Zen 3 */
		{CT_PMU_AMD, 0x1a, 0x02, 0x00d1, 10000},  /* Zen 5 */
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

/* Bursts of a tight loop of slow instructions that an alarm ends: the fewer there are, the sooner they are stepped.
 * Registers alone do not tell its rounds apart. */
static void run_target(int ready)
{
	const struct itimerval soon = {.it_value = {.tv_usec = 100}};
	double x = 1, y;

	signal(SIGALRM, on_alarm);
	must(write(ready, "", 1) == 1, "write");
	for (;;) {
		rung = 0;
		setitimer(ITIMER_REAL, &soon, NULL);
		while (!rung)
			__asm__ volatile("fsin\n\tfcos\n\tpushfq\n\tpopq %%rax" : "=t"(y) : "0"(x) : "rax", "cc");
		usleep(5000);
	}
}

static void record(void)
{
	struct ct_record_opts opts = {.duration_s = 0.15,
				      .cpu = -1,
				      .follow = true,
				      .level = 1,
				      .ring_bytes = 16 << 20,
				      .segment_size = 256 << 20,
				      .verbose = -1,
				      .npids = 1};
	struct ct_record_result res;
	int ready[2];
	pid_t pid;
	char c;

	if (geteuid())
		cr_skip_test("recording needs root");
	dir = scratch_dir();
	must(pipe(ready) == 0, "pipe");
	pid = fork();
	if (!pid)
		run_target(ready[1]);
	must(read(ready[0], &c, 1) == 1, "the target does not start");
	opts.pids = &pid;
	opts.output = below(dir, "r.ctr");
	cr_assert_eq(ct_record(&opts, &res, &err), 0, "%s", err.msg);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void open_it(void)
{
	rec = ct_recording_open(below(dir, "r.ctr"), &err);
	cr_assert(rec, "%s", err.msg);
	cr_assert_eq(ct_stretches_find(rec, &st, &err), 0, "%s", err.msg);
	cr_assert_eq(st.count, 1);
	cr_assert_eq(st.list[0].broken_at, 0, "%s", st.list[0].broken);
}

static void close_it(void)
{
	ct_stretches_deinit(&st);
	ct_recording_close(rec);
	rec = NULL;
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
	cr_assert_geq(ncounted, 3);
}

/* Writes the log anew, as if these ticks (`off` more at the position number `bad`) had been recorded. */
static void write_ticks(size_t bad, ct_s64 off)
{
	struct ct_cursor *cur = ct_cursor_create(rec, &err);
	json_t *manifest = json_deep_copy(ct_recording_manifest(rec));
	struct segment_maker m = {0};
	struct bytes b = {0};
	const struct ct_event *ev;
	size_t at = 0;

	cr_assert(cur, "%s", err.msg);
	segment_start(&m, 1, 1, NULL, 0);
	memcpy(m.header_uuid, ct_segment_header(ct_recording_segment(rec, 0))->uuid, 16);
	while (ct_cursor_next(cur, &ev, &err) > 0) {
		struct ct_event *copy = bytes_add(&b, ev, (ev->size + 7) & ~7u);
		struct ct_fingerprint *fp = (struct ct_fingerprint *)ct_event_fingerprint(copy);

		if (fp && at < ncounted && counted[at].seq == ev->seq) {
			fp->ticks = counted[at].ticks + (at == bad ? (ct_u64)off : 0);
			fp->flags |= CT_FPF_TICKS;
			at++;
		}
	}
	cr_assert_eq(at, ncounted);
}
