/* SPDX-License-Identifier: MIT
 * Survey of the machine: kernel, privileges, hardware, settings, and the table of features.
 *
 * What stands in the way is a missing privilege or kernel feature here, so such findings carry `missing`. */
#include "../replay/pmu.h"
#include "survey_system.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <liburing.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "attach/survey_priv.h"
#include "out.h"
#include "probes.h"

/* As ct_finding_add, for a lack of privilege or kernel feature. */
#define missing(f, severity, id, fix, ...)                                                                             \
	do {                                                                                                           \
		struct ct_finding *finding_ = ct_finding_add(f, severity, id, fix, __VA_ARGS__);                       \
		if (finding_)                                                                                          \
			finding_->missing = true;                                                                      \
	} while (0)

/* ---- Kernel ---- */

static void survey_kernel(struct ct_findings *f)
{
	struct utsname u;
	unsigned major = 0, minor = 0;
	if (uname(&u))
		return;
	if (strcmp(u.machine, "x86_64") != 0) {
		missing(f, CT_FIND_BLOCKS, "machine", "ctbpf records 64-bit x86 programs on such machines only",
			"this machine is %s", u.machine);
	} else {
		bool old = sscanf(u.release, "%u.%u", &major, &minor) == 2 && (major < 6 || (major == 6 && minor < 1));
		ct_finding_add(f, old ? CT_FIND_DEGRADES : CT_FIND_OK, "kernel",
			       old ? "6.1 is the oldest kernel ctbpf is tested with" : NULL, "Linux %s, x86-64",
			       u.release);
	}
	if (!ct_pids_are_outermost())
		missing(f, CT_FIND_BLOCKS, "pid_namespace",
			"run it on the host, or in a container that has the host's PID namespace (--pid=host)",
			"ctbpf runs in a PID namespace of its own: the kernel side knows processes by other numbers");
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		missing(f, CT_FIND_BLOCKS, "btf",
			"use a kernel with CONFIG_DEBUG_INFO_BTF=y (all large distributions')",
			"the kernel has no type information (/sys/kernel/btf/vmlinux)");
}

static void survey_lockdown(struct ct_findings *f)
{
	char text[128];
	if (ct_read_small("/sys/kernel/security/lockdown", text, sizeof(text)))
		return; /* no lockdown in this kernel, or securityfs is not mounted: the features tell */
	if (strstr(text, "[confidentiality]"))
		missing(f, CT_FIND_BLOCKS, "lockdown", "boot with lockdown=integrity or without lockdown",
			"kernel lockdown (confidentiality) keeps BPF from reading memory");
	else if (strstr(text, "[integrity]"))
		ct_finding_add(f, CT_FIND_OK, "lockdown", NULL, "kernel lockdown: integrity, which recording respects");
}

