/* SPDX-License-Identifier: MIT
 * Names of flags and constants in system call arguments, as tables.
 *
 * The numbers are the x86-64 kernel's and written out: a recording reads the same on any machine. */
#include "sysfmt.h"

#include <stdio.h>

struct name {
	ct_u64 value;
	const char *text;
};

/* `one` bits hold one of the values whose bits all lie in `one`; the others are flags to be or-ed. */
struct names {
	ct_u64 one;
	unsigned count;
	const struct name *name;
};
#define NAMES(one, ...)                                                                                                \
	{                                                                                                              \
		(one), sizeof((const struct name[]){__VA_ARGS__}) / sizeof(struct name), (const struct name[])         \
		{                                                                                                      \
			__VA_ARGS__                                                                                    \
		}                                                                                                      \
	}
#define ENUM 0xffffffffu

/* clang-format off */
static const struct names tables[CT_ARG_COUNT] = {
	[CT_ARG_OFLAGS] = NAMES(3, {0, "O_RDONLY"}, {1, "O_WRONLY"}, {2, "O_RDWR"}, {3, "O_ACCMODE"},
		{0100, "O_CREAT"}, {0200, "O_EXCL"}, {0400, "O_NOCTTY"}, {01000, "O_TRUNC"}, {02000, "O_APPEND"},
		{04000, "O_NONBLOCK"}, {04010000, "O_SYNC"}, {010000, "O_DSYNC"}, {020000, "O_ASYNC"}, {040000, "O_DIRECT"},
		{0100000, "O_LARGEFILE"}, {020200000, "O_TMPFILE"}, {0200000, "O_DIRECTORY"}, {0400000, "O_NOFOLLOW"},
		{01000000, "O_NOATIME"}, {02000000, "O_CLOEXEC"}, {010000000, "O_PATH"}),
	[CT_ARG_NEWFDFLAGS] = NAMES(0, {0200, "O_EXCL"}, {04000, "O_NONBLOCK"}, {040000, "O_DIRECT"}, {02000000, "O_CLOEXEC"}),
	[CT_ARG_ATFLAGS] = NAMES(0, {0x100, "AT_SYMLINK_NOFOLLOW"}, {0x200, "AT_REMOVEDIR"}, {0x400, "AT_SYMLINK_FOLLOW"},
		{0x800, "AT_NO_AUTOMOUNT"}, {0x1000, "AT_EMPTY_PATH"}, {0x2000, "AT_STATX_FORCE_SYNC"},
		{0x4000, "AT_STATX_DONT_SYNC"}, {0x8000, "AT_RECURSIVE"}),
	[CT_ARG_ACCESS] = NAMES(0, {0, "F_OK"}, {4, "R_OK"}, {2, "W_OK"}, {1, "X_OK"}),
	[CT_ARG_WHENCE] = NAMES(ENUM, {0, "SEEK_SET"}, {1, "SEEK_CUR"}, {2, "SEEK_END"}, {3, "SEEK_DATA"}, {4, "SEEK_HOLE"}),
	[CT_ARG_FDFLAGS] = NAMES(0, {1, "FD_CLOEXEC"}),
	[CT_ARG_PROT] = NAMES(0, {0, "PROT_NONE"}, {1, "PROT_READ"}, {2, "PROT_WRITE"}, {4, "PROT_EXEC"}, {8, "PROT_SEM"},
		{0x01000000, "PROT_GROWSDOWN"}, {0x02000000, "PROT_GROWSUP"}),
	[CT_ARG_MAPFLAGS] = NAMES(0xf, {1, "MAP_SHARED"}, {2, "MAP_PRIVATE"}, {3, "MAP_SHARED_VALIDATE"}, {8, "MAP_DROPPABLE"},
		{0x10, "MAP_FIXED"}, {0x20, "MAP_ANONYMOUS"}, {0x40, "MAP_32BIT"}, {0x80, "MAP_ABOVE4G"},
		{0x100, "MAP_GROWSDOWN"}, {0x800, "MAP_DENYWRITE"}, {0x1000, "MAP_EXECUTABLE"}, {0x2000, "MAP_LOCKED"},
		{0x4000, "MAP_NORESERVE"}, {0x8000, "MAP_POPULATE"}, {0x10000, "MAP_NONBLOCK"}, {0x20000, "MAP_STACK"},
		{0x40000, "MAP_HUGETLB"}, {0x80000, "MAP_SYNC"}, {0x100000, "MAP_FIXED_NOREPLACE"}),
	[CT_ARG_REMAPFLAGS] = NAMES(0, {1, "MREMAP_MAYMOVE"}, {2, "MREMAP_FIXED"}, {4, "MREMAP_DONTUNMAP"}),
	[CT_ARG_MSYNCFLAGS] = NAMES(0, {1, "MS_ASYNC"}, {2, "MS_INVALIDATE"}, {4, "MS_SYNC"}),
	[CT_ARG_ADVICE] = NAMES(ENUM, {0, "MADV_NORMAL"}, {1, "MADV_RANDOM"}, {2, "MADV_SEQUENTIAL"}, {3, "MADV_WILLNEED"},
		{4, "MADV_DONTNEED"}, {8, "MADV_FREE"}, {9, "MADV_REMOVE"}, {10, "MADV_DONTFORK"}, {11, "MADV_DOFORK"},
		{12, "MADV_MERGEABLE"}, {13, "MADV_UNMERGEABLE"}, {14, "MADV_HUGEPAGE"}, {15, "MADV_NOHUGEPAGE"},
		{16, "MADV_DONTDUMP"}, {17, "MADV_DODUMP"}, {18, "MADV_WIPEONFORK"}, {19, "MADV_KEEPONFORK"}, {20, "MADV_COLD"},
		{21, "MADV_PAGEOUT"}, {22, "MADV_POPULATE_READ"}, {23, "MADV_POPULATE_WRITE"}, {24, "MADV_DONTNEED_LOCKED"},
		{25, "MADV_COLLAPSE"}, {100, "MADV_HWPOISON"}, {101, "MADV_SOFT_OFFLINE"}, {102, "MADV_GUARD_INSTALL"},
		{103, "MADV_GUARD_REMOVE"}),
	[CT_ARG_FADVICE] = NAMES(ENUM, {0, "POSIX_FADV_NORMAL"}, {1, "POSIX_FADV_RANDOM"}, {2, "POSIX_FADV_SEQUENTIAL"},
		{3, "POSIX_FADV_WILLNEED"}, {4, "POSIX_FADV_DONTNEED"}, {5, "POSIX_FADV_NOREUSE"}),
	[CT_ARG_FAMILY] = NAMES(ENUM, {0, "AF_UNSPEC"}, {1, "AF_UNIX"}, {2, "AF_INET"}, {10, "AF_INET6"}, {16, "AF_NETLINK"},
		{17, "AF_PACKET"}, {29, "AF_CAN"}, {31, "AF_BLUETOOTH"}, {38, "AF_ALG"}, {40, "AF_VSOCK"}, {44, "AF_XDP"}),
	[CT_ARG_SOCKTYPE] = NAMES(0xf, {1, "SOCK_STREAM"}, {2, "SOCK_DGRAM"}, {3, "SOCK_RAW"}, {4, "SOCK_RDM"},
		{5, "SOCK_SEQPACKET"}, {10, "SOCK_PACKET"}, {04000, "SOCK_NONBLOCK"}, {02000000, "SOCK_CLOEXEC"}),
	[CT_ARG_SHUT] = NAMES(ENUM, {0, "SHUT_RD"}, {1, "SHUT_WR"}, {2, "SHUT_RDWR"}),
	[CT_ARG_MSGFLAGS] = NAMES(0, {1, "MSG_OOB"}, {2, "MSG_PEEK"}, {4, "MSG_DONTROUTE"}, {8, "MSG_CTRUNC"}, {0x20, "MSG_TRUNC"},
		{0x40, "MSG_DONTWAIT"}, {0x80, "MSG_EOR"}, {0x100, "MSG_WAITALL"}, {0x800, "MSG_CONFIRM"},
		{0x2000, "MSG_ERRQUEUE"}, {0x4000, "MSG_NOSIGNAL"}, {0x8000, "MSG_MORE"}, {0x10000, "MSG_WAITFORONE"},
		{0x4000000, "MSG_ZEROCOPY"}, {0x20000000, "MSG_FASTOPEN"}, {0x40000000, "MSG_CMSG_CLOEXEC"}),
	[CT_ARG_SOLLEVEL] = NAMES(ENUM, {0, "SOL_IP"}, {1, "SOL_SOCKET"}, {6, "SOL_TCP"}, {17, "SOL_UDP"}, {41, "SOL_IPV6"},
		{255, "SOL_RAW"}, {263, "SOL_PACKET"}, {270, "SOL_NETLINK"}, {279, "SOL_ALG"}, {282, "SOL_TLS"}),
	[CT_ARG_CLONEFLAGS] = NAMES(0, {0x80, "CLONE_NEWTIME"}, {0x100, "CLONE_VM"}, {0x200, "CLONE_FS"}, {0x400, "CLONE_FILES"},
		{0x800, "CLONE_SIGHAND"}, {0x1000, "CLONE_PIDFD"}, {0x2000, "CLONE_PTRACE"}, {0x4000, "CLONE_VFORK"},
		{0x8000, "CLONE_PARENT"}, {0x10000, "CLONE_THREAD"}, {0x20000, "CLONE_NEWNS"}, {0x40000, "CLONE_SYSVSEM"},
		{0x80000, "CLONE_SETTLS"}, {0x100000, "CLONE_PARENT_SETTID"}, {0x200000, "CLONE_CHILD_CLEARTID"},
		{0x400000, "CLONE_DETACHED"}, {0x800000, "CLONE_UNTRACED"}, {0x1000000, "CLONE_CHILD_SETTID"},
		{0x2000000, "CLONE_NEWCGROUP"}, {0x4000000, "CLONE_NEWUTS"}, {0x8000000, "CLONE_NEWIPC"},
		{0x10000000, "CLONE_NEWUSER"}, {0x20000000, "CLONE_NEWPID"}, {0x40000000, "CLONE_NEWNET"},
		{0x80000000, "CLONE_IO"}, {0x100000000, "CLONE_CLEAR_SIGHAND"}, {0x200000000, "CLONE_INTO_CGROUP"}),
	[CT_ARG_FUTEXFLAGS] = NAMES(0, {0x80, "FUTEX_PRIVATE_FLAG"}, {0x100, "FUTEX_CLOCK_REALTIME"}),
	[CT_ARG_EPOP] = NAMES(ENUM, {1, "EPOLL_CTL_ADD"}, {2, "EPOLL_CTL_DEL"}, {3, "EPOLL_CTL_MOD"}),
	[CT_ARG_EPFLAGS] = NAMES(0, {02000000, "EPOLL_CLOEXEC"}),
	[CT_ARG_SIGHOW] = NAMES(ENUM, {0, "SIG_BLOCK"}, {1, "SIG_UNBLOCK"}, {2, "SIG_SETMASK"}),
	[CT_ARG_CLOCKID] = NAMES(ENUM, {0, "CLOCK_REALTIME"}, {1, "CLOCK_MONOTONIC"}, {2, "CLOCK_PROCESS_CPUTIME_ID"},
		{3, "CLOCK_THREAD_CPUTIME_ID"}, {4, "CLOCK_MONOTONIC_RAW"}, {5, "CLOCK_REALTIME_COARSE"},
		{6, "CLOCK_MONOTONIC_COARSE"}, {7, "CLOCK_BOOTTIME"}, {8, "CLOCK_REALTIME_ALARM"}, {9, "CLOCK_BOOTTIME_ALARM"},
		{11, "CLOCK_TAI"}),
	[CT_ARG_TIMERFLAGS] = NAMES(0, {1, "TIMER_ABSTIME"}, {2, "TFD_TIMER_CANCEL_ON_SET"}),
	[CT_ARG_WAITOPTS] = NAMES(0, {1, "WNOHANG"}, {2, "WSTOPPED"}, {4, "WEXITED"}, {8, "WCONTINUED"}, {0x1000000, "WNOWAIT"},
		{0x20000000, "__WNOTHREAD"}, {0x40000000, "__WALL"}, {0x80000000, "__WCLONE"}),
	[CT_ARG_IDTYPE] = NAMES(ENUM, {0, "P_ALL"}, {1, "P_PID"}, {2, "P_PGID"}, {3, "P_PIDFD"}),
	[CT_ARG_RESOURCE] = NAMES(ENUM, {0, "RLIMIT_CPU"}, {1, "RLIMIT_FSIZE"}, {2, "RLIMIT_DATA"}, {3, "RLIMIT_STACK"},
		{4, "RLIMIT_CORE"}, {5, "RLIMIT_RSS"}, {6, "RLIMIT_NPROC"}, {7, "RLIMIT_NOFILE"}, {8, "RLIMIT_MEMLOCK"},
		{9, "RLIMIT_AS"}, {10, "RLIMIT_LOCKS"}, {11, "RLIMIT_SIGPENDING"}, {12, "RLIMIT_MSGQUEUE"}, {13, "RLIMIT_NICE"},
		{14, "RLIMIT_RTPRIO"}, {15, "RLIMIT_RTTIME"}),
	[CT_ARG_RWHO] = NAMES(ENUM, {0, "RUSAGE_SELF"}, {1, "RUSAGE_THREAD"}, {0xffffffff, "RUSAGE_CHILDREN"}),
	[CT_ARG_ITIMER] = NAMES(ENUM, {0, "ITIMER_REAL"}, {1, "ITIMER_VIRTUAL"}, {2, "ITIMER_PROF"}),
	[CT_ARG_POLICY] = NAMES(0xffff, {0, "SCHED_OTHER"}, {1, "SCHED_FIFO"}, {2, "SCHED_RR"}, {3, "SCHED_BATCH"},
		{5, "SCHED_IDLE"}, {6, "SCHED_DEADLINE"}, {7, "SCHED_EXT"}, {0x40000000, "SCHED_RESET_ON_FORK"}),
	[CT_ARG_EFDFLAGS] = NAMES(0, {1, "EFD_SEMAPHORE"}, {04000, "EFD_NONBLOCK"}, {02000000, "EFD_CLOEXEC"}),
	[CT_ARG_SFDFLAGS] = NAMES(0, {04000, "SFD_NONBLOCK"}, {02000000, "SFD_CLOEXEC"}),
	[CT_ARG_TFDFLAGS] = NAMES(0, {04000, "TFD_NONBLOCK"}, {02000000, "TFD_CLOEXEC"}),
	[CT_ARG_INFLAGS] = NAMES(0, {04000, "IN_NONBLOCK"}, {02000000, "IN_CLOEXEC"}),
	[CT_ARG_INMASK] = NAMES(0, {0xfff, "IN_ALL_EVENTS"}, {1, "IN_ACCESS"}, {2, "IN_MODIFY"}, {4, "IN_ATTRIB"},
		{8, "IN_CLOSE_WRITE"}, {0x10, "IN_CLOSE_NOWRITE"}, {0x20, "IN_OPEN"}, {0x40, "IN_MOVED_FROM"},
		{0x80, "IN_MOVED_TO"}, {0x100, "IN_CREATE"}, {0x200, "IN_DELETE"}, {0x400, "IN_DELETE_SELF"},
		{0x800, "IN_MOVE_SELF"}, {0x1000000, "IN_ONLYDIR"}, {0x2000000, "IN_DONT_FOLLOW"}, {0x4000000, "IN_EXCL_UNLINK"},
		{0x10000000, "IN_MASK_CREATE"}, {0x20000000, "IN_MASK_ADD"}, {0x80000000, "IN_ONESHOT"}),
	[CT_ARG_MEMFDFLAGS] = NAMES(0, {1, "MFD_CLOEXEC"}, {2, "MFD_ALLOW_SEALING"}, {4, "MFD_HUGETLB"}, {8, "MFD_NOEXEC_SEAL"},
		{0x10, "MFD_EXEC"}),
	[CT_ARG_GRNDFLAGS] = NAMES(0, {1, "GRND_NONBLOCK"}, {2, "GRND_RANDOM"}, {4, "GRND_INSECURE"}),
	[CT_ARG_MOUNTFLAGS] = NAMES(0, {1, "MS_RDONLY"}, {2, "MS_NOSUID"}, {4, "MS_NODEV"}, {8, "MS_NOEXEC"},
		{0x10, "MS_SYNCHRONOUS"}, {0x20, "MS_REMOUNT"}, {0x40, "MS_MANDLOCK"}, {0x80, "MS_DIRSYNC"},
		{0x100, "MS_NOSYMFOLLOW"}, {0x400, "MS_NOATIME"}, {0x800, "MS_NODIRATIME"}, {0x1000, "MS_BIND"},
		{0x2000, "MS_MOVE"}, {0x4000, "MS_REC"}, {0x8000, "MS_SILENT"}, {0x10000, "MS_POSIXACL"},
		{0x20000, "MS_UNBINDABLE"}, {0x40000, "MS_PRIVATE"}, {0x80000, "MS_SLAVE"}, {0x100000, "MS_SHARED"},
		{0x200000, "MS_RELATIME"}, {0x1000000, "MS_STRICTATIME"}, {0x2000000, "MS_LAZYTIME"}),
	[CT_ARG_UMOUNTFLAGS] = NAMES(0, {1, "MNT_FORCE"}, {2, "MNT_DETACH"}, {4, "MNT_EXPIRE"}, {8, "UMOUNT_NOFOLLOW"}),
	[CT_ARG_RENAMEFLAGS] = NAMES(0, {1, "RENAME_NOREPLACE"}, {2, "RENAME_EXCHANGE"}, {4, "RENAME_WHITEOUT"}),
	[CT_ARG_STATXMASK] = NAMES(0, {0xfff, "STATX_ALL"}, {0x7ff, "STATX_BASIC_STATS"}, {1, "STATX_TYPE"}, {2, "STATX_MODE"},
		{4, "STATX_NLINK"}, {8, "STATX_UID"}, {0x10, "STATX_GID"}, {0x20, "STATX_ATIME"}, {0x40, "STATX_MTIME"},
		{0x80, "STATX_CTIME"}, {0x100, "STATX_INO"}, {0x200, "STATX_SIZE"}, {0x400, "STATX_BLOCKS"},
		{0x800, "STATX_BTIME"}, {0x1000, "STATX_MNT_ID"}, {0x2000, "STATX_DIOALIGN"}, {0x4000, "STATX_MNT_ID_UNIQUE"},
		{0x8000, "STATX_SUBVOL"}, {0x10000, "STATX_WRITE_ATOMIC"}, {0x20000, "STATX_DIO_READ_ALIGN"}),
	[CT_ARG_FALLOCMODE] = NAMES(0, {1, "FALLOC_FL_KEEP_SIZE"}, {2, "FALLOC_FL_PUNCH_HOLE"}, {8, "FALLOC_FL_COLLAPSE_RANGE"},
		{0x10, "FALLOC_FL_ZERO_RANGE"}, {0x20, "FALLOC_FL_INSERT_RANGE"}, {0x40, "FALLOC_FL_UNSHARE_RANGE"},
		{0x80, "FALLOC_FL_WRITE_ZEROES"}),
	[CT_ARG_SPLICEFLAGS] = NAMES(0, {1, "SPLICE_F_MOVE"}, {2, "SPLICE_F_NONBLOCK"}, {4, "SPLICE_F_MORE"}, {8, "SPLICE_F_GIFT"}),
	[CT_ARG_RWFLAGS] = NAMES(0, {1, "RWF_HIPRI"}, {2, "RWF_DSYNC"}, {4, "RWF_SYNC"}, {8, "RWF_NOWAIT"}, {0x10, "RWF_APPEND"},
		{0x20, "RWF_NOAPPEND"}, {0x40, "RWF_ATOMIC"}, {0x80, "RWF_DONTCACHE"}),
	[CT_ARG_PTRACEREQ] = NAMES(ENUM, {0, "PTRACE_TRACEME"}, {1, "PTRACE_PEEKTEXT"}, {2, "PTRACE_PEEKDATA"},
		{3, "PTRACE_PEEKUSER"}, {4, "PTRACE_POKETEXT"}, {5, "PTRACE_POKEDATA"}, {6, "PTRACE_POKEUSER"}, {7, "PTRACE_CONT"},
		{8, "PTRACE_KILL"}, {9, "PTRACE_SINGLESTEP"}, {12, "PTRACE_GETREGS"}, {13, "PTRACE_SETREGS"},
		{14, "PTRACE_GETFPREGS"}, {15, "PTRACE_SETFPREGS"}, {16, "PTRACE_ATTACH"}, {17, "PTRACE_DETACH"},
		{24, "PTRACE_SYSCALL"}, {30, "PTRACE_ARCH_PRCTL"}, {31, "PTRACE_SYSEMU"}, {32, "PTRACE_SYSEMU_SINGLESTEP"},
		{33, "PTRACE_SINGLEBLOCK"}, {0x4200, "PTRACE_SETOPTIONS"}, {0x4201, "PTRACE_GETEVENTMSG"},
		{0x4202, "PTRACE_GETSIGINFO"}, {0x4203, "PTRACE_SETSIGINFO"}, {0x4204, "PTRACE_GETREGSET"},
		{0x4205, "PTRACE_SETREGSET"}, {0x4206, "PTRACE_SEIZE"}, {0x4207, "PTRACE_INTERRUPT"}, {0x4208, "PTRACE_LISTEN"},
		{0x4209, "PTRACE_PEEKSIGINFO"}, {0x420a, "PTRACE_GETSIGMASK"}, {0x420b, "PTRACE_SETSIGMASK"},
		{0x420c, "PTRACE_SECCOMP_GET_FILTER"}, {0x420d, "PTRACE_SECCOMP_GET_METADATA"},
		{0x420e, "PTRACE_GET_SYSCALL_INFO"}, {0x420f, "PTRACE_GET_RSEQ_CONFIGURATION"}),
	[CT_ARG_MEMBARRIERCMD] = NAMES(ENUM, {0, "MEMBARRIER_CMD_QUERY"}, {1, "MEMBARRIER_CMD_GLOBAL"},
		{2, "MEMBARRIER_CMD_GLOBAL_EXPEDITED"}, {4, "MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED"},
		{8, "MEMBARRIER_CMD_PRIVATE_EXPEDITED"}, {0x10, "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED"},
		{0x20, "MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE"},
		{0x40, "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE"}, {0x80, "MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ"},
		{0x100, "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ"}, {0x200, "MEMBARRIER_CMD_GET_REGISTRATIONS"}),
	[CT_ARG_CLOSERANGE] = NAMES(0, {2, "CLOSE_RANGE_UNSHARE"}, {4, "CLOSE_RANGE_CLOEXEC"}),
	[CT_ARG_XATTRFLAGS] = NAMES(0, {1, "XATTR_CREATE"}, {2, "XATTR_REPLACE"}),
	[CT_ARG_LOCKOP] = NAMES(0, {1, "LOCK_SH"}, {2, "LOCK_EX"}, {4, "LOCK_NB"}, {8, "LOCK_UN"}),
	[CT_ARG_MCL] = NAMES(0, {1, "MCL_CURRENT"}, {2, "MCL_FUTURE"}, {4, "MCL_ONFAULT"}),
	[CT_ARG_SEALS] = NAMES(0, {1, "F_SEAL_SEAL"}, {2, "F_SEAL_SHRINK"}, {4, "F_SEAL_GROW"}, {8, "F_SEAL_WRITE"},
		{0x10, "F_SEAL_FUTURE_WRITE"}, {0x20, "F_SEAL_EXEC"}),
	[CT_ARG_IPCFLAGS] = NAMES(0, {01000, "IPC_CREAT"}, {02000, "IPC_EXCL"}, {04000, "IPC_NOWAIT"}, {010000, "SHM_EXEC"}),
	[CT_ARG_BPFCMD] = NAMES(ENUM, {0, "BPF_MAP_CREATE"}, {1, "BPF_MAP_LOOKUP_ELEM"}, {2, "BPF_MAP_UPDATE_ELEM"},
		{3, "BPF_MAP_DELETE_ELEM"}, {4, "BPF_MAP_GET_NEXT_KEY"}, {5, "BPF_PROG_LOAD"}, {6, "BPF_OBJ_PIN"}, {7, "BPF_OBJ_GET"},
		{8, "BPF_PROG_ATTACH"}, {9, "BPF_PROG_DETACH"}, {10, "BPF_PROG_TEST_RUN"}, {15, "BPF_OBJ_GET_INFO_BY_FD"},
		{17, "BPF_RAW_TRACEPOINT_OPEN"}, {18, "BPF_BTF_LOAD"}, {28, "BPF_LINK_CREATE"}),
	[CT_ARG_SECCOMPOP] = NAMES(ENUM, {0, "SECCOMP_SET_MODE_STRICT"}, {1, "SECCOMP_SET_MODE_FILTER"},
		{2, "SECCOMP_GET_ACTION_AVAIL"}, {3, "SECCOMP_GET_NOTIF_SIZES"}),
	[CT_ARG_SOCKOPT] = NAMES(ENUM, {0, NULL}),
};

