// SPDX-License-Identifier: MIT
/* The memory that tracer and replicas share for answering system calls, and the filter that lets a replica change its
 * own memory without asking. See inproc.h. */
#include "replay/inproc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TABLE_SIZE (CT_INPROC_END - CT_INPROC_TABLE)

static void *shared(const char *name, size_t size, int *fd)
{
	void *p = MAP_FAILED;

	*fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd >= 0 && !ftruncate(*fd, (off_t)size))
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

struct ct_inproc *ct_inproc_create(struct ct_error *err)
{
	struct ct_inproc *in = calloc(1, sizeof(*in));

	if (!in) {
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
		return NULL;
	}
	in->refs = 1;
	in->table_fd = -1;
	in->ctl = shared("ctbpf-control", CT_INPROC_CTL_SIZE, &in->ctl_fd);
	if (in->ctl)
		in->table = shared("ctbpf-answers", TABLE_SIZE, &in->table_fd);
	/* Later mappings of the table cannot be written, nor made so by mprotect: the tracer trusts what is in it. */
	if (!in->table || fcntl(in->table_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) ||
	    fcntl(in->ctl_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)) {
		ct_fail_errno(err, CT_EXIT_FAILED, "cannot make memory to share with replicas");
		ct_inproc_release(in);
		return NULL;
	}
	in->ctl->entry = CT_INPROC_CODE + (ct_u64)(ct_inproc_entry - ct_inproc_code);
	return in;
}

void ct_inproc_release(struct ct_inproc *in)
{
	if (!in || --in->refs)
		return;
	if (in->ctl)
		munmap(in->ctl, CT_INPROC_CTL_SIZE);
	if (in->table)
		munmap(in->table, TABLE_SIZE);
	if (in->ctl_fd >= 0)
		close(in->ctl_fd);
	if (in->table_fd >= 0)
		close(in->table_fd);
	free(in);
}

int ct_inproc_map(struct ct_rthread *t, const struct ct_snap_proc *proc, bool bare)
{
	long ctl = 0, table = 0;
	bool taken = bare;

	for (ct_u32 i = 0; i < proc->nmaps; i++)
		taken |= proc->maps[i].start < CT_INPROC_END;
	if (!taken) {
		ctl = ct_replica_call(t, SYS_mmap, CT_INPROC_CTL, CT_INPROC_CTL_SIZE, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_FIXED_NOREPLACE, CT_INPROC_CTL_FD, 0);
		table = ct_replica_call(t, SYS_mmap, CT_INPROC_TABLE, TABLE_SIZE, PROT_READ,
					MAP_SHARED | MAP_FIXED_NOREPLACE, CT_INPROC_TABLE_FD, 0);
	}

	ct_replica_call(t, SYS_close, CT_INPROC_CTL_FD, 0, 0, 0, 0, 0);
	ct_replica_call(t, SYS_close, CT_INPROC_TABLE_FD, 0, 0, 0, 0, 0);
	if (taken)
		return 1;
	return ctl == CT_INPROC_CTL && table == CT_INPROC_TABLE ? 0 : -1;
}

/* Advice about the replica's own pages. Some of the rest needs privileges that the tracer has and the program had not,
 * and does harm to the machine (MADV_HWPOISON). The tracer wants to know of MADV_WIPEONFORK, for checkpoints are forks.
 */
static const ct_u32 allowed_advice[] = {
	MADV_DONTNEED,           MADV_REMOVE,
	MADV_DONTFORK,           MADV_DOFORK,
	MADV_KEEPONFORK,         24 /* DONTNEED_LOCKED */,
	102 /* GUARD_INSTALL */, 103 /* GUARD_REMOVE */,
};
static const ct_u32 allowed_calls[] = {SYS_munmap, SYS_mprotect, SYS_mremap};

bool ct_inproc_allows(const struct ct_real_call *call)
{
	for (size_t i = 0; i < sizeof(allowed_calls) / sizeof(*allowed_calls); i++)
		if (call->nr == allowed_calls[i])
			return true;
	for (size_t i = 0; i < sizeof(allowed_advice) / sizeof(*allowed_advice); i++)
		if (call->nr == SYS_madvise && call->args[2] == allowed_advice[i])
			return true;
	/* A file would need a descriptor; a replica keeps none open. */
	return call->nr == SYS_mmap && (call->args[3] & MAP_ANONYMOUS);
}

struct filter {
	ct_u64 len, code; /* as struct sock_fprog */
	struct sock_filter insn[64];
};

static void add(struct filter *f, ct_u16 code, ct_u32 k, ct_u8 yes, ct_u8 no)
{
	f->insn[f->len++] = (struct sock_filter){code, yes, no, k};
}

static void load(struct filter *f, size_t field)
{
	add(f, BPF_LD | BPF_W | BPF_ABS, (ct_u32)field, 0, 0);
}

/* Ends here with `what` if the loaded word is `k` (or if not). */
static void when(struct filter *f, bool equal, ct_u32 k, ct_u32 what)
{
	add(f, BPF_JMP | BPF_JEQ | BPF_K, k, !equal, equal);
	add(f, BPF_RET | BPF_K, what, 0, 0);
}

int ct_inproc_filter(struct ct_rthread *t)
{
	const ct_u32 ours = CT_INPROC_CODE + (ct_u32)(ct_inproc_syscall - ct_inproc_code);
	struct filter f = {.code = CT_GADGET_TEXT + offsetof(struct filter, insn)};

	load(&f, offsetof(struct seccomp_data, arch));
	when(&f, false, AUDIT_ARCH_X86_64, SECCOMP_RET_TRACE);
	load(&f, offsetof(struct seccomp_data, instruction_pointer) + 4);
	when(&f, false, 0, SECCOMP_RET_TRACE);
	load(&f, offsetof(struct seccomp_data, instruction_pointer));
	add(&f, BPF_JMP | BPF_JEQ | BPF_K, ours, 2, 0);
	when(&f, false, CT_GADGET + 2, SECCOMP_RET_TRACE);
	load(&f, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < sizeof(allowed_calls) / sizeof(*allowed_calls); i++)
		when(&f, true, allowed_calls[i], SECCOMP_RET_ALLOW);
	add(&f, BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 4);
	load(&f, offsetof(struct seccomp_data, args[3]));
	add(&f, BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 0, 1);
	add(&f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	add(&f, BPF_RET | BPF_K, SECCOMP_RET_TRACE, 0, 0);
	when(&f, false, SYS_madvise, SECCOMP_RET_TRACE);
	load(&f, offsetof(struct seccomp_data, args[2]));
	for (size_t i = 0; i < sizeof(allowed_advice) / sizeof(*allowed_advice); i++)
		when(&f, true, allowed_advice[i], SECCOMP_RET_ALLOW);
	add(&f, BPF_RET | BPF_K, SECCOMP_RET_TRACE, 0, 0);

	if (!ct_mem_write(t->proc->memfd, CT_GADGET_TEXT, &f, sizeof(f)) ||
	    ct_replica_call(t, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0) ||
	    ct_replica_call(t, SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, CT_GADGET_TEXT, 0, 0, 0))
		return -1;
	return 0;
}
