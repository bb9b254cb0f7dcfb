/* SPDX-License-Identifier: MIT
 * Event records: what the BPF programs emit, what segments hold, what replay reads.
 *
 * Plain fixed-size little-endian structs only: this header is shared with bpf/.
 * docs/format.md specifies every field; change both, and CT_EVENT_VERSION, together. */
#ifndef CT_EVENT_H
#define CT_EVENT_H

#ifndef __bpf__
#include <stdint.h>
typedef uint8_t ct_u8;
typedef uint16_t ct_u16;
typedef uint32_t ct_u32;
typedef uint64_t ct_u64;
typedef int32_t ct_s32;
typedef int64_t ct_s64;
#else
typedef unsigned char ct_u8;
typedef unsigned short ct_u16;
typedef unsigned int ct_u32;
typedef unsigned long long ct_u64;
typedef int ct_s32;
typedef long long ct_s64;
#endif

#define CT_EVENT_VERSION 4
#define CT_EVENT_OLDEST  1 /* read, too: without the records of calls; 2 has no PAUSE, 3 no CT_EVF_EVENTS_ONLY */
/* Every record starts at a multiple of this many bytes within a block. */
#define CT_EVENT_ALIGN   8
/* Largest record, header included. Larger buffers travel in CT_EV_DATA chunks. */
#define CT_EVENT_MAX     (4u << 20)

/* type, name, one-line meaning. The origin column says who writes it: K the kernel side, U the recorder. */
#define CT_EVENT_TYPES(X)                                                                                              \
	X(1, SYSCALL, syscall, "K: a system call returned; results and out-buffers")                                   \
	X(2, ENTER, enter, "K: a system call that does not return in the usual way was entered")                       \
	X(3, SIGNAL, signal, "K: a signal is about to be delivered; registers before")                                 \
	X(4, FRAME, frame, "K: the handler's frame is set up; frame bytes, registers after")                           \
	X(5, SWITCH, switch, "K: the CPU went from one recorded thread to another")                                    \
	X(6, FORK, fork, "K: a recorded thread made a new thread or process")                                          \
	X(7, EXEC, exec, "K: a recorded process has a new program image")                                              \
	X(8, EXIT, exit, "K: a recorded thread is gone")                                                               \
	X(9, RSEQ, rseq, "K: the kernel moved a thread to its restartable sequence's abort handler")                   \
	X(10, INSN, insn, "K: an instruction with an unpredictable result ran (rdtsc, rdrand, ...)")                   \
	X(11, DATA, data, "K: part of a buffer too large for one record; belongs to the next SYSCALL of the tid")      \
	X(12, FILE, file, "U: the content of (device, inode, ctime) is kept in files/<hash>")                          \
	X(13, SNAPSHOT, snapshot, "U: snapshot N holds the state of its processes at exactly this event")              \
	X(14, LOST, lost, "U: this many records were lost here; the sequence number jumps by as many")                 \
	X(15, UNSOUND, unsound, "U or K: from here to the next snapshot this process cannot be replayed, and why")     \
	X(16, NOTE, note, "U: free text for people")                                                                   \
	X(17, END, end, "U: the recording was ended here in an orderly way")                                           \
	X(18, FUNCTION, function, "K or U: which function the CALL and RETURN records with this number speak of")      \
	X(19, CALL, call, "K: a probed function was entered")                                                          \
	X(20, RETURN, return, "K: a probed function was left")                                                         \
	X(21, LINES, lines, "K: lines that a function has run, as the program itself told")                            \
	X(22, VALUE, value, "K: an argument, a variable or a result, as the program itself told")                      \
	X(23, MESSAGE, message, "K: something the program itself wanted to be in the log")                             \
	X(24, PAUSE, pause, "U: calls are not recorded from here on, or again")

enum ct_event_type {
#define X(num, sym, name, text) CT_EV_##sym = num,
	CT_EVENT_TYPES(X)
#undef X
};

/* Header of every record. `seq` starts at 1 and grows by one with every record of a recording, across
 * segments; a jump is loss, and a CT_EV_LOST record follows it. */
