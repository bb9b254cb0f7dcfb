// SPDX-License-Identifier: MIT
/* The recording BPF programs: loaded, attached, told whom to record. Every feature newer than Linux 6.1 has a
 * fallback, chosen here before loading. */
#include "user/probes.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "formats/syscalls.h"
#include "record.skel.h" /* after the headers with its types */
#include "user/attach/target.h"
#include "replay/pmu.h"
#include "user/uprobe_multi.h"

static int print_all(enum libbpf_print_level level, const char *fmt, va_list args)
{
	return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, fmt, args);
}
static int print_none(enum libbpf_print_level level, const char *fmt, va_list args)
{
	(void)level, (void)fmt, (void)args;
	return 0;
}

/* Byte offset of `name` in struct `type`, following nothing; -1 if there is no such member. */
static long member_offset(const struct btf *btf, const char *type, const char *name)
{
	int id = btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, id) : NULL;
	const struct btf_member *m = t ? btf_members(t) : NULL;

	for (int i = 0; m && i < btf_vlen(t); i++) {
		if (strcmp(btf__name_by_offset(btf, m[i].name_off), name))
			continue;
		return btf_member_bit_offset(t, i) / 8;
	}
	return -1;
}

/* Where a task's fpu.fpstate pointer is: inside thread_struct, or since 6.16 right behind task_struct. */
static long find_fpu(const struct btf *btf)
{
	long thread = member_offset(btf, "task_struct", "thread");
	long fpu = member_offset(btf, "thread_struct", "fpu");
	long fpstate = member_offset(btf, "fpu", "fpstate");
	int id = btf__find_by_name_kind(btf, "task_struct", BTF_KIND_STRUCT);

	if (fpstate < 0 || thread < 0 || id < 0)
		return -1;
	return fpu >= 0 ? thread + fpu + fpstate : (long)btf__type_by_id(btf, id)->size + fpstate;
}

static int choose_features(struct ct_probes *p, struct ct_error *err)
{
	struct btf *btf = btf__load_vmlinux_btf();
	long fpu;

	if (!btf)
		return ct_fail(err, CT_EXIT_MISSING,
			       "this kernel has no type information (/sys/kernel/btf/vmlinux); it must be built with "
			       "CONFIG_DEBUG_INFO_BTF");
	fpu = find_fpu(btf);
	p->read_dynptr = btf__find_by_name_kind(btf, "bpf_probe_read_user_dynptr", BTF_KIND_FUNC) > 0;
	bpf_program__set_autoload(p->skel->progs.ct_rseq_fixup,
				  btf__find_by_name_kind(btf, "btf_trace_rseq_ip_fixup", BTF_KIND_TYPEDEF) > 0);
	bpf_program__set_autoload(p->skel->progs.ct_vsyscall,
				  btf__find_by_name_kind(btf, "btf_trace_emulate_vsyscall", BTF_KIND_TYPEDEF) > 0);
	btf__free(btf);
	if (fpu < 0)
		return ct_fail(err, CT_EXIT_MISSING,
			       "this kernel keeps FPU state where ctbpf does not know (struct fpu)");
	p->skel->rodata->fpu_offset = fpu;
	p->skel->rodata->use_read_dynptr = p->read_dynptr;
	return 0;
}

/* Calls whose record the kernel side can write without looking at rules one by one. */
static bool is_simple(const struct ct_sysrules *r)
{
	if (r->subarg < 6 || r->nrules > 2 || (r->flags & CT_SYSR_SUB_STRICT) ||
	    (r->action != CT_ACT_EMULATE && r->action != CT_ACT_EXECUTE && r->action != CT_ACT_SPECIAL))
		return false;
	for (int i = 0; i < r->nrules; i++) {
		const struct ct_rule *rule = &r->rule[i];

		if (rule->flags & CT_RF_DEREF)
			return false;
		if (rule->size == CT_SZ_FIXED ? rule->n > 256
		    : rule->size == CT_SZ_FILEREAD || rule->size == CT_SZ_RET
			    ? rule->mul > 1 || (rule->size == CT_SZ_RET && (rule->n || !rule->mul)) ||
				      (rule->size == CT_SZ_FILEREAD && rule->mul)
			    : rule->size != CT_SZ_ARG || rule->mul != 1 || rule->n)
			return false;
	}
	return true;
}

