/* SPDX-License-Identifier: MIT OR GPL-2.0
 * One system call being looked at: what collect.bpf.c finds out and syscalls.bpf.c writes. */
#ifndef CT_CALL_BPF_H
#define CT_CALL_BPF_H

#include "files.bpf.h"
#include "target.bpf.h"

#define MAX_BUFS   256
#define IN_STR_MAX 256        /* bytes kept of strings the program passed in; of other data: in_max */
#define CHUNK      (1u << 20) /* buffers above go into DATA records of at most this size */
#define COPY       4096       /* step of the copy loop on kernels without bpf_probe_read_user_dynptr */
#define MAX_CHUNKS 4096

#define EINTR              4
#define EFAULT             14
#define RESTART_MIN        -516 /* -ERESTARTSYS .. -ERESTART_RESTARTBLOCK */
#define RESTART_MAX        -512
#define NR_rt_sigreturn    15
#define NR_execve          59
#define NR_exit            60
#define NR_restart_syscall 219
#define NR_exit_group      231
#define NR_execveat        322
#define NR_uretprobe       335
#define NR_uprobe          336

/* Rows of formats/syscalls.def, filled in before loading. */
extern const volatile struct ct_sysrules rules[CT_MAX_SYSCALL];

struct call {
	s64 ret;
	u64 args[6];
	u32 tgid, tid;
	s32 nr;
	u32 nbufs;
	u32 flags; /* CT_SYSF_* */
	u32 bytes; /* of buffers in the record, headers and padding included */
	u32 in_only;
	u32 replay;   /* enum ct_mode of its process is CT_MODE_REPLAY */
	u32 rules_nr; /* row of `rules` in force, unless ... */
	u32 use_sub;  /* ... c->r is a copy of one of `subrules` */
	u32 have_ref;
	u32 chunked; /* some buffer goes into DATA records */
	u64 fault_addr;
	struct ct_sysrules r;
	struct ct_file_ref ref;
	struct ct_buf buf[MAX_BUFS];
	u8 copy[COPY];
};
struct calls_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct call);
};
extern struct calls_map calls SEC(".maps");

static __always_inline struct call *this_call(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&calls, &zero);
}

static __always_inline u64 arg(const struct call *c, u32 i)
{
	return i < 6 ? c->args[i] : 0;
}

static __always_inline u64 reg_arg(const struct pt_regs *regs, u32 i)
{
	switch (i) {
	case 0: return regs->di;
	case 1: return regs->si;
	case 2: return regs->dx;
	case 3: return regs->r10;
	case 4: return regs->r8;
	default: return regs->r9;
	}
}

static __always_inline u64 user64(u64 addr)
{
	u64 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}
static __always_inline u32 user32(u64 addr)
{
	u32 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

static __always_inline u32 pad8(u32 n)
{
	return (n + 7) & ~7u;
}

static __always_inline bool applies(u32 cond, s64 ret)
{
	switch (cond) {
	case CT_IF_OK: return ret >= 0;
	case CT_IF_ZERO: return ret == 0;
	case CT_IF_POS: return ret > 0;
	case CT_IF_ERR: return ret < 0;
	case CT_IF_INTR: return ret == -EINTR || (ret >= RESTART_MIN && ret <= RESTART_MAX);
	default: return true;
	}
}

#define NR_clone            56
#define NR_fork             57
#define NR_vfork            58
#define NR_clone3           435
#define CLONE_PIDFD         0x1000
#define CLONE_PARENT_SETTID 0x100000

static __always_inline bool is_clone(s32 nr)
{
	return nr == NR_clone || nr == NR_fork || nr == NR_vfork || nr == NR_clone3;
}

/* Fills the buffer list of this CPU's call (args, ret, in_only set) by the rules of call `nr`. */
int collect(s32 nr);

#endif