struct ct_event {
	ct_u32 size;    /* bytes of the record, header included, padding excluded */
	ct_u16 type;    /* enum ct_event_type */
	ct_u16 flags;   /* CT_EVF_* */
	ct_u64 seq;     /* kernel side: its own dense number; on disk: the recording's */
	ct_u64 time_ns; /* CLOCK_MONOTONIC */
	ct_u32 tid;     /* thread, in the initial PID namespace */
	ct_u32 pid;     /* thread group */
};

#define CT_EVF_FOREIGN_CPU 0x0001 /* happened on another CPU than the one the target is pinned to */
#define CT_EVF_EVENTS_ONLY 0x0002 /* of a process whose events are recorded, and that is not replayed */
#define CT_EVF_ALL         0x0003

/* General registers, in the order of the kernel's user_regs_struct up to ss, then the two bases. */
enum ct_reg {
	CT_R15,
	CT_R14,
	CT_R13,
	CT_R12,
	CT_RBP,
	CT_RBX,
	CT_R11,
	CT_R10,
	CT_R9,
	CT_R8,
	CT_RAX,
	CT_RCX,
	CT_RDX,
	CT_RSI,
	CT_RDI,
	CT_ORIG_RAX,
	CT_RIP,
	CT_CS,
	CT_RFLAGS,
	CT_RSP,
	CT_SS,
	CT_FS_BASE,
	CT_GS_BASE,
	CT_NREGS
};
struct ct_regs {
	ct_u64 r[CT_NREGS];
};

/* ---- CT_EV_SYSCALL ------------------------------------------------------------------------------ */

/* Followed by `nbufs` struct ct_buf, each with its `len` bytes of data padded to 8. */
struct ct_ev_syscall {
	ct_s64 ret; /* -512..-516 are the kernel's internal restart codes */
	ct_u64 args[6];
	ct_u64 ip; /* address after the syscall instruction */
	ct_u64 sp;
	ct_u64 rflags; /* r11 after the call; rcx is ip */
	ct_u64 saved;  /* hash of the callee-saved registers, see CT_SAVED_HASH */
	ct_s32 nr;     /* -1: return from rt_sigreturn; then the call's registers follow in a REGS buffer */
	ct_u16 nbufs;
	ct_u16 flags; /* CT_SYSF_* */
};
#define CT_SYSF_NO_ENTER  0x0001 /* its entry was not seen: blocked at attach, or a new child's first return */
#define CT_SYSF_TRUNCATED 0x0002 /* some buffers did not fit the tables; an UNSOUND record follows */
#define CT_SYSF_FAULT     0x0004 /* a buffer was not readable (CT_BUF_FAULT); an UNSOUND record follows */
#define CT_SYSF_UNKNOWN   0x0008 /* no rule describes this call; an UNSOUND record follows */
#define CT_SYSF_SWITCHED  0x0010 /* another recorded thread ran between entry and return */

/* Order matters to nobody, but must be the same everywhere. Multiplications wrap. */
#define CT_SAVED_HASH(rbx, rbp, r12, r13, r14, r15) ((rbx)*3 + (rbp)*5 + (r12)*7 + (r13)*11 + (r14)*13 + (r15)*17)

enum ct_buf_kind {
	CT_BUF_OUT = 1,   /* bytes the kernel wrote at `addr` */
	CT_BUF_IN = 2,    /* bytes the program passed; for people and for checking, maybe cut short */
	CT_BUF_FAULT = 3, /* the kernel may have written `want` bytes at `addr`, which could not be read; len is 0 */
	CT_BUF_FILE = 4,  /* data: struct ct_file_ref; the `want` bytes at addr are file content */
	CT_BUF_REGS = 5,  /* data: struct ct_regs */
	CT_BUF_PATH = 6,  /* data: path of the file behind a mapped or opened descriptor, not NUL-terminated */
};
struct ct_buf {
	ct_u64 addr;
	ct_u32 len;  /* bytes of data that follow (before padding) */
	ct_u32 want; /* bytes there were; len < want only for IN, FAULT, FILE and chunked (CT_BUFF_CHUNKED) buffers */
	ct_u8 kind;  /* enum ct_buf_kind */
	ct_u8 arg;   /* index of the argument it belongs to, 0..5 */
	ct_u16 flags;
	ct_u32 pad;
};
#define CT_BUFF_CHUNKED 0x0001 /* the data came in preceding CT_EV_DATA records of this thread */