/* Options mean something at their level only. */
static const struct names so_socket = NAMES(ENUM, {1, "SO_DEBUG"}, {2, "SO_REUSEADDR"}, {3, "SO_TYPE"}, {4, "SO_ERROR"},
	{5, "SO_DONTROUTE"}, {6, "SO_BROADCAST"}, {7, "SO_SNDBUF"}, {8, "SO_RCVBUF"}, {9, "SO_KEEPALIVE"}, {10, "SO_OOBINLINE"},
	{12, "SO_PRIORITY"}, {13, "SO_LINGER"}, {15, "SO_REUSEPORT"}, {16, "SO_PASSCRED"}, {17, "SO_PEERCRED"},
	{18, "SO_RCVLOWAT"}, {19, "SO_SNDLOWAT"}, {20, "SO_RCVTIMEO"}, {21, "SO_SNDTIMEO"}, {25, "SO_BINDTODEVICE"},
	{26, "SO_ATTACH_FILTER"}, {27, "SO_DETACH_FILTER"}, {28, "SO_PEERNAME"}, {29, "SO_TIMESTAMP"}, {30, "SO_ACCEPTCONN"},
	{31, "SO_PEERSEC"}, {32, "SO_SNDBUFFORCE"}, {33, "SO_RCVBUFFORCE"}, {34, "SO_PASSSEC"}, {35, "SO_TIMESTAMPNS"},
	{36, "SO_MARK"}, {37, "SO_TIMESTAMPING"}, {38, "SO_PROTOCOL"}, {39, "SO_DOMAIN"}, {40, "SO_RXQ_OVFL"},
	{42, "SO_PEEK_OFF"}, {43, "SO_NOFCS"}, {46, "SO_BUSY_POLL"}, {49, "SO_INCOMING_CPU"}, {50, "SO_ATTACH_BPF"},
	{55, "SO_MEMINFO"}, {56, "SO_INCOMING_NAPI_ID"}, {57, "SO_COOKIE"}, {59, "SO_PEERGROUPS"}, {60, "SO_ZEROCOPY"},
	{61, "SO_TXTIME"}, {62, "SO_BINDTOIFINDEX"}, {77, "SO_PEERPIDFD"});