static void load_rules(struct ct_probes *p)
{
	for (int nr = 0; nr < CT_MAX_SYSCALL; nr++) {
		const struct ct_syscall *sc = ct_syscall(nr);

		if (!sc)
			continue;
		p->skel->rodata->rules[nr] = sc->rules;
		if (is_simple(&sc->rules))
			p->skel->rodata->rules[nr].flags |= CT_SYSR_SIMPLE;
	}
}

static int load_subrules(struct ct_probes *p, struct ct_error *err)
{
	size_t count;
	const struct ct_subcommand *sub = ct_subcommands(&count);

	for (size_t i = 0; i < count; i++)
		if (bpf_map_update_elem(bpf_map__fd(p->skel->maps.subrules), &sub[i].key, &sub[i].rules, BPF_ANY))
			return ct_fail_errno(err, CT_EXIT_FAILED,
					     "cannot load the table of sub-commands into the kernel");
	return 0;
}

/* After a call of libbpf's that failed. */
static void cannot(struct ct_error *err, const char *what)
{
	if (errno == EMFILE || errno == ENFILE)
		ct_fail(err, CT_EXIT_FAILED,
			"too few file descriptors for the BPF programs: raise the limit (ulimit -n)");
	else
		ct_fail_errno(err, CT_EXIT_MISSING, "%s", what);
}

bool ct_pids_are_outermost(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) || st.st_ino == 0xeffffffcu; /* PROC_PID_INIT_INO */
}

int ct_probes_create(struct ct_probes *p, size_t ring_bytes, int cpu, enum ct_ticks ticks, bool verbose,
		     struct ct_error *err)
{
	size_t size = 1 << 20;

	memset(p, 0, sizeof(*p));
	p->pmu_fd = p->stats_fd = -1;
	pthread_mutex_init(&p->insn_lock, NULL);
	if (!ct_pids_are_outermost())
		return ct_fail(err, CT_EXIT_MISSING,
			       "ctbpf runs in a PID namespace, where the processes' numbers are others than the kernel "
			       "side's: run it on the host, or in a container that has the host's (--pid=host)");
	libbpf_set_print(verbose ? print_all : print_none);
	while (size < ring_bytes)
		size *= 2;
	p->skel = record_bpf__open();
	if (!p->skel)
		return ct_fail_errno(err, CT_EXIT_MISSING, "cannot open the BPF programs");
	if (choose_features(p, err))
		goto fail;
	p->pmu_fd = cpu >= 0 && ticks == CT_TICKS_PMU ? ct_pmu_open(cpu) : -1;
	if (ticks == CT_TICKS_PMU && p->pmu_fd < 0)
		ticks = CT_TICKS_NONE;
	p->skel->rodata->use_ticks = ticks;
	bpf_program__set_autoload(p->skel->progs.ct_step_done, ticks == CT_TICKS_STEP);
	load_rules(p);
	bpf_map__set_max_entries(p->skel->maps.ring, size);
	p->uprobe_multi = ct_uprobe_multi_supported();
	bpf_program__set_expected_attach_type(p->skel->progs.ct_insn, ct_uprobe_attach_type(p->uprobe_multi));
	bpf_program__set_autoattach(p->skel->progs.ct_insn, false);
	if (record_bpf__load(p->skel)) {
		cannot(err,
		       "the kernel refuses the BPF programs (`ctbpf check` tells which feature is missing; -v shows "
		       "the verifier's words)");
		goto fail;
	}
	if (load_subrules(p, err))
		goto fail;
	if (p->pmu_fd >= 0 && bpf_map_update_elem(bpf_map__fd(p->skel->maps.ticks), &cpu, &p->pmu_fd, BPF_ANY)) {
		ct_fail_errno(err, CT_EXIT_FAILED, "the branch counter of CPU %d cannot be used", cpu);
		goto fail;
	}
	if (record_bpf__attach(p->skel)) {
		cannot(err, "cannot attach the BPF programs");
		goto fail;
	}
	p->counters = &p->skel->bss->counters;
	return 0;
fail:
	ct_probes_destroy(p);
	return -1;
}

