/* SPDX-License-Identifier: MIT
 * uprobe_multi links and their fallback, perf's uprobe events.
 *
 * The structs handed to the kernel are our own copies of its ABI, since headers may be older than the kernel. */
#include "uprobe_multi.h"

#include <errno.h>
#include <link.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRACE_UPROBE_MULTI 48         /* BPF_TRACE_UPROBE_MULTI */
#define MULTI_RETURN       1          /* BPF_F_UPROBE_MULTI_RETURN */
#define KERNEL_ENOTSUPP    524        /* has no name in user space */
#define MULTI_MAX          (1u << 20) /* the kernel's own limit per link */

/* union bpf_attr for BPF_LINK_CREATE. */
struct link_create {
	ct_u32 prog_fd, target_fd, attach_type, flags;
	union {
		struct {
			ct_u64 path, offsets, ref_ctrs, cookies;
			ct_u32 cnt, flags, pid, pad;
		} multi;
		struct {
			ct_u64 cookie;
		} perf;
	};
};

static ct_u64 ptr(const void *p)
{
	return (ct_u64)(uintptr_t)p;
}

static int multi_link(int prog_fd, const struct ct_uprobe_spec *s, size_t first, size_t n)
{
	struct link_create a = {.prog_fd = (ct_u32)prog_fd,
				.attach_type =
					s->flags & CT_UPROBE_SESSION ? CT_UPROBE_SESSION_TYPE : TRACE_UPROBE_MULTI};
	a.multi.path = ptr(s->path);
	a.multi.offsets = ptr(s->offsets + first);
	a.multi.ref_ctrs = s->ref_ctrs ? ptr(s->ref_ctrs + first) : 0;
	a.multi.cookies = s->cookies ? ptr(s->cookies + first) : 0;
	a.multi.cnt = (ct_u32)n;
	a.multi.flags = s->flags & CT_UPROBE_RETURN ? MULTI_RETURN : 0;
	a.multi.pid = (ct_u32)s->pid;
	return (int)syscall(SYS_bpf, BPF_LINK_CREATE, &a, sizeof(a));
}

static bool supported(ct_u32 attach_type, unsigned flags)
{
	const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr load = {0};
	load.prog_type = BPF_PROG_TYPE_KPROBE;
	load.expected_attach_type = attach_type;
	load.insns = ptr(insns);
	load.insn_cnt = sizeof(insns) / sizeof(*insns);
	load.license = ptr("Dual MIT/GPL");
	int prog = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
	if (prog < 0)
		return false;
	/* A directory cannot be probed: a kernel that gets as far as saying so knows what is wanted. */
	const ct_u64 offset = 0;
	int link = multi_link(prog, &(struct ct_uprobe_spec){.path = "/", .offsets = &offset, .n = 1, .flags = flags},
			      0, 1);
	bool yes = link < 0 && errno == EBADF;
	if (link >= 0)
		close(link);
	close(prog);
	return yes;
}

bool ct_uprobe_multi_supported(void)
{
	return supported(TRACE_UPROBE_MULTI, 0);
}

bool ct_uprobe_session_supported(void)
{
	return supported(CT_UPROBE_SESSION_TYPE, CT_UPROBE_SESSION);
}

int ct_uprobe_attach_type(bool multi)
{
	return multi ? TRACE_UPROBE_MULTI : 0;
}

