// SPDX-License-Identifier: MIT
/* Capabilities by capset(2) and the bounding set, calls by a seccomp filter that makes them fail with EPERM. */
#include "user/privileges.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "formats/event.h"

/* BPF programs and probes; stopping, reading and restoring processes of any user; real-time priorities; their files,
 * and those that are mapped under names that are gone (proc_map_files_get_link()). */
static const int kept[] = {CAP_BPF,      CAP_PERFMON,      CAP_SYS_ADMIN,       CAP_SYS_PTRACE, CAP_SYS_RESOURCE,
			   CAP_SYS_NICE, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_KILL,       CAP_CHECKPOINT_RESTORE};

/* CAP_SYS_ADMIN is much: this is what it allows beside, and what else would turn one process into another's. Not a list
 * of what is allowed: replicas that prove stretches meanwhile have the filter, too, and make the calls of the memory
 * family, clone and more as the recorded program did; C library, libbpf and liburing use others with each version. */
static const int refused[] = {
	SYS_mount,          SYS_umount2,
	SYS_pivot_root,     SYS_chroot,
	SYS_move_mount,     SYS_open_tree,
	SYS_fsopen,         SYS_fsmount,
	SYS_fspick,         SYS_fsconfig,
	SYS_mount_setattr,  SYS_swapon,
	SYS_swapoff,        SYS_reboot,
	SYS_kexec_load,     SYS_kexec_file_load,
	SYS_init_module,    SYS_finit_module,
	SYS_delete_module,  SYS_iopl,
	SYS_ioperm,         SYS_settimeofday,
	SYS_clock_settime,  SYS_adjtimex,
	SYS_clock_adjtime,  SYS_sethostname,
	SYS_setdomainname,  SYS_acct,
	SYS_quotactl,       SYS_quotactl_fd,
	SYS_syslog,         SYS_vhangup,
	SYS_unshare,        SYS_setns,
	SYS_setuid,         SYS_setgid,
	SYS_setreuid,       SYS_setregid,
	SYS_setresuid,      SYS_setresgid,
	SYS_setfsuid,       SYS_setfsgid,
	SYS_setgroups,      SYS_capset,
	SYS_chown,          SYS_fchown,
	SYS_lchown,         SYS_fchownat,
	SYS_mknod,          SYS_mknodat,
	SYS_add_key,        SYS_request_key,
	SYS_keyctl,         SYS_open_by_handle_at,
	SYS_io_uring_setup, SYS_userfaultfd,
	SYS_memfd_secret,   SYS_fanotify_init,
	SYS_modify_ldt,     SYS_uselib,
};
#define NREFUSED (sizeof(refused) / sizeof(*refused))

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};
	ct_u64 keep = 0, had = 0;

	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		keep |= 1ull << kept[i];
	/* First from what any program it runs could get back; that itself takes a capability. */
	for (int cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_READ, cap) == 1 && prctl(PR_CAPBSET_DROP, cap) &&
		    errno != EPERM)
			return -1;
	if (syscall(SYS_capget, &head, data))
		return -1;
	for (int i = 0; i < 2; i++) {
		const __u32 part = (__u32)(keep >> (32 * i));

		had |= (data[i].effective | data[i].permitted | data[i].inheritable) & ~part;
		data[i].effective &= part;
		data[i].permitted &= part;
		data[i].inheritable &= part;
	}
	return had ? (int)syscall(SYS_capset, &head, data) : 0; /* a second time, the filter refuses it */
}

static int filter_calls(void)
{
	/* Another architecture's numbers mean other calls; x32's are these and a bit. */
	struct sock_filter code[NREFUSED * 2 + 16] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog prog = {.filter = code};
	size_t n = 6;

	for (size_t i = 0; i < NREFUSED; i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (__u32)refused[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	}
	/* Its requests come by a socket of this machine: there is no other it would make. */
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]));
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 1, 0);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	prog.len = (unsigned short)n;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

int ct_privileges_drop(struct ct_error *err)
{
	if (drop_capabilities() || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return ct_fail_errno(err, CT_EXIT_FAILED, "capabilities that are not needed cannot be given up");
	if (filter_calls())
		return ct_fail_errno(err, CT_EXIT_FAILED, "system calls that are not needed cannot be given up");
	return 0;
}
