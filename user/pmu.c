// SPDX-License-Identifier: MIT
/* The hardware counter of retired conditional branches: which event of which CPU, in one table. */
#include "user/pmu.h"

#include <cpuid.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum vendor { INTEL, AMD };

/* Raw events as the vendors' manuals number them: unit mask << 8 | event, with the bits for user mode, counting and
 * (Intel) the counter itself as perf's raw format has them. Only exact, deterministic counters are listed. */
static const struct {
	enum vendor vendor;
	int family, model_from, model_to;
	ct_u64 event;
	const char *name;
} table[] = {
	{INTEL, 6, 0x1a, 0x1f, 0x01c4, "Nehalem"},
	{INTEL, 6, 0x25, 0x2f, 0x01c4, "Westmere, Sandy Bridge"},
	{INTEL, 6, 0x3a, 0x3f, 0x01c4, "Ivy Bridge, Haswell"},
	{INTEL, 6, 0x45, 0x4f, 0x01c4, "Haswell, Broadwell, Skylake"},
	{INTEL, 6, 0x55, 0x56, 0x01c4, "Skylake-SP, Broadwell-DE"},
	{INTEL, 6, 0x5e, 0x5e, 0x01c4, "Skylake"},
	{INTEL, 6, 0x66, 0x66, 0x01c4, "Cannon Lake"},
	{INTEL, 6, 0x8e, 0x8e, 0x01c4, "Kaby Lake"},
	{INTEL, 6, 0x9e, 0x9e, 0x01c4, "Coffee Lake"},
	{INTEL, 6, 0xa5, 0xa6, 0x01c4, "Comet Lake"},
	{INTEL, 6, 0x6a, 0x6c, 0x11c4, "Ice Lake-SP"},
	{INTEL, 6, 0x7d, 0x7e, 0x11c4, "Ice Lake"},
	{INTEL, 6, 0x8c, 0x8d, 0x11c4, "Tiger Lake"},
	{INTEL, 6, 0xa7, 0xa7, 0x11c4, "Rocket Lake"},
	{INTEL, 6, 0x8f, 0x8f, 0x11c4, "Sapphire Rapids"},
	{INTEL, 6, 0xcf, 0xcf, 0x11c4, "Emerald Rapids"},
	{INTEL, 6, 0xad, 0xae, 0x11c4, "Granite Rapids"},
	{AMD, 0x17, 0x00, 0xff, 0x00d1, "Zen, Zen 2"},
	{AMD, 0x19, 0x00, 0xff, 0x00d1, "Zen 3, Zen 4"},
	{AMD, 0x1a, 0x00, 0xff, 0x00d1, "Zen 5"},
};

ct_u64 ct_pmu_event(const char **name)
{
	unsigned a, b, c, d;
	int family, model;
	enum vendor vendor;

	if (!__get_cpuid(0, &a, &b, &c, &d))
		return 0;
	if (b == signature_INTEL_ebx)
		vendor = INTEL;
	else if (b == signature_AMD_ebx)
		vendor = AMD;
	else
		return 0;
	if (!__get_cpuid(1, &a, &b, &c, &d))
		return 0;
	family = a >> 8 & 15;
	model = a >> 4 & 15;
	if (family == 15)
		family += a >> 20 & 255;
	if (family >= 6)
		model |= a >> 12 & 0xf0;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (table[i].vendor != vendor || table[i].family != family || model < table[i].model_from ||
		    model > table[i].model_to)
			continue;
		*name = table[i].name;
		return table[i].event;
	}
	return 0;
}

int ct_pmu_open(int cpu)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_RAW, .size = sizeof(attr)};
	const char *name;
	int fd;

	attr.config = ct_pmu_event(&name);
	if (!attr.config)
		return -ENOENT;
	attr.exclude_kernel = 1;
	attr.exclude_hv = 1;
	attr.pinned = 1; /* never shared out by multiplexing: a count with gaps is worth nothing */
	fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