/* Puts the reason for failure `e` into err. `at` is the index of the offset it is about, SIZE_MAX: any. */
static int explain(struct ct_error *err, const struct ct_uprobe_spec *s, size_t at, int e)
{
	char where[64];
	if (at == SIZE_MAX)
		snprintf(where, sizeof(where), "%zu places", s->n);
	else
		snprintf(where, sizeof(where), "offset %#llx", (unsigned long long)s->offsets[at]);
	switch (e) {
	case EPERM:
	case EACCES:
		return ct_fail(err, CT_EXIT_MISSING,
			       "%s: no permission to attach uprobes; run as root or with CAP_BPF and CAP_PERFMON",
			       s->path);
	case ENOENT: return ct_fail(err, CT_EXIT_FAILED, "%s: cannot attach uprobes: no such file", s->path);
	case EBADF: return ct_fail(err, CT_EXIT_FAILED, "%s: cannot attach uprobes: not a regular file", s->path);
	case ESRCH:
		return ct_fail(err, CT_EXIT_FAILED, "%s: cannot attach uprobes: process %d is gone", s->path, s->pid);
	case EMFILE:
	case ENFILE:
		return ct_fail(err, CT_EXIT_FAILED,
			       "%s: not enough file descriptors for uprobes at %s; raise the limit (ulimit -n)",
			       s->path, where);
	case KERNEL_ENOTSUPP:
	case ENOEXEC:
		return ct_fail(err, CT_EXIT_FAILED, "%s: the kernel does not probe the instruction at %s", s->path,
			       where);
	default:
		errno = e;
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot attach uprobes at %s", s->path, where);
	}
}

/* Whether the failure may be due to one of several offsets. */
static bool about_one(int e)
{
	return e == KERNEL_ENOTSUPP || e == ENOEXEC || e == EINVAL || e == EIO;
}

/* Index of an offset the kernel refuses with error *e, found by halving; SIZE_MAX if each half is accepted. */
static size_t find_refused(int prog_fd, const struct ct_uprobe_spec *s, int *e)
{
	size_t lo = 0, hi = s->n;
	bool sure = false; /* that [lo, hi) was refused as such, not just by elimination */
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;
		int fd = multi_link(prog_fd, s, lo, mid - lo);
		sure = fd < 0;
		if (sure) {
			*e = errno;
			hi = mid;
		} else {
			close(fd);
			lo = mid;
		}
	}
	if (!sure) {
		int fd = multi_link(prog_fd, s, lo, 1);
		if (fd >= 0) {
			close(fd);
			return SIZE_MAX;
		}
		*e = errno;
	}
	return lo;
}

static int check_spec(const struct ct_uprobe_spec *s, struct ct_error *err)
{
	if (s->n && s->n <= MULTI_MAX)
		return 0;
	return ct_fail(err, CT_EXIT_FAILED, "%s: cannot attach uprobes at %zu places; 1 to %u are possible", s->path,
		       s->n, MULTI_MAX);
}

int ct_uprobe_multi_attach(int prog_fd, const struct ct_uprobe_spec *spec, struct ct_error *err)
{
	if (check_spec(spec, err) < 0)
		return -1;
	int fd = multi_link(prog_fd, spec, 0, spec->n);
	if (fd >= 0)
		return fd;
	int e = errno;
	size_t at = spec->n == 1 ? 0 : SIZE_MAX;
	if (spec->n > 1 && about_one(e))
		at = find_refused(prog_fd, spec, &e);
	return explain(err, spec, at, e);
}

/* ---- perf events ----------------------------------------------------------------------------------- */

/* The number in a one-line file of the uprobe PMU, after `prefix`; -1 if there is none. */
static int pmu_number(const char *file, const char *prefix)
{
	char path[128], line[64];
	int n = -1;
	snprintf(path, sizeof(path), "/sys/bus/event_source/devices/uprobe/%s", file);
	FILE *f = fopen(path, "re");
	if (!f)
		return -1;
	size_t len = strlen(prefix);
	if (fgets(line, sizeof(line), f) && strncmp(line, prefix, len) == 0)
		n = atoi(line + len);
	fclose(f);
	return n;
}

struct pmu {
	int type, return_bit, ref_ctr_shift;
};