static const struct names so_tcp = NAMES(ENUM, {1, "TCP_NODELAY"}, {2, "TCP_MAXSEG"}, {3, "TCP_CORK"}, {4, "TCP_KEEPIDLE"},
	{5, "TCP_KEEPINTVL"}, {6, "TCP_KEEPCNT"}, {7, "TCP_SYNCNT"}, {8, "TCP_LINGER2"}, {9, "TCP_DEFER_ACCEPT"},
	{10, "TCP_WINDOW_CLAMP"}, {11, "TCP_INFO"}, {12, "TCP_QUICKACK"}, {13, "TCP_CONGESTION"}, {14, "TCP_MD5SIG"},
	{18, "TCP_USER_TIMEOUT"}, {19, "TCP_REPAIR"}, {23, "TCP_FASTOPEN"}, {24, "TCP_TIMESTAMP"}, {25, "TCP_NOTSENT_LOWAT"},
	{30, "TCP_FASTOPEN_CONNECT"}, {31, "TCP_ULP"}, {35, "TCP_ZEROCOPY_RECEIVE"});
static const struct names so_ip = NAMES(ENUM, {1, "IP_TOS"}, {2, "IP_TTL"}, {3, "IP_HDRINCL"}, {4, "IP_OPTIONS"},
	{8, "IP_PKTINFO"}, {10, "IP_MTU_DISCOVER"}, {11, "IP_RECVERR"}, {12, "IP_RECVTTL"}, {13, "IP_RECVTOS"}, {14, "IP_MTU"},
	{15, "IP_FREEBIND"}, {19, "IP_TRANSPARENT"}, {20, "IP_RECVORIGDSTADDR"}, {24, "IP_BIND_ADDRESS_NO_PORT"},
	{32, "IP_MULTICAST_IF"}, {33, "IP_MULTICAST_TTL"}, {34, "IP_MULTICAST_LOOP"}, {35, "IP_ADD_MEMBERSHIP"});
