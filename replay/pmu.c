// SPDX-License-Identifier: MIT
/* The hardware counter of retired conditional branches: which event of which CPU, in one table. */
#include "replay/pmu.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Raw events as the vendors' manuals number them: unit mask << 8 | event. Only exact, deterministic counters are
 * listed. The skids are those that other replayers live with; Zen's is no bound, just rarely exceeded. */
static const struct ct_pmu_model table[] = {
	{CT_PMU_INTEL, 6, 0x1a, 0x1f, 0x01c4, 100, true, "Nehalem"},
	{CT_PMU_INTEL, 6, 0x25, 0x2f, 0x01c4, 100, true, "Westmere, Sandy Bridge"},
	{CT_PMU_INTEL, 6, 0x3a, 0x3f, 0x01c4, 100, true, "Ivy Bridge, Haswell"},
	{CT_PMU_INTEL, 6, 0x45, 0x4f, 0x01c4, 100, true, "Haswell, Broadwell, Skylake"},
	{CT_PMU_INTEL, 6, 0x55, 0x56, 0x01c4, 100, true, "Skylake-SP, Broadwell-DE"},
	{CT_PMU_INTEL, 6, 0x5e, 0x5e, 0x01c4, 100, true, "Skylake"},
	{CT_PMU_INTEL, 6, 0x66, 0x66, 0x01c4, 100, true, "Cannon Lake"},
	{CT_PMU_INTEL, 6, 0x8e, 0x8e, 0x01c4, 100, true, "Kaby Lake"},
	{CT_PMU_INTEL, 6, 0x9e, 0x9e, 0x01c4, 100, true, "Coffee Lake"},
	{CT_PMU_INTEL, 6, 0xa5, 0xa6, 0x01c4, 100, true, "Comet Lake"},
	{CT_PMU_INTEL, 6, 0x6a, 0x6c, 0x11c4, 100, true, "Ice Lake-SP"},
	{CT_PMU_INTEL, 6, 0x7d, 0x7e, 0x11c4, 100, true, "Ice Lake"},
	{CT_PMU_INTEL, 6, 0x8c, 0x8d, 0x11c4, 100, true, "Tiger Lake"},
	{CT_PMU_INTEL, 6, 0xa7, 0xa7, 0x11c4, 100, true, "Rocket Lake"},
	{CT_PMU_INTEL, 6, 0x8f, 0x8f, 0x11c4, 125, true, "Sapphire Rapids"},
	{CT_PMU_INTEL, 6, 0xcf, 0xcf, 0x11c4, 125, true, "Emerald Rapids"},
	{CT_PMU_INTEL, 6, 0xad, 0xae, 0x11c4, 125, true, "Granite Rapids"},
	{CT_PMU_INTEL, 6, 0x97, 0x9a, 0x11c4, 125, true, "Alder Lake"},
	{CT_PMU_INTEL, 6, 0xaa, 0xac, 0x11c4, 125, true, "Meteor Lake"},
	{CT_PMU_INTEL, 6, 0xb7, 0xbf, 0x11c4, 125, true, "Raptor Lake"},
	{CT_PMU_AMD, 0x17, 0x00, 0xff, 0x00d1, 10000, true, "Zen, Zen 2"},
	{CT_PMU_AMD, 0x19, 0x00, 0xff, 0x00d1, 10000, true, "Zen 3, Zen 4"},
	{CT_PMU_AMD, 0x1a, 0x00, 0xff, 0x00d1, 10000, true, "Zen 5"},
};
static const struct ct_pmu_model generic = {CT_PMU_OTHER, 0, 0, 0, PERF_COUNT_HW_BRANCH_INSTRUCTIONS, 1000, false,
					    "in no table"};

const struct ct_pmu_model *ct_pmu_find(enum ct_pmu_vendor vendor, int family, int model)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].vendor == vendor && table[i].family == family && model >= table[i].model_from &&
		    model <= table[i].model_to)
			return &table[i];
	return &generic;
}

const struct ct_pmu_model *ct_pmu_model(void)
{
	unsigned a, b, c, d;
	enum ct_pmu_vendor vendor;
	int family, model;

	if (!__get_cpuid(0, &a, &b, &c, &d))
		return &generic;
	vendor = b == signature_INTEL_ebx ? CT_PMU_INTEL : b == signature_AMD_ebx ? CT_PMU_AMD : CT_PMU_OTHER;
	if (!__get_cpuid(1, &a, &b, &c, &d))
		return &generic;
	family = a >> 8 & 15;
	model = a >> 4 & 15;
	if (family == 15)
		family += a >> 20 & 255;
	if (family >= 6)
		model |= a >> 12 & 0xf0;
	return ct_pmu_find(vendor, family, model);
}