/* Identity of a file's content: while (dev, ino, ctime, size) stay, so does the content. */
struct ct_file_ref {
	ct_u64 dev; /* major << 20 | minor, as in the kernel's s_dev */
	ct_u64 ino;
	ct_s64 ctime_s;
	ct_u32 ctime_ns;
	ct_u32 flags; /* CT_FILE_* */
	ct_u64 size;
	ct_u64 offset; /* where in the file the bytes are */
	ct_u64 len;
};
#define CT_FILE_SHARED_WRITABLE 0x1 /* mapped MAP_SHARED with a writable descriptor */

/* ---- CT_EV_ENTER -------------------------------------------------------------------------------- */

/* exit, exit_group, rt_sigreturn, execve, execveat, vfork and CLONE_VM clones. Followed by IN buffers. */
struct ct_ev_enter {
	ct_s32 nr;
	ct_u16 nbufs;
	ct_u16 flags;
	struct ct_regs regs;
	ct_u64 clear_child_tid; /* exit: where the kernel will store 0 ... */
	ct_u64 robust_list;     /* ... and the robust futex list it will walk */
};

/* ---- Fingerprints: where in the program an asynchronous event happened --------------------------- */

#define CT_FP_HARVEST 48   /* operand addresses decoded from the code around rip */
#define CT_FP_STACK   1024 /* bytes of stack from rsp-128 */
#define CT_FP_GPRS    14   /* r15..rdi without rax's neighbour orig_rax: order of CT_FP_GPR_ORDER */
#define CT_FP_GPR     64   /* bytes at each of them, from the address rounded down to 8 */

struct ct_fp_operand {
	ct_u64 addr;
	ct_u8 data[16];
};
/* GPR k of the fingerprint is ct_regs.r[k] for k < 10 and r[k + 1] from there on (rax, which rarely points
 * anywhere, is left out; orig_rax, rip, rsp are not in the list). */
struct ct_fingerprint {
	ct_u32 mask; /* bit 0: stack valid; bit 1+k: gpr[k] valid */
	ct_u32 noperands;
	ct_u64 ticks; /* retired conditional branches of the thread since it was recorded, if CT_FPF_TICKS */
	ct_u32 flags; /* CT_FPF_* */
	ct_u32 pad;
	struct ct_fp_operand operand[CT_FP_HARVEST];
	ct_u8 stack[CT_FP_STACK];
	ct_u8 gpr[CT_FP_GPRS][CT_FP_GPR];
};
#define CT_FPF_TICKS 0x1
#define CT_FPF_LATE  0x2 /* taken after other threads had run: only registers can be trusted */

/* ---- CT_EV_SIGNAL, CT_EV_FRAME ------------------------------------------------------------------- */

/* Followed by struct ct_fingerprint if CT_SIGF_ASYNC. */
struct ct_ev_signal {
	ct_s32 sig;
	ct_s32 code;    /* si_code */
	ct_u64 handler; /* 0 SIG_DFL, 1 SIG_IGN, else the handler's address */
	ct_u64 sa_flags;
	ct_u64 fault_addr; /* si_addr for SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP */
	ct_u32 flags;      /* CT_SIGF_* */
	ct_u32 pad;
	struct ct_regs regs;
};
#define CT_SIGF_ASYNC 0x1 /* user code was interrupted anywhere: not at a syscall, not by a fault of its own */
#define CT_SIGF_SYNC  0x2 /* raised by the instruction at rip */

/* Followed by one OUT buffer: the frame. */
struct ct_ev_frame {
	ct_s32 sig;
	ct_u16 nbufs;
	ct_u16 flags;
	struct ct_regs regs;
};

/* ---- CT_EV_SWITCH ---------------------------------------------------------------------------------- */

