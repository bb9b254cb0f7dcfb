// SPDX-License-Identifier: MIT
/* --max-overhead: what the probes of live calls cost, and when they are to be taken away for a while.
 *
 * The kernel counts how often the programs run and for how long. What a probe costs beside that, mostly the trap, is
 * measured on a function of our own. The programs' share is granted by the CPU time that the targets use themselves:
 * the balance of both says whether probes may be in place, so in the long run their share is what was asked for. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "user/calls_priv.h"

#define ON_NS    20000000ull  /* at least so long in place: else attaching is all there is */
#define OFF_NS   100000000ull /* and away */
#define SAVED_NS 1000000000.0 /* own CPU time whose share may be saved up */
#define CALLS    300
#define ROUNDS   5

struct ct_governor {
	struct ct_calls *c;
	double share;
	pid_t *pid; /* 0: gone */
	ct_u64 *cpu_ns;
	size_t npids;
	int stats; /* the kernel takes the programs' time as long as it is open */
	double trap_ns, stepped_ns;
	ct_u64 runs, run_ns, stepped; /* counted by now */
	double balance, reserve;      /* ns; reserve: what the next time in place will cost */
	double spent, used; /* since the probes are in place, or away; used: by the targets, probes included */
	ct_u64 since_ns;
	bool off;
};

/* The kernel emulates the first instruction of one, and single-steps that of the other. */
void ct_govern_emulated(void);
void ct_govern_stepped(void);
__asm__(".text\n.p2align 4\n"
	".type ct_govern_emulated, @function\nct_govern_emulated:\n\tpush %rax\n\tpop %rax\n\tret\n"
	".size ct_govern_emulated, .-ct_govern_emulated\n"
	".p2align 4\n"
	".type ct_govern_stepped, @function\nct_govern_stepped:\n\txor %eax, %eax\n\tret\n"
	".size ct_govern_stepped, .-ct_govern_stepped\n");

static ct_u64 now_ns(clockid_t clock)
{
	struct timespec t;

	return clock_gettime(clock, &t) ? 0 : (ct_u64)t.tv_sec * 1000000000 + (ct_u64)t.tv_nsec;
}

static void count_runs(const struct ct_calls *c, ct_u64 *runs, ct_u64 *ns)
{
	struct bpf_program *prog;

	*runs = *ns = 0;
	bpf_object__for_each_program(prog, c->skel->obj)
	{
		struct bpf_prog_info info = {0};
		__u32 len = sizeof(info);

		if (bpf_program__fd(prog) >= 0 && !bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len)) {
			*runs += info.run_cnt;
			*ns += info.run_time_ns;
		}
	}
}

