// SPDX-License-Identifier: MIT OR GPL-2.0
/* Iterators over threads and mappings that tell what /proc does not, or not fast: signal stacks and handlers, pending
 * signals, the addresses the kernel will write to at thread exit, the mm's boundaries. Reading it touches the target in
 * no way. */
#include "kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "formats/probe.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file {
	char *buf;
};
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};
struct vm_area_struct {
	unsigned long vm_start, vm_end, vm_flags;
};
struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
};
#pragma clang attribute pop

volatile ct_u32 wanted_tgid = 0; /* set before each reading */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ct_task_state);
} state SEC(".maps");

static __always_inline u32 ns_number(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	u32 level = BPF_CORE_READ(pid, level);
	struct upid up = {};

	/* The local struct lists one member only: the kernel's size of an element counts. */
	bpf_probe_read_kernel(&up.nr, sizeof(up.nr),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      (level & 31) * bpf_core_type_size(struct upid) +
				      bpf_core_field_offset(struct upid, nr));
	return up.nr;
}

SEC("iter/task")
int ct_inspect(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *leader;
	struct seq_file *seq = ctx->meta->seq;
	struct ct_task_state *s;
	struct signal_struct *sig;
	struct mm_struct *mm;
	u32 zero = 0;

	if (!task || (u32)task->tgid != wanted_tgid)
		return 0;
	s = bpf_map_lookup_elem(&state, &zero);
	if (!s)
		return 0;
	bpf_probe_read_kernel(s, sizeof(*s),
			      NULL); /* a read that fails fills with zeroes; memset is too long for BPF */
	s->pid = task->tgid;
	s->tid = task->pid;
	s->ns_tid = ns_number(task);
	leader = BPF_CORE_READ(task, group_leader);
	s->ns_pid = ns_number(leader);
	s->clear_child_tid = (u64)BPF_CORE_READ(task, clear_child_tid);
	s->robust_list = (u64)BPF_CORE_READ(task, robust_list);
	if (bpf_core_field_exists(task->rseq))
		s->rseq = (u64)BPF_CORE_READ(task, rseq);
	s->altstack_sp = BPF_CORE_READ(task, sas_ss_sp);
	s->altstack_size = BPF_CORE_READ(task, sas_ss_size);
	s->altstack_flags = BPF_CORE_READ(task, sas_ss_flags);
	s->personality = BPF_CORE_READ(task, personality);
	s->blocked = BPF_CORE_READ(task, blocked.sig[0]);
	s->pending = BPF_CORE_READ(task, pending.signal.sig[0]);
	s->shared_pending = BPF_CORE_READ(task, signal, shared_pending.signal.sig[0]);
	sig = BPF_CORE_READ(task, signal);
	s->reaper = s->ns_pid == 1 || BPF_CORE_READ_BITFIELD_PROBED(sig, is_child_subreaper);
	mm = BPF_CORE_READ(task, mm);
	if (mm) {
		s->start_code = BPF_CORE_READ(mm, start_code);
		s->end_code = BPF_CORE_READ(mm, end_code);
		s->start_data = BPF_CORE_READ(mm, start_data);
		s->end_data = BPF_CORE_READ(mm, end_data);
		s->start_brk = BPF_CORE_READ(mm, start_brk);
		s->brk = BPF_CORE_READ(mm, brk);
		s->start_stack = BPF_CORE_READ(mm, start_stack);
		s->arg_start = BPF_CORE_READ(mm, arg_start);
		s->arg_end = BPF_CORE_READ(mm, arg_end);
		s->env_start = BPF_CORE_READ(mm, env_start);
		s->env_end = BPF_CORE_READ(mm, env_end);
	}
	if (s->tid == s->pid) {
		struct sighand_struct *sighand = BPF_CORE_READ(task, sighand);

		for (int i = 0; i < 64; i++) {
			struct k_sigaction *ka = &sighand->action[i];

			s->action[i].handler = (u64)BPF_CORE_READ(ka, sa.sa_handler);
			s->action[i].flags = BPF_CORE_READ(ka, sa.sa_flags);
			s->action[i].restorer = (u64)BPF_CORE_READ(ka, sa.sa_restorer);
			s->action[i].mask = BPF_CORE_READ(ka, sa.sa_mask.sig[0]);
		}
	}
	bpf_seq_write(seq, s, sizeof(*s));
	return 0;
}

#define VM_WIPEONFORK 0x02000000 /* include/linux/mm.h; smaps shows it, at the price of a walk over all pages */

SEC("iter/task_vma")
int ct_inspect_wiped(struct bpf_iter__task_vma *ctx)
{
	struct task_struct *task = ctx->task;
	struct vm_area_struct *vma = ctx->vma;
	u64 range[2];

	if (!task || !vma || (u32)task->tgid != wanted_tgid || !(vma->vm_flags & VM_WIPEONFORK))
		return 0;
	range[0] = vma->vm_start;
	range[1] = vma->vm_end;
	bpf_seq_write(ctx->meta->seq, range, sizeof(range));
	return 0;
}