/* header.tid is the thread that left the CPU, `to` the one that got it. Followed by struct ct_fingerprint
 * if CT_SWF_USER, then by struct ct_fpu if CT_SWF_FPU. */
struct ct_ev_switch {
	ct_u32 to;
	ct_u32 to_pid;
	ct_u32 flags;        /* CT_SWF_* */
	ct_s32 nr;           /* the system call it is in, if CT_SWF_INSYS */
	struct ct_regs regs; /* of the leaving thread, unless CT_SWF_EXITING */
};
#define CT_SWF_INSYS       0x01 /* left inside a system call */
#define CT_SWF_USER        0x02 /* left in user code: position given by regs and fingerprint */
#define CT_SWF_REPAIRED    0x04 /* the scheduler's tracepoint did not report it; made up from the next event */
#define CT_SWF_EXITING     0x08 /* it is exiting */
#define CT_SWF_TID_CLEARED 0x10 /* ... and clear_child_tid has been stored already */
#define CT_SWF_ROBUST      0x40 /* ... and its robust futex list has been walked */
#define CT_SWF_ROBUST_AT   0x80 /* ... or as far as the futex at regs.r[CT_RDI], with it */
#define CT_SWF_FPU         0x20 /* saved FPU state of `to` follows: it had been left in user code */

/* First part of the XSAVE image (legacy area, header, first extended component). If bit 63 of the XCOMP_BV
 * at offset 520 is set the image is compacted, as the kernel keeps it. */
struct ct_fpu {
	ct_u8 xsave[832];
};

/* ---- Processes ------------------------------------------------------------------------------------- */

struct ct_ev_fork {
	ct_u32 child_tid;
	ct_u32 child_pid; /* == header.pid: a thread */
	ct_u32 flags;     /* CT_FORKF_* */
	ct_u32 pad;
};
#define CT_FORKF_FOLLOWED  0x1 /* the child is recorded */
#define CT_FORKF_SHARES_MM 0x2 /* CLONE_VM: thread, or vfork child */
#define CT_FORKF_EVENTS    0x4 /* without FOLLOWED: the child's events are recorded, it is not replayed */

struct ct_ev_exec {
	ct_u32 old_tid; /* the thread that called execve; from here on it is the leader, tid == pid */
	ct_u32 flags;   /* CT_EXECF_* */
	struct ct_regs regs;
	char comm[16];
};
#define CT_EXECF_HELD   0x1 /* it waited in the kernel until the recorder had attached to the new image */
#define CT_EXECF_EVENTS 0x2 /* from here on only its events are recorded; a replay goes on without it */

struct ct_ev_exit {
	ct_s32 code;  /* as wait4's status */
	ct_u32 flags; /* CT_EXITF_* */
};
#define CT_EXITF_GROUP 0x1 /* the last thread: the process is gone */

/* ---- CT_EV_RSEQ, CT_EV_INSN ------------------------------------------------------------------------- */

struct ct_ev_rseq {
	ct_u64 from_ip, start_ip, post_commit_offset, abort_ip;
};

enum ct_insn { CT_INSN_RDTSC = 1, CT_INSN_RDTSCP, CT_INSN_RDRAND, CT_INSN_RDSEED, CT_INSN_CPUID };
struct ct_ev_insn {
	ct_u64 ip;           /* of the instruction */
	ct_u32 kind;         /* enum ct_insn */
	ct_u32 len;          /* bytes of the instruction */
	struct ct_regs regs; /* after it */
};

/* ---- CT_EV_DATA ---------------------------------------------------------------------------------- */

/* Followed by `len` bytes. */
struct ct_ev_data {
	ct_u64 addr;
	ct_u32 len;
	ct_u32 flags; /* CT_BUF_FAULT here means: not readable, no bytes follow */
};

/* ---- Written by the recorder -------------------------------------------------------------------- */

/* Followed by the path the file was mapped from (path_len bytes, not terminated). */
struct ct_ev_file {
	struct ct_file_ref ref; /* offset and len are 0 */
	ct_u8 hash[16];         /* XXH3-128 of the content, canonical (big-endian) form: the name in files/ */
	ct_u32 path_len;
	ct_u32 flags;
};

