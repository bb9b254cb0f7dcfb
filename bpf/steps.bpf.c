// SPDX-License-Identifier: MIT OR GPL-2.0
/* Ticks without a counter: the recorder single-steps the threads (user/stepper.c), and each step is counted here, where
 * it ends. So positions see the same count that a counter of the CPU would have at that moment. Only loaded for that.
 */
#include "target.bpf.h"

#define SIGTRAP    5
#define TRAP_TRACE 2

/* force_sig of the trap that ends a step comes before the thread stops: whatever takes a fingerprint next counts it. */
SEC("tp_btf/signal_generate")
int BPF_PROG(ct_step_done, int sig, struct kernel_siginfo *info, struct task_struct *task)
{
	struct siginfo_fault si = {};
	const u32 tid = (u32)bpf_get_current_pid_tgid();

	if (sig != SIGTRAP || mode != CT_MODE_REPLAY || tid != steps.tid || (u32)task->pid != tid)
		return 0;
	/* An instruction has been executed; the end of a system call (TRAP_BRKPT) is no such step. */
	bpf_probe_read_kernel(&si, sizeof(si), (void *)info);
	if (si.code == TRAP_TRACE) {
		steps.branches += steps.branch;
		steps.branch = 0;
	}
	return 0;
}