static const struct names so_ipv6 = NAMES(ENUM, {16, "IPV6_UNICAST_HOPS"}, {18, "IPV6_MULTICAST_HOPS"},
	{20, "IPV6_ADD_MEMBERSHIP"}, {23, "IPV6_MTU_DISCOVER"}, {24, "IPV6_MTU"}, {25, "IPV6_RECVERR"}, {26, "IPV6_V6ONLY"},
	{49, "IPV6_RECVPKTINFO"}, {51, "IPV6_RECVHOPLIMIT"}, {66, "IPV6_RECVTCLASS"}, {67, "IPV6_TCLASS"});

static const struct names poll_events = NAMES(0, {1, "POLLIN"}, {2, "POLLPRI"}, {4, "POLLOUT"}, {8, "POLLERR"},
	{0x10, "POLLHUP"}, {0x20, "POLLNVAL"}, {0x40, "POLLRDNORM"}, {0x80, "POLLRDBAND"}, {0x100, "POLLWRNORM"},
	{0x200, "POLLWRBAND"}, {0x400, "POLLMSG"}, {0x1000, "POLLREMOVE"}, {0x2000, "POLLRDHUP"});
static const struct names epoll_events = NAMES(0, {1, "EPOLLIN"}, {2, "EPOLLPRI"}, {4, "EPOLLOUT"}, {8, "EPOLLERR"},
	{0x10, "EPOLLHUP"}, {0x20, "EPOLLNVAL"}, {0x40, "EPOLLRDNORM"}, {0x80, "EPOLLRDBAND"}, {0x100, "EPOLLWRNORM"},
	{0x200, "EPOLLWRBAND"}, {0x400, "EPOLLMSG"}, {0x2000, "EPOLLRDHUP"}, {0x10000000, "EPOLLEXCLUSIVE"},
	{0x20000000, "EPOLLWAKEUP"}, {0x40000000, "EPOLLONESHOT"}, {0x80000000, "EPOLLET"});
