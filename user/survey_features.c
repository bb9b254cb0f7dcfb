/* SPDX-License-Identifier: MIT
 * The table of kernel features that a recording uses, and the probes that try them.
 *
 * Trying beats reading version numbers: distributions backport, lock down and switch off. */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "probes.h"
#include "selftest_nop5.h"
#include "survey_system.h"
#include "user/attach/track.h"
#include "uprobe_multi.h"

/* Loads a program that does nothing for the tracepoint, and attaches it for a moment. */
static int probe_tracepoint(const struct ct_feature *feature, struct btf *btf, char *what, size_t len)
{
	/* r0 = 0; exit */
	static const struct bpf_insn insns[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
						{.code = BPF_JMP | BPF_EXIT}};
	char name[64];
	snprintf(name, sizeof(name), "btf_trace_%s", feature->symbol);
	int id = btf ? btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF) : -ENOENT;
	if (id < 0) {
		snprintf(what, len, "this kernel has no such tracepoint");
		return 0;
	}
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_RAW_TP, .attach_btf_id = (__u32)id);
	int prog = bpf_prog_load(BPF_PROG_TYPE_TRACING, "ctbpf_check", "GPL", insns, 2, &opts);
	if (prog < 0) {
		snprintf(what, len, "loading a program for it failed: %s", strerror(-prog));
		return 0;
	}
	int link = bpf_raw_tracepoint_open(NULL, prog);
	if (link < 0)
		snprintf(what, len, "attaching to it failed: %s", strerror(-link));
	else
		close(link);
	close(prog);
	return link >= 0;
}

static int answer(int supported, char *what, size_t len)
{
	if (supported < 0) {
		snprintf(what, len, "%s", strerror(-supported));
		return -1;
	}
	return supported > 0;
}

static int probe_map(const struct ct_feature *feature, struct btf *btf, char *what, size_t len)
{
	(void)btf;
	return answer(libbpf_probe_bpf_map_type((enum bpf_map_type)feature->number, NULL), what, len);
}

/* libbpf cannot ask for tracing programs; raw tracepoints get the same helpers. */
static int probe_helper(const struct ct_feature *feature, struct btf *btf, char *what, size_t len)
{
	(void)btf;
	return answer(libbpf_probe_bpf_helper(BPF_PROG_TYPE_RAW_TRACEPOINT, (enum bpf_func_id)feature->number, NULL),
		      what, len);
}

static int probe_kfunc(const struct ct_feature *feature, struct btf *btf, char *what, size_t len)
{
	(void)what;
	(void)len;
	return btf && btf__find_by_name_kind(btf, feature->symbol, BTF_KIND_FUNC) > 0;
}

/* The kernel's name for it changed with the way its last argument is passed. */
static int probe_task_work(const struct ct_feature *feature, struct btf *btf, char *what, size_t len)
{
	return probe_kfunc(feature, btf, what, len) ||
	       (btf && btf__find_by_name_kind(btf, "bpf_task_work_schedule_resume_impl", BTF_KIND_FUNC) > 0);
}

static int probe_uprobe_multi(const struct ct_feature *feature, struct btf *btf, char *what, size_t len)
{
	(void)feature;
	(void)btf;
	(void)what;
	(void)len;
	return ct_uprobe_multi_supported();
}

/* The verifier's limits differ between kernels: the real programs are loaded and attached, without a target. */
static int probe_programs(const struct ct_feature *feature, struct btf *btf, char *what, size_t len)
{
	struct ct_probes probes;
	struct ct_error err;

	(void)feature;
	(void)btf;
	if (ct_probes_create(&probes, 1 << 20, -1, CT_TICKS_NONE, false, &err)) {
		snprintf(what, len, "%s", err.msg);
		return 0;
	}
	ct_probes_destroy(&probes);
	return 1;
}

static int probe_nop5(const struct ct_feature *feature, struct btf *btf, char *what, size_t len)
{
	(void)feature;
	(void)btf;
	int result = ct_selftest_nop5(what, len);
	return result < 0 ? -1 : result == 0;
}

static int probe_written(const struct ct_feature *feature, struct btf *btf, char *what, size_t len)
{
	(void)feature;
	(void)btf;
	return ct_track_supported(what, len);
}

