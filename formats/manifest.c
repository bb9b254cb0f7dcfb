/* SPDX-License-Identifier: MIT
 * The manifest of a recording: what is known about the machine, and its atomic replacement on disk.
 *
 * docs/format.md lists the fields; the recorder adds target, options and state changes. */
#include "recording.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "dirio.h"
#include "recording_private.h"
#include "segment.h"

static ct_u64 clock_ns(clockid_t clock)
{
	struct timespec ts = {0};

	clock_gettime(clock, &ts);
	return (ct_u64)ts.tv_sec * 1000000000ull + (ct_u64)ts.tv_nsec;
}

void ct_uuid7(ct_u8 uuid[16])
{
	ct_u64 ms = clock_ns(CLOCK_REALTIME) / 1000000;

	if (getrandom(uuid, 16, 0) != 16) {
		/* Only ever on kernels without getrandom; unique enough on one machine. */
		ct_u64 mix[2] = {clock_ns(CLOCK_MONOTONIC) * 0x9e3779b97f4a7c15ull, (ct_u64)getpid() << 32 ^ ms};
		memcpy(uuid, mix, 16);
	}
	for (int i = 0; i < 6; i++)
		uuid[i] = (ct_u8)(ms >> (40 - 8 * i));
	uuid[6] = (ct_u8)(0x70 | (uuid[6] & 0x0f)); /* version */
	uuid[8] = (ct_u8)(0x80 | (uuid[8] & 0x3f)); /* variant */
}

void ct_uuid_format(const ct_u8 uuid[16], char out[37])
{
	static const char hex[] = "0123456789abcdef";
	char *p = out;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[uuid[i] >> 4];
		*p++ = hex[uuid[i] & 15];
	}
	*p = 0;
}

int ct_uuid_parse(const char *text, ct_u8 uuid[16])
{
	for (int i = 0; i < 16; i++) {
		ct_u8 byte = 0;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return -1;
		for (int k = 0; k < 2; k++, text++) {
			if (*text >= '0' && *text <= '9')
				byte = (ct_u8)(byte << 4 | (*text - '0'));
			else if ((*text | 32) >= 'a' && (*text | 32) <= 'f')
				byte = (ct_u8)(byte << 4 | ((*text | 32) - 'a' + 10));
			else
				return -1;
		}
		uuid[i] = byte;
	}
	return *text ? -1 : 0;
}

/* ---- CPU ---- */

struct cpuid_regs {
	unsigned eax, ebx, ecx, edx;
};

static json_t *hex32(unsigned v)
{
	char text[16];

	snprintf(text, sizeof(text), "0x%08x", v);
	return json_string(text);
}

/* A host name or brand string that is not UTF-8 must not cost the whole manifest. */
static json_t *plain_text(const char *from)
{
	char text[128];
	size_t n = 0;

	for (; from[n] && n < sizeof(text) - 1; n++)
		text[n] = from[n] >= ' ' && from[n] <= '~' ? from[n] : '?';
	text[n] = 0;
	return json_string(text);
}

static struct cpuid_regs cpuid(unsigned leaf, unsigned subleaf)
{
	struct cpuid_regs r;

	__cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
	return r;
}

/* Whether sub-leaf `sub` (>= 1) of a leaf says anything; leaf 0's registers are `first`. */
static bool has_subleaf(unsigned leaf, unsigned sub, const struct cpuid_regs *first, const struct cpuid_regs *r)
{
	bool any = r->eax || r->ebx || r->ecx || r->edx;

	switch (leaf) {
	case 0x4:
	case 0x8000001d: return sub < 32 && (r->eax & 31); /* cache type 0 ends the list */
	case 0x7:
	case 0x14:
	case 0x17:
	case 0x18:
	case 0x1d:
	case 0x20:
	case 0x24: return sub <= first->eax && sub < 64;
	case 0xb:
	case 0x1f:
	case 0x80000026: return sub < 16 && (r->ecx & 0xff00); /* level type 0 ends the list */
	case 0xd: return sub < 64 && any;
	case 0xf:
	case 0x10:
	case 0x12: return sub < 8 && any;
	default: return false;
	}
}