static const struct names sa_flags = NAMES(0, {1, "SA_NOCLDSTOP"}, {2, "SA_NOCLDWAIT"}, {4, "SA_SIGINFO"},
	{0x400, "SA_UNSUPPORTED"}, {0x800, "SA_EXPOSE_TAGBITS"}, {0x4000000, "SA_RESTORER"}, {0x8000000, "SA_ONSTACK"},
	{0x10000000, "SA_RESTART"}, {0x40000000, "SA_NODEFER"}, {0x80000000, "SA_RESETHAND"});
static const struct names lock_types = NAMES(ENUM, {0, "F_RDLCK"}, {1, "F_WRLCK"}, {2, "F_UNLCK"});
static const struct names file_types = NAMES(ENUM, {0010000, "S_IFIFO"}, {0020000, "S_IFCHR"}, {0040000, "S_IFDIR"},
	{0060000, "S_IFBLK"}, {0100000, "S_IFREG"}, {0120000, "S_IFLNK"}, {0140000, "S_IFSOCK"});
/* clang-format on */

static const char *one_name(const struct names *t, ct_u64 value)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->name[i].value == value && !(value & ~t->one))
			return t->name[i].text;
	return NULL;
}

static void print_names(struct sf *f, const struct names *t, ct_u64 value)
{
	ct_u64 rest = value & ~t->one;
	const char *first = t->one ? one_name(t, value & t->one) : NULL, *bar = "";

	if (t->one == ENUM && !first) { /* one of a set of values, and not one we know */
		sf_fmt(f, (ct_u32)value < 0x10000 ? "%u" : "0x%x", (ct_u32)value);
		return;
	}
	if (!value && !first && t->count && !t->name[0].value)
		first = t->name[0].text; /* PROT_NONE, F_OK: a name for "no flags" */
	if (first) {
		sf_str(f, first);
		bar = "|";
	} else if (value & t->one) {
		sf_fmt(f, "0x%llx", (unsigned long long)(value & t->one));
		bar = "|";
	}
	for (unsigned i = 0; i < t->count && rest && t->one != ENUM; i++) {
		ct_u64 bits = t->name[i].value;
		if (!bits || !(bits & ~t->one) || (rest & bits) != bits)
			continue;
		sf_fmt(f, "%s%s", bar, t->name[i].text);
		rest &= ~bits;
		bar = "|";
	}
	if (rest && t->one != ENUM)
		sf_fmt(f, "%s0x%llx", bar, (unsigned long long)rest);
	else if (!*bar)
		sf_char(f, '0');
}