/* Nanoseconds of one call, the best of some rounds. */
static double time_calls(void (*f)(void))
{
	double best = 1e9;

	for (int i = 0; i < ROUNDS; i++) {
		ct_u64 begin = now_ns(CLOCK_THREAD_CPUTIME_ID);
		double each;

		for (int k = 0; k < CALLS; k++)
			f();
		each = (double)(now_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / CALLS;
		best = each < best ? each : best;
	}
	return best;
}

/* What a probe costs at the entry (or entry and return) of this function, without the program's own time. */
static double measure(const struct ct_calls *c, const struct bpf_program *prog, void (*f)(void), unsigned flags,
		      struct ct_error *err)
{
	struct ct_uprobe_spec spec = {.n = 1, .pid = c->threads_only ? 0 : getpid(), .flags = flags | CT_UPROBE_MULTI};
	double without = time_calls(f), with = 0;
	ct_u64 offset, runs[2], ns[2];
	struct ct_uprobes *u = NULL;
	char path[4096];

	spec.path = path;
	spec.offsets = &offset;
	if (!ct_uprobe_own_site((const void *)f, path, &offset))
		ct_fail(err, CT_EXIT_FAILED,
			"what a probe costs cannot be measured: this program's code is in no file");
	else
		u = ct_uprobes_create(bpf_program__fd(prog), &spec, err);
	if (!u)
		return -1;
	count_runs(c, &runs[0], &ns[0]);
	with = time_calls(f);
	count_runs(c, &runs[1], &ns[1]);
	ct_uprobes_destroy(u);
	if (runs[1] == runs[0]) {
		ct_fail(err, CT_EXIT_FAILED,
			"what a probe costs cannot be measured: the kernel does not count its runs");
		return -1;
	}
	with -= (double)(ns[1] - ns[0]) / (double)(runs[1] - runs[0]);
	return with > without ? with - without : 0;
}

static int calibrate(struct ct_governor *g, struct ct_error *err)
{
	const struct calls_bpf *s = g->c->skel;
	double entry = measure(g->c, s->progs.ct_call_enter, ct_govern_emulated, 0, err);
	double both = entry < 0 ? -1 : measure(g->c, s->progs.ct_call_leave, ct_govern_emulated, CT_UPROBE_RETURN, err);
	double stepped = both < 0 ? -1 : measure(g->c, s->progs.ct_call_enter, ct_govern_stepped, 0, err);

	g->trap_ns = entry > both / 2 ? entry : both / 2;
	g->stepped_ns = stepped > g->trap_ns ? stepped - g->trap_ns : 0;
	return stepped < 0 ? -1 : 0;
}

struct ct_governor *ct_governor_create(struct ct_calls *c, double share, const pid_t *pids, size_t n,
				       struct ct_error *err)
{
	struct ct_governor *g = calloc(1, sizeof(*g));

	if (!g || !(g->pid = calloc(n, sizeof(*g->pid))) || !(g->cpu_ns = calloc(n, sizeof(*g->cpu_ns)))) {
		ct_governor_destroy(g);
		ct_fail_memory(err);
		return NULL;
	}
	g->c = c;
	g->share = share;
	g->stats = c->multi ? bpf_enable_stats(BPF_STATS_RUN_TIME) : -1;
	if (!c->multi)
		ct_fail(err, CT_EXIT_MISSING,
			"--max-overhead takes probes away and attaches them again, for which this kernel is too slow: "
			"it "
			"needs uprobe_multi (Linux 6.6)");
	else if (g->stats < 0)
		ct_fail_errno(err, CT_EXIT_MISSING, "--max-overhead: the kernel does not measure BPF programs");
	if (g->stats < 0 || calibrate(g, err)) {
		ct_governor_destroy(g);
		return NULL;
	}
	for (; g->npids < n; g->npids++)
		g->pid[g->npids] = pids[g->npids];
	ct_governor_look(g, &(struct ct_governed){0}); /* what was before does not count */
	g->balance = g->spent = g->used = 0;
	g->since_ns = now_ns(CLOCK_MONOTONIC);
	return g;
}

void ct_governor_destroy(struct ct_governor *g)
{
	if (!g)
		return;
	if (g->stats > 0)
		close(g->stats);
	free(g->pid);
	free(g->cpu_ns);
	free(g);
}

/* CPU time that the targets have used since the last look. */
static double used(struct ct_governor *g)
{
	double sum = 0;

	for (size_t i = 0; i < g->npids; i++) {
		clockid_t clock;
		ct_u64 ns = clock_getcpuclockid(g->pid[i], &clock) ? 0 : now_ns(clock);

		if (ns > g->cpu_ns[i]) {
			sum += (double)(ns - g->cpu_ns[i]);
			g->cpu_ns[i] = ns;
		}
	}
	return sum;
}

static double spent(struct ct_governor *g)
{
	const ct_u64 stepped = ct_calls_counters(g->c)->stepped;
	ct_u64 runs, ns;
	double sum;

	count_runs(g->c, &runs, &ns);
	sum = (double)(ns - g->run_ns) + (double)(runs - g->runs) * g->trap_ns +
	      (double)(stepped - g->stepped) * g->stepped_ns;
	g->runs = runs;
	g->run_ns = ns;
	g->stepped = stepped;
	return sum;
}

enum ct_govern ct_governor_look(struct ct_governor *g, struct ct_governed *what)
{
	double cost = spent(g), cpu = used(g), most = g->share * SAVED_NS;
	ct_u64 now = now_ns(CLOCK_MONOTONIC);

	most = most > g->reserve ? most : g->reserve;
	g->balance += g->share * (cpu - cost) - cost;
	g->balance = g->balance < most ? g->balance : most;
	g->spent += cost;
	g->used += cpu;
	what->ppm = g->used > g->spent ? (ct_u64)(g->spent / (g->used - g->spent) * 1e6) : 0;
	if (!g->off && g->balance < 0 && now - g->since_ns >= ON_NS)
		return CT_GOVERN_AWAY;
	return g->off && g->balance >= g->reserve && now - g->since_ns >= OFF_NS ? CT_GOVERN_BACK : CT_GOVERN_STAY;
}

void ct_governor_turned(struct ct_governor *g, bool off)
{
	struct ct_governed ignored;

	ct_governor_look(g, &ignored); /* what it has cost to take them away */
	if (off)
		g->reserve = g->spent;
	g->off = off;
	g->spent = g->used = 0;
	g->since_ns = now_ns(CLOCK_MONOTONIC);
}