static const struct ct_feature features[] = {
	{"tp_sys_enter", "tracepoint sys_enter", probe_tracepoint, "sys_enter", 0, "system calls",
	 "nothing can be recorded", CT_FIND_BLOCKS},
	{"tp_sys_exit", "tracepoint sys_exit", probe_tracepoint, "sys_exit", 0, "system calls",
	 "nothing can be recorded", CT_FIND_BLOCKS},
	{"tp_fork", "tracepoint sched_process_fork", probe_tracepoint, "sched_process_fork", 0, "following children",
	 "nothing can be recorded", CT_FIND_BLOCKS},
	{"tp_exec", "tracepoint sched_process_exec", probe_tracepoint, "sched_process_exec", 0, "following exec",
	 "nothing can be recorded", CT_FIND_BLOCKS},
	{"tp_exit", "tracepoint sched_process_exit", probe_tracepoint, "sched_process_exit", 0, "noticing the end",
	 "nothing can be recorded", CT_FIND_BLOCKS},
	{"tp_signal", "tracepoint signal_deliver", probe_tracepoint, "signal_deliver", 0, "signals",
	 "recordings cannot be replayed", CT_FIND_BLOCKS_REPLAY},
	{"tp_frame", "tracepoint x86_fpu_regs_activated", probe_tracepoint, "x86_fpu_regs_activated", 0,
	 "signal handlers' frames", "recordings with signal handlers cannot be replayed", CT_FIND_BLOCKS_REPLAY},
	{"tp_switch", "tracepoint sched_switch", probe_tracepoint, "sched_switch", 0, "the order of threads",
	 "recordings cannot be replayed", CT_FIND_BLOCKS_REPLAY},
	{"tp_rseq", "tracepoint rseq_ip_fixup", probe_tracepoint, "rseq_ip_fixup", 0,
	 "restartable sequences that a program registers itself", "such programs cannot be replayed", CT_FIND_NOTE},
	{"ringbuf", "BPF ring buffer", probe_map, NULL, BPF_MAP_TYPE_RINGBUF, "the way of events to the recorder",
	 "nothing can be recorded", CT_FIND_BLOCKS},
	{"task_storage", "BPF task storage", probe_map, NULL, BPF_MAP_TYPE_TASK_STORAGE, "state of each thread",
	 "nothing can be recorded", CT_FIND_BLOCKS},
	{"task_pt_regs", "helper bpf_task_pt_regs", probe_helper, NULL, BPF_FUNC_task_pt_regs, "registers",
	 "nothing can be recorded", CT_FIND_BLOCKS},
	{"loop", "helper bpf_loop", probe_helper, NULL, BPF_FUNC_loop, "buffers", "nothing can be recorded",
	 CT_FIND_BLOCKS},
	{"ringbuf_dynptr", "helper bpf_ringbuf_reserve_dynptr", probe_helper, NULL, BPF_FUNC_ringbuf_reserve_dynptr,
	 "records of any size", "nothing can be recorded", CT_FIND_BLOCKS},
	{"dynptr_write", "helper bpf_dynptr_write", probe_helper, NULL, BPF_FUNC_dynptr_write, "records of any size",
	 "nothing can be recorded", CT_FIND_BLOCKS},
	{"user_dynptr", "kfunc bpf_probe_read_user_dynptr", probe_kfunc, "bpf_probe_read_user_dynptr", 0,
	 "fast copies of large buffers (Linux 6.16)", "they are copied in pieces, 1.6 to 2 times dearer a byte",
	 CT_FIND_NOTE},
	{"task_work", "kfunc bpf_task_work_schedule_resume", probe_task_work, "bpf_task_work_schedule_resume", 0,
	 "buffers that are swapped out (Linux 6.18)", "such a buffer ends the replayable stretch; that is rare",
	 CT_FIND_NOTE},
	{"uprobe_multi", "uprobe_multi links", probe_uprobe_multi, NULL, 0, "probes on rdtsc and the like (Linux 6.6)",
	 "each place needs a perf event of its own, which is slow to attach and detach", CT_FIND_NOTE},
	{"written_pages", "PAGEMAP_SCAN with write-protection", probe_written, NULL, 0,
	 "record --incremental: snapshots that copy only what has changed (Linux 6.7)",
	 "each snapshot copies the page tables, with it, too", CT_FIND_NOTE},
	{"programs", "the recording programs themselves", probe_programs, NULL, 0, "recording",
	 "nothing can be recorded", CT_FIND_BLOCKS},
	{"nop5", "safe uprobes on 5-byte nops", probe_nop5, NULL, 0, "probes inside of functions",
	 "no 5-byte nop is probed but at the start of a function", CT_FIND_NOTE},
};

const struct ct_feature *ct_features(size_t *count)
{
	*count = sizeof(features) / sizeof(features[0]);
	return features;
}
