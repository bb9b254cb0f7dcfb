/* SPDX-License-Identifier: MIT OR GPL-2.0
 * The page that the kernel maps into a process whose functions' returns are probed: return addresses lead there, and
 * since 6.11 a system call from there, which is none of the program's. */
#ifndef CT_UPROBES_BPF_H
#define CT_UPROBES_BPF_H

#include "kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

static __always_inline bool in_uprobes_page(u64 addr)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct xol_area *area = BPF_CORE_READ(task, mm, uprobes_state.xol_area);

	return area && BPF_CORE_READ(area, vaddr) == (addr & ~4095ull);
}

/* Behind the system call of the code that a probed 5-byte nop is made to call (uprobe_trampoline_entry in
 * arch/x86/kernel/uprobes.c): mov $336, %rax; syscall. */
static __always_inline bool in_nop_trampoline(u64 ip)
{
	u64 mov = 0;
	u16 syscall = 0;

	bpf_probe_read_user(&mov, 7, (void *)(ip - 9));
	bpf_probe_read_user(&syscall, 2, (void *)(ip - 2));
	return mov == 0x00000150c0c748 && syscall == 0x050f;
}

#endif