static void survey_settings(struct ct_findings *f)
{
	char text[64];
	if (!ct_read_small("/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text)) && text[0] == '3')
		missing(f, CT_FIND_BLOCKS, "yama", "boot without kernel.yama.ptrace_scope=3",
			"kernel.yama.ptrace_scope is 3: nobody may attach to anything");
	char *mounts = ct_proc_read(0, "mounts", NULL);
	const char *proc = mounts ? strstr(mounts, " /proc proc ") : NULL;
	const char *hidepid = proc ? strstr(proc, "hidepid=") : NULL;
	if (hidepid && hidepid < proc + strcspn(proc, "\n") && hidepid[8] != '0' && strncmp(hidepid + 8, "off", 3))
		ct_finding_add(f, CT_FIND_NOTE, "hidepid", NULL,
			       "/proc is mounted with hidepid: without root, other users' processes do not show");
	free(mounts);
}

/* ---- Privileges ---- */

static void survey_privileges(struct ct_findings *f)
{
	static const struct {
		int bit;
		bool admin; /* CAP_SYS_ADMIN includes it */
		const char *name, *needed_for;
		enum ct_severity without;
	} caps[] = {{CAP_BPF, true, "CAP_BPF", "loading BPF programs", CT_FIND_BLOCKS},
		    {CAP_PERFMON, true, "CAP_PERFMON", "tracing with them", CT_FIND_BLOCKS},
		    {CAP_SYS_PTRACE, false, "CAP_SYS_PTRACE", "attaching to processes", CT_FIND_BLOCKS},
		    {CAP_SYS_ADMIN, false, "CAP_SYS_ADMIN", "finding mapped files that have been replaced",
		     CT_FIND_DEGRADES},
		    {CAP_SYS_NICE, false, "CAP_SYS_NICE", "real-time scheduling of threads, which saves switches",
		     CT_FIND_DEGRADES},
		    {CAP_SYS_RESOURCE, false, "CAP_SYS_RESOURCE", "large locked buffers", CT_FIND_NOTE}};
	const uint64_t wanted = 1ull << CAP_BPF | 1ull << CAP_PERFMON | 1ull << CAP_SYS_PTRACE;
	char *status = ct_proc_read(getpid(), "status", NULL);
	uint64_t eff = status ? ct_text_number(status, "CapEff", 16, 0) : 0;
	free(status);
	unsigned lacking = 0;
	if (geteuid() && (eff & wanted) != wanted && !(eff >> CAP_SYS_ADMIN & 1)) {
		missing(f, CT_FIND_BLOCKS, "privileges", "run it as root: sudo ctbpf ...",
			"you are user %u: recording needs CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE", geteuid());
		return;
	}
	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		bool has = eff >> caps[i].bit & 1 || (caps[i].admin && eff >> CAP_SYS_ADMIN & 1);
		if (has)
			continue;
		lacking++;
		missing(f, caps[i].without, caps[i].name,
			geteuid()
				? "run it as root: sudo ctbpf ..."
				: "this root is a restricted one (container, virtual machine): give it the capability",
			"you lack %s, needed for %s", caps[i].name, caps[i].needed_for);
	}
	if (!lacking)
		ct_finding_add(f, CT_FIND_OK, "privileges", NULL, "all privileges needed are there");
}

/* ---- Hardware ---- */

static void survey_pmu(struct ct_findings *f)
{
	const struct ct_pmu_model *m = ct_pmu_model();
	struct ct_error cause;

	if (!ct_pmu_check(&cause))
		ct_finding_add(f, CT_FIND_OK, "pmu", NULL,
			       "the CPU counts %s branches (%s, event %#llx): they are logged with each position, and "
			       "`verify` and `replay` use the clock pmu",
			       m->conditional ? "conditional" : "all", m->name, (unsigned long long)m->event);
	else
		ct_finding_add(f, CT_FIND_NOTE, "pmu", NULL,
			       "the clock of `verify` and `replay` is fingerprint, for %s: positions are found by what "
			       "registers and memory hold: exact unless a program passes a place again with the same "
			       "registers, stack and memory they point to; verify tells",
			       cause.msg);
}

static void survey_cpu(struct ct_findings *f)
{
	static const char *const interesting[] = {"avx512f", "amx_tile", "rdrand", "rdseed", "user_shstk", "pku"};
	char *text = ct_proc_read(0, "cpuinfo", NULL), list[128] = "", clock[32];
	char *model = text ? strstr(text, "model name") : NULL, *flags = text ? strstr(text, "\nflags") : NULL;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (model) {
		model = strchr(model, ':');
		model = model ? model + 1 + strspn(model + 1, " ") : NULL;
	}
	if (flags)
		flags[1 + strcspn(flags + 1, "\n")] = '\0';
	for (size_t i = 0; flags && i < sizeof(interesting) / sizeof(interesting[0]); i++) {
		const char *at = strstr(flags, interesting[i]);
		char after = at ? at[strlen(interesting[i])] : 'x';
		if (at && at[-1] == ' ' && (after == ' ' || !after)) {
			strcat(list, " ");
			strcat(list, interesting[i]);
		}
	}
	if (model)
		model[strcspn(model, "\n")] = '\0';
	ct_finding_add(f, CT_FIND_OK, "cpu", NULL, "%s (%s)", model ? model : "unknown CPU", list[0] ? list + 1 : "-");
	free(text);
	if (cpus == 1)
		ct_finding_add(f, CT_FIND_DEGRADES, "one_cpu", NULL,
			       "there is one CPU only: the recorder shares it with the target");
	else
		ct_finding_add(f, CT_FIND_OK, "cpus", NULL, "%ld CPUs", cpus);
	if (!ct_read_small("/sys/devices/system/clocksource/clocksource0/current_clocksource", clock, sizeof(clock))) {
		bool fast = !strcmp(clock, "tsc") || !strcmp(clock, "kvm-clock") || !strncmp(clock, "hyperv", 6);
		ct_finding_add(f, fast ? CT_FIND_OK : CT_FIND_NOTE, "clocksource", NULL,
			       fast ? "clock: %s" : "clock: %s, so that every event costs more than with tsc", clock);
	}
}

/* ---- Surroundings ---- */

static void survey_surroundings(struct ct_findings *f)
{
	struct statfs fs;
	struct io_uring ring;
	char nodes[64], thp[64], a[CT_HUMAN];
	if (!statfs("/sys/fs/cgroup", &fs)) {
		bool v2 = fs.f_type == CGROUP2_SUPER_MAGIC;
		ct_finding_add(f, CT_FIND_OK, "cgroup", NULL, "control groups version %s", v2 ? "2" : "1");
	}
	if (!ct_read_small("/sys/devices/system/node/online", nodes, sizeof(nodes)) && strcmp(nodes, "0") != 0)
		ct_finding_add(
			f, CT_FIND_NOTE, "numa", NULL,
			"several memory nodes (%s): a target pinned to one CPU may reach some memory more slowly",
			nodes);
	int ret = io_uring_queue_init(2, &ring, 0);
	if (!ret)
		io_uring_queue_exit(&ring);
	if (ret)
		ct_finding_add(f, CT_FIND_DEGRADES, "io_uring", "sysctl kernel.io_uring_disabled=0",
			       "io_uring is not available (%s): recordings are written with plain writes",
			       strerror(-ret));
	else
		ct_finding_add(f, CT_FIND_OK, "io_uring", NULL, "io_uring for writing recordings");
	if (!ct_read_small("/sys/kernel/mm/transparent_hugepage/enabled", thp, sizeof(thp)))
		ct_finding_add(f, CT_FIND_OK, "huge_pages", NULL, "transparent huge pages: %s",
			       strstr(thp, "[always]")    ? "always, which shortens the stop of large processes"
			       : strstr(thp, "[madvise]") ? "where a program asks for them"
							  : "never");
	struct rlimit locked;
	if (!getrlimit(RLIMIT_MEMLOCK, &locked) && locked.rlim_max < ((rlim_t)8 << 20))
		ct_finding_add(f, CT_FIND_NOTE, "memlock", "ulimit -l unlimited",
			       "only %s may be locked in memory: io_uring works without registered buffers",
			       ct_human_bytes(a, locked.rlim_max));
	char *meminfo = ct_proc_read(0, "meminfo", NULL);
	uint64_t available = meminfo ? ct_text_number(meminfo, "MemAvailable", 10, 0) * 1024 : 0;
	free(meminfo);
	if (available)
		ct_finding_add(f, available < (256u << 20) ? CT_FIND_DEGRADES : CT_FIND_OK, "available_memory", NULL,
			       "%s of memory available", ct_human_bytes(a, available));
}

/* ---- Features ---- */

static void survey_features(struct ct_findings *f)
{
	size_t count;
	const struct ct_feature *feature = ct_features(&count);
	/* the probes' failures are answers, not something to print */
	libbpf_print_fn_t print = libbpf_set_print(NULL);
	struct btf *btf = btf__load_vmlinux_btf();
	for (size_t i = 0; i < count; i++, feature++) {
		char what[200] = "";
		int there = feature->probe(feature, btf, what, sizeof(what));
		const char *colon = what[0] ? ": " : "";
		if (there > 0)
			ct_finding_add(f, CT_FIND_OK, feature->id, NULL, "%s, for %s", feature->name,
				       feature->needed_for);
		else if (there == 0)
			missing(f, feature->without, feature->id, feature->fallback, "no %s, for %s%s%s", feature->name,
				feature->needed_for, colon, what);
		else
			ct_finding_add(f, CT_FIND_NOTE, feature->id, feature->fallback,
				       "%s, for %s, could not be tried%s%s", feature->name, feature->needed_for, colon,
				       what);
	}
	btf__free(btf);
	libbpf_set_print(print);
}

int ct_survey_system(struct ct_findings *f, struct ct_error *err)
{
	survey_kernel(f);
	survey_privileges(f);
	survey_lockdown(f);
	survey_settings(f);
	/* Without privileges or BTF each feature would fail for the same reason, which has been said. */
	if (ct_findings_worst(f) < CT_FIND_BLOCKS)
		survey_features(f);
	survey_pmu(f);
	survey_cpu(f);
	survey_surroundings(f);
	return f->out_of_memory ? ct_fail(err, CT_EXIT_FAILED, "cannot survey this machine: out of memory") : 0;
}
