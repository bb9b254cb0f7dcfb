// SPDX-License-Identifier: MIT OR GPL-2.0
/* Instructions whose result no replay can compute: rdtsc, rdtscp, rdrand, rdseed. Found by disassembly, probed by
 * uprobes: one at the instruction remembers it, one behind it reads the result. */
#include "target.bpf.h"

/* Cookie bits 0..15: kind << 8 | length of the instruction at this place, 0 if there is none; COOKIE_AFTER: the one
 * before this place is such an instruction; COOKIE_BRANCH: here is a conditional branch. user/attach/insn_scan.h has
 * the other end. */
#define COOKIE_AFTER  0x10000
#define COOKIE_BRANCH 0x20000

/* Bits of thread_info.flags: TIF_UPROBE up to 6.17, and in asm-generic/thread_info_tif.h, which x86 uses since. */
#define MAYBE_TIF_UPROBE (1u << 12 | 1u << 8)
/* arch/x86/kernel/uprobes.c: the register that stands in for rip in a rip-relative instruction out of line. */
#define FIX_RIP_SI       0x08
#define FIX_RIP_DI       0x10
#define FIX_RIP_BX       0x20
#define XOL_SLOT         16 /* at most this many bytes of an instruction out of line, and a branch behind it */

/* The registers behind the instruction are cur.t.regs. */
static __always_inline void emit_insn(u32 tgid, u32 tid)
{
	struct {
		struct ct_event h;
		struct ct_ev_insn i;
	} * e;

	if (!EVENT_RESERVE(e, CT_EV_INSN, tgid, tid))
		return;
	e->i.ip = cur.t.insn_ip;
	e->i.kind = cur.t.insn >> 8;
	e->i.len = cur.t.insn & 0xff;
	e->i.regs = cur.t.regs;
	EVENT_SUBMIT(e);
}

/* A thread can be interrupted while the kernel handles one of our probes: behind the breakpoint that nobody has looked
 * at yet, or on the copy of the instruction in the [uprobes] page. No replay comes to such a place. cur.t.regs become
 * those the thread would have there without the probe. `task` is its task_struct. */
static __always_inline void without_probe(const struct task_struct *task)
{
	struct uprobe_task *utask = BPF_CORE_READ(task, utask);
	u64 xol, ip = cur.t.regs.r[CT_RIP];
	u8 fixups, byte = 0;

	if (utask && BPF_CORE_READ(utask, active_uprobe)) {
		if (BPF_CORE_READ(utask, state) == UTASK_RUNNING)
			return;
		/* The scheduler's turn comes before handle_singlestep(), so whatever that would repair is still as
		 * the step left it. */
		xol = BPF_CORE_READ(utask, xol_vaddr);
		fixups = BPF_CORE_READ(utask, active_uprobe, arch.defparam.fixups);
		if (fixups & (FIX_RIP_SI | FIX_RIP_DI | FIX_RIP_BX)) {
			u64 saved = BPF_CORE_READ(utask, autask.saved_scratch_register);

			if (fixups & FIX_RIP_SI)
				cur.t.regs.r[CT_RSI] = saved;
			else if (fixups & FIX_RIP_DI)
				cur.t.regs.r[CT_RDI] = saved;
			else
				cur.t.regs.r[CT_RBX] = saved;
		}
		if (ip >= xol && ip < xol + XOL_SLOT)
			cur.t.regs.r[CT_RIP] = ip - xol + BPF_CORE_READ(utask, vaddr);
		cur.t.regs.r[CT_RFLAGS] &= ~X86_FLAGS_TF;
	} else if ((BPF_CORE_READ(task, thread_info.flags) & MAYBE_TIF_UPROBE) &&
		   !bpf_probe_read_user(&byte, 1, (void *)(ip - 1)) && byte == 0xcc) {
		cur.t.regs.r[CT_RIP] = ip - 1;
	}
}

__noinline int settle(u32 running, u32 tgid, u32 tid)
{
	if (running) /* a number, which a function verified by itself may take for a pointer; a task it must not be
			given */
		without_probe((const struct task_struct *)bpf_get_current_task());
	/* The instruction has run, the probe behind it has not been reached: whatever is logged next comes after it. */
	if (cur.t.insn && cur.t.regs.r[CT_RIP] == cur.t.insn_ip + (cur.t.insn & 0xff)) {
		emit_insn(tgid, tid);
		cur.t.insn = 0;
	}
	return 0;
}

SEC("uprobe")
int ct_insn(struct pt_regs *ctx)
{
	u64 id = bpf_get_current_pid_tgid(), cookie;
	u32 tgid = id >> 32, tid = (u32)id;

	if (mode != CT_MODE_REPLAY || !recorded(tgid))
		return 0;
	cookie = bpf_get_attach_cookie(ctx);
	if (cur.tid != tid)
		make_current(tgid, tid);
	/* A jump from elsewhere may lead to the place behind an instruction: then it has not run. */
	if ((cookie & COOKIE_AFTER) && cur.t.insn && cur.t.insn_ip + (cur.t.insn & 0xff) == PT_REGS_IP(ctx)) {
		struct scratch *x = scratch_get(SCRATCH_UPROBE);

		if (!x)
			return 0;
		bpf_probe_read_kernel(&x->frame, sizeof(x->frame), ctx);
		copy_regs(&cur.t.regs, &x->frame);
		emit_insn(tgid, tid);
	}
	cur.t.insn = cookie & 0xffff;
	cur.t.insn_ip = PT_REGS_IP(ctx);
	/* The kernel will emulate it (branch_setup_ops in arch/x86/kernel/uprobes.c): no counter sees it executed. */
	if (cookie & COOKIE_BRANCH)
		cur.t.ticks++;
	return 0;
}