static void add_leaf(json_t *leaves, unsigned leaf, unsigned sub, const struct cpuid_regs *r)
{
	json_array_append_new(leaves, json_pack("{s:o,s:i,s:o,s:o,s:o,s:o}", "leaf", hex32(leaf), "subleaf", (int)sub,
						"eax", hex32(r->eax), "ebx", hex32(r->ebx), "ecx", hex32(r->ecx), "edx",
						hex32(r->edx)));
}

static void add_leaves(json_t *leaves, unsigned base)
{
	unsigned max = (unsigned)__get_cpuid_max(base, NULL);

	/* A hypervisor may claim anything; real CPUs stay far below 256 leaves. */
	if (max < base)
		return;
	if (max > base + 255)
		max = base + 255;
	for (unsigned leaf = base; leaf <= max; leaf++) {
		struct cpuid_regs first = cpuid(leaf, 0);

		add_leaf(leaves, leaf, 0, &first);
		/* Leaf 0xd has gaps: go through all of them. */
		for (unsigned sub = 1; sub < 64; sub++) {
			struct cpuid_regs r = cpuid(leaf, sub);

			if (has_subleaf(leaf, sub, &first, &r))
				add_leaf(leaves, leaf, sub, &r);
			else if (leaf != 0xd && leaf != 0x10)
				break;
		}
	}
}

static ct_u64 read_xcr0(void)
{
	unsigned lo, hi;

	if (!(cpuid(1, 0).ecx & (1u << 27))) /* OSXSAVE */
		return 0;
	__asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (ct_u64)hi << 32 | lo;
}

static json_t *describe_cpu(void)
{
	struct cpuid_regs r = cpuid(0, 0);
	char vendor[13], brand[49] = "";
	const char *start = brand;
	unsigned family, model;
	json_t *leaves = json_array();

	memcpy(vendor, &r.ebx, 4);
	memcpy(vendor + 4, &r.edx, 4);
	memcpy(vendor + 8, &r.ecx, 4);
	vendor[12] = 0;
	if ((unsigned)__get_cpuid_max(0x80000000, NULL) >= 0x80000004u) {
		for (unsigned i = 0; i < 3; i++) {
			r = cpuid(0x80000002 + i, 0);
			memcpy(brand + 16 * i, &r, 16);
		}
		start += strspn(start, " ");
	}
	r = cpuid(1, 0);
	family = (r.eax >> 8) & 15;
	model = (r.eax >> 4) & 15;
	if (family == 6 || family == 15)
		model |= (r.eax >> 12) & 0xf0;
	if (family == 15)
		family += (r.eax >> 20) & 0xff;
	add_leaves(leaves, 0);
	add_leaves(leaves, 0x80000000);
	return json_pack("{s:o,s:o,s:i,s:i,s:i,s:o}", "vendor", plain_text(vendor), "brand", plain_text(start),
			 "family", (int)family, "model", (int)model, "stepping", (int)(r.eax & 15), "leaves", leaves);
}

/* ---- The rest of the machine ---- */

ct_u64 ct_process_start_time(long pid)
{
	char path[64], text[1024], *p;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = ct_pread_full(fd, text, sizeof(text) - 1, 0);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	p = strrchr(text, ')'); /* the command name may contain anything */
	if (!p)
		return 0;
	for (int field = 2; field < 22 && p; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p + 1, NULL, 10) : 0;
}

static json_t *read_boot_id(void)
{
	char text[64] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		ssize_t n = read(fd, text, sizeof(text) - 1);
		text[n > 0 ? n : 0] = 0;
		close(fd);
	}
	text[strcspn(text, "\n")] = 0;
	return json_string(text);
}

static json_t *read_clocks(void)
{
	ct_u64 real = 0, mono = 0, boot = 0, best = UINT64_MAX;

	/* The three are read one after the other: keep the attempt with the least time between. */
	for (int i = 0; i < 5; i++) {
		ct_u64 before = clock_ns(CLOCK_MONOTONIC);
		ct_u64 r = clock_ns(CLOCK_REALTIME), b = clock_ns(CLOCK_BOOTTIME);
		ct_u64 after = clock_ns(CLOCK_MONOTONIC);

		if (after - before >= best)
			continue;
		best = after - before;
		real = r;
		boot = b;
		mono = before + best / 2;
	}
	return json_pack("{s:I,s:I,s:I}", "realtime_ns", (json_int_t)real, "monotonic_ns", (json_int_t)mono,
			 "boottime_ns", (json_int_t)boot);
}

