/* SPDX-License-Identifier: MIT
 * What one system call reads and writes, as data: shared by bpf/, dump and replay.
 *
 * The rows come from syscalls.def by way of scripts/gen_syscalls.c. Plain structs only. */
#ifndef CT_SYSRULE_H
#define CT_SYSRULE_H

#include "event.h"

#define CT_MAX_SYSCALL 512 /* numbers at and above are unknown */
#define CT_MAX_RULES   6   /* buffers of one call or sub-command */

/* What replay does with the call. */
enum ct_action {
	CT_ACT_UNKNOWN = 0, /* not in the table: the stretch is not replayable */
	CT_ACT_EMULATE,     /* set the result, copy the out-buffers */
	CT_ACT_EXECUTE,     /* really make the call in the replayed process (mmap family, ...) */
	CT_ACT_SPECIAL,     /* has code of its own (clone, execve, exit, rt_sigreturn, ...) */
	CT_ACT_REFUSE,      /* cannot be replayed (io_uring_setup, ...): the stretch is not replayable */
};

/* How many bytes a buffer has. `a` is args[rule.sarg] after the call. */
enum ct_size {
	CT_SZ_FIXED = 1, /* n */
	CT_SZ_RET,       /* ret * mul + n */
	CT_SZ_ARG,       /* a * mul + n */
	CT_SZ_RETMIN,    /* min(ret, a) * mul: receive calls whose result may exceed the buffer */
	CT_SZ_PTR32, /* *(u32 *)(a + soff) * mul + n; the caller caps it at the value before the call if it knows it */
	CT_SZ_PTR64, /* *(u64 *)(a + soff) * mul + n */
	CT_SZ_BITS,  /* (a + 63) / 64 * 8: an fd_set of a descriptors */
	CT_SZ_CPUMASK,  /* (a + 7) / 8 */
	CT_SZ_CSTR,     /* a NUL-terminated string of at most n bytes */
	CT_SZ_IOVEC,    /* the address is an iovec[a]; `ret` bytes spread over it */
	CT_SZ_MSGHDR,   /* the address is a msghdr: itself, name, control, and `ret` bytes spread over its iovec */
	CT_SZ_MMSGHDR,  /* the address is a mmsghdr[ret]: each as MSGHDR with its msg_len */
	CT_SZ_IOC,      /* _IOC_SIZE of args[sarg] */
	CT_SZ_STRV,     /* a NULL-terminated array of strings (argv, envp); IN only */
	CT_SZ_FILEREAD, /* ret bytes at the address, or with mul != 0 an iovec[a]; may go by reference to the file
			   behind descriptor args[0] at the offset of args[n], or at the file position if n is 0xff */
	CT_SZ_FILEMAP,  /* the content of the mapped file (mmap); always by reference */
	CT_SZ_PAGES,    /* (a + 4095) / 4096: mincore's vector */
};

enum ct_cond {
	CT_IF_OK = 0, /* ret >= 0 */
	CT_IF_ZERO,   /* ret == 0 */
	CT_IF_POS,    /* ret > 0 */
	CT_IF_ERR,    /* ret < 0 */
	CT_IF_ALWAYS,
	CT_IF_INTR, /* ret is -EINTR or an internal restart code: remaining-time structs */
};

enum ct_dir { CT_DIR_OUT = 1, CT_DIR_IN = 2 };

struct ct_rule {
	ct_u8 arg;  /* the address is args[arg] ... */
	ct_u8 dir;  /* enum ct_dir */
	ct_u8 size; /* enum ct_size */
	ct_u8 cond; /* enum ct_cond; IN buffers are always taken */
	ct_u8 sarg;
	ct_u8 flags; /* CT_RF_* */
	ct_u16 off;  /* ... or, with CT_RF_DEREF, *(u64 *)(args[arg] + off); NULL is no buffer */
	ct_u16 soff;
	ct_u16 mul;
	ct_u32 n;
};
#define CT_RF_DEREF 0x01

struct ct_sysrules {
	ct_u8 action; /* enum ct_action */
	ct_u8 nrules;
	ct_u8 subarg; /* 0..5: args[subarg] & submask selects a row of the sub-command table; 0xff: none */
	ct_u8 flags;  /* CT_SYSR_* */
	ct_u32 submask;
	struct ct_rule rule[CT_MAX_RULES];
};
#define CT_SYSR_ENTER      0x01 /* logged on entry (CT_EV_ENTER): does not return normally, or its arguments vanish */
#define CT_SYSR_SIMPLE     0x08 /* set by the loader: one buffer of plain size, or a second one that is mostly NULL */
#define CT_SYSR_SUB_STRICT 0x02 /* a sub-command without a row is unknown (else the call's own rules are all) */
#define CT_SYSR_IOC_OUT    0x04 /* ioctl: unknown commands with _IOC_READ take _IOC_SIZE bytes out, and are sound */

struct ct_subkey {
	ct_u32 nr;
	ct_u32 cmd;
};

#endif