void ct_probes_destroy(struct ct_probes *p)
{
	ct_probes_insn_deinit(p);
	record_bpf__destroy(p->skel);
	if (p->pmu_fd >= 0)
		close(p->pmu_fd);
	if (p->stats_fd >= 0)
		close(p->stats_fd);
	memset(p, 0, sizeof(*p));
}

/* As the thread is while it stands still, and will be released: see stop.c. */
static void state_of(struct ct_thread_state *state, const struct ct_thread *th)
{
	state->nr = state->restart_nr = -1;
	state->regs = th->regs;
	if ((long)th->regs.r[CT_ORIG_RAX] >= 0 && (long)th->regs.r[CT_RAX] == -516)
		state->restart_nr = th->regs.r[CT_ORIG_RAX];
	if (th->reissue) {
		state->regs.r[CT_RIP] -= 2;
		state->regs.r[CT_RAX] = state->regs.r[CT_ORIG_RAX];
	}
}

static bool proc_of(struct ct_probes *p, pid_t pid, struct ct_proc *proc)
{
	ct_u32 key = pid;

	memset(proc, 0, sizeof(*proc));
	return !bpf_map_lookup_elem(bpf_map__fd(p->skel->maps.procs), &key, proc);
}

ct_u32 ct_probes_how(struct ct_probes *p, pid_t pid)
{
	struct ct_proc proc;

	return proc_of(p, pid, &proc) ? proc.how : CT_PROC_NONE;
}

void ct_probes_set(struct ct_probes *p, pid_t pid, ct_u32 how)
{
	struct ct_proc proc;
	ct_u32 key = pid;

	if (!proc_of(p, pid, &proc))
		return;
	proc.how |= how;
	bpf_map_update_elem(bpf_map__fd(p->skel->maps.procs), &key, &proc, BPF_EXIST);
}

/* Whether it has memory that a child would share and could write to. */
static bool shares(const struct ct_target *t)
{
	for (size_t i = 0; i < t->maps.count; i++)
		if (t->maps.map[i].shared && (t->maps.map[i].prot & PROT_WRITE))
			return true;
	return false;
}

void ct_probes_refresh(struct ct_probes *p, const struct ct_target *t)
{
	struct ct_current_state *cur = &p->skel->bss->cur;
	int map = bpf_map__fd(p->skel->maps.threads);

	if (shares(t))
		ct_probes_set(p, t->pid, CT_PROC_SHARES);
	for (size_t i = 0; i < t->nthreads; i++) {
		struct ct_thread_state state;
		ct_u32 tid = t->threads[i].tid;

		if (!t->threads[i].stopped)
			continue;
		if (tid == cur->tid)
			state = cur->t;
		else if (bpf_map_lookup_elem(map, &tid, &state))
			continue; /* it has not been on a CPU since it was made */
		state_of(&state, &t->threads[i]);
		state.flags &= ~(TS_INSYS | TS_USER | TS_SWITCHED | TS_FP);
		bpf_map_update_elem(map, &tid, &state, BPF_ANY);
		if (tid == cur->tid)
			cur->t = state;
	}
}

int ct_probes_add(struct ct_probes *p, pid_t pid, const struct ct_target *t, struct ct_error *err)
{
	struct record_bpf__bss *bss = p->skel->bss;
	struct ct_proc proc = {0};
	ct_u32 key = pid;

	if (t && shares(t))
		proc.how = CT_PROC_SHARES;
	if (bpf_map_update_elem(bpf_map__fd(p->skel->maps.procs), &key, &proc, BPF_ANY))
		return ct_fail_errno(err, CT_EXIT_FAILED, "cannot record more than %d processes at a time",
				     CT_MAX_PROCS);
	for (size_t i = 0; t && i < t->nthreads; i++) {
		const struct ct_thread *th = &t->threads[i];
		struct ct_thread_state state = {.tgid = pid};

		if (!th->stopped)
			continue;
		state_of(&state, th);
		key = th->tid;
		if (bpf_map_update_elem(bpf_map__fd(p->skel->maps.threads), &key, &state, BPF_ANY))
			return ct_fail_errno(err, CT_EXIT_FAILED, "cannot record more than %d threads", CT_MAX_THREADS);
		bss->nthreads++;
		if (!bss->cur.tid) { /* somebody has to be the one that ran last */
			bss->cur.tid = th->tid;
			bss->cur.tgid = pid;
			bss->cur.t = state;
		}
	}
	__atomic_fetch_add(&bss->nprocs, 1, __ATOMIC_SEQ_CST);
	bss->filter[(ct_u32)pid >> 6 & 1023] |= 1ull << (pid & 63);
	return 0;
}

