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
#define INSN_MAX         15
#define BREAKPOINT       0xcc
#define XOL_PAGE         0x7fffffffe000ull /* the last page of user memory, where [uprobes] is unless it is taken */
#define HANDLER_MAX      4096              /* bytes of uprobe_notify_resume(): 1100 in 6.18 */

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

/* Where probes are handled (kernel/events/uprobes.c): two functions that follow each other. 0 if kallsyms hides them.
 */
extern const void uprobe_notify_resume __ksym __weak;
extern const void uprobe_pre_sstep_notifier __ksym __weak;

/* 1: the kernel is handling a probe in the running thread. 0: it is not. -1: nobody knows. */
static __always_inline int handles_probe(void)
{
	u64 begin = (u64)&uprobe_notify_resume, end = (u64)&uprobe_pre_sstep_notifier;
	struct scratch *x = scratch_get(SCRATCH_EVENTS);
	long n;

	if (!x || !begin || end <= begin || end - begin > HANDLER_MAX)
		return -1;
	n = bpf_get_task_stack(bpf_get_current_task_btf(), x->stack, sizeof(x->stack), 0);
	if (n <= 0)
		return -1;
	for (u32 i = 0; i < STACK_DEPTH; i++)
		if (i < (u64)n / 8 && x->stack[i] > begin && x->stack[i] < end)
			return 1;
	return n < (long)sizeof(x->stack) ? 0 : -1;
}

/* riprel_pre_xol() has lent a register to the instruction out of line, or this is not yet known to the uprobe_task:
 * then it is the register that points right behind the instruction. */
static __always_inline void take_back_register(struct uprobe_task *utask, u64 vaddr)
{
	struct uprobe *active = BPF_CORE_READ(utask, active_uprobe);
	u64 saved = BPF_CORE_READ(utask, autask.saved_scratch_register), *r = cur.t.regs.r;
	u8 fixups = 0;

	if (active)
		bpf_probe_read_kernel(&fixups, 1, __builtin_preserve_access_index(&active->arch.defparam.fixups));
	else if (r[CT_RSI] - vaddr - 1 < INSN_MAX)
		fixups = FIX_RIP_SI;
	else if (r[CT_RDI] - vaddr - 1 < INSN_MAX)
		fixups = FIX_RIP_DI;
	else if (r[CT_RBX] - vaddr - 1 < INSN_MAX)
		fixups = FIX_RIP_BX;
	if (fixups & FIX_RIP_SI)
		r[CT_RSI] = saved;
	else if (fixups & FIX_RIP_DI)
		r[CT_RDI] = saved;
	else if (fixups & FIX_RIP_BX)
		r[CT_RBX] = saved;
}

/* A thread can be interrupted while the kernel handles one of our probes: behind the breakpoint that nobody has looked
 * at yet, or that handle_swbp() has only begun to look at; or on the copy of the instruction in the [uprobes] page. No
 * replay comes to such a place. cur.t.regs become those the thread would have there without the probe. `task` is its
 * task_struct, 0 if nobody knows. False: it cannot be told. */
static __always_inline bool without_probe(const struct task_struct *task, u32 left)
{
	struct uprobe_task *utask = task ? BPF_CORE_READ(task, utask) : NULL;
	u64 ip = cur.t.regs.r[CT_RIP], xol, vaddr;
	u8 byte = 0;

	/* What pre_ssout() and handle_singlestep() set and repair they do one after the other: between that any of it
	 * may be done. The slot is what is there first and goes last. */
	xol = utask ? BPF_CORE_READ(utask, xol_vaddr) : 0;
	if (xol) {
		vaddr = BPF_CORE_READ(utask, vaddr);
		if (ip >= xol && ip < xol + XOL_SLOT) {
			take_back_register(utask, vaddr);
			cur.t.regs.r[CT_RIP] = ip - xol + vaddr;
			cur.t.regs.r[CT_RFLAGS] &= ~X86_FLAGS_TF;
			return true;
		}
		if (BPF_CORE_READ(utask, active_uprobe)) {
			/* Repaired already is the same as repaired again. */
			if (BPF_CORE_READ(utask, state) != UTASK_RUNNING)
				take_back_register(utask, vaddr);
			cur.t.regs.r[CT_RFLAGS] &= ~X86_FLAGS_TF;
			return true;
		}
		if (ip == vaddr) {
			take_back_register(utask, vaddr);
			return true;
		}
	}
	if (bpf_probe_read_user(&byte, 1, (void *)(ip - 1)) || byte != BREAKPOINT)
		return task || ip < XOL_PAGE;
	if (task && (BPF_CORE_READ(task, thread_info.flags) & MAYBE_TIF_UPROBE)) {
		cur.t.regs.r[CT_RIP] = ip - 1;
		return true;
	}
	/* uprobe_notify_resume() has cleared the flag. Other code has such bytes, too: padding, constants. */
	if (left != LEFT_LONG_AGO) {
		int in = handles_probe();

		if (in > 0)
			cur.t.regs.r[CT_RIP] = ip - 1;
		if (in >= 0)
			return true;
	}
	return left == LEFT_OUTWARDS;
}

__noinline int settle(u32 left, u32 tgid, u32 tid)
{
	/* Looked up here: a function that is verified by itself may take a number for a pointer, and must not be given
	 * a task. */
	u64 task = left == LEFT_LONG_AGO ? cur.t.task : bpf_get_current_task();

	if (left != LEFT_CLEAN && !without_probe((const struct task_struct *)task, left))
		say_unsound(tgid, tid, CT_UNSOUND_PROBE, cur.t.regs.r[CT_RIP]);
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

	if (mode != CT_MODE_REPLAY || recorded(tgid) != CT_MODE_REPLAY)
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
