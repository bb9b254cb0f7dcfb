/* SPDX-License-Identifier: MIT OR GPL-2.0
 * The few kernel types the programs read, hand-picked. CO-RE (preserve_access_index) finds the real offsets on the
 * running kernel, so a struct lists only the members we use. Names with three underscores are older layouts. */
#ifndef CT_KERNEL_BPF_H
#define CT_KERNEL_BPF_H

#define __VMLINUX_H__ /* bpf_tracing.h: use the kernel's names of pt_regs members */
#include <linux/bpf.h>
#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

/* The register frame is an ABI of its own and needs no relocation. */
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	unsigned long sig[1];
} sigset_t;

struct list_head {
	struct list_head *next;
};

struct sigpending {
	sigset_t signal;
};

struct sigaction {
	void *sa_handler;
	unsigned long sa_flags;
	void *sa_restorer;
	sigset_t sa_mask;
};
struct k_sigaction {
	struct sigaction sa;
};
struct sighand_struct {
	struct k_sigaction action[64];
};
struct signal_struct {
	atomic_t live;
	struct sigpending shared_pending;
	unsigned int is_child_subreaper : 1;
};

union fpregs_state {
	char xsave;
};
struct fpstate {
	unsigned int size;
	u64 xfeatures;
	union fpregs_state regs;
};
struct fpu {
	struct fpstate *fpstate;
};
struct thread_struct {
	unsigned long fsbase, gsbase;
};
struct thread_struct___fpu_inside { /* until 6.15 the FPU state was a member */
	struct fpu fpu;
};

struct super_block {
	u32 s_dev;
	unsigned long s_magic;
};
struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
};
struct rb_root {
	struct rb_node *rb_node;
};
struct rb_root_cached {
	struct rb_root rb_root;
};
struct address_space {
	atomic_t i_mmap_writable;
	struct rb_root_cached i_mmap;
};
struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	struct address_space *i_mapping;
	unsigned long i_ino;
	s64 i_size;
	s64 i_ctime_sec;
	u32 i_ctime_nsec;
	atomic_t i_writecount;
};
struct inode___6_6 { /* 6.6 .. 6.10 */
	struct timespec64 __i_ctime;
};
struct inode___5_x { /* up to 6.5 */
	struct timespec64 i_ctime;
};
struct file {
	struct inode *f_inode;
	struct address_space *f_mapping;
	unsigned int f_mode;
	s64 f_pos;
};
typedef struct {
	long counter;
} atomic64_t___ct;
typedef struct {
	atomic64_t___ct refcnt;
} file_ref_t___ct;
struct file___ref { /* since 6.13; counts from -1 */
	file_ref_t___ct f_ref;
};
struct file___count {
	atomic64_t___ct f_count;
};
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};
struct files_struct {
	struct fdtable *fdt;
};

struct xol_area { /* kernel/events/uprobes.c */
	unsigned long vaddr;
};
struct uprobes_state {
	struct xol_area *xol_area;
};
struct mm_struct {
	atomic_t mm_users;
	struct uprobes_state uprobes_state;
	unsigned long start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	unsigned long arg_start, arg_end, env_start, env_end;
};

struct pid_namespace {
	unsigned int level;
};
struct upid {
	int nr;
};
struct pid {
	unsigned int level;
	struct upid numbers[1];
};

/* kernel/events/uprobes.c: what a thread does while it is at a probed instruction */
enum uprobe_task_state { UTASK_RUNNING, UTASK_SSTEP, UTASK_SSTEP_ACK, UTASK_SSTEP_TRAPPED };
struct arch_uprobe_task {
	unsigned long saved_scratch_register;
};
struct arch_uprobe {
	struct {
		u8 fixups;
	} defparam;
};
struct uprobe {
	struct arch_uprobe arch;
};
struct uprobe_task {
	enum uprobe_task_state state;
	struct arch_uprobe_task autask;
	unsigned long vaddr;
	struct uprobe *active_uprobe;
	unsigned long xol_vaddr;
};

struct thread_info {
	unsigned long flags;
	u32 status;
};
#define TS_COMPAT 2 /* of thread_info.status: in a system call that came through the 32-bit gate */
struct task_struct {
	struct thread_info thread_info;
	struct uprobe_task *utask;
	unsigned int __state;
	unsigned int flags;
	unsigned int personality;
	void *stack;
	struct mm_struct *mm;
	int exit_code;
	int pid, tgid;
	struct task_struct *real_parent, *group_leader;
	struct pid *thread_pid;
	int *set_child_tid, *clear_child_tid;
	u64 start_boottime;
	char comm[16];
	struct files_struct *files;
	struct signal_struct *signal;
	struct sighand_struct *sighand;
	sigset_t blocked, saved_sigmask;
	struct sigpending pending;
	unsigned long sas_ss_sp;
	unsigned long sas_ss_size;
	unsigned int sas_ss_flags;
	void *robust_list;
	void *rseq;
	struct thread_struct thread;
};

struct linux_binprm;
struct kernel_siginfo;

#pragma clang attribute pop

/* struct kernel_siginfo has the layout of the user ABI; this is its beginning for a fault. */
struct siginfo_fault {
	int signo, err, code, pad;
	u64 addr;
};

#define X86_FLAGS_TF 0x100ull

#define PF_EXITING 0x4
#define TASK_DEAD  0x80
#define PF_KTHREAD 0x200000

#endif