struct ct_ev_snapshot {
	ct_u32 id;   /* directory snapshots/<id, 6 digits> */
	ct_u32 kind; /* enum ct_snapshot_kind */
	ct_u32 nprocs;
	ct_u32 pad;
};
enum ct_snapshot_kind {
	CT_SNAP_ATTACH = 1, /* recording starts here */
	CT_SNAP_EXEC,       /* one process, right after its execve */
	CT_SNAP_LOSS,       /* after lost records or an unsound stretch */
	CT_SNAP_PERIODIC,
	CT_SNAP_FINAL, /* the end: only for comparison */
};

struct ct_ev_lost {
	ct_u64 count;
	ct_u32 reason; /* enum ct_lost_reason */
	ct_u32 pad;
};
enum ct_lost_reason { CT_LOST_RING_FULL = 1, CT_LOST_TOO_LARGE, CT_LOST_QUEUE_FULL };

/* Followed by text_len bytes of text. CT_EV_NOTE uses the same struct. */
struct ct_ev_text {
	ct_u32 reason; /* enum ct_unsound, 0 for notes */
	ct_u32 text_len;
	ct_u64 value; /* the syscall number, address ... the reason speaks of */
};
enum ct_unsound {
	CT_UNSOUND_SYSCALL = 1,   /* a call that replay refuses or does not know; value: nr */
	CT_UNSOUND_FAULT,         /* an out-buffer could not be read; value: its address */
	CT_UNSOUND_TRUNCATED,     /* too many buffers; value: nr */
	CT_UNSOUND_FOREIGN_CPU,   /* ran on a CPU it was not pinned to; value: the CPU */
	CT_UNSOUND_EXEC_NOT_HELD, /* the new image ran before it could be snapshotted; value: ns it had been held */
	CT_UNSOUND_FILE,          /* a mapped file's content could not be kept */
	CT_UNSOUND_SHARED,        /* memory shared with a process that is not recorded */
	CT_UNSOUND_FRAME,         /* a signal frame was not seen; value: the signal */
	CT_UNSOUND_INSN,          /* unrecorded rdtsc and the like in newly mapped code; value: address */
	CT_UNSOUND_WRITTEN,       /* a call has written to a file that is mapped; value: the descriptor */
	CT_UNSOUND_PROBE,         /* left maybe inside of a probe of ours, where no replay comes; value: its rip */
	CT_UNSOUND_CALL32,        /* a system call by the 32-bit gate (int 0x80), whose numbers are others; value: nr */
	CT_UNSOUND_VSYSCALL,      /* a call of the vsyscall page, which the kernel emulates; value: which */
	CT_UNSOUND_PLACE,         /* mapped where replays keep things of their own; value: address */
};

struct ct_ev_end {
	ct_u32 reason; /* enum ct_end_reason */
	ct_s32 status; /* wait4 status of the (first) target if it ended */
};
enum ct_end_reason {
	CT_END_DURATION = 1,
	CT_END_SIGNAL,
	CT_END_TARGET_GONE,
	CT_END_LOST,
	CT_END_ERROR,
	CT_END_LIMIT,
	CT_END_TRIGGER /* recording went on; this part was kept */
};

/* ---- Calls, seen by probes in a process that runs ------------------------------------------------ */

/* Followed by the function's name (name_len bytes) and the path of the file it is from (file_len bytes), UTF-8, not
 * terminated; for CT_LANGUAGE_NAMED by the language's name, too, up to the record's end. */
struct ct_ev_function {
	ct_u32 id;       /* from 1 on; told before the first call */
	ct_u32 line;     /* where it is defined; 0: not known */
	ct_u64 addr;     /* native code: of its first byte, as linked; else 0 */
	ct_u16 language; /* enum ct_language */
	ct_u16 flags;    /* CT_FNF_* */
	ct_u16 name_len, file_len;
};
enum ct_language { CT_LANGUAGE_NATIVE = 1, CT_LANGUAGE_PYTHON, CT_LANGUAGE_NAMED };
#define CT_FNF_BINARY 0x1 /* the file is the program or library, since that of the source is not known */
#define CT_FNF_CUT    0x2 /* the name or the path is longer than what is here */