void ct_probes_forget(struct ct_probes *p, pid_t pid)
{
	struct ct_proc proc;
	ct_u32 key = pid;

	if (proc_of(p, pid, &proc) && !bpf_map_delete_elem(bpf_map__fd(p->skel->maps.procs), &key) &&
	    !(proc.how & CT_PROC_EVENTS_ONLY))
		__atomic_fetch_sub(&p->skel->bss->nprocs, 1, __ATOMIC_SEQ_CST);
}

int ct_probes_list(struct ct_probes *p, enum ct_procs which, pid_t **pids, size_t *count)
{
	int fd = bpf_map__fd(p->skel->maps.procs);
	ct_u32 key, *prev = NULL;

	*count = 0;
	*pids = calloc(CT_MAX_PROCS, sizeof(**pids));
	if (!*pids)
		return -1;
	for (size_t n = 0; n < CT_MAX_PROCS && !bpf_map_get_next_key(fd, prev, &key); n++) {
		enum ct_procs is = which == CT_PROCS_ALL                         ? which
				   : ct_probes_how(p, key) & CT_PROC_EVENTS_ONLY ? CT_PROCS_EVENTS_ONLY
										 : CT_PROCS_REPLAYED;

		if (is == which)
			(*pids)[(*count)++] = key;
		prev = &key;
	}
	return 0;
}

void ct_probes_mode(struct ct_probes *p, enum ct_mode mode, int cpu)
{
	p->skel->bss->pinned_cpu = cpu;
	p->skel->bss->can_hold = mode == CT_MODE_REPLAY && sysconf(_SC_NPROCESSORS_ONLN) > 1;
	__atomic_store_n(&p->skel->bss->mode, mode, __ATOMIC_SEQ_CST);
}

void ct_probes_pause(struct ct_probes *p, ct_u32 tgid)
{
	__atomic_store_n(&p->skel->bss->paused, tgid, __ATOMIC_SEQ_CST);
}

void ct_probes_forgive(struct ct_probes *p)
{
	int fd = bpf_map__fd(p->skel->maps.procs);
	struct ct_proc proc;
	size_t count = 0;
	pid_t *pids;

	if (ct_probes_list(p, CT_PROCS_REPLAYED, &pids, &count))
		return;
	for (size_t i = 0; i < count; i++) {
		if (!proc_of(p, pids[i], &proc))
			continue;
		proc.said = 0;
		bpf_map_update_elem(fd, &pids[i], &proc, BPF_EXIST);
	}
	free(pids);
}

static ct_u64 run_time(struct ct_probes *p)
{
	struct bpf_program *prog;
	ct_u64 sum = 0;

	bpf_object__for_each_program(prog, p->skel->obj)
	{
		struct bpf_prog_info info = {0};
		__u32 len = sizeof(info);

		if (!bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
			sum += info.run_time_ns;
	}
	return sum;
}

static ct_u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

void ct_probes_load_begin(struct ct_probes *p)
{
	p->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	p->stats_sum = run_time(p);
	p->stats_ns = now_ns();
}

double ct_probes_load_end(struct ct_probes *p)
{
	double share = p->stats_fd < 0 ? -1 : (run_time(p) - p->stats_sum) / (double)(now_ns() - p->stats_ns + 1);

	if (p->stats_fd >= 0)
		close(p->stats_fd);
	p->stats_fd = -1;
	return share;
}