json_t *ct_manifest_new(const ct_u8 uuid[16])
{
	char id[37], xcr0[32];
	struct utsname u = {0};

	uname(&u);
	ct_uuid_format(uuid, id);
	snprintf(xcr0, sizeof(xcr0), "0x%llx", (unsigned long long)read_xcr0());
	return json_pack("{s:i,s:s,s:s,s:s,s:o,s:{s:o,s:o,s:o,s:o},s:o,s:s,s:o,s:o,s:{s:I,s:I}}", "format",
			 CT_RECORDING_VERSION, "ctbpf", CTBPF_VERSION, "uuid", id, "state",
			 ct_recording_state_name(CT_REC_RECORDING), "host", plain_text(u.nodename), "kernel", "sysname",
			 plain_text(u.sysname), "release", plain_text(u.release), "version", plain_text(u.version),
			 "machine", plain_text(u.machine), "cpu", describe_cpu(), "xcr0", xcr0, "boot_id",
			 read_boot_id(), "clocks", read_clocks(), "recorder", "pid", (json_int_t)getpid(), "start_time",
			 (json_int_t)ct_process_start_time(getpid()));
}

/* The object as text with its checksum as last member: CRC32C of all bytes before that member's name. */
static char *sealed_text(const json_t *manifest, size_t *len)
{
	json_t *copy = json_copy((json_t *)manifest);
	char *text, *sealed = NULL;

	json_object_del(copy, "crc"); /* of the text it was read from */
	text = copy && json_object_size(copy) ? json_dumps(copy, JSON_INDENT(2)) : NULL;
	json_decref(copy);
	if (!text)
		return NULL;
	*len = strlen(text) - 2; /* without the newline and the bracket at the end */
	if (asprintf(&sealed, "%.*s,\n  \"crc\": \"0x00000000\"\n}\n", (int)*len, text) < 0)
		sealed = NULL;
	free(text);
	if (sealed) {
		char digits[9];

		*len += strlen(",\n  ");
		snprintf(digits, sizeof(digits), "%08x", ct_crc32c(0, sealed, *len));
		memcpy(sealed + *len + strlen("\"crc\": \"0x"), digits, 8);
		*len = strlen(sealed);
	}
	return sealed;
}

bool ct_manifest_sealed(const char *text, size_t len)
{
	const size_t tail = strlen("\"crc\": \"0x00000000\"\n}\n");
	char want[64];

	if (len < tail)
		return false;
	snprintf(want, sizeof(want), "\"crc\": \"0x%08x\"\n}\n", ct_crc32c(0, text, len - tail));
	return !memcmp(text + len - tail, want, tail);
}

int ct_manifest_write(int dirfd, const json_t *manifest, struct ct_error *err)
{
	static const char tmp[] = "manifest.json.tmp";
	size_t len;
	char *text = json_is_object(manifest) ? sealed_text(manifest, &len) : NULL;
	int fd = -1, ret = -1;

	if (!text)
		return ct_fail(err, CT_EXIT_FAILED, "manifest.json: no memory, or no object to write");
	/* A leftover of a recorder that died between open and rename. */
	unlinkat(dirfd, tmp, 0);
	fd = ct_file_createat(dirfd, tmp);
	if (fd < 0) {
		ct_fail_errno(err, CT_EXIT_FAILED, "cannot create %s", tmp);
		goto out;
	}
	if (ct_pwrite_full(fd, text, len, 0) < 0 || fsync(fd) < 0) {
		ct_fail_write(err, tmp);
		unlinkat(dirfd, tmp, 0);
		goto out;
	}
	if (renameat(dirfd, tmp, dirfd, "manifest.json") < 0) {
		ct_fail_errno(err, CT_EXIT_FAILED, "cannot rename %s to manifest.json", tmp);
		unlinkat(dirfd, tmp, 0);
		goto out;
	}
	if (fsync(dirfd) < 0) {
		ct_fail_errno(err, CT_EXIT_FAILED, "cannot sync the recording's directory");
		goto out;
	}
	ret = 0;
out:
	if (fd >= 0)
		close(fd);
	free(text);
	return ret;
}