/* A descriptor that keeps the probe at offset i, -1 with errno. */
static int perf_probe(int prog_fd, const struct pmu *pmu, const struct ct_uprobe_spec *s, size_t i)
{
	struct perf_event_attr attr = {.size = sizeof(attr), .type = (ct_u32)pmu->type};
	ct_u64 cookie = s->cookies ? s->cookies[i] : 0;
	if (s->flags & CT_UPROBE_RETURN)
		attr.config |= 1ull << pmu->return_bit;
	if (s->ref_ctrs)
		attr.config |= s->ref_ctrs[i] << pmu->ref_ctr_shift;
	attr.config1 = ptr(s->path);
	attr.config2 = s->offsets[i];
	/* With a pid the kernel puts the breakpoint into that address space only; the CPU does not matter to BPF. */
	int pfd = (int)syscall(SYS_perf_event_open, &attr, s->pid ? s->pid : -1, s->pid ? -1 : 0, -1,
			       PERF_FLAG_FD_CLOEXEC);
	if (pfd < 0)
		return -1;
	int fd = -1, e;
	struct link_create a = {.prog_fd = (ct_u32)prog_fd, .target_fd = (ct_u32)pfd, .attach_type = BPF_PERF_EVENT};
	a.perf.cookie = cookie;
	int link = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &a, sizeof(a));
	if (link < 0 && (cookie || ioctl(pfd, PERF_EVENT_IOC_SET_BPF, prog_fd) < 0))
		goto out;
	if (ioctl(pfd, PERF_EVENT_IOC_ENABLE, 0) < 0)
		goto out;
	fd = link >= 0 ? link : pfd; /* a link holds its event */
out:
	e = errno;
	if (link >= 0 && fd != link)
		close(link);
	if (fd != pfd)
		close(pfd);
	errno = e;
	return fd;
}

struct ct_uprobes {
	size_t n;
	int fd[];
};

static int create_perf(struct ct_uprobes *u, int prog_fd, const struct ct_uprobe_spec *s, struct ct_error *err)
{
	struct pmu pmu = {pmu_number("type", ""), pmu_number("format/retprobe", "config:"),
			  pmu_number("format/ref_ctr_offset", "config:")};
	if (pmu.type < 0 || (s->flags & CT_UPROBE_RETURN && pmu.return_bit < 0) ||
	    (s->ref_ctrs && pmu.ref_ctr_shift < 0))
		return ct_fail(err, CT_EXIT_MISSING,
			       "this kernel has no uprobe events (/sys/bus/event_source/devices/uprobe); it needs "
			       "CONFIG_UPROBE_EVENTS, and /sys mounted");
	for (; u->n < s->n; u->n++) {
		u->fd[u->n] = perf_probe(prog_fd, &pmu, s, u->n);
		if (u->fd[u->n] < 0)
			return explain(err, s, u->n, errno);
	}
	return 0;
}

struct ct_uprobes *ct_uprobes_create(int prog_fd, const struct ct_uprobe_spec *spec, struct ct_error *err)
{
	if (check_spec(spec, err) < 0)
		return NULL;
	bool multi = spec->flags & CT_UPROBE_MULTI || (!(spec->flags & CT_UPROBE_PERF) && ct_uprobe_multi_supported());
	struct ct_uprobes *u = calloc(1, sizeof(*u) + (multi ? 1 : spec->n) * sizeof(u->fd[0]));
	if (!u) {
		ct_fail(err, CT_EXIT_FAILED, "%s: out of memory for %zu uprobes", spec->path, spec->n);
		return NULL;
	}
	int ret;
	if (multi) {
		u->fd[0] = ret = ct_uprobe_multi_attach(prog_fd, spec, err);
		u->n = ret >= 0;
	} else {
		ret = create_perf(u, prog_fd, spec, err);
	}
	if (ret < 0) {
		ct_uprobes_destroy(u);
		return NULL;
	}
	return u;
}

void ct_uprobes_destroy(struct ct_uprobes *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->n; i++)
		close(u->fd[i]);
	free(u);
}

/* ---- our own code ---------------------------------------------------------------------------------- */

struct own {
	uintptr_t at;
	char *path;
	ct_u64 *offset;
};

static int find_own(struct dl_phdr_info *info, size_t size, void *arg)
{
	const struct own *o = arg;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD || o->at < start || o->at - start >= p->p_filesz)
			continue;
		snprintf(o->path, 4096, "%s", info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe");
		*o->offset = p->p_offset + (o->at - start);
		return 1;
	}
	return 0;
}

bool ct_uprobe_own_site(const void *code, char path[4096], ct_u64 *offset)
{
	return dl_iterate_phdr(find_own, &(struct own){(uintptr_t)code, path, offset});
}