static void socket_option(struct sf *f, ct_u32 value)
{
	static const struct names none = {ENUM, 0, NULL};
	const struct names *t = &none;
	switch ((ct_u32)f->args[1]) {
	case 0: t = &so_ip; break;
	case 1: t = &so_socket; break;
	case 6: t = &so_tcp; break;
	case 41: t = &so_ipv6; break;
	}
	print_names(f, t, value);
}

bool sf_flags(struct sf *f, unsigned type, ct_u64 value)
{
	if (type >= CT_ARG_COUNT || !tables[type].count)
		return false;
	if (type == CT_ARG_SOCKOPT)
		socket_option(f, (ct_u32)value);
	else if (type == CT_ARG_CLONEFLAGS)
		sf_clone_flags(f, value);
	else if (type == CT_ARG_CLOCKID && (int)value < 0)
		sf_fmt(f, "%d", (int)value); /* a process's or a device's clock */
	else if (type == CT_ARG_IPCFLAGS && value & 0777) {
		print_names(f, &tables[type], (ct_u32)value & ~0777u);
		sf_fmt(f, "|0%o", (unsigned)value & 0777);
	} else
		print_names(f, &tables[type], type == CT_ARG_OFLAGS ? value : (ct_u32)value);
	return true;
}

/* The low byte is the signal the parent gets. */
void sf_clone_flags(struct sf *f, ct_u64 value)
{
	int sig = (int)(value & 0x7f);
	if (value & ~0x7full || !sig)
		print_names(f, &tables[CT_ARG_CLONEFLAGS], value & ~0x7full);
	if (!sig)
		return;
	if (value & ~0x7full)
		sf_char(f, '|');
	sf_signal(f, sig);
}

void sf_signal(struct sf *f, int sig)
{
	const char *name = ct_signal_name(sig);
	if (name)
		sf_str(f, name);
	else
		sf_fmt(f, "%d", sig);
}

void sf_poll_events(struct sf *f, ct_u64 value)
{
	print_names(f, &poll_events, value);
}
void sf_epoll_events(struct sf *f, ct_u64 value)
{
	print_names(f, &epoll_events, value);
}
void sf_sa_flags(struct sf *f, ct_u64 value)
{
	print_names(f, &sa_flags, value);
}
void sf_lock_type(struct sf *f, ct_u64 value)
{
	print_names(f, &lock_types, value);
}
void sf_file_type(struct sf *f, ct_u64 mode)
{
	print_names(f, &file_types, mode & 0170000);
}