/* Followed by nargs u64: the first integer arguments of the calling convention (rdi rsi rdx rcx r8 r9), whether or not
 * the function takes as many. */
struct ct_ev_call {
	ct_u32 function; /* id of a FUNCTION record */
	ct_u16 depth;    /* in the thread's stack of probed calls, from 1 on. Calls that were at this depth or deeper
			    have ended before, without a RETURN record if there is none: see ct_ev_return */
	ct_u8 nargs;
	ct_u8 flags;       /* CT_ENTERED_* */
	ct_u64 entered_ns; /* CLOCK_MONOTONIC; earlier than the record's if it was told later */
};
#define CT_ENTERED_TAIL 0x1 /* the call that was at this depth ended by a jump to this one */
#define CT_CALL_NARGS   6

/* The call at this depth ends; deeper ones have ended before, unseen: by an exception, by longjmp(3), or because the
 * kernel follows no more than 64 returns of a thread. */
struct ct_ev_return {
	ct_u32 function;
	ct_u16 depth;
	ct_u16 flags; /* CT_LEFT_* */
	ct_u64 value; /* the register rax; 0 unless CT_LEFT_VALUE */
};
#define CT_LEFT_VALUE  0x1
#define CT_LEFT_RAISED 0x2 /* by an exception of its language */

/* What programs tell of themselves by way of ctbpf.h. `function` and `depth` are those of the call that is meant, which
 * is the innermost of its kind; lines, values and results come before the RETURN record. */

/* Followed by `count` u32: lines of the function, in the order they ran, before the record's time but after
 * that of the record of the thread before it. */
struct ct_ev_lines {
	ct_u32 function;
	ct_u16 depth, count;
};

/* Followed by its name, the name of its type, and its data, UTF-8 or bytes. */
struct ct_ev_value {
	ct_u32 function;
	ct_u16 depth;
	ct_u8 role; /* enum ct_told_role */
	ct_u8 kind; /* enum ct_told_kind */
	ct_u16 name_len, type_len;
	ct_u32 data_len; /* bytes of data that are here; none but of CT_KIND_STRING and CT_KIND_BYTES */
	ct_u64 number;   /* CT_KIND_INT, _UNSIGNED, _BOOL; the bits of a double for CT_KIND_FLOAT */
	ct_u64 length;   /* bytes of data that it has */
};
enum ct_told_role { CT_ROLE_VARIABLE, CT_ROLE_ARGUMENT, CT_ROLE_RESULT, CT_ROLES };
enum ct_told_kind {
	CT_KIND_NONE,
	CT_KIND_INT,
	CT_KIND_UNSIGNED,
	CT_KIND_BOOL,
	CT_KIND_FLOAT,
	CT_KIND_STRING,
	CT_KIND_BYTES,
	CT_KINDS
};

/* Followed by the name of what it is about, and its data. */
struct ct_ev_message {
	ct_u16 direction; /* enum ct_direction */
	ct_u16 topic_len;
	ct_u32 data_len; /* bytes that are here */
	ct_u64 length;   /* bytes that it has */
};
enum ct_direction { CT_DIRECTION_NONE, CT_DIRECTION_IN, CT_DIRECTION_OUT, CT_DIRECTIONS };

/* Between one with `off` and the next one without there are no records of calls, nor of what programs tell: no probe is
 * in place. Calls that are open at such a record have no end; those that are under way at the other are not told of. */
struct ct_ev_pause {
	ct_u32 off;
	ct_u32 why; /* enum ct_pause */
	ct_u64 at_ns;
	ct_u64 lasted_ns; /* so long it was the other way */
	ct_u64 ppm; /* what the probes have cost in that time, of 1000000 of the program's own CPU time; 0: not known */
};
enum ct_pause { CT_PAUSE_ASKED = 1, CT_PAUSE_OVERHEAD };

#endif