static int open_event(ct_u32 type, ct_u64 event, pid_t tid, int cpu, ct_u64 period, bool once)
{
	struct perf_event_attr attr = {.type = type, .size = sizeof(attr), .config = event};
	int fd;

	attr.exclude_kernel = 1;
	attr.exclude_hv = 1;
	attr.pinned = 1; /* never shared out by multiplexing: a count with gaps is worth nothing */
	attr.sample_period = period;
	attr.wakeup_events = period != 0;
	attr.disabled = once;
	fd = (int)syscall(SYS_perf_event_open, &attr, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_branches(pid_t tid, int cpu, ct_u64 period, bool once)
{
	const struct ct_pmu_model *m = ct_pmu_model();

	return open_event(m->vendor == CT_PMU_OTHER ? PERF_TYPE_HARDWARE : PERF_TYPE_RAW, m->event, tid, cpu, period,
			  once);
}

int ct_pmu_open_thread(pid_t tid)
{
	return open_branches(tid, -1, 0, false);
}

int ct_pmu_open_alarm(pid_t tid, ct_u64 branches, int signal)
{
	const struct f_owner_ex owner = {F_OWNER_TID, tid};
	int fd = open_branches(tid, -1, branches, true);

	if (fd < 0)
		return fd;
	/* Enabled for one overflow: with a short period more of them would flood the thread with signals. */
	if (!fcntl(fd, F_SETOWN_EX, &owner) && !fcntl(fd, F_SETSIG, signal) && !fcntl(fd, F_SETFL, O_ASYNC) &&
	    !ioctl(fd, PERF_EVENT_IOC_REFRESH, 1))
		return fd;
	close(fd);
	return -EINVAL;
}

/* ---- does it count right? ---------------------------------------------------------------------------------------- */

#define LOOPS 10000
#define SLACK 100 /* branches between the reads that are not the loop's: the library's own */

/* What a counter reads across so many rounds of a loop with one conditional branch; -1: nothing. */
static long long count_loop(int fd)
{
	unsigned long long before, after;
	unsigned long n = LOOPS;

	if (read(fd, &before, sizeof(before)) != sizeof(before))
		return -1;
	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(n) : : "cc");
	return read(fd, &after, sizeof(after)) == sizeof(after) ? (long long)(after - before) : -1;
}

/* Zen may take a locked instruction for one without side effects, and counts the branches of that guess as well when it
 * has to take it back (SpecLockMap). There is an event for that, 0x25 with unit mask 8. */
static bool guesses_locks(void)
{
	unsigned long long before = 0, after = 0;
	int fd = open_event(PERF_TYPE_RAW, 0x0825, 0, -1, 0, false), word = 0;
	bool known;

	if (fd < 0)
		return true; /* cannot be told */
	known = read(fd, &before, sizeof(before)) == sizeof(before);
	__asm__ volatile("lock addl $1, %0" : "+m"(word) : : "cc");
	known = known && read(fd, &after, sizeof(after)) == sizeof(after);
	close(fd);
	return !known || after != before;
}

static int check(struct ct_error *err)
{
	const struct ct_pmu_model *m = ct_pmu_model();
	/* With overflows in between, too: some hypervisors count the interrupts they cause. */
	const ct_u64 periods[] = {0, LOOPS / 7};

	for (size_t i = 0; i < 2; i++) {
		int fd = open_branches(0, -1, periods[i], false);
		long long n[2];

		if (fd == -EACCES || fd == -EPERM)
			return ct_fail(err, CT_EXIT_MISSING, "hardware counters are not permitted; run as root");
		if (fd < 0)
			return ct_fail(err, CT_EXIT_MISSING,
				       "there is no hardware counter of branches here (usual in virtual machines)");
		n[0] = count_loop(fd);
		n[1] = count_loop(fd);
		close(fd);
		if (n[0] < 0 || n[1] < 0)
			return ct_fail(err, CT_EXIT_MISSING,
				       "the branch counter does not run: something else has the CPU's counters");
		if (n[0] != n[1] || n[0] < LOOPS || n[0] > LOOPS + SLACK)
			return ct_fail(err, CT_EXIT_MISSING,
				       "the branch counter is wrong: %lld and %lld for a loop of %d branches%s", n[0],
				       n[1], LOOPS, i ? " with interrupts" : "");
	}
	if (m->vendor == CT_PMU_AMD && guesses_locks())
		return ct_fail(err, CT_EXIT_MISSING,
			       "this AMD CPU miscounts branches around locked instructions (SpecLockMap); set bit 54 "
			       "of MSR 0xc0011020 on all CPUs");
	return 0;
}

int ct_pmu_check(struct ct_error *err)
{
	static __thread struct ct_error cause;
	static __thread int state; /* 0: not asked yet; 1: it works; -1 */

	if (!state)
		state = check(&cause) ? -1 : 1;
	if (state < 0)
		*err = cause;
	return state < 0 ? -1 : 0;
}

int ct_pmu_open(int cpu)
{
	struct ct_error cause;

	return ct_pmu_check(&cause) ? -ENOENT : open_branches(-1, cpu, 0, false);
}
